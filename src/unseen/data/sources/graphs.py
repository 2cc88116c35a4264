"""Small knowledge graphs that the package pykeen ships, and those of users: pairs of entities with a relation."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray

GRAPHS = ("nations", "kinships", "umls")
"""Graphs that `knowledge_graph` reads from the install of pykeen; nothing is downloaded."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """A knowledge graph as samples: pairs of entities with their relation.

    Attributes
    ----------
    entities : tuple of str
    pairs : Domain
        Of kind node: x are heads and tails, (n, 2), indices of `entities`; y their relations.
    """

    entities: tuple[str, ...]
    pairs: Domain

    def __repr__(self) -> str:
        n, relations = len(self.entities), len(self.relations)
        return f"Graph({self.pairs.name!r}, {len(self.pairs)} triples, {n} entities, {relations} relations)"

    @property
    def relations(self) -> ClassSpace:
        """The relations as classes."""
        assert self.pairs.classes is not None
        return self.pairs.classes

    @property
    def triples(self) -> IntArray:
        """Head, relation and tail, (n, 3)."""
        return np.column_stack([self.pairs.x[:, 0], self.pairs.labels, self.pairs.x[:, 1]])

    @cached_property
    def places(self) -> dict[str, int]:
        """Index of every entity by its name."""
        return {name: i for i, name in enumerate(self.entities)}


def graph(rows: Iterable[tuple[str, str, str]], name: str = "graph", credits: tuple[str, ...] = ()) -> Graph:
    """A graph from triples by name; those that repeat count once, entities and relations are sorted.

    Raises
    ------
    ValueError
        If there is no triple.
    """
    kept = list(dict.fromkeys(rows))
    if not kept:
        raise ValueError(f"{name}: there is no triple")
    entities = sorted({end for head, _, tail in kept for end in (head, tail)})
    relations = sorted({relation for _, relation, _ in kept})
    place = {entity: i for i, entity in enumerate(entities)}
    verb = {relation: i for i, relation in enumerate(relations)}
    pairs = Domain(
        x=np.array([(place[head], place[tail]) for head, _, tail in kept], dtype=np.int64),
        y=np.array([verb[relation] for _, relation, _ in kept], dtype=np.int64),
        kind="node",
        classes=ClassSpace(names=tuple(relations)),
        name=name,
        credits=credits,
    )
    return Graph(tuple(entities), pairs)


def knowledge_graph(name: str) -> Graph:
    """One of `GRAPHS`, all of its triples: Nations, Kinships (Alyawarra) and UMLS, of Kemp et al., AAAI 2006.

    Raises
    ------
    ValueError
        If there is no such graph.
    ImportError
        If pykeen is missing; the message is the command that installs it.
    """
    if name not in GRAPHS:
        raise ValueError(f"name must be one of {', '.join(GRAPHS)}; got {name!r}")
    spec = importlib.util.find_spec("pykeen")
    if spec is None or spec.origin is None:
        raise ImportError('knowledge graphs need: pip install "unseen[kg]"')
    folder = Path(spec.origin).parent / "datasets" / name
    lines = [
        line.split("\t")
        for part in ("train", "valid", "test")
        for line in (folder / f"{part}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    return graph(
        [(head, relation, tail) for head, relation, tail in lines],
        name=name,
        credits=(f"{name}: Kemp et al. 2006, as pykeen (MIT) ships it",),
    )
