"""Prototypes: the nearest class mean."""

from typing import Self, overload

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import n_classes, table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Positive
from unseen.nn.build import builder


class Prototypes(NetworkMethod):
    """Predict the class whose mean feature is nearest by cosine [1]; learns from a source or a few labels.

    Parameters
    ----------
    scale : float, > 0
        Multiplies the cosine before the softmax.

    References
    ----------
    [1] Snell, Swersky, Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, on frozen features.
    """

    card = Card(
        slug="prototypes",
        cost=0.1,
        title="Prototypical Networks for Few-shot Learning",
        venue="NeurIPS 2017",
        summary="Nearest class mean, from a source or from a handful of labels.",
        unseen={"domains"},
        protocols={"closed", "partial", "open", "open-partial"},
        baseline=True,
    )

    scale: Positive = 20.0

    @overload
    def fit(self, *, source: Domain) -> Self: ...
    @overload
    def fit(self, *, support: Domain) -> Self: ...
    def fit(self, *, source: Domain | None = None, support: Domain | None = None) -> Self:
        """Average the features of each class, after centring them."""
        labeled = support if support is not None else source
        assert labeled is not None
        x, y = table(labeled), torch.as_tensor(labeled.labels)
        if len(np.unique(labeled.labels)) < 2:
            raise ValueError("the labels must hold at least two classes")
        network = cosine_head(labeled.n_features, n_classes(labeled), self.scale)
        network.centre = x.mean(dim=0)
        sums = torch.zeros_like(network.weight).index_add_(0, y, F.normalize(x - network.centre, dim=1))
        network.weight = F.normalize(sums, dim=1)
        network.present = torch.bincount(y, minlength=len(sums)) > 0
        self.network_ = network
        return self


class CosineHead(nn.Module):
    """scale * cosine between a centred feature and the unit vector of each class."""

    centre: Tensor
    weight: Tensor
    present: Tensor

    def __init__(self, n_features: int, n_classes: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("weight", torch.zeros(n_classes, n_features))
        self.register_buffer("present", torch.ones(n_classes, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Logits; a class without prototype is never the largest."""
        cosine = F.normalize(x - self.centre, dim=1) @ self.weight.T
        return self.scale * torch.where(self.present, cosine, torch.full_like(cosine, -2.0))


@builder("cosine")
def cosine_head(n_features: int, n_classes: int, scale: float) -> CosineHead:
    """A `CosineHead` with empty prototypes."""
    return CosineHead(n_features, n_classes, scale)
