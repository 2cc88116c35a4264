"""DeViSE: a linear map to class vectors, trained to rank the right class first."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.base import Card
from unseen.methods.baselines._network import table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, NonNegative, Positive
from unseen.nn.semantic_network import centred, normalized, semantic_network
from unseen.nn.train import Run, train
from unseen.nn.unseen_classes import candidates, class_vectors


class DeViSE(NetworkMethod):
    """Map features into the space of class vectors so that the right class is ahead of all others by a margin [1].

        loss = sum_{j != y} max(0, margin - t_y . M v + t_j . M v)      v: a sample, t_j: vector of class j, unit length

    Parameters
    ----------
    margin : float, > 0
        By which the right class is to be ahead, of cosines times the length of M v.
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    handicap : float, >= 0
        Taken from the cosine of seen classes in GZSL (calibrated stacking).
    epochs, batch_size : int
        Passes over the samples, and samples in a step.
    learning_rate : float, > 0
        Of Adam.
    weight_decay : float, >= 0
        Of Adam, on M.
    scale : float, > 0
        Multiplies the cosine before the softmax.

    References
    ----------
    [1] Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model", NeurIPS 2013, eq. 1.
    """

    card = Card(
        slug="devise",
        cost=3.0,
        title="DeViSE: A Deep Visual-Semantic Embedding Model",
        venue="NeurIPS 2013",
        summary="Learn a map to class vectors by ranking the right class first.",
        unseen={"classes"},
        protocols={"zsl", "gzsl"},
        presets={"default": {}, "generalized": {"generalized": True, "handicap": 0.1}},
        smoke={"epochs": 1},
        notes=(
            "All other seen classes count in the loss; the paper stops at the first one within the margin, in random "
            "order, and trains by Adagrad.",
            "Features are frozen; the paper then goes on through the whole network.",
        ),
        baseline=True,
    )  # fmt: skip

    margin: Positive = 0.1
    generalized: bool = False
    handicap: NonNegative = 0.0
    epochs: Count = 30
    batch_size: Count = 64
    learning_rate: Positive = 5e-3
    weight_decay: NonNegative = 1e-4
    scale: Positive = 20.0

    def fit(self, *, source: Domain, classes: ClassSpace) -> Self:
        """Learn from samples of seen classes and a vector per class."""
        allowed = candidates(source, classes, self.generalized)
        vectors, y = class_vectors(classes), source.labels
        present, place = np.unique(y, return_inverse=True)
        x, centre = centred(normalized(table(source)))
        weight = self._rank(x, torch.as_tensor(place), vectors[torch.as_tensor(present)])
        network = semantic_network(x.shape[1], vectors.shape[1], len(classes), scale=self.scale)
        among, seen = (torch.as_tensor(np.isin(np.arange(len(classes)), which)) for which in (allowed, y))
        self.network_ = network.set_map(centre, weight, vectors).allow(among, seen, self.handicap)
        return self

    def _rank(
        self, x: Float[Tensor, "n d"], y: Int[Tensor, " n"], vectors: Float[Tensor, "k t"]
    ) -> Float[Tensor, "t d"]:
        """M, from samples and the vectors of the k classes that they are of."""
        known = nn.Module()
        known.register_buffer("vectors", vectors)
        linear = nn.Linear(x.shape[1], vectors.shape[1], bias=False)

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            return ranking_loss(linear(batch.x) @ known.vectors.T, batch.y, self.margin)

        adam = torch.optim.Adam(
            linear.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )  # fmt: skip
        train(
            objective,
            name="devise",
            nets={"map": linear, "known": known},
            optimizers={"adam": adam},
            batches=batches(Domain(x=x.numpy(), y=y.numpy()), self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=steps(len(x), self.batch_size),
        )
        return linear.weight.detach().cpu()


def ranking_loss(scores: Float[Tensor, "b k"], y: Int[Tensor, " b"], margin: float) -> Float[Tensor, ""]:
    """Sum over the other classes of how far each comes within the margin of the right one, mean over the batch."""
    right = scores.gather(1, y[:, None])
    violation = (margin - right + scores).clamp_min(0).scatter(1, y[:, None], 0.0)
    return violation.sum(dim=1).mean()
