"""Links between nodes: their scores, and how well hidden edges are told from pairs without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.rows import unit_rows
from unseen.data.text_graphs import TextAttributedGraph, common_neighbours, edge_numbers, mean_of_neighbours
from unseen.data.typing import IntArray
from unseen.evaluation.drive import HeldOut, Together
from unseen.methods.subgraph_encoders import SubgraphEncoder
from unseen.runtime import track

AT_ONCE = 2048
"""Subgraphs that are read between two steps of the progress bar."""
MOST_LINKS = 2000
"""Edges that are hidden at most."""
TRIES = 20
"""Draws of a pair without an edge, before all nodes that may be its end are listed."""


def link_scores(method: SubgraphEncoder, domain: Domain, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """The cosine of the subgraphs of each pair of nodes, (n,); each subgraph is read once."""
    nodes, place = np.unique(pairs, return_inverse=True)
    starts = range(0, len(nodes), AT_ONCE)
    z = np.concatenate([method.transform(domain.take(nodes[i : i + AT_ONCE])).numpy() for i in track(starts, "links")])
    a, b = place.reshape(-1, 2).T
    return (z[a] * z[b]).sum(axis=1)


def links_checked(
    method: SubgraphEncoder, left: TextAttributedGraph, x: NDArray[np.float32], domain: Domain, hidden: IntArray,
    none: IntArray,
) -> dict[str, float]:  # fmt: skip
    """AUC of hidden edges against pairs without one: by subgraphs, by texts, with neighbours, and by edges alone.

    Parameters
    ----------
    method : SubgraphEncoder
    left : TextAttributedGraph
        Without the hidden edges.
    x : array (n, d)
        Vectors of the nodes' texts.
    domain : Domain
        A subgraph of `left` around each node.
    hidden, none : int array (m, 2)
        Edges that are hidden, and pairs without one.
    """
    from sklearn.metrics import roc_auc_score

    pairs = np.concatenate([hidden, none])
    truth = np.repeat([1, 0], [len(hidden), len(none)])
    both = unit_rows(x) + unit_rows(mean_of_neighbours(left, x))
    arms = {
        method.card.slug: link_scores(method, domain, pairs),
        "own text": cosines(x, pairs),
        "own and neighbours": cosines(both, pairs),
        "common neighbours": common_neighbours(left, pairs),
    }
    return Together(lambda truth, scores: float(roc_auc_score(truth, scores)))(HeldOut(pairs, truth), arms)


def cosines(x: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Of both ends of each pair, (m,)."""
    u = unit_rows(x)
    return (u[pairs[:, 0]] * u[pairs[:, 1]]).sum(axis=1)


def hidden_edges(graph: TextAttributedGraph, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Some edges, and as many pairs without one: of the same first ends, with ends of other edges.

    Raises
    ------
    ValueError
        If there are fewer than two edges or four nodes, or the first end of an edge is linked to every node.
    """
    if len(graph.edges) < 2 or len(graph) < 4:
        raise ValueError(f"check_links needs at least two edges and four nodes; got {graph!r}")
    rng = np.random.default_rng(seed)
    n = min(MOST_LINKS, max(1, round(share * len(graph.edges))))
    hidden = graph.edges[rng.permutation(len(graph.edges))[:n]]
    others, there = hidden.copy(), edge_numbers(graph.edges, len(graph))
    for _ in range(TRIES):
        wrong = (others[:, 0] == others[:, 1]) | np.isin(edge_numbers(others, len(graph)), there)
        others[wrong, 1] = rng.choice(graph.edges[:, 1], int(wrong.sum()))
    starts, beside = graph.neighbours
    wrong = (others[:, 0] == others[:, 1]) | np.isin(edge_numbers(others, len(graph)), there)
    for row in np.flatnonzero(wrong).tolist():
        a = int(others[row, 0])
        free = np.setdiff1d(np.arange(len(graph)), [a, *beside[starts[a] : starts[a + 1]].tolist()])
        if not len(free):
            raise ValueError(f"links cannot be checked: {str(graph.names[a])!r} is linked to every other node")
        others[row, 1] = rng.choice(free)
    return hidden, others
