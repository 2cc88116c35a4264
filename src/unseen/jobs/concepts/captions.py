"""Captions, concepts and tags as people have them: texts, tables, collections."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import functools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from unseen.curation.captions import read_captions, without_captions
from unseen.curation.collection import Collection
from unseen.curation.samples import pictures_of
from unseen.data.delimited import SAMPLE, Form, form_of, plain_cell, read_delimited
from unseen.data.reading import read_parquet
from unseen.data.spans import opened, spans, text_lines
from unseen.files import check_plain, is_hidden, read_plain, reads, walk
from unseen.methods.curation.concept_frequency import TagTable, lemmas_of
from unseen.methods.curation.concept_frequency.shares import EACH, Span, evenly, within_span, without_words

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

TEXTS = ("caption", "text", "captions", "title", "alt", "TEXT", "Caption")
KEYS = ("file", "image", "filename", "path", "key", "uid", "id", "url")
NAMES = ("concept", "name", "class", "label", "classname")
SCORES = ("accuracy", "score", "recall", "recall@1")
BATCH, BYTES = 131_072, 1 << 24
"""Captions, and bytes of a table, that are read at once."""
LOOK = 1 << 20
"""Bytes at the beginning of a text that are looked at for letters of another encoding."""


@dataclasses.dataclass(frozen=True)
class Captions:
    """Where captions are, read a piece at a time, by one process or in shares by several.

    Parameters
    ----------
    path : path
        A text (a caption a line), a table (.csv, .tsv, .parquet, .jsonl), a collection of `unseen curate`, or a folder
        of pictures with captions (`unseen.curation.captions`).
    column : str, optional
        Of a table; found by its usual names if absent.

    Attributes
    ----------
    bad : list of str
        Rows that were skipped when the captions were read last, and why: too few or too many cells, no JSON.
    empty : list of int
        Captions of each piece that was read last which say nothing; they are read, as pictures may stand beside them.

    Raises
    ------
    FileNotFoundError, ValueError
        If nothing is there, or it is none of these.
    """

    path: Path
    column: str | None = None
    bad: list[str] = dataclasses.field(default_factory=list, compare=False)
    empty: list[int] = dataclasses.field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise FileNotFoundError(f"CAPTIONS must be a file or a collection; there is no {self.path}")
        check_plain(self.path)
        if self.path.is_file() and self.path.suffix not in (".txt", ".csv", ".tsv", ".parquet", ".jsonl"):
            raise ValueError(f"CAPTIONS must end in .txt, .csv, .tsv, .parquet or .jsonl; got {self.path.name!r}")
        if self.path.is_file() and self.path.suffix != ".parquet":
            _look_at_letters(self.path)
        object.__setattr__(self, "path", self.path.absolute())  # other processes may work elsewhere

    @property
    def collection(self) -> Collection | None:
        """The collection, if it is one."""
        return Collection.open(self.path) if (self.path / "collection.json").is_file() else None

    @functools.cached_property
    def beside(self) -> list[tuple[str, str]]:
        """Pictures of a folder and their captions; nothing of anything else."""
        if not self.path.is_dir() or (self.path / "collection.json").is_file():
            return []
        files = walk(self.path, ignore=is_hidden).files
        names = pictures_of(files)
        notes: list[str] = []
        texts = read_captions(self.path, names, files, notes.append)
        captions = [(name, texts[name].strip()) for name in names if texts.get(name, "").strip()]
        if not captions:
            raise ValueError(without_captions(f"CAPTIONS {self.path.name!r}", len(names), notes))
        for line in notes:
            log.warning("%s: %s", self.path.name, line)
        return captions

    def __iter__(self) -> Iterator[pa.Array]:
        """The texts, in pieces of any length; rows that cannot be read are skipped and told in `bad`."""
        self.bad.clear()
        self.empty.clear()
        yield from self.read()

    def shares(self, processes: int) -> Iterator[Span]:
        """Spans that follow each other: bytes of a text, rows of Parquet, shards of a collection.

        Rows of Parquet are read from the start of their row group: with fewer row groups than shares there is one share
        per process.
        """
        self._name(self.column, TEXTS, "caption")  # a mistake is told once, and here
        k = EACH * processes
        if self.beside:
            yield from evenly(len(self.beside), k)
        elif (collection := self.collection) is not None:
            yield from evenly(len(collection.shards), k)
        elif self.path.suffix == ".parquet":
            ends = self._group_ends
            if len(ends) - 1 < k:
                yield from evenly(ends[-1], processes)
            else:
                yield from ((ends[i], ends[j]) for i, j in evenly(len(ends) - 1, k))
        else:
            yield from spans(self.path, k, quoted=self.path.suffix == ".csv", separator=self._separator.encode())

    def read(self, share: Span | None = None) -> Iterator[pa.Array]:
        """As iterating does, of one of the `shares`; `bad` and `empty` go on."""
        for piece in self._column(self._name(self.column, TEXTS, "caption"), share, self.bad):
            self.empty.append(without_words(piece))
            yield piece

    def keys(self) -> list[str] | None:
        """What names the picture of each caption: a column such as file, image, key or uid; None of a plain text."""
        if self.beside:
            return [name for name, _ in self.beside]
        if self.path.suffix == ".txt":
            return None
        try:
            name = self._name(None, KEYS, "picture")
        except NoColumnError:
            return None
        return [str(value) for piece in self._column(name, None, []) for value in piece.to_pylist()]

    def _name(self, wanted: str | None, usual: Sequence[str], what: str) -> str:
        """The column's name; nothing of what has no columns."""
        kind = self.path.suffix
        if self.beside:
            if wanted is not None:
                raise ValueError(f"column is for a table of captions; {self.path.name} is a folder of pictures")
            return ""
        if (collection := self.collection) is not None:
            have = list(collection.table(None).schema.names) if wanted else ["text", "uid"]
        elif kind == ".txt" or (kind == ".jsonl" and (wanted is not None or not self._header)):
            return wanted or ""
        else:
            have = self._header
        return _chosen(have, wanted, usual, what, self.path)

    @functools.cached_property
    def _header(self) -> list[str]:
        """Columns of a table; of lines of JSON the keys of the first object, if there is one."""
        if self.path.suffix == ".parquet":
            return list(pq.read_schema(self.path).names)
        if self.path.suffix == ".jsonl":
            return next((list(row) for line in text_lines(self.path) if isinstance(row := _json(line), dict)), [])
        try:
            return self._csv_names(1 << 16)
        except pa.ArrowInvalid:
            return self._csv_names(BYTES)

    @functools.cached_property
    def _separator(self) -> str:
        return _form(self.path).separator

    def _csv_names(self, size: int) -> list[str]:
        """From the first bytes, which must hold a row."""
        with self._csv(None, None, [], size) as stream:
            return list(stream.schema.names)

    @functools.cached_property
    def _group_ends(self) -> list[int]:
        """The first row of every row group, and the number of rows."""
        metadata = pq.read_metadata(self.path)
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        return [0, *np.cumsum(sizes, dtype=np.int64).tolist()]

    def _column(self, name: str, share: Span | None, bad: list[str]) -> Iterator[pa.Array]:
        if self.beside:
            yield from _pieces(text for _, text in self.beside[slice(*share or (None,))])
        elif (collection := self.collection) is not None:
            for shard in collection.shards[slice(*share or (None,))]:
                yield from shard.table([name])[name].cast(pa.string()).chunks
        elif self.path.suffix == ".txt":
            yield from _pieces(line.rstrip("\n") for line in text_lines(self.path, share))
        elif self.path.suffix == ".parquet":
            yield from self._rows(name, share)
        elif self.path.suffix == ".jsonl":
            yield from _pieces(self._values(name, share, bad))
        else:
            with self._csv(name, share, bad, BYTES) as stream:
                for batch in stream:
                    yield _decoded(batch.column(0))

    def _rows(self, name: str, share: Span | None) -> Iterator[pa.Array]:
        ends = self._group_ends
        start, stop = share or (0, ends[-1])
        groups = [i for i, (a, b) in enumerate(zip(ends, ends[1:])) if a < stop and b > start]
        if not groups:
            return
        with pq.ParquetFile(self.path) as file:
            batches = file.iter_batches(BATCH, row_groups=groups, columns=[name], use_threads=False)
            texts = (batch.column(0).cast(pa.string()) for batch in batches)
            yield from within_span(texts, (start, stop), ends[groups[0]])

    def _csv(self, name: str | None, share: Span | None, bad: list[str], size: int) -> pc.CSVStreamingReader:
        """A stream of one column as bytes, or of all."""

        def skip(row: Any) -> str:
            bad.append(
                f"a row of {row.actual_columns} cells in place of {row.expected_columns}: {(row.text or '')[:60]!r}"
            )
            return "skip"

        tabs = self.path.suffix == ".tsv"  # where quotes are letters, as IANA's text/tab-separated-values has it
        parse = pc.ParseOptions(
            delimiter=self._separator, quote_char=False if tabs else '"', newlines_in_values=not tabs,
            invalid_row_handler=skip,
        )  # fmt: skip
        names = self._header if share is not None and share[0] > 0 else None
        read = pc.ReadOptions(use_threads=False, block_size=size, column_names=names)
        only = None
        if name is not None:
            only = pc.ConvertOptions(
                include_columns=[name], column_types={name: pa.binary()}, strings_can_be_null=False
            )
        file = opened(self.path, share)
        return pc.open_csv(file, read_options=read, parse_options=parse, convert_options=only)

    def _values(self, name: str, share: Span | None, bad: list[str]) -> Iterator[str | None]:
        """Of lines of JSON, in which nothing but an object counts."""
        first = None
        for number, line in enumerate(text_lines(self.path, share)):
            row = _json(line)
            if isinstance(row, dict):
                value = row.get(name)
                yield None if value is None else str(value)
                continue
            if first is None:
                first = 1 + (sum(1 for _ in text_lines(self.path, (0, share[0]))) if share else 0)
            why = f"no JSON: {row}" if isinstance(row, ValueError) else f"no object but {type(row).__name__}"
            bad.append(f"line {first + number} is {why}")


class NoColumnError(ValueError):
    """A table lacks a column."""


def _look_at_letters(path: Path) -> None:
    """Warn of a file that does not begin as UTF-8, whose letters are lost; `ValueError` for UTF-16."""
    with path.open("rb") as file:
        content = file.read(LOOK)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"CAPTIONS must be UTF-8 text; {path.name} is UTF-16: save it as UTF-8")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, final=len(content) < LOOK)
    except UnicodeDecodeError as error:
        log.warning(
            "%s is not UTF-8 at byte %d: such letters are lost, and so are the words that they stand in; save it as "
            "UTF-8", path.name, error.start,
        )  # fmt: skip


def _decoded(column: pa.Array) -> pa.Array:
    """Bytes as text; what is no UTF-8 is replaced."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if v is None else v.decode("utf-8", "replace") for v in column.to_pylist()], pa.string())


def _chosen(have: Sequence[str], wanted: str | None, usual: Sequence[str], what: str, where: Path) -> str:
    if wanted is not None:
        if wanted not in have:
            raise NoColumnError(f"{where.name}: there is no column {wanted!r}; there are {', '.join(have)}")
        return wanted
    for name in usual:
        if name in have:
            return name
    raise NoColumnError(
        f"{where.name}: which column is the {what}? None is called {', '.join(usual)}; there are {', '.join(have)}"
    )


def _json(line: str) -> Any:
    """What a line says, or why it says nothing."""
    try:
        return json.loads(line)
    except ValueError as error:
        return error


def _pieces(texts: Iterable[str | None]) -> Iterator[pa.Array]:
    rest = iter(texts)
    while piece := list(islice(rest, BATCH)):
        yield pa.array(piece, pa.string())


# -- concepts ----------------------------------------------------------------------------------------------


@reads("a list of concepts", "write a concept in each line, or a CSV with the column concept")
def read_concepts(path: str | os.PathLike[str], score: str | None = None) -> pd.DataFrame:
    """Concepts and what is known of them: columns concept, score, model, prompts; a row per concept and model.

    Parameters
    ----------
    path : path
        A text (a concept a line), a table (.csv, .tsv, .parquet) with a column concept (or name, class, label), and
        perhaps a score, `model` and `prompts` (the style of prompts), or the names themselves: ``cat,dog``.
    score : str, optional
        Column with the score: accuracy, recall, CLIP score, ...; accuracy, score or recall if absent.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is none of these, holds no concept, or one twice with other scores and nothing that tells them apart.
    """
    import pandas as pd

    path = Path(path)
    names = [name.strip() for name in os.fspath(path).split(",") if name.strip()]
    if not path.is_file() and (len(names) > 1 or names == [path.stem]):
        table = pd.DataFrame({"concept": names})
    elif not path.is_file():
        raise FileNotFoundError(f"concepts must be a file, or names such as cat,dog; there is no {path}")
    elif path.suffix == ".txt":
        lines = read_plain(path).splitlines()
        table = pd.DataFrame({"concept": [line.strip() for line in lines if line.strip()]})
    elif path.suffix in (".csv", ".tsv", ".parquet"):
        table = read_texts(path)
    else:
        raise ValueError(f"concepts must end in .txt, .csv, .tsv or .parquet; got {path.name!r}")
    have = [str(name) for name in table.columns]
    out = pd.DataFrame({"concept": table[_chosen(have, None, NAMES, "concept", path)].astype(str).str.strip()})
    named = next((x for x in SCORES if x in have), None) if score is None else _chosen(have, score, (), "score", path)
    out["score"] = np.nan if named is None else _numbers(table[named], path)
    for name in ("model", "prompts"):
        out[name] = table[name].astype(str) if name in have else ""
    out = out[out.concept != ""].reset_index(drop=True)
    if not len(out):
        raise ValueError(f"concepts must hold at least one concept; {path.name} holds none")
    if np.isinf(out.score).any():
        raise ValueError(f"{path.name}: {named} must be finite, or empty where it is not known")
    out = out.drop_duplicates(ignore_index=True)
    same = ["concept", "model", "prompts"]
    twice = out[out.duplicated(same, keep=False)]
    if len(twice):
        name, rows = twice.concept.iloc[0], (twice[same] == twice[same].iloc[0]).all(axis=1)
        scores = " and ".join("none" if np.isnan(value) else f"{value:g}" for value in twice.score[rows])
        raise ValueError(
            f"{path.name}: {name!r} stands there twice, with {named} {scores}; remove one, or tell them apart by a "
            "column model or prompts"
        )
    out.attrs["score"] = named or ""
    return out


# -- tags --------------------------------------------------------------------------------------------------


def _form(path: Path) -> Form:
    """How a table is written: quotes are letters where cells stand between tabs."""
    with path.open("rb") as file:
        return form_of(file.read(SAMPLE), path.suffix, quoting=_quoting(path))


def _quoting(path: Path) -> int:
    return csv.QUOTE_NONE if path.suffix == ".tsv" else csv.QUOTE_MINIMAL


@reads("a table of texts", "write it anew as CSV")
def read_texts(path: Path) -> pd.DataFrame:
    """A table whose cells are text as it stands there: "0001" keeps its zeros, "NA" and "null" are words."""
    with path.open("rb") as file:
        if path.suffix == ".parquet":
            return read_parquet(file).to_pandas()
        return read_delimited(file, path.suffix, quoting=_quoting(path), dtype=str, keep_default_na=False)


def _numbers(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """A column as numbers, NaN where it is empty; `ValueError` names file, column and value."""
    import pandas as pd

    stripped = column.map(lambda v: v.strip() if isinstance(v, str) else v).replace("", np.nan)
    if path.suffix in (".csv", ".tsv") and _form(path).decimal == ",":
        stripped = stripped.map(lambda v: plain_cell(v) if isinstance(v, str) else v)
    numbers = pd.to_numeric(stripped, errors="coerce").astype(float)
    wrong = numbers.isna() & stripped.notna() & (stripped.astype(str).str.lower() != "nan")
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{path.name}: {column.name} must hold numbers; row {row + 1} says {column.iloc[row]!r}")
    return numbers


@reads("a table of tags", "write a CSV with the columns sample and concept")
def read_tags(
    path: str | os.PathLike[str], concepts: Sequence[str], keys: list[str] | None, n: int, lemmas: str = "rules"
) -> tuple[TagTable, int]:
    """Tags by any tagger: a table (.csv, .tsv, .parquet) of sample, concept and perhaps probability.

    Parameters
    ----------
    path : path
        `sample` is a row of the captions, from 0, or what their column of keys says.
    concepts : sequence of C str
        A tag is one of them if its lemmas are.
    keys : list of n str or None
    n : int
        Captions.
    lemmas : {"rules", "simplemma", "spacy", "none"}

    Returns
    -------
    The tags, and how many rows were left out because they name none of the concepts.
    """
    path = Path(path)
    if not path.is_file() or path.suffix not in (".csv", ".tsv", ".parquet"):
        raise ValueError(f"tags must be a table that ends in .csv, .tsv or .parquet; got {str(path)!r}")
    table = read_texts(path)
    if missing := [name for name in ("sample", "concept") if name not in table]:
        raise ValueError(
            f"{path.name}: `tags` needs the columns sample and concept, perhaps probability; {missing[0]} is missing"
        )
    number: dict[tuple[str, ...], int] = {}
    for i, concept in enumerate(concepts):
        number.setdefault(lemmas_of(concept, lemmas), i)
    spelt = {tag: number.get(lemmas_of(str(tag), lemmas), -1) for tag in table.concept.unique()}
    columns = table.concept.map(spelt).to_numpy(dtype=np.int64)
    kept = columns >= 0
    rows = places_of(table["sample"][kept].tolist(), keys, n, "tags")
    values = _numbers(table.probability, path).to_numpy(float)[kept] if "probability" in table else np.ones(kept.sum())
    if len(values) and not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{path.name}: probability must lie in [0, 1] everywhere")
    return TagTable(tuple(concepts), n, rows, columns[kept], values.astype(np.float32)), int((~kept).sum())


class Places:
    """Where a name is among others: exactly, else by its last part, else by that without its ending.

    A way by which a name could be several is refused.
    """

    def __init__(self, names: Sequence[str], what: str) -> None:
        self.what = what
        self.ways: list[tuple[Callable[[str], str], dict[str, int], set[str]]] = []
        for way in (str, lambda name: Path(name).name, lambda name: Path(name).stem):
            place: dict[str, int] = {}
            doubtful: set[str] = set()
            for i, name in enumerate(names):
                if place.setdefault(way(name), i) != i:
                    doubtful.add(way(name))
            self.ways.append((way, place, doubtful))

    def find(self, name: str) -> int | None:
        """Position of a name; None if it is not there, `ValueError` if it could be several."""
        for way, place, doubtful in self.ways:
            if (key := way(name)) in doubtful:
                raise ValueError(f"{name!r} names several of {self.what}; give names that differ, folders included")
            if key in place:
                return place[key]
        return None


def places_of(samples: Sequence[Any], keys: list[str] | None, n: int, what: str) -> np.ndarray[Any, Any]:
    """Rows of captions by key, else by number; `ValueError` names one that is not there, or is several."""
    named = [str(sample) for sample in samples]
    if keys is not None:
        known = Places(keys, "the captions' keys")
        place = {name: known.find(name) for name in dict.fromkeys(named)}
        if not (lost := next((name for name, i in place.items() if i is None), None)):
            return np.array([place[name] for name in named], dtype=np.int64)
        if any(i is not None for i in place.values()) or not all(name.isdigit() for name in named):
            raise ValueError(f"{what} names the sample {lost!r}, which no caption has as its key")
    try:
        rows = np.array([int(name) for name in named], dtype=np.int64)
    except ValueError as error:
        raise ValueError(f"samples of {what} must be rows of the captions, or their keys: {error}") from error
    if len(rows) and not (rows.min() >= 0 and rows.max() < n):
        raise ValueError(f"samples of {what} must be rows from 0 to {n - 1}; got {rows.min()} to {rows.max()}")
    return rows
