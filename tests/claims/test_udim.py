"""UDIM's fair arms: the same start, radii and crafting for all, on cases that nothing has opened."""

from pathlib import Path

import numpy as np
import pytest

from unseen.claims import udim
from unseen.claims.evidence import read_records, unopened
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"


def blobs(shift: float, seed: int) -> Domain:
    y = np.arange(40) % 4
    x = np.eye(6)[y] * 3 + shift + np.random.default_rng(seed).normal(size=(40, 6))
    return Domain(x=x.astype(np.float32), y=y, classes=ClassSpace(names=tuple("abcd")), name=f"blobs {shift}")


def test_every_arm_learns_one_style_and_meets_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udim, "of_case", lambda case: (blobs(0, 0), [blobs(1, 1), blobs(2, 2)]))
    monkeypatch.setattr(udim, "STEPS", {"start": 2, "arm": 4})
    monkeypatch.setattr(udim, "RADII", (0.2,))
    monkeypatch.setattr(udim, "DECAYS", (0.1,))
    table = udim.fair_arms("letters: cm", 0)
    assert set(table) == {"start", "erm", *udim.FAIR}
    for row in table.values():
        assert set(row) == {"targets", "worst_target", "source", "inconsistency"}
        assert row["worst_target"] <= row["targets"]


def test_the_control_learns_what_udim_compares() -> None:
    assert udim.FAIR[udim.CONTROL] == {**udim.FAIR["sam"], "learn_crafted": True}


def test_the_cases_of_the_fair_arms_have_not_been_opened() -> None:
    records = [record for record in read_records(EVIDENCE, "udim") if udim.KIND_ARMS not in record["cases"]]
    assert udim.KIND_ARMS in unopened(udim.claim, records)
