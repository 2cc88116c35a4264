"""Series: tables become regular grids, and forecasts get their true dates."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.series import (
    channels_of,
    forecast_frame,
    future_values,
    grid_of,
    part,
    periods_of,
    pick,
    read_series,
    series_domain,
    table_of_text,
)
from unseen.data.time_grid import seconds_of


def table(times: pd.DatetimeIndex, **columns: object) -> pd.DataFrame:
    n = np.arange(len(times), dtype=float)
    return pd.DataFrame({"time": times, "y": n, **(columns or {"z": 2 * n})})


@pytest.mark.parametrize("step", ["15min", "30min", "h", "4h", "D", "B", "W-WED", "MS", "ME", "QS", "YS", "YE"])
def test_the_times_of_a_forecast_are_those_that_follow(step: str) -> None:
    times = pd.date_range("2024-02-01", periods=45, freq=step)
    series = read_series(table(times[:40]))
    assert grid_of(series).after(5).tolist() == times[40:].tolist()
    frame = forecast_frame(series, np.zeros((1, 5, 2)))
    assert frame.time[:5].tolist() == times[40:].tolist()
    assert frame.channel.unique().tolist() == ["y", "z"]


def test_hours_go_on_over_the_change_of_the_clock() -> None:
    times = pd.date_range("2024-03-30", periods=60, freq="h", tz="Europe/Berlin")
    series = read_series(table(times[:40]))
    assert grid_of(series).after(20).tolist() == times[40:].tz_convert("UTC").tz_localize(None).tolist()


def test_gaps_become_missing_values(caplog: pytest.LogCaptureFixture) -> None:
    times = pd.date_range("2024-01-01", periods=50, freq="h")
    series = read_series(table(times.delete([3, 4, 20])))
    x = series.x[0]
    assert x.shape == (50, 2)
    assert np.flatnonzero(np.isnan(x[:, 0])).tolist() == [3, 4, 20]
    assert series.columns["step"].tolist() == ["h"]
    assert "no rows for 3 of 50 times" in caplog.text


def test_months_with_gaps_stay_months() -> None:
    times = pd.date_range("2020-01-01", periods=40, freq="MS")
    series = read_series(table(times.delete([5, 9])))
    assert series.columns["step"].tolist() == ["MS"]
    assert len(series.x[0]) == 40


def test_irregular_times_are_averaged_on_their_median_step_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.integers(55, 66, 200)), unit="s")
    with caplog.at_level(logging.WARNING):
        series = read_series(table(times))
    assert "no regular grid" in caplog.text
    assert periods_of(series)[0] == pytest.approx(60, abs=2)
    assert 190 <= len(series.x[0]) <= 210
    with pytest.raises(ValueError, match="no regular grid; their median step"):
        read_series(table(times), irregular="raise")


def test_a_time_that_stands_twice_is_refused_and_by_tells_series_apart() -> None:
    times = pd.date_range("2024-01-01", periods=10, freq="h")
    twice = pd.concat([table(times), table(times)]).assign(shop=["a"] * 10 + ["b"] * 10)
    with pytest.raises(ValueError, match="2024-01-01 00:00:00 more than once"):
        read_series(twice)
    series = read_series(twice, by="shop")
    assert series.ids.tolist() == ["a", "b"]
    assert channels_of(series) == ("y", "z")


def test_the_hour_that_stands_twice_at_the_end_of_summer_time_is_told_as_such() -> None:
    zoned = pd.date_range("2023-10-01", "2024-11-20", freq="h", tz="Europe/Berlin")
    told = r"2023-10-29 02:00:00 twice, as local times .* with their offsets, such as 02:00\+02:00"
    with pytest.raises(ValueError, match=told):
        read_series(table(zoned.tz_localize(None)))
    assert len(read_series(table(zoned)).x[0]) == len(zoned)
    spring = pd.date_range("2024-06-01", periods=30, freq="h")
    with pytest.raises(ValueError, match="02:00:00 more than once; give `by`"):
        read_series(table(spring.insert(3, spring[2])))


def test_rows_may_come_in_any_order() -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h")
    frame = table(times)
    shuffled = frame.sample(frac=1, random_state=0)
    assert np.array_equal(read_series(frame).x[0], read_series(shuffled).x[0])


def test_csv_parquet_and_frames_are_read_alike(tmp_path: Path) -> None:
    frame = table(pd.date_range("2024-01-01", periods=30, freq="h"))
    frame.to_csv(tmp_path / "s.csv", index=False)
    frame.to_parquet(tmp_path / "s.parquet")
    frame.to_csv(tmp_path / "s.tsv", index=False, sep="\t")
    read = [read_series(tmp_path / f"s.{end}") for end in ("csv", "parquet", "tsv")] + [
        read_series(frame.set_index("time"))
    ]
    assert all(np.array_equal(r.x[0], read[0].x[0]) for r in read)
    assert all(r.columns["end"][0] == read[0].columns["end"][0] for r in read)


@pytest.mark.parametrize("end", [".csv", ".tsv"])
def test_a_separator_at_the_end_of_rows_moves_no_column(tmp_path: Path, end: str) -> None:
    times, mark = pd.date_range("2024-01-01", periods=30, freq="h"), "," if end == ".csv" else "\t"
    rows = [
        mark.join(["time", "load", "temp"]),
        *(mark.join([f"{t}", f"{100 + i}", "5", ""]) for i, t in enumerate(times)),
    ]
    (tmp_path / f"s{end}").write_text("\n".join(rows) + "\n")
    series = read_series(tmp_path / f"s{end}", columns=["load"])
    assert np.asarray(series.x[0])[:, 0].tolist() == [100.0 + i for i in range(30)]
    text = table_of_text("\n".join(rows).replace(mark, ";"))
    assert text.load.tolist() == [100 + i for i in range(30)]


def test_a_table_without_times_is_counted() -> None:
    series = read_series(pd.DataFrame({"a": np.arange(20.0)}))
    assert np.isnan(periods_of(series)[0])
    assert grid_of(series).after(3).tolist() == [20, 21, 22]
    assert grid_of(part(series, 5, 15)).after(2).tolist() == [15, 16]


@pytest.mark.parametrize(
    ("frame", "options", "told"),
    [
        (pd.DataFrame({"time": [], "y": []}), {}, "no rows"),
        (pd.DataFrame({"time": ["2024-01-01", "never"], "y": [1.0, 2.0]}), {}, "cannot be read"),
        (pd.DataFrame({"time": ["2024-01-01", None], "y": [1.0, 2.0]}), {}, "row 2 .* has no time"),
        (pd.DataFrame({"time": [1, 2], "y": [1.0, 2.0]}), {}, "must be dates"),
        (pd.DataFrame({"time": [20240101, 20240102], "y": [1.0, 2.0]}), {}, "or whole years .* such as 20240101"),
        (pd.DataFrame({"time": ["2024-01-01", "2024-01-02"], "y": ["a", "b"]}), {}, "no column of numbers"),
        (pd.DataFrame({"time": ["2024-01-01", "2024-01-02"], "y": [1, np.inf]}), {}, "infinity"),
        (pd.DataFrame({"time": ["2024-01-01"], "y": [1.0]}), {}, "at least 2 times"),
        (pd.DataFrame({"t": ["2024-01-01"], "y": [1.0]}), {"time": "when"}, "time must be a column"),
        (pd.DataFrame({"time": ["2024-01-01", "2024-01-02"], "y": [1.0, 2]}), {"columns": ["q"]}, "columns must be of"),
        (pd.DataFrame({"time": ["2024-01-01", "2024-01-02"], "y": [1.0, 2]}), {"by": "q"}, "by must be a column"),
    ],
)
def test_what_cannot_be_read_is_named(frame: pd.DataFrame, options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_series(frame, **options)  # type: ignore[arg-type]


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file"):
        read_series(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"\.csv, \.tsv or \.parquet"):
        read_series(tmp_path / "s.xlsx")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="no rows"):
        read_series(tmp_path / "empty.csv")


def test_arrays_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="at least one series"):
        series_domain([])
    with pytest.raises(ValueError, match="series 1 must be of shape"):
        series_domain([np.zeros((5, 2)), np.zeros((5, 3))])
    with pytest.raises(ValueError, match="infinity"):
        series_domain([np.array([1.0, np.inf])])
    with pytest.raises(ValueError, match="channels must be 1 names"):
        series_domain([np.zeros(5)], channels=("a", "b"))


def test_a_day_with_most_hours_missing_is_no_hourly_series() -> None:
    times = pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-09 00:00"])
    with pytest.raises(ValueError, match=r"no rows for .* of its times"):
        read_series(table(times))


def test_channels_are_picked_by_name_in_the_order_asked_for() -> None:
    series = read_series(table(pd.date_range("2024-01-01", periods=9, freq="h")))
    assert channels_of(pick(series, ["z", "y"])) == ("z", "y")
    assert np.array_equal(pick(series, ["z"]).x[0][:, 0], series.x[0][:, 1])
    with pytest.raises(ValueError, match="channels must be of y, z"):
        pick(series, ["q"])


def test_the_future_is_looked_up_by_time() -> None:
    times = pd.date_range("2024-01-01", periods=20, freq="h")
    series, future = read_series(table(times[:15])), read_series(table(times[10:]))
    assert future_values(series, future, 5, ["z"])[0, :, 0].tolist() == [10, 12, 14, 16, 18]
    with pytest.raises(ValueError, match="it lacks 2024-01-01 20:00"):
        future_values(series, future, 6, ["z"])
    holes = read_series(table(times, x=np.where(np.arange(20) == 17, np.nan, 1.0)))
    with pytest.raises(ValueError, match="x is missing at 2024-01-01 17:00"):
        future_values(series, holes, 5, ["x"])


@settings(max_examples=30, deadline=None)
@given(n=st.integers(4, 60), start=st.integers(0, 3), stop=st.integers(5, 70))
def test_a_part_keeps_its_times(n: int, start: int, stop: int) -> None:
    times = pd.date_range("2024-01-01", periods=n, freq="30min")
    cut = part(read_series(table(times)), start, stop)
    assert grid_of(cut).times.tolist() == times[start:stop].tolist()
    assert cut.x[0][:, 0].tolist() == list(range(n))[start:stop]


def test_seconds_of_steps() -> None:
    assert [seconds_of(s) for s in ("h", "15min", "D", "2D", "W-SUN")] == [3600, 900, 86400, 172800, 604800]
    assert seconds_of("MS") == pytest.approx(30.44 * 86400, rel=1e-3)
    assert seconds_of("QS") == pytest.approx(91.3 * 86400, rel=1e-3)
    assert seconds_of("YS") == pytest.approx(365.25 * 86400, rel=1e-3)


def test_a_small_wave_on_a_large_offset_keeps_its_digits() -> None:
    wave = np.sin(np.arange(100.0))
    assert series_domain([wave]).x[0].dtype == np.float32
    kept = series_domain([1e8 + wave])
    np.testing.assert_allclose(part(kept, 10, 60).x[0][:, 0] - 1e8, wave[10:60], atol=1e-6)


def dated(*dates: str) -> pd.DataFrame:
    return pd.DataFrame({"date": dates, "y": np.arange(float(len(dates)))})


def test_dates_that_may_begin_with_day_or_month_are_refused_unless_one_is_named() -> None:
    both = dated("01/02/2024", "01/03/2024", "01/04/2024")
    with pytest.raises(ValueError, match=r"may begin with the day or with the month.*day_first=True"):
        read_series(both)
    assert read_series(both, day_first=False).columns["step"].tolist() == ["D"]
    assert read_series(both, day_first=True).columns["step"].tolist() == ["MS"]


def test_a_number_above_12_tells_what_comes_first() -> None:
    assert read_series(dated("11/02/2024", "12/02/2024", "13/02/2024")).columns["step"].tolist() == ["D"]
    assert read_series(dated("02/11/2024", "02/12/2024", "02/13/2024")).columns["step"].tolist() == ["D"]
    with pytest.raises(ValueError, match=r"day_first must be False.*02/13/2024"):
        read_series(dated("02/11/2024", "02/12/2024", "02/13/2024"), day_first=True)


def test_a_time_that_cannot_be_read_is_named_in_our_words() -> None:
    with pytest.raises(ValueError, match="row 2 is 'soon'") as caught:
        read_series(dated("2024-01-01", "soon", "2024-01-03"))
    assert "format" not in str(caught.value)


@pytest.mark.parametrize("day", [2, 15, 28])
def test_months_on_another_day_than_the_first_stay_months(day: int) -> None:
    times = [f"{year}-{month:02d}-{day:02d}" for year in (2020, 2021) for month in range(1, 13)]
    series = read_series(dated(*times[:7], *times[8:]))
    assert series.columns["period"][0] == pytest.approx(30.4375 * 86400)
    assert len(series.x[0]) == 24
    assert np.isnan(series.x[0][7, 0])
    assert grid_of(part(series, 3, 9)).after(2).strftime("%F").tolist() == [f"2020-10-{day:02d}", f"2020-11-{day:02d}"]


def written(folder: Path, text: str) -> Path:
    file = folder / "demand.csv"
    file.write_text(text)
    return file


@pytest.mark.parametrize("cell", ["oops", "-", "1,5"])
def test_a_cell_that_is_no_number_among_numbers_is_named(tmp_path: Path, cell: str) -> None:
    rows = [f"2024-01-{day:02d},{day},{day}" for day in range(1, 11)]
    rows[3] = f'2024-01-04,"{cell}",4'
    file = written(tmp_path, "\n".join(["time,load,other", *rows]))
    with pytest.raises(ValueError, match=f"column 'load' of demand holds numbers, but row 4 is '{cell}'"):
        read_series(file)
    assert channels_of(read_series(file, columns=["other"])) == ("other",)


@pytest.mark.parametrize("cell", ["", "  ", "NA", "nan", "null"])
def test_empty_cells_are_missing_values(tmp_path: Path, cell: str) -> None:
    rows = [f"2024-01-{day:02d},{cell if day == 3 else day}" for day in range(1, 11)]
    x = read_series(written(tmp_path, "\n".join(["time,load", *rows]))).x[0]
    assert np.flatnonzero(np.isnan(x[:, 0])).tolist() == [2]
    assert x[3, 0] == 4


def test_a_column_of_text_is_no_channel_and_says_so_where_it_is_asked_for() -> None:
    frame = table(pd.date_range("2024-01-01", periods=9, freq="h"), y=1.0, shop="north")
    assert channels_of(read_series(frame)) == ("y",)
    with pytest.raises(ValueError, match="column 'shop' of table must hold numbers; it holds text such as 'north'"):
        read_series(frame, columns=["shop"])


@pytest.mark.parametrize("name", ["when", "Datum"])
def test_the_only_column_of_dates_is_that_of_the_times(name: str, caplog: pytest.LogCaptureFixture) -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h")
    frame = pd.DataFrame({"y": np.arange(30.0), "shop": "a1", name: times.astype(str)})
    series = read_series(frame)
    assert (series.columns["step"][0], channels_of(series)) == ("h", ("y",))
    assert not caplog.records


def test_no_column_of_dates_or_several_are_told(caplog: pytest.LogCaptureFixture) -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h").astype(str)
    several = read_series(pd.DataFrame({"made": times, "due": times, "y": np.arange(30.0)}))
    assert several.columns["step"].tolist() == [""]
    assert "several columns of dates (made, due)" in caplog.text
    assert "`time`" in caplog.text
    caplog.clear()
    read_series(pd.DataFrame({"code": ["12-A7"] * 30, "y": np.arange(30.0)}))
    assert "no column of dates (code, y)" in caplog.text
    assert "`time`" in caplog.text


@pytest.mark.parametrize("name", ["year", "date"])
def test_years_are_times(name: str) -> None:
    series = read_series(pd.DataFrame({name: range(1990, 2020), "y": np.arange(30.0)}))
    assert channels_of(series) == ("y",)
    assert grid_of(series).after(2).strftime("%F").tolist() == ["2020-01-01", "2021-01-01"]
    assert periods_of(series)[0] == pytest.approx(365.25 * 86400)


def test_years_beside_other_times_are_no_channel(caplog: pytest.LogCaptureFixture) -> None:
    frame = table(pd.date_range("2024-01-01", periods=30, freq="D"), y=1.0, Year=2024)
    assert channels_of(read_series(frame)) == ("y",)
    assert "'Year' of table holds years" in caplog.text
    assert channels_of(read_series(frame, columns=["Year"])) == ("Year",)
    months = pd.DataFrame({"year": np.repeat([2001, 2002], 12), "y": np.arange(24.0)})
    assert channels_of(read_series(months)) == ("y",)
    with pytest.raises(ValueError, match="row 2 of table has no time"):
        read_series(pd.DataFrame({"date": [2001, np.nan], "y": 1.0}))


@pytest.mark.parametrize(
    ("step", "jitter", "called"), [("h", 40.0, "h"), ("15min", 30.0, "15min"), ("7s", 0.3, "7s"), ("D", 900.0, "D")]
)
def test_jittered_times_are_brought_to_the_plain_grid_that_they_are_near(step: str, jitter: float, called: str) -> None:
    rng = np.random.default_rng(0)
    plain = pd.date_range("2024-01-01 07:00" if step != "D" else "2024-01-01", periods=300, freq=step)
    noise = np.round(rng.normal(0, jitter, 300), 3)
    series = read_series(table(plain + pd.to_timedelta(noise, unit="s"), y=np.arange(300.0)))
    assert series.columns["step"].tolist() == [called]
    assert len(series.x[0]) == 300
    np.testing.assert_array_equal(series.x[0][:, 0], np.arange(300))
    if step != "7s":
        assert grid_of(series).times.tolist() == plain.tolist()
    assert (grid_of(series).times == grid_of(series).times.floor("s")).all()


def test_times_jittered_around_half_past_stay_there() -> None:
    rng = np.random.default_rng(0)
    plain = pd.date_range("2024-01-01 00:30", periods=200, freq="h")
    series = read_series(table(plain + pd.to_timedelta(rng.integers(-60, 60, 200), unit="s")))
    assert grid_of(series).times.tolist() == plain.tolist()


def test_a_grid_on_which_most_points_are_empty_is_refused_after_resampling_too() -> None:
    rng = np.random.default_rng(1)
    hours = rng.exponential(3600, 400)
    hours[:250] = rng.exponential(600, 250)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(hours).round(3), unit="s")
    with pytest.raises(ValueError, match=r"no rows for \d+% of its times"):
        read_series(table(times))


def test_missing_points_are_counted_after_resampling(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    plain = pd.date_range("2024-01-01", periods=200, freq="h").delete(range(50, 70))
    series = read_series(table(plain + pd.to_timedelta(rng.normal(0, 30, 180).round(3), unit="s")))
    assert len(series.x[0]) == 200
    assert "no rows for 20 of 200 times" in caplog.text


def test_a_period_is_above_zero() -> None:
    for period in (-5.0, 0.0):
        with pytest.raises(ValueError, match=f"period must be seconds above 0.*got {period:g}"):
            series_domain([np.zeros(5)], period=period)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_table_may_be_separated_by_another_mark(tmp_path: Path, mark: str) -> None:
    rows = [mark.join((f"2024-01-{day:02d}", f"{day}{',' if mark == ';' else '.'}5")) for day in range(1, 11)]
    x = read_series(written(tmp_path, "\n".join([mark.join(('"time"', '"load, MW"')), *rows]))).x[0]
    np.testing.assert_array_equal(x[:, 0], np.arange(1, 11) + 0.5)


def test_decimal_commas_that_come_late_and_points_beside_them_are_numbers(tmp_path: Path) -> None:
    early = [f"2023-{m:02d}-{d:02d};1.5;0" for m in (10, 11) for d in range(1, 31)]
    late = [f"2023-12-{d:02d};1.5;0,5" for d in range(1, 21)]
    series = read_series(written(tmp_path, "\n".join(["time;temp;rain", *early, *late])), step="D")
    assert series.x[0].shape[1] == 2
    assert float(np.asarray(series.x[0])[-1, 1]) == 0.5


def test_semicolons_do_not_need_decimal_commas(tmp_path: Path) -> None:
    rows = [f"{day:02d}.01.2024;{day}.5" for day in range(1, 21)]
    series = read_series(written(tmp_path, "\n".join(["Datum;load", *rows])))
    assert series.columns["step"].tolist() == ["D"]
    np.testing.assert_array_equal(series.x[0][:, 0], np.arange(1, 21) + 0.5)


def test_a_future_of_another_step_is_told() -> None:
    series = read_series(table(pd.date_range("2024-01-01", periods=48, freq="h")))
    days = read_series(table(pd.date_range("2024-01-03", periods=9, freq="D")))
    with pytest.raises(ValueError, match=r"lacks 2024-01-03 01:00:00 \(its step is D, that of the series is h\)"):
        future_values(series, days, 5, ["z"])


def test_a_single_time_needs_a_step() -> None:
    with pytest.raises(ValueError, match="at least 2 times"):
        read_series(dated("2024-01-01"))
    assert read_series(dated("2024-01-01"), step="h").columns["period"].tolist() == [3600.0]


@pytest.mark.parametrize("step", ["0h", 5, "-1D", "ns", "often"])
def test_a_step_that_is_none_is_named_and_not_the_file(step: object) -> None:
    with pytest.raises(ValueError, match=rf"step must be what pandas calls a step, such as 'h'.* got {step!r}"):
        read_series(table(pd.date_range("2024-01-01", periods=48, freq="h")), step=step)


def test_a_few_rows_far_apart_do_not_make_a_grid_of_all_the_seconds_between() -> None:
    times = [*pd.date_range("2024-01-01", periods=5, freq="s"), pd.Timestamp("2026-07-01")]
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"has no rows for .* of its times \(step s\)"):
        read_series(pd.DataFrame({"time": times, "y": range(6)}))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20e6
