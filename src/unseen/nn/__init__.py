"""What several methods share; the sharpness-aware optimizers are here for any training loop of torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unseen.nn.sharpness import ASAM, SAGM, SAM, TRAM, FisherSAM, SharpnessAware
    from unseen.nn.trust_region import TrustRegion

__all__ = ["ASAM", "SAGM", "SAM", "TRAM", "FisherSAM", "SharpnessAware", "TrustRegion"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'unseen.nn' has no attribute {name!r}")
    module = "trust_region" if name == "TrustRegion" else "sharpness"
    return getattr(importlib.import_module(f"unseen.nn.{module}"), name)
