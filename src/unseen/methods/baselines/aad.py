"""AaD: neighbours attract each other's predictions, all others are dispersed."""

from typing import Annotated, Self

import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.base import Card
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, NonNegative, Positive, Within
from unseen.nn.attraction import attraction, repulsion
from unseen.nn.classifier import as_adaptable, measure_again, outputs, sgd
from unseen.nn.neighbours import MemoryBank
from unseen.nn.schedules import inverse_decay
from unseen.nn.train import Run, train


class AaD(NetworkMethod):
    """Attracting and dispersing: source-free adaptation by the neighbours in feature space alone [1].

    Parameters
    ----------
    neighbours : int, >= 1
        How many attract a sample.
    decay : float, >= 0
        beta: the dispersion weighs (1 + 10 p)^-beta at progress p.
    epochs, batch_size : int
    learning_rate : float, > 0

    References
    ----------
    [1] Yang, Wang, Wang, Jui, van de Weijer, "Attracting and Dispersing: A Simple Approach for Source-free Domain
        Adaptation", NeurIPS 2022, eq. 5.
    """

    card = Card(
        slug="aad",
        cost=2.5,
        title="Attracting and Dispersing: A Simple Approach for Source-free Domain Adaptation",
        venue="NeurIPS 2022",
        official_code="Albert0147/AaD_SFDA",
        summary="Adapt a source model to unlabeled target samples by their neighbours, without the source.",
        unseen={"domains"},
        modalities={"features", "image", "points"},
        protocols={"closed", "partial"},
        presets={"default": {}, "views": {}},
        two_views={"views"},
        smoke={"epochs": 1},
        baseline=True,
    )

    neighbours: Count = 5
    decay: NonNegative = 1.0
    epochs: Count = 15
    batch_size: Annotated[int, Within(2)] = 64
    learning_rate: Positive = 1e-3

    def fit(self, *, model: nn.Module, target: Domain) -> Self:
        """Adapt a copy of `model` to the unlabeled target."""
        if len(target) < 2:
            raise ValueError(f"target must hold at least 2 samples; got {len(target)}")
        network = as_adaptable(model).train()
        measure_again(network, target)
        z, logits = outputs(network, target)
        bank = MemoryBank(len(target), z.shape[1], logits.shape[1])
        bank.write(slice(None), z, torch.softmax(logits, dim=1))
        optimizer = sgd(network, self.learning_rate, train_head=True)

        per_epoch = steps(len(target), self.batch_size)
        total = self.epochs * per_epoch

        def objective(batch: Batch, run: Run) -> Tensor:
            z = network.embed(batch.x)
            p = torch.softmax(network.head(z), dim=1)
            bank.write(batch.index, z, p)
            near = min(self.neighbours, len(target) - 1)
            q = bank.consensus(z, near)
            weight = (1 + 10 * run.step / total) ** -self.decay
            return attraction(p, q, near) + weight * repulsion(p)

        train(
            objective,
            name="aad",
            nets={"network": network, "bank": bank},
            optimizers={"sgd": optimizer},
            schedulers={"decay": inverse_decay(optimizer, total)},
            batches=batches(target, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
        )
        self.network_ = network.eval()
        return self
