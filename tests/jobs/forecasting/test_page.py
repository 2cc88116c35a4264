"""The page of a forecast: what is drawn, what is told of the past, and names that are no markup."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pages
from unseen.jobs.forecasting.job import Forecast, forecast
from unseen.jobs.forecasting.page import apart, write_page

BAD = "<script>alert(1)</script> $x_1$ " + "wide " * 11 + "wide"


def waves(n: int = 500, *, name: str = "load") -> pd.DataFrame:
    rng, t = np.random.default_rng(0), np.arange(n)
    values = 100 + 10 * np.sin(2 * np.pi * t / 24) + rng.normal(size=n)
    return pd.DataFrame({"time": pd.date_range("2024-01-01", periods=n, freq="h"), name: values})


def told(result: Forecast, file: Path, **more: str) -> str:
    write_page(result, file, **more)
    return pages.text_of(file)


def test_the_page_has_the_figures_of_the_backtest_and_of_the_forecast(tmp_path: Path) -> None:
    result = forecast(waves(), horizon=24, method="trend-seasons")
    said = told(result, tmp_path / "page.html", model="out", command="unseen forecast waves.csv --out out")
    row = result.backtest[result.backtest.method == "trend-seasons"].iloc[0]
    assert f"trend-seasons errs {row.against:.2f} times as much as repeating the last season" in said
    assert f"off by {row.mae:.4g} on the mean, and {100 * row.coverage:.0f} % of the values" in said
    for method, against in zip(result.backtest.method, result.backtest.against):
        assert f"{method} " in said
        assert f"{against:.3f}" in said
    first = result.table.iloc[0]
    assert f"2024-01-21 20:00:00 {first.forecast:.6g} {first.low:.6g} and {first.high:.6g}" in said
    assert "unseen predict out TABLE" in said
    assert "unseen forecast waves.csv --out out" in said
    assert len(pictures(tmp_path / "page.html")) == 4  # two, each for a screen and for a phone


def pictures(file: Path) -> list[bytes]:
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", file.read_text(encoding="utf-8"))
    return [base64.b64decode(content) for content in found]


@pytest.mark.usefixtures("whole_look_back")
def test_what_it_would_have_said_is_what_it_said_at_that_time() -> None:
    data = waves()
    result = forecast(data, horizon=24, method="last-value")
    assert len(result.starts) == len(result.said) == 60
    for (owner, start), said in zip(result.starts, result.said):
        assert owner == 0
        assert np.allclose(said[:, 0], data.load[start - 1], atol=1e-4)


def test_a_series_that_is_not_read_leaves_the_past_of_the_others_at_their_places() -> None:
    short, long = waves(20).assign(shop="short"), waves(700).assign(shop="long")
    result = forecast(pd.concat([short, long]), by="shop", horizon=12, method="ttm", few_shot=None)
    assert result.series.ids is not None
    names = {str(result.series.ids[owner]) for owner, _ in result.starts}
    assert len(next(iter(names))) > 0
    assert all(name.endswith("long") for name in names)


def test_a_series_that_is_too_short_for_a_look_at_its_past_is_told_as_unchecked(tmp_path: Path) -> None:
    result = forecast(waves(60), horizon=40, method="seasonal-naive")
    said = told(result, tmp_path / "page.html")
    assert "40 steps ahead by seasonal-naive, unchecked" in said
    assert "All methods on the past" not in said
    assert len(pictures(tmp_path / "page.html")) == 2


def test_an_error_that_cannot_be_compared_is_told_alone(tmp_path: Path) -> None:
    result = forecast(waves(60), horizon=8, method="last-value")
    table = result.backtest.assign(against=float("nan"))
    said = told(dataclasses.replace(result, backtest=table), tmp_path / "page.html")
    assert "last-value is off by " in said
    assert "errs nan" not in said


def test_names_are_text_in_page_and_drawing(tmp_path: Path) -> None:
    from PIL import Image

    result = forecast(waves(name=BAD), horizon=12, method="seasonal-naive")
    write_page(result, tmp_path / "page.html", model=BAD, command=f"unseen forecast '{BAD}'")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert html.escape(BAD) in page
    assert all(Image.open(io.BytesIO(content)).size[0] > 100 for content in pictures(tmp_path / "page.html"))


@pytest.mark.parametrize(
    ("starts", "horizon", "kept"),
    [
        ([], 3, []),
        ([5], 3, [5]),
        ([1, 2, 3, 4, 5, 6, 7], 3, [1, 4, 7]),
        ([7, 1, 5, 3], 2, [1, 3, 5, 7]),
        (list(range(100)), 1, [94, 95, 96, 97, 98, 99]),
    ],
)
def test_forecasts_that_are_drawn_do_not_overlap(starts: list[int], horizon: int, kept: list[int]) -> None:
    assert apart(starts, horizon) == kept


@pytest.mark.browser
def test_the_page_in_a_browser(tmp_path: Path, browser: Any) -> None:
    data = pd.concat([waves(300, name=BAD).assign(shop=shop) for shop in ("a", BAD)])
    write_page(forecast(data, by="shop", horizon=12, method="seasonal-naive"), tmp_path / "page.html", command=BAD)
    pages.check_in_browser(browser, tmp_path / "page.html")
