"""Answers that a person gave, from the page's JSON or from a filled table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.files import read_json, reads
from unseen.verification.table import NONE

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


@reads("a file of answers", "write it with the page of `unseen verify`, or fill in its table")
def read_answers(file: Path) -> dict[str, str | None]:
    """Answers by the digest of what was looked at; None for none of these, nothing where no answer was given.

    Raises
    ------
    ValueError
        If the file is neither, is damaged, or answers one sample in two ways.
    """
    if file.suffix.lower() == ".csv":
        rows = _rows_of_table(file)
    else:
        rows = _rows_of_page(file)
    answers: dict[str, str | None] = {}
    for digest, answer in rows:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"{file}: content must be the SHA-256 of a sample, as it was written; got {digest[:80]!r}")
        if answers.get(digest, answer) != answer:
            raise ValueError(f"{file}: sample {digest[:12]} is answered with {answers[digest]!r} and with {answer!r}")
        answers[digest] = answer
    if not answers:
        raise ValueError(f"{file} must hold at least one answer; there is none")
    return answers


def left_unanswered(file: Path) -> int:
    """Rows of a filled table without an answer; 0 for answers of the page, which does not say."""
    if file.suffix.lower() != ".csv":
        return 0
    return int((_table(file)["answer"].str.strip() == "").sum())


def _rows_of_page(file: Path) -> list[tuple[str, str | None]]:
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
        rows.append((row["content"], answer))
    return rows


def _table(file: Path) -> pd.DataFrame:
    from unseen.data.loaders.common import locate
    from unseen.data.loaders.table import read_frame

    table = read_frame(*locate(file), ["content", "answer"])
    if missing := [column for column in ("content", "answer") if column not in table]:
        raise ValueError(f"{file} must have the columns content and answer; {', '.join(missing)} is missing")
    return table


def _rows_of_table(file: Path) -> list[tuple[str, str | None]]:
    table = _table(file)
    answers = table["answer"].str.strip()
    return [
        (content, None if answer.casefold() == NONE else answer)
        for content, answer in zip(table["content"], answers)
        if answer
    ]
