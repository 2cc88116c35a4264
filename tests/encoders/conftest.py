"""What the tests of encoders share: a cache of their own, a tiny encoder, a few pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.encoders.base import Encoder
from unseen.encoders.vision import ImagePreprocess

TINY = ImagePreprocess(size=(12, 12), crop=1.0, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that the library takes for the user's."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tiny_network(seed: int = 0) -> nn.Module:
    """A convolution and a mean: 12 x 12 pixels to 6 features."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def tiny(seed: int = 0, **changes: Any) -> Encoder:
    """An encoder with random weights that encodes in no time."""
    settings: dict[str, Any] = {"name": "tiny", "preprocess": TINY, "batch_size": 4, "precision": "fp32"}
    return Encoder(module=tiny_network(seed), **(settings | changes))


def pictures(n: int = 10, seed: int = 0) -> Domain:
    """Random pictures of 16 x 14 pixels with everything that a domain can carry."""
    rng = np.random.default_rng(seed)
    return Domain(
        x=rng.integers(0, 256, (n, 16, 14, 3), dtype=np.uint8),
        y=rng.integers(0, 3, n),
        kind="image",
        classes=ClassSpace(names=("a", "b", "c")),
        ids=np.array([f"p{i}" for i in range(n)]),
        columns={"domain": np.repeat("photo", n)},
        name="pictures",
        credits=("nobody",),
    )
