"""Metrics over classes with a distance: ranks of the right class, how far away the one found is, who is near it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.data.label_metrics import LabelMetric
from unseen.data.typing import FloatArray, IntArray


def hit_at(truth: IntArray, ranked: IntArray, k: int) -> float:
    """Share of samples whose right node is among the first k of `ranked` (n, m), in [0, 1].

    It is 1 by construction where k is the number of classes, as hit@3 of three unseen classes.

    Raises
    ------
    ValueError
        If there is no sample, shapes do not fit, a right node is below 0, or fewer than k nodes were ranked.
    """
    _check(truth, ranked)
    if not 1 <= k <= ranked.shape[1]:
        raise ValueError(f"k must be in [1, {ranked.shape[1]}], the nodes that were ranked; got {k}")
    return float((ranked[:, :k] == truth[:, None]).any(axis=1).mean())


def mean_reciprocal_rank(truth: IntArray, ranked: IntArray) -> float:
    """Mean of 1 / rank of the right node, 0 where it was not ranked, in [0, 1]."""
    _check(truth, ranked)
    right = ranked == truth[:, None]
    return float(np.where(right.any(axis=1), 1 / (1 + right.argmax(axis=1)), 0).mean())


def hops(truth: IntArray, predicted: IntArray, metric: LabelMetric) -> FloatArray:
    """Edges from each right node to the node found, (n,); as far as the farthest node where none was found (-1)."""
    if truth.ndim != 1 or truth.shape != predicted.shape or not len(truth):
        raise ValueError(f"truth and predicted must be vectors of one length; got {truth.shape} and {predicted.shape}")
    _refuse_unknown(truth)
    out = np.empty(len(truth))
    some = predicted >= 0
    out[some] = metric.between(truth[some], predicted[some])
    out[~some] = [metric.rows(np.array([node])).max() for node in truth[~some]]
    return out


def hierarchical_precision(truth: IntArray, ranked: IntArray, metric: LabelMetric, block: int = 256) -> float:
    """Mean share of the k ranked classes that are among those nearest to the right one, in [0, 1].

    The set of the right answers grows around the right class, whole distances at a time, until it holds k classes, as
    in Frome et al., "DeViSE", NeurIPS 2013, section 4.3. So a wrong class beside the right one counts, and a far one
    does not.

    Parameters
    ----------
    truth : array (n,)
    ranked : array (n, k)
        The k classes found, at most all there are; -1 where there is none.
    metric : LabelMetric
    """
    _check(truth, ranked)
    k = ranked.shape[1]
    if not 1 <= k <= len(metric):
        raise ValueError(f"ranked must hold 1 to {len(metric)} classes of each sample, all there are; got {k}")
    total = 0.0
    classes, place = np.unique(truth, return_inverse=True)
    for start in range(0, len(classes), block):
        distance = metric.rows(classes[start : start + block])
        radius = (
            np.partition(distance, k - 1, axis=1)[:, k - 1]
            if k <= distance.shape[1]
            else np.full(len(distance), np.inf)
        )
        samples = np.flatnonzero((place >= start) & (place < start + block))
        row, answers = place[samples] - start, ranked[samples]
        near = distance[row[:, None], answers.clip(min=0)] <= radius[row][:, None]
        total += float((near & (answers >= 0)).sum())
    return total / ranked.size


def node_cosine(truth: IntArray, predicted: IntArray, nodes: FloatArray) -> float:
    """Mean cosine of the vectors of the right node and of the node found, in [-1, 1]; 0 where none was found."""
    unit = nodes / np.maximum(np.linalg.norm(nodes, axis=1, keepdims=True), 1e-12)
    return float(np.where(predicted >= 0, (unit[truth] * unit[predicted]).sum(axis=1), 0).mean())


def taxonomy_scores(
    truth: IntArray, ranked: IntArray, metric: LabelMetric, nodes: FloatArray | None = None, ks: Sequence[int] = (1, 10)
) -> dict[str, float]:
    """All of them: ``hit@k``, ``mrr``, ``hops`` (mean), ``within 1``, ``within 2``, and with `nodes` ``cosine``.

    Parameters
    ----------
    truth : array (n,)
        Right nodes, as class indices.
    ranked : array (n, m)
        Nodes, the nearest first, no more of them than `ks` asks for; -1 where none was found.
    metric : LabelMetric
        Hops between nodes.
    nodes : array (n_classes, d), optional
        Vectors of the nodes.
    """
    far = hops(truth, ranked[:, 0], metric)
    out = {f"hit@{k}": hit_at(truth, ranked, k) for k in ks}
    out |= {"mrr": mean_reciprocal_rank(truth, ranked), "hops": float(far.mean())}
    out |= {f"within {h}": float((far <= h).mean()) for h in (1, 2)}
    return out if nodes is None else out | {"cosine": node_cosine(truth, ranked[:, 0], nodes)}


def crowded(nodes: FloatArray, cosine: float = 0.99, block: int = 1024) -> float:
    """Share of nodes whose nearest other node has at least this cosine: they cannot be told apart, in [0, 1]."""
    unit = nodes / np.maximum(np.linalg.norm(nodes, axis=1, keepdims=True), 1e-12)
    near = 0
    for start in range(0, len(unit), block):
        scores = unit[start : start + block] @ unit.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        near += int((scores.max(axis=1) >= cosine).sum())
    return near / len(unit)


def _check(truth: IntArray, ranked: IntArray) -> None:
    if truth.ndim != 1 or ranked.ndim != 2 or len(truth) != len(ranked) or not len(truth):
        raise ValueError(
            f"truth must be of shape (n,) and ranked (n, m), at least one sample; got {truth.shape}, {ranked.shape}"
        )
    _refuse_unknown(truth)


def _refuse_unknown(truth: IntArray) -> None:
    if truth.min() < 0:
        raise ValueError(f"truth must hold nodes, at least 0; got {truth.min()}")
