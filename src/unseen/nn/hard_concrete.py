"""Hard-concrete gates: differentiable zeros and ones, whose expected number is known in closed form.

A gate z = clamp(1.2 s - 0.1, 0, 1) stretches a relaxed Bernoulli variable s, sigmoid((log u - log(1 - u) + log_alpha) /
beta) with u uniform, so that it is exactly 0 and exactly 1 with positive probability [1].

References
----------
[1] Louizos, Welling, Kingma, "Learning Sparse Neural Networks through L0 Regularization", ICLR 2018, section 2.2.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

BETA = 2 / 3
LOW, HIGH = -0.1, 1.1
EPSILON = 1e-6
RANGE = (math.log(0.01), math.log(100))
"""Where log_alpha is held after a step."""
START = 10.0
"""log_alpha of a gate that is as good as open."""
SOFTENED = 0.8
"""Factor of log_alpha in the value that stands for a gate once nothing is random, as in CoFi's and TinyCLIP's code."""


def sampled(log_alpha: Float[Tensor, "*n"], generator: torch.Generator | None = None) -> Float[Tensor, "*n"]:
    """Gates in [0, 1], drawn anew in each call; gradients flow into log_alpha."""
    u = torch.rand(log_alpha.shape, generator=generator).to(log_alpha) * (1 - 2 * EPSILON) + EPSILON
    s = torch.sigmoid((u.log() - (1 - u).log() + log_alpha) / BETA)
    return (s * (HIGH - LOW) + LOW).clamp(0, 1)


def open_probability(log_alpha: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """P(z > 0)."""
    below = -LOW / (HIGH - LOW)
    closed = torch.sigmoid(BETA * math.log(below / (1 - below)) - log_alpha)
    return 1 - closed.clamp(EPSILON, 1 - EPSILON)


def deterministic(log_alpha: Float[Tensor, " n"], least: int = 0) -> Float[Tensor, " n"]:
    """Gates without chance: as many are 0 as are expected to be closed, the smallest; the others keep a soft value.

    Parameters
    ----------
    least : int
        Gates that stay open whatever is expected.
    """
    soft = torch.sigmoid(log_alpha.detach() / BETA * SOFTENED)
    closed = round(len(soft) - float(open_probability(log_alpha.detach()).sum()))
    soft[soft.argsort(stable=True)[: max(min(closed, len(soft) - least), 0)]] = 0
    return soft
