"""Features that mean the same are called the same, wherever tables meet."""

import numpy as np
import pytest

from unseen.data.domain import Domain, concatenate
from unseen.data.feature_names import alike, by_name, coarse, listed


def table(names, n=3, **more):
    """A table whose column `k` holds k, k + 1, ... for the k-th letter."""
    x = np.array([[10.0 * (ord(name[0]) - ord("a")) + i for name in names] for i in range(n)])
    return Domain(x=x, feature_names=tuple(names), **more)


def test_features_are_put_in_order_by_their_names():
    put = by_name(table("cab"), ("a", "b", "c"), "target", "the source")
    assert put.feature_names == ("a", "b", "c")
    assert put.x[0].tolist() == [0, 10, 20]
    assert put.notes == ()


def test_what_else_there_is_is_left_out_and_said():
    put = by_name(table("dcab"), ("b", "a"), "target", "the source")
    assert put.x[0].tolist() == [10, 0]
    assert put.notes == ("not used, as the source lacks them: d, c",)
    assert by_name(table("ba"), ("a",), "target", "the source").notes == ("not used, as the source lacks it: b",)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"^target lacks the column 'b' of the source; it has: a, c$"):
        by_name(table("ac"), ("a", "b"), "target", "the source")
    with pytest.raises(ValueError, match=r"target lacks the columns 'b', 'd' of the model; it has: a"):
        by_name(table("a"), ("a", "b", "d"), "target", "the model")


def test_a_missing_column_that_holds_no_numbers_is_named_as_such():
    read = table("a", columns={"b": np.array(["u", "v", "w"])})
    with pytest.raises(ValueError, match=r"of the source \(b holds other things than numbers\); it has: a"):
        by_name(read, ("a", "b"), "target", "the source")


def test_names_that_have_nothing_in_common_are_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"none of the columns of the source \(f0, f1\); it has: a, b\..*rename"):
        by_name(table("ab"), ("f0", "f1"), "target", "the source")


def test_features_without_names_are_taken_in_their_order():
    plain = Domain(x=np.zeros((2, 2)))
    assert by_name(plain, ("a", "b"), "target", "the source") is plain
    named = table("ab")
    assert by_name(named, (), "target", "the source") is named


def test_the_first_that_has_names_decides_and_a_model_comes_before():
    read = {"source": Domain(x=np.zeros((2, 2))), "support": table("ab"), "target": table("ba")}
    assert alike(read)["target"].feature_names == ("a", "b")
    assert alike(read, ("the model", ("b", "a")))["support"].feature_names == ("b", "a")
    note = "its columns have no names, and are taken in the order of those of the support"
    assert [part.notes for part in alike(read).values()] == [(note,), (), ()]
    assert alike({}) == {}


def test_long_lists_are_cut():
    assert listed([f"f{i}" for i in range(10)]) == "f0, f1, f2, f3, f4, f5, f6, f7 and 2 more"
    assert listed(["a", "b"]) == "a, b"


def test_joined_tables_are_matched_by_name():
    both = concatenate([table("ab", name="one"), table("ba", name="two")])
    assert both.feature_names == ("a", "b")
    assert both.x[0].tolist() == both.x[3].tolist()
    assert concatenate([table("ab", name="one"), Domain(x=np.zeros((1, 2)), name="two")]).feature_names == ()
    with pytest.raises(ValueError, match="two lacks the column 'b' of one"):
        concatenate([table("ab", name="one"), table("ac", name="two")])


def test_a_column_that_differs_by_little_beside_its_size_is_named():
    x = np.stack([1.7e9 + 300 * np.arange(12.0), np.arange(12.0), np.full(12, 1e9), np.full(12, np.nan)], axis=1)
    (line,) = coarse(x, ("time", "a", "same", "none"))
    assert line.startswith("time: its values are as large as 1.7e+09 and differ by at most 3.3e+03")
    assert coarse(x)[0].startswith("feature 0: ")
    assert coarse(x[:0]) == ()
