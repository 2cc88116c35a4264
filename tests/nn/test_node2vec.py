"""Random walks with their transition probabilities, and skip-gram, against naive versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.nn.node2vec import NOWHERE, SkipGram, WalkGraph, context_pairs, node2vec
from unseen.runtime import reproducible

KITE = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [1, 3], [4, 5]])
"""Two triangles that share the edge 1-2, and a tail."""
PATH = np.array([[0, 1], [1, 2], [2, 3]])
BINARY = np.array([[i, (i - 1) // 2] for i in range(1, 31)])


def neighbours(edges: np.ndarray, n: int) -> list[set[int]]:
    out: list[set[int]] = [set() for _ in range(n)]
    for u, v in edges.tolist():
        out[u].add(v)
        out[v].add(u)
    return out


def by_definition(edges: np.ndarray, n: int, t: int, v: int, p: float, q: float) -> np.ndarray:
    """Section 3.2 of the paper: 1/p back to t, 1 to neighbours of t, 1/q elsewhere."""
    near, weights = neighbours(edges, n), np.zeros(n)
    for x in near[v]:
        weights[x] = 1 / p if x == t else 1.0 if x in near[t] else 1 / q
    return weights / weights.sum()


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (4.0, 0.5), (0.25, 2.0)])
def test_transitions_have_the_weights_of_return_common_neighbour_and_rest(p: float, q: float) -> None:
    graph, draws = WalkGraph(KITE, 6), 20_000
    for edge in range(len(graph.source)):
        t, v = int(graph.source[edge]), int(graph.target[edge])
        after = graph.follow(np.full(draws, edge), p, q, np.random.default_rng(edge))
        assert (graph.source[after] == v).all()
        found = np.bincount(graph.target[after], minlength=6) / draws
        np.testing.assert_allclose(found, by_definition(KITE, 6, t, v, p, q), atol=0.02)  # 5 deviations of 20,000 draws


def test_p_q_1_is_deepwalk_a_uniform_walk() -> None:
    graph = WalkGraph(KITE, 6)
    edge = int(np.flatnonzero((graph.source == 0) & (graph.target == 2))[0])
    found = np.bincount(graph.target[graph.follow(np.full(30_000, edge), 1, 1, np.random.default_rng(0))], minlength=6)
    np.testing.assert_allclose(found / 30_000, [1 / 3, 1 / 3, 0, 1 / 3, 0, 0], atol=0.015)


def test_a_very_large_p_never_steps_back_unless_there_is_no_other_way() -> None:
    graph = WalkGraph(BINARY, 31)
    walks = graph.walks(3, 10, 1e9, 1.0, np.random.default_rng(0))
    back = walks[:, 2:] == walks[:, :-2]
    leaf = graph.degree[walks[:, 1:-1]] == 1
    assert (back == leaf).all()


def test_on_a_tree_no_step_has_weight_1_by_distance_so_only_1_p_and_1_q_occur() -> None:
    assert WalkGraph(BINARY, 31)._n_common.sum() == 0
    assert WalkGraph(KITE, 6)._n_common.sum() == 2 * 6  # two triangles, each with three edges in two directions


def test_walks_never_use_what_is_no_edge_and_start_everywhere() -> None:
    near = neighbours(KITE, 7)
    walks = WalkGraph(KITE, 7).walks(4, 8, 0.5, 2.0, np.random.default_rng(1))
    assert walks.shape == (28, 8)
    assert walks[:, 0].tolist() == list(range(7)) * 4
    for walk in walks[walks[:, 0] != 6].tolist():
        assert all(b in near[a] for a, b in zip(walk, walk[1:]))
    assert (walks[walks[:, 0] == 6, 1:] == NOWHERE).all()  # a node without neighbours


def test_doubled_edges_and_loops_change_nothing() -> None:
    noisy = np.concatenate([KITE, KITE[:, ::-1], [[2, 2]]])
    assert (WalkGraph(noisy, 6).source == WalkGraph(KITE, 6).source).all()
    with pytest.raises(ValueError, match=r"edges must name nodes in \[0, 3\)"):
        WalkGraph(KITE, 3)


def test_a_star_of_many_leaves_needs_memory_linear_in_its_edges() -> None:
    n = 200_000
    graph = WalkGraph(np.stack([np.arange(1, n), np.zeros(n - 1, dtype=int)], axis=1), n)
    assert len(graph._skips) == 2 * (n - 1)
    after = graph.follow(
        np.arange(n - 1, 2 * (n - 1)), 1e12, 1.0, np.random.default_rng(0)
    )  # from the leaves to the hub
    assert (graph.target[after] != graph.source[np.arange(n - 1, 2 * (n - 1))]).all()


def test_the_loss_is_that_of_skip_gram_with_negative_sampling() -> None:
    torch.manual_seed(0)
    model = SkipGram(6, 4, np.ones(6, dtype=int))
    torch.nn.init.normal_(model.contexts.weight)
    walks, random = torch.tensor([[0, 1, 2, -1], [3, 4, 5, 4]]), torch.tensor([0.0, 0.4, 0.99], dtype=torch.float64)
    pairs = context_pairs(walks, 2, torch.Generator().manual_seed(3))
    c, o = model.centres.weight, model.contexts.weight
    total, count = torch.zeros(()), 0
    for b, i, j in pairs.nonzero().tolist():
        assert i != j
        assert abs(i - j) <= 2
        centre = c[walks[b, i]]
        total = total - F.logsigmoid(centre @ o[walks[b, j]])
        total = total - 5 * torch.stack([F.logsigmoid(-centre @ o[k]) for k in (0, 2, 5)]).mean()
        count += 1
    assert not pairs[0, 3].any()
    torch.testing.assert_close(model.loss(walks, pairs, 5, random), total / count)


def test_every_node_gets_a_unit_vector_deterministically_and_near_nodes_are_alike() -> None:
    with reproducible(0):
        one = node2vec(BINARY, 31, dim=16, least_steps=200)
    with reproducible(0):
        two = node2vec(BINARY, 31, dim=16, least_steps=200)
    assert torch.equal(one, two)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(31))
    left, right = [7, 8, 15, 16, 17, 18], [13, 14, 27, 28, 29, 30]  # nodes below 3 and below 6
    within, across = one[left] @ one[left].T, one[left] @ one[right].T
    assert within.mean() > across.mean() + 0.3
