"""A simple rival of attention over regions: each attribute scored on each region by itself, and the scores pooled."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, steps
from unseen.methods.zero_shot.crest.inputs import measure, paired_batches, regions_of
from unseen.nn.classifier import Standardizer
from unseen.nn.train import Run, train
from unseen.nn.unseen_classes import positions
from unseen.runtime import reproducible


class Scorers(nn.Module):
    """Scores of attributes, s_a(x) = log(mean_r exp(t f_a(x_r))) / t, where f is linear or has one hidden layer."""

    def __init__(self, n_features: int, n_attributes: int, width: int, dropout: float, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.scale = Standardizer(n_features)
        hidden = [nn.Linear(n_features, width), nn.GELU()] if width else []
        self.score = nn.Sequential(nn.Dropout(dropout), *hidden, nn.Linear(width or n_features, n_attributes))

    def of_regions(self, x: Float[Tensor, "b r d"]) -> Float[Tensor, "b r a"]:
        """What each attribute scores on each region, times the temperature."""
        scores: Tensor = self.score(self.scale(x.flatten(0, 1))).reshape(*x.shape[:2], -1)
        return scores * self.temperature

    def forward(self, x: Float[Tensor, "b r d"]) -> Float[Tensor, "b a"]:
        """The score of each attribute."""
        return (torch.logsumexp(self.of_regions(x), dim=1) - math.log(x.shape[1])) / self.temperature


@dataclasses.dataclass(kw_only=True)
class PooledScorers:
    """Attributes scored region by region and pooled; the unseen class whose attributes are likeliest together.

    Regions, batches, standardization and optimizer are those of CREST.

    Parameters
    ----------
    width : int
        Hidden values of the scorers; 0 for linear ones.
    objective : {"attributes", "classes"}
        Cross-entropy of each attribute by itself, or of the classes, whose logits are the sums of the scores of their
        attributes.
    temperature : float
        Multiplies scores before they are pooled.
    learning_rate, weight_decay, dropout, epochs, batch_size, random_state
        As CREST's.
    """

    width: int = 0
    objective: Literal["attributes", "classes"] = "attributes"
    temperature: float = 1.0
    learning_rate: float = 3e-2
    weight_decay: float = 1e-3
    dropout: float = 0.2
    epochs: int = 30
    batch_size: int = 64
    random_state: int = 0

    network: Scorers = dataclasses.field(init=False, repr=False)

    def fit(self, *, source: Domain, classes: ClassSpace) -> Self:
        """Learn from samples of seen classes and from the attributes of all."""
        assert classes.attributes is not None
        cells, y = regions_of(source), source.labels
        present, everything = np.unique(y), np.arange(len(y))
        attributes = torch.as_tensor(classes.attributes > 0).float()
        self.unseen, self.has = classes.unseen, attributes[torch.as_tensor(classes.unseen)]
        known = attributes[torch.as_tensor(present)]
        with reproducible(self.random_state):
            network = Scorers(cells.shape[2], attributes.shape[1], self.width, self.dropout, self.temperature)
            measure(network.scale, cells, everything)

            def objective(batch: Batch, _: Run) -> Float[Tensor, ""]:
                assert batch.y is not None
                return self._loss(network(batch.x), batch.y, known)

            rate, decay = self.learning_rate, self.weight_decay
            places = positions(y, present, len(classes))
            train(
                objective,
                name="pooled-scorers",
                nets={"network": network},
                optimizers={"all": torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay)},
                batches=paired_batches(cells, places, everything, self.batch_size, paired=False),
                epochs=self.epochs,
                steps_per_epoch=steps(len(y), self.batch_size, drop_last=False),
            )
        self.network = network.cpu().eval()
        return self

    def _loss(self, scores: Float[Tensor, "b a"], y: Int[Tensor, " b"], has: Float[Tensor, "k a"]) -> Float[Tensor, ""]:
        if self.objective == "classes":
            return F.cross_entropy(scores @ has.T, y)
        return F.binary_cross_entropy_with_logits(scores, has[y])

    def predict(self, target: Domain) -> Int[np.ndarray, " n"]:
        """Among the unseen classes, that of the largest log-likelihood of all attributes."""
        likelihood = self._likelihood(torch.as_tensor(regions_of(target)))
        return self.unseen[likelihood.argmax(dim=1).numpy()]

    def doubt(self, x: Float[Tensor, "n r d"]) -> NDArray[np.float32]:
        """Minus the log-likelihood of the attributes of the likeliest unseen class, (n,)."""
        return -self._likelihood(x).amax(dim=1).numpy()

    @torch.no_grad()
    def attention_maps(self, x: Float[Tensor, "n r d"]) -> NDArray[np.float32]:
        """The share of each region in an attribute's score, (n, a, r): how the pooled score changes with theirs."""
        return torch.softmax(self.network.of_regions(x), dim=1).transpose(1, 2).numpy()

    @torch.no_grad()
    def _likelihood(self, x: Float[Tensor, "n r d"]) -> Float[Tensor, "n k"]:
        """sum_a log p(a as the class has it), of the unseen classes."""
        scores = self.network(x)
        return F.logsigmoid(scores) @ self.has.T + F.logsigmoid(-scores) @ (1 - self.has).T
