"""`Taxonomy`: nodes under nodes, and the phrases that name them."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import GraphMetric, LabelMetric, TreeMetric
from unseen.data.typing import IntArray

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Taxonomy:
    """The nodes of a taxonomy as classes, what is above each of them, and phrases that mean them.

    Parameters
    ----------
    classes : ClassSpace
        Names are the identifiers, descriptions the preferred names; the metric counts hops: a `TreeMetric` if no node
        has two parents, else a `GraphMetric`.
    starts, above : int arrays (n + 1,) and (e,)
        The parents of node i are ``above[starts[i]:starts[i + 1]]``; a root has none.
    phrases : Domain
        Names and synonyms, of kind text, labelled with their nodes; empty texts are left out.
    notes : tuple of str
        What was mended while reading, each with its count.
    definitions : n strings or None
        What each node is, in a sentence; empty where nothing is said.
    aliases : mapping of str to int
        Other identifiers of nodes, in lower case, such as those of another release.
    """

    classes: ClassSpace
    starts: IntArray
    above: IntArray
    phrases: Domain
    notes: tuple[str, ...] = ()
    definitions: tuple[str, ...] | None = None
    aliases: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        shape = "tree" if isinstance(self.classes.metric, TreeMetric) else "graph"
        return f"Taxonomy({self.phrases.name!r}, {len(self)} nodes in a {shape}, {len(self.phrases)} phrases)"

    def parents(self, node: int) -> IntArray:
        """The nodes right above one."""
        return self.above[self.starts[node] : self.starts[node + 1]]

    @cached_property
    def _below(self) -> tuple[IntArray, IntArray]:
        child = np.repeat(np.arange(len(self)), np.diff(self.starts))
        order = np.argsort(self.above, kind="stable")
        return np.concatenate([[0], np.cumsum(np.bincount(self.above, minlength=len(self)))]), child[order]

    def children(self, node: int) -> IntArray:
        """The nodes right below one."""
        starts, below = self._below
        return below[starts[node] : starts[node + 1]]

    def subtree(self, node: int) -> IntArray:
        """A node and all below it, ascending."""
        seen, queue = {int(node)}, [int(node)]
        while queue:
            new = [int(child) for child in self.children(queue.pop()) if int(child) not in seen]
            seen.update(new)
            queue += new
        return np.array(sorted(seen), dtype=np.int64)

    @cached_property
    def _closures(self) -> dict[int, frozenset[int]]:
        return {}

    def ancestors(self, node: int) -> frozenset[int]:
        """A node and all above it."""
        if node not in self._closures:
            seen, queue = {node}, [node]
            while queue:
                for parent in self.above[self.starts[at := queue.pop()] : self.starts[at + 1]].tolist():
                    if parent in self._closures:
                        seen |= self._closures[parent]
                    elif parent not in seen:
                        seen.add(parent)
                        queue.append(parent)
            self._closures[node] = frozenset(seen)
        return self._closures[node]

    @cached_property
    def sizes(self) -> IntArray:
        """How many nodes lie at or below each, (n,)."""
        count = np.zeros(len(self), dtype=np.int64)
        for node in range(len(self)):
            count[list(self.ancestors(node))] += 1
        return count

    def path(self, node: int) -> tuple[int, ...]:
        """From a node to a root, by the fewest steps upward; of equals by the parents named first."""
        came: dict[int, int] = {int(node): -1}
        queue = deque(came)
        while queue:
            at = queue.popleft()
            parents = self.parents(at)
            if not len(parents):
                out = [at]
                while came[out[-1]] >= 0:
                    out.append(came[out[-1]])
                return tuple(reversed(out))
            for parent in parents.tolist():
                if parent not in came:
                    came[parent] = at
                    queue.append(parent)
        raise AssertionError("a taxonomy without cycles has a root above every node")

    def take(self, nodes: Sequence[int] | IntArray, name: str = "") -> Taxonomy:
        """The part of the taxonomy that holds these nodes only, with the edges between them; it must be connected
        once its roots are joined."""
        nodes = np.unique(np.asarray(nodes, dtype=np.int64))
        place = {int(old): new for new, old in enumerate(nodes)}
        names, texts = self.classes.names, self.classes.texts
        rows = np.flatnonzero(np.isin(self.phrases.labels, nodes))
        phrases = [(place[int(y)], str(x)) for x, y in zip(self.phrases.x[rows], self.phrases.labels[rows])]
        return build(
            [names[i] for i in nodes],
            [[names[p] for p in self.parents(int(i)) if int(p) in place] for i in nodes],
            [texts[i] for i in nodes],
            phrases,
            definitions=None if self.definitions is None else [self.definitions[i] for i in nodes],
            name=name or self.phrases.name,
            credits=self.phrases.credits,
            aliases={alias: place[node] for alias, node in self.aliases.items() if node in place},
        )


def build(
    ids: Sequence[str],
    parents: Sequence[Iterable[str]],
    names: Sequence[str],
    phrases: Iterable[tuple[int, str]],
    *,
    definitions: Sequence[str] | None = None,
    name: str,
    notes: tuple[str, ...] = (),
    credits: tuple[str, ...] = (),
    aliases: Mapping[str, int] | None = None,
) -> Taxonomy:
    """Put a taxonomy together.

    Parameters
    ----------
    ids, parents, names : n entries each
        Identifier, identifiers of the parents, preferred name of every node.
    phrases : pairs of node index and text
        Those that repeat for one node count once.
    definitions : n strings, optional
    name : str
        What errors and reports call it.
    notes, credits : tuples of str
    aliases : mapping of str to int, optional
        Other identifiers, in lower case.

    Raises
    ------
    ValueError
        If lengths differ or there is no node; with a node's identifier, if it repeats, a parent is no node, or parents
        go round in a circle.
    """
    if not len(ids) == len(parents) == len(names):
        raise ValueError(f"{name}: ids, parents and names have {len(ids)}, {len(parents)} and {len(names)} entries")
    if not ids:
        raise ValueError(f"{name}: there is no node")
    place = {identity: i for i, identity in enumerate(ids)}
    if len(place) < len(ids):
        twice = next(identity for i, identity in enumerate(ids) if place[identity] != i)
        raise ValueError(f"{name}: node {twice!r} stands twice")
    lists = [_places(i, ids, above, place, name) for i, above in enumerate(parents)]
    starts = np.concatenate([[0], np.cumsum([len(above) for above in lists])])
    above = np.array([parent for line in lists for parent in line], dtype=np.int64)
    _refuse_cycles(ids, starts, above, name)
    metric, joined = _metric(starts, above)
    if joined > 1:
        notes = (*notes, f"{joined} roots are joined by one above them")
    for note in notes:
        log.info("%s: %s", name, note)
    classes = ClassSpace(names=tuple(ids), descriptions=tuple(names), metric=metric)
    texts = dict.fromkeys((node, " ".join(text.split())) for node, text in phrases)
    kept = [(node, text) for node, text in texts if text]
    domain = Domain(
        x=np.array([text for _, text in kept], dtype=np.str_),
        y=np.array([node for node, _ in kept], dtype=np.int64),
        kind="text",
        classes=classes,
        name=name,
        credits=credits,
    )
    described = None if definitions is None else tuple(definitions)
    return Taxonomy(classes, starts, above, domain, notes, described, dict(aliases or {}))


def candidates(names: Sequence[str], taxonomy: Taxonomy) -> list[tuple[int, ...]]:
    """The nodes that each name may mean, in the order of the taxonomy's phrases; an identifier means its node only."""
    by: dict[str, dict[int, None]] = {_folded(name): {} for name in names}
    for text, node in zip(taxonomy.phrases.x.tolist(), taxonomy.phrases.labels.tolist()):
        if (same := by.get(_folded(text))) is not None:
            same.setdefault(node)
    exact = {identity: i for i, identity in enumerate(taxonomy.classes.names)}
    known = [exact.get(name, taxonomy.aliases.get(name.casefold())) for name in names]
    return [tuple(by[_folded(name)]) if node is None else (node,) for name, node in zip(names, known)]


def find(names: Sequence[str], taxonomy: Taxonomy) -> IntArray:
    """The node of each name, (n,), an identifier, else a name or synonym; -1 where there is none.

    Names are compared without regard to case and underscores. Of several nodes of one name the first counts (WordNet's
    most frequent sense that is no proper name); `unseen.data.taxonomies.senses` weighs them.
    """
    return np.array([nodes[0] if nodes else -1 for nodes in candidates(names, taxonomy)], dtype=np.int64)


def _folded(text: str) -> str:
    return " ".join(text.replace("_", " ").casefold().split())


def _places(i: int, ids: Sequence[str], above: Iterable[str], place: Mapping[str, int], name: str) -> list[int]:
    out = []
    for parent in dict.fromkeys(above):
        if parent not in place:
            raise ValueError(f"{name}: the parent {parent!r} of node {ids[i]!r} is no node")
        if place[parent] == i:
            raise ValueError(f"{name}: node {ids[i]!r} is its own parent")
        out.append(place[parent])
    return out


def _refuse_cycles(ids: Sequence[str], starts: IntArray, above: IntArray, name: str) -> None:
    """Take away nodes whose parents are all gone, wave by wave; what stays hangs on a circle."""
    waiting = np.diff(starts)
    child = np.repeat(np.arange(len(ids)), waiting)
    order = np.argsort(above, kind="stable")
    below, first = child[order], np.concatenate([[0], np.cumsum(np.bincount(above, minlength=len(ids)))])
    waiting, wave = waiting.copy(), np.flatnonzero(waiting == 0)
    left = len(ids)
    while len(wave):
        left -= len(wave)
        freed = np.concatenate([below[first[i] : first[i + 1]] for i in wave.tolist()])
        np.subtract.at(waiting, freed, 1)
        touched = np.unique(freed)
        wave = touched[waiting[touched] == 0]
    if left:
        raise ValueError(f"{name}: the parents of {ids[int(np.flatnonzero(waiting > 0)[0])]!r} go round in a circle")


def _metric(starts: IntArray, above: IntArray) -> tuple[LabelMetric, int]:
    """Hops between nodes, and the number of roots; several are joined by one more node."""
    count = np.diff(starts)
    n, roots = len(count), np.flatnonzero(count == 0)
    joined = len(roots) > 1
    if count.max(initial=0) <= 1:
        up = np.full(n + joined, -1, dtype=np.int64)
        up[np.flatnonzero(count == 1)] = above
        if joined:
            up[roots] = n
        return TreeMetric(up, None, np.arange(n)), len(roots)
    from scipy.sparse import coo_matrix

    child = np.concatenate([np.repeat(np.arange(n), count), roots if joined else []]).astype(np.int64)
    parent = np.concatenate([above, np.full(len(roots), n) if joined else []]).astype(np.int64)
    edges: Any = coo_matrix((np.ones(len(child)), (child, parent)), shape=(n + joined, n + joined))
    return GraphMetric(edges, np.arange(n)), len(roots)


def hold_out(phrases: Domain, nodes: IntArray) -> tuple[Domain, Domain]:
    """Phrases of all other nodes, and those of `nodes`: zero-shot nodes stay in the graph and lose their phrases.

    Raises
    ------
    ValueError
        If nothing is left to learn from.
    """
    held = np.isin(phrases.labels, nodes)
    if held.all():
        raise ValueError(f"nodes must leave phrases of others to learn from; all {len(phrases)} are of these nodes")
    return phrases.take(~held), phrases.take(held)
