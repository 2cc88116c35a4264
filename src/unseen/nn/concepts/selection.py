"""Which samples are kept: inside each concept by a budget, and the rules that this is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from unseen.nn.concepts.budgets import Budgets, budgets, lower_bounds

Pick = Literal["hardest", "easiest", "random"]
Rule = Literal["dbp", "ssp", "random", "uniform", "similarity"]
RULES: tuple[Rule, ...] = ("dbp", "ssp", "random", "uniform", "similarity")
PICKS: tuple[Pick, ...] = ("hardest", "easiest", "random")
USES: dict[str, frozenset[str]] = {
    "dbp": frozenset({"temperature", "neighbours", "measure", "floor", "pick"}),
    "ssp": frozenset({"floor", "pick"}),
    "uniform": frozenset({"pick"}),
    "random": frozenset(),
    "similarity": frozenset(),
}
"""Which options change what a rule chooses."""
DEFAULTS = {"temperature": "auto", "neighbours": 20, "measure": "both", "floor": 0.0, "pick": "hardest"}


def check_options(rule: str, options: Mapping[str, object], name: str = "rule") -> None:
    """`ValueError` for a rule or an option that there is not, and for one that the rule has no use for.

    `name` is what messages call the rule.
    """
    if rule not in RULES:
        raise ValueError(f"{name} must be one of {', '.join(RULES)}; got {rule!r}")
    t, floor, pick = (options.get(key, DEFAULTS[key]) for key in ("temperature", "floor", "pick"))
    neighbours = options.get("neighbours", DEFAULTS["neighbours"])
    if pick not in PICKS:
        raise ValueError(f"pick must be one of {', '.join(PICKS)}; got {pick!r}")
    if t != "auto" and not (isinstance(t, int | float) and 0 < t < np.inf):
        raise ValueError(f"temperature must be auto or above 0; got {t!r}")
    if not (isinstance(neighbours, int) and neighbours >= 1):
        raise ValueError(f"neighbours must be at least 1; got {neighbours!r}")
    if not (isinstance(floor, int | float) and 0 <= floor <= 1):
        raise ValueError(f"floor must be in [0, 1]; got {floor!r}")
    for key, value in options.items():
        if value != DEFAULTS[key] and key not in USES[rule]:
            others = ", ".join(candidate for candidate in RULES if key in USES[candidate])
            raise ValueError(f"{key} has no effect with {name}={rule!r}, only with {others}; leave it out")
    if rule == "ssp" and pick == "random":
        raise ValueError(f"pick must be hardest or easiest with {name} ssp; at random is {name} random")


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """What is kept, and why so much of each concept.

    Attributes
    ----------
    indices : array of int
        Positions of the kept samples, rising.
    budgets : array (k,) of int
        How many of each concept are kept.
    complexity, d_intra, d_inter, probabilities : array (k,)
        C_j, its two factors, and P_j.
    sizes : array (k,) of int
        M_j: how many members a concept has, after quality filter and deduplication.
    clusters : array (n,) of int
        The concept of every sample, also of those that were filtered; -1 for one without an embedding.
    plan : Budgets or None
        P_j n, its projection, and the bounds; None for a rule without budgets.
    temperature : float
    """

    indices: Int[np.ndarray, " m"]
    budgets: Int[np.ndarray, " k"]
    complexity: Float[np.ndarray, " k"]
    d_intra: Float[np.ndarray, " k"]
    d_inter: Float[np.ndarray, " k"]
    probabilities: Float[np.ndarray, " k"]
    sizes: Int[np.ndarray, " k"]
    clusters: Int[np.ndarray, " n"]
    plan: Budgets | None
    temperature: float

    @property
    def mask(self) -> Bool[np.ndarray, " n"]:
        """Whether each sample is kept, (n,)."""
        mask = np.zeros(len(self.clusters), dtype=bool)
        mask[self.indices] = True
        return mask


def number(keep: float, n: int, name: str = "keep") -> int:
    """How many of n samples `keep` is: a fraction in (0, 1], or a whole number above 1; `ValueError` for anything else.

    A fraction of a sample is rounded; at least one sample is kept.
    """
    if not np.isfinite(keep) or keep <= 0 or (keep > 1 and keep != int(keep)):
        raise ValueError(f"{name} must be a fraction in (0, 1] or a whole number of samples; got {keep!r}")
    if keep <= 1:
        return max(1, round(float(keep) * n))
    if keep > n:
        raise ValueError(f"{name} must be at most {n}, the number of samples to choose from; got {int(keep)}")
    return int(keep)


def by_concept(
    labels: Int[np.ndarray, " n"],
    distances: Float[np.ndarray, " n"],
    whole: Int[np.ndarray, " k"],
    pick: Pick = "hardest",
    random_state: int = 0,
) -> NDArray[np.intp]:
    """Step 10: the first x_j members of each concept, by falling distance to the centroid (or rising, or at random).

    Ties go to the sample that stands first. Returns positions, rising.
    """
    if pick not in PICKS:
        raise ValueError(f"pick must be one of {', '.join(PICKS)}; got {pick!r}")
    if pick == "random":
        key = np.random.default_rng(random_state).random(len(labels))
    else:
        key = -distances if pick == "hardest" else distances
    order = np.lexsort((key, labels))
    sizes = np.bincount(labels, minlength=len(whole))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[place < np.repeat(whole, sizes)])


# -- what it is compared with --------------------------------------------------------------------------------


def random_rule(n: int, size: int, random_state: int = 0) -> NDArray[np.intp]:
    """n of `size` samples at random, positions rising."""
    return np.sort(np.random.default_rng(random_state).choice(size, n, replace=False))


def ssp_rule(
    n: int,
    labels: Int[np.ndarray, " n"],
    distances: Float[np.ndarray, " n"],
    k: int,
    floor: float = 0.0,
    easiest: bool = False,
) -> NDArray[np.intp]:
    """SSP-Pruning: the n samples farthest from their centroids, whatever their concept; positions, rising.

    Parameters
    ----------
    floor : float in [0, 1]
        Above 0, each concept keeps at least this share of an equal budget first, and one sample (its class balance).
    easiest : bool
        The nearest ones in place of the farthest.

    Source: Sorscher et al., "Beyond neural scaling laws: beating power law scaling via data pruning", NeurIPS 2022.
    """
    key = distances if easiest else -distances
    sizes = np.bincount(labels, minlength=k)
    least = np.minimum(lower_bounds(n, sizes, floor) if floor > 0 else 0, sizes)
    first = by_concept(labels, distances, least, "easiest" if easiest else "hardest")
    order = np.argsort(key, kind="stable")
    rest = order[~np.isin(order, first, assume_unique=True)][: n - len(first)]
    return np.sort(np.concatenate([first, rest]))


def uniform_rule(
    n: int,
    labels: Int[np.ndarray, " n"],
    distances: Float[np.ndarray, " n"],
    k: int,
    pick: Pick = "hardest",
    random_state: int = 0,
) -> NDArray[np.intp]:
    """Equal budgets for all concepts, as far as they have members; positions, rising."""
    sizes = np.bincount(labels, minlength=k)
    there = sizes > 0
    return by_concept(labels, distances, budgets(n, there / there.sum(), sizes).whole, pick, random_state)


def similarity_rule(n: int, similarity: Float[np.ndarray, " n"]) -> NDArray[np.intp]:
    """The n samples of the largest image-caption similarity; ties to the first; positions, rising."""
    return np.sort(np.argsort(-similarity, kind="stable")[:n])
