"""The draw, the answers, the grade with its interval, and the seal."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

import unseen
from unseen.compare.inputs import prepare
from unseen.data.domain import Domain, Lazy
from unseen.data.sounds import Sound
from unseen.verification import (
    Question,
    ask,
    clopper_pearson,
    grade,
    learned_by,
    left_unanswered,
    none_note,
    read_answers,
    read_times,
    sample,
    seal,
    sealed,
    without_sealed,
    write_page,
    write_table,
)
from unseen.verification.sample import draw
from unseen.verification.seals import seals_file

# -- the draw ----------------------------------------------------------------------------------------------


def test_every_sample_is_drawn_equally_often(zoo):
    target = zoo.target.take(slice(0, 20))
    counts = np.bincount(np.concatenate([draw(target, 5, seed=s) for s in range(400)]), minlength=20)
    assert counts.min() > 65  # 100 are expected, with a deviation of 9
    assert counts.max() < 135


def test_names_and_order_do_not_enter_the_draw(zoo):
    turned = zoo.target.take(np.random.default_rng(0).permutation(140))
    turned = turned.replace(ids=np.array([f"z{i}" for i in range(140)]))
    a, b = (set(d.take(draw(d, 30)).digests()) for d in (zoo.target, turned))
    assert a == b


def test_what_was_learned_from_is_never_drawn_and_copies_are_asked_about_once(zoo):
    twice = Domain(x=np.vstack([zoo.target.x[:30]] * 2))
    learned = set(zoo.target.take(slice(0, 12)).digests())
    drawn = draw(twice, 100, learned=learned)
    assert len(drawn) == len(set(drawn)) == 36
    assert not learned & set(twice.take(drawn).digests())
    questions = ask(zoo.model, twice, 100, learned=learned)
    assert len({one.digest for one in questions}) == len(questions) == 18
    assert {one.times for one in questions} == {2}
    with pytest.raises(ValueError, match="did not learn from"):
        draw(zoo.target, 3, learned=zoo.target.digests())
    with pytest.raises(ValueError, match="n must be at least 1"):
        draw(zoo.target, 0)


def test_few_classes_all_stand_beside_every_sample(zoo: Any) -> None:
    assert {one.choices for one in ask(zoo.model, zoo.target, 20)} == {tuple(zoo.model.classes.names)}


def test_the_place_of_the_models_class_among_the_choices_tells_nothing(
    zoo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "FEW", 6)
    questions = ask(zoo.model, zoo.target, 140)
    guesses = zoo.model.predict(zoo.target)["class"].tolist()
    places = [one.choices.index(guesses[one.position]) for one in questions]
    assert np.bincount(places, minlength=5).min() > 12  # 28 are expected, with a deviation of 5
    assert all(len(set(one.choices)) == 5 for one in questions)


# -- the files ---------------------------------------------------------------------------------------------


def pictures(n=6):
    rng = np.random.default_rng(0)
    return Domain(x=rng.integers(0, 255, (n, 40, 60, 3)).astype(np.uint8), kind="image", name="</script><b>zoo")


def test_the_page_is_closed_and_tells_neither_names_nor_the_models_choice(zoo, tmp_path):
    target = pictures().replace(ids=np.array([f"cat/{i}.png" for i in range(6)]))
    questions = [
        type(one)(i, str(target.ids[i]), one.digest, one.choices) for i, one in enumerate(ask(zoo.model, zoo.target, 6))
    ]
    write_page(tmp_path / "v.html", questions, target, "unseen verify m t")
    text = (tmp_path / "v.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src &#39;none&#39;" in policy
    assert not re.search(r"https?:", text)
    assert "<b>zoo" not in text
    assert "</script><b>" not in text
    told = json.loads(re.search(r'id="questions">(.*?)</script>', text, re.DOTALL)[1])
    assert set(told["questions"][0]) == {"id", "content", "times", "choices", "picture"}
    jpeg = base64.b64decode(told["questions"][0]["picture"].partition(",")[2])
    assert jpeg[:3] == b"\xff\xd8\xff"
    assert [file.name for file in tmp_path.glob(".*.tmp")] == []


@pytest.mark.parametrize("kind", ["clip", "audio"])
def test_videos_are_seen_and_sounds_are_heard_without_their_names(tmp_path, kind):
    samples = {
        "clip": np.zeros((2, 4, 3, 16, 24), dtype=np.uint8),
        "audio": Lazy([0, 1], lambda i: Sound(np.full(8000, 0.1 * i, np.float32), 8000, 1.0), lambda i: f"{i:02x}"),
    }
    target = Domain(x=samples[kind], kind=kind, ids=np.array(["cat/a", "dog/b"]), name="zoo")
    questions = [Question(i, str(target.ids[i]), f"{i:02x}", ("cat", "dog")) for i in range(2)]
    write_page(tmp_path / "v.html", questions, target, "unseen verify m t")
    told = json.loads(re.search(r'id="questions">(.*?)</script>', (tmp_path / "v.html").read_text(), re.DOTALL)[1])
    shown, begins = {"clip": ("picture", b"\xff\xd8\xff"), "audio": ("sound", b"RIFF")}[kind]
    assert base64.b64decode(told["questions"][1][shown].partition(",")[2]).startswith(begins)


def test_a_filled_table_is_graded_as_the_page_is(zoo, tmp_path):
    questions = ask(zoo.model, zoo.target, 10)
    write_table(tmp_path / "v.csv", questions, zoo.target)
    table = pd.read_csv(tmp_path / "v.csv", dtype=str, keep_default_na=False)
    assert set(table["answer"]) == {""}
    table.loc[0, "answer"] = "CAT "
    table.loc[1, "answer"] = "None"
    table.to_csv(tmp_path / "v.csv", index=False)
    found = read_answers(tmp_path / "v.csv")
    assert left_unanswered(tmp_path / "v.csv") == 8
    assert left_unanswered(tmp_path / "answers.json") == 0
    assert found == {questions[0].digest: "CAT", questions[1].digest: None}
    page = {
        "format": 1,
        "answers": [
            {"content": questions[0].digest, "answer": "CAT"},
            {"content": questions[1].digest, "answer": None},
        ],
    }
    (tmp_path / "v.json").write_text(json.dumps(page))
    assert read_answers(tmp_path / "v.json") == found


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", "[1]", "format 1"),
        ("a.json", "{", "neither"),
        ("a.json", '{"format": 1, "answers": []}', "at least one answer"),
        ("a.json", '{"format": 1, "answers": [{"content": "ab", "answer": "x"}]}', "SHA-256"),
        ("a.json", '{"format": 1, "answers": [{"content": "ab", "answer": 3}]}', "class name or null"),
        ("a.json", '{"format": 1, "answers": [3]}', "class name or null"),
        ("a.csv", "id,answer\n1,x\n", "content is missing"),
        ("a.csv", f"content,answer\n{'a' * 64},x\n{'a' * 64},y\n", "with 'x' and with 'y'"),
    ],
)
def test_answers_that_are_none_are_named(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=told):
        read_answers(tmp_path / name)


# -- the grade ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "of"), [(0, 10), (7, 10), (60, 60), (31, 60)])
def test_the_interval_leaves_two_and_a_half_per_cent_on_each_side(right, of):
    share = clopper_pearson(right, of)
    assert share.low == 0 if right == 0 else binom.sf(right - 1, of, share.low) == pytest.approx(0.025)
    assert share.high == 1 if right == of else binom.cdf(right, of, share.high) == pytest.approx(0.025)


def test_the_interval_holds_the_truth_at_least_as_often_as_it_says():
    for p in (0.02, 0.3, 0.5, 0.97):
        inside = [(s := clopper_pearson(k, 40)).low <= p <= s.high for k in range(41)]
        assert (binom.pmf(range(41), 40, p) * inside).sum() >= 0.95


def test_answers_are_counted_over_all_and_by_class(zoo):
    target = zoo.target
    truth = np.array(target.classes.names)[target.y]
    answers = dict(zip(target.digests().tolist()[:70], truth.tolist()))
    guesses = zoo.model.predict(target)["class"].to_numpy()[:70]
    first, second, third = list(answers)[:3]
    answers |= {first: None, second: "Unicorn", third: answers[third].upper()}
    found = grade(zoo.model, target, answers)
    assert found.accuracy.right == (guesses[2:] == truth[2:70]).sum()
    assert found.accuracy.of == 70
    assert (found.none, found.outside) == (1, {"Unicorn": 1})
    assert {name: share.of for name, share in found.per_class.items()} == {
        name: 10 - (name in truth[:2]) for name in target.classes.names
    }
    assert "none of these: 1 of 70" in found.lines()
    few = grade(zoo.model, target, dict(list(answers.items())[2:20]))
    assert few.per_class == {}


def test_answers_about_other_data_are_refused(zoo):
    with pytest.raises(ValueError, match="1 of 1 are not in zoo"):
        grade(zoo.model, zoo.target, {"0" * 64: "ant"})


def copied(zoo: Any) -> tuple[Domain, NDArray[Any]]:
    """A target of which half the rows are copies of its first one, which the model gets wrong; and the truth."""
    truth = zoo.model.predict(zoo.target)["class"].to_numpy().astype(object)
    truth[0] = next(name for name in zoo.model.classes.names if name != truth[0])
    rows = np.r_[np.arange(140), np.zeros(140, int)]
    return zoo.target.take(slice(0, 0)).replace(x=zoo.target.x[rows], y=None, ids=None), truth[rows]


def test_with_copies_the_interval_holds_the_accuracy_over_all_rows(zoo: Any) -> None:
    target, truth = copied(zoo)
    right = zoo.model.predict(target)["class"].to_numpy() == truth
    name = dict(zip(target.digests().tolist(), truth.tolist()))
    held, figures = 0, []
    for seed in range(40):
        questions = ask(zoo.model, target, 60, seed=seed)
        assert sum(one.times for one in questions) == 60
        assert len({one.digest for one in questions}) == len(questions) < 50
        answers = {one.digest: name[one.digest] for one in questions}
        found = grade(zoo.model, target, answers, {one.digest: one.times for one in questions})
        assert (found.accuracy.of, found.different) == (60, len(questions))
        held += found.accuracy.low <= right.mean() <= found.accuracy.high
        figures.append(found.accuracy.value)
    assert held >= 34  # 38 are expected at least, with a deviation of 1.4
    assert np.mean(figures) == pytest.approx(right.mean(), abs=0.03)
    assert f"{len(questions)} of the 60 samples are different" in "\n".join(found.lines())


def test_answers_that_do_not_count_copies_are_about_the_different_samples_and_say_so(zoo: Any) -> None:
    target, truth = copied(zoo)
    answers = dict(zip(target.digests().tolist()[:20], truth.tolist()))
    lines = "\n".join(grade(zoo.model, target, answers).lines())
    assert "exact for a random sample of the different samples" in lines
    assert "140 samples of the target are copies" in lines
    assert "different" not in "\n".join(grade(zoo.model, zoo.target, answers).lines())


def test_more_rows_than_the_target_has_are_refused(zoo: Any) -> None:
    digest = str(zoo.target.digests()[0])
    with pytest.raises(ValueError, match="drawn 3 times, and zoo holds it 1 times"):
        grade(zoo.model, zoo.target, {digest: "ant"}, {digest: 3})


def test_how_often_a_sample_was_drawn_comes_back_from_both_files(tmp_path: Path) -> None:
    digests = ["a" * 64, "b" * 64]
    questions = [Question(i, str(i), digest, ("cat", "dog"), 3 - i) for i, digest in enumerate(digests)]
    write_table(tmp_path / "v.csv", questions, Domain(x=np.eye(2)))
    table = pd.read_csv(tmp_path / "v.csv", dtype=str, keep_default_na=False).assign(answer="cat")
    table.to_csv(tmp_path / "v.csv", index=False)
    rows = [{"content": one.digest, "times": one.times, "answer": "cat"} for one in questions]
    (tmp_path / "v.json").write_text(json.dumps({"format": 1, "answers": rows}))
    assert read_times(tmp_path / "v.csv") == read_times(tmp_path / "v.json") == dict(zip(digests, (3, 2)))
    table.drop(columns="times_drawn").to_csv(tmp_path / "old.csv", index=False)
    assert read_times(tmp_path / "old.csv") is None
    for bad, told in (("0", "times_drawn must be"), ("x", "times_drawn must be"), ("", "times_drawn must be")):
        table.assign(times_drawn=bad).to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(ValueError, match=told):
            read_times(tmp_path / "bad.csv")
    for bad_rows, told in (
        ([{**rows[0], "times": True}], "times must be a whole number"),
        ([rows[0], {**rows[0], "times": 1}], "must hold one draw"),
        ([rows[0], {"content": digests[1], "answer": None}], "of every answer how often"),
    ):
        (tmp_path / "bad.json").write_text(json.dumps({"format": 1, "answers": bad_rows}))
        with pytest.raises(ValueError, match=told):
            read_times(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("classes", "word"),
    [
        (("cat", "dog"), "none"),
        (("None", "glasses"), "none of these"),
        (("none", "None of these"), "(none of these)"),
        (("none", "none of these", "(none of these)"), "((none of these))"),
    ],
)
def test_the_word_for_none_of_these_is_no_class(tmp_path: Path, classes: tuple[str, ...], word: str) -> None:
    questions = [Question(i, str(i), f"{i:064x}", classes) for i in range(2)]
    write_table(tmp_path / "v.csv", questions, Domain(x=np.eye(2)), classes)
    table = pd.read_csv(tmp_path / "v.csv", dtype=str, keep_default_na=False)
    assert table["choices"][0] == " | ".join((*classes, word))
    table.assign(answer=[classes[0], word]).to_csv(tmp_path / "v.csv", index=False)
    assert list(read_answers(tmp_path / "v.csv", classes).values()) == [classes[0], None]
    assert (repr(word) in none_note(classes)) == (word != "none")


# -- the seal ----------------------------------------------------------------------------------------------


def test_a_later_answer_replaces_one_and_new_ones_are_counted():
    assert seal({"a" * 64: "ant", "b" * 64: None}) == 2
    assert seal({"a" * 64: "bee", "c" * 64: "花"}) == 1
    assert sealed() == {"a" * 64: "bee", "b" * 64: None, "c" * 64: "花"}
    seals_file().write_text("[")
    with pytest.raises(ValueError, match="damaged"):
        sealed()


@pytest.mark.parametrize("labels", ["exam", "split:0.5"])
def test_verified_samples_are_left_out_of_learning_with_a_warning(zoo, labels, caplog):
    support = zoo.target.take(slice(0, 42))
    given = {"source": zoo.source, "target": zoo.target.take(slice(42, 140)), "labels": labels}
    if labels == "exam":
        given["support"] = support
    before = prepare(**given)
    chosen = before.support.digests()[:7]
    seal(dict.fromkeys(chosen.tolist(), "ant"))
    after = prepare(**given)
    assert len(after.support) == len(before.support) - 7
    assert not set(chosen) & set(after.support.digests())
    assert "7 of" in caplog.text
    assert "verified" in caplog.text


def test_adapt_learns_as_if_verified_samples_were_not_there(zoo):
    support = zoo.target.take(slice(0, 42))
    seal(dict.fromkeys(support.digests()[:7].tolist(), "ant"))
    a = unseen.adapt(method="linear-probe", support=support)
    b = unseen.adapt(method="linear-probe", support=support.take(slice(7, 42)))
    assert np.array_equal(a.scores(zoo.target), b.scores(zoo.target))


def test_a_support_that_was_all_verified_is_refused(zoo):
    seal(dict.fromkeys(zoo.target.digests().tolist(), "ant"))
    with pytest.raises(ValueError, match="support must hold samples that were not verified"):
        without_sealed("support", zoo.target)


def test_without_answers_nothing_is_hashed(zoo, monkeypatch):
    monkeypatch.setattr(Domain, "digests", lambda self: pytest.fail("hashed"))
    assert without_sealed("support", zoo.target) is zoo.target


def test_a_run_says_what_it_learned_from(zoo, tmp_path):
    unseen.compare(source=zoo.source, target=zoo.target, methods="source-only", seeds=1, out=tmp_path / "run")
    expected = set(zoo.source.digests())
    assert learned_by(tmp_path / "run") == learned_by(tmp_path / "run" / "model") == expected
    assert learned_by(tmp_path) == set()


def test_a_row_of_a_table_is_shown_by_its_features(zoo, tmp_path):
    named = zoo.target.replace(feature_names=tuple(f"f{i}" for i in range(zoo.target.x.shape[1])))
    questions = ask(zoo.model, named, 5)
    write_table(tmp_path / "v.csv", questions, named)
    table = pd.read_csv(tmp_path / "v.csv")
    assert table.f0.to_numpy() == pytest.approx(named.x[[one.position for one in questions], 0], rel=1e-5)
    write_page(tmp_path / "v.html", questions, named, "unseen verify")
    assert f"f0: {named.x[questions[0].position, 0]:g}" in (tmp_path / "v.html").read_text()
