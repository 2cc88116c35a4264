"""Training through an argmax: simplex projection and gradient estimators for one-hot decisions."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def expected_cost_scores(logits: Float[Tensor, "b k"], cost: Float[Tensor, "k n"]) -> Float[Tensor, "b n"]:
    """S = -softmax(logits) @ cost: minus the expected cost of deciding for each class, usable as logits."""
    return -torch.softmax(logits, dim=1) @ cost


def project_simplex(v: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """The nearest point of the probability simplex to each row, exactly (Duchi et al. 2008, figure 1)."""
    ordered = v.sort(dim=1, descending=True).values
    excess = ordered.cumsum(dim=1) - 1
    rank = torch.arange(1, v.shape[1] + 1, device=v.device, dtype=v.dtype)
    support = (ordered * rank > excess).sum(dim=1, keepdim=True)
    return (v - excess.gather(1, support - 1) / support).clamp_min(0)


def decide(scores: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """One-hot vector of the largest score of each row; ties go to the lowest index."""
    return F.one_hot(scores.argmax(dim=1), scores.shape[1]).to(scores.dtype)


def straight_through(scores: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """`decide`, whose gradient is passed on to the scores unchanged (Bengio et al. 2013)."""
    return _StraightThrough.apply(scores)  # type: ignore[no-untyped-call]


def projection(scores: Float[Tensor, "b n"], eta: float = 0.01) -> Float[Tensor, "b n"]:
    """`decide`, whose gradient g becomes z - Proj(z - eta g): one projected step from the decision z.

    Unlike a copied gradient it never pulls a decision out of the simplex. Proj is the Euclidean projection.
    """
    return _Projection.apply(scores, eta)  # type: ignore[no-untyped-call]


def decoded_cost(
    scores: Float[Tensor, "b n"],
    target_cost: Float[Tensor, "b n"],
    how: Literal["straight-through", "projection"] = "projection",
    eta: float = 0.01,
) -> Float[Tensor, ""]:
    """Mean cost of the decisions, differentiable by an estimator; `target_cost[i, y]` is the cost of y."""
    if how not in ("straight-through", "projection"):
        raise ValueError(f"how must be 'straight-through' or 'projection'; got {how!r}")
    z = straight_through(scores) if how == "straight-through" else projection(scores, eta)
    return (z * target_cost).sum(dim=1).mean()


def exact_loss(logits: Float[Tensor, "b k"], cost: Float[Tensor, "k n"], y: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Negative log-likelihood of class `y` with the expected cost scores as logits."""
    return F.cross_entropy(expected_cost_scores(logits, cost), y)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        return decide(scores)

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        return grad[0]


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, eta: float) -> Tensor:
        z = decide(scores)
        ctx.save_for_backward(z)
        ctx.eta = eta
        return z

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        (z,) = ctx.saved_tensors
        return z - project_simplex(z - ctx.eta * grad[0]), None
