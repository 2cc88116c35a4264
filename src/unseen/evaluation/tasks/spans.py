"""Spans against the truth: exact ones, overlapping ones, tokens, and what covers part of a sentence alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tagged import pieces, tags_of, words
from unseen.data.tasks import task_of
from unseen.data.typing import FloatArray
from unseen.evaluation.tasks.base import Grades


class _Spans(Grades):
    task = "spans"
    headline = "span F1"
    meaning = (
        "the F measure of spans that begin, end and are named exactly as the truth has them; where most are whole "
        "sentences it flatters, so look at those of partial sentences beside it"
    )

    def grade(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> dict[str, float]:
        known, predictions = _compared(truth, prediction)
        hits, there, n_predicted = (sum(column) for column in zip(*map(_exact, known, predictions)))
        soft = [_overlapping(expected, predicted) for expected, predicted in zip(known, predictions)]
        recalled, right = sum(a for a, _ in soft), sum(b for _, b in soft)
        labels = sorted({int(k) for rows in (*known, *predictions) for k in rows[:, 2]})
        per_class = [f1(*_sums([(_of(a, k), _of(b, k)) for a, b in zip(known, predictions)])) for k in labels]
        return {
            "span F1": f1(hits, there, n_predicted),
            "span precision": hits / n_predicted if n_predicted else 0.0,
            "span recall": hits / there if there else 0.0,
            "macro span F1": float(np.mean(per_class)) if per_class else 1.0,
            "overlap F1": _harmonic(right / n_predicted if n_predicted else 0.0, recalled / there if there else 0.0)
            if there or n_predicted
            else 1.0,
        }

    def each(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> FloatArray:
        """The F measure of exact spans of each sample; 1 where there is none and none is said."""
        lengths_agree(truth, prediction)
        values = np.full(len(truth), np.nan)
        for i in np.flatnonzero(task_of("spans").labeled(truth)):
            values[i] = f1(*_exact(truth[i], np.asarray(prediction[i])))
        return values


def with_texts(
    texts: Sequence[str] | NDArray[Any],
    truth: NDArray[Any],
    prediction: Any,
    classes: ClassSpace | None = None,
) -> dict[str, float]:
    """The figures of `grade`, and those that need the texts: of tokens, and of partial sentences.

    Tokens are what white space parts. ``token micro`` and ``token macro`` count the BIO tags of spans (the micro over
    all of them together, the macro over tags that the truth or the prediction has), ``token accuracy`` is the micro
    with O, ``token macro with O`` the macro with it, ``token F1 NAME`` the micro over both tags of a class.
    ``partial sentences`` is the F measure of exact spans in texts whose truth has a span that leaves a word
    out, NaN where there is none.
    """
    figures = GRADES.grade(truth, prediction, classes)
    rows = [i for i in range(len(truth)) if truth[i] is not None]
    highest = max(
        (int(r[:, 2].max()) for i in rows for r in (truth[i], np.asarray(prediction[i])) if len(r)), default=0
    )
    names = [str(k) for k in range(highest + 1)] if classes is None else classes.names
    counts: dict[str, list[int]] = {}
    right = total = 0
    for i in rows:
        places = words(str(texts[i]))
        tags, predicted = (tags_of(places, np.asarray(r).reshape(-1, 3), names) for r in (truth[i], prediction[i]))
        right, total = right + sum(a == b for a, b in zip(tags, predicted)), total + len(places)
        for a, b in zip(tags, predicted):
            for tag, place in ((a, 1), (b, 2)):
                counts.setdefault(tag, [0, 0, 0])[place] += 1
            counts[a][0] += a == b
    tagged = {tag: row for tag, row in counts.items() if tag != "O"}
    sums = [sum(column) for column in zip(*tagged.values())] or [0, 0, 0]
    figures["token micro"] = f1(*sums)
    figures["token macro"] = float(np.mean([f1(*row) for row in tagged.values()])) if tagged else 1.0
    figures["token macro with O"] = float(np.mean([f1(*row) for row in counts.values()])) if counts else 1.0
    figures["token accuracy"] = right / total if total else 1.0
    for name in names:
        of_class = [sum(column) for column in zip(*(c for tag, c in tagged.items() if tag[2:] == name))] or [0, 0, 0]
        if of_class[1] or of_class[2]:
            figures[f"token F1 {name}"] = f1(*of_class)
    at = [i for i in rows if partial(str(texts[i]), truth[i])]
    figures["partial sentences"] = (
        f1(*(sum(c) for c in zip(*(_exact(truth[i], np.asarray(prediction[i])) for i in at)))) if at else float("nan")
    )
    return figures


def partial(text: str, rows: NDArray[Any]) -> bool:
    """Whether a text has a span that leaves one of its words out."""
    places = words(text)
    return any(start > places[0][0] or stop < places[-1][1] for start, stop, _ in rows.tolist()) if places else False


def confusion(
    texts: Sequence[str] | NDArray[Any], truth: NDArray[Any], prediction: Any, names: Sequence[str]
) -> NDArray[np.int64]:
    """How many tokens (words and signs) of each class, the last row and column none, are said to be of which."""
    table = np.zeros((len(names) + 1, len(names) + 1), dtype=np.int64)
    at = {name: i for i, name in enumerate(names)}
    for text, expected, predicted in zip(texts, truth, prediction):
        if expected is not None:
            places = pieces(str(text))
            for a, b in zip(*(tags_of(places, np.asarray(r).reshape(-1, 3), names) for r in (expected, predicted))):
                table[at.get(a[2:], -1), at.get(b[2:], -1)] += 1
    return table


def f1(hits: float, there: float, predicted: float) -> float:
    """The F measure; 1 where there is nothing and nothing is found."""
    return 2 * hits / (there + predicted) if there + predicted else 1.0


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def _exact(truth: NDArray[Any], said: NDArray[Any]) -> tuple[int, int, int]:
    a, b = ({tuple(row) for row in np.asarray(rows).reshape(-1, 3).tolist()} for rows in (truth, said))
    return len(a & b), len(a), len(b)


def _overlapping(truth: NDArray[Any], said: NDArray[Any]) -> tuple[int, int]:
    """Spans of the truth that one of the same class meets, and the other way round."""
    first, second = truth.reshape(-1, 3).tolist(), np.asarray(said).reshape(-1, 3).tolist()
    return sum(any(_meet(a, b) for b in second) for a in first), sum(any(_meet(a, b) for a in first) for b in second)


def _meet(a: Sequence[int], b: Sequence[int]) -> bool:
    return a[2] == b[2] and a[0] < b[1] and b[0] < a[1]


def _of(rows: NDArray[Any], label: int) -> NDArray[Any]:
    return rows[rows[:, 2] == label]


def _sums(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[int, int, int]:
    hits, there, n_predicted = (sum(column) for column in zip(*(_exact(a, b) for a, b in pairs)))
    return hits, there, n_predicted


def lengths_agree(truth: NDArray[Any], prediction: Any) -> None:
    """Raise `ValueError` if they are not of as many samples."""
    if len(truth) != len(prediction):
        raise ValueError(f"there must be spans for each sample, {len(truth)}; got {len(prediction)}")


def _compared(truth: NDArray[Any], prediction: Any) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    lengths_agree(truth, prediction)
    known = np.flatnonzero(task_of("spans").labeled(truth))
    if not len(known):
        raise ValueError("nothing can be graded: of no sample spans are known")
    return [truth[i] for i in known], [np.asarray(prediction[i]).reshape(-1, 3) for i in known]


GRADES = _Spans()
