"""The demo's data: no emoji on both sides, few of each class."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.compare.demo import _place_in_class, demo_data
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain


def test_samples_are_numbered_within_their_class() -> None:
    y = np.array([1, 0, 1, 1, 0])
    domain = Domain(x=np.zeros((5, 1), np.float32), y=y, classes=ClassSpace(names=("a", "b")), name="d")
    assert _place_in_class(domain).tolist() == [0, 0, 1, 2, 1]


def test_the_digits_need_nothing() -> None:
    source, target, credit = demo_data("digits", None, None, print)
    assert source.classes is not None
    assert target.classes is not None
    assert source.classes.names == target.classes.names
    assert len(source)
    assert len(target)
    assert credit


def test_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match="data must be emoji or digits"):
        demo_data("cats", None, None, print)
