"""The model that comes with the package: small, pretrained, ready without a download."""

from __future__ import annotations

from importlib import resources
from typing import Any

from unseen.methods.forecasting.ttm.method import TTM


def pretrained(**settings: Any) -> TTM:
    """A `TTM` that was pretrained on series of weather, sun, wind, air and nature, and on simulated ones.

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
    fixed = FIXED & set(settings)
    if fixed:
        raise ValueError(f"{min(fixed)} is fixed in the pretrained model ({getattr(method, min(fixed))})")
    return method.set_params(**settings)


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
