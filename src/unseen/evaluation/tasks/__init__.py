"""How predictions are graded: one module per task, with its metrics.

A module `<name>.py` of this package holds one `GRADES`; `grades_of(name)` finds it. Classes are graded by protocols,
as what counts depends on which classes are known (`unseen.evaluation.protocols`).
"""

from __future__ import annotations

from unseen.data.shelf import Shelf
from unseen.evaluation.tasks.base import Grades

__all__ = ["Grades", "grades_of"]

_SHELF = Shelf(__name__, "GRADES")


def grades_of(name: str) -> Grades:
    """The metrics of the task of that name; `ValueError` names those that have some."""
    grades: Grades = _SHELF.of(name)
    return grades
