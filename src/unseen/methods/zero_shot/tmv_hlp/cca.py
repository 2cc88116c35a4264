"""Step 3: canonical correlation analysis of any number of views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Canonical(NamedTuple):
    """What all views have in common.

    Attributes
    ----------
    eigenvalues : Tensor (D,)
        Descending, in [0, number of views]; they sum to D, the total width of the views.
    directions : list of Tensor (d_i, D)
        W_i, for centred samples of view i.
    """

    eigenvalues: Float[Tensor, " D"]
    directions: list[Float[Tensor, "_ D"]]


def multiview_cca(views: Sequence[Float[Tensor, "n _"]], regularization: float = 1e-4) -> Canonical:
    """Solve C w = mu C_D w: C is the covariance of all views side by side, C_D its blocks, both + regularization I.

    Of independent views all eigenvalues are near 1; directions that v views share have v, what is left of them 0.

    Parameters
    ----------
    views : sequence of Tensor (n, d_i)
        The same n >= 2 samples in every view.
    regularization : float, > 0
        In units of the variance of the views.
    """
    from scipy.linalg import block_diag, eigh

    widths = [view.shape[1] for view in views]
    joined = np.cov(torch.cat([view.double() for view in views], dim=1).numpy(), rowvar=False)
    joined = np.atleast_2d(joined)
    joined[np.diag_indices_from(joined)] += regularization
    ends = np.cumsum(widths)
    blocks = block_diag(*(joined[end - width : end, end - width : end] for width, end in zip(widths, ends)))
    values, vectors = eigh(joined, blocks)
    directions = torch.as_tensor(vectors[:, ::-1].copy())
    return Canonical(torch.as_tensor(values[::-1].copy()).clamp_min(0), list(torch.split(directions, widths)))
