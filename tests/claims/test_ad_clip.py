"""The data of AD-CLIP's claim: splits share neither styles nor classes, and the towers have seen none of the styles."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pandas as pd
import pytest

from unseen.claims import ad_clip
from unseen.claims.ad_clip import CLASSES, STATIC, WORDING, claim, classes_of, drawn
from unseen.claims.base import not_worse
from unseen.claims.small_clip import STAGES, VENDOR
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


def test_what_is_held_out_is_learnt_from_by_nobody_and_has_every_class() -> None:
    def numbered(joined: object, vendor: str) -> Domain:
        return style().replace(x=np.stack([np.arange(348), np.full(348, len(vendor))], axis=1).astype(np.float32))

    with mock.patch.object(ad_clip, "seen_by", numbered):
        parts, again = (drawn(mock.Mock(), "noto openmoji", seed) for seed in (0, 1))
    for learnt, held_out in ((parts.source, parts.other_source), (parts.target, parts.other_target)):
        assert not set(learnt.x[:, 0]) & set(held_out.x[:, 0])
        assert np.bincount(learnt.labels).tolist() == [8] * CLASSES
        assert np.bincount(held_out.labels).tolist() == [4] * CLASSES
    assert not np.array_equal(parts.source.x, again.source.x)
    assert set(parts.source.x[:, 1]) != set(parts.target.x[:, 1])


def test_the_static_prompt_is_as_long_as_that_of_an_image() -> None:
    assert STATIC["static_tokens"] == 2 * len(STAGES) + 4


@pytest.mark.parametrize(("gains", "held"), [((0.0, 0.0, -0.01), True), ((0.2, 0.2, -0.3), False)])
def test_a_loss_within_the_margin_is_also_so_at_the_lower_end(gains: tuple[float, ...], held: bool) -> None:
    rows = [dict(case=str(i), seed=0, arm=arm, metric="m", value=0.5 + (gain if arm == "a" else 0))
            for i, gain in enumerate(gains) for arm in ("a", "b")]  # fmt: skip
    assert not_worse("a", "b", metric="m", within=0.02)(pd.DataFrame(rows)).held is held
