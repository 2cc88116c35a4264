"""Steps 4, 6 and 7: the graphs of the views, their mixture with the hypergraph, and labels that spread over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from unseen.methods.zero_shot.tmv_hlp.hypergraph import heterogeneous
from unseen.nn.graphs import Product, neighbour_graph


def neighbour_counts(n_samples: int, n_prototypes: int, k: int, factor: int) -> Int[np.ndarray, " n"]:
    """k neighbours of every sample, factor * k of every prototype; samples stand first."""
    return np.repeat([k, factor * k], [n_samples, n_prototypes])


def affinity(
    views: Sequence[Float[Tensor, "n d"]],
    shares: Float[np.ndarray, " v"],
    counts: Int[np.ndarray, " n"],
    hyper_counts: Int[np.ndarray, " n"],
    mixture: float,
) -> Product:
    """W = mixture sum_i share_i K^i + (1 - mixture) omega, as what it makes of vectors.

    With `mixture` 1 it is the multi-view graph, with 0 the hypergraph.
    """
    graph = sum(share * neighbour_graph(x, counts) for x, share in zip(views, shares)) if mixture > 0 else None
    edges = heterogeneous(views, hyper_counts) if mixture < 1 else None

    def product(f: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        total = np.zeros_like(f)
        if graph is not None:
            total += mixture * (graph @ f)
        if edges is not None:
            total += (1 - mixture) * edges.product(f)
        return total

    return product
