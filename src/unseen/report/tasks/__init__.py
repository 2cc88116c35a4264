"""How predictions look: one module per task, which draws a sample with what is said of it.

A module `<name>.py` of this package holds one `LOOKS`; `looks_of(name)` finds it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from unseen.report.tasks.base import Looks

__all__ = ["Looks", "looks_of", "shown_tasks"]


@functools.cache
def shown_tasks() -> tuple[str, ...]:
    """The names of all tasks that are drawn here, sorted."""
    return tuple(sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if name != "base"))


@functools.cache
def looks_of(name: str) -> Looks:
    """How the task of that name looks.

    Raises
    ------
    ValueError
        If it is not drawn here.
    """
    if name not in shown_tasks():
        raise ValueError(f"task must be one of {', '.join(shown_tasks())}; got {name!r}")
    looks: Looks = importlib.import_module(f"{__name__}.{name}").LOOKS
    return looks
