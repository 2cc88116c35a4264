"""Ontologies from what is known otherwise: a tree or graph of classes, attributes, a taxonomy, a schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import GraphMetric, LabelMetric, TreeMetric
from unseen.data.ontology import SUB_CLASS, Named, Ontology, build, merge, readable
from unseen.data.taxonomies.base import Taxonomy
from unseen.data.typing import IntArray

RELATED = "relatedTo"
"""The property of an edge that stands in both directions of a graph."""
_NAMED = 12
"""Classes that the text of an unnamed inner node tells."""


def with_ontology(classes: ClassSpace, ontology: Ontology) -> ClassSpace:
    """The classes with their concepts, found by name.

    Raises
    ------
    ValueError
        If a class is no concept of the ontology.
    """
    return classes.replace(ontology=ontology.with_classes(classes.names))


def related(classes: ClassSpace) -> bool:
    """Whether `derived` finds something that relates the classes."""
    described = classes.ontology is not None or classes.attributes is not None
    return described or isinstance(classes.metric, (TreeMetric, GraphMetric))


def texts_of(classes: ClassSpace) -> tuple[str, ...]:
    """The text of each class: that of its concept, else its own."""
    ontology = classes.ontology
    if ontology is None or ontology.texts is None:
        return classes.texts
    return tuple(ontology.texts[i] or text for i, text in zip(ontology.nodes, classes.texts))


def derived(classes: ClassSpace) -> Ontology:
    """The ontology of the classes, or what their tree or graph and their attributes say.

    Raises
    ------
    ValueError
        If the classes have none of these.
    """
    if classes.ontology is not None:
        return classes.ontology
    if not related(classes):
        raise ValueError(
            "classes must say how they are related: an ontology (unseen.data.ontologies), parents or a graph, or "
            f"attributes; they have {type(classes.metric).__name__} alone"
        )
    parts = []
    if isinstance(classes.metric, (TreeMetric, GraphMetric)):
        parts.append(hierarchy(classes))
    if classes.attributes is not None:
        parts.append(attributes(classes))
    return merge(*parts)


# -- from classes ------------------------------------------------------------------------------------------


def hierarchy(classes: ClassSpace) -> Ontology:
    """subClassOf from the tree or graph of the classes (`relatedTo` for edges that stand in both directions).

    Inner nodes have no names; their text is that of the classes below them.

    Raises
    ------
    ValueError
        If the metric is neither a `TreeMetric` nor a `GraphMetric`.
    """
    edges, links, n, nodes = _edges(classes.metric)
    if len(np.unique(nodes)) != len(nodes):
        raise ValueError("classes must have a node of the tree or graph each; two share one")
    names = [f"inner node {i}" for i in range(n)]
    for name, node in zip(classes.names, nodes.tolist()):
        names[node] = name
    texts = dict.fromkeys(names, "") | dict(zip(classes.names, classes.texts))
    for node, below in _below(edges, links, n, nodes).items():
        texts[names[node]] = ", ".join(classes.texts[i] for i in below)
    rows = [(names[child], SUB_CLASS, names[parent]) for child, parent in edges.tolist()]
    rows += [(names[a], RELATED, names[b]) for a, b in links.tolist()]
    return build(rows, texts, concepts=names, classes=classes.names)


def _edges(metric: LabelMetric) -> tuple[IntArray, IntArray, int, IntArray]:
    """Edges child to parent, edges in both directions, the number of nodes, and the node of each class."""
    none = np.zeros((0, 2), dtype=np.int64)
    if isinstance(metric, TreeMetric):
        child = np.flatnonzero(metric.parents >= 0)
        return np.stack([child, metric.parents[child]], axis=1), none, len(metric.parents), metric.nodes
    if isinstance(metric, GraphMetric):
        pairs = np.stack(metric.adjacency.nonzero(), axis=1).astype(np.int64)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        both = np.array(metric.adjacency[pairs[:, 1], pairs[:, 0]]).reshape(-1) != 0
        return pairs[~both], pairs[both & (pairs[:, 0] < pairs[:, 1])], metric.adjacency.shape[0], metric.nodes
    raise ValueError(f"classes must carry a tree or a graph (parents in the class file); got {type(metric).__name__}")


def _below(edges: IntArray, links: IntArray, n: int, nodes: IntArray) -> dict[int, list[int]]:
    """The first classes under or beside each node that is no class."""
    above: list[list[int]] = [[] for _ in range(n)]
    beside: list[list[int]] = [[] for _ in range(n)]
    for child, parent in edges.tolist():
        above[child].append(parent)
    for a, b in links.tolist():
        beside[a].append(b)
        beside[b].append(a)
    class_nodes = set(nodes.tolist())
    out: dict[int, list[int]] = {}
    for i, node in enumerate(nodes.tolist()):
        reached, queue = {node}, [node]
        while queue:
            for up in above[queue.pop()]:
                if up not in reached:
                    reached.add(up)
                    queue.append(up)
        for other in sorted(reached.union(beside[node]) - class_nodes):
            if len(out.setdefault(other, [])) < _NAMED:
                out[other].append(i)
    return out


def attributes(
    classes: ClassSpace, groups: Mapping[str, str] | None = None, threshold: float | Sequence[float] | None = None
) -> Ontology:
    """hasAttribute, or has and the name of the group, for attributes above a threshold; subClassOf to the group.

    Parameters
    ----------
    classes : ClassSpace
        With attributes; columns without a name are called "attribute 3".
    groups : mapping of attribute to group, optional
        Such as ``{"red": "colour"}``. Names like ``"colour: red"`` tell theirs, if absent.
    threshold : float or one per attribute, optional
        The mean over the classes if absent: of 0 and 1 the ones, but for an attribute that all classes have, which
        tells nothing.

    Raises
    ------
    ValueError
        If there are no attributes, or a group is of no attribute.
    """
    if classes.attributes is None:
        raise ValueError("classes must have attributes; they have none")
    names = classes.attribute_names or tuple(f"attribute {i}" for i in range(classes.attributes.shape[1]))
    if groups is None:
        groups = {name: name.partition(": ")[0] for name in names if ": " in name}
    strange = [name for name in groups if name not in names]
    if strange:
        raise ValueError(f"groups must be of attributes; {strange[0]!r} is none")
    limit = classes.attributes.mean(axis=0) if threshold is None else np.asarray(threshold)
    has = classes.attributes > limit
    concept = {name: _apart_from(name, classes.names) for name in names}
    texts = dict(zip(classes.names, classes.texts))
    texts |= {concept[name]: readable(name.partition(": ")[2] or name) for name in names}
    group = {name: _apart_from(name, (*classes.names, *concept.values())) for name in dict.fromkeys(groups.values())}
    texts |= {place: readable(name) for name, place in group.items()}
    rows: list[Named] = []
    for c, a in np.argwhere(has).tolist():
        kind = groups.get(names[a], "Attribute")
        rows.append((classes.names[c], "has" + kind[:1].upper() + kind[1:], concept[names[a]]))
    rows += [(concept[name], SUB_CLASS, group[kind]) for name, kind in groups.items()]
    return build(rows, texts, concepts=texts, classes=classes.names)


def _apart_from(name: str, taken: Iterable[str]) -> str:
    """A name for a concept that is no class, such as the attribute "bird" beside the class "bird"."""
    return f"the attribute {name}" if name in set(taken) else name


# -- from other data ---------------------------------------------------------------------------------------


def from_taxonomy(tree: Taxonomy) -> Ontology:
    """subClassOf from the parents of a taxonomy; concepts are its identifiers, texts its preferred names."""
    names = tree.classes.names
    rows = [(names[i], SUB_CLASS, names[p]) for i in range(len(tree)) for p in tree.parents(i).tolist()]
    return build(rows, dict(zip(names, tree.classes.texts)), concepts=names, notes=tree.notes)


def schema(
    relations: Iterable[str],
    *,
    domain: Mapping[str, Iterable[str]] | None = None,
    range: Mapping[str, Iterable[str]] | None = None,
    broader: Mapping[str, Iterable[str]] | None = None,
    types: Mapping[str, Iterable[str]] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Ontology:
    """The schema of a knowledge graph: relations are concepts, among the types of what they relate.

    Parameters
    ----------
    relations : iterable of str
        The classes of the ontology, those without a triple included.
    domain, range : mapping of relation to types, optional
        What may stand before and behind it.
    broader : mapping of relation to relations, optional
        subPropertyOf; a broader relation need not be among `relations`.
    types : mapping of type to wider types, optional
        subClassOf.
    texts : mapping of relation or type to str, optional
        A name or a definition.

    Raises
    ------
    ValueError
        If something is said of a relation that is not there.
    """
    names = tuple(dict.fromkeys(str(name) for name in relations))
    rows = [
        *_rows(names, "domain", domain, "relations"),
        *_rows(names, "range", range, "relations"),
        *_rows(None, "subPropertyOf", broader),
        *_rows(None, SUB_CLASS, types),
    ]
    return build(rows, texts, classes=names)


def _rows(
    heads: tuple[str, ...] | None, name: str, tails_of: Mapping[str, Iterable[str]] | None, among: str = ""
) -> Iterator[Named]:
    for head, tails in (tails_of or {}).items():
        if heads is not None and head not in heads:
            raise ValueError(f"{name} must be of {among}; {head!r} is none")
        for tail in [tails] if isinstance(tails, str) else tails:
            yield head, name, tail
