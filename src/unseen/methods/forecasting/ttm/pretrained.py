"""The model that comes with the package: small, pretrained, ready without a download."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from unseen.methods.forecasting.ttm.method import TTM


def pretrained(**settings: Any) -> TTM:
    """A `TTM` that was pretrained on series of weather, sun, wind, air and nature, and on simulated ones (61 %).

    `shares_` holds the share of every source in the windows that it has seen.

    Parameters
    ----------
    **settings
        Hyperparameters of `adapt`, such as ``fraction=0.1`` or ``exogenous=("temperature",)``.

    Raises
    ------
    ValueError
        If a hyperparameter is unknown, or one that the pretrained network fixes.
    """
    with resources.as_file(resources.files("unseen.methods.forecasting.ttm").joinpath("checkpoint")) as folder:
        method = TTM.load(folder)
    check_fixed(method, settings)
    return method.set_params(**settings)


def check_fixed(model: TTM, settings: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a hyperparameter is one that the pretrained network fixes."""
    fixed = FIXED & set(settings)
    if fixed:
        raise ValueError(f"{min(fixed)} is fixed in the pretrained model ({getattr(model, min(fixed))})")


def check_tuning(model: TTM, settings: Mapping[str, Any]) -> None:
    """Raise `ValueError` if these are not hyperparameters of `adapt` with values that they may have.

    Which channels are forecast, which are known, and the share that is learned from are for the caller to say.
    """
    check_fixed(model, settings)
    for name in settings:
        if name in vars(type(model)) and name not in TUNING:
            raise ValueError(f"settings must be hyperparameters of tuning ({', '.join(sorted(TUNING))}); got {name!r}")
    type(model)(**model.get_params()).set_params(**settings)


FIXED = frozenset(
    {
        "context",
        "horizon",
        "patch",
        "width",
        "levels",
        "layers",
        "decoder_width",
        "decoder_layers",
        "expansion",
        "prefix",
    }
)
"""What the pretrained network has decided."""

TUNING = frozenset(
    {
        "freeze",
        "mixing",
        "forecast_mixing",
        "window",
        "window_mixer",
        "validation",
        "tune_epochs",
        "patience",
        "tune_batch_size",
        "tune_learning_rate",
        "tune_head_dropout",
        "weight_decay",
    }
)
"""What `adapt` reads, besides the channels and the share of the windows."""
