"""Captions, concepts and tags as people have them: texts, tables, collections."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from unseen.curation.collection import Collection
from unseen.methods.curation.concept_frequency import TagTable

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("caption", "text", "captions", "title", "alt", "TEXT", "Caption")
KEYS = ("file", "image", "filename", "path", "key", "uid", "id", "url")
NAMES = ("concept", "name", "class", "label", "classname")
SCORES = ("accuracy", "score", "recall", "recall@1")
BATCH = 131_072


@dataclasses.dataclass(frozen=True)
class Captions:
    """Where captions are, read a piece at a time.

    Parameters
    ----------
    path : path
        A text (a caption a line), a table (.csv, .tsv, .parquet, .jsonl), or a collection of `unseen curate`.
    column : str, optional
        Of a table; found by its usual names if absent.

    Raises
    ------
    FileNotFoundError, ValueError
        If nothing is there, or it is none of these.
    """

    path: Path
    column: str | None = None

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise FileNotFoundError(f"CAPTIONS must be a file or a collection; there is no {self.path}")
        if self.path.is_file() and self.path.suffix not in (".txt", ".csv", ".tsv", ".parquet", ".jsonl"):
            raise ValueError(f"CAPTIONS must end in .txt, .csv, .tsv, .parquet or .jsonl; got {self.path.name!r}")

    @property
    def collection(self) -> Collection | None:
        """The collection, if it is one."""
        return Collection.open(self.path) if self.path.is_dir() else None

    def __iter__(self) -> Iterator[pa.Array]:
        """The texts, in pieces of any length."""
        yield from self._column(self.column, TEXTS, "caption")

    def keys(self) -> list[str] | None:
        """What names the picture of each caption: a column such as file, image, key or uid; None of a plain text."""
        if self.path.suffix == ".txt":
            return None
        try:
            pieces = list(self._column(None, KEYS, "picture"))
        except ValueError:
            return None
        return [str(value) for piece in pieces for value in piece.to_pylist()]

    def _column(self, wanted: str | None, usual: Sequence[str], what: str) -> Iterator[pa.Array]:
        if (collection := self.collection) is not None:
            name = _chosen(
                list(collection.table(None).schema.names) if wanted else ["text", "uid"], wanted, usual, what
            )
            for shard in collection.shards:
                yield from shard.table([name])[name].cast(pa.string()).chunks
        elif self.path.suffix == ".txt":
            yield from _lines(self.path)
        elif self.path.suffix == ".parquet":
            import pyarrow.parquet as pq

            file = pq.ParquetFile(self.path)
            name = _chosen(file.schema_arrow.names, wanted, usual, what)
            for batch in file.iter_batches(BATCH, columns=[name]):
                yield batch.column(0).cast(pa.string())
        elif self.path.suffix == ".jsonl":
            yield from _json_lines(self.path, wanted, usual, what)
        else:
            yield from self._csv(wanted, usual, what)

    def _csv(self, wanted: str | None, usual: Sequence[str], what: str) -> Iterator[pa.Array]:
        import pyarrow.csv as pc

        parse = pc.ParseOptions(delimiter="\t" if self.path.suffix == ".tsv" else ",", newlines_in_values=True)
        read = pc.ReadOptions(block_size=1 << 24)
        with pc.open_csv(self.path, read_options=read, parse_options=parse) as stream:
            name = _chosen(stream.schema.names, wanted, usual, what)
        only = pc.ConvertOptions(include_columns=[name], column_types={name: pa.string()}, strings_can_be_null=False)
        with pc.open_csv(self.path, read_options=read, parse_options=parse, convert_options=only) as stream:
            for batch in stream:
                yield batch.column(0)


def _chosen(have: Sequence[str], wanted: str | None, usual: Sequence[str], what: str) -> str:
    if wanted is not None:
        if wanted not in have:
            raise ValueError(f"there is no column {wanted!r}; there are {', '.join(have)}")
        return wanted
    for name in usual:
        if name in have:
            return name
    raise ValueError(f"which column is the {what}? None is called {', '.join(usual)}; there are {', '.join(have)}")


def _lines(path: Path) -> Iterator[pa.Array]:
    with path.open(encoding="utf-8", errors="replace") as file:
        piece: list[str] = []
        for line in file:
            piece.append(line.rstrip("\n"))
            if len(piece) == BATCH:
                yield pa.array(piece)
                piece = []
        if piece:
            yield pa.array(piece)


def _json_lines(path: Path, wanted: str | None, usual: Sequence[str], what: str) -> Iterator[pa.Array]:
    name, piece = wanted, []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path.name}, line {number}, is no JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path.name}, line {number}, must be an object; got {type(row).__name__}")
            name = name or _chosen(list(row), wanted, usual, what)
            value = row.get(name)
            piece.append(None if value is None else str(value))
            if len(piece) == BATCH:
                yield pa.array(piece, pa.string())
                piece = []
    if piece:
        yield pa.array(piece, pa.string())


# -- concepts ----------------------------------------------------------------------------------------------


def read_concepts(path: str | os.PathLike[str], score: str | None = None) -> pd.DataFrame:
    """Concepts and what is known of them: columns concept, score, model, prompts; a row per concept and model.

    Parameters
    ----------
    path : path
        A text (a concept a line), or a table (.csv, .tsv, .parquet) with a column concept (or name, class, label), and
        perhaps a score, `model` and `prompts` (the style of prompts).
    score : str, optional
        Column with the score: accuracy, recall, CLIP score, ...; accuracy, score or recall if absent.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is none of these, or holds no concept; a concept that stands twice for one model is two points.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"--concepts must be a file; there is no {path}")
    if path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8").splitlines()
        table = pd.DataFrame({"concept": [line.strip() for line in lines if line.strip()]})
    elif path.suffix in (".csv", ".tsv", ".parquet"):
        separator = "\t" if path.suffix == ".tsv" else ","
        table = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            else pd.read_csv(path, sep=separator, keep_default_na=False)
        )
    else:
        raise ValueError(f"--concepts must end in .txt, .csv, .tsv or .parquet; got {path.name!r}")
    have = [str(name) for name in table.columns]
    out = pd.DataFrame({"concept": table[_chosen(have, None, NAMES, "concept")].astype(str).str.strip()})
    named = (
        next((name for name in SCORES if name in have), None) if score is None else _chosen(have, score, (), "score")
    )
    out["score"] = np.nan if named is None else pd.to_numeric(table[named].replace("", np.nan), errors="raise")
    for name in ("model", "prompts"):
        out[name] = table[name].astype(str) if name in have else ""
    out = out[out.concept != ""].reset_index(drop=True)
    if not len(out):
        raise ValueError(f"--concepts must hold at least one concept; {path.name} holds none")
    if np.isinf(out.score).any():
        raise ValueError("scores must be finite, or empty where they are not known")
    out.attrs["score"] = named or ""
    return out


# -- tags --------------------------------------------------------------------------------------------------


def read_tags(path: str | os.PathLike[str], concepts: Sequence[str], keys: list[str] | None, n: int) -> TagTable:
    """Tags by any tagger: a table (.csv, .tsv, .parquet) of sample, concept and perhaps probability.

    Parameters
    ----------
    path : path
        `sample` is a row of the captions, from 0, or what their column of keys says.
    concepts : sequence of C str
        Tags that are none of them are left out.
    keys : list of n str or None
    n : int
        Captions.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file() or path.suffix not in (".csv", ".tsv", ".parquet"):
        raise ValueError(f"--tags must be a table that ends in .csv, .tsv or .parquet; got {str(path)!r}")
    separator = "\t" if path.suffix == ".tsv" else ","
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, sep=separator)
    if missing := [name for name in ("sample", "concept") if name not in table]:
        raise ValueError(
            f"--tags must have the columns sample, concept and perhaps probability; {missing[0]} is missing"
        )
    number = {concept: i for i, concept in enumerate(concepts)}
    table = table[table.concept.isin(number)]
    rows = places_of(table["sample"].tolist(), keys, n, "--tags")
    columns = np.array([number[concept] for concept in table.concept], dtype=np.int64)
    values = np.ones(len(table)) if "probability" not in table else table.probability.to_numpy(float)
    if len(values) and not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ValueError("probabilities of --tags must lie in [0, 1]")
    return TagTable(tuple(concepts), n, rows, columns, values.astype(np.float32))


def places_of(samples: Sequence[Any], keys: list[str] | None, n: int, what: str) -> np.ndarray[Any, Any]:
    """Rows of captions by number or key; `ValueError` names one that is not there."""
    if keys is not None:
        known = {key: i for i, key in enumerate(keys)}
        known |= {Path(key).name: i for key, i in known.items()} | {Path(key).stem: i for key, i in known.items()}
        named = [str(sample) for sample in samples]
        if not (lost := next((one for one in named if one not in known), None)):
            return np.array([known[one] for one in named], dtype=np.int64)
        if not all(one.isdigit() for one in named):
            raise ValueError(f"{what} names the sample {lost!r}, which no caption has as its key")
    try:
        rows = np.array([int(sample) for sample in samples], dtype=np.int64)
    except ValueError as error:
        raise ValueError(f"samples of {what} must be rows of the captions, or their keys: {error}") from error
    if len(rows) and not (rows.min() >= 0 and rows.max() < n):
        raise ValueError(f"samples of {what} must be rows from 0 to {n - 1}; got {rows.min()} to {rows.max()}")
    return rows
