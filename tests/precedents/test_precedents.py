"""Runs that are like the one at hand."""

import json

import numpy as np
import pytest

import unseen
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.precedents import Precedent, Profile, gains, nearest, profile, recorded


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


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no results\.json below"):
        recorded([tmp_path])
