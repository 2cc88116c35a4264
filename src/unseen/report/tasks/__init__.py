"""How predictions look: one module per task, which draws a sample with what is said of it.

A module `<name>.py` of this package holds one `LOOKS`; `looks_of(name)` finds it.
"""

from __future__ import annotations

from unseen.data.shelf import Shelf
from unseen.report.tasks.base import Looks

__all__ = ["Looks", "looks_of"]

_SHELF = Shelf(__name__, "LOOKS")


def looks_of(name: str) -> Looks:
    """How the task of that name looks; `ValueError` names those that are drawn."""
    looks: Looks = _SHELF.of(name)
    return looks
