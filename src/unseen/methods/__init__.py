"""All systems: tables from slug to class or module, imported on access; other packages add methods by entry points."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, NoReturn

from unseen import plugins
from unseen.methods.lookup import find_by

if TYPE_CHECKING:
    from types import ModuleType

    from unseen.methods.base import Card, Method

log = logging.getLogger(__name__)

METHODS = {
    "chain": "chain:Chain",
    "fixed": "fixed:Fixed",
    "source-only": "baselines.source_only:SourceOnly",
    "standardize": "baselines.standardize:Standardize",
    "coral": "baselines.coral:CORAL",
    "consensus": "baselines.consensus:Consensus",
    "propagate": "baselines.propagate:Propagate",
    "prototypes": "baselines.prototypes:Prototypes",
    "describe": "baselines.describe:Describe",
    "describe-centred": "baselines.describe_centred:DescribeCentred",
    "nearest-name": "baselines.nearest_name:NearestName",
    "stream-ridge": "baselines.stream_ridge:StreamRidge",
    "low-rank": "baselines.low_rank:LowRank",
    "simple-pruning": "baselines.simple_pruning:SimplePruning",
    "forest-ranker": "baselines.forest_ranker:ForestRanker",
    "nearest-relation": "baselines.nearest_relation:NearestRelation",
    "whole-or-named": "baselines.whole_or_named:WholeOrNamed",
    "propagate-names": "baselines.propagate_names:PropagateNames",
    "self-train-names": "baselines.self_train_names:SelfTrainNames",
    "linear-probe": "baselines.linear_probe:LinearProbe",
    "shot": "baselines.shot:SHOT",
    "ot": "baselines.ot:OT",
    "fixmatch": "baselines.fixmatch:FixMatch",
    "aad": "baselines.aad:AaD",
    "fda": "baselines.fda:FDA",
    "classmix": "baselines.classmix:ClassMix",
    "tent": "baselines.tent:TENT",
    "dfq": "baselines.dfq:DFQ",
    "ridge": "baselines.ridge:Ridge",
    "conse": "baselines.conse:ConSE",
    "dap": "baselines.dap:DAP",
    "coop": "baselines.coop:CoOp",
    "devise": "baselines.devise:DeViSE",
    "sae": "baselines.sae:SAE",
    "lisgan": "zero_shot.lisgan:LisGAN",
    "loki": "zero_shot.loki:Loki",
    "text2node": "zero_shot.text2node:Text2Node",
    "mte-zsar": "zero_shot.mte_zsar:MTEZSAR",
    "tmv-hlp": "zero_shot.tmv_hlp:TMVHLP",
    "pbadv": "zero_shot.pbadv:PBAdv",
    "ontozsl": "zero_shot.ontozsl:OntoZSL",
    "crest": "zero_shot.crest:CREST",
    "crlnet": "few_shot.crlnet:CRLNet",
    "glc": "adaptation.glc:GLC",
    "fewshot-sfda": "adaptation.fewshot_sfda:FewShotSFDA",
    "ad-clip": "adaptation.ad_clip:ADCLIP",
    "distill-similar": "adaptation.distill_similar:DistillSimilar",
    "sfda2": "adaptation.sfda2:SFDA2",
    "tram": "generalization.tram:TRAM",
    "udim": "generalization.udim:UDIM",
    "smos": "generalization.smos:SMOS",
    "meta-dmoe": "adaptation.meta_dmoe:MetaDMoE",
    "crafting-shifts": "generalization.crafting_shifts:CraftingShifts",
    "ugt": "adaptation.ugt:UGT",
    "idm": "adaptation.idm:IDM",
    "zeroq": "compression.zeroq:ZeroQ",
    "parzc": "compression.parzc:ParZC",
    "genie": "compression.genie:Genie",
    "tinyclip": "compression.tinyclip:TinyCLIP",
    "bm25": "retrieval.search:BM25Search",
    "neural-search": "retrieval.search:NeuralSearch",
    "rank-fusion": "retrieval.search:Fusion",
    "duqgen": "retrieval.duqgen:DUQGen",
    "crosslingual-am": "retrieval.crosslingual_am:CrossLingualAM",
    "ttm": "forecasting.ttm:TTM",
    "trend-seasons": "forecasting.trend_seasons:TrendSeasons",
    "concept-pruning": "curation.concept_pruning:ConceptPruning",
    "zscl": "multimodal.zscl:ZSCL",
    "x-clip": "video.x_clip:XCLIP",
    "zeroi2v": "video.zeroi2v:ZeroI2V",
    "mug-stan": "video.mug_stan:MugSTAN",
    "cdfsl-v": "video.cdfsl_v:CDFSLV",
    "cwcl": "multimodal.cwcl:CWCL",
    "prefix-conditioning": "multimodal.prefix_conditioning:PrefixConditioning",
    "ridge-map": "multimodal.ridge_map:RidgeMap",
    "ogen": "multimodal.ogen:OGEN",
    "adaptclipzs": "multimodal.adaptclipzs:AdaptCLIPZS",
    "genecis": "multimodal.genecis:GeneCIS",
    "rs-m-clip": "multimodal.rs_m_clip:RSMCLIP",
    "graphclip": "multimodal.graphclip:GraphCLIP",
    "audio-captioning": "multimodal.audio_captioning:AudioCaptioning",
    "dafosnet": "few_shot.dafosnet:DAFOSNet",
    "matcher": "matching.matcher:PairMatcher",
    "minima": "matching.minima:MINIMA",
    "gim": "matching.gim:GIM",
}

SYSTEMS: dict[str, str] = {
    "concept-frequency": "curation.concept_frequency",
    "laion": "curation.laion",
}
"""Module of every pipeline and study: systems of functions, which nobody fits. It holds their ``card``."""


__all__ = sorted({place.split(":")[1] for place in METHODS.values()})


def slugs() -> tuple[str, ...]:
    """Slugs of the methods here and of those in other packages (entry points ``unseen.methods``) that load."""
    return (*METHODS, *(slug for slug in plugins.found("methods") if slug not in METHODS and _loads(slug)))


def check(slug: str) -> None:
    """Raise `ValueError`, which names the nearest, if no method is called `slug`; none is imported."""
    if slug not in METHODS and slug not in plugins.found("methods"):
        _unknown(slug)


def get(slug: str) -> type[Method]:
    """Return the class of the method called `slug`; `ValueError` names the nearest if there is none."""
    if slug in METHODS:
        module, name = METHODS[slug].split(":")
        return getattr(importlib.import_module(f"unseen.methods.{module}"), name)
    if slug in plugins.found("methods"):
        return _foreign(slug)
    return _unknown(slug)


def _unknown(slug: str) -> NoReturn:
    if slug in SYSTEMS:
        place = f"unseen.methods.{SYSTEMS[slug]}"
        raise ValueError(f"{slug} is a {card(slug).kind}, not a method that is fitted: its functions stand in {place}")
    import difflib

    have = [*METHODS, *SYSTEMS, *plugins.found("methods")]
    near = difflib.get_close_matches(slug, have, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(have)}"
    raise ValueError(f"no method is called {slug!r}{hint}")


find_by(get)


def home(slug: str) -> type[Method] | ModuleType:
    """What carries the card of a system: its class, or the module of a pipeline or study."""
    return importlib.import_module(f"unseen.methods.{SYSTEMS[slug]}") if slug in SYSTEMS else get(slug)


def card(slug: str) -> Card:
    """What is known of a system of any kind before it runs."""
    return home(slug).card


def _foreign(slug: str) -> type[Method]:
    """The class of another package, found to be a method of that name."""
    from unseen.methods.base import Method

    method = plugins.load("methods", slug)
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise TypeError(f"entry point {slug!r} of unseen.methods must name a subclass of Method; got {method!r}")
    if method.card.slug != slug:
        raise TypeError(f"entry point {slug!r} of unseen.methods names a method whose card says {method.card.slug!r}")
    return method


def _loads(slug: str) -> bool:
    """Whether a method of another package can be used; one that cannot is told, and takes nothing else down."""
    try:
        _foreign(slug)
    except (ImportError, TypeError) as error:
        log.warning("%s", error)
        return False
    return True


def __getattr__(name: str) -> type[Method]:
    for slug, place in METHODS.items():
        if place.split(":")[1] == name:
            return get(slug)
    raise AttributeError(f"module 'unseen.methods' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(
        [*(place.split(":")[1] for place in METHODS.values()), "METHODS", "SYSTEMS", "card", "get", "home", "slugs"]
    )
