"""Columns of tables of numbers, by their names: the same number means the same thing in every table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.delimited import are_counted

if TYPE_CHECKING:
    from unseen.data.domain import Domain

_NUMBER = re.compile(r"[+-]?\d*(\.\d+)*([eE][+-]?\d+)?")
SHARPEST = 2.0**18
"""Times that a column's numbers may be as large as they differ: in single precision 6 bits tell them apart then."""
MOST = 8
"""Names that a sentence lists before it says how many more there are."""


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")


def names_of_features(columns: Sequence[str]) -> tuple[str, ...]:
    """What features are called that stand in columns; nothing where these have numbers for names, and no count."""
    nameless = all(_NUMBER.fullmatch(name) for name in columns) and not are_counted(columns)
    return () if nameless else tuple(columns)


def by_name(domain: Domain, names: Sequence[str], role: str, whose: str) -> Domain:
    """`domain` with the features that are called `names`, in this order; as it is where either has no names.

    Parameters
    ----------
    domain : Domain
        What else it has is left out, and stands in its notes.
    names : sequence of str
        Of the features that are wanted; none for features without names, which are taken in the order that they have.
    role, whose : str
        What messages call `domain`, and whose features `names` are: "target", "the source".

    Raises
    ------
    ValueError
        If features are missing; the message names them, and those that there are.
    """
    existing = domain.feature_names
    if not names or not existing or tuple(names) == existing:
        return domain
    place = {name: i for i, name in enumerate(existing)}
    missing = [name for name in names if name not in place]
    if missing:
        raise ValueError(_lacking(domain, names, missing, role, whose))
    wanted = set(names)
    notes = domain.notes
    if extra := [name for name in existing if name not in wanted]:
        notes = (*notes, f"not used, as {whose} lacks {'it' if len(extra) == 1 else 'them'}: {listed(extra)}")
    x = domain.x[:, [place[name] for name in names]]
    return domain.replace(x=x, feature_names=tuple(names), notes=notes)


def coarse(x: NDArray[Any], names: Sequence[str] = ()) -> tuple[str, ...]:
    """What is said of columns of (n, d) whose values differ by little beside their size: few digits are left."""
    if not len(x):
        return ()
    low, high = (np.asarray(side(axis=0), dtype=np.float64) for side in (x.min, x.max))
    size, spread = np.maximum(np.abs(low), np.abs(high)), high - low
    return tuple(
        f"{names[i] if names else f'feature {i}'}: its values are as large as {size[i]:.3g} and differ by at most "
        f"{spread[i]:.2g}: of that little is left in the seven digits that methods compute with; take one number "
        "from all of them first"
        for i in np.flatnonzero((spread > 0) & (size > SHARPEST * spread)).tolist()
    )


def _lacking(domain: Domain, names: Sequence[str], missing: Sequence[str], role: str, whose: str) -> str:
    """What is missing, what there is, and what to do."""
    has = f"it has: {listed(domain.feature_names)}"
    if len(missing) == len(names):
        return (
            f"{role} has none of the columns of {whose} ({listed(names)}); {has}. Columns are matched by their names: "
            "rename those that mean the same alike"
        )
    word = "column" if len(missing) == 1 else "columns"
    others = [name for name in missing if name in domain.columns]
    unlike = (
        f" ({listed(others)} {'holds' if len(others) == 1 else 'hold'} other things than numbers)" if others else ""
    )
    quoted = ", ".join(map(repr, missing[:MOST])) + (f" and {len(missing) - MOST} more" if len(missing) > MOST else "")
    return f"{role} lacks the {word} {quoted} of {whose}{unlike}; {has}"


def alike(read: Mapping[str, Domain], *given: tuple[str, Sequence[str]]) -> dict[str, Domain]:
    """Tables with the features of the first that has names, in its order (see `by_name`).

    Parameters
    ----------
    read : mapping of role to Domain
    *given : pairs of whose and names
        What comes before all of them, such as the features of a saved model.
    """
    known = [*given, *((f"the {role}", domain.feature_names) for role, domain in read.items())]
    whose, names = next(((whose, names) for whose, names in known if names), ("", ()))
    tables = {role: by_name(domain, names, role, whose) for role, domain in read.items()}
    for role, domain in read.items():
        if names and not domain.feature_names and domain.kind == "features":
            note = f"its columns have no names, and are taken in the order of those of {whose}"
            tables[role] = tables[role].replace(notes=(*domain.notes, note))
    return tables
