"""The demo's data: no emoji on both sides, few of each class."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.compare.demo import EACH_DIGIT, _few, _parted, demo_data
from unseen.data.domain import Domain


def test_no_emoji_is_on_both_sides_and_few_are_of_a_class() -> None:
    first = {f"{kind}{i}": kind for kind in "ab" for i in range(9)}
    second = {code: kind for code, kind in first.items() if code != "a0"}
    known, new = _parted(first, second, 3)
    assert not known & new
    assert known == {"a1", "a3", "a5", "b0", "b2", "b4"}
    assert new == {"a2", "a4", "a6", "b1", "b3", "b5"}


def test_the_digits_need_nothing() -> None:
    source, target, credit = demo_data("digits", None, None, print)
    assert source.classes is not None
    assert target.classes is not None
    assert source.classes.names == target.classes.names
    assert credit.count("; ") == 1
    for domain in (source, target):
        assert np.bincount(domain.labels).tolist() == [EACH_DIGIT] * 10
    numbers = Domain(x=np.arange(14.0)[:, None], y=["b", *"aaaaaaaaa", *"bbbb"])
    assert sorted(_few(numbers, 3).x[:, 0].tolist()) == [0, 1, 5, 9, 11, 13]  # the first, the middle, the last of each


def test_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match="data must be emoji or digits"):
        demo_data("cats", None, None, print)
