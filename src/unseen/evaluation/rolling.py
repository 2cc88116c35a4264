"""Forecasts of the past of series: what a method would have said, had it been asked then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.series import part, pick, stacked

ORIGINS = 60
"""Most forecasts of the past of one series."""

Array = NDArray[Any]
Attempt = Callable[[Domain, int, "Domain | None"], Array]
"""From series, a horizon and what is known of the future to values (n, h, c)."""


@dataclasses.dataclass(frozen=True)
class Past:
    """Forecasts of the past of one method: (n, h, c) each, and which series each is of, (n,)."""

    truth: Array
    forecast: Array
    owner: NDArray[np.int64]

    def each(self) -> Iterator[tuple[Array, Array]]:
        """Truth and forecasts of every series that has some."""
        for i in np.unique(self.owner):
            yield self.truth[self.owner == i], self.forecast[self.owner == i]


@dataclasses.dataclass(frozen=True)
class Rolling:
    """From each of some origins in the past one forecast, of which only what came before is seen.

    Parameters
    ----------
    horizon : int
        Points that are forecast.
    targets : sequence of str
        Channels that are forecast.
    known : sequence of str
        Channels that are known ahead: their values after an origin are told.
    """

    horizon: int
    targets: Sequence[str]
    known: Sequence[str] = ()

    def origins(self, series: Domain, least: int, reach: int) -> list[NDArray[np.int64]]:
        """Where forecasts begin, by series: evenly over its last third, `ORIGINS` at most, or none.

        Not before more than `least` points, nor where a column has no value among the `reach` points before, which are
        read.
        """
        out = []
        for x in series.x:
            first = max(len(x) * 2 // 3, least + 1)
            last = len(x) - self.horizon
            n = min(ORIGINS, last - first + 1)
            even = np.unique(np.linspace(first, last, n).round().astype(int)) if n > 0 else np.array([], dtype=int)
            legible = [not np.isnan(x[max(end - reach, 0) : end]).all(axis=0).any() for end in even.tolist()]
            out.append(even[np.array(legible, dtype=bool)])
        return out

    @staticmethod
    def before(series: Domain, origins: Sequence[NDArray[np.int64]]) -> Domain:
        """What came before the first forecast of each series, to learn from; all of a series that has none."""
        pieces = [part(series.take([i]), 0, int(o[0]) if len(o) else None) for i, o in enumerate(origins)]
        return stacked(pieces)

    def __call__(
        self, series: Domain, origins: Sequence[NDArray[np.int64]], attempts: Mapping[str, Attempt]
    ) -> dict[str, Past]:
        """What every method would have said; empty if no series is long enough.

        Parameters
        ----------
        series : Domain of kind series
        origins : sequence of int arrays
            Of each series, as `origins` gives them; what learns from these series learns from what is `before` them.
        attempts : mapping of name to callable
        """
        starts: list[Domain] = []
        ahead: list[Domain] = []
        truths, owners = [], []
        for i, places in enumerate(origins):
            single = series.take([i])
            for origin in places.tolist():
                starts.append(part(single, 0, origin))
                ahead.append(part(single, origin, origin + self.horizon))
                truths.append(np.asarray(pick(ahead[-1], self.targets).x[0], dtype=np.float64))
                owners.append(i)
        if not starts:
            return {}
        truth, owner = np.stack(truths), np.array(owners)
        after = [pick(a, self.known) if self.known else None for a in ahead]
        return {
            name: Past(truth, np.concatenate([run(s, self.horizon, a) for s, a in zip(starts, after)]), owner)
            for name, run in attempts.items()
        }
