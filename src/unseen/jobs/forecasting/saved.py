"""A saved forecaster, asked for what follows a table of a series."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.jobs import Ask, Samples, SavedModel
from unseen.spreadsheets import harmless_table

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".tsv", ".parquet")


def opened(folder: Path) -> Ask:
    """A row per series, time and column, as in forecast.csv; `top` is not looked at."""
    from unseen.jobs.forecasting.model import ForecastModel

    model = ForecastModel.load(folder)

    def ask(tables: Sequence[Any], _: int) -> list[list[dict[str, Any]]]:
        return [rows_of(model.ahead(*table)) for table in tables]

    return ask


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a forecast as plain values, to a ten-millionth of what the values of its series and column span."""
    import numpy as np

    rows = []
    for _, part in table.groupby(["series", "channel"], sort=False):
        values = part[[name for name in ("forecast", "low", "high") if name in part]].to_numpy(dtype=float)
        span = float(np.nanmax(values) - np.nanmin(values)) if np.isfinite(values).any() else 0.0
        size = math.floor(math.log10(span)) if span > 0 else 0
        rows += [_row(row, 6 - size, max(0, 2 - size)) for row in part.to_dict("records")]
    return rows


def _row(row: Mapping[Any, Any], decimals: int, shown: int) -> dict[str, Any]:
    """A row with numbers of so many decimals, and a line of fewer that tells it."""

    def number(value: Any) -> float | None:
        return round(float(value), decimals) if math.isfinite(value) else None

    record = {name: value if isinstance(value, str) else number(value) for name, value in row.items() if name != "time"}
    text = "none" if record["forecast"] is None else f"{row['forecast']:.{shown}f}"
    if record.get("low") is not None:
        text += f"  ({row['low']:.{shown}f} to {row['high']:.{shown}f})"
    return {"answer": f"{row['time']}  {row['channel']} {text}", "time": str(row["time"]), **record}


def read(path: str) -> Samples:
    """The tables of a folder, or one, by their paths: what is in them only the model can tell."""
    place = Path(path)
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in ENDINGS) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"{path} must hold tables ({', '.join(ENDINGS)}); it holds none")
    return Samples([file.stem for file in files], files)


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

    reading = Reading.load(folder)
    ahead = reading.horizon if reading.exogenous else 0
    n = max(reading.least, 16) + ahead
    wave = np.round(np.sin(np.arange(n) * math.tau / 8) + 2, 3)
    columns: dict[str, Any] = {}
    if reading.steps[0]:
        columns[reading.time or "time"] = dates_from(pd.Timestamp("2024-01-01"), reading.steps[0], n=n)
    if reading.by is not None:
        columns[reading.by] = "example"
    table = pd.DataFrame(columns | dict.fromkeys([*reading.targets, *reading.exogenous], wave))
    if ahead:
        table.loc[n - ahead :, reading.targets] = np.nan
    out = io.StringIO()
    harmless_table(table).to_csv(out, index=False)
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
