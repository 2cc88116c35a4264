"""Text-attributed graphs from files: two tables, arrays, or what torch-geometric saves; nothing is unpickled freely."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.labels import encode_labels
from unseen.data.loaders.common import EDGE_COLUMNS, ID_COLUMNS, LABEL_COLUMNS, TEXT_COLUMNS, find_column, locate
from unseen.data.loaders.table import TABLE_SUFFIXES, as_texts, read_frame
from unseen.data.reading import Shapes, check_member, check_unpacked, read_npz
from unseen.data.tasks.base import text_array
from unseen.data.text_graphs import TextAttributedGraph
from unseen.files import reads, sentence

if TYPE_CHECKING:
    import pandas as pd

NAME_COLUMNS = (*ID_COLUMNS, "node", "key")
TITLE_COLUMNS = ("title",)
NODE_TEXTS = (*TEXT_COLUMNS, "description", "abstract", "summary")
TEXTS = ("x_text", "texts", "text", "raw_texts", "raw_text")
NAMES, CLASSES = ("names", "node_names", "title", "titles"), ("class_names", "label_names", "category_names")
LABELS = ("y", "labels")
"""What arrays and attributes are called in files."""
LARGEST = 2**31
"""Bytes of a file with a graph."""
SEVERAL_KINDS = (
    "it holds several kinds of nodes (HeteroData), of which one is read; save that kind, such as torch.save({'x_text': "
    "data['paper'].x_text, 'edge_index': data['paper', 'cites', 'paper'].edge_index}, 'papers.pt')"
)
MOST_CLASSES = 100_000
"""Classes that are called by their numbers."""


@reads("a graph with texts", "give a table of nodes with a table of edges, an .npz, or a .pt of torch-geometric")
def read_graph(
    path: str | os.PathLike[str], edges: str | os.PathLike[str] | None = None, *,
    classes: ClassSpace | Sequence[str] | None = None,
) -> TextAttributedGraph:  # fmt: skip
    """A graph from a file, or from a table of nodes and one of edges.

    Parameters
    ----------
    path : path
        A table (.csv, .tsv, .jsonl, .parquet) with a column of texts (``text``, ``description``, ...), and perhaps
        ``id``, ``title`` and ``label``; an .npz with ``x_text`` (n strings), ``edge_index`` (2, m), perhaps ``names``,
        ``y`` and ``class_names``; or a .pt of a `torch_geometric.data.Data`, or of its `to_dict()`, with the same
        names, that is read as data alone (``weights_only``).
    edges : path, optional
        For a table of nodes: a table whose columns ``source`` and ``target`` hold ids of nodes.
    classes : ClassSpace or names, optional
        The classes of the labels; those that occur, sorted, if absent.

    Raises
    ------
    ValueError
        With the row or the name, if something is missing, or an edge names a node that is not there.
    ImportError
        If a .pt holds a `Data` and torch-geometric is not installed.
    """
    suffix = PurePosixPath(os.fspath(path)).suffix.lower()
    if suffix in TABLE_SUFFIXES:
        if edges is None:
            raise ValueError("edges is needed beside a table of nodes: a table with the columns source and target")
        return _of_tables(os.fspath(path), os.fspath(edges), classes)
    if edges is not None:
        raise ValueError(f"edges go with a table of nodes; {os.fspath(path)} has its own")
    if suffix not in (".npz", ".pt"):
        raise ValueError(
            f"a graph must end in .npz, .pt, {', '.join(sorted(TABLE_SUFFIXES))}; got {suffix or 'no ending'}"
        )
    if Path(path).stat().st_size > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    arrays = _of_npz(Path(path)) if suffix == ".npz" else _of_pt(Path(path))
    return _of_arrays(arrays, Path(path).stem, classes)


# -- tables ------------------------------------------------------------------------------------------------


def _of_tables(nodes: str, edges: str, classes: Any) -> TextAttributedGraph:
    fs, file = locate(nodes)
    frame = read_frame(fs, file, [*NAME_COLUMNS, *TITLE_COLUMNS, *NODE_TEXTS])
    headers = list(frame.columns)
    if not len(frame):
        raise ValueError("the table has no rows")
    text = find_column(headers, None, "text", NODE_TEXTS)
    title = find_column(headers, None, "title", TITLE_COLUMNS)
    name = find_column(headers, None, "id", NAME_COLUMNS)
    label = find_column(headers, None, "label", LABEL_COLUMNS)
    if text is None and title is None:
        raise ValueError(f"there is no column text. The columns are: {', '.join(headers)}")
    parts = [as_texts(frame[column]).tolist() for column in dict.fromkeys((title, text)) if column is not None]
    texts = [": ".join(filter(None, (part.strip() for part in row))) for row in zip(*parts)]
    names = as_texts(frame[name]).tolist() if name else [str(i) for i in range(len(frame))]
    if len(set(names)) < len(names):
        first = {node_id: i for i, node_id in reversed([*enumerate(names)])}
        row = next(i for i, node_id in enumerate(names) if first[node_id] < i)
        raise ValueError(f"row {row + 1}: the id {names[row]!r} repeats")
    y, space = encode_labels(frame[label], classes) if label else (None, None)
    return TextAttributedGraph(
        texts=text_array(texts), names=np.array(names, dtype=np.str_), edges=_edges(edges, names),
        labels=y, classes=space, name=PurePosixPath(file).stem,
    )  # fmt: skip


@reads("a table of pairs of nodes", "write the ids of two nodes in each line, in the columns source and target")
def read_links(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Pairs of ids of nodes: a table with two of `EDGE_COLUMNS`, or of two columns without a header.

    Raises
    ------
    ValueError
        If there is no such column and a row has not two entries.
    """
    from unseen.data.ontologies import read_rows

    try:
        return _pairs(path)
    except ValueError:
        if PurePosixPath(os.fspath(path)).suffix.lower() in (".parquet", ".jsonl"):
            raise
    rows = [(a, b) for a, b in read_rows(path, columns=2)]
    return rows[1:] if (rows[0][0].casefold(), rows[0][1].casefold()) in EDGE_COLUMNS else rows


def _pairs(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    fs, file = locate(path)
    frame = read_frame(fs, file, [end for pair in EDGE_COLUMNS for end in pair])
    a, b = (as_texts(frame[column]).tolist() for column in _ends(frame))
    return [*zip(a, b)]


@reads("a table of edges", "write the ids of two nodes in each line, in the columns source and target")
def _edges(path: str, names: Sequence[str]) -> Any:
    pairs = _pairs(path)
    place = {name: i for i, name in enumerate(names)}
    out = np.empty((len(pairs), 2), dtype=np.int64)
    for row, ends in enumerate(pairs):
        for side, end in enumerate(ends):
            if end not in place:
                raise ValueError(f"row {row + 1}: {end!r} is the id of no node; there are {len(place)}")
            out[row, side] = place[end]
    return out


def _ends(frame: pd.DataFrame) -> tuple[str, str]:
    headers = {str(column).casefold(): column for column in frame.columns}
    for a, b in EDGE_COLUMNS:
        if a in headers and b in headers:
            return headers[a], headers[b]
    raise ValueError(f"there are no columns source and target. The columns are: {', '.join(map(str, frame.columns))}")


# -- arrays ------------------------------------------------------------------------------------------------


def _of_npz(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return read_npz(file, _needed)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"it is no .npz: {sentence(error)}") from error


def _needed(shapes: Shapes) -> list[str]:
    """What a graph is made of, of the arrays of a file."""
    _check_names(shapes, _first(shapes, TEXTS))
    return [name for name in shapes if name in (*TEXTS, *NAMES, *CLASSES, *LABELS, "edge_index")]


def _check_names(content: Mapping[str, Any], texts: Any) -> None:
    if texts is None or "edge_index" not in content:
        held = ", ".join(sorted(content)) or "nothing"
        raise ValueError(f"it must hold x_text (or raw_texts), a text of each node, and edge_index; it holds {held}")


def _of_pt(path: Path) -> dict[str, Any]:
    """What a .pt holds, read as data alone: tensors, numbers, texts, lists and torch-geometric's own containers."""
    _check_packed(path)
    import torch

    try:
        from torch_geometric.data import data as geometric
        from torch_geometric.data import storage
    except ImportError:
        geometric = storage = None
    known = [getattr(geometric, name, None) for name in ("Data", "DataEdgeAttr", "DataTensorAttr")]
    known.append(getattr(storage, "GlobalStorage", None))
    try:
        with torch.serialization.safe_globals([part for part in known if part is not None]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what the restricted reader refuses, and what is damaged
        if geometric is None and "torch_geometric" in str(error):
            raise ImportError('a saved Data needs: pip install "unseen[graphs]"') from error
        if _names_hetero_data(path):
            raise ValueError(SEVERAL_KINDS) from error
        raise ValueError(
            "it holds more than data, which is not read; save `data.to_dict()` with torch.save, with tensors and lists "
            "of texts"
        ) from error
    if isinstance(content, (list, tuple)) and len(content) and not isinstance(content, Mapping):
        content = content[0]  # (data, slices), as an in-memory data set saves itself
    if hasattr(content, "to_dict"):
        content = content.to_dict()
    if not isinstance(content, Mapping):
        raise ValueError(f"it must hold a Data or a mapping of names; got {type(content).__name__}")
    if any(isinstance(key, tuple) for key in content):  # of the types of edges
        raise ValueError(SEVERAL_KINDS)
    return {str(key): value for key, value in content.items()}


def _names_hetero_data(path: Path) -> bool:
    """Whether a .pt that is not read names torch-geometric's graph of several kinds; nothing of it is made."""
    import torch

    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a damaged file is told as such
        return False
    return any(name.endswith((".HeteroData", ".NodeStorage")) for name in names)


def _check_packed(path: Path) -> None:
    """Raise `ValueError` if a .pt is no archive, as torch writes it since 1.6, or unpacks to many times its size."""
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "it is no archive as torch.save writes it; read it with torch where it is trusted, and save it anew"
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for info in members:
        check_member(info)
    check_unpacked(sum(info.file_size for info in members), path.stat().st_size)


def _of_arrays(arrays: Mapping[str, Any], name: str, classes: Any) -> TextAttributedGraph:
    texts, names = _first(arrays, TEXTS), _first(arrays, NAMES)
    _check_names(arrays, texts)
    index = np.asarray(arrays["edge_index"])
    if index.ndim != 2 or (index.shape[0] != 2 and index.size):
        raise ValueError(f"edge_index must be of shape (2, m); got {index.shape}")
    y = next((arrays[key] for key in LABELS if key in arrays), None)
    labels = None if y is None else np.asarray(y).reshape(-1)
    class_names = _first(arrays, CLASSES) if classes is None else getattr(classes, "names", classes)
    space: ClassSpace | None = None
    if labels is not None:
        if labels.dtype.kind not in "iu":
            raise ValueError(f"y must be integers; got {labels.dtype}")
        if class_names is None and labels.max(initial=0) >= MOST_CLASSES:
            raise ValueError(f"y must number classes from 0 on, at most {MOST_CLASSES:,}; got {labels.max()}")
        known = (
            list(class_names) if class_names is not None else [str(i) for i in range(int(labels.max(initial=0)) + 1)]
        )
        space = classes if isinstance(classes, ClassSpace) else ClassSpace(names=tuple(map(str, known)))
    return TextAttributedGraph(
        texts=text_array(texts),
        names=np.array([str(node) for node in (range(len(texts)) if names is None else names)], dtype=np.str_),
        edges=index.T if index.size else np.empty((0, 2), dtype=np.int64), labels=labels, classes=space, name=name,
    )  # fmt: skip


def _first(arrays: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((arrays[name] for name in names if arrays.get(name) is not None), None)
