"""Tables that people open in a spreadsheet: no cell begins a formula there, and what comes back is as it was."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

_BEGIN, _SIGNS = r"(?:^|(?<=[;\t]))", r"'*[=+@\t\n\v＝＋－＠-]"
"""Where a cell begins, of a spreadsheet whose cells end at a semicolon or a tab, too, and what begins a formula."""
_FORMULA = re.compile(f"{_BEGIN}(?={_SIGNS})")
_HARMLESS = re.compile(f"{_BEGIN}'(?={_SIGNS})")


def harmless(value: Any) -> Any:
    """A cell of which a spreadsheet makes no formula; lines in it end as writers of CSV expect, who quote them."""
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    return _FORMULA.sub("'", value)


def restored(value: Any) -> Any:
    """A cell that was made `harmless`, as it was."""
    return _HARMLESS.sub("", value) if isinstance(value, str) else value


def has_formulas(table: Any) -> bool:
    """Whether a spreadsheet would make a formula of a cell or a header of a data frame."""
    columns = [table.iloc[:, i] for i, kind in enumerate(table.dtypes) if not _is_of_numbers(kind)]
    cells = itertools.chain(table.columns, *columns)
    return any(isinstance(value, str) and _FORMULA.search(value) for value in cells)


def _is_of_numbers(kind: Any) -> bool:
    return getattr(kind, "kind", "O") in "biufcmM"


def harmless_table(table: Any) -> Any:
    """A data frame whose cells and headers are `harmless`."""
    return _each(harmless, table)


def restored_table(table: Any) -> Any:
    """A data frame that was made harmless, as it was."""
    return _each(restored, table)


def _each(function: Callable[[Any], Any], table: Any) -> Any:
    """A data frame with a function of its cells and headers; columns of numbers are not looked into."""
    changed = table.rename(columns=function)
    for i, kind in enumerate(table.dtypes):
        if not _is_of_numbers(kind):
            changed.isetitem(i, table.iloc[:, i].map(function))
    return changed
