"""Which forecasters are tried: found by their cards, and left out where they cannot read a series."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.naive import last_value, season_of, seasonal_naive
from unseen.data.series import channels_of, grid_of, part, periods_of, pick
from unseen.evaluation.rolling import Array, Attempt
from unseen.files import loads
from unseen.methods.forecasting.forecaster import Forecaster
from unseen.methods.listing import reading
from unseen.nn.state import load_state

log = logging.getLogger(__name__)

FAR = 4
"""Horizons of a forecaster beyond which a warning says that it reads its own forecasts."""
NAIVE = {"seasonal-naive": True, "last-value": False}
"""Forecasts without learning, and whether each repeats the last season."""
TUNED = "-tuned"
"""What follows the name of a method that was tuned on the series."""
ABOUT, STATE = "forecaster.json", "state"
"""In the folder of a saved choice: how it reads a table, and what it has learnt."""


def forecasters() -> tuple[str, ...]:
    """All methods that forecast, by slug: those whose cards have the task series, of other packages, too."""
    candidates = reading("series")
    slugs = []
    for slug in registry.slugs():
        if slug in registry.METHODS and slug not in candidates:
            continue  # saves importing it
        cls = registry.get(slug)
        if cls.card.task == "series" and issubclass(cls, Forecaster):
            slugs.append(slug)
        elif cls.card.task == "series":
            log.warning("%s is left out: its card has the task series, and %s is no Forecaster", slug, cls.__name__)
    return tuple(slugs)


@loads("a saved method")
def load_model(folder: str | os.PathLike[str]) -> Forecaster:
    """Read a pretrained forecaster that `save` wrote, or the one that was chosen for a series before."""
    place = next((place for place in (Path(folder) / "model", Path(folder)) if (place / ABOUT).is_file()), None)
    saved = load_state(folder if place is None else place / STATE)
    if place is not None:
        if not isinstance(forecaster := saved.get("forecaster"), Forecaster):
            raise ValueError(f"{place} holds no network: what was chosen learns nothing")
        return forecaster
    slug = saved.get("method") if isinstance(saved, dict) else None
    if slug not in forecasters():
        raise ValueError(f"{os.fspath(folder)} must hold a forecaster ({', '.join(forecasters())}); it holds {slug}")
    return registry.get(slug)._from_state(saved)  # type: ignore[return-value]


def to_try(method: str, model: Forecaster | None, context: int | None) -> dict[str, Forecaster]:
    """The forecasters that are there and read as little as `context`, by slug, the one that was asked for first."""
    if context is not None and context < 1:
        raise ValueError(f"context must be at least 1; got {context}")
    if model is not None and not isinstance(model, Forecaster):
        raise TypeError(f"model must be a Forecaster; got {type(model).__name__}")
    extra = {} if model is None else {model.card.slug: model}
    pretrained: dict[str, Any] = dict.fromkeys((*forecasters(), *extra))
    names = ["auto"]
    for slug in pretrained:
        cls: Any = type(extra[slug]) if slug in extra else registry.get(slug)
        pretrained[slug] = extra[slug] if slug in extra else cls.pretrained()
        names += [slug, slug + TUNED] if cls.tunes() else [slug]
    names += NAIVE
    if method not in names:
        raise ValueError(f"method must be one of {', '.join(names)}; got {method!r}")
    named = method.removesuffix(TUNED)
    if named in pretrained and pretrained[named] is None:
        raise ValueError(f"model must be given for {named}, which comes without a pretrained one")
    ready = {slug: forecaster for slug, forecaster in pretrained.items() if forecaster is not None}
    for forecaster in ready.values():
        forecaster.check_ready()
    order = sorted(ready, key=lambda slug: slug != named)
    able = {slug: ready[slug] for slug in order if context is None or context >= ready[slug].limits.least}
    if not able or (named in ready and named not in able):
        slugs = [named] if named in ready else order
        limits = min((ready[slug].limits for slug in slugs), key=lambda limits: limits.least)
        raise ValueError(f"context must be at least {limits.least}, {limits.least_is}; got {context}")
    return able


def takers_of(
    tried: Mapping[str, Forecaster], settings: Mapping[str, Any], method: str
) -> dict[str, Mapping[str, Any]]:
    """The forecasters that have these hyperparameters of tuning; the one that was asked for must."""
    takers, errors = {}, []
    for slug, model in tried.items():
        try:
            model.check_tuning(settings)
            takers[slug] = settings
        except ValueError as error:
            errors.append(error)
    named = method.removesuffix(TUNED)
    if errors and (not takers or (named in tried and named not in takers)):
        raise errors[0]
    return takers


def reach_of(model: Forecaster, context: int | None) -> int:
    """Points that a forecaster reads, the last ones."""
    return min(context or sys.maxsize, model.limits.most or sys.maxsize)


def warn_of_limits(tried: Mapping[str, Forecaster], context: int | None, horizon: int) -> None:
    """Tell where a context or a horizon goes far beyond a forecaster's own."""
    for slug, model in tried.items():
        limits, called = model.limits, "the model" if len(tried) == 1 else slug
        if context is not None and limits.most is not None and context > limits.most:
            log.warning("context is %d; %s reads the last %d of these points", context, called, limits.most)
        if limits.at_once is not None and horizon > FAR * limits.at_once:
            log.warning(
                "horizon is %d; %s forecasts %d points at once, and the others from its own forecasts",
                horizon, called, limits.at_once,
            )  # fmt: skip


# -- what the forecasters can read -------------------------------------------------------------------------


def readable(
    series: Domain, tried: dict[str, Forecaster], context: int | None, method: str
) -> tuple[list[int], dict[str, Forecaster]]:
    """Places of the series that all forecasters can read, and these; warnings name the others of either.

    Raises
    ------
    ValueError
        If a column has no value at all, or nothing can be read and no naive method was asked for.
    """
    for k, channel in enumerate(channels_of(series)):
        if not any(np.isfinite(x[:, k]).any() for x in series.x):
            raise ValueError(f"column {channel!r} of {series.name} has no value; leave it out (`columns`)")
    whole = list(range(len(series)))
    places, kept = whole, {}
    lacks = {
        slug: [lack(series, i, model.limits.least, reach_of(model, context)) for i in whole]
        for slug, model in tried.items()
    }
    for slug, model in tried.items():
        able = [i for i in places if not lacks[slug][i]]
        if able:
            places, kept[slug] = able, model
    reasons = {slug: "; ".join(filter(None, each)) for slug, each in lacks.items()}
    if method in NAIVE:
        return places, kept or tried
    first = next(iter(tried))
    if not kept or (first == method.removesuffix(TUNED) and first not in kept):
        raise ValueError(f"the model cannot read this: {reasons[first]} (method=seasonal-naive can do with less)")
    for slug in tried:
        if slug not in kept:
            log.warning("%s is not tried: it cannot read this: %s", slug, reasons[slug])
    if short := "; ".join(dict.fromkeys(reasons[slug] for slug in kept if reasons[slug])):
        log.warning("the naive forecast, without intervals, where the model cannot read a series: %s", short)
    return places, kept


def lack(series: Domain, i: int, least: int, reach: int) -> str:
    """Why the model cannot read a series; empty if it can."""
    values, name = np.asarray(series.x[i]), str(series.ids[i])  # type: ignore[index]
    if len(values) < least:
        return f"{name} has {len(values)} points, and {least} are the least"
    empty = np.isnan(values[-reach:]).all(axis=0)
    if empty.any():
        channel = channels_of(series)[int(np.argmax(empty))]
        return f"column {channel!r} of {name} has no value in the last {len(values[-reach:])} points"
    return ""


def warn_of_steps(series: Domain, tried: Mapping[str, Forecaster]) -> None:
    """One warning for all steps that the pretraining of a forecaster has not seen."""
    new = np.flatnonzero(~np.all([model.knows_steps(series) for model in tried.values()], axis=0)).tolist()
    steps = {grid_of(series, i).step or f"{periods_of(series)[i]:g} seconds" for i in new}
    if steps:
        log.warning("pretraining has seen no series with a step of %s: taken as unknown", ", ".join(sorted(steps)))


def as_known(series: Domain, model: Forecaster) -> Domain:
    """The series without a period where pretraining has seen none like it: as the model would take them."""
    periods = np.where(model.knows_steps(series), periods_of(series), np.nan)
    return series.replace(columns={**series.columns, "period": periods})


# -- what is tried -----------------------------------------------------------------------------------------


def attempts_of(
    tried: Mapping[str, Forecaster],
    tuned: Mapping[str, Forecaster],
    targets: Sequence[str],
    exogenous: Sequence[str],
    context: int | None,
) -> dict[str, Attempt]:
    """What can be tried, by name: each from series (and what is known) to (n, h, targets)."""

    def zero_shot(model: Forecaster, series: Domain, horizon: int, known: Domain | None) -> Array:
        return model.forecast(as_known(_last(pick(series, targets), context), model), horizon=horizon)

    def few_shot(model: Forecaster, series: Domain, horizon: int, known: Domain | None) -> Array:
        ahead = None if not exogenous else known
        return model.forecast(as_known(_last(series, context), model), horizon=horizon, future=ahead)

    attempts: dict[str, Attempt] = {}
    for slug, model in tried.items():
        attempts[slug] = functools.partial(zero_shot, model)
        if slug in tuned:
            attempts[slug + TUNED] = functools.partial(few_shot, tuned[slug])
    return attempts | {name: functools.partial(_naive, targets, seasonal) for name, seasonal in NAIVE.items()}


def _naive(targets: Sequence[str], seasonal: bool, series: Domain, horizon: int, known: Domain | None) -> Array:
    chosen = pick(series, targets)
    steps = [grid_of(chosen, i).step for i in range(len(chosen))]
    seasons = [season_of(p, step) if seasonal else 1 for p, step in zip(periods_of(chosen), steps)]
    pieces = [np.asarray(x)[None] for x in chosen.x]
    return np.concatenate(
        [seasonal_naive(p, horizon, s) if s > 1 else last_value(p, horizon) for p, s in zip(pieces, seasons)]
    )


def _last(series: Domain, context: int | None) -> Domain:
    return series if context is None else part(series, -context, None)
