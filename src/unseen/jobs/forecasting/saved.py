"""A saved forecaster, asked for what follows a table of a series."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import Ask, SavedModel

ENDINGS = (".csv", ".tsv", ".parquet")


def opened(folder: Path) -> Ask:
    """A row per series, time and column, as in forecast.csv; `top` is not looked at."""
    from unseen.jobs.forecasting.model import ForecastModel

    model = ForecastModel.load(folder)

    def ask(tables: Sequence[Any], _: int) -> list[list[dict[str, Any]]]:
        return [[_row(row) for row in model.ahead(*table).to_dict("records")] for table in tables]

    return ask


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a forecast as plain values, with a line that tells it."""
    told = {name: value if isinstance(value, str) else _number(value) for name, value in row.items() if name != "time"}
    said = f"{row['time']}  {row['channel']} {row['forecast']:.4g}"
    if told.get("low") is not None:
        said += f"  ({row['low']:.4g} to {row['high']:.4g})"
    return {"answer": said, "time": str(row["time"]), **told}


def _number(value: Any) -> float | None:
    """A number with the seven digits that single precision has; None where there is none."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def read(path: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """The tables of a folder, or one, by their paths: what is in them only the model can tell."""
    place = Path(path)
    files = sorted(one for one in place.iterdir() if one.suffix.lower() in ENDINGS) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"{path} must hold tables ({', '.join(ENDINGS)}); it holds none")
    return [file.stem for file in files], files


def prepared(folder: Path) -> Callable[[Any], Any]:
    """What reads a table as the model in a folder takes it."""
    from unseen.jobs.forecasting.model import Reading

    return Reading.load(folder)


def example(folder: Path) -> bytes:
    """A made-up table that the model can read: a wave, and no more points than it needs."""
    import numpy as np
    import pandas as pd

    from unseen.data.time_grid import dates_from
    from unseen.jobs.forecasting.model import Reading

    told = Reading.load(folder)
    ahead = told.horizon if told.exogenous else 0
    n = max(told.least, 16) + ahead
    wave = np.round(np.sin(np.arange(n) * math.tau / 8) + 2, 3)
    columns: dict[str, Any] = {}
    if told.steps[0]:
        columns[told.time or "time"] = dates_from(pd.Timestamp("2024-01-01"), told.steps[0], n=n)
    if told.by is not None:
        columns[told.by] = "example"
    table = pd.DataFrame(columns | dict.fromkeys([*told.targets, *told.exogenous], wave))
    if ahead:
        table.loc[n - ahead :, told.targets] = np.nan
    out = io.StringIO()
    table.to_csv(out, index=False)
    return out.getvalue().encode()


SAVED = SavedModel(
    what="a forecaster",
    command="unseen predict {folder} TABLE",
    file="forecaster.json",
    reads="series",
    tells="what follows",
    opened=opened,
    read=read,
    prepared=prepared,
    example=example,
    ranked=False,
)
