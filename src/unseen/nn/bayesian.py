"""Linear maps whose weights are distributions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class BayesianLinear(nn.Module):
    """W = mean + softplus(rho) eps with eps ~ N(0, 1) drawn anew in each forward pass, without a bias.

    Parameters
    ----------
    inputs, outputs : int
    rho : float
        Start of every rho: softplus(-5) is a deviation of 0.0067.

    Attributes
    ----------
    sampling : bool
        Whether weights are drawn; without it the mean is used.
    """

    def __init__(self, inputs: int, outputs: int, rho: float = -5.0) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.kaiming_uniform_(self.mean, a=math.sqrt(5))
        self.rho = nn.Parameter(torch.full((outputs, inputs), float(rho)))
        self.sampling = True

    @property
    def deviation(self) -> Float[Tensor, "o i"]:
        """Standard deviation of every weight."""
        return F.softplus(self.rho)

    def forward(self, x: Float[Tensor, "... i"]) -> Float[Tensor, "... o"]:
        weight = self.mean + self.deviation * torch.randn_like(self.mean) if self.sampling else self.mean
        return F.linear(x, weight)


@contextlib.contextmanager
def sampling(network: nn.Module, on: bool) -> Iterator[None]:
    """Draw the weights of every Bayesian layer inside the block, or use their means."""
    layers = [module for module in network.modules() if isinstance(module, BayesianLinear)]
    before = [layer.sampling for layer in layers]
    for layer in layers:
        layer.sampling = on
    try:
        yield
    finally:
        for layer, was in zip(layers, before):
            layer.sampling = was
