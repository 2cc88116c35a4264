"""Small standard inputs for the behaviours of claims, which are part of stamps."""

from __future__ import annotations

import torch

from unseen.data.domain import Domain
from unseen.runtime import reproducible
from unseen.testing.inputs import convnet, samples_of


def blobs(kind: str = "features", n: int = 60, seed: int = 3) -> Domain:
    """Samples around a centre of each of four classes."""
    x, y = samples_of(kind, n, seed)
    return Domain(x=x, y=y, kind=kind)  # type: ignore[arg-type]


def network() -> torch.nn.Module:
    """A small convolutional network whose BatchNorm layers have seen something."""
    with reproducible(0):
        net = convnet().train()
        with torch.no_grad():
            for seed in range(20):
                net(torch.as_tensor(blobs("image", seed=seed).x))
    return net.eval()
