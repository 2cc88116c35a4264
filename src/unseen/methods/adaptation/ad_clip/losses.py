"""The four terms of AD-CLIP's loss (step 6)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.nn.information import entropy

Entropy = Literal["paper", "code"]


def alignment(source: Float[Tensor, "b k d"], target: Float[Tensor, "b k d"]) -> Float[Tensor, ""]:
    """L_kl = (1/B) sum_{b,k,d} q (log q - log p), p and q the softmax over the K classes of text features.

    One divergence for each of the d coordinates, from the source's distribution p to the target's q.
    """
    log_p, log_q = F.log_softmax(source, dim=1), F.log_softmax(target, dim=1)
    return (log_q.exp() * (log_q - log_p)).sum() / len(source)


def uncertainty(p: Float[Tensor, "b k"], kind: Entropy = "paper") -> Float[Tensor, ""]:
    """L_ent: the mean entropy of predictions, in nats.

    "code" gives each class's column unit length over the batch first, as released: of a batch of one it is about 0.
    """
    if kind == "code":
        p = F.normalize(p, dim=0)
    return entropy(p, eps=1e-8).mean()
