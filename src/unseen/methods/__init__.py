"""All methods: a table from slug to class, imported on access."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unseen.methods.base import Method

METHODS = {
    "chain": "chain:Chain",
    "fixed": "fixed:Fixed",
    "source-only": "baselines.source_only:SourceOnly",
    "standardize": "baselines.standardize:Standardize",
    "coral": "baselines.coral:CORAL",
    "prototypes": "baselines.prototypes:Prototypes",
    "describe": "baselines.describe:Describe",
    "linear-probe": "baselines.linear_probe:LinearProbe",
    "shot": "baselines.shot:SHOT",
    "dfq": "baselines.dfq:DFQ",
    "lisgan": "zero_shot.lisgan:LisGAN",
    "loki": "zero_shot.loki:Loki",
    "glc": "adaptation.glc:GLC",
    "zeroq": "compression.zeroq:ZeroQ",
}


def get(slug: str) -> type[Method]:
    """Return the class of the method called `slug`; `ValueError` names the nearest if there is none."""
    if slug not in METHODS:
        import difflib

        near = difflib.get_close_matches(slug, METHODS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(METHODS)}"
        raise ValueError(f"no method is called {slug!r}{hint}")
    module, name = METHODS[slug].split(":")
    return getattr(importlib.import_module(f"unseen.methods.{module}"), name)


def __getattr__(name: str) -> type[Method]:
    for slug, place in METHODS.items():
        if place.split(":")[1] == name:
            return get(slug)
    raise AttributeError(f"module 'unseen.methods' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*(place.split(":")[1] for place in METHODS.values()), "METHODS", "get"])
