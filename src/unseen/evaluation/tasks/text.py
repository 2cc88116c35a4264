"""Captions against what people said: CIDEr, BLEU and ROUGE-L by pycocoevalcap, and the events that both name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.caption_words import caption_words, event_words
from unseen.data.classes import ClassSpace
from unseen.data.tasks import task_of
from unseen.data.typing import FloatArray
from unseen.evaluation.tasks.base import Grades

INSTALL = 'pip install "unseen[captioning]"'


class _Text(Grades):
    task = "text"
    headline = "CIDEr"
    meaning = (
        "the share of the n-grams of a text that people said, too, of which rare ones count more; 1 is about what "
        "captions of people have of each other, and more is possible"
    )

    def grade(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> dict[str, float]:
        known, captions, references = _compared(truth, prediction)
        _, cider = _cider(captions, references)
        bleu = _bleu(captions, references)
        events = [
            event_f1(text, lines) for text, lines in zip(np.asarray(prediction)[known].tolist(), _lines(truth[known]))
        ]
        return {
            "CIDEr": cider,
            "BLEU-1": bleu[0],
            "BLEU-4": bleu[3],
            "ROUGE-L": _rouge(captions, references),
            "event F1": float(np.mean(events)),
        }

    def each(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> FloatArray:
        known, captions, references = _compared(truth, prediction)
        values = np.full(len(truth), np.nan)
        values[known] = _cider(captions, references)[0]
        return values


def event_f1(text: str, references: list[str]) -> float:
    """F measure of the event words of a caption and of each reference, the mean over references.

    Where neither names an event the two agree.
    """
    events = event_words(text)
    scores = []
    for reference in references:
        expected = event_words(reference)
        scores.append(2 * len(events & expected) / (len(events) + len(expected)) if events or expected else 1.0)
    return float(np.mean(scores))


def _lines(truth: NDArray[Any]) -> list[list[str]]:
    """The references of each sample: a label has one in every line."""
    return [[line for line in str(label).splitlines() if line.strip()] for label in truth]


def _compared(truth: NDArray[Any], prediction: Any) -> tuple[NDArray[np.intp], dict[int, Any], dict[int, Any]]:
    """Which samples count; their words, joined by spaces, as the metrics take them."""
    if len(truth) != len(prediction):
        raise ValueError(f"there must be a text for each sample, {len(truth)}; got {len(prediction)}")
    known = np.flatnonzero(task_of("text").labeled(np.asarray(truth)))
    if not len(known):
        raise ValueError("nothing can be graded: no sample has a text")
    captions = {int(i): [_joined(str(prediction[i]))] for i in known}
    references = {
        int(i): [_joined(line) for line in lines] for i, lines in zip(known, _lines(np.asarray(truth)[known]))
    }
    return known, captions, references


def _joined(text: str) -> str:
    return " ".join(caption_words(text))


def _scorer(module: str, name: str, *arguments: Any) -> Any:
    import importlib

    try:
        return getattr(importlib.import_module(f"pycocoevalcap.{module}"), name)(*arguments)
    except ImportError as error:
        raise ImportError(f"captions are graded by pycocoevalcap: {INSTALL}") from error


def _cider(said: dict[int, Any], references: dict[int, Any]) -> tuple[FloatArray, float]:
    """CIDEr of each text, and the mean; the weights of n-grams come from the references.

    A corpus of one sample has no rare n-grams, and its CIDEr is 0.
    """
    mean, each = _scorer("cider.cider", "Cider").compute_score(references, said)
    return np.asarray(each, dtype=np.float64), float(mean)


def _bleu(said: dict[int, Any], references: dict[int, Any]) -> list[float]:
    values, _ = _scorer("bleu.bleu", "Bleu", 4).compute_score(references, said, verbose=0)
    return [float(value) for value in values]


def _rouge(said: dict[int, Any], references: dict[int, Any]) -> float:
    return float(_scorer("rouge.rouge", "Rouge").compute_score(references, said)[0])


GRADES = _Text()
