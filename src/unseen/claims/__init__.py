"""One file per system: what its paper asserts, as an experiment."""

from __future__ import annotations

import importlib

from unseen import plugins
from unseen.claims.base import Claim

CLAIMS = (
    "loki", "lisgan", "text2node", "tmv-hlp", "pbadv", "glc", "sfda2", "ad-clip", "fewshot-sfda", "tram", "udim",
    "smos", "meta-dmoe", "ugt", "idm", "distill-similar", "zeroq", "parzc", "genie", "tinyclip", "ttm", "duqgen",
    "concept-pruning", "laion", "mte-zsar", "ontozsl", "crest", "crafting-shifts", "concept-frequency", "zscl",
    "cwcl", "prefix-conditioning", "genecis", "graphclip", "minima", "gim", "adaptclipzs", "ogen", "rs-m-clip",
    "audio-captioning", "crlnet", "x-clip", "zeroi2v", "mug-stan", "cdfsl-v", "dafosnet", "crosslingual-am",
)  # fmt: skip
"""Every built system that has a claim, in the module of its slug."""


def slugs() -> tuple[str, ...]:
    """Systems with a claim, here and in other packages (entry points ``unseen.claims``)."""
    return (*CLAIMS, *(slug for slug in plugins.found("claims") if slug not in CLAIMS))


def module(slug: str) -> str:
    """Name of the module that holds the claim of a system; `ValueError` if it has none."""
    if slug in CLAIMS:
        return f"unseen.claims.{slug.replace('-', '_')}"
    if slug in plugins.found("claims"):
        return plugins.found("claims")[slug].module
    import difflib

    near = difflib.get_close_matches(slug.casefold(), slugs(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(slugs())}"
    raise ValueError(f"no system with a claim is called {slug!r}; {hint}")


def get(slug: str) -> Claim:
    """The claim of a system; `ValueError` if it has none."""
    if slug not in CLAIMS and slug in plugins.found("claims"):
        claim = plugins.load("claims", slug)
        if not isinstance(claim, Claim):
            raise TypeError(f"entry point {slug!r} of unseen.claims must name a Claim; got {claim!r}")
        return claim
    return importlib.import_module(module(slug)).claim
