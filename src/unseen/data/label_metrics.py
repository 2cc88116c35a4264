"""Distances between classes: explicit, from vectors, on graphs and on trees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray


class LabelMetric(ABC):
    """A distance between N classes that is never larger in memory than what is asked of it."""

    @abstractmethod
    def __len__(self) -> int:
        """N, the number of classes."""

    @abstractmethod
    def rows(self, index: IntArray) -> FloatArray:
        """Distances from the classes at `index` to all classes, (len(index), N)."""

    @abstractmethod
    def take(self, index: IntArray) -> LabelMetric:
        """The same distance restricted to the classes at `index`, in that order."""

    def between(self, a: IntArray, b: IntArray, block: int = 256) -> FloatArray:
        """Distances of the pairs (a[i], b[i]), (n,); at most `block` rows are asked for at once."""
        a, b = np.broadcast_arrays(np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64))
        classes, place = np.unique(a, return_inverse=True)
        out = np.empty(len(a))
        for start in range(0, len(classes), block):
            pairs = np.flatnonzero((place >= start) & (place < start + block))
            out[pairs] = self.rows(classes[start : start + block])[place[pairs] - start, b[pairs]]
        return out


class MatrixMetric(LabelMetric):
    """Distances given as a matrix (N, N): symmetric, non-negative, zero on the diagonal."""

    def __init__(self, matrix: FloatArray) -> None:
        matrix = np.asarray(matrix, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix must be square; got {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise ValueError("matrix must be finite; are some classes not connected?")
        if (matrix < 0).any() or np.diag(matrix).any() or not np.allclose(matrix, matrix.T):
            raise ValueError("matrix must be symmetric and non-negative with a zero diagonal")
        self.matrix = matrix

    def __len__(self) -> int:
        return len(self.matrix)

    def rows(self, index: IntArray) -> FloatArray:
        return self.matrix[index]

    def take(self, index: IntArray) -> MatrixMetric:
        return MatrixMetric(self.matrix[np.ix_(index, index)])


class CompleteMetric(LabelMetric):
    """All classes equally far apart: 1 between two, 0 to itself."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def rows(self, index: IntArray) -> FloatArray:
        out = np.ones((len(index), self.n))
        out[np.arange(len(index)), index] = 0
        return out

    def take(self, index: IntArray) -> CompleteMetric:
        return CompleteMetric(len(index))


class EmbeddingMetric(LabelMetric):
    """Euclidean distance between unit vectors, one per class: the self-derived metric of two-tower models."""

    def __init__(self, vectors: NDArray[Any], normalize: bool = True) -> None:
        vectors = np.asarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError(f"vectors must be finite and of shape (n_classes, d); got shape {vectors.shape}")
        if normalize:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, 1e-12)
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, index: IntArray) -> FloatArray:
        from scipy.spatial.distance import cdist

        return cdist(self.vectors[index].astype(np.float64), self.vectors.astype(np.float64))

    def take(self, index: IntArray) -> EmbeddingMetric:
        return EmbeddingMetric(self.vectors[index], normalize=False)

    def between(self, a: IntArray, b: IntArray, block: int = 4096) -> FloatArray:
        out = np.empty(len(a))
        for start in range(0, len(a), block):
            part = slice(start, start + block)
            gap = self.vectors[a[part]].astype(np.float64) - self.vectors[b[part]]
            out[part] = np.linalg.norm(gap, axis=1)
        return out


class TreeMetric(LabelMetric):
    """Length of the path between two classes in a tree, such as a taxonomy or a phylogeny.

    Parameters
    ----------
    parents : int array (M,)
        Parent of every node, -1 for the one root.
    lengths : float array (M,), optional
        Length >= 0 of the edge from each node to its parent, 1 each by default; the root's is ignored.
    nodes : int array (N,), optional
        The node of each class; inner nodes need not be classes. All nodes are unless told otherwise.

    Attributes
    ----------
    levels : tuple of int arrays
        The nodes at 0, 1, 2, ... edges from the root, in the order of their parents: siblings stand side by side.

    Raises
    ------
    ValueError
        If the parents have a cycle or not exactly one root, or a length or node is out of range.
    """

    def __init__(self, parents: IntArray, lengths: FloatArray | None = None, nodes: IntArray | None = None) -> None:
        self.parents = np.asarray(parents, dtype=np.int64).reshape(-1)
        m = len(self.parents)
        if (self.parents == -1).sum() != 1:
            raise ValueError(f"parents must hold -1 for exactly one root; got {(self.parents == -1).sum()}")
        if self.parents.min() < -1 or self.parents.max() >= m:
            raise ValueError(f"parents must lie in [-1, {m}); got {self.parents.min()}..{self.parents.max()}")
        self.lengths = np.ones(m) if lengths is None else np.array(lengths, dtype=np.float64).reshape(-1)
        if len(self.lengths) != m:
            raise ValueError(f"lengths has {len(self.lengths)} entries, there are {m} nodes")
        self.lengths[self.parents == -1] = 0
        if not np.isfinite(self.lengths).all() or (self.lengths < 0).any():
            raise ValueError("lengths must be finite and not negative")
        self.nodes = _nodes(nodes, m)
        self.levels = _levels(self.parents)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def complete(self) -> bool:
        """Whether every node of the tree is a class."""
        return len(self.nodes) == len(self.parents)

    @cached_property
    def depths(self) -> FloatArray:
        """Distance of every node from the root, (M,)."""
        depths = np.zeros(len(self.parents))
        for level in self.levels[1:]:
            depths[level] = depths[self.parents[level]] + self.lengths[level]
        return depths

    def rows(self, index: IntArray) -> FloatArray:
        source = self.nodes[np.asarray(index, dtype=np.int64)]
        ancestors = self._ancestors(source)
        distance = np.zeros((len(source), len(self.parents)))
        for level, above in zip(self.levels, ancestors):
            distance[:, level] = distance[:, self.parents[level]] + self.lengths[level]
            on = np.flatnonzero(above >= 0)
            distance[on, above[on]] = self.depths[source[on]] - self.depths[above[on]]
        return distance if self._in_order else distance[:, self.nodes]

    @cached_property
    def _in_order(self) -> bool:
        return self.complete and bool((self.nodes == np.arange(len(self.nodes))).all())

    def _ancestors(self, source: IntArray) -> list[IntArray]:
        """Per level from the root down, the ancestor-or-self of each source, -1 if it lies above, (b,)."""
        hops = np.empty(len(self.parents), dtype=np.int64)
        for h, level in enumerate(self.levels):
            hops[level] = h
        climber, at = source.copy(), hops[source]
        path: list[IntArray] = []
        for h in range(len(self.levels) - 1, -1, -1):
            at_level = at == h
            path.append(np.where(at_level, climber, -1))
            climber, at = np.where(at_level, self.parents[climber], climber), at - at_level
        return path[::-1]

    def take(self, index: IntArray) -> TreeMetric:
        return TreeMetric(self.parents, self.lengths, self.nodes[index])


def taxonomy(paths: Sequence[Sequence[str]]) -> TreeMetric:
    """A `TreeMetric` over classes that are given as paths, such as ``("animal", "bird", "owl")``.

    Every path starts below one common root; a path that is the beginning of another is an inner class.
    """
    parents, place = [-1], {tuple[str, ...](): 0}
    nodes = []
    for path in map(tuple, paths):
        for end in range(1, len(path) + 1):
            if path[:end] not in place:
                place[path[:end]] = len(parents)
                parents.append(place[path[: end - 1]])
        nodes.append(place[path])
    return TreeMetric(np.array(parents), None, np.array(nodes))


class GraphMetric(LabelMetric):
    """Length of the shortest path between two classes in an undirected graph, computed when it is asked for.

    Parameters
    ----------
    adjacency : sparse or dense array (M, M)
        Lengths > 0 of the edges, 0 where there is none; an edge may stand in one direction or in both.
    nodes : int array (N,), optional
        The node of each class; other nodes only connect. All nodes are unless told otherwise.

    Raises
    ------
    ValueError
        If the classes are not connected with one another, or a length or node is out of range.
    """

    def __init__(self, adjacency: Any, nodes: IntArray | None = None) -> None:
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import connected_components

        self.adjacency = csr_matrix(adjacency, dtype=np.float64, copy=True)
        m, other = self.adjacency.shape
        if m != other:
            raise ValueError(f"adjacency must be square; got {self.adjacency.shape}")
        if not np.isfinite(self.adjacency.data).all() or (self.adjacency.data < 0).any():
            raise ValueError("adjacency must hold finite lengths that are not negative")
        self.adjacency.eliminate_zeros()
        self.nodes = _nodes(nodes, m)
        part = connected_components(self.adjacency, directed=False)[1][self.nodes]
        if (part != part[0]).any():
            raise ValueError(f"the graph must connect all classes; class {int((part != part[0]).argmax())} is cut off")

    def __len__(self) -> int:
        return len(self.nodes)

    def rows(self, index: IntArray) -> FloatArray:
        from scipy.sparse.csgraph import dijkstra

        source = self.nodes[np.asarray(index, dtype=np.int64)]
        unweighted = bool((self.adjacency.data == 1).all())
        return dijkstra(self.adjacency, directed=False, indices=source, unweighted=unweighted)[:, self.nodes]

    def take(self, index: IntArray) -> GraphMetric:
        return GraphMetric(self.adjacency, self.nodes[index])


def _nodes(nodes: IntArray | None, m: int) -> NDArray[np.int64]:
    """The nodes of the classes, checked."""
    nodes = np.arange(m) if nodes is None else np.asarray(nodes, dtype=np.int64).reshape(-1)
    if not len(nodes) or nodes.min() < 0 or nodes.max() >= m:
        raise ValueError(f"nodes must hold at least one node, all in [0, {m})")
    if len(np.unique(nodes)) != len(nodes):
        raise ValueError("nodes must not repeat: each class has a node of its own")
    return nodes


def _levels(parents: IntArray) -> tuple[NDArray[np.int64], ...]:
    """The nodes of each level, in the order of their parents in the one above."""
    hops = _hops(parents)
    order = np.argsort(hops, kind="stable")
    levels = np.split(order, np.cumsum(np.bincount(hops))[:-1])
    place = np.zeros(len(parents), dtype=np.int64)
    for i, level in enumerate(levels[1:], start=1):
        levels[i] = level[np.argsort(place[parents[level]], kind="stable")]
        place[levels[i]] = np.arange(len(level))
    return tuple(levels)


def _hops(parents: IntArray) -> NDArray[np.int64]:
    """Edges between each node and the root, by doubling the climb; `ValueError` on a cycle."""
    hops, up = (parents >= 0).astype(np.int64), parents.copy()
    for _ in range(len(parents).bit_length() + 1):
        if (up < 0).all():
            return hops
        hops, up = hops + np.where(up >= 0, hops[up], 0), np.where(up >= 0, up[up], -1)
    raise ValueError(f"parents must form a tree; node {int((up >= 0).argmax())} lies on a cycle")
