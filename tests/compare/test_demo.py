"""The demo's data: no emoji on both sides, few of each class."""

from __future__ import annotations

import pytest

from unseen.compare.demo import _parted, demo_data


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
    assert len(source)
    assert len(target)
    assert credit


def test_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match="data must be emoji or digits"):
        demo_data("cats", None, None, print)
