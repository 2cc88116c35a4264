"""Train one network of a search space for real, the same way for all of them."""

from __future__ import annotations

import dataclasses
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps, tensor
from unseen.nn.search_spaces.base import SearchSpace
from unseen.nn.train import Run, train
from unseen.runtime import current, reproducible, without_checkpoints


@dataclasses.dataclass(frozen=True)
class Recipe:
    """AdamW with a one-cycle learning rate, cross entropy; the same for every network of a table."""

    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came of one training: the accuracy on the held-out samples, the seconds of it, the network's parameters."""

    accuracy: float
    seconds: float
    parameters: int


def train_network(network: nn.Module, learn: Domain, recipe: Recipe) -> nn.Module:
    """Train in place on labelled pictures, (n, channels, size, size) as tensors."""
    optimizer = AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    per_epoch = steps(len(learn), recipe.batch_size)
    total = recipe.epochs * per_epoch
    network.train()

    def objective(batch: Batch, run: Run) -> Tensor:
        assert batch.y is not None
        return F.cross_entropy(network(batch.x), batch.y)

    train(
        objective,
        name="architecture",
        nets={"network": network},
        optimizers={"adamw": optimizer},
        schedulers={"cycle": OneCycleLR(optimizer, recipe.learning_rate, total_steps=total + 1)},
        batches=batches(learn, recipe.batch_size),
        epochs=recipe.epochs,
        steps_per_epoch=per_epoch,
    )
    return network.eval()


@torch.no_grad()
def accuracy_of(network: nn.Module, held_out: Domain, size: int = 512) -> float:
    """Share of the held-out samples that are classified right."""
    device = torch.device(current().device)
    x, y = tensor(held_out), torch.as_tensor(held_out.labels)
    network.to(device).eval()
    right = [
        (network(x[start : start + size].to(device)).argmax(dim=1).cpu() == y[start : start + size]).sum()
        for start in range(0, len(y), size)
    ]
    return float(torch.stack(right).sum()) / len(y)


def train_architecture(
    space: SearchSpace, text: str, learn: Domain, held_out: Domain, *, n_classes: int, seed: int, recipe: Recipe
) -> Trained:
    """Build the network of a text from a seed, train it, and grade it on what is held out."""
    channels, size = tensor(learn, slice(0, 1)).shape[1:3]
    with reproducible(seed), without_checkpoints():
        network = space.build(space.parse(text), n_classes=n_classes, channels=channels, size=size)
        began = time.perf_counter()
        train_network(network, learn, recipe)
        seconds = time.perf_counter() - began
    return Trained(
        accuracy_of(network, held_out), seconds, sum(parameter.numel() for parameter in network.parameters())
    )
