"""Stretches of texts that carry a class: pieces and words with their places, spans as BIO tags and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

OUTSIDE = "O"
_LETTER = r"[\p{L}\p{Nl}\p{No}][\p{M}\u00ad\u200c\u200d]*"
_SIGN = r"[^\w\s\p{M}][\p{M}\U0001F3FB-\U0001F3FF]*"
_PIECE = regex.compile(
    rf"\d+(?:[.,:]\d+)*|(?:{_LETTER})+(?:['’](?:{_LETTER})+)*\d*|{_SIGN}(?:\u200d{_SIGN})*|[\w\p{{M}}]+"
)
_WORD = regex.compile(r"\S+")

Place = tuple[int, int]
"""Where a token stands in its text: its first character, and the one behind its last."""


class Run(NamedTuple):
    """A span over tokens: the first one, the one behind the last, and its class."""

    start: int
    stop: int
    label: str


def pieces(text: str) -> list[Place]:
    """Words, numbers and signs of a text, each sign by itself: what is aligned and tagged.

    A number keeps what stands between its digits (``0,05``), a word its apostrophes, and a letter the marks that
    combine with it: vowel signs of Hindi or Thai, accents written by themselves.
    """
    return [match.span() for match in _PIECE.finditer(text)]


def words(text: str) -> list[Place]:
    """What stands between white space: the tokens of a text that was written from tokens."""
    return [match.span() for match in _WORD.finditer(text)]


def cut(text: str, places: Iterable[Place]) -> list[str]:
    """The tokens at these places."""
    return [text[start:stop] for start, stop in places]


def covered(places: Sequence[Place], start: int, stop: int) -> Place:
    """The tokens that share a character with a stretch of the text: the first, and the one behind the last.

    Both are equal where there is none.
    """
    inside = [i for i, (a, b) in enumerate(places) if a < stop and b > start]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def crossing(places: Sequence[Place], rows: NDArray[Any]) -> int:
    """How many spans begin or end inside a token."""
    starts, stops = {a for a, _ in places}, {b for _, b in places}
    return sum(int(start) not in starts or int(stop) not in stops for start, stop in np.asarray(rows)[:, :2])


def overlapping(rows: NDArray[Any]) -> int:
    """How many spans, (spans, 3) in the order of their begins, begin before the end of an earlier one."""
    table = np.asarray(rows)
    return int((table[1:, 0] < np.maximum.accumulate(table[:-1, 1])).sum())


def character(value: Any) -> int:
    """A place in a text as a file has it, also where a table made 4.0 of it; `ValueError` for what is none."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"start and end of a span must be whole numbers; got {value}")
    return int(value)


def tags_of(places: Sequence[Place], rows: NDArray[Any], names: Sequence[str]) -> list[str]:
    """The BIO tag of each token, of spans of characters; where two spans meet on a token, the longer one has it.

    Parameters
    ----------
    places : sequence of places
    rows : int array (spans, 3)
        Start, end and class, in characters.
    names : sequence of str
        What the classes are called.
    """
    tags = [OUTSIDE] * len(places)
    taken = np.zeros(len(places), dtype=bool)
    for start, stop, label in sorted(np.asarray(rows).tolist(), key=lambda row: (row[0] - row[1], row[0])):
        first, end = covered(places, start, stop)
        if end > first and not taken[first:end].any():
            taken[first:end] = True
            tags[first:end] = [f"B-{names[label]}", *[f"I-{names[label]}"] * (end - first - 1)]
    return tags


def runs_of(tags: Sequence[str]) -> list[Run]:
    """Maximal runs of B and I of one class; an I that follows no tag of its class begins a run, too."""
    runs: list[Run] = []
    for i, tag in enumerate(tags):
        mark, _, label = tag.partition("-")
        if mark not in ("B", "I"):
            continue
        last = runs[-1] if runs else None
        if mark == "I" and last is not None and last.stop == i and last.label == label:
            runs[-1] = last._replace(stop=i + 1)
        else:
            runs.append(Run(i, i + 1, label))
    return runs


def tags_of_runs(runs: Iterable[Run], n: int) -> list[str]:
    """The BIO tags of `n` tokens."""
    tags = [OUTSIDE] * n
    for start, stop, label in runs:
        tags[start:stop] = [f"B-{label}", *[f"I-{label}"] * (stop - start - 1)]
    return tags


def rows_of(runs: Iterable[Run], places: Sequence[Place], names: Sequence[str]) -> NDArray[np.int64]:
    """Spans of characters, (spans, 3), of spans of tokens."""
    index = {name: i for i, name in enumerate(names)}
    rows = [(places[run.start][0], places[run.stop - 1][1], index[run.label]) for run in runs]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def snapped(rows: NDArray[Any], text: str) -> NDArray[np.int64]:
    """Spans that begin and end with the words of the text, as white space parts them."""
    places = words(text)
    out = []
    for start, stop, label in np.asarray(rows).tolist():
        first, end = covered(places, start, stop)
        out.append((places[first][0], places[end - 1][1], label) if end > first else (start, stop, label))
    return np.array(out, dtype=np.int64).reshape(-1, 3)
