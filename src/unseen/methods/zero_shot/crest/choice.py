"""Step 7 of the training: seen classes that play unseen ones, and the bias between both kinds that suits them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.samplers import hold_out
from unseen.methods.zero_shot.crest.inputs import chunks, rows
from unseen.methods.zero_shot.crest.network import Resonance
from unseen.nn.classifier import evaluating
from unseen.nn.unseen_classes import mean_of_classes
from unseen.validation.rehearsal import pretend_unseen


class Rehearsal(NamedTuple):
    """Samples to learn from and to judge by, and the classes that play unseen ones; all as positions."""

    learned: Int[np.ndarray, " m"]
    judged: Int[np.ndarray, " j"]
    held: Int[np.ndarray, " h"]


def rehearsal(y: Int[np.ndarray, " n"], share: float, generalized: bool, random_state: int) -> Rehearsal | None:
    """Hold a share of the classes out, at least two; where all classes compete, a fifth of the samples of others, too.

    None if there are fewer than four classes, or, where all compete, no class has a sample to spare.
    """
    folds = pretend_unseen(y, max(2, round(1 / share)), random_state)
    if not folds:
        return None
    held = folds[0]
    out = np.isin(y, held)
    aside = out.copy()
    if generalized:
        aside[~out] = hold_out(y[~out], 0.2, random_state)[1]
    if generalized and not (aside & ~out).any():
        return None
    return Rehearsal(np.flatnonzero(~aside), np.flatnonzero(aside), held)


class Grade(NamedTuple):
    """The best bias, H or the accuracy, and the mean probability of the true classes, which tells equals apart."""

    bias: float
    figure: float
    likely: float

    @property
    def score(self) -> float:
        """The figure, and where two are equal the likelier."""
        return self.figure + 1e-3 * self.likely


def best_bias(scores: Float[Tensor, "n k"], truth: Int[Tensor, " n"], new: Bool[Tensor, " k"]) -> tuple[float, float]:
    """The bias on the scores of new classes at which H is best, and that H.

    H is the harmonic mean of the accuracies of both kinds of classes, each the mean over its classes. A prediction
    flips once as the bias grows: where it makes up for the lead of the best old class. All flips are tried, and the
    bias is put halfway to the next one. Without samples of one kind there is nothing to balance: 0, and no H.

    Parameters
    ----------
    scores : Tensor (n, k)
    truth : Tensor (n,)
        Columns of `scores`.
    new : Tensor (k,)
        Which classes are new.
    """
    if bool(new[truth].all()) or not bool(new[truth].any()):
        return 0.0, 0.0
    old_best, old_class = scores.masked_fill(new, -torch.inf).max(dim=1)
    new_best, new_class = scores.masked_fill(~new, -torch.inf).max(dim=1)
    lead, order = (old_best - new_best).double().sort()
    weight = 1 / torch.bincount(truth, minlength=len(new)).double()[truth]
    of_new = new[truth]

    def share(of: Tensor, right: Tensor) -> Tensor:
        return torch.cumsum((weight * (of & right))[order], dim=0) / weight[of].sum()

    lost, gained = share(~of_new, old_class == truth), share(of_new, new_class == truth)
    s, u = lost[-1] - lost, gained
    h = torch.where(s + u > 0, 2 * s * u / (s + u).clamp_min(1e-12), torch.zeros_like(s))
    h[:-1][lead[:-1] == lead[1:]] = -1  # samples with one lead flip together
    best = int(h.argmax())
    after = float(lead[best + 1]) if best + 1 < len(lead) else float(lead[best]) + 1
    return (float(lead[best]) + after) / 2, float(h[best])


def graded(
    network: Resonance, cells: NDArray[Any], y: Int[np.ndarray, " n"], parts: Rehearsal, generalized: bool
) -> Grade:
    """With the best bias and its H among all classes, or with 0 and the accuracy among those that play unseen ones."""
    there, asked = network.words.device, network.asked.cpu().numpy()
    with evaluating(network), torch.no_grad():
        seen = (network.see(rows(cells, part).to(there)) for part in chunks(parts.judged))
        scores = torch.cat([network.scored(network.judge(part, network.asked)).cpu() for part in seen])
    truth = torch.as_tensor(np.searchsorted(asked, y[parts.judged]))
    likely = float(torch.softmax(scores, dim=1).gather(1, truth[:, None]).mean())
    if generalized:
        return Grade(*best_bias(scores, truth, torch.as_tensor(np.isin(asked, parts.held))), likely)
    return Grade(0.0, mean_of_classes(truth, scores.argmax(dim=1)), likely)
