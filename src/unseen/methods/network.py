"""What all methods share whose prediction is that of one fitted network."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from unseen.methods.base import Method

_AT_ONCE = 256


class NetworkMethod(Method):
    """A method whose prediction is the argmax of the fitted network `network_`."""

    network_: nn.Module = dataclasses.field(init=False)

    def decision_function(self, x: Tensor) -> Tensor:
        """Logits, (n, n_classes)."""
        parts = torch.split(x, _AT_ONCE)
        return torch.cat([self.network_(part) for part in parts])

    def network(self) -> nn.Module:
        """The fitted network."""
        return self.network_
