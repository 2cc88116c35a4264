"""The experiment on points: classes of equal size, and no object on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.claims import sfda2 as made
from unseen.claims.sfda2 import HIGH_RATIO, claim, measured
from unseen.data.domain import Domain


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Domain:
    """Boxes, flat or tall, some fewer of the tall."""
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [10, 6])
    x = rng.uniform(-1, 1, (16, 200, 3)) * np.array([[1, 1, 0.1], [0.2, 0.2, 1]])[y][:, None]
    domain = Domain(x=x.astype(np.float32), y=y, kind="points", columns={"model": np.arange(16)})
    monkeypatch.setattr(made, "objects", lambda makers: domain)
    monkeypatch.setattr(made, "EACH", 12)
    monkeypatch.setattr(made, "POINTS", 16)
    return domain


@pytest.mark.parametrize("case", ["scopia view", "scopia half 30", "others ball 40"])
def test_halves_share_no_object_and_classes_are_of_equal_size(objects: Domain, case: str) -> None:
    source, target = made.clouds(case, 3)
    assert not set(source.columns["model"].tolist()) & set(target.columns["model"].tolist())
    for half in (source, target):
        assert half.x.shape[1:] == (made.POINTS, 3)
        assert np.bincount(half.labels).tolist() == [12, 12]
    assert "seen" in target.columns
    assert np.array_equal(made.clouds(case, 3)[1].x, target.x)


def test_a_cell_measures_every_arm_on_clouds(objects: Domain) -> None:
    source, target = made.clouds("scopia half 30", 0)
    table = measured(source, target, ("clustering", "sfda2"), 0)
    assert set(table) == {"source", "statistics of the target", "clustering", "sfda2"}
    assert table["sfda2"]["cost"] > 0
    for arm in table.values():  # classes are of equal size
        assert arm["accuracy"] == pytest.approx(arm["class_mean"])


def test_development_and_confirmation_share_neither_makers_nor_seeds() -> None:
    points = claim.experiments["points"]
    assert {case.split()[0] for case in points.development} == {"scopia"}
    assert {case.split()[0] for case in points.confirmation} == {"others"}
    assert not set(made.MAKERS["scopia"]) & set(made.MAKERS["others"])
    for experiment in claim.experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert not set(experiment.seeds) & set(experiment.fresh_seeds)
    assert HIGH_RATIO > 10
