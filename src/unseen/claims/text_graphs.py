"""Graphs with texts that claims share: Debian's packages by section, WordNet's nouns by field, and their sentences."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.claims import worlds
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.graph_summaries import without_words
from unseen.data.sources.packages import package_graph
from unseen.data.taxonomies import noun_graph
from unseen.data.text_graphs import Neighbourhoods, TextAttributedGraph, mean_of_neighbours, random_walks

STEPS, RESTART = 16, 0.5
"""Of the walks, in learning and asking alike."""
LEARNT, ASKED, EACH = 1200, 50, 40
"""Subgraphs that are learnt from, and nodes of each class that are asked about, and that are tuned on at most."""
SECTIONS = {
    "development 1": ("games", "net", "sound", "database", "text", "electronics"),
    "development 2": ("graphics", "mail", "science", "vcs", "admin", "fonts"),
    "confirmation 1": ("video", "math", "web", "hamradio", "editors", "kernel"),
    "confirmation 2": ("tex", "comm", "httpd", "x11", "kde", "otherosfs"),
    "confirmation 3": ("perl", "ruby", "java", "php", "haskell", "ocaml"),
}
"""Sections whose packages are asked about, by case; those of both splits are never learnt from."""
TUNED = ("doc", "gnome", "gnu-r", "golang", "interpreters", "javascript", "lisp", "python", "utils")
"""Sections of no case: all that is tuned by labels is tuned on them, and what is forgotten is graded on them."""
INDEX = "Debian 13 (trixie) of 26 November 2026"
"""The package index that figures are recorded with; `said` tells another one apart."""
FIELDS = {
    "development 1": ("animal", "food", "body", "person", "location", "feeling"),
    "confirmation 1": ("plant", "artifact", "substance", "communication", "group", "phenomenon"),
    "confirmation 2": ("act", "cognition", "event", "possession", "attribute", "process"),
}
TOLD = {
    "admin": "tools to administer a system: users, disks, daemons, packages",
    "comm": "programs for modems, faxes and telephones",
    "doc": "manuals and other documentation",
    "gnome": "the GNOME desktop and its applications",
    "gnu-r": "packages of R, the language of statistics",
    "golang": "libraries of the programming language Go",
    "interpreters": "interpreters of programming languages and their modules",
    "javascript": "libraries of the programming language JavaScript",
    "lisp": "dialects of the programming language Lisp and their libraries",
    "python": "libraries of the programming language Python",
    "utils": "small tools for files, disks and devices",
    "database": "database servers and clients",
    "editors": "editors for text and source code",
    "electronics": "tools to design circuits and chips",
    "fonts": "fonts and typefaces",
    "games": "games to play, and their data",
    "graphics": "editors, viewers and converters of images",
    "hamradio": "software for amateur radio operators",
    "haskell": "libraries of the programming language Haskell",
    "httpd": "web servers and their modules",
    "java": "libraries of the programming language Java",
    "kde": "the KDE desktop and its applications",
    "kernel": "operating system kernels and their modules",
    "mail": "programs to send, receive and filter electronic mail",
    "math": "software for mathematics: algebra, numbers, statistics",
    "net": "network daemons and clients",
    "ocaml": "libraries of the programming language OCaml",
    "otherosfs": "software to run programs and read disks of other operating systems",
    "perl": "libraries of the programming language Perl",
    "php": "libraries of the programming language PHP",
    "ruby": "libraries of the programming language Ruby",
    "science": "software for physics, chemistry, biology and astronomy",
    "sound": "audio players, mixers and synthesizers",
    "tex": "the typesetting system TeX and its styles",
    "text": "tools that process, format and look up text and dictionaries",
    "vcs": "version control systems",
    "video": "viewers, editors and recorders of video",
    "web": "web browsers and applications of the web",
    "x11": "the X window system: display, window managers, toolkits",
    "act": "nouns for acts and actions",
    "animal": "nouns for animals",
    "artifact": "nouns for things that people have made",
    "attribute": "nouns for attributes of people and objects",
    "body": "nouns for parts of the body",
    "cognition": "nouns for thoughts, knowledge and cognitive processes",
    "communication": "nouns for what is said, written and signalled",
    "event": "nouns for natural events and happenings",
    "feeling": "nouns for feelings and emotions",
    "food": "nouns for foods and drinks",
    "group": "nouns for groupings of people and objects",
    "location": "nouns for places and positions in space",
    "person": "nouns for people",
    "phenomenon": "nouns for natural phenomena",
    "plant": "nouns for plants",
    "possession": "nouns for possession and its transfer",
    "process": "nouns for natural processes",
    "substance": "nouns for substances and materials",
}
"""A line about each class, written before anything was measured, after Debian's and WordNet's own lists."""
TEMPLATES = {"packages": "a software package of the section {}: {}.", "wordnet": "a noun of the kind {}: {}."}


@functools.cache
def packages() -> TextAttributedGraph:
    """All packages, with all sections as classes, whose names no text says."""
    return untold(package_graph())


@functools.cache
def nouns() -> TextAttributedGraph:
    """WordNet's nouns, with fields as classes, whose names no text says."""
    return untold(noun_graph())


def untold(graph: TextAttributedGraph) -> TextAttributedGraph:
    """A graph whose texts are without the names of its classes and their inflections: every arm reads them so."""
    assert graph.classes is not None
    hide = without_words(graph.classes.names)
    return graph.replace(texts=np.array([hide(text) for text in graph.texts.tolist()]))


_MEMORY: dict[str, NDArray[np.float32]] = {}


def vectors(texts: Sequence[Any]) -> NDArray[np.float32]:
    """MiniLM's vectors of texts, (n, 384), each text encoded once in a process."""
    new = [text for text in dict.fromkeys(map(str, texts)) if text not in _MEMORY]
    if new:
        _MEMORY.update(zip(new, worlds.minilm(new)))
    return np.stack([_MEMORY[str(text)] for text in texts])


def features(graph: TextAttributedGraph, nodes: NDArray[np.int64]) -> NDArray[np.float32]:
    """A table for all nodes of the vectors of some, zeros elsewhere."""
    table = np.zeros((len(graph), 384), dtype=np.float32)
    table[nodes] = vectors(graph.texts[nodes].tolist())
    return table


@dataclasses.dataclass(frozen=True)
class Around:
    """Nodes with the subgraphs around them, as every arm gets them; `table` has the vectors of all nodes in these.

    `own_text`, `near` and `all_`, (n, 384), are vectors of the roots, means over their neighbours in the graph, and
    over the other nodes of the subgraph. Labels `y`, (n,), are among `names`, -1 where there is none.
    """

    graph: TextAttributedGraph
    places: Neighbourhoods
    table: NDArray[np.float32]
    own_text: NDArray[np.float32]
    near: NDArray[np.float32]
    all_: NDArray[np.float32]
    y: NDArray[np.int64]
    names: tuple[str, ...]

    def domain(self, *, hide_roots: bool = False) -> Domain:
        """The subgraphs as samples, labelled among `names`."""
        samples = self.places.domain(self.graph, self.table, hide_roots=hide_roots)
        return samples.replace(y=self.y, classes=ClassSpace(names=self.names))

    def take(self, index: Any) -> Around:
        """Some of the nodes."""
        places = self.places.take(index)
        parts = {key: getattr(self, key)[index] for key in ("own_text", "near", "all_", "y")}
        return dataclasses.replace(self, places=places, **parts)


def around(graph: TextAttributedGraph, roots: NDArray[np.int64], names: Sequence[str], seed: int) -> Around:
    """Subgraphs around nodes, encoded, with what the simple arms read of them."""
    places = walked(graph, roots, seed)
    beside = graph.edges[np.isin(graph.edges, roots).any(axis=1)]
    table = features(graph, np.unique(np.concatenate([places.nodes, beside.ravel()])))
    near = mean_of_neighbours(graph, table)[roots]
    all_ = np.zeros_like(near)
    for i in range(len(roots)):
        nodes = places.of(i)[0]
        if len(nodes) > 1:
            all_[i] = table[nodes[1:]].mean(axis=0)
    return Around(graph, places, table, table[roots], near, all_, labels_of(graph, roots, names), tuple(names))


def walked(graph: TextAttributedGraph, roots: NDArray[np.int64], seed: int) -> Neighbourhoods:
    """The subgraphs around nodes."""
    return random_walks(graph, roots, steps=STEPS, restart=RESTART, random_state=seed)


def labels_of(graph: TextAttributedGraph, roots: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
    """Labels of nodes among some names, -1 where there is none."""
    assert graph.labels is not None
    assert graph.classes is not None
    number = {graph.classes.index(name): i for i, name in enumerate(names)}
    return np.array([number.get(label, -1) for label in graph.labels[roots].tolist()], dtype=np.int64)


def connected(graph: TextAttributedGraph, names: Sequence[str], each: int, seed: int) -> NDArray[np.int64]:
    """At most so many nodes of each class that have two neighbours or more, drawn."""
    assert graph.labels is not None
    assert graph.classes is not None
    rng, chosen = np.random.default_rng(seed), []
    for name in names:
        rows = np.flatnonzero((graph.labels == graph.classes.index(name)) & (graph.degrees >= 2))
        chosen.append(rng.permutation(rows)[:each])
    return np.concatenate(chosen)


def sentences(kind: str, names: Sequence[str]) -> ClassSpace:
    """Classes with the vectors of a sentence each."""
    texts = [TEMPLATES[kind].format(name, TOLD[name]) for name in names]
    return ClassSpace(names=tuple(names), embeddings=vectors(texts))


@functools.cache
def learnt_graph() -> TextAttributedGraph:
    """The packages of all sections that no case of either split asks about, with the edges among them."""
    graph = packages()
    assert graph.labels is not None
    assert graph.classes is not None
    asked = {name for names in SECTIONS.values() for name in names}
    learnt = np.array([name not in asked for name in graph.classes.names])
    return graph.take(np.flatnonzero((graph.labels >= 0) & learnt[graph.labels]))


@functools.cache
def asked_about(case: str) -> Around:
    """The nodes of a case, `SPLIT KIND NUMBER`, that are asked about: the same for all seeds."""
    graph, roots, names = roots_of(case)
    return around(graph, roots, names, 0)


def roots_of(case: str) -> tuple[TextAttributedGraph, NDArray[np.int64], tuple[str, ...]]:
    """The graph of a case, the nodes in it that are asked about, and their classes."""
    split, kind, number = case.split()
    graph = packages() if kind == "packages" else nouns()
    names = (SECTIONS if kind == "packages" else FIELDS)[f"{split} {number}"]
    return graph, connected(graph, names, ASKED, 0), names


@functools.cache
def learnt_from() -> Around:
    """The subgraphs of packages that are learnt from, the same for all seeds and splits.

    Labels are the sections `TUNED`; they tune, and nothing is pretrained on them.
    """
    return around(*learnt_roots(), TUNED, 0)


def learnt_roots() -> tuple[TextAttributedGraph, NDArray[np.int64]]:
    """The graph that is learnt from, and the nodes whose subgraphs are."""
    graph = learnt_graph()
    rows = np.flatnonzero(graph.degrees >= 1)
    return graph, np.random.default_rng(0).permutation(rows)[:LEARNT]


@functools.cache
def tuned_on() -> Around:
    """At most `EACH` nodes of each section that is tuned on."""
    learnt = learnt_from()
    rows = [np.flatnonzero(learnt.y == c)[:EACH] for c in range(len(TUNED))]
    return learnt.take(np.concatenate(rows))


@functools.cache
def digest(kind: str) -> str:
    """SHA-256 of a graph: names, texts, edges and labels."""
    graph = packages() if kind == "packages" else nouns()
    sha = hashlib.sha256()
    for part in ("\n".join(graph.names.tolist()), "\n".join(graph.texts.tolist())):
        sha.update(part.encode() + b"\0")
    for numbers in (graph.edges, graph.labels):
        sha.update(np.ascontiguousarray(numbers, dtype="<i8").tobytes())
    return sha.hexdigest()


def said(case: str) -> list[Domain]:
    """What a case reads, for its stamp: digests of the graph that is learnt from and of its own."""
    return [worlds.of_texts([digest("packages"), digest(case.split()[1])])]
