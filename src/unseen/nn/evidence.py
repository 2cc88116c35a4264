"""Evidential classification: evidence to opinions, opinions put together, and the losses that teach evidence.

Sensoy et al., "Evidential Deep Learning to Quantify Classification Uncertainty", NeurIPS 2018; two opinions are put
together by Dempster's rule, as in Han et al., "Trusted Multi-View Classification", ICLR 2021.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Activation = Literal["softplus", "exp", "relu"]
Variant = Literal["digamma", "mse"]

LARGEST = 10.0
"""Logits are cut here before `exp`: beyond, one sample would outweigh all others."""


class Opinion(NamedTuple):
    """What is believed of each class, and what is left open; together they are 1.

    Attributes
    ----------
    belief : Tensor (n, k)
    uncertainty : Tensor (n,)
        K over the strength of the Dirichlet distribution, in (0, 1]; 1 is no evidence at all.
    """

    belief: Float[Tensor, "n k"]
    uncertainty: Float[Tensor, " n"]


def evidence_of(logits: Float[Tensor, "n k"], activation: Activation) -> Float[Tensor, "n k"]:
    """Evidence, at least 0, from logits; before `exp` they are cut at `LARGEST`."""
    if activation == "exp":
        return logits.clamp(max=LARGEST).exp()
    return F.softplus(logits) if activation == "softplus" else F.relu(logits)


def opinion(evidence: Float[Tensor, "n k"]) -> Opinion:
    """b_k = e_k / S and u = K / S, where S = K + the sum of all evidence."""
    strength = evidence.sum(dim=1, keepdim=True) + evidence.shape[1]
    return Opinion(evidence / strength, evidence.shape[1] / strength[:, 0])


def indifference(logits: Float[Tensor, "n k"]) -> Opinion:
    """A softmax as an opinion, for comparison: u is its entropy over that of an even one, belief (1 - u) p."""
    p = torch.softmax(logits, dim=1)
    even = torch.log(torch.tensor(float(max(2, logits.shape[1]))))
    u = torch.special.entr(p).sum(dim=1) / even.to(logits.device)
    return Opinion((1 - u)[:, None] * p, u)


def evidence_behind(held: Opinion) -> Float[Tensor, "n k"]:
    """The evidence of which an opinion is made: e_k = b_k S with S = K / u."""
    return held.belief * (held.belief.shape[1] / held.uncertainty[:, None])


def dempster(a: Opinion, b: Opinion) -> Opinion:
    """Two opinions about the same samples as one, by Dempster's rule.

    Belief is (a_k b_k + a_k u_b + b_k u_a) / (1 - C), uncertainty u_a u_b / (1 - C), where the conflict C is the belief
    that goes to different classes. 1 - C is added up from what agrees, so that nothing cancels.
    """
    ua, ub = a.uncertainty[:, None], b.uncertainty[:, None]
    joint = a.belief * b.belief + a.belief * ub + b.belief * ua
    both = a.uncertainty * b.uncertainty
    agreement = joint.sum(dim=1) + both
    return Opinion(joint / agreement[:, None], both / agreement)


def conflict(a: Opinion, b: Opinion) -> Float[Tensor, " n"]:
    """C of `dempster`: the sum over i != j of a_i b_j, in [0, 1]."""
    return a.belief.sum(dim=1) * b.belief.sum(dim=1) - (a.belief * b.belief).sum(dim=1)


def edl_loss(alpha: Float[Tensor, "n k"], y: Int[Tensor, " n"], variant: Variant = "digamma") -> Float[Tensor, " n"]:
    """What the Dirichlet distribution of each sample loses, expected over the probabilities drawn from it.

    Parameters
    ----------
    alpha : Tensor (n, k)
        Evidence + 1.
    y : Tensor (n,)
    variant : {"digamma", "mse"}
        Expected cross entropy, digamma(S) - digamma(alpha_y) (Sensoy et al., eq. 4), or expected squared error,
        sum_k (y_k - p_k)^2 + p_k (1 - p_k) / (S + 1) (eq. 5).
    """
    strength = alpha.sum(dim=1)
    if variant == "digamma":
        return torch.digamma(strength) - torch.digamma(alpha.gather(1, y[:, None])[:, 0])
    p = alpha / strength[:, None]
    error = (F.one_hot(y, alpha.shape[1]) - p).square()
    return (error + p * (1 - p) / (strength[:, None] + 1)).sum(dim=1)


def kl_to_uniform(alpha: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """KL(Dir(alpha) || Dir(1, ..., 1)) of each sample; 0 where alpha is 1. In float64, as its terms are large."""
    a = alpha.double()
    total, k = a.sum(dim=1, keepdim=True), torch.tensor(float(a.shape[1]), dtype=torch.float64, device=a.device)
    constant = torch.lgamma(total[:, 0]) - torch.lgamma(k) - torch.lgamma(a).sum(dim=1)
    return (constant + ((a - 1) * (torch.digamma(a) - torch.digamma(total))).sum(dim=1)).to(alpha.dtype)


def misleading(alpha: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
    """alpha with the evidence for the true class removed: y + (1 - y) alpha."""
    return alpha.scatter(1, y[:, None], 1.0)


def annealed(epoch: int, length: int) -> float:
    """The weight of the KL term, which grows from 0 to 1 over `length` epochs; a length of 0 is 1 from the start."""
    return min(1.0, epoch / length) if length else 1.0


def evidential_loss(
    evidence: Float[Tensor, "n k"], y: Int[Tensor, " n"], *, variant: Variant = "digamma", penalty: float = 1.0
) -> Float[Tensor, ""]:
    """L_EDL: `edl_loss` and `penalty` times the KL of the misleading evidence, mean over the samples."""
    alpha = evidence + 1
    loss = edl_loss(alpha, y, variant)
    if penalty:
        loss = loss + penalty * kl_to_uniform(misleading(alpha, y))
    return loss.mean()
