"""From features to class vectors: ridge regression, matching by cosine, moving prototypes, hubs held down."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def ridge(
    x: Float[Tensor, "n d"], z: Float[Tensor, "n t"], penalty: float, weights: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "d t"]:
    """The linear map W of least ``sum_i w_i ||z_i - x_i W||^2 / n + penalty ||W||^2``, in closed form and float64.

    Solved in the d features or in the n samples, whichever are fewer; both give the same W.

    Parameters
    ----------
    x, z : Tensor (n, d) and (n, t)
    penalty : float, > 0
    weights : Tensor (n,), optional
        Of the samples, at least 0; 1 each if absent. n stays the number of samples, so that weights of mean 1 keep the
        balance with the penalty.
    """
    x, z = x.double(), z.double()
    if weights is not None:
        root = weights.double().sqrt()[:, None]
        x, z = root * x, root * z
    n, d = x.shape
    if d <= n:
        return torch.linalg.solve(x.T @ x + penalty * n * torch.eye(d, dtype=x.dtype), x.T @ z)
    return x.T @ torch.linalg.solve(x @ x.T + penalty * n * torch.eye(n, dtype=x.dtype), z)


def cosines(z: Float[Tensor, "n t"], prototypes: Float[Tensor, "c t"]) -> Float[Tensor, "n c"]:
    """Cosine of every sample with every prototype."""
    return F.normalize(z, dim=1) @ F.normalize(prototypes, dim=1).T


def self_trained(prototypes: Float[Tensor, "c t"], z: Float[Tensor, "n t"], k: int) -> Float[Tensor, "c t"]:
    """Each prototype moved to the mean of the k samples (at most n) nearest to it by cosine, of unit length.

    The one step of Fu et al., "Transductive Multi-view Zero-Shot Learning", TPAMI 2015: what is projected from a domain
    with other statistics is met where it lands.
    """
    z = F.normalize(z, dim=1)
    near = cosines(z, prototypes).topk(min(k, len(z)), dim=0).indices
    return F.normalize(z[near].mean(dim=0), dim=1)


def without_hubs(scores: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Similarities with each column divided by its norm over all samples, so that no class is near to everything.

    Dinu et al., "Improving zero-shot learning by mitigating the hubness problem", ICLR 2015 (workshop).
    """
    return scores / hub_norms(scores)


def hub_norms(scores: Float[Tensor, "n c"]) -> Float[Tensor, " c"]:
    """The norm of each column, by which `without_hubs` divides it; kept, it corrects samples that come later.

    At least 1e-6: a column of zeros, of a class that is orthogonal to every sample, stays one.
    """
    return scores.norm(dim=0).clamp_min(1e-6)
