"""Distances between classes: trees, graphs, vectors."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import (
    CompleteMetric,
    EmbeddingMetric,
    GraphMetric,
    MatrixMetric,
    TreeMetric,
    taxonomy,
)
from unseen.nn.state import load_state, save_state


def random_tree(n, seed):
    """A tree whose nodes are in random order, with random lengths, as a metric and as a networkx graph."""
    rng = np.random.default_rng(seed)
    name = rng.permutation(n)
    parents, lengths = np.full(n, -1), rng.uniform(0.1, 3, n)
    graph = nx.Graph()
    graph.add_node(name[0])
    for i in range(1, n):
        child, parent = name[i], name[rng.integers(i)]
        parents[child] = parent
        graph.add_edge(int(child), int(parent), weight=lengths[child])
    return TreeMetric(parents, lengths), graph


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10_000))
def test_tree_distances_are_the_lengths_of_paths(n, seed):
    metric, graph = random_tree(n, seed)
    expected = dict(nx.all_pairs_dijkstra_path_length(graph))
    found = metric.rows(np.arange(n))
    np.testing.assert_allclose(found, [[expected[i][j] for j in range(n)] for i in range(n)], atol=1e-12)
    assert np.array_equal(metric.rows(np.array([n - 1, 0])), found[[n - 1, 0]])


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 15), st.integers(0, 10_000))
def test_graph_distances_are_shortest_paths_through_nodes_that_are_no_classes(n, seed):
    graph = nx.connected_watts_strogatz_graph(n + 3, 2, 0.4, seed=seed)
    rng = np.random.default_rng(seed)
    for _, _, data in graph.edges(data=True):
        data["weight"] = float(rng.uniform(0.5, 2))
    nodes = rng.choice(n + 3, n, replace=False)
    metric = GraphMetric(nx.to_scipy_sparse_array(graph, nodelist=range(n + 3)), nodes)
    expected = dict(nx.all_pairs_dijkstra_path_length(graph))
    np.testing.assert_allclose(metric.rows(np.arange(n)), [[expected[i][j] for j in nodes] for i in nodes])


def test_taxonomy_counts_edges_between_ends_of_paths():
    metric = taxonomy([("animal", "bird", "owl"), ("animal", "bird", "duck"), ("animal", "cat"), ("tool",)])
    assert metric.rows(np.array([0])).tolist() == [[0, 2, 3, 4]]
    assert not metric.complete


def metrics():
    rng = np.random.default_rng(0)
    tree, graph = random_tree(9, 1)
    return {
        "tree": tree,
        "graph": GraphMetric(nx.to_scipy_sparse_array(graph, nodelist=range(9))),
        "embedding": EmbeddingMetric(rng.standard_normal((9, 4))),
        "unnormalized": EmbeddingMetric(rng.standard_normal((9, 4)), normalize=False),
        "matrix": MatrixMetric(tree.rows(np.arange(9))),
        "complete": CompleteMetric(9),
    }


@pytest.mark.parametrize("kind", metrics())
def test_take_between_and_saving_agree_with_rows(kind, tmp_path):
    metric = metrics()[kind]
    every = metric.rows(np.arange(9))
    index = np.array([7, 2, 5])
    np.testing.assert_allclose(metric.take(index).rows(np.arange(3)), every[np.ix_(index, index)], atol=1e-7)
    a, b = np.array([3, 3, 0, 8]), np.array([1, 3, 8, 0])
    np.testing.assert_allclose(metric.between(a, b, block=2), every[a, b], atol=1e-7)
    save_state(tmp_path / "m", ClassSpace(names=tuple("abcdefghi"), metric=metric))
    assert np.array_equal(load_state(tmp_path / "m").metric.rows(np.arange(9)), every)


def test_one_row_of_a_large_tree_is_one_row():
    n = 100_000
    metric = TreeMetric(np.r_[-1, (np.arange(1, n) - 1) // 3])
    assert metric.rows(np.array([n - 1])).shape == (1, n)
    assert len(metric.take(np.arange(5))) == 5


def test_inputs_of_a_graph_stay_as_they_were():
    adjacency = nx.to_scipy_sparse_array(nx.path_graph(4), format="csr", dtype=float)
    adjacency.data[:] = 2
    before = adjacency.copy()
    GraphMetric(adjacency).rows(np.arange(4))
    assert (adjacency != before).nnz == 0


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: TreeMetric(np.array([-1, -1])), "one root"),
        (lambda: TreeMetric(np.array([-1, 2, 1])), "cycle"),
        (lambda: TreeMetric(np.array([-1, 7])), "parents must lie"),
        (lambda: TreeMetric(np.array([-1, 0]), np.array([0, -1.0])), "not negative"),
        (lambda: TreeMetric(np.array([-1, 0]), np.array([0, np.nan])), "finite"),
        (lambda: TreeMetric(np.array([-1, 0]), nodes=np.array([1, 1])), "repeat"),
        (lambda: TreeMetric(np.array([-1, 0]), nodes=np.array([2])), "nodes must hold"),
        (lambda: GraphMetric(np.eye(3)), "connect all classes"),
        (lambda: GraphMetric(np.zeros((2, 3))), "square"),
        (lambda: GraphMetric(-np.ones((2, 2))), "not negative"),
        (lambda: EmbeddingMetric([[np.nan, 1.0]]), "finite"),
    ],
)
def test_bad_input_is_named(make, told):
    with pytest.raises(ValueError, match=told):
        make()
