"""The committed model on ETTh1, which it has not seen (the files are the user's: UNSEEN_ETT names their folder)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from unseen.data.naive import last_value, seasonal_naive
from unseen.data.series import read_series
from unseen.methods.forecasting.ttm import pretrained

ETT = Path(os.environ.get("UNSEEN_ETT") or Path(__file__).resolve().parents[4] / "shared" / "data" / "ett")


@pytest.mark.slow
def test_zero_shot_on_etth1_beats_naive_forecasts() -> None:
    if not (ETT / "ETTh1.csv").is_file():
        pytest.skip(f"no ETTh1.csv in {ETT}; set UNSEEN_ETT")
    values = np.asarray(read_series(ETT / "ETTh1.csv").x[0], dtype=np.float64)
    train, end = values[: 12 * 30 * 24], 20 * 30 * 24
    z = (values - train.mean(axis=0)) / train.std(axis=0)
    starts = np.arange(16 * 30 * 24, end - 96, 24)
    past, truth = np.stack([z[s - 512 : s] for s in starts]), np.stack([z[s : s + 96] for s in starts])
    mse = {
        "ttm": np.mean((pretrained().forecast(past, period=3600.0) - truth) ** 2),
        "day": np.mean((seasonal_naive(past, 96, 24) - truth) ** 2),
        "last": np.mean((last_value(past, 96) - truth) ** 2),
    }
    assert mse["ttm"] < 0.95 * mse["day"], mse
    assert mse["ttm"] < 0.5 * mse["last"], mse
