"""How spans look: the text with its spans in colours, and in a line of words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.report.tasks.base import Looks

COLOURS = 8
"""Classes after the last colour begin with the first again: the name always stands beside it."""
LENGTH = 240
"""Characters of a line."""
STYLE = """
.spans { line-height: 2.1; overflow-wrap: anywhere; }
.spans mark { color: inherit; padding: .12em .25em; border-radius: .3em; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; background: color-mix(in srgb, var(--hue) 26%, transparent);
  border-bottom: 2px solid var(--hue); }
.spans mark.wrong { border-bottom-style: dashed; }
.spans mark small { font-size: .72em; margin-left: .4em; opacity: .85; }
.c0 { --hue: #2563eb; } .c1 { --hue: #d97706; } .c2 { --hue: #059669; } .c3 { --hue: #dc2626; }
.c4 { --hue: #7c3aed; } .c5 { --hue: #0891b2; } .c6 { --hue: #be185d; } .c7 { --hue: #65a30d; }
"""


class Stretch(NamedTuple):
    """A stretch of a text: its words, and of a span the class, colour, what is told of it, and whether it is right."""

    text: str
    name: str = ""
    colour: int = 0
    note: str = ""
    right: bool | None = None


class _Spans(Looks):
    task = "spans"

    def picture(self, sample: Any, label: Any, classes: ClassSpace | None = None, truth: Any = None) -> str | None:
        """None: spans are read in their text (`stretches`)."""
        return None

    def words(self, label: Any, classes: ClassSpace | None = None) -> str:
        """Classes with their places, such as ``Claim 0-31, Premise 40-72``."""
        if label is None:
            return "not known"
        rows = np.asarray(label).reshape(-1, 3).tolist()
        line = ", ".join(f"{_name(k, classes)} {start}-{stop}" for start, stop, k in sorted(rows))
        return (line if len(line) <= LENGTH else line[:LENGTH].rsplit(",", 1)[0] + ", …") or "none"


def stretches(
    text: str,
    rows: Any,
    classes: ClassSpace | None = None,
    *,
    notes: Any = None,
    truth: Any = None,
) -> list[Stretch]:
    """A text cut where spans begin and end; of spans that overlap, the earlier has the characters.

    Parameters
    ----------
    text : str
    rows : int array (spans, 3)
    classes : ClassSpace, optional
    notes : sequence of str, optional
        A word for each span, such as how sure it is.
    truth : int array (spans, 3), optional
        A span is right if it is one of these.
    """
    table = np.asarray(rows).reshape(-1, 3).tolist()
    right = None if truth is None else {tuple(row) for row in np.asarray(truth).reshape(-1, 3).tolist()}
    out, at = [], 0
    for i in sorted(range(len(table)), key=lambda i: table[i]):
        start, stop, k = table[i]
        start = max(start, at)
        if start >= stop:
            continue
        if start > at:
            out.append(Stretch(text[at:start]))
        correct = None if right is None else tuple(table[i]) in right
        out.append(
            Stretch(text[start:stop], _name(k, classes), k % COLOURS, "" if notes is None else notes[i], correct)
        )
        at = stop
    return out + ([Stretch(text[at:])] if at < len(text) else [])


def _name(k: int, classes: ClassSpace | None) -> str:
    return f"class {k}" if classes is None or not 0 <= k < len(classes) else classes.names[k]


LOOKS = _Spans()
