"""Which columns of CoNLL hold what: words, tags of spans, remarks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

RANGE = re.compile(r"\d+[-.]\d+")
"""Numbers of words that CoNLL-U writes as one, or that it adds: the words themselves follow, or are not written."""
TAG = re.compile(r"O|[BIESLU]-\S.*")
LABELS = "must be O, or one of B-, I-, E-, S-, L-, U- and a class"
NEARLY_ALL, MOST, SOME = 0.9, 0.5, 0.2
"""Shares of lines: a column with so many tags is one of tags; with more than so many, where it marks spans; and with so
many an O it was meant as one."""


def cells_of(line: str) -> list[str]:
    """The cells of a line, which tabs part, or white space where there is none."""
    return [cell.strip() for cell in (line.strip().split("\t") if "\t" in line.strip() else line.strip().split())]


def is_comment(cells: Sequence[str], width: int) -> bool:
    """Whether a line is a remark, not a token: "# text = ..." beside lines of `width` cells that end in a tag."""
    return cells[0].startswith("#") and (len(cells) != width or TAG.fullmatch(cells[-1]) is None)


def is_tagged(cells: Sequence[str], column: int) -> bool:
    """Whether a line has a word, and a tag in this column."""
    return len(cells) > column > 0 and cells[0] != "" and TAG.fullmatch(cells[column]) is not None


def tag_column(rows: Sequence[Sequence[str]]) -> int | None:
    """Which column holds the tags: the last one that does so in nearly all lines; None where none does.

    One that marks nothing, such as an inner layer that is empty, gives way to one before it that marks spans. Where
    none does so in nearly all lines, it is the last one that marks spans and holds tags in more than half of them: in a
    small file a single wrong tag is many.
    """
    empty: int | None = None
    mostly: int | None = None
    for column, entries in _columns(rows):
        tags = [cell for cell in entries if TAG.fullmatch(cell)]
        marks = any(cell != "O" for cell in tags)
        if len(tags) >= NEARLY_ALL * len(entries):
            if any(cell != "O" for cell in entries):
                return column
            empty = column if empty is None else empty
        elif marks and len(tags) > MOST * len(entries) and mostly is None:
            mostly = column
    return empty if mostly is None else mostly


def looks_tagged(rows: Sequence[Sequence[str]]) -> tuple[int, str] | None:
    """Where no column holds tags: one with many an O, as if it did, and what else is the most frequent there.

    So are tags of a scheme that is not known, such as PER beside O.
    """
    for column, entries in _columns(rows):
        others = Counter(cell for cell in entries if not TAG.fullmatch(cell))
        if others and entries.count("O") >= SOME * len(entries):
            return column, others.most_common(1)[0][0]
    return None


def token_column(rows: Sequence[Sequence[str]]) -> int:
    """Which column holds the words: the second where the first numbers those of each sentence (1, 2, 3, 1, 2, ...)."""
    numbers = [int(cells[0]) for cells in rows if len(cells) > 2 and cells[0].isascii() and cells[0].isdigit()]
    follows = sum(b in (a + 1, 0, 1) for a, b in zip(numbers, numbers[1:]))
    steps = sum(b == a + 1 for a, b in zip(numbers, numbers[1:]))
    numbered = len(numbers) > 1 and numbers[0] in (0, 1) and len(numbers) >= 0.9 * len(rows) and steps > 0
    return int(numbered and follows >= 0.95 * (len(numbers) - 1))


def _columns(rows: Sequence[Sequence[str]]) -> list[tuple[int, list[str]]]:
    """The columns but the first that half of all lines have, the last one first."""
    columns = range(max((len(cells) for cells in rows), default=0) - 1, 0, -1)
    entries = [(column, [cells[column] for cells in rows if len(cells) > column]) for column in columns]
    return [(column, cells) for column, cells in entries if len(cells) >= 0.5 * len(rows)]
