"""Step 9 and what pretraining and tuning share: copies, resolutions, pooled windows, those of a series, the rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from unseen.nn.train import Run

RESOLUTIONS = (
    "unknown", "minute", "ten minutes", "quarter of an hour", "half an hour", "hour", "several hours", "day", "week",
    "month", "longer",
)  # fmt: skip
"""The buckets of the resolution prefix; the first may always be given."""

LONGEST = (150.0, 750.0, 1300.0, 2700.0, 5400.0, 16.0 * 3600, 3.5 * 86400, 14.0 * 86400, 60.0 * 86400)
"""The longest period of each bucket but the first and the last, in seconds."""


def resolution_of(period: float) -> int:
    """The bucket of a sampling period in seconds; 0 (unknown) for NaN, `ValueError` if it is not above 0."""
    if period <= 0:
        raise ValueError(f"period must be seconds above 0, or NaN where nobody knows; got {period:g}")
    return 0 if not math.isfinite(period) else 1 + int(np.searchsorted(LONGEST, period))


def downsample(values: Float[np.ndarray, "t c"], k: int) -> Float[np.ndarray, "s c"]:
    """Means of k consecutive points, floor(t / k) of them; a missing value counts only where all k are missing."""
    n = len(values) // k
    blocks = np.asarray(values, dtype=np.float64)[: n * k].reshape(n, k, values.shape[1])
    seen = np.isfinite(blocks)
    with np.errstate(invalid="ignore"):
        return (np.where(seen, blocks, 0).sum(axis=1) / seen.sum(axis=1)).astype(np.float32)


def factors(length: int, shortest: int, horizon: int) -> tuple[int, ...]:
    """k in 2, 4, 6, ... as long as the copy has 3 (context + horizon) points."""
    return tuple(k for k in range(2, length + 1, 2) if length // k >= 3 * (shortest + horizon))


def standardize(values: Float[np.ndarray, "t c"]) -> Float[np.ndarray, "t c"]:
    """Each channel with mean 0 and deviation 1 over what is not missing; a constant one becomes 0."""
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(values)
        n = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, values, 0).sum(axis=0) / n
        deviation = np.sqrt((np.where(seen, values - mean, 0) ** 2).sum(axis=0) / n)
    return ((values - mean) / np.where(deviation > 1e-8, deviation, 1)).astype(np.float32)


class Batch(NamedTuple):
    """Windows of single channels: contexts, futures, what of both is observed, and the resolution."""

    past: Float[Tensor, "b t 1"]
    future: Float[Tensor, "b h 1"]
    observed: Bool[Tensor, "b t 1"]
    known: Bool[Tensor, "b h 1"]
    resolution: Int[Tensor, "b"]


class Pool:
    """The windows of all channels of many series of several sources, in one line of numbers.

    A source is drawn with a probability that grows with the root of all its windows, then one of its lines (a channel
    of a series or of a copy) by the root of the windows of that series, then a window; half of the windows are of
    downsampled copies, if there are some: a long series has many.
    A context may begin before its series does, down to `shortest` points; what is not there is missing.

    Parameters
    ----------
    series : list of (t, c) arrays, standardized
    resolutions : list of int
    copies : list of bool, optional
        Which of them are downsampled.
    sources : list of str, optional
        The data set of each, which share its weight; each is its own if absent.

    Attributes
    ----------
    shares : dict of str to float
        The share of the windows that are drawn of each source.
    """

    def __init__(
        self,
        series: Sequence[NDArray[Any]],
        resolutions: Sequence[int],
        context: int,
        horizon: int,
        shortest: int,
        copies: Sequence[bool] | None = None,
        sources: Sequence[str] | None = None,
    ) -> None:
        self.context, self.horizon, self.shortest = context, horizon, shortest
        lead = np.full(context - shortest, np.nan, dtype=np.float32)
        pieces, starts, counts, owners, place = [], [], [], [], 0
        for i, values in enumerate(series):
            for channel in values.T:
                line = np.concatenate([lead, channel])
                starts.append(place)
                counts.append(len(line) - context - horizon + 1)
                owners.append(i)
                pieces.append(line)
                place += len(line)
        self.line = torch.as_tensor(np.concatenate(pieces))
        self.starts, self.counts = torch.tensor(starts), torch.tensor(counts)
        self.resolutions = torch.tensor(resolutions)[torch.tensor(owners)]
        owner = torch.tensor(owners)
        channels = torch.bincount(owner)[owner]
        weight = (self.counts * channels).double().sqrt() / channels  # the root of all windows, shared by channels
        copy = torch.tensor(list(copies))[owner] if copies is not None else torch.zeros(len(owner), dtype=torch.bool)
        labels = list(sources) if sources is not None else [f"series {i}" for i in range(len(series))]
        names = sorted(set(labels))
        source = torch.tensor([names.index(name) for name in labels])[owner]
        for group in (copy, ~copy):
            weight[group] = self._balanced(weight[group], self.counts[group], source[group], len(names))
        self.weights = weight / weight.sum()
        totals = torch.zeros(len(names), dtype=torch.float64).index_add(0, source, self.weights)
        self.shares = dict(zip(names, totals.tolist()))

    @staticmethod
    def _balanced(weight: Tensor, counts: Tensor, source: Tensor, n: int) -> Tensor:
        """Weights of which those of a source sum to the root of its windows, and all to 1."""
        zeros = torch.zeros(n, dtype=torch.float64)
        windows = zeros.index_add(0, source, counts.double())
        inside = weight / zeros.index_add(0, source, weight)[source]
        return inside * windows.sqrt()[source] / windows.sqrt().sum().clamp_min(1e-12)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def draw(self, n: int, generator: torch.Generator, unknown: float = 0.1) -> Batch:
        """`n` windows; contexts are cut to a random length, and some resolutions are called unknown."""
        line = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        share = torch.rand(n, generator=generator)
        start = self.starts[line] + (share * self.counts[line]).long()
        steps = torch.arange(self.context + self.horizon)
        window = self.line[start[:, None] + steps]
        observed = torch.isfinite(window)
        if self.shortest < self.context:
            kept = self._lengths(n, generator)
            observed[:, : self.context] &= steps[: self.context] >= self.context - kept[:, None]
        window = torch.nan_to_num(window)[..., None]
        observed = observed[..., None]
        hidden = torch.rand(n, generator=generator) < unknown
        c = self.context
        return Batch(
            window[:, :c], window[:, c:], observed[:, :c], observed[:, c:],
            torch.where(hidden, 0, self.resolutions[line]),
        )  # fmt: skip

    def _lengths(self, n: int, generator: torch.Generator) -> Tensor:
        """Half of the contexts whole, the lengths of the others uniform in their logarithm."""
        u = torch.rand(n, generator=generator)
        cut = self.context * (self.shortest / self.context) ** (2 * u - 1).clamp(min=0)
        return cut.round().long()

    def batches(self, run: Run, size: int) -> Iterator[Batch]:
        """Batches without end."""
        while True:
            yield self.draw(size, run.generator)


def pool_of(
    series: Sequence[NDArray[Any]],
    periods: Sequence[float],
    *,
    context: int,
    horizon: int,
    shortest: int,
    downsampling: bool,
    sources: Sequence[str] | None = None,
) -> Pool:
    """Every series, standardized, and its downsampled copies, each with the resolution of its period.

    Raises
    ------
    ValueError
        If no series is as long as a context and its forecast.
    """
    data, resolutions, coarser, owners = [], [], [], []
    labels = [f"series {i}" for i in range(len(series))] if sources is None else sources
    for values, period, source in zip(series, periods, labels):
        copies = factors(len(values), shortest, horizon) if downsampling else ()
        for k in (1, *copies):
            coarse = values if k == 1 else downsample(values, k)
            if len(coarse) >= shortest + horizon:
                data.append(standardize(coarse))
                resolutions.append(resolution_of(period * k))
                coarser.append(k > 1)
                owners.append(source)
    if not data:
        longest = max(len(values) for values in series)
        need = f"at least {shortest} + {horizon} points (shortest context and horizon); the longest has {longest}"
        raise ValueError(f"series must hold one of {need}")
    return Pool(data, resolutions, context, horizon, shortest, coarser, owners)


# -- the windows of a target -------------------------------------------------------------------------------


class Windows(NamedTuple):
    """Contexts and futures of all channels of a target, and what of them is observed."""

    past: Float[Tensor, "b t c"]
    future: Float[Tensor, "b h c"]
    observed: Bool[Tensor, "b t c"]
    known: Bool[Tensor, "b h c"]
    resolution: Int[Tensor, "b"]


def windows_of(
    values: Float[np.ndarray, "t c"], origins: Int[np.ndarray, "n"], context: int, horizon: int, resolution: int
) -> Windows:
    """Windows whose forecast begins at each of `origins`; contexts may begin before the series does."""
    line = np.concatenate([np.full((context, values.shape[1]), np.nan, dtype=np.float32), values.astype(np.float32)])
    steps = np.arange(context + horizon)
    window = torch.as_tensor(line[np.asarray(origins)[:, None] + steps])
    observed, window = torch.isfinite(window), torch.nan_to_num(window)
    token = torch.full((len(window),), resolution)
    return Windows(window[:, :context], window[:, context:], observed[:, :context], observed[:, context:], token)


def joined(parts: Sequence[Windows]) -> Windows:
    """Windows of several series as one."""
    return Windows(*(torch.cat(tensors) for tensors in zip(*parts)))


def few_shot_origins(
    length: int, *, horizon: int, least: int, validation: float, fraction: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the forecasts of training and of validation windows begin.

    The last share `validation` of the points is for validation; of the windows before it, whose futures end there,
    the last share `fraction` is learned from: contiguous, and the nearest to the present.
    """
    cut = length - max(round(length * validation), horizon)
    train = np.arange(least, cut - horizon + 1)
    held = np.arange(max(cut, least), length - horizon + 1)
    if not len(train) or not len(held):
        need = least + 2 * horizon
        raise ValueError(f"series must have at least {need} points to learn from and to stop by; it has {length}")
    return train[len(train) - max(1, round(len(train) * fraction)) :], held


def one_cycle(optimizer: Optimizer, total_steps: int) -> OneCycleLR:
    """Every rate from a 25th up, then down to a ten-thousandth of itself; the momentum stays."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=total_steps, cycle_momentum=False, final_div_factor=400)


def masked_mse(y: Float[Tensor, "b h c"], future: Tensor, known: Tensor) -> Float[Tensor, ""]:
    """The mean squared error over the points that are observed."""
    return torch.where(known, y - future, 0).square().sum() / known.sum().clamp_min(1)
