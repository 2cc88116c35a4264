"""The main job on feature tables: what is sealed, chosen, written, resumed, refused."""

import functools
import hashlib
import html
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import unseen
from unseen.bundle import Bundle
from unseen.compare.asked import parse_budget
from unseen.compare.candidates import Plan, plan
from unseen.compare.cells import split_source
from unseen.compare.estimate import estimate
from unseen.compare.inputs import prepare
from unseen.compare.introduction import cautions, what_to_mind
from unseen.compare.job import _few
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines.propagate import Propagate
from unseen.nn.classifier import linear
from unseen.report import summary

FAST = "source-only,standardize,prototypes"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


def domain(names="abc", n=90, shift=0.0, seed=0, name="d", labels=True, width=8):
    rng = np.random.default_rng(seed)
    centres = {c: np.random.default_rng(ord(c)).normal(size=width) * 3 for c in "abcdefgh"}
    y = np.arange(n) % len(names)
    x = np.stack([centres[names[i]] for i in y]) + rng.normal(size=(n, width)) + shift
    space = ClassSpace(names=tuple(names))
    return Domain(x=x.astype("float32"), y=y if labels else None, classes=space if labels else None, name=name)


def run(tmp_path, **kwargs):
    inputs = dict(source=domain(), target=domain(shift=1.5, seed=1), methods=FAST, seeds=2, out=tmp_path / "run")
    return unseen.compare(**{**inputs, **kwargs})


def test_a_run_folder_holds_everything_and_the_model_predicts_alone(tmp_path):
    comparison = run(tmp_path)
    files = {p.name for p in (tmp_path / "run").iterdir()}
    assert {
        "config.json",
        "results.json",
        "results.parquet",
        "predictions.parquet",
        "model",
        "report.html",
    } <= files
    target = domain(shift=1.5, seed=1)
    bundle = Bundle.load(tmp_path / "run" / "model")
    table = bundle.predict(target)
    assert (table["class"].to_numpy() == np.array(list("abc"))[target.y]).mean() > 0.8
    pd.testing.assert_frame_equal(table, comparison.bundle.predict(target))


def test_what_was_read_is_told_before_it_is_encoded(monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    source = Domain(x=pictures[:20], y=["cat", "dog"] * 10, kind="image")
    target = Domain(x=pictures[20:], y=["cat", "elk"] * 10, kind="image")
    told = []

    def encode(*_args):
        told.append("encoding")
        raise KeyboardInterrupt

    monkeypatch.setattr("unseen.compare.inputs._encode", encode)
    with pytest.raises(KeyboardInterrupt):
        unseen.compare(source=source, target=target, encoder="pixels", say=told.append)
    assert told == [
        "source: 20 pictures of 2 classes",
        "target: 20 pictures; their labels (2 classes) are put away, and grade at the end",
        "classes: 1 in both; only in the labelled data: 'dog'; only in the target: 'elk'",
        "encoding",
    ]


def test_a_plan_of_less_than_a_second_is_not_told_as_nought():
    quick = Plan(candidates=[("prototypes", "default")], left_out={}, seconds={"prototypes": 0.1})
    assert quick.lines()[0] == "will run 1 candidate, under a second on one core: prototypes <1 s"


def test_every_accuracy_stands_beside_chance_source_only_and_a_ceiling(tmp_path):
    references = run(tmp_path).results["references"]
    assert references["chance"]["adapted"] == pytest.approx(1 / 3)
    assert references["source_only"]["adapted"] is not None
    assert references["ceiling"]["accuracy"] > 0.9


def test_target_labels_change_neither_choice_nor_model(tmp_path):
    target = domain(shift=1.5, seed=1)
    wrong = target.with_labels((target.y + 1) % 3)
    a = run(tmp_path, out=tmp_path / "a", target=target)
    b = run(tmp_path, out=tmp_path / "b", target=wrong)
    c = run(tmp_path, out=tmp_path / "c", target=target.unlabeled())
    assert a.chosen == b.chosen == c.chosen
    scores = [x.bundle.scores(target).numpy() for x in (a, b, c)]
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])
    assert a.results["candidates"][0]["validators"] == b.results["candidates"][0]["validators"]


ADAPTING = "coral"


@pytest.mark.parametrize("first", ["labelled", "unlabelled"])
def test_a_run_that_is_resumed_with_labels_or_without_is_that_of_a_folder_of_its_own(tmp_path, first):
    """The refitted cell of an unlabelled run had adapted to the held-out samples that a resumed run graded."""
    labelled = domain(shift=1.5, seed=1)
    both = {"labelled": labelled, "unlabelled": labelled.unlabeled()}
    second = next(name for name in both if name != first)
    asked = {"methods": ADAPTING, "seeds": 1}
    run(tmp_path, target=both[first], out=tmp_path / "resumed", **asked)
    resumed = run(tmp_path, target=both[second], out=tmp_path / "resumed", **asked)
    alone = run(tmp_path, target=both[second], out=tmp_path / "alone", **asked)
    assert torch.equal(resumed.bundle.scores(labelled), alone.bundle.scores(labelled))
    refitted = [c.results["chosen"]["refitted"] for c in (resumed, alone)]
    assert refitted[0] == refitted[1]


def test_sealed_labels_do_not_change_what_an_adapting_method_is_fitted_on(tmp_path):
    target = domain(shift=1.5, seed=1)
    asked = {"methods": ADAPTING, "seeds": 1, "out": None}
    a, b = (run(tmp_path, target=given, **asked) for given in (target, target.unlabeled()))
    assert torch.equal(a.bundle.scores(target), b.bundle.scores(target))


def test_a_refitted_cell_of_before_is_not_read(tmp_path):
    target = domain(shift=1.5, seed=1)
    run(tmp_path, target=target, methods=ADAPTING, seeds=1)
    assert [p.name for p in (tmp_path / "run" / "cells").iterdir() if "whole" in p.name] == []


def test_without_target_labels_there_is_no_accuracy_anywhere(tmp_path):
    results = run(tmp_path, target=domain(shift=1, seed=1, labels=False)).results
    assert results["protocol"] is None
    assert results["exam"] == {}
    assert results["references"] == {}
    assert all(not row["metrics"] for row in results["candidates"])


def test_unequal_classes_are_graded_as_what_they_are(tmp_path):
    results = run(tmp_path, source=domain("abc"), target=domain("bcd", seed=1)).results
    assert results["protocol"]["name"] == "open-partial"
    assert results["overlap"]["source_only"] == ["a"]
    assert results["overlap"]["target_only"] == ["d"]
    assert "h_score" in results["candidates"][0]["metrics"]["adapted"]


def test_a_second_run_with_the_same_inputs_reads_its_cells(tmp_path, monkeypatch):
    first = run(tmp_path).results
    import unseen.compare.cells as cells

    monkeypatch.setattr(cells.Fits, "fit", lambda *a, **k: pytest.fail("a finished cell was fitted again"))
    again = run(tmp_path).results
    assert [r["metrics"] for r in again["candidates"]] == [r["metrics"] for r in first["candidates"]]
    assert again["exam"]["adapted"]["openings"] == first["exam"]["adapted"]["openings"] + 1


def test_the_folder_of_another_run_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="another run"):
        run(tmp_path, seeds=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="not a run"):
        run(tmp_path, out=tmp_path / "mine")


def test_a_named_protocol_whose_metric_is_not_defined_on_the_target_is_told_so(tmp_path):
    comparison = run(tmp_path, protocol="open", methods="source-only,standardize", seeds=1)
    kept = json.loads((tmp_path / "run" / "results.json").read_text(), parse_constant=pytest.fail)
    metrics = kept["candidates"][0]["metrics"]["adapted"]
    assert metrics["h_score"]["mean"] is None
    assert metrics["known_accuracy"]["mean"] > 0.3
    lines = " ".join(summary(comparison.results))
    assert "H-score of the protocol open is not defined on this target: no sample that grades is of an unknown" in lines
    assert "turns out" not in lines
    assert kept["protocol"]["told"].startswith("Graded as if")
    assert "Graded as if" in (tmp_path / "run" / "report.html").read_text()


def test_what_the_classes_make_of_the_protocol_is_told_as_a_fact(tmp_path):
    assert run(tmp_path, methods="source-only", seeds=1).results["protocol"]["told"].startswith("The target has")


def test_another_precision_is_another_run_and_runs_of_before_it_was_kept_go_on(tmp_path):
    few = dict(methods="source-only", seeds=1)
    run(tmp_path, **few)
    file = tmp_path / "run" / "config.json"
    begun = json.loads(file.read_text())
    with pytest.raises(ValueError, match="of other precision"):
        run(tmp_path, **few, precision="fp32")
    other = run(tmp_path, **few, precision="fp32", out=tmp_path / "exact").results["config"]
    assert other["id"] != begun["id"]
    plain = {key: value for key, value in begun.items() if key not in ("id", "given", "precision")}
    assert begun["id"] == hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
    file.write_text(json.dumps({key: value for key, value in begun.items() if key != "precision"}))
    run(tmp_path, **few)
    run(tmp_path, **few, precision="fp32")  # vectors are the same in each precision


def test_settings_tell_the_precision_of_the_encoder():
    from types import SimpleNamespace

    from unseen.compare.job import _settings
    from unseen.scale import Engine

    assert _settings(Engine(), SimpleNamespace(encoder=SimpleNamespace(precision="auto")))["precision"] == "auto"
    assert _settings(Engine(), SimpleNamespace(encoder=None))["precision"] == "fp32"


def test_the_folder_of_another_run_says_what_it_has_and_what_is_asked(tmp_path):
    run(tmp_path, seeds=1)
    with pytest.raises(ValueError, match=r"methods: it has standardize, prototypes, asked for now coral\)"):
        run(tmp_path, seeds=1, methods="source-only,coral")
    assert _few([f"m{i}" for i in range(9)]) == "m0, m1, m2 and 6 more"


def test_a_run_that_was_killed_before_its_first_file_was_there_is_begun_again(tmp_path):
    file = tmp_path / "run" / ".config.json.partial-0123abcd" / "config.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    hidden = tmp_path / "run" / ".lock"
    hidden.touch()  # as any hidden file: it is nobody's work
    assert run(tmp_path, seeds=1, methods="source-only").chosen
    assert not [entry.name for entry in (tmp_path / "run").iterdir() if "config.json." in entry.name]


def test_labels_as_support_are_learned_from_and_not_graded(tmp_path):
    target = domain(shift=1.5, seed=1)
    ready = prepare(source=domain(), target=target, labels="split:0.5")
    assert len(ready.support) == 45
    held = set(ready.support.digests())
    assert not held & set(ready.target.digests())
    assert sum(len(e) for e in ready.exams.values()) == 45


def test_labels_for_learning_need_a_target() -> None:
    for given in ({"labels": "support"}, {"labels": "split:0.5", "support": domain()}):
        with pytest.raises(ValueError, match=r"target must be given: labels='(support|split:0.5)'"):
            prepare(source=domain(), **given)  # type: ignore[arg-type]


def test_a_partly_labelled_target_is_support_and_unlabelled_rest():
    target = domain(shift=1.5, seed=1)
    y = np.where(np.arange(90) < 9, target.y, -1)
    ready = prepare(target=target.with_labels(y), source=domain(), labels="support")
    assert len(ready.support) == 9
    assert not ready.exams


def test_the_held_out_fifth_depends_on_content_alone():
    target = domain(shift=1.5, seed=1)
    turned = target.take(np.random.default_rng(3).permutation(90)).replace(ids=np.array([f"z{i}" for i in range(90)]))
    a, b = prepare(source=domain(), target=target), prepare(source=domain(), target=turned)
    assert len(a.held_out) == 18
    assert set(a.held_out.digests()) == set(b.held_out.digests())


def test_the_same_sample_on_both_sides_is_reported():
    target = domain(shift=1.5, seed=1)
    source = domain()
    mixed = target.replace(x=np.vstack([source.x[:5], target.x[5:]]))
    assert (
        "5" in prepare(source=source, target=mixed).leakage[0].summary() or prepare(source=source, target=mixed).leakage
    )


def test_split_source_keeps_every_class_on_the_learning_side():
    source = domain("abcd", n=22).with_labels(np.array([0] + [1] * 2 + [2] * 9 + [3] * 10))
    learn, aside = split_source(source, seed=0)
    assert set(source.y[learn]) == {0, 1, 2, 3}
    assert not (learn & aside).any()
    assert (learn | aside).all()


def test_budget_leaves_out_the_expensive_and_says_so():
    ready = prepare(source=domain(), target=domain(seed=1))
    todo = plan(ready, FAST + ",shot", seeds=3, budget=1e-3)
    assert {slug for slug, _ in todo.candidates} == {"source-only", "standardize"}
    assert "budget" in todo.left_out["shot"]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), (5, 5), ("1.5m", 90)])
def test_budgets_are_read(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": "some"}, "labels must be"),
        ({"seeds": 0}, "seeds must be"),
        ({"protocol": "ajar"}, "protocol must be"),
        ({"budget": "soon"}, "budget must be"),
        ({"methods": "gcl"}, "did you mean 'glc'"),
        ({"methods": "linear-probe"}, "needs support"),
        ({"source": None}, "source or support"),
        ({"source": domain(labels=False)}, "must have labels"),
    ],
)
def test_mistakes_are_named_before_work(tmp_path, change, told):
    with pytest.raises(ValueError, match=told):
        run(tmp_path, **change)
    assert not (tmp_path / "run").exists()


def test_labelled_support_alone_is_enough(tmp_path):
    results = run(tmp_path, source=None, support=domain(n=15, seed=5), methods="linear-probe,prototypes").results
    assert results["chosen"]["name"] in ("linear-probe", "prototypes")


def test_results_are_plain_json(tmp_path):
    run(tmp_path)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["schema"] == 1
    assert results["seeds"] == 2
    table = pd.read_parquet(tmp_path / "run" / "results.parquet")
    assert set(table.columns) == {"candidate", "part", "metric", "seed", "value"}


def test_adapt_saves_what_it_returns(tmp_path):
    target = domain(shift=1.5, seed=1)
    bundle = unseen.adapt(method="standardize", settings={"C": 0.5}, source=domain(), target=target, out=tmp_path / "m")
    assert bundle.method.C == 0.5
    assert np.array_equal(Bundle.load(tmp_path / "m").scores(target), bundle.scores(target))
    with pytest.raises(ValueError, match="C must be"):
        unseen.adapt(method="standardize", settings={"C": -1.0}, source=domain(), target=target, out=tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_classes_that_only_the_support_has_are_known(tmp_path):
    support = domain("abcd", n=40, shift=1.5, seed=2)
    target = domain("abcd", shift=1.5, seed=1)
    found = run(tmp_path, support=support, target=target, methods="source-only,linear-probe").results
    assert found["protocol"]["name"] == "closed"
    assert found["overlap"]["target_only"] == []
    accuracy = {row["name"]: row["metrics"]["adapted"]["accuracy"]["mean"] for row in found["candidates"]}
    assert accuracy["linear-probe"] > 0.9
    assert accuracy["source-only"] <= 0.8  # it never saw the fourth class


@pytest.mark.parametrize("labels", ["support", "split:0.5"])
def test_labels_of_the_target_alone_are_enough_to_learn_from(tmp_path, labels):
    found = unseen.compare(target=domain(seed=1), labels=labels, methods="linear-probe,prototypes", seeds=1).results
    assert found["chosen"]["name"] in ("linear-probe", "prototypes")
    assert bool(found["exam"]) == (labels != "support")


def test_a_target_that_is_sealed_is_not_enough_to_learn_from():
    with pytest.raises(ValueError, match="labels='support'"):
        unseen.compare(target=domain(seed=1))


def test_a_class_file_must_hold_the_classes_of_the_support():
    classes = ClassSpace(names=("a", "b", "c"), descriptions=("x", "y", "z"))
    with pytest.raises(ValueError, match="classes must hold all of the labelled data, and lacks 'd'"):
        prepare(source=domain(), support=domain("abcd"), classes=classes)


def test_where_all_classes_are_equal_a_rejecting_method_is_graded_by_its_argmax(tmp_path):
    found = run(tmp_path, methods="glc:default,glc:no-rejection", seeds=1).results
    one, two = (row["metrics"]["adapted"]["accuracy"]["mean"] for row in found["candidates"])
    assert found["protocol"]["name"] == "closed"
    assert one == two


def test_with_unknown_classes_a_pool_is_compared_with_the_saved_model_as_it_is_graded(tmp_path, monkeypatch):
    """`pool`, `prediction` and the sentence between them are all with unknown samples called so."""
    fit = Propagate.fit

    @functools.wraps(fit)
    def otherwise_of_some(self, **given):
        fit(self, **given).transduction_[:40] = 2
        return self

    monkeypatch.setattr(Propagate, "fit", otherwise_of_some)
    target = domain("abcd", n=200, shift=1, seed=1)
    found = run(tmp_path, source=domain("abc"), target=target, methods="propagate", seeds=1, refit=False).results
    assert found["protocol"]["headline"] == "h_score"
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    pool = table[table["part"] == "adapted"]
    differ = pool["prediction"].fillna("") != pool["pool"].fillna("")
    assert found["chosen"]["alone"]["differ"] == differ.sum()
    assert pool["pool"].isna().any()
    assert differ.any()
    assert pool["pool"].isna().equals(pool["prediction"].isna())  # one entropy for both
    strange = pool["truth"] == "d"
    graded = found["candidates"][0]["metrics"]["adapted"]["unknown_accuracy"]["mean"]
    assert graded == pytest.approx(pool["pool"][strange].isna().mean())


def test_chance_among_unseen_classes_counts_only_them(tmp_path):
    names = tuple("abcde")
    classes = ClassSpace(names=names, attributes=np.eye(5, dtype="float32") + 0.1)
    target = domain("de", seed=1)
    found = run(tmp_path, source=domain("abc"), target=target, classes=classes, methods="source-only", protocol="zsl")
    assert found.results["references"]["chance"]["adapted"] == 0.5


def test_a_model_that_never_predicts_the_labelled_classes_is_not_calibrated_on_them():
    from unseen.compare.cells import calibration
    from unseen.methods.fixed import fixed
    from unseen.nn.softmax import NEVER

    head = torch.nn.Linear(8, 4)
    with torch.no_grad():
        head.bias[:2] = NEVER
    found = calibration(fixed(head), domain("ab"))
    assert found["temperature"] == 1.0
    assert found["threshold"] == 1.0


def test_support_samples_that_lie_in_the_target_are_taken_out_of_it():
    target = domain(shift=1.5, seed=1)
    ready = prepare(source=domain(), target=target.unlabeled(), support=target.take(range(12)))
    assert len(ready.target) + len(ready.held_out) == len(target) - 12
    assert ready.leakage == ()
    doubled = target.replace(x=target.x.astype(np.float64))  # as NumPy writes it; a table is read in single precision
    again = prepare(source=domain(), target=doubled.unlabeled(), support=target.take(range(12)))
    assert (len(again.target), len(again.held_out)) == (len(ready.target), len(ready.held_out))
    n = len(target)
    (caution,) = cautions(ready)
    assert caution == f"target: 12 of its {n} samples are in the support and left out; {n - 12} take part"
    graded = prepare(source=domain(), target=target, support=target.take(range(12)))
    assert cautions(graded) == [f"{caution}, and only these are graded"]
    assert caution in what_to_mind(graded, graded=False)
    assert caution in what_to_mind(ready)
    few = target.take(range(25))
    ready = prepare(source=domain(), target=few.unlabeled(), support=target.take(range(5)))
    caution, _ = cautions(ready)
    assert caution.startswith(
        f"the target has {len(ready.target)} samples beside {len(ready.held_out)} that are held out"
    )
    assert len(ready.target) + len(ready.held_out) == 20


def test_the_report_says_which_samples_were_in_the_support_too(tmp_path):
    target = domain(shift=1.5, seed=1)
    found = run(tmp_path, target=target, support=target.take(range(12)), methods="source-only")
    assert any("are in the support and left out" in line for line in found.results["cautions"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"12 of its {len(target)} samples are in the support and left out" in page


def other_linear(seed):
    torch.manual_seed(seed)
    return linear(8, 3)


@pytest.mark.parametrize("change", ["labels of the source", "class file", "model"])
def test_a_folder_of_other_labels_classes_or_model_is_refused(tmp_path, change):
    classes = ClassSpace(names=("a", "b", "c", "d"), attributes=np.eye(4, dtype="float32"))
    first = dict(classes=classes, model=other_linear(0), methods="source-only", seeds=1)
    run(tmp_path, **first)
    run(tmp_path, **first)  # the same again goes on
    other = {
        "labels of the source": {"source": domain().with_labels(np.roll(domain().y, 1))},
        "class file": {"classes": classes.replace(attributes=2 * np.eye(4, dtype="float32"))},
        "model": {"model": other_linear(1)},
    }[change]
    with pytest.raises(ValueError, match="holds another run"):
        run(tmp_path, **first | other)


def test_other_sealed_labels_go_on_in_the_same_folder(tmp_path):
    target = domain(shift=1.5, seed=1)
    run(tmp_path, target=target)
    run(tmp_path, target=target.with_labels(np.roll(target.y, 1)))  # what is fitted cannot depend on them


# -- what is refused before anything is encoded ------------------------------------------------------------


def one_picture(n):
    return Domain(x=np.ones((n, 8), dtype="float32"), name="d")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (dict(source=domain("a")), "source must hold samples of at least two classes; all 90 are of 'a'"),
        (dict(target=domain("de")), "target has no class in common with the labelled data: it has 'd', 'e', they have"),
        (dict(target=domain()), r"target holds no sample that source lacks \(all 90 are in both\)"),
        (dict(target=one_picture(7)), "target holds one and the same sample 7 times"),
    ],
    ids=["one class", "no class in common", "the source itself", "one picture"],
)
def test_what_cannot_be_learnt_from_is_named_before_work(tmp_path, monkeypatch, given, told):
    monkeypatch.setattr("unseen.compare.inputs._encode", lambda *args: pytest.fail("something was encoded"))
    with pytest.raises(ValueError, match=told):
        run(tmp_path, **given)
    assert not (tmp_path / "run").exists()


def test_a_tiny_target_and_classes_of_one_sample_are_said_so(tmp_path):
    said = []
    few = domain()
    few = few.take(np.r_[0:60, 60])
    few = few.take(np.flatnonzero((few.labels != 2) | (np.arange(len(few)) == 2)))
    found = run(tmp_path, source=few, target=domain(n=3, shift=1.5, seed=1), say=said.append)
    kept = json.loads((tmp_path / "run" / "results.json").read_text())["cautions"]
    page = html.unescape((tmp_path / "run" / "report.html").read_text())
    for told in (
        "classes with a single labelled sample, of which nothing can be held out: 'c'",
        "the target has 3 samples",
    ):
        assert any(told in line for line in said)
        assert any(told in line for line in kept)
        assert any(told in line for line in summary(found.results))
        assert told[1:] in page


def repeated(n=30, copies=20, **given):
    """A target of which so many samples are one and the same."""
    pool = domain(n=n, seed=1, **given)
    return pool.replace(x=pool.x[np.r_[np.zeros(copies, dtype=int), copies:n]])


def test_many_copies_of_one_sample_are_said_so():
    source = domain()
    for copies, told in ((20, True), (4, True), (2, False)):
        lines = cautions(prepare(source=source, target=repeated(copies=copies, shift=1.5)))
        expected = f"target: of 30 samples only {31 - copies} differ, and one is there {copies} times"
        assert any(expected in line for line in lines) is told
    assert not any("differ" in line for line in cautions(prepare(source=source, target=domain(shift=1.5, seed=1))))
    twice = Domain(x=np.tile(source.x, (2, 1)), y=np.tile(source.labels, 2), classes=source.classes)
    assert any(line.startswith("source: of 180 samples only 90") for line in cautions(prepare(source=twice)))


def test_samples_that_stand_under_two_labels_are_counted():
    source = domain()
    assert not any("more than one label" in line for line in cautions(prepare(source=source)))
    y = np.r_[source.labels, (source.labels[:7] + 1) % 3, source.labels[7:9]]
    twice = Domain(x=source.x[np.r_[: len(source), :9]], y=y, classes=source.classes)
    assert any(line.startswith("source: 7 samples are there under more") for line in cautions(prepare(source=twice)))


def test_a_support_of_some_classes_is_said_so_and_grades_no_estimate(tmp_path):
    pool = domain(shift=1.5, seed=1, n=60)
    few = pool.take(np.flatnonzero(pool.labels < 2)[:12]).replace(name="few")
    given = {"source": domain(), "target": pool.unlabeled(), "support": few}
    assert any(line.startswith("the support has labels of 2 of 3 classes, and none of 'c'") for line in
               cautions(prepare(**given)))  # fmt: skip
    whole = {**given, "support": pool.take(slice(0, 12)).replace(name="few")}
    assert not any("the support has labels of" in line for line in cautions(prepare(**whole)))
    methods = "source-only,standardize,coral,ot,shot,aad,propagate"
    unseen.compare(**given, methods=methods, seeds=1, out=tmp_path / "run")
    told = json.loads((tmp_path / "run" / "results.json").read_text())
    assert told["estimate"]["labels"] == 0


def test_a_labelled_target_of_one_class_is_said_so():
    pool = domain(shift=1.5, seed=1)
    target = pool.take(pool.labels == 1)
    assert any(
        "labels of the target are of one class, b:" in line
        for line in cautions(prepare(source=domain(), target=target))
    )
    for other in (target.unlabeled(), pool):
        assert not any("one class" in line for line in cautions(prepare(source=domain(), target=other)))


def test_numbers_whose_squares_are_none_are_refused_by_their_column():
    source = domain()
    x = np.c_[source.x, np.linspace(0, 1e30, len(source))].astype("float32")
    names = tuple("abcdefgh") + ("mass",)
    large = source.replace(x=x, feature_names=names)
    with pytest.raises(ValueError, match=r"source: column 'mass' holds numbers as large as 1e[+]30; .* leave it out"):
        prepare(source=large, target=large.unlabeled())
    with pytest.raises(ValueError, match="support: feature 8 holds"):
        prepare(source=source, support=source.replace(x=x))


def test_a_named_protocol_with_unknown_classes_leaves_out_what_finds_none() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)).astype(np.float32), np.arange(60) % 3
    known = Domain(x=x + 5 * y[:, None], y=y, classes=ClassSpace(names="abc"), name="known")
    inputs = prepare(source=known, target=Domain(x=x[:30], name="new"))
    closed = plan(inputs, seeds=1)
    assert closed.consensus is not None
    todo = plan(inputs, seeds=1, protocol="open-partial")
    assert todo.consensus is None
    assert {"source-only", "standardize", "coral", "prototypes"} <= set(todo.names())
    assert not {"ot", "propagate", "shot", "aad"} & set(todo.names())
    assert todo.left_out["ot"] == "takes every sample for one of a known class (open-partial)"
    assert plan(inputs, "ot,coral", 1, protocol="open").names() == plan(inputs, "ot,coral", 1).names()


def test_the_consensus_is_as_sure_of_the_target_as_it_may_be_right() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.normal(size=(90, 200)) + 4 * np.eye(200)[y]).astype(np.float32)  # columns enough to learn any labels
    known = Domain(x=x, y=y, classes=ClassSpace(names="abc"), name="known")
    new = Domain(x=(x + rng.normal(size=x.shape)).astype(np.float32), name="new")
    run = unseen.compare(source=known, target=new, seeds=1, careful=False)
    assert run.chosen == "consensus"
    said = run.results["estimate"]["accuracy"]
    p = torch.softmax(run.bundle.method.decision_function(new).double() / run.bundle.temperature, dim=1)
    assert run.bundle.temperature > 1
    assert float(p.max(dim=1).values.mean()) == pytest.approx(said, abs=0.12)  # a fifth of the target is held out
    assert 0.5 <= run.bundle.threshold < 1
    sealed = new.with_labels(rng.permutation(y), known.classes)
    again = unseen.compare(source=known, target=sealed, seeds=1, careful=False).bundle
    assert (again.temperature, again.threshold) == (run.bundle.temperature, run.bundle.threshold)


def test_no_estimate_is_below_guessing() -> None:
    for named in (True, False):
        told = estimate(0.0, 50, own_features=False, named=named, chance=0.25)
        assert told is not None
        assert told["accuracy"] == 0.25


def test_features_in_half_precision_are_checked_without_a_warning():
    half = domain().replace(x=domain().x.astype(np.float16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(source=half, target=half.replace(x=half.x + np.float16(1)))
