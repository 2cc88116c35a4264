"""`Ontology`: concepts, the properties that relate them, and a text of each."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from unseen.data.label_metrics import GraphMetric
from unseen.data.typing import IntArray

log = logging.getLogger(__name__)

SUB_CLASS = "subClassOf"
"""The property from a concept to a wider one."""

Named = tuple[str, str, str]
"""A triple by names: head, property, tail."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Ontology:
    """Concepts and triples (head, property, tail) among them; some of the concepts are the classes.

    `build` makes one from triples by name; `unseen.data.ontologies` reads and derives them.

    Parameters
    ----------
    concepts, properties : tuples of str
        Unique names.
    triples : int array (m, 3)
        Index of the head, of the property and of the tail; none stands twice.
    texts : tuple of str, optional
        What each concept is, in words; empty where nothing is said. The names, made readable, if absent.
    nodes : int array (n_classes,), optional
        The concept of each class; all concepts unless told otherwise.
    notes : tuple of str
        What was left out while reading, and what stands apart, each with its count.

    Raises
    ------
    ValueError
        If a name or triple repeats, a concept is related to itself, or an index is out of range.
    """

    concepts: tuple[str, ...]
    properties: tuple[str, ...]
    triples: IntArray
    texts: tuple[str, ...] | None = None
    nodes: Any = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        set_ = partial(object.__setattr__, self)
        for key in ("concepts", "properties", "notes"):
            set_(key, tuple(str(name) for name in getattr(self, key)))
        if not self.concepts:
            raise ValueError("concepts must hold at least one concept; it is empty")
        for key in ("concepts", "properties"):
            names = getattr(self, key)
            if len(set(names)) != len(names) or "" in names:
                wrong = next(name for name in names if not name or names.count(name) > 1)
                raise ValueError(f"{key} must be unique and not empty; got {wrong!r}")
        texts = tuple(map(readable, self.concepts)) if self.texts is None else tuple(map(str, self.texts))
        if len(texts) != len(self.concepts):
            raise ValueError(f"texts has {len(texts)} entries, there are {len(self.concepts)} concepts")
        set_("texts", texts)
        triples = np.asarray(self.triples)
        if triples.size and (triples.ndim != 2 or triples.shape[1] != 3 or triples.dtype.kind not in "iu"):
            raise ValueError(f"triples must be integers of shape (m, 3); got {triples.dtype} of {triples.shape}")
        set_("triples", triples.astype(np.int64).reshape(-1, 3))
        self._check_triples()
        m = len(self.concepts)
        nodes = np.arange(m) if self.nodes is None else np.asarray(self.nodes, dtype=np.int64).reshape(-1)
        if not len(nodes) or nodes.min() < 0 or nodes.max() >= m:
            raise ValueError(f"nodes must hold at least one concept, all in [0, {m})")
        if len(np.unique(nodes)) != len(nodes):
            raise ValueError("nodes must not repeat: each class has a concept of its own")
        set_("nodes", nodes)

    def _check_triples(self) -> None:
        triples = self.triples
        for column, key in ((0, "concepts"), (1, "properties"), (2, "concepts")):
            values, n = triples[:, column], len(getattr(self, key))
            if len(values) and (values.min() < 0 or values.max() >= n):
                raise ValueError(f"triples must name {key} in [0, {n}); got {values.min()}..{values.max()}")
        loops = np.flatnonzero(triples[:, 0] == triples[:, 2])
        if len(loops):
            h, p, _ = triples[loops[0]]
            raise ValueError(f"triples must not relate a concept to itself; {self.concepts[h]!r} is, by "
                             f"{self.properties[p]!r}")  # fmt: skip
        if len(np.unique(triples, axis=0)) != len(triples):
            raise ValueError("triples must not repeat; `unseen.data.ontology.build` drops those that do")

    def __repr__(self) -> str:
        return (
            f"Ontology({len(self.nodes)} classes among {len(self.concepts)} concepts, {len(self.triples)} triples, "
            f"{len(self.properties)} properties)"
        )

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Index of every concept by its name."""
        return {name: i for i, name in enumerate(self.concepts)}

    @property
    def named(self) -> tuple[Named, ...]:
        """The triples by name."""
        return tuple((self.concepts[h], self.properties[p], self.concepts[t]) for h, p, t in self.triples.tolist())

    def take(self, index: Sequence[int] | IntArray) -> Ontology:
        """The whole ontology with the classes at `index`, in that order; the others stay as concepts."""
        return dataclasses.replace(self, nodes=self.nodes[np.asarray(index, dtype=np.int64)])

    def with_classes(self, names: Iterable[str]) -> Ontology:
        """The whole ontology with the concepts of these names as classes, in that order.

        A concept is found by its name, else by its text or by its name made readable, in any case.

        Raises
        ------
        ValueError
            If a name is no concept, or could be several.
        """
        return dataclasses.replace(self, nodes=np.array([self._find(str(name)) for name in names], dtype=np.int64))

    def _find(self, name: str) -> int:
        if name in self.places:
            return self.places[name]
        matches = self._called.get(name.casefold(), ())
        if len(matches) == 1:
            return matches[0]
        if matches:
            two = " and ".join(repr(self.concepts[i]) for i in matches[:2])
            raise ValueError(f"class {name!r} could be {len(matches)} concepts of the ontology, such as {two}")
        raise ValueError(
            f"class {name!r} is no concept of the ontology; it has {len(self.concepts)}, such as {self.concepts[0]!r}"
        )

    @cached_property
    def _called(self) -> Mapping[str, tuple[int, ...]]:
        """Concepts by what else they are called, in lower case."""
        by_word: dict[str, dict[int, None]] = {}
        assert self.texts is not None
        for i, (name, text) in enumerate(zip(self.concepts, self.texts)):
            for word in filter(None, (name.casefold(), readable(name).casefold(), text.casefold())):
                by_word.setdefault(word, {})[i] = None
        return {word: tuple(places) for word, places in by_word.items()}

    def canonical(self) -> Ontology:
        """The same in an order that depends on names alone, so that the order of a file makes no difference."""
        assert self.texts is not None
        order, verbs = np.argsort(self.concepts), np.argsort(self.properties)
        place, verb = np.argsort(order), np.argsort(verbs)
        triples = np.stack([place[self.triples[:, 0]], verb[self.triples[:, 1]], place[self.triples[:, 2]]], axis=1)
        return dataclasses.replace(
            self,
            concepts=tuple(self.concepts[i] for i in order),
            properties=tuple(self.properties[i] for i in verbs),
            triples=triples[np.lexsort(triples.T[::-1])],
            texts=tuple(self.texts[i] for i in order),
            nodes=place[self.nodes],
        )

    # -- other forms -------------------------------------------------------------------------------------

    def graph(self) -> Any:
        """A `networkx.MultiDiGraph`: nodes are concepts with their `text`, edges have their property as key."""
        import networkx as nx

        graph = nx.MultiDiGraph()
        graph.add_nodes_from((name, {"text": text}) for name, text in zip(self.concepts, self.texts or ()))
        graph.add_edges_from((head, tail, name) for head, name, tail in self.named)
        return graph

    def metric(self) -> GraphMetric:
        """Hops between the classes over triples of every property, in both directions.

        Raises
        ------
        ValueError
            If the classes are not connected with one another.
        """
        return GraphMetric(_adjacency(self), self.nodes)


def readable(name: str) -> str:
    """A name as words: the end of a URI or prefixed name, at underscores and inner capitals apart."""
    local = re.split(r"[#/]", name.rstrip("#/"))[-1] if "://" in name else name
    local = re.sub(r"^(?:\w+:)+(?=\w)", "", local)
    local = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", local.replace("_", " "))
    return " ".join(local.split())


def build(
    triples: Iterable[Named],
    texts: Mapping[str, str] | None = None,
    *,
    concepts: Iterable[str] | None = None,
    classes: Iterable[str] | None = None,
    notes: tuple[str, ...] = (),
) -> Ontology:
    """Put an ontology together from triples by name.

    Parameters
    ----------
    triples : iterable of (head, property, tail)
        Those that repeat are dropped and counted.
    texts : mapping of concept to str, optional
        What a concept is; one that is not in it has its name, made readable.
    concepts : iterable of str, optional
        All that there are; without it, whatever stands in a triple or among the classes.
    classes : iterable of str, optional
        The concepts that are classes; all if absent.
    notes : tuple of str

    Raises
    ------
    ValueError
        If a triple has an empty name, relates a concept to itself, or names a concept that is not there.
    """
    rows = [tuple(str(part).strip() for part in triple) for triple in triples]
    for row in rows:
        if len(row) != 3 or not all(row):
            raise ValueError(f"triples must be (head, property, tail), none of them empty; got {row}")
    kept = dict.fromkeys(rows)
    class_names = None if classes is None else [str(name) for name in classes]
    if concepts is None:
        known = dict.fromkeys((*(class_names or ()), *(name for head, _, tail in kept for name in (head, tail))))
    else:
        known = dict.fromkeys(str(name) for name in concepts)
    place = {name: i for i, name in enumerate(known)}
    properties = {name: i for i, name in enumerate(dict.fromkeys(name for _, name, _ in kept))}
    for head, name, tail in kept:
        for end in (head, tail):
            if end not in place:
                raise ValueError(f"concept {end!r} of the triple ({head}, {name}, {tail}) is not among the concepts")
    strange = [name for name in texts or () if name not in place]
    if strange:
        notes = (*notes, f"{len(strange)} texts of concepts in no triple are left out")
    if len(kept) < len(rows):
        notes = (*notes, f"{len(rows) - len(kept)} triples that repeat are dropped")
    ontology = Ontology(
        concepts=tuple(known),
        properties=tuple(properties),
        triples=np.array([(place[h], properties[p], place[t]) for h, p, t in kept], dtype=np.int64).reshape(-1, 3),
        texts=tuple((texts or {}).get(name, readable(name)) for name in known),
        notes=notes,
    )
    if class_names is not None:
        ontology = ontology.with_classes(class_names)
    apart = _apart(ontology)
    if apart:
        ontology = dataclasses.replace(ontology, notes=(*notes, f"{apart} concepts are not connected with the most"))
    for note in ontology.notes:
        log.info("ontology: %s", note)
    return ontology


def merge(*ontologies: Ontology) -> Ontology:
    """All concepts and triples of several ontologies; a concept keeps its first text that is not empty.

    The classes are those of the first.
    """
    if not ontologies:
        raise ValueError("ontologies must hold at least one Ontology")
    texts: dict[str, str] = {}
    for ontology in ontologies:
        for name, text in zip(ontology.concepts, ontology.texts or ()):
            texts[name] = texts.get(name) or text
    first = ontologies[0]
    return build(
        dict.fromkeys(triple for ontology in ontologies for triple in ontology.named),
        texts,
        concepts=texts,
        classes=[first.concepts[i] for i in first.nodes],
        notes=tuple(
            dict.fromkeys(note for ontology in ontologies for note in ontology.notes if "connected" not in note)
        ),
    )


def _adjacency(ontology: Ontology) -> Any:
    from scipy.sparse import csr_matrix

    m = len(ontology.concepts)
    ends = np.unique(np.sort(ontology.triples[:, [0, 2]], axis=1), axis=0)
    return csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(m, m))


def _apart(ontology: Ontology) -> int:
    """How many concepts are outside the largest connected part."""
    from scipy.sparse.csgraph import connected_components

    part = connected_components(_adjacency(ontology), directed=False)[1]
    return int(len(part) - np.bincount(part).max())
