"""What can be tried on a collection: what learns nothing, a method that learns from it, and its fusion with BM25."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.methods.base import signatures
from unseen.methods.listing import with_foreign
from unseen.methods.retrieval.search import NeuralSearch, Search
from unseen.nn.bm25 import require

DEFAULT = "duqgen"
"""What learns from the collection if no method is named."""
PLAIN = {
    "bm25": "words in common",
    "minilm": "the ranker as it is",
    "rerank": "the ranker as it is, on BM25's first 100",
    "fusion": "reciprocal ranks of bm25 and minilm",
}
"""What learns nothing, the simplest first."""
UNASKED = "rerank"
"""What is not tried unless it is named."""
GIVEN = {"corpus", "model", "encoder", "writer", "pairs"}
"""Words of `fit` that the job has something for."""
SAMPLES = 300
"""Documents that queries are written for, at most: a few seconds each."""
SHARE = 0.6
"""Of the collection, at most: others are held out."""
LONG, SHORT = 300, 15
"""Characters of a document that is drawn: the paper's, and its value for a collection of short texts."""


def searchers() -> tuple[str, ...]:
    """All methods that learn from a collection, by slug, those of other packages, too; no baseline is one of them."""
    return tuple(slug for slug in with_foreign("corpus") if _searches(slug))


def _searches(slug: str) -> bool:
    kind: Any = registry.get(slug)
    fits = issubclass(kind, Search) and not kind.card.baseline
    return fits and any(set(way.required) <= GIVEN for way in signatures(kind))


def searcher_of(method: str) -> type[Search]:
    """The class of a method that learns from a collection; `ValueError` for any other."""
    if method not in registry.slugs() or not _searches(method):
        raise ValueError(f"method must be one of {', '.join(searchers())}; got {method!r}")
    kind: Any = registry.get(method)
    return kind


def fused(method: str) -> str:
    """What the fusion of a method with BM25 is called."""
    return f"{method}-fusion"


def systems_of(method: str = DEFAULT) -> dict[str, str]:
    """What can be tried, by name, with what it is, the simplest first.

    A method is fused with BM25 if it is a `NeuralSearch` and searches as that does.
    """
    kind = searcher_of(method)
    descriptions = {**PLAIN, method: kind.in_words or kind.card.title}
    if kind.search is NeuralSearch.search:
        descriptions[fused(method)] = f"reciprocal ranks of bm25 and {method}"
    return descriptions


def check_systems(systems: Sequence[str], k: int, method: str = DEFAULT) -> tuple[str, ...]:
    """The systems, found to be some; what they need is there."""
    known = systems_of(method)
    unknown = [name for name in systems if name not in known]
    if unknown or not systems:
        raise ValueError(f"systems must be some of {', '.join(known)}; got {unknown[0] if unknown else 'none'!r}")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be an integer of at least 1; got {k!r}")
    if set(systems) - {"minilm", method}:
        require()
    return tuple(dict.fromkeys(systems))


def tuner(corpus: Domain, settings: Mapping[str, Any], method: str = DEFAULT) -> Search:
    """A method with settings that suit the size of a collection, as far as it has them, but for those that are told.

    At most `SAMPLES` documents and `SHARE` of them, each of a cluster of its own; of 300 characters, as in the paper of
    duqgen, where half of the documents are as long, else of 15.

    Raises
    ------
    ValueError
        If the collection is too small, or the method has no such setting.
    """
    kind = searcher_of(method)
    known = kind().get_params()
    if "samples" not in known:
        return kind(**settings)
    lengths = np.array([len(str(text).strip()) for text in corpus.x])
    long = int((lengths >= LONG).sum())
    shortest = int(settings.get("shortest", LONG if 2 * long >= len(lengths) else SHORT))
    room = int(SHARE * (lengths >= max(shortest, 1)).sum())
    if room < 2:
        raise ValueError(
            f"corpus must hold at least 4 documents of {shortest} characters to tune on; it has "
            f"{int((lengths >= shortest).sum())} of {len(lengths)}. Leave {method} out, or set shortest"
        )
    samples = int(settings.get("samples", min(SAMPLES, room)))
    suited = {"shortest": shortest, "samples": samples, "clusters": samples}
    return kind(**{**{name: value for name, value in suited.items() if name in known}, **settings})
