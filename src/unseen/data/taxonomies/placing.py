"""Classes of one's own as nodes of a taxonomy: the distance between them, and what they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.taxonomies.base import Taxonomy, candidates
from unseen.data.taxonomies.senses import senses
from unseen.data.typing import IntArray

NAMED = 5
"""Classes that an error names."""


def place(classes: ClassSpace, taxonomy: Taxonomy) -> ClassSpace:
    """The classes with the distance of a taxonomy, its identifiers, and its definitions where nothing describes them.

    A class is the node that its concept (`ClassSpace.concepts`) or its name says: an identifier, else a name or
    synonym without regard to case and underscores. Of several nodes of one name `senses` takes the one that fits the
    description and the other classes; `concepts` of what is returned says which.

    Raises
    ------
    ValueError
        If a class has no node, or two have the same; how many, and which.
    """
    terms = [concept or name for concept, name in zip(classes.concepts or ("",) * len(classes), classes.names)]
    nodes = senses(terms, taxonomy, classes.descriptions)
    _refuse_strangers(terms, nodes, taxonomy)
    _refuse_clashes(classes, terms, nodes, taxonomy)
    descriptions = classes.descriptions or ("",) * len(classes)
    if taxonomy.definitions is not None:
        descriptions = tuple(text or taxonomy.definitions[node] for text, node in zip(descriptions, nodes))
    return classes.replace(
        descriptions=descriptions if any(descriptions) else None,
        metric=taxonomy.classes.metric.take(nodes),
        concepts=tuple(taxonomy.classes.names[node] for node in nodes.tolist()),
    )


def _refuse_strangers(asked: Sequence[str], nodes: IntArray, taxonomy: Taxonomy) -> None:
    lost = [name for name, node in zip(asked, nodes.tolist()) if node < 0]
    if lost:
        details = f"{len(lost)} of {len(asked)} are not in {taxonomy.phrases.name!r}, such as {lost[0]!r}"
        raise ValueError(f"classes must be called by names, synonyms or identifiers of the taxonomy; {details}")


def _refuse_clashes(classes: ClassSpace, asked: Sequence[str], nodes: IntArray, taxonomy: Taxonomy) -> None:
    """Two classes of one node: told with the other nodes that their names may mean."""
    first, count = np.unique(nodes, return_counts=True)
    clashes = []
    for node in first[count > 1].tolist():
        alike = np.flatnonzero(nodes == node).tolist()
        clash = f"{' and '.join(repr(classes.names[i]) for i in alike[:2])} are both {taxonomy.classes.names[node]!r}"
        meant = candidates([asked[i] for i in alike[:2]], taxonomy)
        others = [taxonomy.classes.names[n] for options in meant for n in options if n != node]
        clashes.append(f"{clash} (else {', '.join(others[:NAMED])})" if others else clash)
    if clashes:
        more = f"; and {len(clashes) - NAMED} more pairs" if len(clashes) > NAMED else ""
        raise ValueError(
            f"classes must be different nodes; {'; '.join(clashes[:NAMED])}{more}. Say an identifier in the column "
            "'concept' of the class file, or as the class's name"
        )
