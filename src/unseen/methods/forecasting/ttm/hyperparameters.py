"""Which hyperparameters the pretrained network fixes, and which tuning reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen.methods.base import Method


def check_fixed(model: Method, settings: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a hyperparameter is one that the pretrained network fixes."""
    fixed = FIXED & set(settings)
    if fixed:
        raise ValueError(f"{min(fixed)} is fixed in the pretrained model ({getattr(model, min(fixed))})")


def check_tuning(model: Method, settings: Mapping[str, Any]) -> None:
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
