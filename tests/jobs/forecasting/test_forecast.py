"""`unseen forecast`: the choice on the past, intervals, known futures, and the files, in a process of its own."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import in_process
import pages
import processes
from unseen.data.series import read_series
from unseen.jobs.forecasting import backtest
from unseen.jobs.forecasting.forecasters import forecasters, load_model
from unseen.jobs.forecasting.job import forecast, write
from unseen.methods import CORAL
from unseen.methods.base import Card
from unseen.methods.forecasting.forecaster import Forecaster, Limits
from unseen.methods.forecasting.ttm import TTM, pretrained


def table(n: int = 900, seed: int = 0, noise: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    temperature = np.convolve(rng.normal(size=n + 23), np.ones(24) / 5, mode="valid")
    y = np.sin(2 * np.pi * t / 24) + 0.8 * temperature + noise * rng.normal(size=n)
    times = pd.date_range("2024-01-01", periods=n, freq="h")
    return pd.DataFrame({"time": times, "load": y, "temperature": temperature})


def test_the_packaged_model_is_small_and_reads_512_points() -> None:
    model = pretrained()
    assert (model.context, model.horizon) == (512, 96)
    assert model.parameters_ < 250_000
    folder = Path(sys.modules["unseen.methods.forecasting.ttm"].__file__ or "").parent / "checkpoint"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 4 * 2**20
    assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors"}
    with pytest.raises(ValueError, match="context is fixed"):
        pretrained(context=96)
    with pytest.raises(ValueError, match="no parameter 'banana'"):
        pretrained(banana=1)


def test_a_forecast_has_true_dates_intervals_and_a_backtest() -> None:
    result = forecast(table()[["time", "load"]], horizon=30)
    frame = result.table
    assert frame.time.tolist() == pd.date_range("2024-02-07 12:00", periods=30, freq="h").tolist()
    assert (frame.low <= frame.forecast).all()
    assert (frame.forecast <= frame.high).all()
    assert result.backtest.method.tolist()[0] == result.chosen
    assert set(result.backtest.method) == {"ttm", "trend-seasons", "seasonal-naive", "last-value"}
    assert result.backtest.against.is_monotonic_increasing


@pytest.mark.parametrize("horizon", [100_001, 3_000_000, 10**20])
def test_a_horizon_beyond_all_sense_is_refused_before_anything_is_read(horizon: int) -> None:
    with pytest.raises(ValueError, match=rf"horizon must be at most 100,000 points; got {horizon}"):
        forecast("missing.csv", horizon=horizon)


def test_where_the_naive_forecast_wins_it_is_taken_and_said() -> None:
    days = pd.date_range("2020-01-01", periods=600, freq="h")
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=24) * rng.choice([1, 9], size=24)
    result = forecast(pd.DataFrame({"time": days, "y": np.tile(pattern, 25)}), horizon=24)
    assert result.chosen == "seasonal-naive"
    np.testing.assert_allclose(result.table.forecast, pattern, atol=1e-4)
    asked = forecast(pd.DataFrame({"time": days, "y": np.tile(pattern, 25)}), horizon=24, method="ttm")
    assert asked.chosen == "ttm"
    assert "seasonal-naive had the smallest error" in asked.why


def test_a_constant_column_does_not_hide_the_better_method() -> None:
    t = np.arange(400)
    sales = 100 + 0.1 * t + 10 * np.sin(2 * np.pi * t / 7) + np.random.default_rng(0).normal(size=400)
    frame = pd.DataFrame({"time": pd.date_range("2023-01-01", periods=400), "sales": sales, "rate": 7.1})
    alone = forecast(frame[["time", "sales"]], horizon=7)
    beside = forecast(frame, horizon=7)
    assert alone.chosen == beside.chosen == "trend-seasons"
    against = [one.backtest.set_index("method").against["trend-seasons"] for one in (alone, beside)]
    assert against[1] == pytest.approx((against[0] + 1) / 2)  # as good as the naive on the constant


def test_errors_are_of_rounding_only_where_the_naive_repeats_a_constant() -> None:
    scale = np.array([7.0, 7.0, 7.0, 7.0, 0.0, 1e6])
    floor = np.array([0.0, 1e-15, 0.0, 0.5, 0.0, 0.2])
    error = np.array([2e-7, 3e-13, 0.1, 1e-9, 0.0, 0.1])
    against = backtest._against(error, floor, scale)
    np.testing.assert_allclose(against, [1, 1, backtest.WORST, 2e-9, 1, 0.5])


def test_what_is_known_of_the_future_helps() -> None:
    whole = table(924)
    result = forecast(
        whole[:900], horizon=24, future=whole[["time", "temperature"]][900:],
        settings={"tune_epochs": 15, "tune_learning_rate": 5e-3},
    )  # fmt: skip
    errors = result.backtest.set_index("method").mae
    assert set(result.table.channel) == {"load"}
    assert errors["ttm-tuned"] < 0.8 * errors["ttm"]


def test_several_series_and_channels_in_one_table() -> None:
    a, b = table(500, 1), table(700, 2)
    both = pd.concat([a.assign(place="a"), b.assign(place="b")])
    result = forecast(both, horizon=12, by="place")
    assert result.table.groupby(["series", "channel"]).size().tolist() == [12] * 4
    first = result.table.groupby("series").time.min()
    assert first["a"] == a.time.iloc[-1] + pd.Timedelta(hours=1)
    assert first["b"] == b.time.iloc[-1] + pd.Timedelta(hours=1)


def test_a_short_series_has_a_forecast_without_intervals(caplog: pytest.LogCaptureFixture) -> None:
    short = table(60)[["time", "load"]]
    result = forecast(short, horizon=40)
    assert result.chosen == "ttm"
    assert "too short" in result.why
    assert "low" not in result.table
    assert "no intervals" in caplog.text


def test_a_model_stays_as_it_was() -> None:
    model = pretrained()
    before = model.get_params()
    forecast(table(600)[["time", "load"]], horizon=12, few_shot=0.2, model=model, settings={"tune_epochs": 1})
    assert model.get_params() == before
    assert "channels_" not in model.fitted


def test_every_series_has_intervals_of_its_own_scale_and_counts_the_same() -> None:
    small = table(500, 1)[["time", "load"]]
    large = table(500, 2)[["time", "load"]]
    both = pd.concat([small.assign(shop="a"), large.assign(load=1000 * large.load, shop="b")])
    kwargs: dict[str, Any] = {"horizon": 12, "method": "last-value"}
    result = forecast(both, by="shop", **kwargs)
    alone = {key: forecast(one.drop(columns="shop"), **kwargs) for key, one in both.groupby("shop")}
    for key, one in alone.items():
        found = result.table[result.table.series == key]
        np.testing.assert_allclose(found.high - found.low, one.table.high - one.table.low, rtol=1e-6)
    by_shop = [one.backtest.set_index("method") for one in alone.values()]
    for column in ("mae", "against", "coverage"):
        mean = np.mean([one.loc["last-value", column] for one in by_shop])
        assert result.backtest.set_index("method").loc["last-value", column] == pytest.approx(mean, rel=1e-6)


def test_a_series_with_gaps_has_intervals_where_there_are_enough_errors(caplog: pytest.LogCaptureFixture) -> None:
    holes = table(200)[["time", "load"]]
    holes.loc[150:185, "load"] = np.nan
    result = forecast(holes, horizon=24, method="last-value")
    assert np.isfinite(result.table.forecast).all()
    assert "`intervals`" in caplog.text
    missing = result.table.low.isna()
    assert missing.sum() > 0
    assert (result.table.high.isna() == missing).all()


def test_the_choice_is_tuned_again_on_all_of_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    adapt = TTM.adapt

    def noted(self: TTM, *, series: Any) -> TTM:
        lengths.append(len(series.x[0]))
        return adapt(self, series=series)

    monkeypatch.setattr(TTM, "adapt", noted)
    forecast(
        table(400)[["time", "load"]], horizon=12, few_shot=0.1, method="ttm-tuned", model=tiny(),
        settings={"tune_epochs": 1},
    )  # fmt: skip
    assert len(lengths) == 2
    assert lengths[0] < lengths[1] == 400


def test_one_row_of_the_future_is_enough_for_one_point() -> None:
    whole = table(401)
    result = forecast(
        whole[:400], horizon=1, future=whole[["time", "temperature"]][400:], model=tiny(), settings={"tune_epochs": 1}
    )
    assert result.table.time.tolist() == [whole.time[400]]


@functools.cache
def tiny() -> TTM:
    sizes = {"context": 64, "horizon": 16, "patch": 8, "width": 16, "levels": 1, "decoder_width": 8, "shortest": 16}
    return TTM(**sizes, epochs=1, steps=5, batch_size=16).fit(series=read_series(table(500)))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"settings": {"tune_epochs": 2}}, r"settings .tune_epochs. are for tuning"),
        ({"settings": {"banana": 2}}, "no parameter 'banana'"),
        ({"settings": {"tune_epochs": 0}, "few_shot": 0.5}, "tune_epochs"),
        ({"settings": {"context": 128}, "few_shot": 0.5}, "context is fixed in the pretrained model"),
        ({"settings": {"steps": 9}, "few_shot": 0.5}, "hyperparameters of tuning"),
        ({"settings": {"exogenous": ("temperature",)}, "few_shot": 0.5}, "hyperparameters of tuning"),
    ],
)
def test_settings_are_checked_before_any_work(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        forecast("nowhere.csv", horizon=12, **options)


def test_an_adapted_model_is_refused_by_name() -> None:
    tuned = tiny().set_params(tune_epochs=1).adapt(series=read_series(table(300)))
    with pytest.raises(ValueError, match=r"model must be pretrained, not adapted; .* load, temperature"):
        forecast(table(300), horizon=12, model=tuned)
    with pytest.raises(ValueError, match="model must be fitted"):
        forecast(table(300), horizon=12, model=TTM())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"horizon": 0}, "horizon"),
        ({"context": 0}, "context"),
        ({"few_shot": 1.5}, "few_shot"),
        ({"intervals": 1.0}, "intervals"),
        ({"method": "magic"}, "method must be one of auto"),
        ({"method": "ttm-tuned"}, "needs few_shot"),
        ({"context": 5}, "context must be at least 8, the least that a line goes through; got 5"),
        ({"context": 5, "method": "ttm"}, "context must be at least 32, a patch of the model; got 5"),
        ({"columns": ["q"]}, "columns must be of"),
        ({"future": pd.DataFrame({"time": pd.date_range("2024", periods=9), "q": 1.0})}, "share a column"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        forecast(table(300), **{"horizon": 12, **options})


AHEAD = pd.date_range("2024-01-13 12:00", periods=12, freq="h")


def test_a_future_without_the_offsets_of_the_series_is_told(caplog: pytest.LogCaptureFixture) -> None:
    whole = table(300)
    zoned = whole.assign(time=whole.time.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"))
    local = pd.DataFrame({"time": AHEAD + pd.Timedelta("1h"), "temperature": 1.0})
    told = "lacks 2024-01-13 12:00:00; the times of the series have offsets, those of future none, and are taken as UTC"
    with pytest.raises(ValueError, match=told):
        forecast(zoned, horizon=12, future=local, model=tiny())
    meant = pd.DataFrame({"time": AHEAD, "temperature": 1.0})
    forecast(zoned, horizon=12, future=meant, method="last-value", model=tiny(), settings={"tune_epochs": 1})
    assert "those of future none" in caplog.text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"future": True}, "method last-value does not use the future"),
        ({"few_shot": 1.0}, "method last-value does not use tuning"),
        ({"future": True, "few_shot": 1.0}, "method last-value uses neither tuning nor the future"), ({}, ""),
    ],
)  # fmt: skip
def test_what_the_method_that_is_asked_for_does_not_use_is_told(
    options: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = options | ({"future": pd.DataFrame({"time": AHEAD, "temperature": 1.0})} if "future" in options else {})
    tuning = {"settings": {"tune_epochs": 1}} if options else {}
    forecast(table(300), horizon=12, method="last-value", model=tiny(), **given, **tuning)
    assert (told in caplog.text) if told else ("uses" not in caplog.text)


@pytest.mark.parametrize("method", ["auto", "ttm", "seasonal-naive"])
@pytest.mark.parametrize(
    ("future", "told"),
    [
        (pd.DataFrame({"time": AHEAD[:9], "temperature": 1.0}), "it lacks 2024-01-13 21:00:00"),
        (pd.DataFrame({"time": AHEAD, "temperature": [1.0] * 9 + [np.nan] * 3}), "missing at 2024-01-13 21:00:00"),
        (pd.DataFrame({"time": AHEAD + pd.Timedelta("7min"), "temperature": 1.0}), "it lacks 2024-01-13 12:00:00"),
        (pd.DataFrame({"time": pd.date_range("2024-01-13", periods=12), "temperature": 1.0}), "its step is D"),
        (pd.DataFrame({"step": range(12), "temperature": 1.0}), "must both have times"),
    ],
)
def test_a_future_is_checked_before_any_work(
    method: str, future: pd.DataFrame, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("adapt", "forecast"):
        monkeypatch.setattr(TTM, work, lambda *args, **kwargs: pytest.fail("work was done"))
    with pytest.raises(ValueError, match=told):
        forecast(table(300), horizon=12, future=future, method=method, model=tiny())


def test_columns_of_the_future_that_the_series_has_not_are_told(caplog: pytest.LogCaptureFixture) -> None:
    whole = table(312)
    future = whole[["time", "temperature"]][300:].assign(price=1.0)
    forecast(whole[:300], horizon=12, future=future, model=tiny(), settings={"tune_epochs": 1})
    assert "future holds price, which the series has not" in caplog.text
    with pytest.raises(ValueError, match="columns must not name 'temperature', which future holds"):
        forecast(whole[:300], horizon=12, future=future, columns=["load", "temperature"], model=tiny())


def test_a_column_of_text_is_told_as_such_beside_a_future_too() -> None:
    whole = table(312).assign(shop="north")
    for future in (None, whole[["time", "temperature"]][300:]):
        with pytest.raises(ValueError, match="column 'shop' of table must hold numbers; it holds text"):
            forecast(whole[:300], horizon=12, columns=["shop"], future=future, model=tiny())


def test_a_step_that_pretraining_has_not_seen_is_told_once_and_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    times = pd.date_range("2024-01-01", periods=300, freq="7s")
    frame = pd.DataFrame({"time": times, "y": np.sin(np.arange(300) / 5)})
    forecast(frame, horizon=12, few_shot=0.5, model=tiny(), settings={"tune_epochs": 1})
    told = [record.getMessage() for record in caplog.records if "pretraining has seen" in record.getMessage()]
    assert told == ["pretraining has seen no series with a step of 7s: taken as unknown"]


def test_a_period_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="period must be seconds above 0, or NaN where nobody knows; got -5"):
        tiny().forecast(np.ones((1, 64, 1)), period=-5)


def test_contexts_and_horizons_far_beyond_the_model_are_told(caplog: pytest.LogCaptureFixture) -> None:
    forecast(table(400)[["time", "load"]], horizon=65, context=200, model=tiny())
    assert "context is 200; ttm reads the last 64" in caplog.text
    assert "horizon is 65; ttm forecasts 16 points at once" in caplog.text
    caplog.clear()
    forecast(table(400)[["time", "load"]], horizon=64, context=64, model=tiny())
    assert not caplog.records


def shops(**lengths: int) -> pd.DataFrame:
    return pd.concat([table(n, i)[["time", "load"]].assign(shop=key) for i, (key, n) in enumerate(lengths.items())])


@pytest.mark.parametrize("few_shot", [None, 0.5])
def test_one_short_series_does_not_stop_the_others(few_shot: float | None, caplog: pytest.LogCaptureFixture) -> None:
    both = shops(a=300, b=5, c=250)
    options: dict[str, Any] = {
        "horizon": 4, "model": tiny(), "method": "ttm" if few_shot is None else "ttm-tuned", "few_shot": few_shot,
        "settings": None if few_shot is None else {"tune_epochs": 1},
    }  # fmt: skip
    result = forecast(both, by="shop", **options)
    assert "b has 5 points, and 8 are the least" in caplog.text
    assert result.table.series.unique().tolist() == ["a", "b", "c"]
    short = result.table[result.table.series == "b"]
    np.testing.assert_allclose(short.forecast, both[both.shop == "b"].load[:4], rtol=1e-5)
    assert short.low.isna().all()
    others = forecast(both[both.shop != "b"], by="shop", **options).table
    pd.testing.assert_frame_equal(result.table[result.table.series != "b"].reset_index(drop=True), others)


def test_a_series_too_short_to_learn_from_does_not_stop_tuning() -> None:
    result = forecast(shops(a=300, b=30), by="shop", horizon=4, few_shot=0.5, model=tiny(), settings={"tune_epochs": 1})
    assert np.isfinite(result.table.forecast).all()


def test_a_short_series_alone_is_refused_unless_a_naive_forecast_is_asked_for() -> None:
    short = table(5)[["time", "load"]]
    with pytest.raises(ValueError, match=r"table has 5 points, and 8 are the least \(method=seasonal-naive"):
        forecast(short, horizon=4, model=tiny())
    assert np.isfinite(forecast(short, horizon=4, model=tiny(), method="last-value").table.forecast).all()


def test_a_column_without_a_value_is_named() -> None:
    with pytest.raises(ValueError, match="column 'load' of table has no value"):
        forecast(table(300).assign(load=np.nan), horizon=12, model=tiny())
    late = table(300)
    late.loc[200:, "load"] = np.nan
    with pytest.raises(ValueError, match="column 'load' of table has no value in the last 64 points"):
        forecast(late, horizon=12, model=tiny(), method="ttm")
    assert np.isfinite(forecast(late, horizon=12, model=tiny()).table.forecast).all()  # by what reads further back


def test_a_long_gap_in_the_past_leaves_out_what_would_be_read_there() -> None:
    gap = table(400)[["time", "load"]]
    gap.loc[260:340, "load"] = np.nan
    result = forecast(gap, horizon=4, model=tiny(), method="ttm", intervals=None)
    assert np.isfinite(result.table.forecast).all()
    assert np.isfinite(result.backtest.mae).all()


@pytest.mark.usefixtures("whole_look_back")
def test_why_tells_by_what_was_chosen() -> None:
    why = forecast(table(300)[["time", "load"]], horizon=12, model=tiny()).why
    assert why == "it had the smallest error over that of the seasonal naive in 60 forecasts of the past"


def test_files_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = forecast(table(300)[["time", "load"]], horizon=12)
    write(result, tmp_path / "out")
    found = sorted(f.name for f in (tmp_path / "out").iterdir())
    assert found == ["backtest.csv", "forecast.csv", "forecast.png", "model", "report.html"]
    assert (tmp_path / "out" / "forecast.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("unseen.jobs.forecasting.page.draw", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(result, tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    order = [sys.executable, "-m", "unseen.cli", *arguments]
    return processes.run(order, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_line_writes_what_it_says(tmp_path: Path) -> None:
    table(700)[["time", "load"]].to_csv(tmp_path / "demand.csv", index=False)
    done = run("forecast", "demand.csv", "--horizon", "24", "--out", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "chosen: " in done.stdout
    assert "seasonal-naive" in done.stdout
    frame = pd.read_csv(tmp_path / "out" / "forecast.csv")
    assert len(frame) == 24
    assert frame.time[0] == "2024-01-30 04:00:00"
    assert (tmp_path / "out" / "forecast.png").exists()
    assert "unseen forecast demand.csv --horizon 24 --out out" in pages.text_of(tmp_path / "out" / "report.html")


def test_the_command_line_tells_how_many_steps_series_have_that_end_at_unlike_times(tmp_path: Path) -> None:
    shops(a=700, b=300).to_csv(tmp_path / "demand.csv", index=False)
    done = in_process.unseen(tmp_path, "forecast", "demand.csv", "--by", "shop", "--horizon", "2", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "out holds forecast.csv (2 steps of each of 2 series, after its own end)" in done.stderr
    shops(a=300, b=300).to_csv(tmp_path / "demand.csv", index=False)
    done = in_process.unseen(tmp_path, "forecast", "demand.csv", "--by", "shop", "--horizon", "2", "--out", "out")
    assert "(2024-01-13 12:00:00 to 2024-01-13 13:00:00)" in done.stderr


def test_the_command_line_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("time,y\n2024-01-01,1\n2024-01-01,2\n2024-01-02,3\n")
    for arguments, told in (
        (["nothing.csv", "--out", "o"], "no file"),
        (["twice.csv", "--out", "o"], "more than once"),
        ([], "name a table"),
    ):
        done = in_process.unseen(tmp_path, "forecast", *arguments)
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


def test_a_model_of_ones_own_is_taken(tmp_path: Path) -> None:
    tiny().save(tmp_path / "own")
    model = TTM.load(tmp_path / "own")
    result = forecast(table(300)[["time", "load"]], horizon=40, model=model, method="ttm")
    assert len(result.table) == 40


# -- a second forecaster -----------------------------------------------------------------------------------


class Drift(Forecaster):
    """The last value, and on along the line from the first."""

    card = Card(
        slug="drift", title="Drift", venue="", summary="A line.", modalities={"series"}, protocols={"forecasting"},
        task="series",
    )  # fmt: skip

    @property
    def limits(self) -> Limits:
        return Limits(least=3)

    def fit(self, *, series: Any) -> Drift:
        self.fitted_ = True
        return self

    @classmethod
    def pretrained(cls) -> Drift:
        return cls().fit(series=read_series(table(9)))

    def forecast(self, x: Any, *, horizon: int | None = None, future: Any = None) -> Any:
        ahead = np.arange(1, (horizon or 1) + 1)[:, None]
        return np.stack([v[-1] + ahead * (v[-1] - v[0]) / (len(v) - 1) for v in (np.asarray(v) for v in x.x)])


@pytest.fixture
def drift(install: Callable[..., None]) -> None:
    install("methods", drift=Drift)


def line(n: int) -> pd.DataFrame:
    return pd.DataFrame({"time": pd.date_range("2024-01-01", periods=n, freq="h"), "y": 3.0 * np.arange(n) + 5})


def test_a_forecaster_of_another_package_is_tried_by_its_card_alone(drift: None) -> None:
    result = forecast(line(300), horizon=12, model=tiny())
    assert result.chosen == "drift"
    assert set(result.backtest.method) == {"ttm", "trend-seasons", "drift", "seasonal-naive", "last-value"}
    np.testing.assert_allclose(result.table.forecast, 3.0 * np.arange(300, 312) + 5)
    asked = forecast(table(300)[["time", "load"]], horizon=12, model=tiny(), method="drift")
    assert asked.chosen == "drift"
    assert asked.why.startswith("it was asked for")


def test_a_forecaster_reads_what_another_cannot(drift: None, caplog: pytest.LogCaptureFixture) -> None:
    result = forecast(line(5), horizon=2, model=tiny())
    assert "ttm is not tried: it cannot read this: table has 5 points, and 8 are the least" in caplog.text
    np.testing.assert_allclose(result.table.forecast, [20, 23])
    with pytest.raises(ValueError, match="the model cannot read this: table has 5 points"):
        forecast(line(5), horizon=2, model=tiny(), method="ttm")
    assert forecast(line(300), horizon=2, model=tiny(), context=4, intervals=None).chosen == "drift"


def test_each_forecaster_is_tuned_with_hyperparameters_of_its_own(drift: None) -> None:
    tuned = forecast(line(300), horizon=12, model=tiny(), few_shot=0.2, settings={"tune_epochs": 1})
    assert {"ttm", "ttm-tuned", "drift"} < set(tuned.backtest.method)
    for wanted, told in (("drift", "drift has no 'tune_epochs'"), ("drift-tuned", "must be one of auto, ttm, ttm-t")):
        with pytest.raises(ValueError, match=told):
            forecast(line(300), model=tiny(), few_shot=0.2, settings={"tune_epochs": 1}, method=wanted)


def test_a_saved_forecaster_is_read_whatever_it_is(drift: None, tmp_path: Path) -> None:
    Drift.pretrained().save(tmp_path / "own")
    assert isinstance(load_model(tmp_path / "own"), Drift)
    CORAL().save(tmp_path / "other")
    with pytest.raises(ValueError, match=r"must hold a forecaster \(ttm, trend-seasons, drift\); it holds coral"):
        load_model(tmp_path / "other")


def test_what_only_says_that_it_forecasts_is_told_and_left_out(
    install: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    class Liar(CORAL):
        card = Drift.card

    install("methods", drift=Liar)
    assert forecasters() == ("ttm", "trend-seasons")
    assert "drift is left out: its card has the task series, and Liar is no Forecaster" in caplog.text


def test_the_season_of_working_days_is_five_and_growth_is_gone_on_with(tmp_path: Path) -> None:
    days = pd.bdate_range("2023-01-02", periods=150)
    pattern = np.array([0.0, 5, 20, -10, 30])[days.day_of_week]
    work = pd.DataFrame({"time": days, "y": 100 + pattern + np.random.default_rng(0).normal(size=150)})
    found = forecast(work, horizon=10, method="seasonal-naive", intervals=None)
    truth = np.array([0.0, 5, 20, -10, 30])[pd.DatetimeIndex(found.table.time).day_of_week] + 100
    assert np.abs(found.table.forecast - truth).mean() < 3
    months = pd.date_range("2010-01-01", periods=132, freq="MS")
    t = np.arange(144)
    sales = 100 * 1.02**t * (1 + 0.3 * np.sin(2 * np.pi * t / 12))
    grown = forecast(pd.DataFrame({"time": months, "sales": sales[:132]}), horizon=12)
    assert grown.chosen == "trend-seasons"
    np.testing.assert_allclose(grown.table.forecast, sales[132:], rtol=0.05)


def test_numbers_with_marks_are_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    marked = table(100).assign(load=[f"{1000 + i:,}.50" for i in range(100)])
    result = forecast(marked, horizon=4, method="last-value", intervals=None)
    assert "load" not in set(result.table.channel)
    assert "column 'load' of table is left out: its cells, such as '1,000.50', are no plain numbers" in caplog.text


def test_what_is_known_of_the_future_is_read_by_the_regression_alone_where_it_is_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    promo = (rng.random(210) < 0.3).astype(float)
    times = pd.date_range("2024-01-01", periods=210, freq="D")
    whole = pd.DataFrame({"time": times, "y": 20 + 8 * promo + 0.1 * rng.normal(size=210), "promo": promo})
    result = forecast(whole[:200], horizon=10, future=whole[["time", "promo"]][200:], method="trend-seasons-tuned")
    assert np.abs(result.table.forecast.to_numpy() - whole.y[200:].to_numpy()).mean() < 0.5
    assert "ttm-tuned" not in set(result.backtest.method)
    write(result, tmp_path / "out")
    table_of_all = whole.assign(y=whole.y.where(np.arange(210) < 200))
    table_of_all.to_csv(tmp_path / "later.csv", index=False)
    from unseen.jobs.forecasting.model import ForecastModel

    again = ForecastModel.load(tmp_path / "out" / "model").forecast(tmp_path / "later.csv")
    np.testing.assert_allclose(again.forecast, result.table.forecast, rtol=1e-6)


def test_a_named_method_alone_says_what_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    both = pd.concat([table(200)[["time", "load"]].assign(id="a"), table(20)[["time", "load"]].assign(id="b")])
    forecast(both, horizon=4, by="id", method="trend-seasons", intervals=None)
    assert "cannot read" not in caplog.text


def test_what_cannot_be_tuned_on_so_few_points_is_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    whole = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=210, freq="D"), "y": np.arange(210.0) % 7})
    whole["promo"] = (np.arange(210) % 3 == 0).astype(float)
    result = forecast(whole[:200], horizon=10, future=whole[["time", "promo"]][200:])
    assert "ttm-tuned is not tried: series must have at least" in caplog.text
    assert "trend-seasons-tuned" in set(result.backtest.method)


def test_series_of_unlike_steps_are_gone_on_with(tmp_path: Path) -> None:
    from unseen.jobs.forecasting.model import ForecastModel

    first = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=60, freq="D"), "y": np.arange(60.0), "id": "a"})
    second = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=60, freq="2D"), "y": np.arange(60.0), "id": "b"})
    both = pd.concat([first, second])
    result = forecast(both, horizon=3, by="id", method="last-value", intervals=None)
    result.model.save(tmp_path / "m")
    again = ForecastModel.load(tmp_path / "m").forecast(both)
    assert again.time.tolist() == result.table.time.tolist()
    coarse = first[::2]
    single = forecast(first, horizon=3, by="id", method="last-value", intervals=None).model
    with pytest.raises(ValueError, match="a must have a step of D; its rows are at least 2 such steps apart"):
        single.forecast(coarse)
