"""Metrics of completing a knowledge graph: filtered ranks of true tails, mean reciprocal rank, hits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray


def filtered_ranks(
    scores: FloatArray, truth: IntArray, known: NDArray[np.bool_] | None = None, within: NDArray[np.bool_] | None = None
) -> FloatArray:
    """The rank of the true tail of each query among the candidates, from 1, (n,).

    Tails of equal score share the mean of their ranks, so that a constant score ranks in the middle.

    Parameters
    ----------
    scores : float array (n, e)
        Larger is likelier.
    truth : int array (n,)
        The true tail of each query.
    known : bool array (n, e), optional
        Other tails that are true as well: they are left out of the ranking, the true tail itself never is.
    within : bool array (n, e) or (e,), optional
        The entities that compete, such as those of the right type.

    Raises
    ------
    ValueError
        If shapes do not fit, a score is not a number, a true tail does not compete, or there is no query.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or truth.shape != (len(scores),) or not len(truth):
        raise ValueError(f"scores must be of shape (n, e) and truth (n,); got {scores.shape} and {truth.shape}")
    if np.isnan(scores).any():
        raise ValueError("scores must be numbers; some are not")
    if truth.min() < 0 or truth.max() >= scores.shape[1]:
        raise ValueError(f"truth must lie in [0, {scores.shape[1]}); got {truth.min()}..{truth.max()}")
    rows = np.arange(len(scores))
    compete = np.ones(scores.shape, dtype=bool) if within is None else np.broadcast_to(within, scores.shape).copy()
    if not compete[rows, truth].all():
        raise ValueError(f"within must hold the true tails; {int((~compete[rows, truth]).sum())} of them are not in it")
    if known is not None:
        compete &= ~known
    compete[rows, truth] = False
    true_scores = scores[rows, truth][:, None]
    better = ((scores > true_scores) & compete).sum(axis=1)
    equal = ((scores == true_scores) & compete).sum(axis=1)
    return 1 + better + equal / 2


def ranking_scores(ranks: FloatArray, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """``mrr``, the mean of 1 / rank, and ``hits@k``, the share of ranks of at most k, each in [0, 1]."""
    if not len(ranks):
        raise ValueError("ranks must hold at least one rank; it is empty")
    return {"mrr": float((1 / ranks).mean())} | {f"hits@{k}": float((ranks <= k).mean()) for k in ks}


def known_tails(queries: IntArray, triples: IntArray, n_entities: int) -> NDArray[np.bool_]:
    """For queries (head, relation), (n, 2), which tails make a triple (head, relation, tail) of `triples`, (n, e)."""
    out = np.zeros((len(queries), n_entities), dtype=bool)
    tails: dict[tuple[int, int], list[int]] = {}
    for head, relation, tail in np.asarray(triples).tolist():
        tails.setdefault((head, relation), []).append(tail)
    for row, (head, relation) in enumerate(np.asarray(queries).tolist()):
        out[row, tails.get((head, relation), [])] = True
    return out
