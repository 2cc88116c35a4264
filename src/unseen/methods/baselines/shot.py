"""SHOT: keep the classifier of the source, move the features of the target to it."""

from typing import Annotated, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.base import Card
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, NonNegative, Positive, Within
from unseen.nn.classifier import as_adaptable, outputs, sgd
from unseen.nn.information import information_loss
from unseen.nn.schedules import inverse_decay
from unseen.nn.train import Run, train


class SHOT(NetworkMethod):
    """Information maximization and self-supervised pseudo-labels, with the source head frozen [1].

    Parameters
    ----------
    beta : float, >= 0
        Weight of the cross entropy with the pseudo-labels.
    epochs, batch_size : int
    learning_rate : float, > 0

    References
    ----------
    [1] Liang, Hu, Feng, "Do We Really Need to Access the Source Data?", ICML 2020, eq. 3-7.
    """

    card = Card(
        slug="shot",
        cost=2.5,
        title="Do We Really Need to Access the Source Data? Source Hypothesis Transfer",
        venue="ICML 2020",
        official_code="tim-learn/SHOT",
        summary="Adapt a source model to unlabeled target samples of the same classes, without the source.",
        unseen={"domains"},
        modalities={"features", "image", "points"},
        protocols={"closed", "partial"},
        presets={"default": {}, "views": {}},
        two_views={"views"},
        smoke={"epochs": 1},
        baseline=True,
    )

    beta: NonNegative = 0.3
    epochs: Count = 15
    batch_size: Annotated[int, Within(2)] = 64
    learning_rate: Positive = 1e-2

    def fit(self, *, model: nn.Module, target: Domain) -> Self:
        """Adapt a copy of `model` to the unlabeled target."""
        if len(target) < 2:
            raise ValueError(f"target must hold at least 2 samples; got {len(target)}")
        network = as_adaptable(model).train()
        network.head.requires_grad_(False)
        optimizer = sgd(network, self.learning_rate, train_head=False)
        bank = nn.Module()
        bank.register_buffer("labels", torch.zeros(len(target), dtype=torch.long))

        def relabel(run: Run) -> None:
            z, logits = outputs(network, target)
            bank.labels = pseudo_labels(z, torch.softmax(logits, dim=1))
            network.train()

        def objective(batch: Batch, run: Run) -> Tensor:
            logits = network(batch.x)
            loss = information_loss(torch.softmax(logits, dim=1))
            return loss + self.beta * F.cross_entropy(logits, bank.get_buffer("labels")[batch.index])

        per_epoch = steps(len(target), self.batch_size)
        train(
            objective,
            name="shot",
            nets={"network": network, "bank": bank},
            optimizers={"sgd": optimizer},
            schedulers={"decay": inverse_decay(optimizer, self.epochs * per_epoch)},
            batches=batches(target, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
            before_epoch=relabel,
        )
        self.network_ = network.eval()
        return self


def pseudo_labels(z: Float[Tensor, "n d"], p: Float[Tensor, "n c"], rounds: int = 2) -> Int[Tensor, "n"]:
    """Labels by the nearest centroid (cosine), centroids first weighted by `p`, then by the labels (eq. 4-6)."""
    z = F.normalize(F.pad(z, (0, 1), value=1.0), dim=1)
    present = torch.bincount(p.argmax(dim=1), minlength=p.shape[1]) > 0
    weights = p
    labels = p.argmax(dim=1)
    for _ in range(rounds):
        centroids = weights.T @ z / weights.sum(dim=0).clamp_min(1e-8)[:, None]
        cosine = z @ F.normalize(centroids, dim=1).T
        labels = cosine.masked_fill(~present, -2.0).argmax(dim=1)
        weights = F.one_hot(labels, p.shape[1]).to(p.dtype)
    return labels
