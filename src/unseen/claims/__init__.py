"""One file per system: what its paper asserts, as an experiment."""

from __future__ import annotations

import importlib

from unseen import plugins
from unseen.claims.base import Claim

CLAIMS = {
    "loki": "loki",
    "lisgan": "lisgan",
    "text2node": "text2node",
    "tmv-hlp": "tmv_hlp",
    "pbadv": "pbadv",
    "glc": "glc",
    "sfda2": "sfda2",
    "ad-clip": "ad_clip",
    "fewshot-sfda": "fewshot_sfda",
    "tram": "tram",
    "udim": "udim",
    "smos": "smos",
    "meta-dmoe": "meta_dmoe",
    "ugt": "ugt",
    "idm": "idm",
    "distill-similar": "distill_similar",
    "zeroq": "zeroq",
    "parzc": "parzc",
    "genie": "genie",
    "tinyclip": "tinyclip",
    "ttm": "ttm",
    "duqgen": "duqgen",
    "concept-pruning": "concept_pruning",
    "laion": "laion",
    "mte-zsar": "mte_zsar",
    "ontozsl": "ontozsl",
    "crest": "crest",
    "crafting-shifts": "crafting_shifts",
    "concept-frequency": "concept_frequency",
    "zscl": "zscl",
    "cwcl": "cwcl",
    "prefix-conditioning": "prefix_conditioning",
    "genecis": "genecis",
    "graphclip": "graphclip",
    "minima": "minima",
    "gim": "gim",
    "adaptclipzs": "adaptclipzs",
    "ogen": "ogen",
    "rs-m-clip": "rs_m_clip",
    "audio-captioning": "audio_captioning",
    "crlnet": "crlnet",
    "x-clip": "x_clip",
    "zeroi2v": "zeroi2v",
    "mug-stan": "mug_stan",
    "cdfsl-v": "cdfsl_v",
    "dafosnet": "dafosnet",
    "crosslingual-am": "crosslingual_am",
}
"""Module of the claim of every built system, by slug."""


def slugs() -> tuple[str, ...]:
    """Systems with a claim, here and in other packages (entry points ``unseen.claims``)."""
    return (*CLAIMS, *(slug for slug in plugins.found("claims") if slug not in CLAIMS))


def module(slug: str) -> str:
    """Name of the module that holds the claim of a system; `ValueError` if it has none."""
    if slug in CLAIMS:
        return f"unseen.claims.{CLAIMS[slug]}"
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
