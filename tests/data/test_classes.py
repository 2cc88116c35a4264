"""`ClassSpace`: classes as more than integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.data.classes import ClassSpace, join, overlap, realign
from unseen.data.label_metrics import CompleteMetric, EmbeddingMetric, MatrixMetric

NAMES = ("cat", "dog", "owl", "elk")
LINE = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"names": ()}, "names must hold at least one"),
        ({"names": ("a", "b", "a", "c")}, "names must be unique; 'a'"),
        ({"descriptions": ("a",)}, "descriptions has 1 rows, there are 4"),
        ({"attributes": np.ones((3, 2))}, "attributes has 3 rows"),
        ({"embeddings": np.ones(4)}, r"embeddings must be of shape \(n_classes, d\)"),
        ({"embeddings": np.array([[1], [2], [np.nan], [3]])}, "embeddings must be finite; 'owl'"),
        ({"attributes": np.ones((4, 2)), "attribute_names": ("x",)}, "attribute_names must name"),
        ({"attribute_names": ("x",)}, "attribute_names must name"),
        ({"seen": [0, 4]}, r"seen must lie in \[0, 4\); got 0..4"),
        ({"seen": [-1]}, r"seen must lie in \[0, 4\)"),
        ({"seen": [1, 1]}, "seen must not repeat"),
        ({"metric": LINE[:3, :3]}, "metric is over 3 classes, there are 4"),
        ({"metric": LINE + np.triu(LINE)}, "symmetric"),
        ({"metric": LINE[:3]}, "square"),
        ({"metric": np.where(LINE > 2, np.inf, LINE)}, "connected"),
    ],
)
def test_what_does_not_fit_is_named(more: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ClassSpace(**{"names": NAMES} | more)


def test_all_classes_are_seen_and_equally_far_apart_unless_told() -> None:
    space = ClassSpace(names=NAMES)
    assert space.seen.tolist() == [0, 1, 2, 3]
    assert space.unseen.tolist() == []
    assert space.distance.tolist() == (1 - np.eye(4)).tolist()
    assert space.texts == NAMES


def test_a_metric_comes_from_embeddings_else_attributes() -> None:
    e, a = np.eye(4), np.eye(4)[::-1] + 1
    assert isinstance(ClassSpace(names=NAMES).metric, CompleteMetric)
    both = ClassSpace(names=NAMES, embeddings=e, attributes=a)
    np.testing.assert_allclose(both.distance, np.sqrt(2) * (1 - e), atol=1e-6)
    only = ClassSpace(names=NAMES, attributes=a).distance
    unit = a / np.linalg.norm(a, axis=1, keepdims=True)
    np.testing.assert_allclose(only, np.linalg.norm(unit[:, None] - unit[None], axis=2), atol=1e-6)
    assert isinstance(ClassSpace(names=NAMES, embeddings=e, metric=LINE).metric, MatrixMetric)


def test_unseen_are_all_others_in_order() -> None:
    assert ClassSpace(names=NAMES, seen=[3, 0]).unseen.tolist() == [1, 2]


def test_a_missing_description_is_its_name() -> None:
    assert ClassSpace(names=NAMES, descriptions=("a cat", "", "an owl", "")).texts == ("a cat", "dog", "an owl", "elk")


def test_index_finds_a_name_or_says_so() -> None:
    assert ClassSpace(names=NAMES).index("owl") == 2
    with pytest.raises(ValueError, match="no class is called 'cow'; there are 4"):
        ClassSpace(names=NAMES).index("cow")


@given(st.permutations(range(4)), st.integers(1, 4), st.sets(st.integers(0, 3), min_size=1))
def test_take_carries_everything_along(order: list[int], k: int, seen: set[int]) -> None:
    rng = np.random.default_rng(0)
    space = ClassSpace(
        names=NAMES,
        descriptions=tuple(f"a {n}" for n in NAMES),
        attributes=rng.normal(size=(4, 2)),
        embeddings=rng.normal(size=(4, 3)),
        metric=LINE,
        seen=sorted(seen),
        concepts=tuple(f"{n}.n.01" for n in NAMES),
    )
    index = order[:k]
    some = space.take(index)
    assert some.names == tuple(NAMES[i] for i in index)
    assert some.descriptions == tuple(f"a {NAMES[i]}" for i in index)
    assert some.concepts == tuple(f"{NAMES[i]}.n.01" for i in index)
    assert some.embeddings.tolist() == space.embeddings[index].tolist()
    assert some.attributes.tolist() == space.attributes[index].tolist()
    assert some.distance.tolist() == LINE[np.ix_(index, index)].tolist()
    assert {some.names[i] for i in some.seen} == {NAMES[i] for i in seen if i in index}


def test_take_of_embedding_distances_is_exact() -> None:
    space = ClassSpace(names=NAMES, embeddings=np.random.default_rng(0).normal(size=(4, 3)))
    assert space.take([2, 0]).distance.tolist() == space.distance[np.ix_([2, 0], [2, 0])].tolist()


def test_replace_derives_the_metric_anew_unless_it_was_given() -> None:
    e = np.random.default_rng(0).normal(size=(4, 3))
    space = ClassSpace(names=NAMES).replace(embeddings=e)
    assert isinstance(space.metric, EmbeddingMetric)
    assert space.replace(seen=[1]).distance.tolist() == space.distance.tolist()
    assert ClassSpace(names=NAMES, metric=LINE).replace(embeddings=e).distance.tolist() == LINE.tolist()


def test_join_puts_the_source_first_and_keeps_what_both_have() -> None:
    a = ClassSpace(names=("cat", "dog"), descriptions=("a cat", "a dog"), embeddings=np.eye(2))
    b = ClassSpace(names=("owl", "dog", "elk"), descriptions=("o", "d", "e"), embeddings=-np.eye(3)[:, :2])
    both = join(a, b)
    assert both.names == ("cat", "dog", "owl", "elk")
    assert both.descriptions == ("a cat", "a dog", "o", "e")
    assert both.embeddings.tolist() == [[1, 0], [0, 1], [-1, 0], [0, 0]]
    assert both.seen.tolist() == [0, 1]
    assert join(a, b.replace(descriptions=None)).descriptions is None
    assert join(a, b.replace(concepts=("x", "y", "z"))).concepts is None
    assert join(a.replace(concepts=("1", "2")), b.replace(concepts=("x", "y", "z"))).concepts == ("1", "2", "x", "z")
    assert join(a, a.take([1, 0])).names == a.names


@given(st.permutations(NAMES), st.lists(st.integers(-1, 3), max_size=8))
def test_realigned_labels_name_the_same_classes(names: list[str], y: list[int]) -> None:
    space, onto = ClassSpace(names=NAMES), ClassSpace(names=("x", *names))
    moved = realign(np.array(y, dtype=np.int64), space, onto)
    assert [onto.names[m] if m >= 0 else None for m in moved] == [NAMES[k] if k >= 0 else None for k in y]


def test_realigning_a_class_that_is_used_and_not_there_is_told() -> None:
    space, onto = ClassSpace(names=NAMES), ClassSpace(names=("cat", "dog"))
    assert realign(np.array([1, -1, 0]), space, onto).tolist() == [1, -1, 0]
    with pytest.raises(ValueError, match="'owl' is not among the 2 classes"):
        realign(np.array([0, 2]), space, onto)


def test_overlap_lists_shared_private_and_case_variants() -> None:
    found = overlap(ClassSpace(names=("cat", "Dog", "owl")), ClassSpace(names=("dog", "cat", "elk")))
    assert found == {
        "shared": ("cat",),
        "source_only": ("Dog", "owl"),
        "target_only": ("dog", "elk"),
        "case_variants": ("Dog / dog",),
    }


@pytest.mark.parametrize("seen", [np.array([False, True, True]), [False, True, True], ["b", "c"], [1, 2], [1.0, 2.0]])
def test_seen_are_told_by_truth_values_names_or_indices(seen: Any) -> None:
    assert ClassSpace(names=("a", "b", "c"), seen=seen).seen.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("seen", "error", "match"),
    [
        ([True, False], ValueError, "seen has 2 truth values, there are 3 classes"),
        (["d"], ValueError, "seen names 'd', which is no class; there are: a, b, c"),
        ([0.5], TypeError, r"seen must hold indices or names of classes.*got \[0.5\]"),
        ([None], TypeError, r"seen must hold indices or names of classes.*got \[None\]"),
    ],
)
def test_what_tells_no_classes_is_refused_as_seen(seen: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        ClassSpace(names=("a", "b", "c"), seen=seen)
