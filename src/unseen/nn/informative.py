"""Which labelled samples a model still learns from: how unsure it is of them, and a threshold that follows."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unseen.data.pixels import UNKNOWN

Kind = Literal["entropy", "margin", "disagreement"]


def pixel_uncertainty(
    logits: Float[Tensor, "b c h w"], kind: Kind = "entropy", other: Float[Tensor, "b c h w"] | None = None
) -> Float[Tensor, "b h w"]:
    """How unsure a model is of every pixel.

    ``"entropy"`` is -sum p log p / log C, 1 for a uniform prediction and 0 for a certain one; ``"margin"``
    1 - (p1 - p2) of the two likeliest classes; ``"disagreement"`` KL(p' || p) from what it says of the
    `other` view of the picture.
    """
    log_p = torch.log_softmax(logits, dim=1)
    if kind == "entropy":
        return -(log_p.exp() * log_p).sum(dim=1) / math.log(max(logits.shape[1], 2))
    if kind == "margin":
        first, second = log_p.exp().topk(2, dim=1).values.unbind(1)
        return 1 - (first - second)
    if other is None:
        raise ValueError("disagreement needs the logits of another view")
    log_o = torch.log_softmax(other, dim=1)
    return (log_o.exp() * (log_o - log_p)).sum(dim=1)


def uncertainty(
    logits: Float[Tensor, "b c h w"],
    mask: Int[Tensor, "b h w"],
    kind: Kind = "entropy",
    other: Float[Tensor, "b c h w"] | None = None,
) -> Float[Tensor, " b"]:
    """The mean of `pixel_uncertainty` over the pixels of each picture whose class is known, (b,)."""
    known = (mask != UNKNOWN).to(logits.dtype)
    u = pixel_uncertainty(logits, kind, other)
    return (u * known).sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp_min(1)


class InformativeSelector(nn.Module):
    """Keep the samples whose score is above a running quantile (or a running mean) of the scores so far.

    Parameters
    ----------
    q : float in [0, 1]
        Share of the scores below the threshold: 0 keeps all, 1 none once it is warm.
    momentum : float
        Of the running mean, for `by` ``"mean"``.
    window : int
        Scores that the running quantile is of.
    warm : int
        Samples that are kept before there is a threshold, unless `q` is 0 or 1.
    by : {"quantile", "mean"}
    """

    history: Tensor
    numbers: Tensor

    def __init__(
        self,
        q: float = 0.5,
        momentum: float = 0.9,
        *,
        window: int = 64,
        warm: int = 16,
        by: Literal["quantile", "mean"] = "quantile",
    ) -> None:
        super().__init__()
        self.q, self.momentum, self.warm, self.by = q, momentum, warm, by
        self.register_buffer("history", torch.full((window,), math.nan, dtype=torch.float64))
        self.register_buffer("numbers", torch.tensor([0, 0, math.nan], dtype=torch.float64))  # seen, kept, mean
        self.register_buffer("recent", torch.ones(50, dtype=torch.bool))

    @property
    def seen(self) -> int:
        """Samples scored."""
        return int(self.numbers[0])

    @property
    def kept(self) -> int:
        """Samples kept."""
        return int(self.numbers[1])

    @property
    def recent_acceptance(self) -> float:
        """Share of the last 50 samples that were kept; 1 before there were as many."""
        return float(self.get_buffer("recent").double().mean()) if self.seen >= len(self.get_buffer("recent")) else 1.0

    def forward(self, scores: Float[Tensor, " b"]) -> Bool[Tensor, " b"]:
        """Which samples to keep, one after the other."""
        return torch.tensor([self._one(float(score)) for score in scores], dtype=torch.bool)

    def _one(self, score: float) -> bool:
        if (self.q == 0 and self.by == "quantile") or self.seen < self.warm:
            keep = True
        elif self.by == "mean":
            keep = score >= float(self.numbers[2])
        else:
            past = self.history[~self.history.isnan()]
            keep = self.q < 1 and score > float(torch.quantile(past, self.q))
        mean = self.numbers[2]
        self.numbers[2] = score if mean.isnan() else self.momentum * mean + (1 - self.momentum) * score
        self.history[self.seen % len(self.history)] = score
        recent = self.get_buffer("recent")
        recent[self.seen % len(recent)] = keep
        self.numbers[0] += 1
        self.numbers[1] += float(keep)
        return keep
