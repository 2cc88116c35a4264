"""`trend-seasons`: what it is exact on, which form it takes, what is known of the future, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.series import part, pick, read_series, series_domain
from unseen.methods.forecasting.trend_seasons import TrendSeasons, forms
from unseen.nn.state import load_state, save_state

MONTH = 30.4375 * 86400


def model(*exogenous: str, **changes: Any) -> TrendSeasons:
    made = TrendSeasons(**changes)
    made.exogenous_ = exogenous
    return made


def of(values: Any, period: float = MONTH, channels: tuple[str, ...] = ("y",)) -> Any:
    return series_domain(
        [np.asarray(values, dtype=np.float64).reshape(len(values), -1)], period=period, channels=channels
    )


def test_a_line_with_a_season_is_gone_on_with() -> None:
    t = np.arange(84)
    y = 50 + 0.7 * t + 10 * np.sin(2 * np.pi * t / 12)
    said = model(penalty=1e-6).forecast(of(y[:72]), horizon=12)
    np.testing.assert_allclose(said[0, :, 0], y[72:], rtol=1e-3)


def test_growth_that_multiplies_is_gone_on_with_by_logarithms() -> None:
    t = np.arange(132)
    y = 100 * 1.02**t * (1 + 0.3 * np.sin(2 * np.pi * t / 12))
    said = model(penalty=1e-6).forecast(of(y[:120]), horizon=12)
    np.testing.assert_allclose(said[0, :, 0], y[120:], rtol=1e-2)
    assert {form.log for form in forms(y, 12)} == {False, True}
    assert not any(form.log for form in forms(y - y.mean(), 12))


def test_a_random_walk_stays_about_where_it_is() -> None:
    y = np.cumsum(np.random.default_rng(0).normal(size=400)) + 100
    said = model().forecast(of(y, period=float("nan")), horizon=5)[0, :, 0]
    assert abs(said[0] - y[-1]) < 1
    assert abs(said[-1] - y[-1]) < 3


def test_working_days_have_a_season_of_five(tmp_path: Path) -> None:
    days = pd.bdate_range("2023-01-02", periods=200)
    y = 100 + np.array([0, 5, 20, -10, 30])[days.day_of_week]
    pd.DataFrame({"time": days, "y": y}).to_csv(tmp_path / "days.csv", index=False)
    series = read_series(tmp_path / "days.csv")
    said = model(penalty=1e-6).forecast(part(series, 0, 190), horizon=10)[0, :, 0]
    np.testing.assert_allclose(said, y[190:], atol=0.1)


def test_what_is_known_of_the_future_is_read() -> None:
    rng = np.random.default_rng(1)
    promo = (rng.random(140) < 0.3).astype(float)
    t = np.arange(140)
    y = 20 + 8 * promo + np.array([0, 1, 2, 3, 2, 1, 5])[t % 7] + 0.1 * rng.normal(size=140)
    times = pd.date_range("2024-01-01", periods=140, freq="D")
    whole = pd.DataFrame({"time": times, "y": y, "promo": promo, "price": np.where(t < 126, 3.3, 2.9)})
    past, ahead = read_series(whole[:126]), read_series(whole.drop(columns="y")[126:], step="D")
    known = ["promo", "price"]  # a price that never changed before says nothing
    one = TrendSeasons.pretrained().tuned(past, fraction=1.0, exogenous=known, seed=0, settings={})
    assert one.exogenous_ == ("promo", "price")
    assert TrendSeasons.pretrained().exogenous_ == ()
    with pytest.raises(ValueError, match="future must hold promo, price at the 14 times to come; it is missing"):
        one.forecast(past, horizon=14)
    assert np.abs(one.forecast(past, horizon=14, future=ahead)[0, :, 0] - y[126:]).mean() < 0.5
    with pytest.raises(ValueError, match="future is for exogenous channels; none were named"):
        model().forecast(pick(past, ["y"]), horizon=14, future=ahead)


@pytest.mark.parametrize("hour", [0, 6, 18])
@pytest.mark.parametrize("weeks", [10, 30])
def test_days_of_hours_begin_at_midnight_however_many_points_are_read(hour: int, weeks: int) -> None:
    times = pd.date_range("2023-01-02", periods=24 * 7 * (weeks + 1), freq="h") + pd.Timedelta(hours=hour)
    y = 100 + 20 * np.sin(2 * np.pi * np.asarray(times.hour) / 24) - 30 * (np.asarray(times.day_of_week) >= 5)
    n = 24 * 7 * weeks
    said = model().forecast(read_series(pd.DataFrame({"time": times[:n], "y": y[:n]})), horizon=168)[0, :, 0]
    assert np.abs(said - y[n:]).mean() < 1


def test_a_long_gap_at_the_end_takes_no_season_away() -> None:
    y = 20 * np.sin(2 * np.pi * np.arange(24 * 7 * 20) / 24)
    y[-500:] = np.nan
    said = model().forecast(of(y, period=3600.0), horizon=336)
    assert np.ptp(said) == pytest.approx(40, rel=0.05)


@given(seed=st.integers(0, 100), scale=st.sampled_from([1e-3, 1.0, 1e4]), shift=st.sampled_from([-20.0, -30.0]))
@settings(max_examples=20, deadline=None)
def test_it_goes_with_units_and_does_not_mind_what_is_missing(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=60) + np.tile([0, 1, 2, 3, 2, 1, 5], 9)[:60] - 20  # no logarithms of these
    y[rng.integers(0, 50, 5)] = np.nan
    whole = model().forecast(of(y, period=86400.0), horizon=7)
    moved = model().forecast(of(scale * (y + shift), period=86400.0), horizon=7)
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(moved, scale * (whole + shift), rtol=1e-3, atol=1e-3 * scale)


def test_it_reads_no_more_than_the_last_points_and_forecasts_each_series_by_itself() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 80, 1)) + 5
    two = series_domain([a, b], period=86400.0, channels=("y",))
    both = model().forecast(two, horizon=4)
    np.testing.assert_array_equal(both[1], model().forecast(two.take([1]), horizon=4)[0])
    changed = a.copy()
    changed[:40] += 1000
    one, other = (series_domain([x], period=86400.0, channels=("y",)) for x in (a, changed))
    np.testing.assert_array_equal(model(most=40).forecast(one, horizon=4), model(most=40).forecast(other, horizon=4))


def test_it_is_saved_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    save_state(tmp_path / "m", {"forecaster": model("promo")})
    assert load_state(tmp_path / "m")["forecaster"].exogenous_ == ("promo",)
    with pytest.raises(ValueError, match="horizon must be an integer of at least 1; got 0"):
        model().forecast(of(np.arange(20)), horizon=0)
    with pytest.raises(ValueError, match="at least 8 points"):
        model().forecast(of(np.arange(5)), horizon=2)
    with pytest.raises(ValueError, match="x must have the channels promo; it lacks promo"):
        model("promo").forecast(of(np.arange(20)), horizon=2)
