"""Answers that a person gave, from the page's JSON or from a filled table."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unseen.files import read_json, reads
from unseen.verification.table import NONE, TIMES, none_word

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


class _Row(NamedTuple):
    """An answer as it stands in a file; `times` is absent in files that count no copies."""

    content: str
    answer: str | None
    times: int | None


@reads("a file of answers", "write it with the page of `unseen verify`, or fill in its table")
def read_answers(file: Path, classes: Collection[str] = ()) -> dict[str, str | None]:
    """Answers by the digest of what was looked at; None for none of these, nothing where no answer was given.

    Parameters
    ----------
    file : Path
    classes : collection of str
        Those of the model: in a table what is called as one of them means that class, and `none_word` none of these.

    Raises
    ------
    ValueError
        If the file is neither, is damaged, or answers one sample in two ways.
    """
    answers: dict[str, str | None] = {}
    for digest, answer, _ in _rows(file, classes):
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"{file}: content must be the SHA-256 of a sample, as it was written; got {digest[:80]!r}")
        if answers.get(digest, answer) != answer:
            raise ValueError(f"{file}: sample {digest[:12]} is answered with {answers[digest]!r} and with {answer!r}")
        answers[digest] = answer
    if not answers:
        raise ValueError(f"{file} must hold at least one answer; there is none")
    return answers


@reads("a file of answers", "write it with the page of `unseen verify`, or fill in its table")
def read_times(file: Path) -> dict[str, int] | None:
    """How many rows of the sample each answer stands for, by digest; None of a file that does not say.

    Raises
    ------
    ValueError
        If the file is damaged, says it of some answers alone, or of one sample in two ways.
    """
    rows = _rows(file)
    if all(row.times is None for row in rows):
        return None
    times: dict[str, int] = {}
    for digest, _, drawn in rows:
        if drawn is None:
            raise ValueError(f"{file} must say of every answer how often its sample was drawn; {digest[:12]} lacks it")
        if times.setdefault(digest, drawn) != drawn:
            raise ValueError(
                f"{file} must hold one draw; sample {digest[:12]} was drawn {times[digest]} and {drawn} times"
            )
    return times


def _rows(file: Path, classes: Collection[str] = ()) -> list[_Row]:
    return _rows_of_table(file, classes) if file.suffix.lower() == ".csv" else _rows_of_page(file)


def left_unanswered(file: Path) -> int:
    """Rows of a filled table without an answer; 0 for answers of the page, which does not say."""
    if file.suffix.lower() != ".csv":
        return 0
    return int((_table(file)["answer"].str.strip() == "").sum())


def _rows_of_page(file: Path) -> list[_Row]:
    try:
        content: Any = read_json(file)
    except ValueError as error:
        raise ValueError(f"{file} is neither answers of the page of `unseen verify` nor a .csv: {error}") from error
    if (
        not isinstance(content, Mapping)
        or content.get("format") != FORMAT
        or not isinstance(content.get("answers"), list)
    ):
        raise ValueError(f"{file} must hold answers in format {FORMAT}, as the page of `unseen verify` writes them")
    rows = []
    for row in content["answers"]:
        answer = row.get("answer", 0) if isinstance(row, Mapping) else 0
        if not (answer is None or isinstance(answer, str)) or not isinstance(row.get("content"), str):
            raise ValueError(f"{file}: an answer must have a content and a class name or null; got {row!r}")
        times = row.get("times")
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise ValueError(f"{file}: times must be a whole number of at least 1; got {times!r}")
        rows.append(_Row(row["content"], answer, times))
    return rows


def _table(file: Path) -> pd.DataFrame:
    from unseen.data.loaders.common import locate
    from unseen.data.loaders.table import read_frame

    table = read_frame(*locate(file), ["content", "answer", TIMES])
    if missing := [column for column in ("content", "answer") if column not in table]:
        raise ValueError(f"{file} must have the columns content and answer; {', '.join(missing)} is missing")
    return table


def _rows_of_table(file: Path, classes: Collection[str]) -> list[_Row]:
    table = _table(file)
    names = {name.casefold().strip() for name in classes}
    nothing = {*NONE, none_word(classes)} - names
    counts = [_times(file, cell) for cell in table[TIMES]] if TIMES in table else [None] * len(table)
    return [
        _Row(content, None if answer.casefold() in nothing else answer, times)
        for content, answer, times in zip(table["content"], table["answer"].str.strip(), counts)
        if answer
    ]


def _times(file: Path, cell: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", cell.strip()):
        raise ValueError(f"{file}: {TIMES} must be a whole number of at least 1, as it was written; got {cell[:80]!r}")
    return int(cell)
