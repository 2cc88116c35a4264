"""What the TTM paper's abstract asserts, as experiments on families of series that pretraining has not seen."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.claims.arms import timed
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, at_most, better, equals, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.domain import Domain
from unseen.data.naive import last_value, season_of, seasonal_naive
from unseen.data.series import part, periods_of, series_domain
from unseen.data.sources.series import packaged_corpus, packaged_series
from unseen.methods.forecasting.ttm import TTM, pretrained
from unseen.methods.forecasting.ttm.network import Shape, TinyTimeMixer
from unseen.methods.forecasting.ttm.windows import RESOLUTIONS, downsample, few_shot_origins
from unseen.nn.build import n_parameters
from unseen.nn.state import digest
from unseen.runtime import reproducible, without_checkpoints
from unseen.validation.conformal import conformal_widths, coverage

Array = NDArray[Any]

SMALL: dict[str, Any] = {
    "context": 192, "horizon": 48, "patch": 16, "width": 48, "decoder_width": 32, "shortest": 48, "dropout": 0.1,
    "head_dropout": 0.1, "epochs": 6, "steps": 50, "batch_size": 128,
}  # fmt: skip
"""What is pretrained anew for every seed and ablation: 192 points to 48."""
UNTRAINED: dict[str, Any] = {"epochs": 1, "steps": 1, "learning_rate": 1e-9}
"""Of a small TTM that has learned from nothing but one step: what `adapt` then makes of it is from scratch."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "ttm": {},
    "without downsampling": {"downsampling": False},
    "without prefix": {"prefix": False},
    "without levels": {"levels": 0, "layers": 6},
}
TUNED: dict[str, Any] = {"tune_epochs": 30}
"""How every arm is tuned; the rest is the default, as in `unseen forecast`."""
FEW = 0.05
"""Share of the training windows of a few-shot arm."""
TEST = 0.25
"""Share of the points, the last ones, that are forecast."""
RIDGES = tuple(10.0**k for k in range(-1, 6))
WINDOWS = 120
"""Most forecasts of a series."""
LONGEST = 27_000
"""Points of a series that are looked at, the last ones: three years of hours."""


# -- data --------------------------------------------------------------------------------------------------


@functools.cache
def family(name: str, k: int = 1) -> Domain:
    """The first channel of a packaged series, in means of k points, standardized by its first three quarters."""
    return standardized(packaged(name), k, channels=1)


packaged = functools.cache(packaged_series)
"""A packaged series, read once."""


def standardized(series: Domain, k: int = 1, channels: int | None = None, longest: int = LONGEST) -> Domain:
    """Means of k of the last points; mean 0 and deviation 1 over what is not test."""
    values = np.asarray(series.x[0])[-longest:, :channels]
    values = downsample(values, k) if k > 1 else values
    known = values[: len(values) - round(TEST * len(values))]
    mean, deviation = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    period = float(periods_of(series)[0]) * k
    names = series.columns["channels"][0].tolist()[:channels]
    return series_domain([(values - mean) / deviation], period=period, channels=names, name=series.name)


def split(series: Domain, context: int, horizon: int) -> tuple[Domain, Array, Array, Array, float]:
    """What may be learned from, the places where test forecasts begin, their contexts and truths, and the period."""
    n = len(series.x[0])
    cut = n - round(TEST * n)
    starts = np.unique(np.linspace(cut, n - horizon, WINDOWS).round().astype(int))
    return part(series, 0, cut), starts, *windows(series, starts, context, horizon), float(periods_of(series)[0])


def windows(series: Domain, starts: Array, context: int, horizon: int) -> tuple[Array, Array]:
    """Contexts and truths, (n, context, c) and (n, horizon, c); what is before the series is missing."""
    values = np.asarray(series.x[0], dtype=np.float64)
    line = np.concatenate([np.full((context, values.shape[1]), np.nan), values])
    return np.stack([line[s : s + context] for s in starts]), np.stack([values[s : s + horizon] for s in starts])


def mse(truth: Array, forecast: Array) -> float:
    """Mean squared error over what is observed."""
    return float(np.nanmean((truth - forecast) ** 2))


# -- pretrained once for a seed ----------------------------------------------------------------------------


@functools.cache
def corpus() -> Domain:
    """What is pretrained on: weather, sun, wind and air; nothing simulated, no traffic, electricity or bicycles.

    Simulated series come in many resolutions, which is what downsampled copies are to add.
    """
    return packaged_corpus(simulated=0)


@functools.cache
def small(seed: int, **changes: Any) -> TTM:
    """A small TTM, pretrained whole, or with these settings changed."""
    with without_checkpoints():
        return TTM(**{**SMALL, **changes, "random_state": seed}).fit(series=corpus())


def tuned(model: TTM, series: Domain, **settings: Any) -> TTM:
    """`model`, adapted; its own settings stay."""
    before = model.get_params()
    try:
        with without_checkpoints():
            return model.set_params(**settings).adapt(series=series)
    finally:
        model.set_params(**before)


def linear(known: Domain, context: int, horizon: int, fraction: float) -> Any:
    """Ridge from the context, less its last value, to the future, on the windows that `adapt` learns from.

    Its strength is what errs least on the windows by which `adapt` stops.
    """
    values = np.nan_to_num(np.asarray(known.x[0], dtype=np.float64))
    origins = few_shot_origins(len(values), horizon=horizon, least=context, validation=0.2, fraction=fraction)
    both = (windows(series_domain([values]), places, context, horizon) for places in origins)
    (x, y), (xv, yv) = ([part[..., 0] - past[:, -1:, 0] for part in (past, future)] for past, future in both)
    squares, products = x.T @ x, x.T @ y
    tried = [np.linalg.solve(squares + ridge * np.eye(context), products) for ridge in RIDGES]
    weights = min(tried, key=lambda w: mse(yv, xv @ w))

    def forecast(contexts: Array) -> Array:
        filled = np.nan_to_num(contexts[..., 0])
        return ((filled - filled[:, -1:]) @ weights + filled[:, -1:])[..., None]

    return forecast


def day_profile(past: Array, horizon: int, season: int) -> Array:
    """The mean of every hour of the day (point of the season) in the context: learned from nothing else."""
    places = np.arange(past.shape[1]) - past.shape[1]
    mean = [np.nanmean(past[:, places % season == k], axis=1) for k in range(season)]
    return np.stack([mean[h % season] for h in range(horizon)], axis=1)


def floors(series: Domain, starts: Array, past: Array, horizon: int) -> dict[str, Array]:
    """What needs no learning: the last value, day and week, and the day profile of the context."""
    season = season_of(float(periods_of(series)[0]))
    week, _ = windows(series, starts, 7 * season, horizon)
    return {
        "last value": last_value(past, horizon),
        "seasonal naive": seasonal_naive(past, horizon, season),
        "last week": seasonal_naive(week, horizon, 7 * season),
        "day profile": day_profile(past, horizon, season),
    }


# -- transfer ----------------------------------------------------------------------------------------------


def resolutions(case: str, seed: int = 0) -> dict[str, tuple[Domain, tuple[Domain, Array, Array, Array, float]]]:
    """A family never seen, at its own resolution, four times and a day's as coarse, in parts; no seed is read."""
    hour = 1 if season_of(float(periods_of(packaged(case))[0])) == 24 else 2
    coarse = (("fine", 1), ("coarse", 4 * hour), ("daily", 24 * hour))
    series = {resolution: family(case, k) for resolution, k in coarse}
    return {name: (part, split(part, SMALL["context"], SMALL["horizon"])) for name, part in series.items()}


def run_transfer(case: str, seed: int) -> Result:
    """Zero-shot and few-shot in each resolution."""
    table: Result = {}
    for resolution, (series, parts) in resolutions(case).items():
        known, starts, past, truth, period = parts
        arms = floors(series, starts, past, SMALL["horizon"])
        if resolution != "fine":
            arms = {arm: arms[arm] for arm in ("last value", "seasonal naive")}
        for arm, changes in ABLATIONS.items():
            arms[arm if changes else "zero-shot"] = small(seed, **changes).forecast(past, period=period)
        if resolution == "fine":
            settings: dict[str, Any] = {"fraction": FEW, **TUNED}
            arms["few-shot"] = tuned(small(seed), known, **settings).forecast(past, period=period)
            faster = {"freeze": False, "tune_learning_rate": 3e-3}
            scratch = tuned(small(seed, **UNTRAINED), known, **settings, **faster)
            arms["from scratch"] = scratch.forecast(past, period=period)
            arms["linear"] = linear(known, SMALL["context"], SMALL["horizon"], FEW)(past)
        for arm, forecast in arms.items():
            table.setdefault(arm, {})[resolution] = mse(truth, forecast)
    for resolution in ("fine", "coarse", "daily"):
        floor = {arm: table[arm][resolution] for arm in table if resolution in table[arm]}
        for arm in floor:
            table[arm][f"{resolution}, of the last value"] = floor[arm] / floor["last value"]
    return table


# -- channels and exogenous signals ------------------------------------------------------------------------


@functools.cache
def signals(case: str, seed: int) -> Domain:
    """A target, then what is known of its future: simulated, or real with the weather and the working days."""
    if case.startswith("simulated"):
        rng = np.random.default_rng([seed, len(case)])
        n = 1500
        x = np.convolve(rng.normal(size=n + 5), np.ones(6) / 6, mode="valid") * 2.4
        y = rng.normal(size=n)
        for t in range(24, n):
            y[t] = 0.7 * y[t - 24] + 1.5 * x[t] + 0.5 * rng.normal()
        return standardized(series_domain([np.stack([y, x], axis=1)], period=3600.0, channels=("y", "x")))
    series = packaged(case)
    hourly = round(3600 / float(periods_of(series)[0]))
    return standardized(series, max(hourly, 1), longest=4380 * max(hourly, 1))


def signals_in_parts(case: str, seed: int) -> tuple[Domain, tuple[Domain, Array, Array, Array, float]]:
    """The same in parts, for the committed model."""
    series, base = signals(case, seed), pretrained(random_state=seed)
    return series, split(series, base.context, base.horizon)


def run_exogenous(case: str, seed: int) -> Result:
    """The committed model, tuned on 30 % of the windows: without signals, with their future, with channels mixed.

    "corrected without signals" has the correction of forecasts, which reads the signals, and nothing to read.
    """
    base = pretrained(random_state=seed)
    series, (known, _, past, truth, period) = signals_in_parts(case, seed)
    names, future = tuple(series.columns["channels"][0].tolist()), truth[..., 1:]
    settings: dict[str, Any] = {"fraction": 0.3, "tune_epochs": 15}
    alone = series_domain([np.asarray(known.x[0])[:, :1]], period=period, channels=names[:1])
    arms = {"zero-shot": base.forecast(past[..., :1], period=period)}
    for arm, mixed in (("without signals", False), ("corrected without signals", True)):
        model = tuned(base, alone, forecast_mixing=mixed, **settings)
        arms[arm] = model.forecast(past[..., :1], period=period)
    frozen = True
    for arm, more in (
        ("with signals", {}),
        ("with signals, channels mixed", {"mixing": "mix"}),
        ("with signals, wide", {"window": 3, "window_mixer": True}),
    ):
        model = tuned(base, known, exogenous=names[1:], **settings, **more)
        arms[arm] = model.forecast(past, future=future, period=period)
        before, after = (digest([part.state_dict() for part in m.network_.backbone_parts()]) for m in (base, model))  # type: ignore[operator]
        frozen &= before == after
    model = tuned(base, known, targets=names[:1], mixing="mix", **settings)
    arms["channels mixed"] = model.forecast(past, period=period)
    errors = {arm: mse(truth[..., :1], forecast) for arm, forecast in arms.items()}
    floor = errors["without signals"]
    return {
        arm: {"mse": error, "of tuning without signals": error / floor, "backbone kept": float(frozen)}
        for arm, error in errors.items()
    }


# -- the model that comes with the package -----------------------------------------------------------------


def family_in_parts(case: str, seed: int) -> tuple[Domain, tuple[Domain, Array, Array, Array, float]]:
    """A family never seen in parts, for that model."""
    model, series = pretrained(random_state=seed), family(case)
    return series, split(series, model.context, model.horizon)


def run_packaged(case: str, seed: int) -> Result:
    """512 points to 96 by the committed model; few-shot on 5 %; intervals; size and speed."""
    model = pretrained(random_state=seed)
    series, (known, starts, past, truth, period) = family_in_parts(case, seed)
    arms = {
        **floors(series, starts, past, model.horizon),
        "zero-shot": model.forecast(past, period=period),
        "few-shot": tuned(model, known, fraction=FEW, **TUNED).forecast(past, period=period),
        "linear": linear(known, model.context, model.horizon, FEW)(past),
    }
    table: Result = {arm: {"mse": mse(truth, forecast)} for arm, forecast in arms.items()}
    for arm in table:
        table[arm]["of the seasonal naive"] = table[arm]["mse"] / table["seasonal naive"]["mse"]
        table[arm]["of the last value"] = table[arm]["mse"] / table["last value"]["mse"]
    half = np.arange(len(truth)) % 2 == 0
    widths = conformal_widths(truth[half] - arms["zero-shot"][half], 0.9)
    thousand = np.resize(np.nan_to_num(past), (1000, *past.shape[1:]))
    with reproducible(seed):
        seconds = timed(lambda: model.forecast(thousand, period=period))[1]
    table["zero-shot"] |= {
        "coverage of 90 % intervals": coverage(truth[~half], arms["zero-shot"][~half], widths),
        "seconds of 1,000 forecasts": seconds,
        "parameters": float(model.parameters_),
        "share of simulated series in pretraining": model.shares_["simulated"],
    }
    network, prefixed = TinyTimeMixer(Shape()), TinyTimeMixer(Shape(resolutions=len(RESOLUTIONS)))
    frozen = sum(map(n_parameters, network.backbone_parts()))
    table["paper's size"] = {
        "parameters": float(n_parameters(network)),
        "parameters with the prefix": float(n_parameters(prefixed)),
        "learned with a frozen backbone": float(n_parameters(network) - frozen),
    }
    return table


def behaviour() -> dict[str, Any]:
    """Forecasts of the model that comes with the package, before and after a short tuning."""
    hours = np.arange(1400)
    values = np.sin(2 * np.pi * hours / 24) + 0.3 * np.sin(2 * np.pi * hours / 168)
    model = pretrained(random_state=0, fraction=0.05, tune_epochs=1)
    context = values[None, -model.context :, None]
    before = model.forecast(context, period=3600.0)
    with without_checkpoints():
        tuned = model.adapt(series=series_domain([values[:, None]], period=3600.0))
    return {"zero-shot": before, "few-shot": tuned.forecast(context, period=3600.0)}


# fmt: off
LEDGER = (
    not_testable("Pretrained models excel at zero- and few-shot tasks of language and vision; for series public data "
        "are scarce and diverse, which makes such models hard to build, and there has been no such capability.",
        "About the field at the time of writing, not about a method."),
    not_testable("Language models adapted to series are slow, have some billion parameters, and ignore relations "
        "between channels.",
        "About other methods; none of them runs in minutes on two cores."),
    mechanism("packaged", equals("paper's size", "parameters", 805_280),
        "The model is tiny: the paper's network has fewer than a million parameters, 805,280 to the one."),
    mechanism("packaged", at_most("zero-shot", "parameters", 200_000),
        "The committed model is smaller still: at most 200,000 parameters."),
    mechanism("packaged", equals("paper's size", "learned with a frozen backbone", 289_696),
        "Few parameters learn in few-shot tuning: 289,696 of them with a frozen backbone."),
    mechanism("exogenous", equals("with signals", "backbone kept", 1),
        "Few-shot tuning leaves the backbone bit for bit as it was."),
    effect("packaged", at_most("zero-shot", "of the last value", 0.6),
        "It transfers to families that it has not seen: zero-shot, the error of the committed model, for which 39 % "
        "of the windows were drawn from public series and the rest from simulated ones, is at most six tenths of "
        "that of the last value. What learns nothing, such as the day profile, is that, too."),
    promised("packaged", not_worse("zero-shot", "day profile", "of the seasonal naive", within=0.2, lower=True),
        "Zero-shot the committed model keeps up with the day profile of the context, which learns nothing: at most "
        "a fifth of the seasonal naive's error behind."),
    effect("packaged", better("zero-shot", "day profile", "of the seasonal naive", lower=True),
        "Zero-shot the committed model is better than that day profile."),
    effect("packaged", better("zero-shot", "last week", "of the seasonal naive", lower=True),
        "Zero-shot the committed model is better than the last week again."),
    effect("packaged", better("zero-shot", "seasonal naive", "of the seasonal naive", by=0.1, lower=True),
        "Zero-shot the committed model is better than the last day again, by a tenth of its error."),
    promised("packaged", better("few-shot", "day profile", "of the seasonal naive", by=0.1, lower=True),
        "Few-shot tuning of the committed model on 5 % is better than the day profile of the context, by a tenth of "
        "the seasonal naive's error."),
    promised("packaged", not_worse("few-shot", "last week", "of the seasonal naive", within=0.1, lower=True),
        "Few-shot it keeps up with the last week again: at most a tenth of the seasonal naive's error behind."),
    effect("packaged", better("few-shot", "last week", "of the seasonal naive", lower=True),
        "Few-shot it is better than the last week again."),
    promised("packaged", better("few-shot", "zero-shot", "of the seasonal naive", by=0.1, lower=True),
        "Few-shot beats zero-shot: the committed model, by a tenth of the seasonal naive's error."),
    promised("packaged", not_worse("few-shot", "linear", "of the seasonal naive", within=0.1, lower=True),
        "Few-shot it keeps up with a linear map learned from the same 5 %, with its ridge chosen on the same "
        "validation part: at most a tenth of the seasonal naive's error behind."),
    effect("packaged", better("few-shot", "linear", "of the seasonal naive", by=0.12, lower=True),
        "It is more accurate than other forecasters: few-shot, than that linear map, by 12 % of the seasonal "
        "naive's error."),
    effect("packaged", better("zero-shot", "linear", "of the seasonal naive", lower=True),
        "Zero-shot often surpasses the few-shot results of others: here of that linear map."),
    effect("transfer", better("zero-shot", "day profile", "fine, of the last value", lower=True),
        "Pretrained on public series alone, nothing simulated, a small model is zero-shot better than the day "
        "profile of its context."),
    effect("transfer", better("few-shot", "from scratch", "fine, of the last value", lower=True),
        "What was pretrained helps few-shot: better than the same network from scratch on the same 5 %."),
    effect("transfer", better("zero-shot", "without levels", "fine, of the last value", lower=True),
        "Adaptive patching lowers the zero-shot error: against plain patches and as many layers."),
    effect("transfer", better("zero-shot", "without downsampling", "coarse, of the last value", lower=True),
        "Downsampled copies in pretraining lower the zero-shot error on coarser series: means of four hours."),
    effect("transfer", better("zero-shot", "without downsampling", "daily, of the last value", lower=True),
        "The same on daily means."),
    effect("transfer", better("zero-shot", "without prefix", "coarse, of the last value", lower=True),
        "The resolution prefix lowers the zero-shot error: means of four hours."),
    effect("transfer", better("zero-shot", "without prefix", "daily, of the last value", lower=True),
        "The resolution prefix lowers the zero-shot error: daily means."),
    effect("exogenous", better("with signals", "without signals", "of tuning without signals", by=0.12, lower=True),
        "Exogenous signals whose future is known are infused in tuning: the error falls by 12 %."),
    effect("exogenous", better("with signals", "corrected without signals", "of tuning without signals", lower=True),
        "It is the signals that do it: against the same correction of forecasts with no signal to read."),
    effect("exogenous", better("channels mixed", "without signals", "of tuning without signals", lower=True),
        "Channels that inform each other in the decoder lower the error: without the future of the signals."),
    promised("packaged", at_most("zero-shot", "seconds of 1,000 forecasts", 5),
        "It is fast: 1,000 forecasts of the committed model take less than 5 seconds of one core."),
    effect("packaged", at_least("zero-shot", "coverage of 90 % intervals", 0.85),
        "Intervals of 90 % cover at least 85 % of windows beside those that set them (ours, not the paper's)."),
    paper_scale("12 to 38 % more accurate than popular forecasters in zero-shot and few-shot tests.",
        "Needs Monash and LibCity for pretraining and the test sets (ETT, weather, electricity, traffic): "
        "`TTM(**TTM.card.presets['paper'])`, or official weights through `official.translated`, on their standard "
        "splits."),
    paper_scale("14 times fewer learnable and 106 times fewer parameters in all, 65 times faster tuning and 54 times "
        "faster inference than forecasters made of language models.",
        "Needs GPT4TS and its like beside it on one GPU. Our figures: `benchmarks/forecasting.py`."),
    not_testable("It is the first fast and tiny pretrained forecaster; code and models are open.",
        "A claim of priority. Code and weights: ibm-granite/granite-tsfm. This one is another; it gives the same "
        "forecasts from the same weights (a test, where that package is installed)."),
)
FAMILIES: Mapping[str, Any] = {
    "development": ("traffic/minneapolis", "electricity/clients", "demand/victoria"),
    "confirmation": ("traffic/san-francisco", "bikes/washington", "power/household"),
    "unit": "family of series",
}

claim = Claim(
    slug="ttm",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "transfer": Experiment(
            run=run_transfer, data=lambda case: [packaged(case), corpus()], drawn=resolutions, **FAMILIES, **seeds(2)),
        "exogenous": Experiment(
            run=run_exogenous, drawn=signals_in_parts,
            data=lambda case: [] if case.startswith("simulated") else [packaged(case)],
            development=("simulated", "demand/victoria"), confirmation=("simulated anew", "bikes/washington"),
            unit="series with signals", **seeds(2)),
        "packaged": Experiment(
            run=run_packaged, drawn=family_in_parts, data=lambda case: [packaged(case)],
            clocks=("seconds of 1,000 forecasts",),
            **FAMILIES, **seeds(1)),
    },
    licences=(
        "Beijing PM2.5, Metro Interstate Traffic Volume, household power: UCI, CC BY 4.0",
        "solar and wind power, sunspots, electricity, traffic: Monash archive, CC BY 4.0",
        "Seattle and San Francisco: NOAA, public domain; TMY3: NREL, U.S. government work",
        "elecdemand: fpp2, GPL-3 (read, not redistributed)",
        "bicycles: Capital Bikeshare Data License Agreement",
    ),
)
# fmt: on
