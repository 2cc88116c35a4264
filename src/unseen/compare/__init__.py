"""The main job: run what fits, choose without labels, report honestly."""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unseen.compare.candidates import plan
    from unseen.compare.job import Comparison, adapt, compare

__all__ = ["Comparison", "adapt", "compare", "plan"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("unseen.compare.job"), name)
    raise AttributeError(f"module 'unseen.compare' has no attribute {name!r}")


class _CallableModule(types.ModuleType):
    """Lets `unseen.compare` be both this package and the function in it; what it does is loaded when it is called."""

    def __call__(self, *unnamed: Any, **inputs: Any) -> Comparison:
        if unnamed:
            named = "compare(source=..., target=...)"
            raise TypeError(f"compare takes all of its arguments by name, {named}; got {unnamed[0]!r} without one")
        from unseen.compare.job import compare

        return compare(**inputs)


sys.modules[__name__].__class__ = _CallableModule
