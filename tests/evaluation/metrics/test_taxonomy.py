"""Metrics of mapping to a taxonomy, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.label_metrics import TreeMetric
from unseen.evaluation.metrics.taxonomy import (
    crowded,
    hierarchical_precision,
    hit_at,
    hops,
    mean_reciprocal_rank,
    taxonomy_scores,
)

TREE = TreeMetric(np.array([-1, 0, 0, 1, 1, 2]))
TRUTH = np.array([3, 3, 5, 0])
RANKED = np.array([[3, 4], [4, 3], [3, 1], [-1, -1]])


def test_hits_ranks_and_hops_by_hand() -> None:
    assert hit_at(TRUTH, RANKED, 1) == 0.25
    assert hit_at(TRUTH, RANKED, 2) == 0.5
    assert mean_reciprocal_rank(TRUTH, RANKED) == (1 + 0.5) / 4
    assert hops(TRUTH, RANKED[:, 0], TREE).tolist() == [0, 2, 4, 2]  # none was found: as far as the farthest node
    nodes = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 2], [-1, 0.0]])
    found = taxonomy_scores(TRUTH, RANKED, TREE, nodes, ks=(1, 2))
    assert found == {
        "hit@1": 0.25, "hit@2": 0.5, "mrr": 0.375, "hops": 2.0, "within 1": 0.25, "within 2": 0.75, "cosine": 0.0,
    }  # fmt: skip


def test_hierarchical_precision_counts_what_is_near_the_right_class() -> None:
    # The three nearest to node 3 by hops: itself, its parent 1; then at 2 its sibling 4 and the root 0 come together.
    assert hierarchical_precision(np.array([3]), np.array([[3, 1, 4]]), TREE) == 1.0
    assert hierarchical_precision(np.array([3]), np.array([[0, 1, 4]]), TREE) == 1.0
    assert hierarchical_precision(np.array([3]), np.array([[5, 2, 4]]), TREE) == pytest.approx(1 / 3)
    assert hierarchical_precision(np.array([3, 3]), np.array([[3], [1]]), TREE) == 0.5  # one: the class itself
    assert hierarchical_precision(np.array([3]), np.array([[-1, 1]]), TREE) == 0.5
    assert hierarchical_precision(TRUTH, RANKED, TREE) == hierarchical_precision(TRUTH, RANKED, TREE, block=1)
    with pytest.raises(ValueError, match="1 to 6 classes of each sample"):
        hierarchical_precision(np.array([3]), np.zeros((1, 7), dtype=int), TREE)


def test_nodes_that_cannot_be_told_apart_are_counted_whatever_the_block() -> None:
    nodes = np.array([[1, 0], [2, 0], [0, 1], [-1, 0.0]])
    assert crowded(nodes) == crowded(nodes, block=1) == 0.5


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"k must be in \[1, 2\]"):
        hit_at(TRUTH, RANKED, 3)
    with pytest.raises(ValueError, match="at least one sample"):
        hit_at(TRUTH[:0], RANKED[:0], 1)
    with pytest.raises(ValueError, match="one length"):
        hops(TRUTH, RANKED[:2, 0], TREE)
    for refused in (lambda y: hit_at(y, RANKED, 1), lambda y: hops(y, RANKED[:, 0], TREE)):
        with pytest.raises(ValueError, match="truth must hold nodes, at least 0; got -1"):
            refused(np.array([3, 3, 5, -1]))
