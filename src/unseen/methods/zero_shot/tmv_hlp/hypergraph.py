"""Step 5: hyperedges between the views, their weights, and the similarity of nodes that share them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array, vstack
from torch import Tensor

from unseen.nn.graphs import Rows, blocks, gaussian, median_distance, sparsified, symmetric


class Hypergraph(NamedTuple):
    """Nodes in hyperedges, as a sparse root (E, n) of their similarity: sqrt(delta(e)) h~(e, v)."""

    root: csr_array

    def product(self, f: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """omega f with omega(u, v) = sum_e delta(e) h~(e, u) h~(e, v), which is never formed: it would be n x n."""
        return self.root.T @ (self.root @ f)


def hyperedge_weights(incidence: csr_array) -> Float[np.ndarray, " e"]:
    """delta(e): the mean of the positive incidences of a hyperedge, 0 if it has none."""
    positive = csr_array(incidence > 0).sum(axis=1)
    return np.asarray(incidence.sum(axis=1) / np.maximum(positive, 1)).astype(np.float64)


def hypergraph(incidence: csr_array) -> Hypergraph:
    """Weigh hyperedges by delta, and scale the incidences of every node so that it is as similar to itself as 1.

    h~(e, v) = h(e, v) / sqrt(sum_e' delta(e') h(e', v)^2); a node in no hyperedge is like none, not even itself.
    """
    root = incidence.astype(np.float64)
    root.data *= np.repeat(np.sqrt(hyperedge_weights(incidence)), np.diff(root.indptr))
    length = np.sqrt(np.bincount(root.indices, np.square(root.data), root.shape[1]))
    root.data /= np.maximum(length, np.finfo(np.float64).tiny)[root.indices]
    return Hypergraph(root)


def hyperedges(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], counts: Int[np.ndarray, " n"]) -> csr_array:
    """The hyperedges e_k of one ordered pair of views: node k in view `a` asks view `b` who is near, (n, n).

    Gaussian similarities of median width are standardized by rows, then by columns (which holds hubs down); the
    largest positive ones stay, a node's own left out; then the whole is made symmetric.
    """
    width, n = median_distance(a, b), len(a)

    def standardized(block: slice) -> Tensor:
        rows = gaussian(a[block], b, width)
        deviation, mean = torch.std_mean(rows, dim=1, keepdim=True, unbiased=False)
        return rows.sub_(mean).div_(deviation.clamp_min(torch.finfo(rows.dtype).tiny))

    mean, deviation = _of_columns(standardized, n)
    return symmetric(sparsified(lambda block: standardized(block).sub_(mean).div_(deviation), counts))


def _of_columns(rows: Rows, n: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every column of a square matrix that comes in blocks of rows."""
    total, squares = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for block in blocks(n, n):
        part = rows(block).double()
        total += part.sum(dim=0)
        squares += part.square().sum(dim=0)
    mean = total / n
    variance = (squares / n - mean.square()).clamp_min(torch.finfo(torch.float32).tiny)
    return mean, variance.sqrt()


def heterogeneous(views: Sequence[Float[Tensor, "n d"]], counts: Int[np.ndarray, " n"]) -> Hypergraph:
    """All hyperedges of all ordered pairs of different views: v (v - 1) n of them for v views."""
    pairs = [hyperedges(a, b, counts) for a, b in permutations(views, 2)]
    return hypergraph(csr_array(vstack(pairs, format="csr")))


def view_prior(views: Sequence[Float[Tensor, "n d"]], closest: float = 1e-3) -> Float[np.ndarray, " v"]:
    """P(i): how well view i agrees with the others about each node, a share, summing to 1.

    r_ij = sum_k 1 / ||psi^i_k - psi^j_k||, without nodes on which the views disagree (an angle above 90 degrees);
    P(i) = sum_{j != i} r_ij over the sum for all views. Distances below `closest` count as that. Equal shares if no
    view agrees with another.
    """
    agreement = np.zeros((len(views), len(views)))
    for i, j in permutations(range(len(views)), 2):
        distance = (views[i] - views[j]).norm(dim=1)
        near = distance[distance <= 2**0.5].clamp_min(closest)
        agreement[i, j] = float((1 / near.double()).sum())
    total = agreement.sum()
    return agreement.sum(axis=1) / total if total > 0 else np.full(len(views), 1 / len(views))
