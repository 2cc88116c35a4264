"""The adaptive local mean teacher: a mean over the last states only, over more of them as training goes on (step 7)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def window(t: int, t_max: int, least: int = 1, most: int = 9) -> int:
    """m_t = floor((1 + cos(pi (t_max - t) / t_max)) / 2 (most - least) + least): from `least` to `most`."""
    share = (1 + math.cos(math.pi * (t_max - t) / t_max)) / 2
    return math.floor(share * (most - least) + least + 1e-9)


def mean_state(states: Sequence[Tensor], alpha: float) -> Tensor:
    """theta_i <- alpha theta_{i-1} + (1 - alpha) theta_i, from the oldest to the latest."""
    mean = states[0]
    for state in states[1:]:
        mean = alpha * mean + (1 - alpha) * state
    return mean


class LocalMeanTeacher(nn.Module):
    """A copy of some networks whose weights are the mean of their last states.

    Parameters
    ----------
    students : sequence of Module
        Whose trained weights are followed; copies of them are `networks`.
    t_max : int
        Epochs of training.
    least, most : int
        Between which the window grows; with both alike it is fixed, with `most` >= `t_max` it is a mean teacher.
    alpha : float in [0, 1]
        What stays of the state before; with 0 the latest state is the teacher.

    Attributes
    ----------
    states : Tensor (m, p)
        The last states, the latest at the end; their running mean alone where the window holds all of them.
    """

    states: Tensor
    count: Tensor

    def __init__(
        self, students: Sequence[nn.Module], t_max: int, least: int = 1, most: int = 9, alpha: float = 0.9
    ) -> None:
        super().__init__()
        self.t_max, self.least, self.most, self.alpha = t_max, least, most, alpha
        self.networks = nn.ModuleList(copy.deepcopy(list(students))).requires_grad_(False).eval()
        self.whole = least >= t_max
        rows = 1 if self.whole else min(most, t_max) + 1
        self.register_buffer("states", torch.zeros(rows, len(_vector(self.networks))))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @property
    def ready(self) -> bool:
        """Whether there is a state to learn from."""
        return int(self.count) > 0

    @torch.no_grad()
    def push(self, students: Sequence[nn.Module], t: int) -> None:
        """Remember a state at the end of epoch `t`, and take the mean over the last m_t + 1."""
        state = _vector(students)
        if self.whole:
            self.states[0] = mean_state([self.states[0], state], self.alpha) if self.ready else state
        else:
            self.states.copy_(self.states.roll(-1, 0))
            self.states[-1] = state
        self.count += 1
        several = min(window(t, self.t_max, self.least, self.most) + 1, int(self.count), len(self.states))
        _assign(self.networks, mean_state(list(self.states[-several:]), self.alpha))


def _vector(networks: Sequence[nn.Module] | nn.ModuleList) -> Float[Tensor, " p"]:
    return torch.cat([p.detach().flatten() for net in networks for p in net.parameters()])


def _assign(networks: nn.ModuleList, vector: Float[Tensor, " p"]) -> None:
    at = 0
    for net in networks:
        for p in net.parameters():
            p.copy_(vector[at : at + p.numel()].view_as(p))
            at += p.numel()
