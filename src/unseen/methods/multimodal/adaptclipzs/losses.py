"""The loss over bags: every sentence of a picture's class is right for it (step 4)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.contrastive import contrastive, same_label


def bag_loss(logits: Float[Tensor, "b b"], y: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """L = L_img + L_txt, L_img = mean_i -(1 / |P(i)|) sum_{j in P(i)} log softmax_j(S_i), L_txt the same of S^T.

    Parameters
    ----------
    logits : Tensor (b, b)
        S, of each picture (row) and the sentence that was drawn for each (column).
    y : Tensor (b,)
        The class of each, which both have; P(i) are all of the class of i.
    """
    right = same_label(y)
    return contrastive(logits, right) + contrastive(logits.T, right)


def pair_loss(logits: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    """The same if only its own sentence is right for a picture: CLIP's loss, summed over both directions."""
    return contrastive(logits) + contrastive(logits.T)


class Temperature(nn.Module):
    """T, a learnt divisor of the logits beside the towers' own scale; it stays above a hundredth of where it starts."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(start)))
        self.floor = float(start) / 100

    def forward(self, logits: Tensor) -> Tensor:
        """S / T."""
        return logits / self.value

    @torch.no_grad()
    def hold(self) -> None:
        """Put T back to its floor if a step went below it: at 0 and beneath it is no temperature any more."""
        self.value.clamp_(min=self.floor)
