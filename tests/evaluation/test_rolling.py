"""`Rolling`: what is seen before an origin, what is told of the future, and what is compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.series import channels_of, series_domain
from unseen.evaluation.drive import Rolling
from unseen.evaluation.rolling import ORIGINS

LOOK = Rolling(horizon=3, targets=("a",), known=("b",))


def values(n: int) -> Any:
    return np.stack([np.arange(n), -np.arange(n)], axis=1) * 1.0


def series(*lengths: int) -> Domain:
    return series_domain([values(n) for n in lengths], channels=("a", "b"))


def test_origins_are_in_the_last_third_where_something_is_to_read() -> None:
    holey = values(30)
    holey[20:24, 0] = np.nan
    several = series_domain([values(300), values(12), holey], channels=("a", "b"))
    origins = LOOK.origins(several, least=10, reach=4)
    assert (origins[0][0], origins[0][-1], len(origins[0])) == (200, 297, ORIGINS)
    assert origins[1].tolist() == []
    assert origins[2].tolist() == [20, 21, 22, 23, 25, 26, 27]
    assert [len(x) for x in LOOK.before(several, origins).x] == [200, 12, 20]


def test_a_forecast_sees_what_came_before_and_of_what_comes_only_what_is_known() -> None:
    seen: list[tuple[int, int]] = []

    def last(start: Domain, horizon: int, ahead: Domain | None) -> Any:
        assert ahead is not None
        assert channels_of(start) == ("a", "b")
        assert channels_of(ahead) == ("b",)
        seen.append((len(start.x[0]), -int(ahead.x[0][0, 0])))
        return np.repeat(start.x[0][-1:, :1], horizon, axis=0)[None]

    origins = [np.array([20, 24]), np.array([], dtype=int), np.array([26])]
    past = LOOK(series(30, 12, 30), origins, {"last": last})["last"]
    assert seen == [(20, 20), (24, 24), (26, 26)]
    assert past.truth[..., 0].tolist() == [[20, 21, 22], [24, 25, 26], [26, 27, 28]]
    assert past.forecast[..., 0].tolist() == [[19] * 3, [23] * 3, [25] * 3]
    assert past.owner.tolist() == [0, 0, 2]
    assert [len(truth) for truth, _ in past.each()] == [2, 1]
    assert LOOK(series(5), [np.array([], dtype=int)], {"last": last}) == {}
