"""Optimal transport between two sets of samples."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sinkhorn(
    cost: Float[Tensor, "n m"],
    regularization: float,
    *,
    relaxation: float = math.inf,
    iterations: int = 500,
    tolerance: float = 1e-3,
) -> Float[Tensor, "n m"]:
    """The plan of least cost between uniform weights, less `regularization` times its entropy, in the log domain [1].

    Rows sum to 1 / n and columns to 1 / m, up to `tolerance` over all rows. With a finite `relaxation`, rows may weigh
    more or less than 1 / n: their divergence from it times `relaxation` joins the cost [2]. The smaller the
    regularization, the nearer to a matching, and the more iterations it takes.

    Parameters
    ----------
    cost : Tensor (n, m)
    regularization, relaxation : float, > 0
        In the unit of the cost.

    Returns
    -------
    Tensor (n, m)

    Raises
    ------
    ValueError
        If the regularization or the relaxation is not above 0, or a cost is not finite.

    References
    ----------
    [1] Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013, algorithm 1; in
        logarithms: Peyre and Cuturi, "Computational Optimal Transport", 2019, section 4.4.
    [2] Chizat, Peyre, Schmitzer, Vialard, "Scaling Algorithms for Unbalanced Optimal Transport Problems", Mathematics
        of Computation 2018, algorithm 1 with a Kullback-Leibler divergence on one side.
    """
    for name, value in (("regularization", regularization), ("relaxation", relaxation)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0; got {value}")
    if not torch.isfinite(cost).all():
        raise ValueError("cost must be finite; it holds NaN or infinity")
    n, m = cost.shape
    kernel = -cost / regularization
    damped = 1.0 if math.isinf(relaxation) else relaxation / (relaxation + regularization)
    u, v = kernel.new_zeros(n), kernel.new_zeros(m)
    for _ in range(iterations):
        v = -math.log(m) - torch.logsumexp(kernel + u[:, None], dim=0)
        rows = torch.logsumexp(kernel + v, dim=1)
        before, u = u, damped * (-math.log(n) - rows)
        if float(((rows + u).exp() - (rows + before).exp()).abs().sum()) < tolerance:
            break
    return torch.exp(kernel + before[:, None] + v)
