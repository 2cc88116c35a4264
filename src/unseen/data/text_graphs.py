"""Text-attributed graphs, and the subgraphs around their nodes, which are what a graph encoder reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import UNLABELED, Domain, Lazy
from unseen.data.tasks.base import text_array
from unseen.data.typing import IntArray

AT_ONCE = 2**22
"""Visits of walks that are held at once."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TextAttributedGraph:
    """Nodes with a text each, and undirected edges among them.

    Parameters
    ----------
    texts : n strings
        What each node says; empty where nothing is known of it.
    edges : int array (m, 2)
        Pairs of nodes. Direction, repeats and loops are dropped.
    names : n strings, optional
        A unique name of every node, for people and for summaries; its number if absent.
    labels : int array (n,), optional
        Indices of `classes`, -1 where there is none.
    classes : ClassSpace, optional
    name : str
    credits : tuple of str

    Raises
    ------
    ValueError
        If lengths differ, names repeat, there is no node, or an edge or a label names what is not there.
    """

    texts: NDArray[np.str_]
    edges: IntArray
    names: NDArray[np.str_] = None  # type: ignore[assignment]  # always there after `__post_init__`
    labels: IntArray | None = None
    classes: ClassSpace | None = None
    name: str = "graph"
    credits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        texts = list(self.texts)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"texts must be at least one string; got {len(texts)} entries")
        n = len(texts)
        names = [str(i) for i in range(n)] if self.names is None else [str(name) for name in self.names]
        if len(names) != n:
            raise ValueError(f"names has {len(names)} entries, there are {n} texts")
        if len(set(names)) != n:
            raise ValueError(f"names must be unique; {next(x for x in names if names.count(x) > 1)!r} repeats")
        set_: Callable[[str, Any], None] = lambda key, value: object.__setattr__(self, key, value)
        set_("texts", text_array(texts))
        set_("names", np.array(names, dtype=np.str_))
        set_("edges", undirected(self.edges, n))
        if self.labels is not None:
            labels = np.asarray(self.labels)
            if labels.shape != (n,) or labels.dtype.kind not in "iu":
                raise ValueError(f"labels must be integers of shape ({n},); got {labels.dtype} of {labels.shape}")
            most = len(self.classes) if self.classes is not None else np.inf
            if labels.min() < UNLABELED or labels.max() >= most:
                raise ValueError(f"labels must lie in [-1, {most}); got {labels.min()} to {labels.max()}")
            set_("labels", labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"TextAttributedGraph({self.name!r}, {len(self)} nodes, {len(self.edges)} edges)"

    @cached_property
    def neighbours(self) -> tuple[IntArray, IntArray]:
        """Neighbours of node i: `neighbours[1][neighbours[0][i] : neighbours[0][i + 1]]`."""
        both = np.concatenate([self.edges, self.edges[:, ::-1]])
        order = np.lexsort((both[:, 1], both[:, 0]))
        starts = np.concatenate([[0], np.cumsum(np.bincount(both[:, 0], minlength=len(self)))])
        return starts.astype(np.int64), both[order, 1]

    @property
    def degrees(self) -> IntArray:
        """How many neighbours each node has, (n,)."""
        return np.diff(self.neighbours[0])

    def replace(self, **changes: Any) -> TextAttributedGraph:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def take(self, index: Any) -> TextAttributedGraph:
        """The nodes at `index` (integers or booleans) in that order, with the edges among them."""
        chosen = np.arange(len(self))[index]
        place = np.full(len(self), -1, dtype=np.int64)
        place[chosen] = np.arange(len(chosen))
        edges = place[self.edges]
        return self.replace(
            texts=self.texts[chosen], names=self.names[chosen], edges=edges[(edges >= 0).all(axis=1)],
            labels=None if self.labels is None else self.labels[chosen],
        )  # fmt: skip

    def without(self, edges: IntArray) -> TextAttributedGraph:
        """The graph without some of its edges, in either direction."""
        gone = edge_numbers(edges, len(self))
        return self.replace(edges=self.edges[~np.isin(edge_numbers(self.edges, len(self)), gone)])


def mean_of_neighbours(graph: TextAttributedGraph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the rows of `x` that belong to a node's neighbours, (n, d); zeros where it has none."""
    from scipy.sparse import csr_array

    starts, others = graph.neighbours
    walk = csr_array((np.ones(len(others), dtype=np.float32), others, starts), shape=(len(graph), len(graph)))
    return np.asarray(walk @ x / np.maximum(graph.degrees, 1)[:, None], dtype=np.float32)


def common_neighbours(graph: TextAttributedGraph, pairs: IntArray) -> NDArray[np.float64]:
    """Neighbours that the nodes of each pair share, each counted less the more it has itself (Adamic, Adar, 2003)."""
    starts, others = graph.neighbours
    weight = 1 / np.log(np.maximum(graph.degrees, 2))
    shared = [
        np.intersect1d(others[starts[a] : starts[a + 1]], others[starts[b] : starts[b + 1]]) for a, b in pairs.tolist()
    ]
    return np.array([weight[nodes].sum() for nodes in shared], dtype=np.float64)


def edge_numbers(edges: IntArray, n: int) -> IntArray:
    """A number of each pair of nodes, (m,): the same in either direction, another for each other pair."""
    ends = np.sort(edges, axis=1)
    return ends[:, 0] * n + ends[:, 1]


def undirected(edges: Any, n: int) -> IntArray:
    """Edges (m, 2), the smaller end first, sorted, each once, without loops; `ValueError` if an end is no node."""
    pairs = np.asarray(edges)
    if pairs.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(f"edges must be integers of shape (m, 2); got {pairs.dtype} of {pairs.shape}")
    if pairs.min() < 0 or pairs.max() >= n:
        raise ValueError(f"edges must name nodes in [0, {n}); got {pairs.min()} to {pairs.max()}")
    pairs = np.sort(pairs.astype(np.int64), axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


# -- subgraphs ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Neighbourhoods:
    """Subgraphs of one graph, by numbers alone; the root of each is its first node.

    Attributes
    ----------
    nodes : int array (total,)
        Nodes of the graph: those of subgraph i are `nodes[starts[i] : starts[i + 1]]`.
    starts : int array (b + 1,)
    edges : int array (m, 2)
        Undirected, each once, as positions in their own subgraph; a lone root has a loop.
    edge_starts : int array (b + 1,)
    """

    nodes: IntArray
    starts: IntArray
    edges: IntArray
    edge_starts: IntArray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __repr__(self) -> str:
        return f"Neighbourhoods({len(self)} subgraphs of {len(self.nodes) / max(1, len(self)):.1f} nodes)"

    def of(self, i: int) -> tuple[IntArray, IntArray]:
        """Nodes and edges of a subgraph."""
        return (
            self.nodes[self.starts[i] : self.starts[i + 1]],
            self.edges[self.edge_starts[i] : self.edge_starts[i + 1]],
        )

    @property
    def roots(self) -> IntArray:
        """The node that each subgraph is around, (b,)."""
        return self.nodes[self.starts[:-1]]

    def take(self, index: Any) -> Neighbourhoods:
        """The subgraphs at `index`, in that order."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        (nodes, starts), (edges, edge_starts) = (_ranges(ends, rows) for ends in (self.starts, self.edge_starts))
        return Neighbourhoods(self.nodes[nodes], starts, self.edges[edges], edge_starts)

    def domain(self, graph: TextAttributedGraph, features: NDArray[np.float32], *, hide_roots: bool = False) -> Domain:
        """The subgraphs as samples of kind node, with the labels of their roots.

        Parameters
        ----------
        graph : TextAttributedGraph
            That they were taken from.
        features : array (n, d)
            A vector of each of its nodes.
        hide_roots : bool
            Whether zeros stand in the place of what the root itself says.
        """
        features = np.asarray(features, dtype=np.float32)
        if features.ndim != 2 or len(features) != len(graph):
            raise ValueError(f"features must be of shape ({len(graph)}, d), a row per node; got {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError("features must be finite; they hold NaN or infinity")
        roots = self.roots
        names = graph.names[roots].tolist()
        if len(set(names)) < len(names):  # one node may be a root twice, with other walks
            names = [f"{name} {i}" for i, name in enumerate(names)]
        return Domain(
            x=Subgraphs(self, features, np.full(len(self), hide_roots)), kind="node",
            ids=np.array(names, dtype=np.str_), y=None if graph.labels is None else graph.labels[roots],
            classes=graph.classes, name=graph.name, credits=graph.credits,
        )  # fmt: skip


def _ranges(starts: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Places of all entries of some ranges, one range after the other, and where each of these begins."""
    sizes = np.diff(starts)[rows]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return np.arange(ends[-1]) + np.repeat(starts[rows] - ends[:-1], sizes), ends


class Subgraphs(Lazy):
    """Subgraphs whose nodes share one table of features.

    A sample is an array (k, k + d): the adjacency of its k nodes beside their features, the root in the first row.

    Parameters
    ----------
    places : Neighbourhoods
    features : float array (n, d)
    hidden : bool array (b,)
        Where zeros stand in the place of the root's features.
    """

    def __init__(self, places: Neighbourhoods, features: NDArray[np.float32], hidden: NDArray[np.bool_]) -> None:
        super().__init__(range(len(places)), self._structure)
        self.places, self.features, self.hidden = places, features, hidden

    def _structure(self, i: int) -> NDArray[np.float32]:
        nodes, edges = self.places.of(i)
        out = np.zeros((len(nodes), len(nodes) + self.features.shape[1]), dtype=np.float32)
        out[edges[:, 0], edges[:, 1]] = out[edges[:, 1], edges[:, 0]] = 1
        out[int(self.hidden[i]) :, len(nodes) :] = self.features[nodes[int(self.hidden[i]) :]]
        return out

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return self._structure(range(len(self))[int(index)])
        rows = np.arange(len(self))[index]
        return Subgraphs(self.places.take(rows), self.features, self.hidden[rows])


class GraphBatch(NamedTuple):
    """Subgraphs side by side, as a network reads them: numbers of nodes are those of the batch.

    Attributes
    ----------
    x : float array (total, d)
    edges : int array (2, m)
        Undirected, each once.
    graph : int array (total,)
        The subgraph of each node, in order.
    roots : int array (b,)
    """

    x: NDArray[np.float32]
    edges: IntArray
    graph: IntArray
    roots: IntArray


def batch_of(samples: Any) -> GraphBatch:
    """One batch of subgraphs: of `Subgraphs`, of arrays (k, k + d), or of rows (n, d), each of which is a node alone.

    Raises
    ------
    ValueError
        If there is none, widths differ, a matrix of edges is not symmetric, or a number is not finite.
    TypeError
        If samples are no numbers.
    """
    if isinstance(samples, Domain):
        samples = samples.x
    if isinstance(samples, Subgraphs):
        if not len(samples):
            raise ValueError("x must hold at least one subgraph; it is empty")
        x = samples.features[samples.places.nodes]  # a copy: what is changed later is not the table
        x[samples.places.starts[:-1][samples.hidden]] = 0
        return _side_by_side(samples.places, x)
    parts = list(samples) if isinstance(samples, (Lazy, list, tuple)) else samples
    if not isinstance(parts, list):
        parts = np.asarray(parts)
        if parts.ndim == 0:
            raise TypeError(f"x must hold subgraphs (k, k + d), or rows (n, d) of lone nodes; got {samples!r:.60}")
        if parts.ndim not in (2, 3) and not parts.dtype.hasobject:
            raise ValueError(f"x must hold subgraphs (k, k + d), or rows (n, d) of lone nodes; got {parts.shape}")
    if not len(parts):
        raise ValueError("x must hold at least one subgraph; it is empty")
    parsed = [_parted(i, np.asarray(part)) for i, part in enumerate(parts)]
    widths = {x.shape[1] for x, _ in parsed}
    if len(widths) > 1:
        raise ValueError(f"x must hold subgraphs of one number of features; got {sorted(widths)}")
    places = neighbourhoods((np.arange(len(x)), edges) for x, edges in parsed)
    return _side_by_side(places, np.concatenate([x for x, _ in parsed]))


def _parted(i: int, sample: NDArray[Any]) -> tuple[NDArray[np.float32], IntArray]:
    """Features and edges of an array (k, k + d), or of a row."""
    if sample.dtype.kind not in "fiub":
        raise TypeError(f"x must hold numbers; sample {i} holds {sample.dtype}")
    if sample.ndim == 1 and len(sample):
        sample = np.concatenate([[1], sample])[None]  # a node alone, with its loop
    if sample.ndim != 2 or sample.shape[1] <= sample.shape[0] or not len(sample):
        raise ValueError(f"x must hold subgraphs (k, k + d) with d >= 1; sample {i} is {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(f"x must be finite; sample {i} holds NaN or infinity")
    k = len(sample)
    adjacency = sample[:, :k] != 0
    if not (adjacency == adjacency.T).all():
        raise ValueError(f"x must hold undirected subgraphs; the matrix of edges of sample {i} is not symmetric")
    return sample[:, k:].astype(np.float32), np.argwhere(np.triu(adjacency))


def _side_by_side(places: Neighbourhoods, x: NDArray[np.float32]) -> GraphBatch:
    sizes, counts = np.diff(places.starts), np.diff(places.edge_starts)
    edges = places.edges + np.repeat(places.starts[:-1], counts)[:, None]
    return GraphBatch(x, edges.T.copy(), np.repeat(np.arange(len(places)), sizes), places.starts[:-1].copy())


def neighbourhoods(parts: Iterable[tuple[IntArray, IntArray]]) -> Neighbourhoods:
    """Subgraphs put together from nodes, the root first, and edges as positions among them."""
    nodes, edges = zip(*parts)
    empty = [np.empty((0, 2), dtype=np.int64)]
    return Neighbourhoods(
        np.concatenate(nodes).astype(np.int64), _begins(nodes),
        np.concatenate([*empty, *(np.asarray(part, dtype=np.int64).reshape(-1, 2) for part in edges)]), _begins(edges),
    )  # fmt: skip


def _begins(parts: Sequence[IntArray]) -> IntArray:
    """Where each part begins where all stand one after the other, and where the last one ends."""
    return np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)


# -- sampling ----------------------------------------------------------------------------------------------


def random_walks(
    graph: TextAttributedGraph, seeds: Sequence[int] | IntArray, *, steps: int = 64, restart: float = 0.5,
    random_state: int = 0,
) -> Neighbourhoods:  # fmt: skip
    """What a random walk with restart visits around every seed, with the edges that it goes along.

    Parameters
    ----------
    graph : TextAttributedGraph
    seeds : int array (b,)
        Nodes; one may stand several times, with another walk each.
    steps : int, >= 0
        Transitions. In each the walk jumps back to its seed with probability `restart`, else goes to a neighbour. The
        jump is no edge.
    restart : float in [0, 1]
    random_state : int

    Returns
    -------
    Neighbourhoods
        Edges between nodes of a subgraph that were not gone along are not in it.
    """
    roots = _checked_seeds(graph, seeds)
    if steps < 0 or not 0 <= restart <= 1:
        raise ValueError(f"steps must be at least 0 and restart in [0, 1]; got {steps!r} and {restart!r}")
    rng = np.random.default_rng(random_state)
    block = max(1, AT_ONCE // max(1, steps))
    parts = [
        part for i in range(0, len(roots), block) for part in _walked(graph, roots[i : i + block], steps, restart, rng)
    ]
    return neighbourhoods(parts)


def walk_transitions(
    graph: TextAttributedGraph, roots: IntArray, steps: int, restart: float, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Where each step of each walk begins and ends, (b, steps) both; a jump back and a rest end at -1."""
    starts, others = graph.neighbours
    current = roots.copy()
    begins, ends = (np.full((len(roots), steps), -1, dtype=np.int64) for _ in range(2))
    for t in range(steps if len(others) else 0):
        jump, pick = rng.random(len(roots)) < restart, rng.random(len(roots))
        count = starts[current + 1] - starts[current]
        goes = ~jump & (count > 0)
        place = np.minimum(starts[current] + (pick * count).astype(np.int64), len(others) - 1)
        begins[:, t], ends[:, t] = current, np.where(goes, others[place], -1)
        current = np.where(goes, ends[:, t], np.where(jump, roots, current))
    return begins, ends


def _walked(
    graph: TextAttributedGraph, roots: IntArray, steps: int, restart: float, rng: np.random.Generator
) -> Iterable[tuple[IntArray, IntArray]]:
    begins, ends = walk_transitions(graph, roots, steps, restart, rng)
    for root, begin, end in zip(roots.tolist(), begins, ends):
        gone = end >= 0
        yield _subgraph(root, np.stack([begin[gone], end[gone]], axis=1))


def _subgraph(root: int, edges: IntArray) -> tuple[IntArray, IntArray]:
    """Nodes of some edges, the root first, and the edges as positions among them; a loop where there is none."""
    if not len(edges):
        return np.array([root]), np.array([[0, 0]])
    nodes = np.unique(edges)
    nodes = np.concatenate([[root], nodes[nodes != root]])
    order = np.argsort(nodes)
    places = order[np.searchsorted(nodes[order], edges)]
    return nodes, np.unique(np.sort(places, axis=1), axis=0)


def hops(
    graph: TextAttributedGraph, seeds: Sequence[int] | IntArray, *, k: int = 3, most: int = 256, random_state: int = 0
) -> Neighbourhoods:
    """All nodes within `k` steps of every seed, with all edges among them.

    Parameters
    ----------
    graph : TextAttributedGraph
    seeds : int array (b,)
    k : int, >= 0
    most : int, >= 1
        Nodes of a subgraph: the nearest, and of the last distance some, drawn.
    random_state : int
    """
    roots = _checked_seeds(graph, seeds)
    if k < 0 or most < 1:
        raise ValueError(f"k must be at least 0 and most at least 1; got {k!r} and {most!r}")
    rng = np.random.default_rng(random_state)
    starts, others = graph.neighbours
    return neighbourhoods(_ball(int(root), starts, others, k, most, rng) for root in roots)


def _ball(
    root: int, starts: IntArray, others: IntArray, k: int, most: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    nodes = np.array([root])
    last = nodes
    for _ in range(k):
        new = np.setdiff1d(np.concatenate([others[starts[i] : starts[i + 1]] for i in last.tolist()]), nodes)
        room = most - len(nodes)
        if len(new) > room:
            new = np.sort(rng.choice(new, room, replace=False))
        if not len(new):
            break
        nodes, last = np.concatenate([nodes, new]), new
    ends = [others[starts[i] : starts[i + 1]] for i in nodes.tolist()]
    pairs = np.stack([np.repeat(nodes, [len(end) for end in ends]), np.concatenate(ends)], axis=1)
    return _subgraph(root, pairs[np.isin(pairs[:, 1], nodes)])


def sample_subgraphs(
    graph: TextAttributedGraph,
    seeds: Sequence[int] | IntArray,
    method: str = "walk",
    *,
    random_state: int = 0,
    **how: Any,
) -> Neighbourhoods:
    """Subgraphs around nodes by ``walk`` (`random_walks`) or ``hops`` (`hops`), whose settings are `how`."""
    if method not in ("walk", "hops"):
        raise ValueError(f"method must be walk or hops; got {method!r}")
    if method == "walk":
        return random_walks(graph, seeds, random_state=random_state, **how)
    return hops(graph, seeds, random_state=random_state, **how)


def _checked_seeds(graph: TextAttributedGraph, seeds: Any) -> IntArray:
    roots = np.asarray(seeds)
    if roots.ndim != 1 or not len(roots) or roots.dtype.kind not in "iu":
        raise ValueError(f"seeds must be at least one node, integers (b,); got {roots.dtype} of {roots.shape}")
    if roots.min() < 0 or roots.max() >= len(graph):
        raise ValueError(f"seeds must be nodes in [0, {len(graph)}); got {roots.min()} to {roots.max()}")
    return roots.astype(np.int64)
