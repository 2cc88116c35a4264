"""The continuously weighted contrastive loss: pairs attract in proportion to how alike the frozen tower finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.nn import parallel
from unseen.nn.contrastive import PairLoss, both_ways, cosine_weights

Weights = Literal["cosine", "clipped", "identity", "labels"]
Targets = Callable[[slice], Tensor]
LEVEL = 0.95
"""Share of ln N above which the rows of targets say hardly anything: the loss is then label smoothing."""


def cwcl(
    p: Float[Tensor, "n d"],
    q: Float[Tensor, "n d"],
    scale: Float[Tensor, ""] | float,
    weights: Weights | Float[Tensor, "n n"] | Callable[[Tensor], Tensor] = "cosine",
    *,
    power: float = 1.0,
    labels: Tensor | None = None,
    of: Float[Tensor, "n e"] | None = None,
    both: bool = False,
    rows: int = 0,
) -> PairLoss:
    """L = L_CWCL(U -> V) + L_CL(V -> U): weighted where the frozen modality asks, ordinary where the new one does.

        L_CWCL = -1/n sum_i 1/(sum_j w_ij) sum_j w_ij log softmax_j(s <p_i, q_j>),   w_ij = <p_i, p_j> / 2 + 1/2

    Parameters
    ----------
    p, q : Tensor (n, d)
        Vectors of the frozen modality U and of the new one V, pair by pair, of any length. What is told of `p` is that
        no gradient reaches the weights; it flows into `p` itself where a projection of the frozen tower is learnt.
    scale : float
        s, the inverse temperature.
    weights : str, Tensor (n, n) or callable p -> (n, n)
        "cosine" as published; "clipped" for max(<p_i, p_j>, 0); "identity" for CLIP and LiT; "labels" for 1 where two
        labels are the same; or any weights >= 0 whose rows have a positive sum (in one process).
    power : float, > 0
        Sharpens "cosine" and "clipped".
    of : Tensor (n, e), optional
        The frozen tower's own vectors, where `p` was projected; the weights are theirs.
    both : bool
        Weights in both directions, which is not the paper's.
    rows : int
        Of more rows than this not all logits are held at once.
    """
    p, q = F.normalize(p, dim=1), F.normalize(q, dim=1)
    if isinstance(weights, str):
        targets = pair_weights(weights, p if of is None else of, power=power, labels=labels)
        back = targets
    else:
        table = weights if isinstance(weights, Tensor) else weights(p if of is None else of)
        targets, back = (lambda at: table[at]), (lambda at: table.T[at])
    return both_ways(p, q, scale, targets, back if both else None, rows)


def pair_weights(weights: str, p: Tensor, *, power: float = 1.0, labels: Tensor | None = None) -> Targets | None:
    """The weights of some rows against all pairs, those of other processes too; None for one pair each.

    They are constants and symmetric, so that they serve both directions.
    """
    if weights == "identity":
        return None
    if weights == "labels":
        if labels is None:
            raise ValueError("weights='labels' needs a label of each pair")
        every = parallel.gather(labels)
        return lambda at: (labels[at, None] == every[None, :]).float()
    vectors = p.detach()
    others = parallel.gather(vectors)
    if weights == "clipped":
        return lambda at: cosine_weights(vectors[at], others, power=power)
    return lambda at: _powered(cosine_weights(vectors[at], others), power)


def _powered(w: Tensor, power: float) -> Tensor:
    return w if power == 1 else w**power


def in_chunks(network: Any, x: Tensor, size: int) -> Tensor:
    """What a network makes of a batch, some samples at a time and again in the backward pass: the loss stays that of
    the whole batch, which gradient accumulation over parts of it would not give."""
    if not size or len(x) <= size:
        out: Tensor = network(x)
        return out
    from torch.utils.checkpoint import checkpoint

    return torch.cat([checkpoint(network, part, use_reentrant=False) for part in torch.split(x, size)])
