"""What all baselines that end in a network share."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.methods.network import NetworkMethod


class PerDomainMethod(NetworkMethod):
    """A network that standardizes source samples and target samples by statistics of their own."""

    source_network_: nn.Module = dataclasses.field(init=False)

    def source_decision_function(self, x: Tensor) -> Tensor:
        """Logits of source samples, (n, n_classes)."""
        return self.source_network_(x)


def n_classes(domain: Domain) -> int:
    """How many classes a labelled domain speaks of."""
    return len(domain.classes) if domain.classes is not None else int(domain.labels.max()) + 1


def table(domain: Domain) -> Tensor:
    """The feature table of a domain, (n, d) float32."""
    return torch.as_tensor(domain.x).float()
