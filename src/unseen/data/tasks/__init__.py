"""What labels are: one module per task, which checks, hides, digests and joins them.

A module `<name>.py` of this package (`class_.py` for a word of Python) holds one `TASK`; `task_of(name)` finds it.
"""

from __future__ import annotations

from unseen.data.shelf import Shelf
from unseen.data.tasks.base import Task

__all__ = ["Task", "task_names", "task_of"]

_SHELF = Shelf(__name__, "TASK", shared=("base", "tables"))


def task_names() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return _SHELF.names


def task_of(name: str) -> Task:
    """The task of that name; `ValueError` names those that there are."""
    task: Task = _SHELF.of(name)
    return task
