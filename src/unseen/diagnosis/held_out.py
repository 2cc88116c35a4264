"""Scores of source and target samples from source classifiers that saw neither: what label-shift estimators read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from unseen.data.typing import FloatArray, IntArray
from unseen.nn.logistic import fit_logistic

_SQUARED_NORM = 10.0
"""Mean squared length of a centred source sample as the classifiers see it; from 4 to 100 all do alike."""


class HeldOut(NamedTuple):
    """Log-probabilities of source (n, c) and target samples (m, c)."""

    source: FloatArray
    target: FloatArray


def held_out_scores(
    source: FloatArray, y: IntArray, target: FloatArray, n_classes: int, *, folds: int = 5, seed: int = 0
) -> HeldOut:
    """Score each sample by logistic regression on the source without a fold that the sample is in.

    Both domains are divided into folds, so that source and target samples are scored by the same few classifiers and
    neither has an advantage.

    Parameters
    ----------
    source, target : array (n, d) and (m, d)
    y : int array (n,)
        Classes in [0, n_classes), at least two of them in every training part.
    """
    mean = source.mean(axis=0)
    # one scale for all components: of few samples, small components are noise, and must stay small
    scale = np.sqrt(_SQUARED_NORM / max(float(((source - mean) ** 2).sum(axis=1).mean()), 1e-12))
    source, target = (((x - mean) * scale).astype(np.float32) for x in (source, target))
    rng = np.random.default_rng(seed)
    fold = np.empty(len(source), dtype=np.int64)
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        fold[members] = (np.arange(len(members)) + rng.integers(folds)) % folds
    other = rng.permutation(len(target)) % folds
    out = HeldOut(np.empty((len(source), n_classes)), np.empty((len(target), n_classes)))
    for k in range(folds):
        network = fit_logistic(torch.as_tensor(source[fold != k]), y[fold != k], n_classes, standardize=False)
        for scores, x, part in ((out.source, source, fold), (out.target, target, other)):
            with torch.no_grad():
                logits = network(torch.as_tensor(x[part == k]))
            scores[part == k] = torch.log_softmax(logits.double(), dim=1).clamp_min(-30).numpy()
    return out
