"""What labels are: one module per task, which checks, hides, digests and joins them.

A module `<name>.py` of this package (`class_.py` for a word of Python) holds one `TASK`; `task_of(name)` finds it.
Nothing else lists the tasks, so another one is another file.
"""

from __future__ import annotations

import functools
import importlib
import keyword
import pkgutil

from unseen.data.tasks.base import Task

__all__ = ["Task", "task_names", "task_of"]


@functools.cache
def task_names() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return tuple(sorted(name.rstrip("_") for _, name, _ in pkgutil.iter_modules(__path__) if name not in _SHARED))


@functools.cache
def task_of(name: str) -> Task:
    """The task of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in task_names():
        raise ValueError(f"task must be one of {', '.join(task_names())}; got {name!r}")
    task: Task = importlib.import_module(f"{__name__}.{name}{'_' if keyword.iskeyword(name) else ''}").TASK
    return task


_SHARED = ("base", "tables")
