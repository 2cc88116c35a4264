"""Answers of a saved model as people read them: lines, records, a table; and what has no answer, with its reason."""

from __future__ import annotations

import glob
import json
import os
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
"""Samples without an answer that are named."""
PARTLY = 3
"""Exit code where some of the inputs that were named have no answer."""


class Inputs:
    """What a command was given to ask about, one by one: those that fail are named, and do not stop the others.

    A pattern that reached the command as it was written (``"photos/**/*.jpg"``) stands for the files that it matches.

    Attributes
    ----------
    failed : list of Skipped
        Inputs that could not be read or answered, by their paths.
    """

    def __init__(self, given: Sequence[str]) -> None:
        self.paths = [path for pattern in given for path in _matched(pattern)]
        self.failed: list[Skipped] = []
        self._several = self.paths != list(given) or len(given) > 1

    def called(self, path: str, identity: str) -> str:
        """A sample at a path; where there are several, so that no two are called alike: by that path, too."""
        if not self._several:
            return identity
        if Path(path).is_dir():
            return f"{path.rstrip('/')}/{identity}" if path.rstrip("/") else f"/{identity}"
        for name in (PurePath(path).name, PurePath(path).stem):  # the file, a window or a line of it
            rest = identity.removeprefix(name)
            if rest != identity and rest[:1] in ("", "#", ":"):
                return path + rest
        return f"{path}:{identity}"

    def named(self, path: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows of samples at a path, `called` so."""
        return [{**row, "id": self.called(path, str(row["id"]))} if self._several else dict(row) for row in rows]

    def each(self, do: Callable[[str], T]) -> list[tuple[str, T]]:
        """What `do` makes of each path that has not failed.

        Raises
        ------
        ValueError
            If it fails for all that are left; if there is but one input, it is what `do` raises.
        """
        from unseen.data.domain import Skipped

        results = []
        for path in self.paths:
            try:
                results.append((path, do(path)))
            except SPEAKING as error:
                if not self._several:
                    raise
                self.failed.append(Skipped(path, sentence(error)))
        self.paths = [path for path, _ in results]
        if not results:
            raise ValueError(f"inputs: none of {len(self.failed)} has an answer: {_listed(self.failed)}")
        return results

    def end(self, inside: Mapping[str, Sequence[Skipped]]) -> None:
        """Name what failed, and what was left out `inside` inputs; the command ends with `PARTLY` then."""
        gone = [_told(skipped) for skipped in self.failed]
        gone += [self.called(path, _told(skipped)) for path, part in inside.items() for skipped in part]
        for line in gone[:SHOWN]:
            say(f"left out: {line}")
        if len(gone) > SHOWN:
            say(f"and {len(gone) - SHOWN} more are left out; `csv` writes a row for each")
        if gone:
            raise typer.Exit(PARTLY)


def _matched(given: str) -> list[str]:
    """The files that a pattern matches, which no shell has put in its place; what is no pattern is as it was.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    place = Path(os.path.expanduser(given))  # noqa: PTH111 - a home that is none stays as it is
    if "://" in given or given.endswith(".tar") or not glob.has_magic(given) or place.exists():
        return [given]
    from unseen.data.reading import natural_key

    below = "**" in given  # which names folders, and all in them once more
    files = [path for path in glob.glob(str(place), recursive=True) if not (below and Path(path).is_dir())]  # noqa: PTH207
    if not files and "*" in given:
        raise FileNotFoundError(f"inputs: no file is called like {given!r}")
    return sorted(files, key=natural_key) or [given]  # as table.csv?label=kind


def _listed(failed: Sequence[Skipped]) -> str:
    more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return "; ".join(_told(skipped) for skipped in failed[:SHOWN]) + more


def _told(skipped: Skipped) -> str:
    """Where a sample is and why it is left out; many reasons begin with its name."""
    return skipped.why if skipped.why.startswith(skipped.where) else f"{skipped.where}: {skipped.why}"


def tell_rows(
    rows: Sequence[Mapping[str, Any]],
    lines: Iterable[str],
    csv: Path | None,
    as_json: bool,
    *,
    inputs: Inputs,
    inside: Mapping[str, Sequence[Skipped]] | None = None,
    empty: Mapping[str, Any] = NO_ANSWER,
) -> None:
    """Rows as a table in a file, as JSON, or a line each.

    What was left out, of the `inputs` and `inside` folders and tables, by their paths, stands in rows of its own behind
    the others, as `empty` says.
    """
    inside = inside or {}
    gone = [(inputs.called(path, skipped.where), skipped.why) for path, part in inside.items() for skipped in part]
    gone += [(skipped.where, skipped.why) for skipped in inputs.failed]
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
    inputs.end(inside)


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
