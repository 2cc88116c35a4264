"""One file per system: what its paper asserts, as an experiment."""

from __future__ import annotations

import importlib

from unseen.claims.base import Claim

CLAIMS = {"loki": "loki", "glc": "glc", "lisgan": "lisgan", "zeroq": "zeroq"}
"""Module of the claim of every built system, by slug."""


def get(slug: str) -> Claim:
    """The claim of a system; `ValueError` if it has none."""
    if slug not in CLAIMS:
        raise ValueError(f"no system with a claim is called {slug!r}; there are {', '.join(CLAIMS)}")
    return importlib.import_module(f"unseen.claims.{CLAIMS[slug]}").claim
