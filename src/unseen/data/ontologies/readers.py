"""Ontologies from files and graphs: triples in a table, RDF and OWL, networkx."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from unseen.data.loaders.common import find_column, locate
from unseen.data.ontology import Named, Ontology, build, readable
from unseen.data.reading import read_bytes
from unseen.data.xml import check_entities, check_lines
from unseen.files import reads

LABELS = ("label", "name", "preflabel", "title")
COMMENTS = ("comment", "description", "definition", "gloss", "scopenote", "iao_0000115")
"""Properties whose values are texts of the head; their names without namespace and in lower case."""
_COLUMNS = (("head", "subject", "h"), ("property", "relation", "predicate", "r"), ("tail", "object", "t"))
_FORMATS = {".ttl": "turtle", ".nt": "nt", ".n3": "n3", ".owl": "xml", ".rdf": "xml", ".xml": "xml"}
TABLES = (".tsv", ".csv", ".txt")


@reads("an ontology", "write it as a table of triples (.tsv) or as RDF (.ttl, .owl)")
def load(path: str | os.PathLike[str]) -> Ontology:
    """Read an ontology by the ending of its file: a table of triples, else RDF or OWL.

    Raises
    ------
    ValueError
        If the ending is none of these, or the file is not what it says.
    """
    suffix = PurePosixPath(os.fspath(path)).suffix.lower()
    if suffix in TABLES:
        return triples(path)
    if suffix in _FORMATS:
        return rdf(path)
    raise ValueError(f"an ontology ends in {', '.join([*TABLES, *_FORMATS])}; got {os.fspath(path)!r}")


def triples(path: str | os.PathLike[str]) -> Ontology:
    """Read a table of triples, a row each: head, property, tail.

    Rows whose property is a label or comment (`LABELS`, `COMMENTS`) are texts of the head; the label comes first.

    Parameters
    ----------
    path : path or fsspec URL
        Columns parted by tabs, or by commas in a ``.csv``, with or without a header.

    Raises
    ------
    ValueError
        If there is no triple, or a row has no three entries.
    """
    return _with_texts(read_rows(path), os.fspath(path))


def read_rows(path: str | os.PathLike[str], columns: int = 3) -> list[tuple[str, ...]]:
    """The rows of a table of texts: head, property (or relation) and tail; without the tail if `columns` is 2.

    Raises
    ------
    ValueError
        If a row has another number of entries, or an empty one.
    """
    import csv

    fs, file = locate(path)
    separator = "," if PurePosixPath(file).suffix.lower() == ".csv" else "\t"
    try:
        text = read_bytes(fs, file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be in UTF-8: {error}") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = io.StringIO(text, newline="")
    plain: Iterable[list[str]] = (
        csv.reader(lines) if separator == "," else (row.split("\t") for row in text.split("\n"))
    )
    rows = [(number, row) for number, row in enumerate(plain, 1) if any(row)]
    if not rows:
        raise ValueError(f"{file}: there is no row")
    names = rows[0][1]
    header = [find_column(names, None, "", usual) for usual in _COLUMNS[:columns]]
    first = int(all(header))
    order = [names.index(str(name)) for name in header] if first else list(range(columns))
    out = []
    for number, row in rows[first:]:
        if len(row) <= max(order) or (not first and len(row) != columns):
            expected = "head, property, tail" if columns == 3 else "head, relation"
            raise ValueError(f"{file}, row {number}: must hold {expected}; got {len(row)} entries")
        entry = tuple(row[i].strip() for i in order)
        if not all(entry):
            raise ValueError(f"{file}, row {number}: an entry is empty")
        out.append(entry)
    if not out:
        raise ValueError(f"{file}: there is no row beneath the header")
    return out


def _with_texts(rows: Iterable[tuple[str, ...]], source: str) -> Ontology:
    """Triples, with the rows that say what a concept is as its text."""
    labels: dict[str, list[str]] = {}
    comments: dict[str, list[str]] = {}
    kept: list[Named] = []
    for head, name, tail in rows:
        plain = readable(name).replace(" ", "").casefold()
        if plain in LABELS:
            labels.setdefault(head, []).append(tail)
        elif plain in COMMENTS:
            comments.setdefault(head, []).append(tail)
        else:
            kept.append((head, name, tail))
    if not kept:
        raise ValueError(f"{source}: there is no triple that relates two concepts")
    return build(kept, _joined(labels, comments))


def _joined(labels: Mapping[str, list[str]], comments: Mapping[str, list[str]]) -> dict[str, str]:
    """The first label and the comments of each head."""
    heads = dict.fromkeys((*labels, *comments))
    return {head: ". ".join([*labels.get(head, [])[:1], *comments.get(head, [])]) for head in heads}


def rdf(path: str | os.PathLike[str]) -> Ontology:
    """Read RDF or OWL (``.ttl``, ``.nt``, ``.n3``, ``.owl``, ``.rdf``, ``.xml``): every triple of two named resources.

    English labels and comments become texts. "Subclass of: some `p` of C" becomes the triple (class, p, C). Other
    values that are no resources, nameless nodes, concepts related to themselves and declarations (``a owl:Class``) are
    passed over, all but the last counted. Names are the ends of the URIs where these are unique.

    Raises
    ------
    ImportError
        If rdflib is missing; the message is the command that installs it.
    ValueError
        If the file cannot be parsed, or relates nothing.
    """
    try:
        from rdflib import OWL, RDF, RDFS, BNode, Graph, Literal, URIRef
    except ImportError as error:
        raise ImportError('RDF and OWL files need: pip install "unseen[taxonomies]"') from error
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"path: there is no file {str(file)!r}")
    form = _FORMATS.get(file.suffix.lower())
    if form is None:
        raise ValueError(f"path must end in {', '.join(_FORMATS)}; got {str(file)!r}")
    if form == "xml":
        check_entities(file)
    elif form == "nt":
        check_lines(file)
    graph = Graph()
    try:
        graph.parse(file, format=form)
    except Exception as error:  # each of its parsers raises errors of its own
        raise ValueError(f"{file} cannot be read as RDF: {error}") from error
    kept: list[tuple[Any, Any, Any]] = []
    texts: dict[str, dict[str, list[Any]]] = {"label": {}, "comment": {}}
    lost: Counter[str] = Counter()
    for s, p, o in sorted(graph):
        plain = readable(str(p)).replace(" ", "").casefold()
        kind = "label" if plain in LABELS else "comment" if plain in COMMENTS else ""
        if isinstance(s, BNode) or (isinstance(o, URIRef) and str(o).startswith((str(OWL), str(RDFS), str(RDF)))):
            continue
        if s == o:
            lost["relations of a concept to itself"] += 1
        elif isinstance(o, Literal) and kind:
            texts[kind].setdefault(s, []).append(o)
        elif isinstance(o, Literal):
            lost["values that are no concepts"] += 1
        elif isinstance(o, URIRef):
            kept.append((s, p, o))
        elif restriction := _restriction(graph, o):
            kept.append((s, *restriction))
        else:
            lost["nameless nodes"] += 1
    if not kept:
        raise ValueError(f"{file}: there is no triple that relates two concepts")
    short = _short(dict.fromkeys(str(end) for s, _, o in kept for end in (s, o)))
    verbs = _short(dict.fromkeys(str(p) for _, p, _ in kept))
    rows = [(short[str(s)], verbs[str(p)], short[str(o)]) for s, p, o in kept]
    named = {kind: {short[str(s)]: _english(v) for s, v in of.items() if str(s) in short} for kind, of in texts.items()}
    notes = tuple(f"{count} {what} are passed over" for what, count in sorted(lost.items()))
    return build(rows, _joined(named["label"], named["comment"]), notes=notes)


def _restriction(graph: Any, node: Any) -> tuple[Any, Any] | None:
    """Property and filler of "some p of C" or "p is C"."""
    from rdflib import OWL, URIRef

    on = graph.value(node, OWL.onProperty)
    filler = graph.value(node, OWL.someValuesFrom) or graph.value(node, OWL.hasValue)
    return (on, filler) if isinstance(on, URIRef) and isinstance(filler, URIRef) else None


def _short(uris: Iterable[str]) -> dict[str, str]:
    """The part of each URI behind the last # or /, where no other ends alike."""
    ends = {uri: uri.rstrip("#/").replace("#", "/").rpartition("/")[2] or uri for uri in uris}
    count = Counter(ends.values())
    return {uri: end if count[end] == 1 else uri for uri, end in ends.items()}


def _english(values: list[Any]) -> list[str]:
    """English values and those without a language, if there are some; the others else."""
    english = [v for v in values if not getattr(v, "language", None) or v.language.startswith("en")]
    return sorted(str(v) for v in english or values)


def from_graph(graph: Any) -> Ontology:
    """A networkx graph: nodes are concepts, edges triples.

    The property of an edge is its attribute ``property``, ``relation`` or ``label``, else its key in a multigraph that
    is a string, else ``relatedTo``; the text of a node its attribute ``text``, ``description`` or ``label``.

    Raises
    ------
    TypeError
        If it is no networkx graph.
    ValueError
        If a node is joined to itself.
    """
    import networkx as nx

    from unseen.data.ontologies.builders import RELATED

    if not isinstance(graph, nx.Graph):
        raise TypeError(f"graph must be a networkx graph; got {type(graph).__name__}")
    rows = []
    kind = nx.MultiDiGraph if graph.is_directed() else nx.MultiGraph
    for head, tail, key, data in kind(graph).edges(keys=True, data=True):
        name = next((data[k] for k in ("property", "relation", "label") if data.get(k)), None)
        rows.append((str(head), str(name or (key if isinstance(key, str) else RELATED)), str(tail)))
    texts = {}
    for node, data in graph.nodes(data=True):
        text = next((str(data[k]) for k in ("text", "description", "label") if data.get(k)), None)
        texts[str(node)] = readable(str(node)) if text is None else text
    return build(rows, texts, concepts=texts)
