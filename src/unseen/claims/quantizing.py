"""What claims about quantization share: a small network that quantizes badly, and pictures for EfficientNet-Lite0."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from unseen.claims import worlds
from unseen.claims.arms import in_passes, timed
from unseen.claims.base import Result
from unseen.claims.drawings import by
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import Batch, steps
from unseen.data.typing import IntArray
from unseen.encoders.vision import LITE0_PREPROCESS, lite0_network
from unseen.evaluation.metrics.agreement import top1_agreement
from unseen.nn.divergences import exact_kl
from unseen.nn.quantizers import outputs
from unseen.nn.train import Run
from unseen.runtime import reproducible, without_checkpoints


class Task(NamedTuple):
    """A trained network, standardized pictures that it was trained on, and its test."""

    network: nn.Module
    x: Tensor
    test: Tensor
    y: np.ndarray
    seconds_per_epoch: float


def depthwise_network(n_classes: int) -> nn.Sequential:
    """Depthwise-separable convolutions with BatchNorm, 24 to 64 channels."""

    def block(i: int, o: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(o), nn.ReLU()]

    return nn.Sequential(
        *block(1, 24, 3),
        *block(24, 24, 3, 2, 24),
        *block(24, 48, 1),
        *block(48, 48, 3, 2, 48),
        *block(48, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, n_classes),
    )


def halves(case: str, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], IntArray, IntArray]:
    """Half of the digits of a case, `STYLE SIZE`, to train on and half to test, with their labels; standardized."""
    style, size = case.split()
    domain = worlds.digits(style, int(size))
    x = domain.x.reshape(-1, 1, int(size), int(size))
    x, test, y, truth = train_test_split(x, domain.labels, test_size=0.5, stratify=domain.labels, random_state=seed)
    mean, std = x.mean(), x.std()
    return (x - mean) / std, (test - mean) / std, y, truth


@functools.cache
def task(case: str, seed: int, epochs: int = 20) -> Task:
    """Train on half of the digits of a case, `STYLE SIZE`."""
    x, test, y, truth = halves(case, seed)
    source = Domain(x=x, y=y, kind="image")
    with reproducible(seed), without_checkpoints():
        network = depthwise_network(10)
        adam = torch.optim.AdamW(network.parameters(), lr=6e-3)
        n_steps = epochs * steps(len(source), 64)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, 6e-3, total_steps=n_steps)

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            return F.cross_entropy(network(batch.x), batch.y)

        _, seconds = timed(
            lambda: in_passes(objective, network, adam, source, name="digits", size=64, epochs=epochs, rate=cycle)
        )
    return Task(network.eval(), torch.as_tensor(source.x), torch.as_tensor(test), truth, seconds / epochs)


def against(exact: Tensor, got: Tensor) -> dict[str, float]:
    """How often a quantized network names the class of the float one, and how far its probabilities are from there."""
    return {"agreement": top1_agreement(exact, got), "divergence": float(exact_kl(exact, got).mean())}


def lite0_agreement(arms: Mapping[str, nn.Module], x: Tensor) -> Result:
    """The same of every arm and EfficientNet-Lite0, on pictures that no arm has seen."""
    exact = outputs(lite0_network(), x, 16)
    return {arm: against(exact, outputs(quantized, x, 16)) for arm, quantized in arms.items()}


N_PICTURES = 96


def as_drawn(case: str) -> list[Domain]:
    """The digits of a case of `task`, for a stamp."""
    return [worlds.digits(case.split()[0], int(case.split()[1]))]


def as_shown(case: str) -> list[Domain]:
    """What `pictures` are of, for a stamp."""
    return [worlds.photos() if case == "photos" else by(case, "subgroup")]


@functools.cache
def pictures(case: str) -> Tensor:
    """Crops of scikit-learn's two sample photos, or emoji of one style, preprocessed."""
    return LITE0_PREPROCESS(list(shown(case))).contiguous()


def shown(case: str, seed: int = 0) -> Sequence[Any] | Lazy:
    """The same as pictures; no seed is read."""
    rng = np.random.default_rng(0)
    if case == "photos":
        from PIL import Image

        crops = []
        for array in itertools.islice(itertools.cycle(worlds.photos().x), N_PICTURES):
            image, side = Image.fromarray(array), int(rng.integers(120, 420))
            left, top = (int(rng.integers(length - side)) for length in image.size)
            crops.append(image.crop((left, top, left + side, top + side)))
        return crops
    drawn = by(case, "subgroup")
    return drawn.take(rng.permutation(len(drawn))[:N_PICTURES]).x


def drawn_of_shown(case: str, seed: int) -> list[Any]:
    """What a cell draws: which emoji, by their names, and some of the pictures."""
    pictures = shown(case)
    return [*(pictures[i] for i in range(3)), *([pictures.items] if isinstance(pictures, Lazy) else [])]
