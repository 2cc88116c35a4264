"""A network as it is, under the contract of a method."""

from __future__ import annotations

import dataclasses
from typing import Self

from torch import Tensor, nn

from unseen.methods.base import Card, Method


class Fixed(Method):
    """A trained network that learns nothing more: what stands in for a method where one is asked for."""

    card = Card(
        slug="fixed",
        title="A trained network as it is",
        venue="",
        summary="Predict with a trained network, adapting nothing.",
        modalities={"features", "image"},
        protocols={"closed"},
        baseline=True,
        composed=True,
    )

    network_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, model: nn.Module) -> Self:
        """Take the network; it is not copied."""
        self.network_ = model
        layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d))]
        if layers and isinstance(layers[0], nn.Linear):
            self.n_features_in_ = layers[0].in_features
        return self

    def decision_function(self, x: Tensor) -> Tensor:
        """Logits, (n, n_classes)."""
        return self.network_(x)

    def network(self) -> nn.Module:
        """The network."""
        return self.network_


def fixed(network: nn.Module) -> Fixed:
    """`network` as a fitted method."""
    return Fixed().fit(model=network)
