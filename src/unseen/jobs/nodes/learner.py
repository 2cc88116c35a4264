"""The method of `unseen nodes`: made anew by its slug and taught by summaries, or as an earlier run saved it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.graph_summaries import Summarizer, read_summaries, summarize
from unseen.data.pairs import Pairs
from unseen.data.text_graphs import Neighbourhoods, TextAttributedGraph
from unseen.files import loads
from unseen.methods.listing import of_kind
from unseen.methods.subgraph_encoders import SubgraphEncoder
from unseen.nn.state import load_state

Taught = tuple[TextAttributedGraph, Neighbourhoods, NDArray[np.str_]]
"""A graph, subgraphs of it and their summaries."""
Vectors = Callable[[Sequence[str]], NDArray[np.float32]]
"""Gives the vectors of texts."""


def subgraph_encoders() -> tuple[str, ...]:
    """All methods that know nodes by sentences, by slug, those of other packages, too."""
    return of_kind(SubgraphEncoder, "pairs")


def _kind(slug: Any) -> type[SubgraphEncoder] | None:
    kind = registry.get(slug) if slug in registry.slugs() else None
    return kind if kind is not None and issubclass(kind, SubgraphEncoder) else None


def made(slug: str, preset: str, settings: Mapping[str, Any], seed: int) -> SubgraphEncoder:
    """The method with nothing learnt yet; `ValueError` for one that encodes no subgraphs."""
    kind = _kind(slug)
    if kind is None:
        raise ValueError(f"method must be one of {', '.join(subgraph_encoders())}; got {slug!r}")
    presets: Mapping[str, Mapping[str, Any]] = {"default": {}, **kind.card.presets}
    if preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {preset!r}")
    return kind(**{**presets[preset], "random_state": seed, **settings})


@loads("a saved method")
def loaded(folder: Path) -> SubgraphEncoder:
    """The method that an earlier run wrote to a folder, or to `model` inside it."""
    saved = load_state(folder / "model" if (folder / "model").is_dir() else folder)
    slug = saved.get("method") if isinstance(saved, dict) else None
    kind = _kind(slug)
    if kind is None:
        raise ValueError(f"this is a saved {slug!r}, which encodes no subgraphs")
    return kind._from_state(saved)


# -- learning from summaries -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lessons:
    """How graphs are learnt from: subgraphs `around` as many nodes as `starts`, and who writes their summaries."""

    around: Callable[[TextAttributedGraph, Any, int], Neighbourhoods]
    starts: int
    seed: int
    summaries: str | os.PathLike[str] | None
    summarizer: Summarizer | None

    def of(self, i: int, source: TextAttributedGraph, banned: Sequence[str]) -> Taught:
        """Those of a graph at place `i`; summaries that were given are of the first. None tells a `banned` word."""
        if self.summaries is not None and i == 0:
            return source, *read_summaries(self.summaries, source)
        places = self.around(source, _drawn(source, self.starts, self.seed + i), self.seed)
        return source, places, summarize(source, places, self.summarizer, banned=banned)


def taught(
    learner: SubgraphEncoder, sources: Sequence[tuple[TextAttributedGraph, Sequence[str]]], lessons: Lessons,
    vectors: Vectors, say: Callable[[str], None],
) -> Taught:  # fmt: skip
    """Let a method learn from graphs, each with the words of its labels; what the first was taught by."""
    first: Taught | None = None
    pairs = []
    for i, (source, words) in enumerate(sources):
        _, places, texts = lesson = lessons.of(i, source, words)
        first = first or lesson
        summary = f"{texts[0]!s:.140}"
        say(f"learning from {size_of(source)}: {len(places):,} subgraphs, each with a summary such as “{summary}”")
        pairs.append(pairs_of(source, places, texts.tolist(), vectors))
    learner.fit(pairs=joined(pairs))
    assert first is not None
    return first


def size_of(graph: TextAttributedGraph) -> str:
    return f"{graph.name}: {len(graph):,} nodes, {len(graph.edges):,} edges"


def _drawn(graph: TextAttributedGraph, starts: int, seed: int) -> NDArray[np.int64]:
    """Nodes to learn from: those with a text and a neighbour first."""
    good = (graph.degrees > 0) & np.array([bool(text.strip()) for text in graph.texts.tolist()])
    rows = np.flatnonzero(good) if good.sum() >= 2 else np.arange(len(graph))
    return np.sort(np.random.default_rng(seed).permutation(rows)[:starts])


def encoded(texts: Sequence[str], tower: Any, memory: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Vectors of texts, each text encoded once."""
    new = [text for text in dict.fromkeys(texts) if text not in memory]
    if new:
        x = tower.encode(Domain(x=np.array([t or " " for t in new], dtype=np.str_), kind="text"), precision="fp32").x
        memory.update(zip(new, np.asarray(x, dtype=np.float32)))
    return np.stack([memory[text] for text in texts])


def vectors_or_zeros(texts: Sequence[str], vectors: Vectors) -> NDArray[np.float32]:
    """Vectors of texts, zeros for those that say nothing."""
    x = vectors(texts)
    x[[not text.strip() for text in texts]] = 0
    return x


def pairs_of(graph: TextAttributedGraph, places: Neighbourhoods, summaries: Sequence[str], vectors: Vectors) -> Pairs:
    """Subgraphs beside the vectors of their summaries; of the graph's texts only those are encoded that are in one."""
    used = np.unique(places.nodes)
    used_vectors = vectors_or_zeros(graph.texts[used].tolist(), vectors)
    features = np.zeros((len(graph), used_vectors.shape[1]), dtype=np.float32)
    features[used] = used_vectors
    left = places.domain(graph.replace(labels=None, classes=None), features)
    return Pairs(left, Domain(x=vectors(list(summaries)), name="summaries"))


def joined(pairs: Sequence[Pairs]) -> Pairs:
    """The pairs of several graphs as one."""
    if len(pairs) == 1:
        return pairs[0]
    left = pairs[0].left.x
    for more in pairs[1:]:
        left = left + more.left.x
    ids = np.array([f"{i} {name}" for i, part in enumerate(pairs) for name in np.asarray(part.left.ids).tolist()])
    x = np.concatenate([part.right.x for part in pairs])
    return Pairs(Domain(x=left, kind="node", ids=ids, name="graphs"), Domain(x=x, name="summaries"), ids=ids)
