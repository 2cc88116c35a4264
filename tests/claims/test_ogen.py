"""What OGEN's claim learns from and is graded on: classes that every vendor draws, emoji that nothing has learnt."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from unseen.claims import ogen
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

SPLIT = "development"
NAMES = ("bird", "fruit", "face", "tool", "heart", "lone")
COUNTS = (40, 40, 20, 20, 20, 20)


def drawn(vendor: str, level: str = "subgroup") -> Domain:
    """All vendors draw all classes alike; of the last one a vendor has a single picture."""
    counts = (*COUNTS[:-1], 1) if vendor == ogen.VENDORS[SPLIT][-1] else COUNTS
    y = np.repeat(np.arange(len(NAMES)), counts)
    codes = np.array([f"{NAMES[label]} {i}" for label, n in enumerate(counts) for i in range(n)])
    x = np.random.default_rng(len(vendor)).normal(size=(len(y), 4)).astype(np.float32)
    return Domain(x=x, y=y, classes=ClassSpace(names=NAMES), columns={"emoji": codes})


@pytest.fixture(autouse=True)
def vendors(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(ogen, "by", drawn)
    monkeypatch.setattr(ogen, "vectors", drawn)
    ogen.common.cache_clear()
    yield
    ogen.common.cache_clear()


@pytest.mark.parametrize("vendor", ogen.VENDORS[SPLIT])
def test_classes_that_a_vendor_hardly_draws_are_in_no_world(vendor: str) -> None:
    """Else a base class with one picture has none to learn from, and counts as unknown while it is graded as base."""
    for seed in range(4):
        own = ogen.known(f"{SPLIT} {vendor}", seed)
        assert set(own.classes.names) == set(NAMES[:-1])
        learnt = np.bincount(own.source.labels, minlength=5)
        assert (learnt[own.classes.seen] >= ogen.COMMON // 2).all()
        assert learnt.max() <= ogen.SHOTS
        assert not learnt[np.setdiff1d(np.arange(5), own.classes.seen)].any()
        assert set(own.exam.labels.tolist()) == set(range(5))
        of_both = np.concatenate([own.source.labels, own.exam.labels])
        named = dict(zip(own.classes.names, np.bincount(of_both).tolist()))
        assert named == dict(zip(NAMES[:-1], COUNTS[:-1]))


def test_elsewhere_are_the_same_classes_of_the_next_vendor_without_the_emoji_that_were_learnt_from() -> None:
    case = f"{SPLIT} {ogen.VENDORS[SPLIT][0]}"
    own = ogen.known(case, 0)
    other = ogen.abroad(case, own)
    assert len(other) == sum(COUNTS[:-1]) - len(own.source)
    counts = np.bincount(np.concatenate([own.source.labels, other.labels]))
    assert dict(zip(own.classes.names, counts.tolist())) == dict(zip(NAMES[:-1], COUNTS[:-1]))


def test_figures_tell_each_side_among_itself_and_both_among_all() -> None:
    classes = ClassSpace(names=("a", "b", "c", "d"), seen=np.array([0, 1]))
    exam = Domain(x=np.zeros((4, 2), dtype=np.float32), y=np.arange(4), classes=classes)
    scores = torch.eye(4)
    scores[:, 0] += 2.0  # a known class that takes all
    found = ogen.figures(SimpleNamespace(decision_function=lambda _: scores), exam, classes)
    assert (found["base"], found["new"]) == (0.5, 1.0)
    assert found["h of all"] == 0.0


def test_stopping_may_choose_to_learn_nothing_and_a_bare_arm_shares_the_pace() -> None:
    assert 0 in ogen.STOPS
    slug, settings = ogen.ARMS["coop at ogen's pace"]
    assert slug == "ogen"
    assert settings["teacher"] == "none"
    assert not any(settings[f"{part}_weight"] for part in ("as_unknown", "known", "new"))
