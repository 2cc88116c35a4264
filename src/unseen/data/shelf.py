"""A shelf: a package of which each module holds one thing of a task, found by the task's name."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import keyword
import pkgutil
from typing import Any


@dataclasses.dataclass(frozen=True)
class Shelf:
    """The modules of a package, each with a value of one name; nothing else lists them, so another is another file.

    Parameters
    ----------
    package : str
        Its full name.
    holds : str
        What the value is called in each module.
    shared : tuple of str
        Modules that are no task's.
    """

    package: str
    holds: str
    shared: tuple[str, ...] = ("base",)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The tasks that stand here, sorted; the module of a word of Python ends in an underscore."""
        path = importlib.import_module(self.package).__path__
        return tuple(sorted(name.rstrip("_") for _, name, _ in pkgutil.iter_modules(path) if name not in self.shared))

    def of(self, task: str) -> Any:
        """What the module of a task holds.

        Raises
        ------
        ValueError
            If there is none.
        """
        if task not in self.names:
            raise ValueError(f"task must be one of {', '.join(self.names)}; got {task!r}")
        module = importlib.import_module(f"{self.package}.{task}{'_' if keyword.iskeyword(task) else ''}")
        return getattr(module, self.holds)
