"""The Pareto frontier of additive choices: one option per item, total size against total cost."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, eq=False)
class Frontier:
    """All choices that no other beats in both size and cost: sizes ascending, costs strictly descending.

    Attributes
    ----------
    sizes, costs : arrays (f,)
    choices : array (f, l)
        Which option each item takes.
    """

    sizes: NDArray[np.int64]
    costs: NDArray[np.float64]
    choices: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.sizes)

    def within(self, budget: float) -> int:
        """Position of the largest size that is at most `budget`; `ValueError` if there is none."""
        position = int(np.searchsorted(self.sizes, budget, side="right")) - 1
        if position < 0:
            raise ValueError(f"a budget of {budget:g} is below the smallest size, {self.sizes[0]}")
        return position


def frontier(costs: Float[np.ndarray, "l m"], sizes: Int[np.ndarray, "_ _"], *, max_states: int = 100_000) -> Frontier:
    """Minimize the total cost for every total size at once, by dynamic programming over the items.

    Items are merged one by one; after each, only states that are not dominated are kept. That is exact until
    there are more than `max_states`; then sizes fall into as many equal buckets, of which each keeps its
    cheapest state, and a size on the frontier may be off the optimum by one bucket per item.

    Parameters
    ----------
    costs : array (l, m)
        What option j of item i costs.
    sizes : integer array (l, m)
        How large it is, >= 0.
    max_states : int
    """
    costs, sizes = np.asarray(costs, dtype=np.float64), np.asarray(sizes, dtype=np.int64)
    if costs.ndim != 2 or costs.shape != sizes.shape or costs.size == 0:
        raise ValueError(f"costs and sizes must be of one shape (l, m); got {costs.shape} and {sizes.shape}")
    if not np.isfinite(costs).all():
        raise ValueError("costs must be finite")
    if sizes.min() < 0:
        raise ValueError(f"sizes must not be negative; got {sizes.min()}")
    n_options = costs.shape[1]
    size, cost = np.zeros(1, dtype=np.int64), np.zeros(1)
    history: list[NDArray[np.int64]] = []  # per item, the position parent * m + option of each kept state
    for item_costs, item_sizes in zip(costs, sizes):
        all_sizes = (size[:, None] + item_sizes).ravel()
        all_costs = (cost[:, None] + item_costs).ravel()
        kept = _not_dominated(all_sizes, all_costs)
        if len(kept) > max_states:
            kept = _cheapest_of_buckets(kept, all_sizes[kept], max_states)
        size, cost = all_sizes[kept], all_costs[kept]
        history.append(kept)
    choices = np.empty((len(size), len(costs)), dtype=np.int8)
    state = np.arange(len(size))
    for item in reversed(range(len(costs))):
        origin = history[item][state]
        choices[:, item] = origin % n_options
        state = origin // n_options
    return Frontier(size, cost, choices)


def _not_dominated(sizes: NDArray[np.int64], costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of the states that no state of at most their size undercuts, sizes ascending."""
    order = np.lexsort((costs, sizes))
    best_before = np.minimum.accumulate(costs[order])
    better = np.empty(len(order), dtype=bool)
    better[0] = True
    better[1:] = costs[order][1:] < best_before[:-1]
    return order[better]


def _cheapest_of_buckets(kept: NDArray[np.int64], sizes: NDArray[np.int64], n_buckets: int) -> NDArray[np.int64]:
    """The last, so the cheapest, state of each bucket of size; both ends stay."""
    bucket = (sizes - sizes[0]) * (n_buckets - 1) // max(int(sizes[-1] - sizes[0]), 1)
    last = np.append(bucket[1:] != bucket[:-1], True)
    last[0] = True
    return kept[last]
