"""How the model that comes with the package is made: its series, its settings, one call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from unseen.data.sources.series import packaged_corpus
from unseen.methods.forecasting.ttm.method import TTM

CHECKPOINT: dict[str, Any] = {
    "dropout": 0.0,
    "head_dropout": 0.1,
    "epochs": 8,
    "steps": 200,
}
"""What differs from the defaults of `TTM`: 1,600 batches, some five minutes of one core."""


def pretrain(out: str | os.PathLike[str], *, seed: int = 0, **settings: Any) -> TTM:
    """Pretrain the model that comes with the package and save it to the folder `out`."""
    method = TTM(**{**CHECKPOINT, "random_state": seed, **settings}).fit(series=packaged_corpus())
    method.save(Path(out))
    return method
