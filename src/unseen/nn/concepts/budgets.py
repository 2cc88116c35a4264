"""How many samples of each concept are kept: its complexity, its share, and whole numbers between bounds."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.nn.box_simplex import box_simplex_projection, round_to_total
from unseen.nn.rows import unit

Measure = Literal["both", "intra", "inter"]
MEASURES: tuple[Measure, ...] = ("both", "intra", "inter")

FILLED = 0.7
"""Share of the concepts that carry the budget under the automatic temperature, by the entropy of the shares."""


class Budgets(NamedTuple):
    """What the budget of n samples is for each of k concepts.

    Attributes
    ----------
    wanted : array (k,)
        P_j n, before bounds.
    exact : array (k,)
        The solution of the quadratic programme, of sum n.
    whole : array (k,) of int
        Rounded so that the sum is n.
    lower, upper : array (k,) of int
        The bounds; the upper one is the size of a concept.
    """

    wanted: Float[np.ndarray, " k"]
    exact: Float[np.ndarray, " k"]
    whole: Int[np.ndarray, " k"]
    lower: Int[np.ndarray, " k"]
    upper: Int[np.ndarray, " k"]

    @property
    def at_bound(self) -> Float[np.ndarray, "2"]:
        """Share of the concepts with members that are at their lower and at their upper bound."""
        there = self.upper > 0
        if not there.any():
            return np.zeros(2)
        full = there & (self.exact >= self.upper - 1e-9)
        return np.array([(there & ~full & (self.exact <= self.lower + 1e-9)).sum(), full.sum()]) / there.sum()


def intra_distance(
    labels: Int[np.ndarray, " n"], distances: Float[np.ndarray, " n"], k: int
) -> Float[np.ndarray, " k"]:
    """Step 5: the mean distance of members to their centroid, (k,); NaN for a concept of fewer than two members."""
    sizes = np.bincount(labels, minlength=k)
    sums = np.bincount(labels, weights=distances, minlength=k)
    return np.where(sizes > 1, sums / np.maximum(sizes, 1), np.nan)


def inter_distance(centroids: NDArray[np.floating] | Tensor, neighbours: int = 20) -> Float[np.ndarray, " k"]:
    """Step 6: the mean distance (1 - cosine) of each centroid to its nearest other ones, (k,).

    Parameters
    ----------
    centroids : array (k, d)
        Brought to unit length, without which a centroid need not be the nearest to itself.
    neighbours : int, >= 1
        How many; all others if there are fewer.

    Returns
    -------
    array (k,)
        NaN if there is one centroid.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1; got {neighbours}")
    c = unit(centroids).double()
    k = len(c)
    if k == 1:
        return np.full(1, np.nan)
    distances = (1 - c @ c.T).clamp_min(0)
    distances.fill_diagonal_(torch.inf)  # the centroid itself, whatever its nearest one is
    return distances.topk(min(neighbours, k - 1), dim=1, largest=False).values.mean(dim=1).numpy()


def complexity(
    intra: Float[np.ndarray, " k"], inter: Float[np.ndarray, " k"], measure: Measure = "both"
) -> Float[np.ndarray, " k"]:
    """Step 7: C_j = d_intra d_inter (or one of them alone); what is not defined gets the mean of the others."""
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}; got {measure!r}")
    c = {"both": intra * inter, "intra": intra, "inter": inter}[measure]
    known = np.isfinite(c)
    return np.where(known, c, c[known].mean() if known.any() else 0.0)


def shares(complexity: Float[np.ndarray, " k"], temperature: float) -> Float[np.ndarray, " k"]:
    """Step 8: P_j = softmax(C_j / t), (k,) of sum 1."""
    scaled = (complexity - complexity.max()) / temperature
    powers = np.exp(scaled)
    return powers / powers.sum()


def automatic_temperature(complexity: Float[np.ndarray, " k"], filled: float = FILLED) -> float:
    """The t at which exp(entropy of P) is `filled` of the number of concepts; found by bisection of its logarithm.

    Complexities of web data and of digits differ by an order of magnitude, so no constant suits both. Where all
    are equal, P is uniform at any t, and the spread is taken as 1.
    """
    spread = float(np.ptp(complexity))
    if spread <= 0 or len(complexity) < 2:
        return 1.0
    low, high = np.log(spread * 1e-4), np.log(spread * 1e4)
    for _ in range(60):
        middle = (low + high) / 2
        if _effective(shares(complexity, float(np.exp(middle)))) < filled * len(complexity):
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def _effective(p: Float[np.ndarray, " k"]) -> float:
    """exp of the entropy: how many concepts carry the shares."""
    some = p[p > 0]
    return float(np.exp(-(some * np.log(some)).sum()))


def lower_bounds(n: int, sizes: Int[np.ndarray, " k"], floor: float = 0.0) -> NDArray[np.int64]:
    """The fewest samples of each concept: one, or min(floor(ratio n / k), M_j - 1) if that is more, as in the code.

    With fewer samples than concepts there is no floor: zero.
    """
    k = max(int((sizes > 0).sum()), 1)
    if n < k:
        return np.zeros(len(sizes), dtype=np.int64)
    return np.maximum(np.minimum(int(floor * n / k), sizes - 1), np.minimum(1, sizes)).astype(np.int64)


def budgets(n: int, p: Float[np.ndarray, " k"], sizes: Int[np.ndarray, " k"], floor: float = 0.0) -> Budgets:
    """Step 9: the x nearest to P_j n with sum n and lower <= x <= M_j, and whole numbers of the same sum.

    Parameters
    ----------
    n : int
        Samples to keep, at most sum(sizes).
    p : array (k,)
        Shares, of sum 1.
    sizes : array (k,) of int
        M_j, how many samples a concept has.
    floor : float in [0, 1]
        Each concept keeps at least this share of an equal budget, and one sample.
    """
    low, wanted = lower_bounds(n, sizes, floor), p * n
    exact = box_simplex_projection(wanted, n, low, sizes)
    return Budgets(wanted, exact, round_to_total(exact, n, low, sizes), low, sizes.astype(np.int64))
