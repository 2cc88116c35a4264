"""The model that comes with the package: small, pretrained, ready without a download."""

from __future__ import annotations

from typing import Any

from unseen.methods.forecasting.ttm.hyperparameters import check_fixed
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
    method = TTM.pretrained()
    check_fixed(method, settings)
    return method.set_params(**settings)
