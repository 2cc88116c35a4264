"""TENT: BatchNorm measured on the target, and its scales and offsets moved so that predictions become sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.pixels import pictures
from unseen.methods.base import Card
from unseen.methods.needs import PixelClasses
from unseen.methods.parameters import Natural, Positive, Within
from unseen.methods.segmenting import SegmentingMethod, checked_model
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.operations import forward_operations, training_seconds
from unseen.nn.pixel_mix import random_crops
from unseen.nn.train import Run, train


class TENT(SegmentingMethod):
    """Test-time entropy minimization for networks that give every pixel a class [1]; with no step, AdaBN [2].

    Nothing but BatchNorm changes: it measures the target's pictures (crops of them, where there are few), and its
    scales and offsets are trained to lower the entropy of what is said of them.

    Parameters
    ----------
    steps : int, >= 0
        0 measures and trains nothing.
    batch_size : int
    learning_rate : float, > 0
        Of Adam.
    side : int, optional
        Sides of crops; those of the first picture of the target if absent.

    References
    ----------
    [1] Wang, Shelhamer, Liu, Olshausen, Darrell, "Tent: Fully Test-Time Adaptation by Entropy Minimization", ICLR 2021.
    [2] Li, Wang, Shi, Liu, Hou, "Revisiting Batch Normalization For Practical Domain Adaptation", 2016.
    """

    card = Card(
        slug="tent",
        title="Tent: Fully Test-Time Adaptation by Entropy Minimization",
        venue="ICLR 2021",
        official_code="DequanWang/tent",
        summary="Adapt the BatchNorm layers of a segmentation network to unlabeled pictures, without the source.",
        unseen={"domains"},
        modalities={"image"},
        protocols=set(),
        task="mask",
        presets={"default": {}, "statistics": {"steps": 0}},
        smoke={"steps": 2, "batch_size": 4},
        needs=(PixelClasses(),),
        baseline=True,
        left_out=("Adapting anew to each batch of a stream: it adapts once, and each picture is predicted by itself.",),
        cost=10.0,
    )

    steps: Natural = 20
    batch_size: Annotated[int, Within(2)] = 16
    learning_rate: Positive = 1e-3
    side: Annotated[int, Within(8)] | None = None

    def fit(self, *, target: Domain, model: nn.Module) -> Self:
        """Adapt the BatchNorm layers of a copy of `model` to the unlabeled target."""
        network = checked_model(model)
        layers = batch_norms(network)
        if not layers:
            raise ValueError(f"model must have BatchNorm layers; a {type(model).__name__} has none")
        shots = pictures(target)
        size = self._size(shots[0])
        trained = [p for layer in layers.values() for p in layer.parameters(recurse=False)]
        kept = {id(p) for p in trained}
        for parameter in network.parameters():
            parameter.requires_grad_(id(parameter) in kept)
        for layer in layers.values():
            layer.reset_running_stats()  # type: ignore[operator]
            layer.momentum = None  # type: ignore[assignment]  # a mean over all batches
        network.eval()
        for layer in layers.values():
            layer.train()

        def objective(batch: None, run: Run) -> Tensor | None:
            x = random_crops(
                [shot.to(run.device) for shot in shots], self.batch_size, size, run.generator, scale=(0.7, 1.0)
            )
            if not self.steps:
                with torch.no_grad():
                    network(x)
                return None
            log_p = torch.log_softmax(network(x), dim=1)
            return -(log_p.exp() * log_p).sum(dim=1).mean()

        rounds = self._rounds(len(shots))
        train(
            objective,
            name="tent",
            nets={"network": network},
            optimizers={"adam": torch.optim.Adam(trained, self.learning_rate)},
            batches=None,
            epochs=1,
            steps_per_epoch=rounds,
        )
        self.network_ = network.requires_grad_(True).eval()
        return self

    def expected_seconds(self, words: Mapping[str, Any]) -> float | None:
        """By what the network computes: forward, and back as far as scales and offsets need it."""
        target, model = words.get("target"), words.get("model")
        if target is None or model is None or not len(target):
            return None
        shot = pictures(target.take(slice(0, 1)))[0]
        each = forward_operations(model, (len(shot), *self._size(shot)))
        rounds, passes = self._rounds(len(target)), 2 if self.steps else 1
        return None if each is None else training_seconds(each * passes * rounds * self.batch_size, rounds)

    def _size(self, shot: Tensor) -> tuple[int, int]:
        """Height and width of crops."""
        return (self.side, self.side) if self.side else (int(shot.shape[-2]), int(shot.shape[-1]))

    def _rounds(self, shots: int) -> int:
        """Batches that it looks at."""
        return self.steps or max(4, math.ceil(shots / self.batch_size))
