"""What the claim of Crafting Shifts measures with."""

from typing import ClassVar

import numpy as np
import pytest

from unseen.claims import crafting_shifts as claim
from unseen.nn.train import DivergedError


def test_the_halves_of_the_source_share_no_picture():
    a, b = (claim.handwritten(half) for half in ("first", "second"))
    assert len(a[1]) + len(b[1]) == 1797
    assert not {x.tobytes() for x in a[0]} & {x.tobytes() for x in b[0]}


def test_targets_of_the_two_splits_share_no_font():
    fonts = [{case.split(":")[0] for case in cases} for cases in (claim.DEVELOPMENT, claim.CONFIRMATION)]
    assert not fonts[0] & fonts[1]
    assert len(claim.CONFIRMATION) >= 5


@pytest.mark.parametrize("change", claim.CHANGES)
def test_a_change_gives_pictures_in_colour_from_black_to_white(change):
    ink = np.zeros((6, 16, 16), dtype=np.float32)
    ink[:, 4:12, 6:9] = 1
    found = claim.CHANGES[change](ink, np.random.default_rng(0))
    assert (found.shape, found.dtype) == ((6, 3, 16, 16), np.float32)
    assert found.min() >= 0
    assert found.max() <= 1
    assert all(np.ptp(one) > 0.1 for one in found)


def test_every_method_has_the_same_rates_to_choose_from_and_sees_as_many_rows(monkeypatch):
    rates = {method: [c.rate for c in claim.GRID if c.method == method] for method in claim.METHODS}
    assert set(map(tuple, rates.values())) == {tuple(rates["plain"])}
    asked = {}

    class Recorder:
        def __init__(self, **settings):
            asked[settings["views"]] = settings["epochs"]
            assert "mix" not in settings

        def fit(self, source):
            return self

    monkeypatch.setattr(claim, "CraftingShifts", Recorder)
    for c in claim.GRID:
        claim.fit(c, (), None, 0)
    views = {"rgb": 1, "both": 2}
    assert {asked[name] * n for name, n in views.items()} == {2 * claim.EPOCHS}


def test_the_best_of_a_method_is_sought_in_its_own_lines():
    scores = np.arange(20.0)
    assert claim.best(scores) == 19
    assert claim.GRID[claim.best(scores, "plain")] == claim.GRID[4]
    assert claim.GRID[claim.best(-scores, "edges")] == claim.GRID[5]


class Model:
    """Right on copies of families that it was trained with, on every second of the others; a pixel tells the family."""

    read: ClassVar[list] = []

    def __init__(self, families):
        self.families = families

    def predict(self, x):
        self.read.append(x)
        family = claim.ALL[round(float(x[0, 0, 0, 0]) * 10) % 10]
        return np.arange(len(x)) % (1 if family in self.families else 2)


@pytest.fixture
def study(monkeypatch):
    """A study of fake models on 760 pictures of one class; edges at a rate of 1 diverge."""
    x = np.random.default_rng(0).random((760, 3, 16, 16)).astype(np.float32)
    sources = []

    def fit(c, families, source, seed):
        sources.append(source.x)
        if c == (1.0, "edges"):
            raise DivergedError("the loss became nan")
        return Model(families)

    def copies(pictures, random_state):
        return {f: np.full_like(pictures, i / 10) for i, f in enumerate(claim.ALL)}

    monkeypatch.setattr(claim, "handwritten", lambda half: (x, np.zeros(760, dtype=np.int64)))
    monkeypatch.setattr(claim, "fit", fit)
    monkeypatch.setattr(claim, "crafted_copies", copies)
    monkeypatch.setattr(Model, "read", [])
    found = claim.study.__wrapped__("first", 3)
    return found, sources


def test_seen_and_unseen_families_are_scored_by_the_same_fold_models(study):
    found, _ = study
    assert set(found.folds) == {c for c in claim.GRID if "copies" in c.method}
    assert {found.folds[c] for c in found.folds} == {(1.0, 0.5)}
    assert found.shared == 0


def test_a_training_that_diverged_is_chance(study):
    found, _ = study
    assert found.accuracy(claim.Configuration(1.0, "edges"), *found.exam) == claim.CHANCE
    assert found.accuracy(claim.GRID[5], *found.exam) == 0.5


def test_pictures_of_the_exam_neither_trained_nor_chose(study):
    found, sources = study
    exam = {one.tobytes() for one in found.exam[0]}
    assert len(exam) == 10
    assert all(len(x) == claim.N_TRAIN and not exam & {one.tobytes() for one in x} for x in sources)
    assert not any(exam & {one.tobytes() for one in x} for x in Model.read)


def test_what_a_split_of_the_source_tells_is_read_from_the_exam(study, monkeypatch):
    found, _ = study
    monkeypatch.setattr(claim, "study", lambda half, split: found if (half, split) == ("first", 3) else None)
    monkeypatch.setattr(claim, "fold_truth", lambda half, split, case: np.full(len(found.folds), 0.75))
    Model.read.clear()
    table = claim.on_source("first half, split 3", 0)
    assert {len(x) for x in Model.read} == {10}
    assert table["seen families"] == {"score": 1.0, "distance to targets": 0.25}
    assert table["unseen families"] == {"score": 0.5, "distance to targets": 0.25}


def test_cases_of_the_two_splits_differ_and_source_splits_are_those_of_the_targets():
    for experiment in claim.claim.experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert not set(experiment.seeds) & set(experiment.fresh_seeds)
    assert {case.split(" half, ")[0] for case in claim.claim.experiments["source"].confirmation} == {"second"}
