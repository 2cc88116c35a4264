"""What `unseen forecast` keeps: it goes on from later tables as the job itself would, and says what it cannot read."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from saved_kinds import SMALL_TTM, wave
from unseen.cli import app
from unseen.jobs.forecasting.forecasters import load_model
from unseen.jobs.forecasting.job import Forecast, forecast, write
from unseen.jobs.forecasting.model import ForecastModel
from unseen.jobs.forecasting.saved import example, opened, prepared
from unseen.methods.forecasting.ttm import TTM


@functools.cache
def small() -> TTM:
    return TTM(**SMALL_TTM).fit(series=wave(400, channels=2))


def table(n: int = 300, columns: tuple[str, ...] = ("load",)) -> pd.DataFrame:
    x = wave(n, channels=len(columns)).x[0]
    return pd.DataFrame(dict(zip(columns, x.T)), index=pd.date_range("2024-01-01", periods=n, freq="h", name="time"))


def kept(result: Forecast, folder: Path) -> ForecastModel:
    return ForecastModel.load(result.model.save(folder / "model"))


@pytest.mark.parametrize("method", ["ttm", "seasonal-naive", "last-value"])
def test_a_saved_choice_forecasts_what_the_job_forecasts_of_the_same_table_and_of_one_that_has_grown(
    method: str, tmp_path: Path
) -> None:
    whole = table(340)
    asked: dict[str, Any] = {"horizon": 6, "model": small(), "method": method}
    result = forecast(whole[:300], **asked)
    model = kept(result, tmp_path)
    pd.testing.assert_frame_equal(model.forecast(whole[:300]), result.table)
    later = forecast(whole, **asked).table
    found = model.forecast(whole)
    pd.testing.assert_series_equal(found.forecast, later.forecast)
    assert found.time.tolist() == later.time.tolist()
    np.testing.assert_allclose(found.high - found.low, result.table.high - result.table.low, rtol=1e-6)


def test_one_that_was_tuned_with_a_known_future_finds_it_in_the_last_rows(tmp_path: Path) -> None:
    whole = table(312, ("load", "temperature"))
    past, ahead = whole[:300], whole[["temperature"]][300:]
    quick = {"tune_epochs": 1, "tune_learning_rate": 1e-3}
    asked: dict[str, Any] = {"horizon": 12, "model": small(), "method": "ttm-tuned", "settings": quick}
    result = forecast(past, future=ahead, **asked)
    model = kept(result, tmp_path)
    known = whole.copy()
    known.loc[known.index[300:], "load"] = np.nan
    pd.testing.assert_frame_equal(model.forecast(known), result.table)
    with pytest.raises(ValueError, match="end with 12 rows that know temperature and not yet load; it ends with 0"):
        model.forecast(past)
    with pytest.raises(ValueError, match="future must be known: temperature is missing"):
        model.forecast(known.assign(temperature=known.temperature.where(np.arange(312) < 310)))
    read = prepared(tmp_path / "model")
    (tmp_path / "example.csv").write_bytes(example(tmp_path / "model"))
    assert len(opened(tmp_path / "model")([read(tmp_path / "example.csv")], 1)[0]) == 12


def test_what_does_not_read_the_future_does_not_ask_for_it_later(tmp_path: Path) -> None:
    whole = table(312, ("load", "temperature"))
    asked: dict[str, Any] = {
        "horizon": 12,
        "model": small(),
        "settings": {"tune_epochs": 1, "tune_learning_rate": 1e-3},
    }
    result = forecast(whole[:300], future=whole[["temperature"]][300:], method="last-value", **asked)
    pd.testing.assert_frame_equal(kept(result, tmp_path).forecast(whole[["load"]][:300]), result.table)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.rename(columns={"load": "demand"}), "columns must be of demand; got 'load'"),
        (lambda t: t[::24], "must have a step of h; it has D"),
        (lambda t: t[:7], "has 7 points, and 8 are the least"),
        (lambda t: t.assign(load=t.load.where(np.arange(len(t)) < 200)), "has no value in the last 64 points"),
        (lambda t: t.reset_index(drop=True), "must have a step of h; it has none"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_what_is_wrong(change: Any, told: str, tmp_path: Path) -> None:
    model = kept(forecast(table(), horizon=4, model=small(), method="ttm"), tmp_path)
    with pytest.raises(ValueError, match=told):
        model.forecast(change(table()))


def test_intervals_of_several_series_go_to_those_of_the_same_name(tmp_path: Path) -> None:
    both = pd.concat([table().assign(shop="a"), (9 * table()).assign(shop="b")])
    result = forecast(both, by="shop", horizon=3, model=small(), method="ttm")
    model = kept(result, tmp_path)
    pd.testing.assert_frame_equal(model.forecast(both), result.table)
    other = model.forecast(both.replace({"shop": {"b": "c"}}))
    assert other.low[other.series == "a"].notna().all()
    assert other.low[other.series == "c"].isna().all()


def test_the_folder_is_what_predict_takes_and_what_forecast_takes_as_a_model(tmp_path: Path) -> None:
    result = forecast(table(), horizon=5, model=small(), method="ttm")
    write(result, tmp_path / "out")
    assert load_model(tmp_path / "out").forecast(wave(64, channels=1), horizon=5).shape == (1, 5, 1)
    table(320).to_csv(tmp_path / "later.csv")
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), str(tmp_path / "later.csv"), "--json"])
    rows = json.loads(done.output)
    found = result.model.forecast(tmp_path / "later.csv")
    assert [row["time"] for row in rows] == found.time.astype(str).tolist()
    np.testing.assert_allclose([row["forecast"] for row in rows], found.forecast, rtol=0, atol=1e-6)
    naive = forecast(table(), horizon=5, model=small(), method="last-value").model.save(tmp_path / "naive")
    with pytest.raises(ValueError, match="holds no network: what was chosen learns nothing"):
        load_model(naive)


def test_a_table_is_refused_before_the_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(forecast(table(), horizon=5, model=small(), method="ttm"), tmp_path / "out")
    monkeypatch.setattr(ForecastModel, "load", lambda *_: pytest.fail("it was loaded"))
    table()[:7].to_csv(tmp_path / "short.csv")
    error = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), str(tmp_path / "short.csv")]).exception
    assert isinstance(error, ValueError)
    assert "short has 7 points, and 8 are the least" in str(error)


def dated(times: pd.DatetimeIndex) -> pd.DataFrame:
    return pd.DataFrame({"load": np.sin(np.arange(len(times)) / 4)}, index=times.rename("time"))


@pytest.mark.parametrize("step", ["W-SUN", "QS", "YS", "B", "MS", "ME", "15min", "D"])
def test_a_gap_before_or_after_does_not_change_the_step(step: str, tmp_path: Path) -> None:
    whole = dated(pd.date_range("1900-01-01", periods=90, freq=step))
    gapped = whole.drop(whole.index[40])
    pairs = ((whole, gapped), (gapped, whole))[: 1 if step == "B" else 2]  # with a gap working days are days
    for first, later in pairs:
        model = kept(forecast(first, horizon=3, model=small(), method="ttm"), tmp_path)
        assert model.forecast(later).time.tolist() == forecast(whole, horizon=3, model=small()).table.time.tolist()
        read = prepared(tmp_path / "model")
        (tmp_path / "example.csv").write_bytes(example(tmp_path / "model"))
        assert len(opened(tmp_path / "model")([read(tmp_path / "example.csv")], 1)[0]) == 3


def test_where_a_future_was_given_empty_last_rows_are_the_future_whatever_was_chosen(tmp_path: Path) -> None:
    whole = table(312, ("load", "temperature"))
    quick = {"tune_epochs": 1, "tune_learning_rate": 1e-3}
    ahead = whole[["temperature"]][300:]
    result = forecast(whole[:300], horizon=12, future=ahead, method="seasonal-naive", model=small(), settings=quick)
    known = whole.assign(load=whole.load.where(np.arange(312) < 300))
    pd.testing.assert_frame_equal(kept(result, tmp_path).forecast(known), result.table)


def test_a_series_that_is_too_short_among_others_gets_the_naive_forecast_without_intervals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = pd.concat([table(300).assign(shop="a"), (1000 * table(5)).assign(shop="b")])
    result = forecast(both, by="shop", horizon=3, model=small(), method="ttm")
    found = kept(result, tmp_path).forecast(both)
    pd.testing.assert_frame_equal(found, result.table)
    assert "b has 5 points, and 8 are the least" in caplog.text
    new = pd.concat([table(300).assign(shop="a"), (1000 * table(300)).assign(shop="c")])
    other = kept(result, tmp_path).forecast(new)
    assert other.low[other.series == "c"].isna().all()


def test_small_waves_on_large_offsets_keep_their_digits(tmp_path: Path) -> None:
    large = 1e9 + table().astype(float)
    result = forecast(large, horizon=4, model=small(), method="ttm")
    result.model.save(tmp_path / "model")
    (rows,) = opened(tmp_path / "model")([prepared(tmp_path / "model")(large)], 1)
    np.testing.assert_allclose([row["forecast"] for row in rows], result.table.forecast, atol=1e-5, rtol=0)
    assert all(row["low"] < row["forecast"] < row["high"] for row in rows)
    assert len({row["answer"].split()[3] for row in rows}) > 2


def test_columns_that_are_numbers_are_kept(tmp_path: Path) -> None:
    frame = table().rename(columns={"load": 0})
    result = forecast(frame, horizon=4, model=small(), method="ttm")
    pd.testing.assert_frame_equal(kept(result, tmp_path).forecast(frame), result.table)


@pytest.mark.parametrize(
    ("name", "value"), [("horizon", 10**9), ("least", 10**12), ("context", -1), ("chosen", "last-value-tuned")]
)
def test_a_changed_file_is_refused(name: str, value: object, tmp_path: Path) -> None:
    forecast(table(), horizon=4, model=small(), method="last-value", intervals=None).model.save(tmp_path / "model")
    file = tmp_path / "model" / "forecaster.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(ValueError, match="model"):
        ForecastModel.load(tmp_path / "model")
