"""unseen: adapt pretrained models to classes, domains and modalities they have never seen, and show whether it worked.

>>> import unseen
>>> run = unseen.compare(source="photos", target="sketches", out="run")      # doctest: +SKIP
>>> run.bundle.predict("new.jpg")                                            # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "Bundle": "unseen.bundle",
    "ClassSpace": "unseen.data.classes",
    "Domain": "unseen.data.domain",
    "Exam": "unseen.evaluation.exam",
    "Method": "unseen.methods.base",
    "Pairs": "unseen.data.pairs",
    "adapt": "unseen.compare",
    "load": "unseen.data.loaders",
    "load_model": "unseen.jobs.models",
    "recommend": "unseen.compare.recommended",
    "search": "unseen.catalogue",
}
_MODULES = ("catalogue", "compare", "encoders", "methods", "runtime")

__all__ = sorted([*_PLACES, *_MODULES, "__version__"])

if TYPE_CHECKING:
    from unseen import catalogue, encoders, methods
    from unseen.bundle import Bundle
    from unseen.catalogue import search
    from unseen.compare import adapt, compare
    from unseen.compare.recommended import recommend
    from unseen.data.classes import ClassSpace
    from unseen.data.domain import Domain
    from unseen.data.loaders import load
    from unseen.data.pairs import Pairs
    from unseen.evaluation.exam import Exam
    from unseen.methods.base import Method
    from unseen.runtime import runtime


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"unseen.{name}")
    raise AttributeError(f"module 'unseen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
