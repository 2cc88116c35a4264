"""ZeroI2V's claim: stills are read off rightly, arms are what they are called, every row has its figures."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unseen.claims import motion_worlds, zeroi2v
from unseen.claims.motion_worlds import Things, of_motions
from unseen.claims.zeroi2v import BLIND, LEDGER, Stills, both, claim, fitted, frames_of, read_off, told
from unseen.methods.video.needs import small_frame_towers


@pytest.fixture
def own() -> Things:
    rng = np.random.default_rng(0)
    pictures = tuple(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(12))
    return Things(pictures, tuple(f"thing {i}" for i in range(12)), np.arange(12) % 3 == 0)


def test_where_ink_lies_is_read_off_a_picture() -> None:
    x = np.full((3, 3, 32, 32), 255, np.uint8)
    x[0, :, :4, 28:] = 0  # a dark spot up on the right
    x[1, :, 28:, :4] = 200  # a pale one down on the left
    x[2, :, [0, -1]] = 0  # two lines: in the middle, far apart
    across, down, spread, dark = read_off(x).T.tolist()
    assert across == [6, 0, 3]
    assert down == [0, 6, 3]
    assert spread == [1, 1, 6]
    assert dark == [3, 0, 3]


def test_the_axis_and_the_kind_of_a_motion_need_no_order() -> None:
    y = np.arange(10)
    right = {"accuracy": 1, "pair": 1, "axis": 1, "kind": 1}
    assert told(np.eye(10), y) == right
    assert told(np.eye(10)[y ^ 1], y) == right | {"accuracy": 0, "pair": 0}
    crossed = np.eye(10)[np.array([2, 3, 0, 1, 4, 5, 6, 7, 8, 9])]
    assert told(crossed, y) == {"accuracy": 0.6, "pair": pytest.approx(0.8), "axis": 0, "kind": 0.6}


def test_mean_and_spread_are_those_of_the_set_of_frames() -> None:
    x = np.random.default_rng(0).normal(size=(3, 8, 5))
    assert np.allclose(both(x), both(x[:, ::-1]))


def test_an_order_blind_arm_cannot_tell_a_motion_from_its_reverse(own: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zeroi2v.EPOCHS, zeroi2v.FEW, 1)
    source = of_motions(own, 2, 0, asked=False)
    turned = source.replace(x=torch.as_tensor(np.asarray(source.x)).flip(1))
    tower: Any = small_frame_towers(side=32).image
    for changes, same in ((BLIND, True), ({}, False)):
        method = fitted(source, tower, zeroi2v.FEW, 0, **changes)
        assert torch.allclose(method.decision_function(source), method.decision_function(turned), atol=1e-5) == same
    assert frames_of(tower, source).shape == (20, 8, 8)


def test_every_experiment_gives_what_its_rows_ask_for(own: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_worlds, "world", lambda case: own)
    monkeypatch.setattr(motion_worlds, "things", lambda vendor, split, n: own)
    for name, value in {"STILL_STEPS": 2, "ASKED": 1, "HELD_OUT": 100, "VIEWS": 20}.items():
        monkeypatch.setattr(zeroi2v, name, value)
    for name in ("MANY", "FEW"):
        monkeypatch.setitem(zeroi2v.EPOCHS, getattr(zeroi2v, name), 1)
    monkeypatch.setattr(
        motion_worlds, "of_motions", lambda own, each, seed, asked: of_motions(own, 2, seed, asked=asked)
    )
    monkeypatch.setattr(motion_worlds, "gated", functools.partial(motion_worlds.gated, steps=2))
    zeroi2v.stills.cache_clear()
    read = zeroi2v.stills("development of letters")
    assert isinstance(read, Stills)
    assert all(0 <= grade <= 1 for grade in read.grades.values())
    rows: list[Any] = []
    for name in claim.experiments:
        rows += claim.cell(name, "development of letters", 0)
    zeroi2v.stills.cache_clear()
    table = pd.DataFrame(rows)
    judged = dict(claim.judge(table))
    for assertion in LEDGER:
        if assertion.holds is not None:
            assert judged[assertion] is not None, assertion.text
    assert np.isfinite(table.value).all()
    merged = table[table.arm == "merged"].set_index("metric").value
    assert merged["more parameters"] == 0
    assert merged["agreement"] == 1


def test_the_vendors_of_the_confirmation_are_none_of_development() -> None:
    for experiment in claim.experiments.values():
        vendors = [{case.split()[1] for case in split} for split in (experiment.development, experiment.confirmation)]
        assert not vendors[0] & vendors[1]
