"""Sparse neighbour graphs and the spreading of labels over them, against dense formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.semi_supervised import LabelSpreading

from unseen.nn import graphs
from unseen.nn.graphs import (
    conjugate_gradient,
    gaussian,
    median_distance,
    neighbour_graph,
    propagate,
    sparsified,
    squared_distances,
    symmetric,
)


def test_distances_and_kernel_are_those_of_cdist():
    a, b = torch.randn(5, 3).double(), torch.randn(4, 3).double()
    torch.testing.assert_close(squared_distances(a, b), torch.cdist(a, b) ** 2)
    torch.testing.assert_close(gaussian(a, b, 0.7), torch.exp(-(torch.cdist(a, b) ** 2) / 0.7))


def test_the_median_is_of_all_pairs_and_of_points_that_coincide_still_positive():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    assert median_distance(x, x) == 1  # 0 0 0 1 1 4 4 9 9
    assert median_distance(torch.ones(4, 2), torch.ones(4, 2)) > 0
    assert median_distance(torch.arange(9.0)[:, None], torch.zeros(1, 1), most=3) == 16  # rows 0, 4, 8


@given(st.integers(2, 12), st.integers(1, 14), st.integers(0, 1000))
def test_the_largest_positive_entries_of_each_row_stay(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, counts = rng.normal(size=(n, n)), rng.integers(1, k + 1, size=n)
    expected = np.zeros((n, n))
    for i in range(n):
        others = [j for j in np.argsort(-matrix[i]) if j != i][: counts[i]]
        expected[i, [j for j in others if matrix[i, j] > 0]] = [matrix[i, j] for j in others if matrix[i, j] > 0]
    found = sparsified(lambda block: torch.tensor(matrix[block]), counts)
    np.testing.assert_array_equal(found.toarray(), expected)


def test_blocks_change_nothing(monkeypatch):
    x, counts = torch.randn(50, 4), np.arange(50) % 5 + 1
    whole = neighbour_graph(x, counts).toarray()
    monkeypatch.setattr(graphs, "BLOCK", 200)  # four rows at once
    np.testing.assert_allclose(neighbour_graph(x, counts).toarray(), whole, atol=1e-6)


def test_a_neighbour_graph_is_symmetric_without_loops_and_in_the_unit_interval():
    graph = neighbour_graph(torch.randn(30, 3), np.full(30, 4)).toarray()
    np.testing.assert_allclose(graph, graph.T)
    assert not graph.diagonal().any()
    assert graph.min() >= 0
    assert graph.max() <= 1
    assert ((graph > 0).sum(axis=1) >= 4).all()


def test_an_edge_of_one_end_has_half_its_weight():
    one = csr_array(np.array([[0, 0.8, 0], [0, 0, 0], [0, 0.2, 0]]))
    np.testing.assert_allclose(symmetric(one).toarray(), [[0, 0.4, 0], [0.4, 0, 0.1], [0, 0.1, 0]])


@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 1000))
@settings(deadline=None)
def test_conjugate_gradients_solve_the_system(n: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    a, b = root @ root.T + np.eye(n), rng.normal(size=(n, c))
    b[:, 0] = 0
    found = conjugate_gradient(lambda v: a @ v, b)
    np.testing.assert_allclose(a @ found, b, atol=1e-7 * np.abs(b).max() + 1e-12)


def test_a_system_that_is_not_solved_says_so():
    a = np.diag(np.logspace(0, 8, 40))
    with pytest.raises(ArithmeticError, match="by 3 products"):
        conjugate_gradient(lambda v: a @ v, np.ones((40, 1)), most=3)


def test_propagation_agrees_with_scikit_learn_on_its_graph():
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.full(40, -1)
    y[:3] = [0, 1, 2]
    peer = LabelSpreading(kernel="rbf", gamma=2.0, alpha=0.4, tol=1e-12, max_iter=10_000).fit(x, y)
    w = np.exp(-2.0 * ((x[:, None] - x) ** 2).sum(axis=2))
    np.fill_diagonal(w, 0)
    labels = np.zeros((40, 3))
    labels[range(3), range(3)] = 1
    ours = propagate(lambda f: w @ f, labels, 0.4)
    np.testing.assert_allclose(ours / ours.sum(axis=1, keepdims=True), peer.label_distributions_, atol=1e-8)


def test_repeats_take_the_result_as_labels_and_lonely_nodes_keep_theirs():
    w = np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 0]])
    labels = np.array([[1.0], [0], [1]])
    once = propagate(lambda f: w @ f, labels, 0.5)
    np.testing.assert_allclose(once[:, 0], [2 / 3, 1 / 3, 1 / 2])
    np.testing.assert_allclose(
        propagate(lambda f: w @ f, labels, 0.5, repeats=2), propagate(lambda f: w @ f, once, 0.5)
    )


def test_alpha_is_checked():
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\); got 1"):
        propagate(lambda f: f, np.ones((2, 1)), 1.0)
