"""Averages of weights over a training: exponential, and dense and aware of overfitting."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def rising_momentum(momentum: float, steps: int) -> float:
    """What stays of a teacher after so many steps, at most `momentum`: at first it is a plain mean."""
    return min(momentum, 1 - 1 / (steps + 1))


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move a teacher to m * teacher + (1 - m) * student, in place: its weights, and what its BatchNorm layers remember.

    Whole numbers, such as counts of batches, are copied.
    """
    state = student.state_dict()
    for key, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[key], 1 - momentum)
        else:
            value.copy_(state[key])


class DenseAverage(nn.Module):
    """The mean of the weights at every step of the valley of the held-out loss: SWAD [1].

    A training is cut into segments, say epochs. The valley begins with the first segment whose loss stays the lowest
    for `n_converge` segments in a row, itself among them; their mean times 1 + `tolerance_ratio` is the limit. It ends
    before the first `n_tolerance` segments in a row above the limit. A training that ends within the valley leaves out
    the segments above the limit at its end, at most `n_tolerance` - 1 of them, and one that never settles has its last
    segment alone.

    Only parameters that require a gradient are averaged: BatchNorm statistics are to rest, or to be measured anew.
    It is a Module without parameters so that checkpoints carry its state.

    Parameters
    ----------
    network : Module
    n_converge, n_tolerance : int, >= 1
    tolerance_ratio : float, >= 0

    References
    ----------
    [1] Cha, Chun, Lee, Cho, Park, Lee, Park, "SWAD: Domain Generalization by Seeking Flat Minima", NeurIPS 2021,
        algorithm 1.
    """

    segment: Tensor
    means: Tensor
    valley: Tensor
    losses: Tensor
    counts: Tensor
    numbers: Tensor

    def __init__(
        self, network: nn.Module, n_converge: int = 3, n_tolerance: int = 6, tolerance_ratio: float = 0.3
    ) -> None:
        super().__init__()
        if n_converge < 1 or n_tolerance < 1:
            raise ValueError(f"n_converge and n_tolerance must be at least 1; got {n_converge} and {n_tolerance}")
        if tolerance_ratio < 0:
            raise ValueError(f"tolerance_ratio must be at least 0; got {tolerance_ratio}")
        self.n_converge, self.n_tolerance, self.tolerance_ratio = n_converge, n_tolerance, tolerance_ratio
        width, kept = len(_vector(network)), max(n_converge, n_tolerance)
        self.register_buffer("segment", torch.zeros(width))
        self.register_buffer("means", torch.zeros(kept, width))
        self.register_buffer("valley", torch.zeros(width))
        self.register_buffer("losses", torch.full((kept,), math.inf, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(kept, dtype=torch.float64))
        # steps of the open segment; segments; those that may yet be left out; steps of the valley, its limit, its end
        self.register_buffer("numbers", torch.tensor([0, 0, 0, 0, math.nan, 0], dtype=torch.float64))

    @property
    def converged(self) -> bool:
        """Whether the valley has begun."""
        return not math.isnan(self.limit)

    @property
    def ended(self) -> bool:
        """Whether the valley has ended."""
        return bool(self.numbers[5])

    @property
    def limit(self) -> float:
        """The loss above which segments are left out; not a number before the valley."""
        return float(self.numbers[4])

    @property
    def steps(self) -> int:
        """How many steps are averaged."""
        if not self.converged:
            return int(self.counts[-1])
        return int(self.numbers[3] + self.counts[self._pending()].sum())

    def add(self, network: nn.Module) -> None:
        """Count the weights after a step in."""
        self.numbers[0] += 1
        self.segment += (_vector(network) - self.segment) / self.numbers[0].to(self.segment.dtype)

    def close(self, loss: float) -> None:
        """End a segment, at whose end the held-out loss is `loss`.

        Raises
        ------
        ValueError
            If the loss is not a number, or no step was counted.
        """
        if math.isnan(loss):
            raise ValueError("loss must be a number; got nan")
        if not self.numbers[0]:
            raise ValueError("a segment must have at least one step; call add after each")
        for queue, value in ((self.means, self.segment), (self.losses, loss), (self.counts, self.numbers[0].clone())):
            queue.copy_(torch.roll(queue, -1, 0))
            queue[-1] = value
        self.segment.zero_()
        self.numbers[0] = 0
        self.numbers[1] += 1
        if self.ended:
            return
        if not self.converged:
            self._look_for_the_beginning()
            return
        self.numbers[2] += 1
        if float(self.losses[-self.n_tolerance :].min()) > self.limit:
            self.numbers[5], self.numbers[2] = 1, 0
        else:
            self._take_in()

    def _look_for_the_beginning(self) -> None:
        last = self.losses[-self.n_converge :]
        if self.numbers[1] >= self.n_converge and bool(last[0] == last.min()):
            self.numbers[4] = last.mean() * (1 + self.tolerance_ratio)
            self.numbers[2] = self.n_converge
            self._take_in()

    def _take_in(self) -> None:
        """Segments that the end of the valley can no longer come before."""
        while self.numbers[2] >= self.n_tolerance:
            first = len(self.means) - int(self.numbers[2])
            self.numbers[3] += self.counts[first]
            share = (self.counts[first] / self.numbers[3]).to(self.valley.dtype)
            self.valley += (self.means[first] - self.valley) * share
            self.numbers[2] -= 1

    def _pending(self) -> slice:
        """Places of segments that are in the valley if the training ends now."""
        first, last = len(self.means) - int(self.numbers[2]), len(self.means)
        while last > first and float(self.losses[last - 1]) > self.limit:
            last -= 1
        return slice(first, last)

    def average(self) -> Tensor:
        """The averaged parameters as one vector, in the order of the network's.

        Raises
        ------
        ValueError
            If no segment was closed.
        """
        if not self.numbers[1]:
            raise ValueError("there is nothing to average: no segment was closed")
        if not self.converged:
            return self.means[-1].clone()
        part = self._pending()
        counts = self.counts[part]
        total = (self.valley * self.numbers[3] + (self.means[part] * counts[:, None]).sum(dim=0)) / self.steps
        return total.to(self.valley.dtype)

    @torch.no_grad()
    def copy_to(self, network: nn.Module) -> None:
        """Put the averaged parameters into a network."""
        nn.utils.vector_to_parameters(self.average(), _parameters(network))


def _parameters(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def _vector(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(_parameters(network)).detach()
