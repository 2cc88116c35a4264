"""Graphs of nearest neighbours as sparse matrices, and labels that spread over them by sparse products."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

Rows = Callable[[slice], Tensor]
"""Some rows of a matrix too large to be held, (b, n), made anew at every call."""

Product = Callable[[Float[np.ndarray, "n c"]], Float[np.ndarray, "n c"]]
"""A symmetric matrix, known by what it makes of vectors."""

BLOCK = 2**20
"""Numbers in the rows that are worked on at once: what a processor keeps near."""


# -- neighbours --------------------------------------------------------------------------------------------


def squared_distances(a: Float[Tensor, "m d"], b: Float[Tensor, "n d"]) -> Float[Tensor, "m n"]:
    """Squared Euclidean distance of every row of `a` from every row of `b`, at least 0."""
    twice = torch.addmm(b.square().sum(dim=1), a, b.T, alpha=-2)
    return twice.add_(a.square().sum(dim=1)[:, None]).clamp_min_(0)


def median_distance(a: Float[Tensor, "m d"], b: Float[Tensor, "n d"], most: int = 2000) -> float:
    """Median squared distance of rows of `a` from rows of `b`, above 0: the usual width of a Gaussian kernel.

    Of more than `most` rows, `most` at equal steps are taken.
    """
    a, b = (x[torch.linspace(0, len(x) - 1, min(most, len(x))).long()] for x in (a, b))
    return max(float(squared_distances(a, b).median()), torch.finfo(a.dtype).tiny)


def gaussian(a: Float[Tensor, "m d"], b: Float[Tensor, "n d"], width: float) -> Float[Tensor, "m n"]:
    """exp(-||a - b||^2 / width) of every pair."""
    return squared_distances(a, b).div_(-width).exp_()


def blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows of at most `BLOCK` numbers."""
    size = max(1, BLOCK // n_columns)
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def sparsified(rows: Rows, counts: Int[np.ndarray, " n"]) -> csr_array:
    """The `counts[i]` largest positive entries of every row i of a square matrix, without its diagonal.

    Parameters
    ----------
    rows : callable
        Gives a slice of the rows, (b, n), as a tensor that may be written to. Memory is linear in what is kept.
    counts : int array (n,)
        Each at least 1; more than n - 1 are n - 1.
    """
    n = len(counts)
    counts = np.minimum(counts, n - 1)
    columns, values, kept = [], [], []
    for block in blocks(n, n):
        part = rows(block)
        nodes = torch.arange(block.start, block.stop)
        part[nodes - block.start, nodes] = -torch.inf  # no node is its own neighbour, wherever it would rank
        largest, index = part.topk(max(1, int(counts[block].max())), dim=1)
        keep = (torch.arange(largest.shape[1]) < torch.as_tensor(counts[block])[:, None]) & (largest > 0)
        columns.append(index[keep].numpy().astype(np.int32))
        values.append(largest[keep].numpy())
        kept.append(keep.sum(dim=1).numpy())
    ends = np.concatenate([[0], np.cumsum(np.concatenate(kept))])
    return csr_array((np.concatenate(values), np.concatenate(columns), ends), shape=(n, n))


def symmetric(graph: csr_array) -> csr_array:
    """(G + G') / 2: an edge that one of its two ends chose has half of its weight."""
    return csr_array((graph + graph.T) / 2)


def neighbour_graph(x: Float[Tensor, "n d"], counts: Int[np.ndarray, " n"]) -> csr_array:
    """Gaussian similarities, of median width, of each node to its `counts` nearest others; symmetric, sparse."""
    width = median_distance(x, x)
    return symmetric(sparsified(lambda block: gaussian(x[block], x, width), counts))


# -- labels ------------------------------------------------------------------------------------------------


def conjugate_gradient(
    product: Product, b: Float[np.ndarray, "n c"], tolerance: float = 1e-10, most: int = 1000
) -> Float[np.ndarray, "n c"]:
    """Solve A x = b for every column of `b`, A symmetric and positive definite, by products with A alone.

    Ends when each residual is at most `tolerance` times its column of `b`.

    Raises
    ------
    ArithmeticError
        If that takes more than `most` products.
    """
    x, residual, direction = np.zeros_like(b), b.copy(), b.copy()
    left = np.square(residual).sum(axis=0)
    enough = tolerance**2 * left
    for _ in range(most):
        open_ = left > enough
        if not open_.any():
            return x
        image = product(direction)
        length = np.divide(left, (direction * image).sum(axis=0), out=np.zeros_like(left), where=open_)
        x += length * direction
        residual -= length * image
        now = np.square(residual).sum(axis=0)
        direction = residual + np.divide(now, left, out=np.zeros_like(left), where=open_) * direction
        left = np.where(open_, now, left)
    raise ArithmeticError(f"the linear system was not solved to {tolerance:g} by {most} products")


def propagate(
    product: Product, labels: Float[np.ndarray, "n c"], alpha: float, *, repeats: int = 1, tolerance: float = 1e-10
) -> Float[np.ndarray, "n c"]:
    """Spread labels over a graph: F = (1 - alpha) (I - alpha S)^-1 L with S = D^-1/2 W D^-1/2.

    Zhou et al., "Learning with Local and Global Consistency", NeurIPS 2003. The inverse is never formed: the system is
    solved by products with W, so that memory is linear in its edges, and W may be a product of sparse factors.

    Parameters
    ----------
    product : callable
        W times an array (n, c); W is symmetric and has no negative entry. A node without edges keeps
        (1 - alpha) times its label.
    labels : array (n, c)
        L, zero where nothing is known.
    alpha : float in [0, 1)
        How much a node listens to its neighbours.
    repeats : int
        How often F takes the place of L.
    tolerance : float
        Relative residual of the solution.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha must be in [0, 1); got {alpha!r}")
    degree = product(np.ones((len(labels), 1)))
    scale = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)

    def system(f: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        return f - alpha * (scale * product(scale * f))

    for _ in range(repeats):
        labels = (1 - alpha) * conjugate_gradient(system, labels, tolerance)
    return labels
