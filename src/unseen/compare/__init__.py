"""The main job: run what fits, choose without labels, report honestly."""

from __future__ import annotations

import sys
import types
from typing import Any

from unseen.compare.job import Comparison, adapt, compare, plan

__all__ = ["Comparison", "adapt", "compare", "plan"]


class _CallableModule(types.ModuleType):
    """Lets `unseen.compare` be both this package and the function in it."""

    def __call__(self, **inputs: Any) -> Comparison:
        return compare(**inputs)


sys.modules[__name__].__class__ = _CallableModule
