"""Ontologies from where people have them: files, graphs, and what classes say of themselves."""

from __future__ import annotations

from unseen.data.ontologies.builders import (
    attributes,
    derived,
    from_taxonomy,
    hierarchy,
    related,
    schema,
    texts_of,
    with_ontology,
)
from unseen.data.ontologies.readers import from_graph, load, rdf, read_rows, triples
from unseen.data.ontology import Ontology, build, merge

__all__ = [
    "Ontology",
    "attributes",
    "build",
    "derived",
    "from_graph",
    "from_taxonomy",
    "hierarchy",
    "load",
    "merge",
    "rdf",
    "read_rows",
    "related",
    "schema",
    "texts_of",
    "triples",
    "with_ontology",
]
