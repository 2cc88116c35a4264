"""Answers of a saved model as people read them: lines, records, a table; and what has no answer, with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from unseen.console import dump, say, write_csv
from unseen.files import SPEAKING, sentence

if TYPE_CHECKING:
    from unseen.data.domain import Skipped

T = TypeVar("T")

LEFT_OUT = "left out"
"""The column that says why a sample has no answer; there is none where all have one."""
NO_CLASS = {"class": None, "probability": None, "unknown": True}
NO_ANSWER = {"answer": ""}
"""What stands in a row in the place of an answer, of models that name classes, and of others."""
NOT_SURE = "(not sure)"
"""What stands in the place of a class that the model does not name."""
SHOWN = 10
"""Samples of a folder that are named where nothing is written."""
PARTLY = 3
"""Exit code where some of the inputs that were named have no answer."""


class Inputs:
    """What a command was given to ask about, one by one: those that fail are named, and do not stop the others.

    Attributes
    ----------
    failed : list of Skipped
        Inputs that could not be read or answered, by their paths.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)
        self.failed: list[Skipped] = []
        self._alone = len(self.paths) == 1

    def each(self, do: Callable[[str], T]) -> list[tuple[str, T]]:
        """What `do` makes of each path that has not failed.

        Raises
        ------
        ValueError
            If it fails for all that are left; if there is but one input, it is what `do` raises.
        """
        from unseen.data.domain import Skipped

        made = []
        for path in self.paths:
            try:
                made.append((path, do(path)))
            except SPEAKING as error:
                if self._alone:
                    raise
                self.failed.append(Skipped(path, sentence(error)))
        self.paths = [path for path, _ in made]
        if not made:
            raise ValueError(f"inputs: none of {len(self.failed)} has an answer: {_listed(self.failed)}")
        return made

    def end(self) -> None:
        """Name what failed; the command ends with `PARTLY` then."""
        for one in self.failed:
            say(f"left out: {_told(one)}")
        if self.failed:
            raise typer.Exit(PARTLY)


def _listed(failed: Sequence[Skipped]) -> str:
    more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return "; ".join(_told(one) for one in failed[:SHOWN]) + more


def _told(one: Skipped) -> str:
    """Where a sample is and why it is left out; many reasons begin with its name."""
    return one.why if one.why.startswith(one.where) else f"{one.where}: {one.why}"


def tell_rows(
    rows: Sequence[Mapping[str, Any]],
    lines: Iterable[str],
    csv: Path | None,
    as_json: bool,
    *,
    inputs: Inputs,
    inside: Sequence[Sequence[Skipped]] = (),
    empty: Mapping[str, Any] = NO_ANSWER,
) -> None:
    """Rows as a table in a file, as JSON, or a line each.

    What was left out, of the `inputs` and `inside` folders and tables, stands in rows of its own behind the others, as
    `empty` says; the first inside each was told by its loader.
    """
    gone = [(one.where, one.why) for part in inside for one in part]
    gone += [(PurePath(one.where).name, one.why) for one in inputs.failed]
    if gone:
        rows = [{**row, LEFT_OUT: ""} for row in rows]
        rows += [{"id": where, **empty, LEFT_OUT: why} for where, why in gone]
    if csv is not None:
        import pandas as pd

        write_csv(csv, pd.DataFrame([{name: _cell(value) for name, value in row.items()} for row in rows]))
        also = f", and {len(gone)} left out with the reason" if gone else ""
        say(f"{len(rows) - len(gone)} predictions are in {csv}{also}")
    elif as_json:
        dump(rows)
    else:
        for line in lines:
            typer.echo(line)
        for part in inside:
            for one in part[1 : SHOWN + 1]:
                say(f"left out: {_told(one)}")
            if len(part) > SHOWN + 1:
                say(f"and {len(part) - SHOWN - 1} more; `csv` writes a row for each")
    inputs.end()


def answer_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line a row of a model that names no classes."""
    return (f"{row['id']}  {row['answer']}" for row in rows)


def class_lines(rows: Sequence[Mapping[str, Any]], top: int) -> Iterator[str]:
    """A line a sample: what it is, how sure, and the next classes."""
    wide = max(len(str(row["id"])) for row in rows)
    name = max(len(row["class"] or NOT_SURE) for row in rows)
    for row in rows:
        others = [k for k in range(1, top + 1) if row.get(f"class_{k}") not in (None, row["class"])]
        then = ", ".join(f"{row[f'class_{k}']} {row[f'probability_{k}']:.1%}" for k in others[: top - 1])
        doubt = "  not sure" if row["unknown"] and row["class"] else ""
        sure = f"{row['id']!s:<{wide}}  {row['class'] or NOT_SURE:<{name}}  {row['probability']:>6.1%}{doubt}"
        yield sure + (f"  then {then}" if then else "")


def rows_of(columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Samples one by one, as plain values; a probability has the six digits that it was rounded to."""
    plain = {name: [_plain(value) for value in column] for name, column in columns.items()}
    return (dict(zip(plain, values)) for values in zip(*plain.values()))


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return round(value, 6) if isinstance(value, float) else value


def _cell(value: Any) -> Any:
    """A value as a cell of a table holds it: lists and mappings as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
