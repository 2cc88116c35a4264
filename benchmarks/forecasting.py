"""TTM beside the official package's module, and beside its peers in one table on the same windows.

Speed: with equal weights. Errors: beside that module pretrained on the same series in the same batches, what learns
nothing, a linear map, AutoETS and AutoTheta. The series are the development cases of the claim, which pretraining has
not seen. What peers need is fetched by pip for this run: granite-tsfm beside this process, statsforecast, which asks
for another pandas, into an environment of its own.

`python benchmarks/forecasting.py 0 1 2` pretrains both for each of these seeds and prints their zero-shot errors,
on whole contexts and on shorter ones.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from common import Row, called, environment, importable, in_turns, row, seconds
from numpy.typing import NDArray

from unseen.claims import ttm as claim
from unseen.data.domain import Domain
from unseen.data.naive import filled, season_of
from unseen.data.series import periods_of
from unseen.data.sources.series import packaged_corpus
from unseen.methods.forecasting.ttm import TTM, method, pretrained
from unseen.methods.forecasting.ttm.network import Shape, TinyTimeMixer
from unseen.methods.forecasting.ttm.official import translated
from unseen.methods.forecasting.ttm.pretraining import CHECKPOINT

CHANNELS = 7
SERIES = ("traffic/minneapolis", "electricity/clients", "demand/victoria")
LENGTHS = (512, 256, 128)
"""Points of the contexts on which two networks with equal settings are compared."""
STATISTICAL = ("AutoETS", "AutoTheta")
SOURCE = "tsfm_public.models.tinytimemixer"
STATISTICAL_PEERS = """
import sys, time
import numpy as np
from statsforecast import models
data, out = sys.argv[1:]
given = np.load(data)
told = {}
for name in ("AutoETS", "AutoTheta"):
    model = getattr(models, name)(season_length=int(given["season"]))
    model.forecast(y=given["past"][0], h=int(given["horizon"]))  # compiles
    began = time.perf_counter()
    told[name] = np.stack([model.forecast(y=one, h=int(given["horizon"]))["mean"] for one in given["past"]])
    told[name + " seconds"] = (time.perf_counter() - began) / len(given["past"])
np.savez(out, **told)
"""


def run(windows: int = 1000) -> list[Row]:
    """Seconds of forecasts and of a tuning step, and errors on the windows of three series."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        official = importable(folder / "tsfm", ["granite-tsfm"])
        return [*(speed(windows) if official else []), *errors(folder, official_twin() if official else None)]


def official_network(sizes: Mapping[str, Any], channels: int = 1) -> Any:
    """The official module of the sizes of a `Shape`."""
    s = Shape(**sizes)
    configuration = importlib.import_module(f"{SOURCE}.configuration_tinytimemixer").TinyTimeMixerConfig(
        context_length=s.context, prediction_length=s.horizon, num_input_channels=channels,
        patch_length=s.patch, patch_stride=s.patch, d_model=s.width, num_layers=s.layers,
        adaptive_patching_levels=s.levels, expansion_factor=s.expansion, dropout=s.dropout,
        decoder_num_layers=s.decoder_layers, decoder_d_model=s.decoder_width, head_dropout=s.head_dropout,
        resolution_prefix_tuning=s.resolutions > 0, frequency_token_vocab_size=s.resolutions,
    )  # fmt: skip
    return importlib.import_module(f"{SOURCE}.modeling_tinytimemixer").TinyTimeMixerForPrediction(configuration)


class Official(torch.nn.Module):
    """The official module, called as a `TinyTimeMixer` is."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        self.shape, self.inner = Shape(**sizes), official_network(sizes)

    def forward(self, past: Any, resolution: Any, known: Any = None, observed: Any = None) -> Any:
        """Forecasts alone."""
        told = self.inner(past_values=past, past_observed_mask=observed, freq_token=resolution, return_loss=False)
        return told.prediction_outputs


def official_twin(seed: int = 0) -> TTM:
    """The official module, pretrained as the committed model was: the same series, draws, batches and rates."""
    with mock.patch.object(method, "tiny_time_mixer", Official):
        twin = TTM(**CHECKPOINT, random_state=seed).fit(series=packaged_corpus())
    assert twin.parameters_ == pretrained().parameters_
    return twin


def twins(seeds: Sequence[int]) -> None:
    """Print the zero-shot errors of both, pretrained anew for every seed: ten minutes of one core each."""
    with tempfile.TemporaryDirectory() as folder:
        if not importable(Path(folder), ["granite-tsfm"]):
            return
        for seed in seeds:
            ours = TTM(**CHECKPOINT, random_state=seed).fit(series=packaged_corpus())
            for told, model in (("ours", ours), ("granite-tsfm", official_twin(seed))):
                for length in LENGTHS:
                    found = [
                        claim.mse(one.truth, model.forecast(one.past[:, -length:], period=one.period))
                        for one in (held_out(name, model) for name in SERIES)
                    ]
                    errors_told = ", ".join(f"{error:.4f}" for error in found)
                    print(f"seed {seed}, {told}, contexts of {length}: {errors_told}", flush=True)


class HeldOut(NamedTuple):
    """A series, what of it may be learned from, and the windows of its last quarter."""

    series: Domain
    known: Domain
    starts: NDArray[Any]
    past: NDArray[Any]
    truth: NDArray[Any]
    period: float


def held_out(name: str, model: TTM) -> HeldOut:
    """The windows on which all are compared, as long as those of a model."""
    series = claim.family(name)
    known, starts = claim.split(series, model.horizon)
    windows = claim.windows(series, starts, model.context, model.horizon)
    return HeldOut(series, known, starts, *windows, period=float(periods_of(series)[0]))


def speed(windows: int) -> list[Row]:
    """The paper's size: 1,000 windows of 512 points to 96, and a step of few-shot tuning of 64 windows, 7 channels."""
    official = official_network({}, channels=CHANNELS)
    ours = TinyTimeMixer(Shape())
    ours.load_state_dict(translated(official.state_dict()))
    official.eval(), ours.eval()
    x = torch.randn(windows, 512, 1)
    with torch.inference_mode():
        theirs = official(past_values=x, return_loss=False).prediction_outputs
        difference = float((torch.cat([ours(part) for part in x.split(512)]) - theirs).abs().max())
        own, peer = in_turns(
            lambda: [ours(part) for part in x.split(512)],
            lambda: official(past_values=x, return_loss=False),
            repeats=9,
        )
    rows = [row(f"{windows} windows of 512 to 96", own, "granite-tsfm", peer, floor="1.2", difference=difference)]
    past, future = torch.randn(64, 512, CHANNELS), torch.randn(64, 96, CHANNELS)
    for network, parts in ((official, [official.backbone]), (ours, ours.backbone_parts())):
        for part in parts:
            part.requires_grad_(False)
        network.train()
    with torch.no_grad():
        scaled, loc, scale = ours.scaled(past, None)
        hidden = ours.backbone(scaled)  # read once: few-shot tuning goes through it in every epoch

    def step_ours() -> None:
        loss = (ours.decode(hidden, past, None, loc, scale) - future).square().mean()
        loss.backward()
        ours.zero_grad()

    def step_whole() -> None:
        loss = (ours(past) - future).square().mean()
        loss.backward()
        ours.zero_grad()

    def step_theirs() -> None:
        official(past_values=past, future_values=future).loss.backward()
        official.zero_grad()

    own, whole, peer = in_turns(step_ours, step_whole, step_theirs, repeats=9)
    rows.append(row("a step of few-shot tuning, 64 x 7 channels", own, "granite-tsfm", peer, floor="1.2"))
    rows.append(row("the same, reading the frozen backbone again", whole, "granite-tsfm", peer, floor="1.2"))
    return rows


def errors(folder: Path, twin: TTM | None) -> list[Row]:
    """Mean squared errors on the same windows, zero-shot and few-shot; a ratio above 1 favours the zero-shot model."""
    model = pretrained()
    python = environment(folder / "statsforecast", ["statsforecast"])
    rows = []
    for name in SERIES:
        series, known, starts, past, truth, period = held_out(name, model)
        floors = claim.floors(series, starts, past, model.horizon)
        peers = {
            **({"granite-tsfm, pretrained on the same": twin.forecast(past, period=period)} if twin else {}),
            "day profile": floors["day profile"],
            "the last day again": floors["seasonal naive"],
            "linear, 5 % of the windows": claim.linear(known, model.context, model.horizon, claim.FEW)(past),
        }
        if python:
            fitted, took = statistical(folder, python, past, season_of(period), model.horizon)
            peers |= fitted
            own = seconds(lambda x=past, p=period: model.forecast(x, period=p), repeats=3) / len(past)
            rows += [row(f"a forecast of a window of {name}", own, peer, took[peer]) for peer in fitted]
        few = claim.tuned(model, known, fraction=claim.FEW, **claim.TUNED).forecast(past, period=period)
        zero = model.forecast(past, period=period)
        more = {"few-shot": round(claim.mse(truth, few), 4), "windows": len(past)}
        for peer, forecast in peers.items():
            rows.append(error_row(name, truth, zero, peer, forecast, **more))
    return rows


def error_row(name: str, truth: NDArray[Any], own: NDArray[Any], peer: str, forecast: NDArray[Any], **more: Any) -> Row:
    """Both errors, and the share of the windows on which ours is the smaller one."""
    by_window = [np.nanmean((truth - values) ** 2, axis=(1, 2)) for values in (own, forecast)]
    made = row(f"error on {name}", claim.mse(truth, own), peer, claim.mse(truth, forecast), unit="mse", **more)
    return made | {
        "ratio": round(claim.mse(truth, forecast) / claim.mse(truth, own), 3),
        "better on": round(float((by_window[0] < by_window[1]).mean()), 3),
    }


def statistical(
    folder: Path, python: Path, past: NDArray[Any], season: int, horizon: int
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """What AutoETS and AutoTheta make of every context, each fitted to it alone, and the seconds of a context."""
    data, out = folder / "past.npz", folder / "forecasts.npz"
    np.savez(data, past=filled(past)[..., 0], season=season, horizon=horizon)
    if not called(python, STATISTICAL_PEERS, str(data), str(out)):
        return {}, {}
    with np.load(out) as found:
        seconds_each = {name: float(found[f"{name} seconds"]) for name in STATISTICAL}
        return {name: found[name][..., None] for name in STATISTICAL}, seconds_each


if __name__ == "__main__":
    torch.set_num_threads(1)
    twins([int(seed) for seed in sys.argv[1:]] or [0])
