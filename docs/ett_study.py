"""From one transformer station to another: a TTM pretrained on ETTh2 alone, on the test part of ETTh1.

`python docs/ett_study.py FOLDER --seeds 0 1 2` prints the table of the page on forecasting; FOLDER holds ETTh1.csv and
ETTh2.csv (Zhou et al., AAAI 2021; CC BY-ND 4.0). 256 hours are read and 48 are forecast, of all seven columns. The
first 16 months of ETTh2 are for pretraining, of ETTh1 the first 12 for tuning and months 17 to 20 for the test, in
units of the mean and deviation of the first 12 months, as the paper does. Five minutes of one core for a seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.claims import ttm as claim
from unseen.data.domain import Domain
from unseen.data.naive import last_value, seasonal_naive
from unseen.data.series import part, read_series, series_domain
from unseen.methods.forecasting.ttm import TTM, pretrained
from unseen.runtime import without_checkpoints

Array = NDArray[Any]

MONTH, HOUR = 30 * 24, 3600.0
TRAIN, KNOWN, END = 12 * MONTH, 16 * MONTH, 20 * MONTH
SETTINGS: dict[str, Any] = {
    "context": 256, "horizon": 48, "patch": 32, "width": 48, "decoder_width": 32, "epochs": 7, "steps": 100,
    "batch_size": 256, "learning_rate": 3e-3,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "zero-shot": {},
    "zero-shot, without downsampled copies": {"downsampling": False},
    "zero-shot, without the prefix": {"prefix": False},
    "zero-shot, without levels": {"levels": 0, "layers": 6},
}
FEW = 0.05
"""Share of the windows of the training part that tuning and the linear map learn from, the last ones."""


def standardized(file: Path) -> Domain:
    """All columns, with mean 0 and deviation 1 over the first 12 months."""
    series = read_series(file)
    values = np.asarray(series.x[0], dtype=np.float64)
    mean, deviation = values[:TRAIN].mean(axis=0), values[:TRAIN].std(axis=0)
    names = series.columns["channels"][0].tolist()
    return series_domain([(values - mean) / deviation], period=HOUR, channels=names, name=file.stem)


def trained(series: Domain, seed: int, **settings: Any) -> TTM:
    """A small TTM that has seen `series` alone."""
    with without_checkpoints():
        return TTM(**{**SETTINGS, "random_state": seed, **settings}).fit(series=series)


def linear(known: Domain, past: Array) -> Array:
    """The linear map of the claim, one for each column."""
    values, horizon = np.asarray(known.x[0]), SETTINGS["horizon"]
    columns = [
        claim.linear(series_domain([values[:, [c]]], period=HOUR), SETTINGS["context"], horizon, FEW)(past[..., [c]])
        for c in range(values.shape[1])
    ]
    return np.concatenate(columns, axis=2)


def errors(folder: Path, seed: int) -> dict[str, float]:
    """The mean squared error of every arm on ETTh1's test part, over all columns."""
    horizon = SETTINGS["horizon"]
    target, source = standardized(folder / "ETTh1.csv"), part(standardized(folder / "ETTh2.csv"), 0, KNOWN)
    known = part(target, 0, TRAIN)
    past, truth = claim.windows(target, np.arange(KNOWN, END - horizon + 1, 4), SETTINGS["context"], horizon)
    models = {arm: trained(source, seed, **settings) for arm, settings in ARMS.items()}
    forecasts = {arm: model.forecast(past, period=HOUR) for arm, model in models.items()}
    few = claim.tuned(models["zero-shot"], known, fraction=FEW, **claim.TUNED)
    fresh = trained(source, seed, epochs=1, steps=1, learning_rate=1e-9)
    scratch = claim.tuned(fresh, known, fraction=FEW, freeze=False, tune_learning_rate=3e-3, **claim.TUNED)
    forecasts |= {
        "few-shot": few.forecast(past, period=HOUR),
        "from scratch, on the same": scratch.forecast(past, period=HOUR),
        "linear map, on the same": linear(known, past),
        "day profile of the context": claim.day_profile(past, horizon, 24),
        "the last day again": seasonal_naive(past, horizon, 24),
        "last value": last_value(past, horizon),
        "the model that comes along, zero-shot": pretrained(random_state=seed).forecast(
            past, horizon=horizon, period=HOUR
        ),
    }
    return {arm: claim.mse(truth, forecast) for arm, forecast in forecasts.items()}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with ETTh1.csv and ETTh2.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    for name in ("ETTh1.csv", "ETTh2.csv"):
        if not (asked.folder / name).is_file():
            parser.error(f"folder must hold {name}; {asked.folder} does not")
    found = [errors(asked.folder, seed) for seed in asked.seeds]
    print("| | mean squared error | spread over seeds |\n|---|---|---|")
    for arm in found[0]:
        values = np.array([one[arm] for one in found])
        print(f"| {arm} | {values.mean():.3f} | {f'{values.std(ddof=1):.3f}' if len(values) > 1 else ''} |")


if __name__ == "__main__":
    main()
