"""How predictions are graded: one module per task, with its metrics.

A module `<name>.py` of this package holds one `GRADES`; `grades_of(name)` finds it. Classes are graded by protocols,
as what counts depends on which classes are known (`unseen.evaluation.protocols`).
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from unseen.evaluation.tasks.base import Grades

__all__ = ["Grades", "graded_tasks", "grades_of"]


@functools.cache
def graded_tasks() -> tuple[str, ...]:
    """The names of all tasks with metrics here, sorted."""
    return tuple(sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if name != "base"))


@functools.cache
def grades_of(name: str) -> Grades:
    """The metrics of the task of that name.

    Raises
    ------
    ValueError
        If there are none.
    """
    if name not in graded_tasks():
        raise ValueError(f"task must be one of {', '.join(graded_tasks())}; got {name!r}")
    grades: Grades = importlib.import_module(f"{__name__}.{name}").GRADES
    return grades
