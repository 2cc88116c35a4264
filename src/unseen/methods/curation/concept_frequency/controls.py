"""The paper's controls: similarity of samples, and scores per concept of retrieval and generation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.data.rows import finite_rows, unit_rows
from unseen.data.typing import FloatArray

_BLOCK = 4096


def without_similar(
    corpus: Float[np.ndarray, "n d"], test: Float[np.ndarray, "m d"], train: Float[np.ndarray, "k d"]
) -> NDArray[np.bool_]:
    """Which samples of a corpus stay once it is no nearer to the test set than the benchmark's own training set (n,).

    A sample goes if its cosine with a test sample is above the largest that this test sample has with `train`: then no
    test sample has a nearer neighbour in the corpus than among the samples that a supervised model would learn from
    (spec step 8; the rule that made LAION-200M of LAION-400M).

    Parameters
    ----------
    corpus, test, train : arrays (n, d), (m, d), (k, d)
        Embeddings by one encoder.

    Raises
    ------
    ValueError
        If widths differ, something is not finite, or `test` or `train` is empty.
    """
    rows = {"corpus": corpus, "test": test, "train": train}
    units = {name: unit_rows(finite_rows(value, name)) for name, value in rows.items()}
    widths = {unit.shape[1] for unit in units.values()}
    if len(widths) > 1 or not len(units["test"]) or not len(units["train"]):
        raise ValueError(f"corpus, test and train must be of one width, the latter two not empty; got widths {widths}")
    nearest = np.full(len(units["test"]), -1.0, np.float32)
    for start in range(0, len(units["train"]), _BLOCK):
        np.maximum(nearest, (units["test"] @ units["train"][start : start + _BLOCK].T).max(axis=1), out=nearest)
    stays = np.empty(len(units["corpus"]), bool)
    for start in range(0, len(units["corpus"]), _BLOCK):
        block = units["corpus"][start : start + _BLOCK] @ units["test"].T
        stays[start : start + _BLOCK] = (block <= nearest + 1e-6).all(axis=1)
    return stays


def class_accuracy(truth: NDArray, predicted: NDArray, n_classes: int) -> FloatArray:
    """Share of each class that was recognized, in percent, (C,); NaN for a class without samples."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"truth and predicted must be of one shape (n,); got {truth.shape} and {predicted.shape}")
    ns = np.bincount(truth, minlength=n_classes)
    with np.errstate(invalid="ignore"):
        return 100 * np.bincount(truth, truth == predicted, n_classes) / ns


def retrieval_scores(
    similarity: Float[np.ndarray, "n n"], held: Sequence[Sequence[str]], k: int = 1
) -> dict[str, dict[str, float]]:
    """Recall at `k` of every concept, in percent: the mean over the test items that hold it (spec step 9).

    Ties count by the chance of the own item to be among the first `k`.

    Parameters
    ----------
    similarity : array (n, n)
        Row i: caption i with every picture; picture i is its own.
    held : sequence of n collections of str
        Concepts of every item, such as `lemmas.nouns` of its caption.
    k : int in [1, n]

    Returns
    -------
    mapping of concept to {"text to image", "image to text", "n"}
    """
    table = np.asarray(similarity, dtype=np.float64)
    if not np.isfinite(table).all():
        raise ValueError("similarity must be finite; it holds NaN or infinities")
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(held) != len(table):
        raise ValueError(
            f"similarity must be (n, n) with a collection of concepts per item; got {table.shape}, {len(held)}"
        )
    if not 1 <= k <= len(table):
        raise ValueError(f"k must lie in [1, {len(table)}]; got {k}")
    hit = {"text to image": _within_first(table, k), "image to text": _within_first(table.T, k)}
    return _by_concept(hit, held)


def _within_first(table: NDArray, k: int) -> FloatArray:
    """How probably a row's own column is among its first `k`, if ties are broken at random, (n,)."""
    diagonal = np.diag(table)[:, None]
    before, alike = (table > diagonal).sum(axis=1), (table == diagonal).sum(axis=1)
    return np.clip((k - before) / alike, 0, 1)


def generation_scores(scores: Float[np.ndarray, "n s"], held: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Expected and best score of the pictures made for every concept: means over prompts that hold it (spec step 9).

    Parameters
    ----------
    scores : array (n, s)
        CLIP score, aesthetics or a person's rating of s pictures for each of n prompts.
    held : sequence of n collections of str
        Concepts of every prompt.

    Returns
    -------
    mapping of concept to {"expected", "best", "n"}
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size or len(held) != len(table) or not np.isfinite(table).all():
        raise ValueError(f"scores must be finite, (n, s), with a collection of concepts per prompt; got {table.shape}")
    return _by_concept({"expected": table.mean(axis=1) / 100, "best": table.max(axis=1) / 100}, held)


def _by_concept(values: dict[str, NDArray], held: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    rows: dict[str, list[int]] = {}
    for i, concepts in enumerate(held):
        for concept in dict.fromkeys(concepts):
            rows.setdefault(concept, []).append(i)
    return {
        concept: {name: float(100 * value[at].mean()) for name, value in values.items()} | {"n": float(len(at))}
        for concept, at in rows.items()
    }
