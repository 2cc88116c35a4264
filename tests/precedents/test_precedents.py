"""Runs that are like the one at hand."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.catalogue import Given
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.precedents import Precedent, Profile, first_of, gains, near_runs, nearest, profile, recorded
from unseen.precedents.advice import FEW_LABELS, NAMED


def made(name="a", words=("source", "target"), kind="image", classes=10, scores=(0.5, 0.6), **shift):
    about = Profile(words=words, kind=kind, classes=classes, labels=20.0, target=100, shift=shift)
    scores = dict(zip(("source-only", "coral"), scores))
    return Precedent(name=name, profile=about, metric="accuracy", scores=scores, chosen="coral")


def domain(n, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    x = np.random.default_rng(1).normal(size=(4, 8))[y] * 2 + rng.normal(size=(n, 8)) + shift
    return Domain(x=x.astype("float32"), y=y, classes=ClassSpace(names=tuple("abcd")), name=f"d{seed}")


def test_the_nearest_is_the_same_profile_and_then_the_more_alike():
    known = [made("far", classes=1000), made("near", classes=12), made("same"), made("other words", ("source",))]
    found = nearest(made().profile, known, k=4)
    assert [one.precedent.name for one in found] == ["same", "near", "far", "other words"]
    assert found[0].distance == 0
    assert found[-1].distance >= 2


def test_figures_that_only_one_side_has_do_not_count():
    known = [made("a", separability=0.9), made("b", separability=0.1)]
    assert nearest(made().profile, known)[1].distance == 0
    assert nearest(made(separability=0.9).profile, known)[0].precedent.name == "a"


def test_another_kind_weighs_more_than_any_usual_difference():
    known = [made("texts", kind="text"), made("pictures", classes=40)]
    assert nearest(made().profile, known)[0].precedent.name == "pictures"


def test_gains_are_over_doing_nothing_by_hand():
    found = gains(nearest(made().profile, [made("a", scores=(0.5, 0.7)), made("b", scores=(0.6, 0.5))]))
    assert found["coral"] == pytest.approx((0.05, -0.1, 2))
    assert found["source-only"] == (0, 0, 2)
    assert next(iter(found)) == "coral"


def test_a_run_is_a_precedent_of_its_own_and_comes_back_from_json(tmp_path):
    given = dict(source=domain(80), target=domain(80, 1, 1.0), methods="source-only,standardize", seeds=1)
    found = unseen.compare(**given, out=tmp_path / "runs" / "mine")
    known = recorded([tmp_path / "runs"])
    mine = known[-1]
    assert mine.name == "mine"
    assert mine.scores == {
        row["name"]: row["metrics"]["adapted"]["accuracy"]["mean"] for row in found.results["candidates"]
    }
    assert nearest(profile(found.results), known)[0].precedent is mine
    again = Precedent.from_json(json.loads(json.dumps(mine.to_json())))
    assert again.profile.distance(mine.profile, {}) == pytest.approx(0, abs=1e-3)
    assert (again.name, again.chosen) == (mine.name, mine.chosen)


def test_labels_of_the_target_count_as_far_as_they_are_learnt_from():
    given = {
        "source": {"kind": "image", "samples": 40, "classes": {"a": 20, "b": 20}},
        "target": {"kind": "image", "samples": 30, "classes": {"a": 10, "b": 20}},
    }
    told = {"given": given, "classes": ["a", "b"], "labels": "split:0.5", "diagnosis": None}
    found = profile(told)
    assert found.words == ("source", "target", "support")
    assert found.labels == pytest.approx(20 + 0.5 * 15)
    assert profile({**told, "labels": "exam"}).labels == 20
    described = profile({**told, "labels": "exam", "described": True, "classes": ["a", "b", "c"]})
    assert described.words == ("source", "target", "classes", "unseen")


def test_the_recorded_runs_are_whole():
    known = recorded()
    assert len(known) >= 40
    assert len({one.name for one in known}) == len(known)
    for one in known:
        assert one.chosen in one.scores
        assert all(0 <= score <= 1 for score in one.scores.values())
        assert "source-only" in one.scores


def test_results_of_other_commands_are_no_precedents(tmp_path):
    for name in ("nodes", "more"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text('{"nodes": 9}')
    with pytest.raises(ValueError, match=r"no results\.json of one below"):
        recorded([tmp_path])


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no results\.json of one below"):
        recorded([tmp_path])


def test_a_profile_is_said_in_whole_numbers_and_without_a_target_that_is_not_there():
    told = Profile(words=("source",), kind="image", classes=3, labels=6.25, target=0)
    assert told.sentence() == "source of pictures, 3 classes, about 6 labelled samples each"
    few = dataclasses.replace(told, labels=1.0, target=1)
    assert few.sentence().endswith("3 classes, 1 labelled sample each, 1 target sample")


def test_recommend_ranks_by_what_was_gained_and_names_why_others_do_not_fit():
    known = [made(name, scores=(0.5, score)) for name, score in (("a", 0.7), ("b", 0.6))]
    rows = unseen.recommend(Given({"source": True, "target": True}), kind="image", known=known, k=2)
    assert rows[0].slug == "coral"
    assert rows[0].gain == pytest.approx((0.15, 0.1, 2))
    assert "+15 points over doing nothing on the mean of the 2 recorded runs most like yours (worst +10)" in rows[0].why
    assert next(row for row in rows if row.slug == "source-only").gain.mean == 0
    others = [row for row in rows if not row.fits]
    assert rows[-len(others) :] == others
    assert "support" in next(row.why for row in others if row.slug == "linear-probe")
    assert json.dumps([row.to_json() for row in rows])


def test_what_was_measured_below_doing_nothing_is_not_among_the_first_to_try():
    given = Given({"source": True, "target": True})
    for gained, first, said in ((0.6, ["coral", "shot"], False), (0.4, [], True)):
        scores = {"source-only": 0.5, "coral": gained, "shot": gained - 0.01, "aad": 0.3}
        rows = unseen.recommend(given, kind="image", known=[dataclasses.replace(made(), scores=scores)])
        found, rest, told = first_of(rows)
        assert [row.slug for row in found] == [*first, "source-only"]
        assert "aad" in [row.slug for row in rest]
        assert bool(told) is said
        assert len(found) + len(rest) == sum(row.fits for row in rows)


def test_pictures_that_methods_see_as_features_are_compared_with_runs_of_pictures():
    known = [made("a", kind="image", scores=(0.5, 0.7)), made("b", kind="features", scores=(0.5, 0.3))]
    given = Given({"source": True, "target": True}, brought="image")
    assert unseen.recommend(given, known=known, k=1)[0].slug == "coral"


def test_the_consensus_stands_first_where_it_gained_and_not_where_it_lost():
    given = Given({"source": True, "target": True})
    for gained, first in ((0.6, "consensus"), (0.4, "coral")):
        scores = {"source-only": 0.5, "coral": 0.7, "consensus": gained}
        rows = unseen.recommend(given, kind="image", known=[dataclasses.replace(made(), scores=scores)])
        assert rows[0].slug == first
    assert "consensus" not in [row.slug for row in unseen.recommend(Given({"source": True}), known=[made()])]


def test_runs_that_are_hardly_alike_are_said_to_be():
    rows = unseen.recommend(Given({"source": True, "target": True}), kind="text", known=[made()])
    assert "hardly like it" in rows[0].why


def test_all_runs_that_are_as_near_count_where_sizes_are_not_known():
    known = [made(str(i)) for i in range(7)]
    assert len(near_runs(Given({"source": True, "target": True}), kind="image", known=known, k=3)) == 7


def test_gains_of_names_alone_are_those_of_the_documentation():
    rows = json.loads((Path(__file__).parents[2] / "docs" / "names.json").read_text())
    for name, gain in NAMED.items():
        found = {}
        for row in rows:
            over = row["accuracy"][name][0] - row["accuracy"]["describe"][0]
            found.setdefault(row["family"], []).append(over)
        assert gain.mean == pytest.approx(np.mean([np.mean(of) for of in found.values()]), abs=6e-4)
        assert gain.worst == pytest.approx(min(min(of) for of in found.values()), abs=6e-4)
        assert gain.runs == len(rows)


def test_gains_of_few_labels_alone_are_those_of_the_documentation():
    rows = json.loads((Path(__file__).parents[2] / "docs" / "few-labels.json").read_text())
    columns = {"consensus": "consensus", "linear-probe": "logistic, moderated, 0.1", "prototypes": "prototypes"}
    for name, gain in FEW_LABELS.items():
        found = {}
        for row in rows:
            found.setdefault(row["family"], []).append(row["accuracy"][columns[name]] - row["accuracy"]["tuned, raw"])
        assert gain.mean == pytest.approx(np.mean([np.mean(of) for of in found.values()]), abs=6e-4)
        assert gain.worst == pytest.approx(min(min(of) for of in found.values()), abs=6e-4)
        assert gain.runs == len(rows)


def test_a_few_labels_and_no_source_are_advised_as_compare_does():
    """What `compare` chooses there is named first, and no run that had a source speaks for it."""
    rows = unseen.recommend(Given({"support": True, "target": True}), kind="image")
    assert rows[0].slug == "consensus"
    assert "over tuned logistic regression" in rows[0].why
    assert near_runs(Given({"support": True, "target": True})) == ()
    without_target = unseen.recommend(Given({"support": True}), kind="image")
    assert [row.slug for row in without_target if row.fits][:2] == ["linear-probe", "prototypes"]
    taught = unseen.recommend(Given({"support": True, "target": True, "teachers": True}), kind="image")
    assert "consensus" not in [row.slug for row in taught]


def test_of_labels_that_are_no_classes_no_consensus_is_advised():
    x = np.zeros((6, 2))
    values, pool = Domain(x=x, y=np.arange(6.0), task="value"), Domain(x=x)
    for word in ("support", "source"):
        rows = unseen.recommend(Given({word: values, "target": pool}))
        assert [row.name for row in rows if row.fits and row.slug == "consensus"] == []
