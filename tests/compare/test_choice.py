"""What is chosen on what, how a support joins the choice, and the estimate where no label is left."""

import dataclasses
import functools
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import processes
import unseen
from unseen import catalogue
from unseen.compare.candidates import _larger, plan
from unseen.compare.choice import _why, choose
from unseen.compare.consensus import consensus_cells
from unseen.compare.estimate import estimate
from unseen.compare.fits import run_all
from unseen.compare.inputs import prepare
from unseen.compare.validators import EMBEDDED, NEIGHBOURS, REVERSE, SUPPORT, learner_of
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.report import summary
from unseen.scale import Engine

FAST = "source-only,standardize,prototypes"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


def domain(n=120, shift=0.0, scale=1.0, seed=0, labels=True, width=8, classes=4):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = np.random.default_rng(7).normal(size=(classes, width)) * 1.5
    x = (centres[y] + rng.normal(size=(n, width))) * scale + shift
    space = ClassSpace(names=tuple("abcdefgh"[:classes]))
    return Domain(x=x.astype("float32"), y=y if labels else None, classes=space if labels else None, name="d")


def table(results):
    return {row["name"]: {v: s["mean"] for v, s in row["validators"].items()} for row in results["candidates"]}


def run(**inputs):
    given = dict(source=domain(), target=domain(shift=2, scale=2, seed=1), methods=FAST, seeds=1)
    return unseen.compare(**{**given, **inputs}).results


def test_every_validator_scores_every_candidate():
    found = table(run(seeds=2))
    assert all(
        set(row) == {
            "source validation", "information maximization", "neighbourhood density", "certainty",
            "embedded validation", "reverse validation", "reverse validation by neighbours", "agreement",
            "ensemble validation",
        }
        for row in found.values()
    )  # fmt: skip
    assert all(np.isfinite(list(row.values())).all() for row in found.values())


def test_a_method_that_undoes_the_shift_is_chosen_by_reverse_validation():
    results = run(target=domain(shift=6, seed=1), careful=False)
    assert results["chosen"]["name"] == "standardize"
    assert "a model gets right that learnt only its predictions on the target (" in results["chosen"]["why"]
    assert results["chosen"]["by"][0].startswith("reverse validation")
    assert "No target label was used" in results["chosen"]["why"]


def test_where_nothing_is_clearly_better_nothing_is_done():
    results = run(target=domain(seed=1), methods="source-only,standardize")
    assert results["chosen"]["name"] == "source-only"
    assert "no other is better by more than two standard errors" in results["chosen"]["why"]


def test_presets_of_one_method_are_no_witnesses_for_each_other():
    found = table(run(methods="prototypes,standardize"))
    assert found["prototypes"]["agreement"] == found["standardize"]["agreement"]
    assert "agreement" not in table(run(methods="glc:default,glc:no-rejection"))["glc"]


def test_where_too_few_classes_are_seen_to_hold_some_out_information_chooses():
    classes = ClassSpace(names=tuple("abcd"), attributes=np.eye(4, dtype="float32") + 0.1)
    results = run(source=domain(classes=3), target=domain(shift=2, scale=2, seed=1, classes=3), classes=classes)
    assert "reverse validation" not in table(results)["source-only"]
    assert "class-wise validation" not in table(results)["source-only"]
    assert "among those that keep nine tenths of the best accuracy" in results["chosen"]["why"]


def attributed(n=120, seed=0, classes=9, shift=0.0):
    """Nine classes by three attributes of three values each: features are a linear map of them."""
    rng = np.random.default_rng(seed)
    a = np.eye(3, dtype="float32")[np.indices((3, 3)).reshape(2, -1).T].reshape(9, -1)
    x = a @ np.random.default_rng(7).normal(size=(6, 12)) * 3
    y = np.arange(n) % classes
    x = (x[y] + rng.normal(size=(n, 12)) + shift).astype("float32")
    return Domain(x=x, y=y, classes=ClassSpace(names=tuple("abcdefghi"), attributes=a), name=f"d{seed}")


@pytest.mark.slow
def test_classes_without_labelled_samples_are_chosen_among_by_pretending_that_some_seen_ones_had_none():
    whole = attributed(180)
    source, target = whole.take(whole.labels < 7), attributed(180, seed=1)
    results = unseen.compare(
        source=source, target=target, classes=whole.classes, seeds=2, methods="source-only,lisgan"
    ).results
    found = table(results)
    assert found["source-only"]["class-wise validation"] == 0
    assert found["source-only"]["accuracy of held-out classes"] == 0
    assert results["chosen"]["by"] == ["class-wise validation"]
    alone = unseen.compare(
        source=source, target=target, classes=whole.classes, seeds=1, methods="source-only,lisgan", protocol="zsl"
    ).results
    assert "how well it names classes that were held out" in alone["chosen"]["why"]
    assert alone["chosen"]["by"] == ["accuracy of held-out classes"]
    assert alone["chosen"]["name"].startswith("lisgan")


def test_a_pool_is_graded_by_the_labels_that_it_was_given_together(monkeypatch):
    from unseen.methods.zero_shot.lisgan import LisGAN

    fit = LisGAN.fit
    few = {"epochs": 10, "seen_epochs": 10, "classifier_epochs": 20, "hidden": 64, "synthetic": 20}

    @functools.wraps(fit)
    def all_of_the_last(self, **given):
        fit(self.set_params(**few), **given)  # how well it learns is of no matter here
        if "target" in given:
            self.transduction_ = np.full(len(given["target"]), len(given["classes"]) - 1)
        return self

    monkeypatch.setattr(LisGAN, "fit", all_of_the_last)
    whole = attributed(180)
    found = unseen.compare(
        source=whole.take(whole.labels < 7), target=attributed(180, seed=1), classes=whole.classes, seeds=1,
        methods="lisgan",
    ).results["candidates"][0]["metrics"]  # fmt: skip
    assert found["adapted"]["u"]["mean"] == 0.5  # every sample of one of two unseen classes
    assert found["adapted"]["s"]["mean"] == 0
    assert (found["held out"]["u"]["mean"], found["held out"]["s"]["mean"]) != (0.5, 0)  # predicted one by one


def test_a_careful_choice_keeps_what_counts_as_like_the_target():
    cells = {
        name: [{"validators": {REVERSE: reverse, NEIGHBOURS: reverse, EMBEDDED: embedded}, "seed": 0}]
        for name, reverse, embedded in (("source-only", 0.5, 0.8), ("coral", 0.9, 0.7), ("shot", 0.8, 0.8))
    }
    inputs = SimpleNamespace(
        source=domain(), target=domain(), support=None, named=False, encoder=None, classes=ClassSpace(names=("a", "b"))
    )
    assert choose(cells, inputs, careful=False).name == "coral"
    assert choose(cells, inputs).name == "shot"  # features of the user's own
    found = choose(cells, inputs, careful=True)
    assert found.name == "shot"
    assert "no worse than source-only on the source samples that are most like the target's (80.0 %)" in found.why
    assert found.votes["coral"] == 0
    assert "Without that care (careful=False) it would be coral" in found.why


def corners(n=200):
    """Two classes, each in two opposite corners: their means are one."""
    rng = np.random.default_rng(0)
    corner = np.array([[3, 3], [-3, -3], [3, -3], [-3, 3]])[np.arange(n) % 4]
    x = (corner + rng.normal(size=(n, 2))).astype("float32")
    return Domain(x=x, y=np.arange(n) % 4 // 2, classes=ClassSpace(names=("a", "b")))


@pytest.mark.parametrize(
    ("source", "ranks", "expected"), [(corners(), NEIGHBOURS, "ot"), (domain(scale=0.2), REVERSE, "coral")]
)
def test_reverse_validation_learns_as_the_source_is_learnt_best(source, ranks, expected):
    told = {"source-only": (0.5, 0.5), "coral": (0.8, 0.7), "ot": (0.7, 0.9), "shot": (0.99, 0.4), "aad": (0.4, 0.99)}
    cells = {
        name: [{"validators": {REVERSE: means, NEIGHBOURS: near}, "seed": 0}] for name, (means, near) in told.items()
    }
    inputs = SimpleNamespace(
        source=source, target=domain(), support=None, named=False, encoder=None, classes=source.classes
    )
    found = choose(cells, inputs, careful=False)
    assert learner_of(source) == ranks
    assert found.name == expected
    assert found.by == (ranks,)
    assert found.votes["shot"] == found.votes["aad"] == 0  # worse by one of the two


def test_a_small_target_leaves_more_doubt():
    cells = {
        name: [{"validators": {REVERSE: told, NEIGHBOURS: told}, "seed": 0}]
        for name, told in (("source-only", 0.5), ("coral", 0.6))
    }
    chosen = [
        choose(
            cells,
            SimpleNamespace(source=domain(200), target=domain(n), support=None, named=False, encoder=None),
            careful=False,
        ).name
        for n in (40, 200)
    ]
    assert chosen == ["source-only", "coral"]


def test_what_was_chosen_learns_once_more_from_all_of_the_source(tmp_path):
    import pandas as pd

    given = dict(target=domain(n=60, shift=6, seed=1), methods="standardize", seeds=2)
    run_ = unseen.compare(source=domain(n=100), out=tmp_path / "run", **given)
    refitted = run_.results["chosen"]["refitted"]
    assert refitted["samples"] == 100
    target = domain(n=60, shift=6, seed=1)
    right = (run_.bundle.predict_proba(target).argmax(dim=1).numpy() == target.labels).mean()
    predicted = pd.read_parquet(tmp_path / "run/predictions.parquet")
    parts = refitted["metrics"]
    found = sum(parts[part]["accuracy"]["mean"] * (predicted.part == part).sum() for part in parts) / 60
    assert right == pytest.approx(found) == pytest.approx((predicted.truth == predicted.prediction).mean())
    assert "The saved model, fitted once more on all 100" in "".join(summary(run_.results)).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    again = unseen.compare(source=domain(n=100), out=tmp_path / "run", **given)
    assert again.results["chosen"] == run_.results["chosen"]
    assert unseen.compare(source=domain(n=100), refit=False, **given).results["chosen"]["refitted"] is None


@pytest.mark.parametrize("labels", [True, False])
def test_what_is_held_out_is_never_adapted_to(monkeypatch, labels):
    from unseen.methods.baselines.standardize import Standardize

    seen, fit = [], Standardize.fit

    def spy(self, *, source, target):
        seen.append(len(target))
        return fit(self, source=source, target=target)

    monkeypatch.setattr(Standardize, "fit", spy)
    run(source=domain(n=100), target=domain(n=60, shift=6, seed=1, labels=labels), methods="standardize")
    assert seen == [48, 48]  # with sealed labels and with none alike


def test_sealed_labels_reach_no_saved_model():
    target = domain(n=60, shift=6, seed=1)
    permuted = target.with_labels(np.random.default_rng(3).permutation(target.labels), target.classes)
    methods = "source-only,standardize,ot,shot"
    for fit in (
        lambda given: (
            unseen.compare(source=domain(n=100), target=given, methods=methods, seeds=1, careful=False).bundle
        ),
        lambda given: unseen.adapt(method="ot", source=domain(n=100), target=given),
    ):
        states = [fit(given).method.network_.state_dict() for given in (target, permuted)]
        assert all(bool((value == states[1][key]).all()) for key, value in states[0].items())


def test_many_samples_are_thinned_across_classes(monkeypatch):
    monkeypatch.setattr("unseen.compare.validators._MOST", 50)
    assert learner_of(corners(200)) == NEIGHBOURS  # every fourth would be of one class, and tell nothing


@pytest.mark.parametrize(("refit", "learnt"), [(True, [(80, 48), (100, 60)]), (False, [(80, 48)])])
def test_adapt_calibrates_without_a_fifth_and_learns_from_all(monkeypatch, refit, learnt):
    from unseen.methods.baselines.standardize import Standardize

    seen, fit = [], Standardize.fit

    def spy(self, *, source, target):
        seen.append((len(source), len(target)))
        return fit(self, source=source, target=target)

    monkeypatch.setattr(Standardize, "fit", spy)
    given = dict(source=domain(n=100), target=domain(n=60, shift=6, seed=1))
    assert unseen.adapt(method="standardize", refit=refit, **given).temperature >= 1
    assert seen == learnt


def test_presets_of_the_papers_size_run_only_if_they_are_named():
    from unseen import catalogue

    whole = attributed(60)
    given = catalogue.Given({"source": whole, "classes": whole.classes.replace(seen=range(7))})
    pairs, left_out = catalogue.candidates(given)
    assert ("lisgan", "default") in pairs
    assert ("lisgan", "paper") not in pairs
    assert "name it" in left_out["lisgan:paper"]
    assert catalogue.candidates(given, ["lisgan:paper"])[0] == [("lisgan", "paper")]
    assert ("lisgan", "paper") not in catalogue.candidates(given, ["lisgan"])[0]


def test_a_candidate_that_cannot_do_without_the_held_out_classes_scores_0(monkeypatch, caplog):
    from unseen.methods.zero_shot.lisgan import LisGAN

    fit = LisGAN.fit

    @functools.wraps(fit)
    def needs_seven(self, **given):
        if len(given["classes"].seen) < 7:
            raise ValueError("seven classes at least")
        return fit(self.set_params(**LisGAN.card.smoke), **given)

    monkeypatch.setattr(LisGAN, "fit", needs_seven)
    whole = attributed(180)
    source, target = whole.take(whole.labels < 7), attributed(180, seed=1)
    given = dict(source=source, target=target, classes=whole.classes, seeds=1)
    found = table(unseen.compare(**given, methods="source-only,lisgan").results)
    assert found["lisgan"]["class-wise validation"] == 0
    assert "seven classes at least" in caplog.text


def test_a_method_that_learns_from_the_support_is_fitted_without_what_grades_it(monkeypatch):
    from unseen.methods.baselines.linear_probe import LinearProbe

    sizes = []
    fit = LinearProbe.fit

    @functools.wraps(fit)
    def counted(self, **given):
        sizes.append(len(given["support"]))
        return fit(self, **given)

    monkeypatch.setattr(LinearProbe, "fit", counted)
    support = domain(n=12, shift=2, scale=2, seed=5)
    found = table(run(support=support, methods="source-only,linear-probe"))
    assert sizes == [12] + [11] * 12
    assert set(found["linear-probe"]) == set(found["source-only"])


def test_a_memorizing_probe_gets_no_credit_for_labels_that_it_memorized():
    support = domain(n=16, seed=5)
    noise = support.with_labels(np.random.default_rng(0).permutation(support.y))
    found = table(run(support=noise, methods="source-only,linear-probe"))
    assert found["linear-probe"]["support validation"] < 0.7


def test_a_method_that_does_not_use_the_support_is_graded_on_it():
    target = domain(shift=2, scale=2, seed=1)
    support = domain(n=40, shift=2, scale=2, seed=5)
    results = run(support=support, target=target, methods="source-only,standardize")
    from unseen import catalogue

    ready = prepare(source=domain(), target=target, support=support)
    from unseen.compare.cells import split_source

    learn, _ = split_source(ready.source, 0)
    fitted = ready.given(ready.source.take(learn), 0).fit(catalogue.make("standardize"))
    right = (fitted.predict(support) == support.y).mean()
    assert table(results)["standardize"]["support validation"] == pytest.approx(right)


def test_the_labels_of_a_support_speak():
    """Two hundred labels of a target whose classes are swapped: what learns from them is chosen."""
    target, support = domain(seed=1), domain(n=200, seed=5)
    swapped = support.with_labels((support.y + 1) % 4)
    results = run(target=target.unlabeled(), support=swapped, methods="source-only,linear-probe")
    assert results["chosen"]["name"] == "linear-probe"
    assert "200 labels of the support" in results["chosen"]["why"]
    assert results["estimate"] is None  # agreement says nothing of a candidate that labels preferred to it


def test_one_label_per_class_grades_nothing():
    found = table(run(support=domain(n=4, seed=5), methods="source-only,linear-probe"))
    assert "support validation" not in found["source-only"]


def test_with_one_label_a_class_no_certainty_is_set_against_labels():
    """Information maximization took fixmatch, which trains until it is sure: on other data it is the worst of three."""
    support = domain(n=4, shift=2, scale=2, seed=5)
    results = run(source=None, support=support, methods="fixmatch,linear-probe,prototypes")
    assert results["chosen"]["name"] == "prototypes"
    assert "none of the 4 can be left out" in results["chosen"]["why"]
    assert results["chosen"]["why"].endswith("learnt from; no other label of the target was used.")


def test_without_a_source_the_support_decides():
    results = run(source=None, support=domain(n=40, shift=2, scale=2, seed=5), methods="linear-probe,prototypes")
    assert "by 40 labels of the support" in results["chosen"]["why"]


def test_with_labels_alone_the_consensus_is_chosen_and_logistic_regression_stands_beside_it():
    support = domain(n=12, shift=2, scale=2, seed=5)
    found = unseen.compare(support=support, target=domain(shift=2, scale=2, seed=1), methods="consensus", seeds=3)
    results = found.results
    assert results["chosen"]["name"] == "consensus"
    assert results["chosen"]["why"].startswith("consensus was chosen: it learnt what logistic regression on the supp")
    assert results["chosen"]["by"] == ["support validation"]
    rows = {row["name"]: row for row in results["candidates"]}
    assert set(rows) == {"consensus", "linear-probe"}
    assert all(len(row["validators"]["support validation"]["per_seed"]) == 3 for row in rows.values())
    assert results["estimate"] is None  # it was made for what learns from unlike methods
    assert (found.bundle.method.predict(domain(shift=2, scale=2, seed=9)) >= 0).all()


def test_what_labels_alone_taught_is_as_sure_as_it_was_right_on_labels_left_out():
    support, target = domain(n=24, shift=2, scale=2, seed=5), domain(shift=2, scale=2, seed=1)
    shuffled = support.with_labels(np.random.default_rng(3).permutation(support.labels))
    found = unseen.compare(support=shuffled, target=target, methods="consensus", seeds=1)
    rows = {row["name"]: row for row in found.results["candidates"]}
    assert found.bundle.temperature > 1
    right = rows["consensus"]["validators"]["support validation"]["mean"]
    sure = found.bundle.predict_proba(target).amax(dim=1).mean()
    assert float(sure) == pytest.approx(max(right, 0.25), abs=0.05)
    assert "since it may be right hardly more often than a guess; which class" in found.results["cautions"][-1]


@pytest.mark.parametrize("refit", [True, False])
def test_probabilities_that_say_nothing_are_told_to(caplog, refit):
    """Their temperature is at its limit, and nothing said so: 27 % of four classes looked like a cautious answer."""
    source, target = domain(), domain(seed=1)
    shuffled = source.with_labels(np.random.default_rng(2).permutation(source.labels))
    told = []
    saved = unseen.adapt(method="source-only", source=shuffled, refit=refit, say=told.append)
    assert saved.temperature > 900
    assert told[-1].startswith(
        "mind: the probabilities of source-only say nothing: they are softened (temperature 1,000)"
    )
    unseen.adapt(method="source-only", source=shuffled, refit=refit)
    assert "say nothing" in caplog.text
    found = unseen.compare(source=shuffled, target=target, methods="source-only", seeds=1, refit=refit)
    (line,) = found.results["cautions"]
    assert "scores were hardly higher for the right class; which class it names first is all that is left" in line
    told.clear()
    unseen.adapt(method="source-only", source=source, refit=refit, say=told.append)
    assert not any("say nothing" in line for line in told)
    assert unseen.compare(source=source, target=target, methods="source-only", seeds=1).results["cautions"] == []


def test_what_learnt_from_a_support_alone_is_not_softened_by_a_source_of_other_classes():
    """All samples of the source are of classes that it never names: they said that its scores mean nothing."""
    parts = domain(n=240, classes=8)
    mine = parts.labels >= 4
    source = parts.take(~mine).replace(y=parts.labels[~mine])
    support, target = parts.take(mine).take(slice(0, 40)), parts.take(mine).take(slice(40, 120)).unlabeled()
    found = unseen.compare(source=source, support=support, target=target, methods="prototypes", seeds=1)
    assert not any(line.startswith("the probabilities") for line in found.results["cautions"])
    assert found.bundle.temperature == 1


def test_labels_that_mean_nothing_are_not_said_to_be_right():
    """What grades the consensus has not learnt from the label that is graded, not even by way of the target."""
    support = domain(n=24, shift=2, scale=2, seed=5)
    shuffled = support.with_labels(np.random.default_rng(3).permutation(support.labels))
    found = table(run(source=None, support=shuffled, methods="consensus"))
    assert found["consensus"]["support validation"] < 0.45


def test_a_consensus_of_labels_is_planned_unless_methods_are_named_or_samples_may_be_of_no_class():
    support, target = domain(n=12, seed=5), domain(seed=1, labels=False)
    inputs = prepare(support=support, target=target)
    assert "consensus" in plan(inputs, seeds=1).names()
    assert {"linear-probe", "prototypes"} < set(plan(inputs, seeds=1).names())
    assert any("logistic regression on the labels" in line for line in plan(inputs, seeds=1).lines())
    assert plan(inputs, "linear-probe,prototypes", seeds=1).consensus is None
    assert plan(inputs, "consensus", seeds=1).names() == ["linear-probe", "consensus"]
    assert plan(inputs, seeds=1, protocol="open").consensus is None
    assert plan(prepare(support=support), seeds=1).consensus is None


def test_a_tie_on_the_labels_that_were_left_out_is_told():
    labels = domain(n=40, shift=2, scale=2, seed=5)
    inputs = prepare(target=domain(shift=2, scale=2, seed=1, labels=False), support=labels)
    rules = {SUPPORT: "by 40 labels of the support that it had not learnt from"}
    means = {key: {SUPPORT: share} for key, share in (("prototypes", 0.7), ("linear-probe", 0.9), ("fixmatch", 0.9))}
    why = _why("linear-probe", {"prototypes": 1 / 3, "linear-probe": 1.0, "fixmatch": 1.0}, means, rules, inputs)
    assert "(90.0 %); fixmatch has the same score: a tie, of which the first that was fitted is taken. The" in why
    why = _why("linear-probe", {"prototypes": 1 / 3, "linear-probe": 1.0, "fixmatch": 2 / 3}, means, rules, inputs)
    assert "; next is fixmatch (90.0 %). The" in why


def test_what_takes_too_long_beside_a_consensus_runs_only_if_it_is_named(monkeypatch):
    seconds = {"dafosnet": 5000.0, "fixmatch": 100.0}
    monkeypatch.setattr(catalogue, "cost", lambda slug, preset: seconds.get(slug, 1.0))
    support = domain(n=40, shift=2, scale=2, seed=5)
    inputs = prepare(source=domain(), target=domain(shift=2, scale=2, seed=1, labels=False), support=support)
    found = plan(inputs, seeds=1)
    assert "dafosnet" not in found.names()
    assert set(found.outlasting) == {"dafosnet", "fixmatch"}  # the one does not shelter the other
    assert {"fewshot-sfda", "linear-probe"} < set(found.names())
    assert found.left_out["dafosnet"].startswith("too long for what is no part of the consensus (about ")
    assert any(line.startswith("left out: dafosnet, too long for what is no part") for line in found.lines())
    assert "dafosnet" in plan(inputs, "dafosnet,source-only", 1).names()
    assert "dafosnet" in plan(inputs, "all", 1).names()
    assert "dafosnet" in plan(inputs, "auto", 1, budget=1e6).names()
    seconds.update(dafosnet=20.0, fixmatch=10.0)
    found = plan(inputs, seeds=1)
    assert not found.outlasting
    seconds.update(dafosnet=30.0, fixmatch=40.0)  # 74 and 84 s: within two minutes each, and not together
    assert set(plan(inputs, seeds=1).outlasting) == {"fixmatch"}
    monkeypatch.setattr(catalogue, "cost", lambda slug, preset: seconds.get(slug, 5000.0))
    assert not plan(inputs, seeds=1).outlasting  # where the consensus itself takes hours, they may
    monkeypatch.setattr(catalogue, "cost", lambda slug, preset: 5000.0 if slug == "linear-probe" else 1.0)
    assert "linear-probe" in plan(inputs, seeds=1).names()  # what anyone asks for first is always beside it


TOGETHER = "consensus"


def test_an_estimate_stands_in_the_results_and_depends_on_no_target_label():
    target = domain(shift=2, scale=2, seed=1)
    given = {"methods": TOGETHER, "careful": False}
    labelled, bare = run(target=target, **given)["estimate"], run(target=target.unlabeled(), **given)["estimate"]
    assert labelled == bare
    low, high = bare["interval"]
    assert 0 <= low < bare["accuracy"] < high <= 1
    assert 0 < bare["unanimous"] <= 1
    assert bare["labels"] == 0


def test_the_estimate_is_said_only_where_no_label_is_left():
    target = domain(shift=2, scale=2, seed=1)
    bare = {**run(target=target.unlabeled(), methods=TOGETHER), "leakage": None}
    assert any("an estimate, without a label to grade it by" in line for line in summary(bare))
    assert not any("estimate" in line for line in summary({**run(target=target, methods=TOGETHER), "leakage": None}))
    told = []
    inputs = {"support": domain(40, seed=2), "target": target.unlabeled()}
    alone = run(source=None, **inputs, methods="linear-probe", say=told.append)
    assert alone["estimate"] is None
    assert "there will be no accuracy, and no estimate beyond labels of the support that are left out" in told[0]
    share = alone["candidates"][0]["validators"]["support validation"]["mean"]
    line = next(line for line in summary({**alone, "leakage": None}) if "is not known" in line)
    assert f"labels of the support that it had not learnt from alone tell ({100 * share:.1f} % right)" in line


def test_the_estimate_rises_with_agreement_and_labels_narrow_it():
    found = [estimate(share, 10**9, own_features=False) for share in (0.1, 0.5, 0.9)]
    assert found[0]["accuracy"] < found[1]["accuracy"] < found[2]["accuracy"]
    wide = estimate(0.5, 10**9, own_features=True)
    assert wide["interval"][0] < found[1]["interval"][0]
    graded = estimate(0.5, 10**9, own_features=False, graded=(0.9, 10_000))
    assert graded["accuracy"] == pytest.approx(0.9, abs=0.01)
    assert np.ptp(graded["interval"]) < np.ptp(found[1]["interval"]) / 5
    assert estimate(None, 10, own_features=False) is None


def test_the_consensus_is_chosen_and_says_how_far_methods_agree():
    results = run(target=domain(shift=2, scale=2, seed=1), methods=TOGETHER, careful=False)
    assert results["chosen"]["name"] == TOGETHER
    assert f"{100 * results['estimate']['unanimous']:.0f} % of its samples" in results["chosen"]["why"]
    best = max(row["metrics"]["adapted"]["accuracy"]["mean"] for row in results["candidates"])
    chosen = next(row for row in results["candidates"] if row["chosen"])
    assert chosen["metrics"]["adapted"]["accuracy"]["mean"] > best - 0.05


SOME = "source-only,standardize,coral,propagate,ot"


@pytest.mark.parametrize(
    ("methods", "made", "uncalled"),
    [(SOME, True, True), (f"{SOME},{TOGETHER}", True, False), ("auto", True, False),
     ("coral,ot,source-only", False, False), ("standardize", False, False)],
)  # fmt: skip
def test_named_methods_have_a_consensus_where_enough_of_them_are_heard(methods, made, uncalled):
    ready = prepare(source=domain(), target=domain(shift=2, scale=2, seed=1))
    todo = plan(ready, methods)
    assert (todo.consensus is not None, todo.uncalled) == (made, uncalled)
    assert any("not named, but" in line for line in todo.lines()) is uncalled


def test_a_budget_that_leaves_too_few_leaves_no_consensus_of_named_methods():
    todo = plan(prepare(source=domain(), target=domain(seed=1)), SOME, budget=1e-4)
    assert (todo.consensus, todo.uncalled) == (None, False)


def test_naming_methods_does_not_bring_back_a_choice_by_one_score(monkeypatch):
    """A target of one class: reverse validation alone chooses what gives each domain its own mean."""
    few = dict(classes=3, width=4)
    pool = domain(n=200, seed=1, **few)
    given = dict(source=domain(n=60, **few), target=pool.take(pool.y == 1), methods=SOME)
    found = run(**given)
    reached = {row["name"]: row["metrics"]["adapted"]["accuracy"]["mean"] for row in found["candidates"]}
    assert found["chosen"]["name"] == "source-only"
    assert TOGETHER in reached
    assert found["estimate"] is None  # it was measured where all six ran
    monkeypatch.setattr("unseen.compare.candidates.pair_of", lambda *_: None)
    alone = run(**given)["chosen"]
    assert alone["by"][0].startswith("reverse validation")
    assert reached[alone["name"]] < reached["source-only"] - 0.1  # what is not relied on


def test_good_features_of_a_users_own_are_left_as_they_are():
    results = run(target=domain(seed=1), methods=TOGETHER)
    assert results["chosen"]["name"] == "source-only"
    assert "careful=False" in results["chosen"]["why"]
    bold = run(target=domain(seed=1), methods=TOGETHER, careful=False)
    assert bold["chosen"]["name"] == TOGETHER


def test_where_only_the_shares_of_the_classes_differ_nothing_is_adapted():
    """Methods that give each domain its own mean get such a target wrong; source-only is as sure of it as at home."""
    pool = domain(n=400, seed=3)
    often = np.flatnonzero((pool.y < 2) | (np.arange(400) < 40))
    seldom = np.flatnonzero((pool.y >= 2) | (np.arange(400) < 40))
    rest = domain(n=400, seed=4).take(seldom)
    found = run(source=pool.take(often), target=rest, methods=TOGETHER)
    assert found["chosen"]["name"] == "source-only"
    reached = {row["name"]: row["metrics"]["adapted"]["accuracy"]["mean"] for row in found["candidates"]}
    assert reached["source-only"] > reached[TOGETHER] + 0.1
    few = domain(n=12, seed=5)
    told = run(source=pool.take(often), target=rest.unlabeled(), support=few, methods=TOGETHER)
    assert told["chosen"]["name"] == "source-only"
    assert "12 labels right" in told["chosen"]["why"]
    swapped = few.with_labels((few.y + 1) % 4)
    told = run(source=pool.take(often), target=rest.unlabeled(), support=swapped, methods=TOGETHER)
    assert told["chosen"]["name"] != "source-only"


def test_many_labels_overrule_the_consensus():
    """Two hundred labels of a target whose classes are swapped: what learns from them alone is chosen."""
    support = domain(n=200, seed=5)
    swapped = support.with_labels((support.y + 1) % 4)
    results = run(target=domain(seed=1).unlabeled(), support=swapped, methods=f"{TOGETHER},linear-probe")
    assert results["chosen"]["name"] == "linear-probe"
    assert "200 labels of the support" in results["chosen"]["why"]
    assert results["estimate"] is None  # agreement says nothing of a candidate that labels preferred to it


def test_what_never_names_classes_without_a_label_is_not_chosen_by_labels_of_the_others():
    """The same labels, of two classes of four: a linear probe gets them right, and half of the target wrong."""
    support = domain(n=200, seed=5)
    swapped = support.with_labels(support.y ^ 1).take(support.y < 2)
    results = run(target=domain(seed=1).unlabeled(), support=swapped, methods=f"{TOGETHER},linear-probe")
    right = {row["name"]: row["validators"][SUPPORT]["mean"] for row in results["candidates"]}
    assert right["linear-probe"] > max(0.95, right[TOGETHER] + 0.06)
    assert results["chosen"]["name"] == TOGETHER


@pytest.mark.slow
def test_the_command_line_says_the_estimate(tmp_path):
    for name, part in (("source", domain()), ("target", domain(shift=2, scale=2, seed=1, labels=False))):
        labels = {} if part.y is None else {"y": part.y}
        np.savez(tmp_path / f"{name}.npz", x=part.x, **labels)
    done = processes.run(
        [sys.executable, "-m", "unseen.cli", "compare", "--source", "source.npz", "--target", "target.npz",
         "--methods", TOGETHER, "--seeds", "1", "--out", "run"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    found = json.loads((tmp_path / "run" / "results.json").read_text())["estimate"]
    assert f"it may be right on {100 * found['accuracy']:.1f} %" in said
    assert "an estimate, without a label to grade it by" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(("labels", "encoded", "learnt"), [(8, True, False), (9, True, True), (8, False, True)])
def test_a_handful_of_labels_leaves_the_consensus_of_encoded_data_as_it_is(labels, encoded, learnt):
    pairs = [(slug, "default") for slug in ("source-only", "standardize", "coral", "ot", "linear-probe")]
    support = domain(n=labels, shift=2, seed=5)
    swapped = support.with_labels((support.y + 1) % 4)
    ready = prepare(source=domain(), target=domain(shift=2, seed=1).unlabeled(), support=swapped)
    ready = dataclasses.replace(ready, encoder=SimpleNamespace(name="some") if encoded else None)
    cells = run_all(ready, tuple(pairs), 1, None, Engine(workers=1))
    made, without = (
        consensus_cells(given, (TOGETHER, "default"), cells, None)
        for given in (ready, dataclasses.replace(ready, support=None))
    )
    same = torch.equal(made[0]["adapted"]["raw"], without[0]["adapted"]["raw"])
    assert same is not learnt
    assert made[0]["validators"][SUPPORT] < (1 if learnt else 0.5)  # graded by labels that it has not learnt from
    named = {slug: group for (slug, _), group in cells.items()} | {TOGETHER: made}
    found = choose(named, ready, careful=False)
    assert ("had no say" in found.why) is not learnt
    if not learnt:
        assert found.name == TOGETHER
        assert "8 labels" in found.why


def test_the_plan_counts_the_fits_that_grade_on_the_support():
    support = domain(n=12, shift=2, scale=2, seed=5)
    ready = prepare(source=domain(), target=domain(seed=1), support=support)
    alone = plan(prepare(source=domain(), target=domain(seed=1)), "standardize", seeds=2).seconds
    seconds = plan(ready, "linear-probe,standardize", seeds=2).seconds
    times = seconds["standardize"] / catalogue.cost("standardize")  # the seeds, by the size of the data
    assert seconds["linear-probe"] == pytest.approx(13 * times * catalogue.cost("linear-probe"))
    assert seconds["standardize"] == pytest.approx(alone["standardize"], rel=0.1)  # by the few samples more alone


def test_the_plan_counts_samples_and_features():
    def seconds(n: int, features: int = 1280) -> float:
        x = np.zeros((n, features), dtype=np.float32)
        return _larger([Domain(x=x[: n // 2], y=np.arange(n // 2) % 2), Domain(x=x[n // 2 :])])

    assert seconds(1000) == 1
    assert seconds(3000) == 3
    assert seconds(20) == seconds(200) == 0.2
    assert 0.5 < seconds(1000, 30) < seconds(1000, 400) < 1
    assert seconds(1000, 2560) == 1


def test_the_plan_of_steps_counts_features_and_not_samples():
    """FixMatch beside few labels took four times the seconds that the plan had said."""

    def seconds(slug: str, n: int, features: int) -> float:
        x = np.random.default_rng(0).normal(size=(n, features)).astype(np.float32)
        support = Domain(x=x[:12], y=np.arange(12) % 4, name="support")
        return plan(prepare(target=Domain(x=x[12:], name="target"), support=support), slug, seeds=1).seconds[slug]

    fits = 1 + 12  # one without each label
    assert seconds("fixmatch", 40, 1280) == seconds("fixmatch", 400, 1280) == fits * catalogue.cost("fixmatch")
    assert seconds("fixmatch", 40, 2560) == 2 * seconds("fixmatch", 40, 1280)
    assert seconds("fixmatch", 40, 64) < seconds("fixmatch", 40, 1280) / 2
    assert seconds("linear-probe", 400, 64) > seconds("linear-probe", 100, 64)


def test_the_longest_fits_come_first(monkeypatch):
    order = []
    fit = catalogue.Given.fit
    monkeypatch.setattr(catalogue.Given, "fit", lambda self, made: [order.append(made.card.slug), fit(self, made)][1])
    run(methods="source-only,standardize,shot", engine=Engine(workers=1), refit=False)
    assert order[0] == "shot"


def test_episodes_that_three_classes_are_too_few_for_are_not_planned():
    few = {"source": domain(classes=3), "target": domain(classes=3, seed=1), "support": domain(n=9, classes=3, seed=5)}
    assert plan(prepare(**few)).left_out["dafosnet"] == "needs labelled samples of at least 4 classes; there are 3"
    enough = {"source": domain(), "target": domain(seed=1), "support": domain(n=12, seed=5)}
    assert ("dafosnet", "default") in plan(prepare(**enough), budget=1e6).candidates


def test_episodes_that_samples_are_too_few_for_are_not_planned_unless_settings_need_fewer():
    few = {"source": domain(n=24), "target": domain(seed=1), "support": domain(n=8, seed=5)}  # 6 each, of which 5 learn
    told = "needs a source of four classes with 6 samples each to learn from; it has 4 classes, but only 5 of "
    inputs = prepare(**few)
    assert plan(inputs).left_out["dafosnet"].startswith(told)
    with pytest.raises(ValueError, match=f"dafosnet cannot run here: it {told}"):
        plan(inputs, "dafosnet")
    small = catalogue.make("dafosnet", source_shots=2, epochs=0, fine_tune_epochs=0, warm_up=0)
    assert inputs.given(inputs.source, 0).fit(small).way_ == 2
