"""Ontologies in OBO by pronto, and in OWL or RDF (SKOS too) by rdflib."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unseen.data.taxonomies.base import Taxonomy, build
from unseen.data.xml import check_entities, check_lines
from unseen.files import check_plain, reads

_LABELS = ("http://www.w3.org/2004/02/skos/core#prefLabel", "http://www.w3.org/2000/01/rdf-schema#label")
_SYNONYMS = (
    "http://www.w3.org/2004/02/skos/core#altLabel",
    "http://www.geneontology.org/formats/oboInOwl#hasExactSynonym",
    "http://www.geneontology.org/formats/oboInOwl#hasRelatedSynonym",
    "http://www.geneontology.org/formats/oboInOwl#hasNarrowSynonym",
)
_DEFINITIONS = (
    "http://www.w3.org/2004/02/skos/core#definition",
    "http://purl.obolibrary.org/obo/IAO_0000115",
    "http://www.w3.org/2000/01/rdf-schema#comment",
)
_FORMATS = ("xml", "turtle", "nt", "n3")
"""Of rdflib, those that are read from the file alone."""
_ABOVE = ("http://www.w3.org/2004/02/skos/core#broader", "http://www.w3.org/2000/01/rdf-schema#subClassOf")


@reads("an OBO file", "write it anew as OBO, OWL or CSV")
def obo(path: str | os.PathLike[str], *, name: str = "", credits: tuple[str, ...] = ()) -> Taxonomy:
    """Read an OBO file: terms that are not obsolete, their is-a links, names, definitions, synonyms of every scope.

    Imports of other ontologies are not followed. A term without a name is called by its identifier.

    Raises
    ------
    ImportError
        If pronto is missing; the message is the command that installs it.
    ValueError
        If the file is not OBO, a term stands twice, a parent is no term, or links go round in a circle.
    """
    try:
        from pronto.ontology import Ontology
    except ImportError as error:
        raise ImportError('OBO files need: pip install "unseen[taxonomies]"') from error
    file = _file(path)
    _check_plain_obo(file)
    ids = Counter(re.findall(rb"^\[Term\]\s+id:\s*(\S+)", file.read_bytes(), re.MULTILINE))
    if twice := [identity.decode() for identity, count in ids.items() if count > 1]:
        raise ValueError(f"{file}: term {twice[0]!r} stands twice")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ontology = Ontology(file, import_depth=0, threads=1)
            terms = sorted((term for term in ontology.terms() if not term.obsolete), key=lambda term: term.id)
            kept = {term.id for term in terms}
            above = [sorted(t.id for t in term.superclasses(1, with_self=False)) for term in terms]
    except KeyError as error:
        raise ValueError(f"{file}: {error} is a parent and is no term") from error
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{file} cannot be read as OBO: {error}") from error
    lost = sum(parent not in kept for line in above for parent in line)
    names = [term.name or term.id for term in terms]
    synonyms = [sorted(synonym.description for synonym in term.synonyms) for term in terms]
    return build(
        [term.id for term in terms],
        [[parent for parent in line if parent in kept] for line in above],
        names,
        _phrases(names, synonyms),
        definitions=[str(term.definition or "") for term in terms],
        name=name or file.name,
        notes=(f"{lost} links to obsolete terms are left out",) if lost else (),
        credits=credits,
    )


@reads("an OWL or RDF file", "write it anew as OWL, OBO or CSV")
def owl(path: str | os.PathLike[str]) -> Taxonomy:
    """Read OWL or RDF (``.owl``, ``.rdf``, ``.xml``, ``.ttl``, ``.nt``, ``.n3``): subClassOf and SKOS broader.

    English labels are preferred to others; nodes without a name in the graph (restrictions) are passed over, as are
    deprecated ones.

    Raises
    ------
    ImportError
        If rdflib is missing; the message is the command that installs it.
    ValueError
        If the file has another ending, cannot be parsed or names no class.
    """
    try:
        from rdflib import OWL, RDF, RDFS, SKOS, Graph, URIRef
        from rdflib.util import guess_format
    except ImportError as error:
        raise ImportError('OWL and RDF files need: pip install "unseen[taxonomies]"') from error
    file = _file(path)
    graph, form = Graph(), guess_format(str(file)) or "xml"
    if form not in _FORMATS:
        raise ValueError(f"path must end in .owl, .rdf, .xml, .ttl, .nt or .n3; got {str(file)!r}")
    if form == "xml":
        check_entities(file)
    elif form == "nt":
        check_lines(file)
    try:
        graph.parse(file, format=form)
    except Exception as error:  # each of its parsers raises errors of its own
        raise ValueError(f"{file} cannot be read as RDF: {error}") from error
    above: dict[Any, list[Any]] = {}
    for kind in (OWL.Class, RDFS.Class, SKOS.Concept):
        above |= {node: [] for node in graph.subjects(RDF.type, kind) if isinstance(node, URIRef)}
    for link in map(URIRef, _ABOVE):
        for child, parent in graph.subject_objects(link):
            if isinstance(child, URIRef) and isinstance(parent, URIRef) and parent != OWL.Thing and child != parent:
                above.setdefault(child, []).append(parent)
                above.setdefault(parent, [])
    gone = {node for node, value in graph.subject_objects(OWL.deprecated) if str(value).lower() in ("true", "1")}
    nodes = sorted(set(above) - gone)
    labels = [_texts(graph, node, _LABELS) for node in nodes]
    names = [str(texts[0] if texts else node) for texts, node in zip(labels, nodes)]
    english = [[str(label) for label in texts if not _foreign(label)] for texts in labels]
    synonyms = [[*texts, *map(str, _texts(graph, node, _SYNONYMS))] for texts, node in zip(english, nodes)]
    lost = sum(len(gone.intersection(above[node])) for node in nodes)
    return build(
        [str(node) for node in nodes],
        [sorted({str(parent) for parent in above[node] if parent not in gone}) for node in nodes],
        names,
        _phrases(names, synonyms),
        definitions=[next((str(text) for text in _texts(graph, node, _DEFINITIONS)), "") for node in nodes],
        name=file.name,
        notes=(f"{lost} links to deprecated classes are left out",) if lost else (),
    )


def _texts(graph: Any, node: Any, links: Iterable[str]) -> list[Any]:
    """Values of some properties, English ones and those without a language before others."""
    from rdflib import URIRef

    values = [value for link in links for value in graph.objects(node, URIRef(link))]
    return sorted(values, key=lambda v: (_foreign(v), str(v)))


def _foreign(value: Any) -> bool:
    return bool(getattr(value, "language", None)) and not value.language.startswith("en")


def _phrases(names: list[str], synonyms: list[list[str]]) -> list[tuple[int, str]]:
    return [(i, text) for i, (name, others) in enumerate(zip(names, synonyms)) for text in (name, *others)]


def _file(path: str | os.PathLike[str]) -> Path:
    file = Path(path).expanduser()
    check_plain(file)
    if not file.is_file():
        raise FileNotFoundError(f"path: there is no file {str(file)!r}")
    return file


_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_XML = (b"<?xml", b"<!doctype", b"<rdf:")


def _check_plain_obo(file: Path) -> None:
    """Raise `ValueError` for what pronto would read as something else than OBO: a packed file, or XML."""
    with file.open("rb") as stream:
        head = stream.read(2**16)
    if head.startswith(_PACKED):
        raise ValueError(f"{file} is packed; unpack it first")
    if any(mark in head.replace(b"\0", b"").lower() for mark in _XML):
        raise ValueError(f"{file} is XML, not OBO; read it as owl:{file}")
