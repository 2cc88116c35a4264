"""TTM beside the official package's module with equal weights, and beside statistical forecasts on the same windows.

Both peers are optional: `pip install --no-deps granite-tsfm`; `pip install statsforecast`, which asks for pandas below
3, in an environment of its own. The windows are those of the claim, of series that pretraining has not seen.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from common import Row, in_turns, row, seconds

from unseen.methods.forecasting.ttm.network import Shape, TinyTimeMixer
from unseen.methods.forecasting.ttm.official import translated

CHANNELS = 7
SERIES = ("traffic/minneapolis", "electricity/clients")


def run(windows: int = 1000) -> list[Row]:
    """Seconds of forecasts and of a tuning step, and errors on the windows of two series."""
    torch.set_num_threads(1)
    return [*speed(windows), *errors()]


def speed(windows: int) -> list[Row]:
    """The paper's size: 1,000 windows of 512 points to 96, and a step of few-shot tuning of 64 windows, 7 channels."""
    try:
        configuration = importlib.import_module("tsfm_public.models.tinytimemixer.configuration_tinytimemixer")
        modeling = importlib.import_module("tsfm_public.models.tinytimemixer.modeling_tinytimemixer")
    except ImportError:
        return []
    settings = {
        "context_length": 512, "patch_length": 64, "patch_stride": 64, "num_input_channels": CHANNELS,
        "prediction_length": 96, "d_model": 192, "num_layers": 2, "adaptive_patching_levels": 3,
        "decoder_num_layers": 2, "decoder_d_model": 128, "dropout": 0.2, "head_dropout": 0.2,
    }  # fmt: skip
    official = modeling.TinyTimeMixerForPrediction(configuration.TinyTimeMixerConfig(**settings))
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


def errors() -> list[Row]:
    """Mean squared errors of the committed model, AutoETS and AutoTheta on 24 windows; a ratio above 1 favours us."""
    try:
        models = importlib.import_module("statsforecast.models")
    except ImportError:
        return []
    from unseen.claims.ttm import family, mse, split_at, windows
    from unseen.data.naive import filled, season_of
    from unseen.data.series import periods_of
    from unseen.methods.forecasting.ttm import pretrained

    rows, model = [], pretrained()
    for name in SERIES:
        series = family(name)
        period = float(periods_of(series)[0])
        _, starts = split_at(series, model.horizon)
        past, truth = windows(series, starts[:: len(starts) // 24], model.context, model.horizon)
        own = mse(truth, model.forecast(past, period=period))
        for peer in ("AutoETS", "AutoTheta"):
            fitted = getattr(models, peer)(season_length=season_of(period))
            found: list[Any] = [fitted.forecast(y=one[:, 0], h=model.horizon)["mean"] for one in filled(past)]
            theirs = mse(truth[..., 0], np.stack(found))
            rows.append(row(f"error on {name}", own, peer, theirs, unit="mse", windows=len(past)))
            rows[-1]["ratio"] = round(theirs / own, 3)
    took = seconds(lambda: model.forecast(past, period=period), repeats=3)
    rows.append(row("forecast of 24 windows", took, "AutoETS, one window", seconds(
        lambda: models.AutoETS(season_length=24).forecast(y=filled(past)[0, :, 0], h=96), repeats=1, warm=0
    )))  # fmt: skip
    return rows
