"""The sweep of a bias between seen and unseen classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unseen.data.typing import FloatArray, IntArray
from unseen.evaluation.metrics.zero_shot import harmonic_mean


class Sweep(NamedTuple):
    """Accuracies of seen and of unseen classes as a bias on the scores of unseen classes grows.

    Attributes
    ----------
    bias, seen, unseen : arrays (m,)
        The biases at which a prediction flips, ascending from minus to plus infinity, and the accuracies there.
    """

    bias: FloatArray
    seen: FloatArray
    unseen: FloatArray

    @property
    def figures(self) -> dict[str, float]:
        """Best S, best U, best H and the area under the curve of S over U, each in [0, 1]."""
        from sklearn.metrics import auc

        h = max(harmonic_mean(s, u) for s, u in zip(self.seen.tolist(), self.unseen.tolist()))
        return {
            "s": float(self.seen[0]),
            "u": float(self.unseen[-1]),
            "h": h,
            "auc": float(auc(self.unseen, self.seen)),
        }


def bias_sweep(scores: FloatArray, truth: IntArray, seen: IntArray, *, per_class: bool = False) -> Sweep:
    """Sweep a bias that is added to the scores of unseen classes (Chao et al., ECCV 2016; Purushwalkam et al., 2019).

    Between the bias that leaves seen classes only and that which leaves unseen ones only, a prediction flips once:
    where the bias makes up for the lead of the best seen class. So all flips are tried, and nothing is quantized.

    Parameters
    ----------
    scores : array (n, c)
        Larger is better.
    truth : array (n,)
        Class indices.
    seen : array of class indices
    per_class : bool
        Whether accuracies are means over classes, as in generalized zero-shot recognition, or over samples, as in
        compositional recognition.

    Raises
    ------
    ValueError
        If `truth` lacks samples of seen or of unseen classes.
    """
    known = np.isin(truth, seen)
    if known.all() or not known.any():
        raise ValueError(
            f"truth must hold samples of seen and of unseen classes; {known.sum()} of {len(truth)} are seen"
        )
    of_seen = np.isin(np.arange(scores.shape[1]), seen)
    best = [np.where(of, scores, -np.inf) for of in (of_seen, ~of_seen)]
    lead = best[0].max(axis=1) - best[1].max(axis=1)  # the bias at which a sample goes over to an unseen class
    right = [part.argmax(axis=1) == truth for part in best]
    weight = np.ones(len(truth)) if not per_class else 1 / np.bincount(truth)[truth]
    order = np.argsort(lead, kind="stable")
    bias, last = np.unique(lead[order], return_index=True)
    ends = np.append(last[1:], len(lead))

    def curve(of: np.ndarray, correct: np.ndarray, *, falls: bool) -> np.ndarray:
        gained = np.cumsum((weight * (of & correct))[order])[ends - 1]
        whole = np.concatenate([[0.0], gained])
        return (whole[-1] - whole if falls else whole) / weight[of].sum()

    return Sweep(
        np.concatenate([[-np.inf], bias]),
        curve(known, right[0], falls=True),
        curve(~known, right[1], falls=False),
    )
