"""How a ranking looks: a query with its first documents, the relevant ones marked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.rankings import NOTHING
from unseen.report.tasks.base import Looks

SHOWN = 5
"""Documents of a query."""
LENGTH = 240
"""Characters of a document."""


class Shown(NamedTuple):
    """A document in a list: its rank from 1, name, the beginning of its text, its score, and its grade.

    The grade is None where nothing is known of the document.
    """

    rank: int
    name: str
    text: str
    score: float
    grade: int | None


class _Ranking(Looks):
    task = "ranking"

    def picture(self, sample: Any, label: Any, classes: ClassSpace | None = None, truth: Any = None) -> str | None:
        """None: a ranking is better read than looked at (`first_documents`)."""
        return None

    def words(self, label: Any, classes: ClassSpace | None = None) -> str:
        """Places and grades, such as ``12 (2), 40 (1)``, the highest grade first."""
        rows = np.asarray(label).reshape(-1, 2) if label is not None else np.zeros((0, 2), dtype=np.int64)
        order = np.argsort(-rows[:, 1], kind="stable")
        return ", ".join(f"{document} ({grade})" for document, grade in rows[order].tolist()) or "not known"


def first_documents(
    documents: Any, scores: Any, names: Any, texts: Any, truth: Any = None, shown: int = SHOWN
) -> list[Shown]:
    """The first documents of one query, as pages and terminals show them.

    Parameters
    ----------
    documents, scores : arrays (k,)
        One row of a `unseen.data.rankings.Ranking`.
    names, texts : sequences of strings
        Of the corpus.
    truth : int array (judged, 2), optional
        The label of the query.
    shown : int
    """
    grades = {} if truth is None else dict(np.asarray(truth).reshape(-1, 2).tolist())
    rows = zip(np.asarray(documents)[:shown].tolist(), np.asarray(scores)[:shown].tolist())
    return [
        Shown(rank, str(names[d]), shortened(str(texts[d])), float(score), grades.get(d))
        for rank, (d, score) in enumerate(rows, 1)
        if d != NOTHING
    ]


def shortened(text: str, length: int = LENGTH) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[:length].rsplit(" ", 1)[0] + " …"


LOOKS = _Ranking()
