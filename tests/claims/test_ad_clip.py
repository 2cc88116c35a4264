"""The data of AD-CLIP's claim: splits share neither styles nor classes, and the towers have seen none of the styles."""

from __future__ import annotations

import numpy as np

from unseen.claims.ad_clip import CLASSES, WORDING, claim, classes_of
from unseen.claims.small_clip import VENDOR
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

NAMES = tuple(f"subgroup {i}" for i in range(29))


def cases(split: str) -> list[str]:
    return [case for experiment in claim.experiments.values() for case in getattr(experiment, split)]


def style() -> Domain:
    y = np.repeat(np.arange(29), 12)
    return Domain(x=np.zeros((len(y), 2), dtype=np.float32), y=y, classes=ClassSpace(names=NAMES))


def test_the_splits_share_no_style_and_no_case_has_the_style_of_the_towers() -> None:
    known, fresh = (
        {name for case in cases(split) for name in case.split()} for split in ("development", "confirmation")
    )
    assert not known & fresh
    assert VENDOR not in known | fresh
    assert known | fresh <= set(WORDING)


def test_the_splits_share_no_class_and_each_case_has_eight() -> None:
    known, fresh = (
        [classes_of(case, [style(), style()]) for case in cases(split)] for split in ("development", "confirmation")
    )
    assert not {i for chosen in known for i in chosen} & {i for chosen in fresh for i in chosen}
    assert all(len(chosen) == CLASSES for chosen in (*known, *fresh))
