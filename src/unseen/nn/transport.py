"""Optimal transport between two sets of samples."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

ABSORBED = 20.0
"""Logarithm of a scaling from which on it is absorbed into the kernel: far from what float32 holds."""
SMALLEST = 1e-37


def sinkhorn(
    cost: Float[Tensor, "n m"],
    regularization: float,
    *,
    relaxation: float = math.inf,
    iterations: int = 500,
    tolerance: float = 1e-3,
) -> Float[Tensor, "n m"]:
    """The plan of least cost between uniform weights, less `regularization` times its entropy [1].

    Rows and columns are scaled in turn by two products with one kernel, into which the scaling so far is absorbed as it
    grows, so that no number over- or underflows [3]: the plan of the log domain, which takes 2 to 30 times as long.

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
    [3] Schmitzer, "Stabilized Sparse Scaling Algorithms for Entropy Regularized Transport Problems", SIAM Journal on
        Scientific Computing 2019, section 3.1.
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
    v = -math.log(m) - torch.logsumexp(kernel + u[:, None], dim=0)
    plan = torch.exp(kernel + u[:, None] + v)  # the kernel with the logarithms u and v of all scaling so far absorbed
    a, b = kernel.new_ones(n), kernel.new_ones(m)  # the scaling since: the plan is a[:, None] * plan * b
    for iteration in range(iterations):
        if iteration:
            b = b / (m * b * (a @ plan)).clamp_min(SMALLEST)
        rows = plan @ b
        before, a = a, (-damped * (math.log(n) + torch.log(rows.clamp_min(SMALLEST))) - (1 - damped) * u).exp()
        if float(((a - before) * rows).abs().sum()) < tolerance:
            break
        if max(float(a.log().abs().max()), float(b.log().abs().max())) > ABSORBED:
            u, v = u + a.log(), v + b.log()
            plan, a, b = torch.exp(kernel + u[:, None] + v), kernel.new_ones(n), kernel.new_ones(m)
    return before[:, None] * plan * b
