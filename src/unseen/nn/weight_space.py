"""Weights as points of a space: the mean of some, the line between two, the distance from one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn


class UniformAverage(nn.Module):
    """The mean of a network's weights at its start and at each merge [1].

    After k merges it is the mean of the k weights merged and of those that the network had when it was made. The
    network is never changed. Buffers with decimals, such as BatchNorm statistics, are averaged too. It is a Module
    without parameters so that checkpoints carry its state.

    References
    ----------
    [1] Zheng et al., "Preventing Zero-Shot Transfer Degradation in Continual Learning of Vision-Language Models",
        ICCV 2023, section 3.3.
    """

    merges: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names = [name for name, value in network.state_dict().items() if value.is_floating_point()]
        self.register_buffer("merges", torch.zeros((), dtype=torch.int64))
        for i, name in enumerate(self.names):
            self.register_buffer(f"mean{i}", network.state_dict()[name].detach().clone())

    @torch.no_grad()
    def merge(self, network: nn.Module) -> None:
        """Count the weights that the network has now in: mean <- (n mean + weights) / (n + 1)."""
        self.merges += 1
        state = network.state_dict()
        for i, name in enumerate(self.names):
            mean = self.get_buffer(f"mean{i}")
            mean += (state[name] - mean) / (self.merges.to(mean.dtype) + 1)

    @torch.no_grad()
    def copy_to(self, network: nn.Module) -> None:
        """Put the mean into a network."""
        state = network.state_dict()
        for i, name in enumerate(self.names):
            state[name].copy_(self.get_buffer(f"mean{i}"))


class Anchor(nn.Module):
    """The sum of squared differences of some parameters from what they were when this was made.

    It is a sum, not a mean: twice the weights, each as far, give twice as much.
    """

    def __init__(self, network: nn.Module, names: Collection[str]) -> None:
        super().__init__()
        parameters = dict(network.named_parameters())
        self.names = list(names)
        for i, name in enumerate(self.names):
            self.register_buffer(f"start{i}", parameters[name].detach().clone())

    def forward(self, network: nn.Module) -> Tensor:
        """sum (theta - theta_start)^2."""
        parameters = dict(network.named_parameters())
        parts = [(parameters[name] - self.get_buffer(f"start{i}")).square().sum() for i, name in enumerate(self.names)]
        return torch.stack(parts).sum()


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers by name, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def interpolated(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share) start + share end: bit for bit `start` at 0 and `end` at 1; whole numbers are those of `end`."""
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value.clone()
        for name, value in end.items()
    }
