"""Optimal transport between two sets of samples."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sinkhorn(
    cost: Float[Tensor, "n m"], regularization: float, *, iterations: int = 500, tolerance: float = 1e-3
) -> Float[Tensor, "n m"]:
    """The plan of least cost between uniform weights, less `regularization` times its entropy, in the log domain [1].

    Rows sum to 1 / n and columns to 1 / m, up to `tolerance` over all rows. The smaller the regularization, the nearer
    to a matching, and the more iterations it takes.

    Parameters
    ----------
    cost : Tensor (n, m)
    regularization : float, > 0
        In the unit of the cost.

    Returns
    -------
    Tensor (n, m)

    Raises
    ------
    ValueError
        If the regularization is not above 0, or a cost is not finite.

    References
    ----------
    [1] Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013, algorithm 1; in
        logarithms: Peyre and Cuturi, "Computational Optimal Transport", 2019, section 4.4.
    """
    if regularization <= 0:
        raise ValueError(f"regularization must be above 0; got {regularization}")
    if not torch.isfinite(cost).all():
        raise ValueError("cost must be finite; it holds NaN or infinity")
    n, m = cost.shape
    kernel = -cost / regularization
    u, v = kernel.new_zeros(n), kernel.new_zeros(m)
    for _ in range(iterations):
        u = -math.log(n) - torch.logsumexp(kernel + v, dim=1)
        v = -math.log(m) - torch.logsumexp(kernel + u[:, None], dim=0)
        off = (torch.logsumexp(kernel + v, dim=1) + u).exp() - 1 / n
        if float(off.abs().sum()) < tolerance:
            break
    return torch.exp(kernel + u[:, None] + v)
