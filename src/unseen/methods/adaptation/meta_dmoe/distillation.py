"""The inner step (5c): one step of distillation, in which only what comes before the head moves."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

Parameters = Mapping[str, Tensor]


class _Embedding(nn.Module):
    """`network.embed` as a module, so that it can be called with other parameters."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.embed(x)  # type: ignore[operator]


def feature_parameters(student: nn.Module) -> dict[str, Tensor]:
    """theta_e: all that can be trained but the head, by name."""
    return {k: p for k, p in student.named_parameters() if p.requires_grad and not k.startswith("head.")}


def features(student: nn.Module, parameters: Parameters, x: Tensor) -> Float[Tensor, "b d"]:
    """Features of the student with these parameters in the place of its own."""
    named = {f"network.{key}": value for key, value in parameters.items()}
    return functional_call(_Embedding(student), named, (x,))


def distillation_loss(z: Float[Tensor, "b d"], t: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """L_in: the mean over all entries of (z - t)^2."""
    return (z - t).square().mean()


def inner_step(
    student: nn.Module, x: Tensor, t: Float[Tensor, "b d"], alpha: float, *, first_order: bool = False
) -> tuple[dict[str, Tensor], Tensor]:
    """theta_e' = theta_e - alpha grad L_in, as a function of theta_e and of t; and L_in.

    With `first_order` the gradient counts as a constant: nothing then reaches t, nor the aggregator behind it.
    """
    parameters = feature_parameters(student)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
        loss = distillation_loss(features(student, parameters, x), t.detach() if first_order else t)
    slopes = torch.autograd.grad(loss, list(parameters.values()), create_graph=not first_order, allow_unused=True)
    moved = {k: p if g is None else p - alpha * g for (k, p), g in zip(parameters.items(), slopes)}
    return moved, loss


def distilled(student: Any, pieces: Iterable[tuple[Tensor, Tensor]], n: int, alpha: float) -> Any:
    """A copy of the student after one inner step on `n` samples, which come in pieces (x, t); the student stays.

    The gradient is that of L_in over all samples at once.
    """
    adapted = copy.deepcopy(student).eval()
    parameters = feature_parameters(adapted)
    total = {key: torch.zeros_like(value) for key, value in parameters.items()}
    for x, t in pieces:
        with torch.enable_grad():
            loss = distillation_loss(features(adapted, parameters, x), t.detach()) * (len(x) / n)
            slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for key, slope in zip(total, slopes):
            if slope is not None:
                total[key] += slope
    with torch.no_grad():
        for key, value in parameters.items():
            value -= alpha * total[key]
    return adapted
