"""What requests to the explorer may say and what its answers hold."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from unseen.curation.results import Filters
from unseen.curation.retrieval import Hit, Query, Results, Term
from unseen.curation.tags import LONGEST, MOST_TAGS
from unseen.curation.vectors import BoolArray
from unseen.explorer.pictures import pictures_of
from unseen.serving.limits import MAX_TEXT

MOST_TERMS, MOST_HITS, MOST_ROWS = 16, 1_000, 100_000
"""Terms of a query, results of it, and rows of one export."""

Finite = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
"""Weights and parts of vectors."""

Bound = Annotated[float, Field(allow_inf_nan=False)]
"""An end of a range: columns hold numbers of any size, such as times in milliseconds."""

Tag = Annotated[str, Field(max_length=LONGEST)]

Row = Annotated[int, Field(ge=0, le=2**53)]
"""The number of a row: no greater than JavaScript can say."""


class Strict(BaseModel):
    """A message without anything that is not expected."""

    model_config = ConfigDict(extra="forbid")


class TextTerm(Strict):
    """Words to look for."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    weight: Finite = 1.0


class ImageTerm(Strict):
    """A picture to look for: the file in base64."""

    base64: Annotated[str, Field(min_length=1)]
    weight: Finite = 1.0


class EmbeddingTerm(Strict):
    """A vector of the collection's encoder to look for."""

    vector: Annotated[list[Finite], Field(min_length=1, max_length=16_384)]
    weight: Finite = 1.0


class RowTerm(Strict):
    """A row whose like is looked for."""

    row: Row
    weight: Finite = 1.0


class FilterMessage(Strict):
    """Values and ranges, ends included, that columns may have; null leaves an end open; tags; rows chosen by hand."""

    values: dict[str, Annotated[list[str], Field(max_length=100)]] = Field(default_factory=dict)
    ranges: dict[str, tuple[Bound | None, Bound | None]] = Field(default_factory=dict)
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)] = Field(
        default_factory=list, description="rows with one of them; an empty one stands for none"
    )
    safe: bool = Field(default=False, description="leave out what the collection scores as unsafe")
    among: str | None = Field(
        default=None, description="a bit for every row of the collection, the lowest of a byte first, in base64"
    )

    def filters(self, rows: int) -> Filters:
        """As the service of so many rows takes them; `ValueError` if `among` is of another number of rows."""
        among = None if self.among is None else bits_of(self.among, rows)
        return Filters(self.values, self.ranges, self.tags, self.safe, among)


class Aesthetic(Strict):
    """Steer towards pictures of a score."""

    score: Annotated[int, Field(ge=0, le=10)] = 9
    weight: Annotated[float, Field(ge=-10, le=10)] = 0.5


class QueryMessage(Strict):
    """What is looked for."""

    index: Literal["image", "text"] = "image"
    texts: Annotated[list[TextTerm], Field(max_length=MOST_TERMS)] = Field(default_factory=list)
    images: Annotated[list[ImageTerm], Field(max_length=MOST_TERMS)] = Field(default_factory=list)
    embeddings: Annotated[list[EmbeddingTerm], Field(max_length=MOST_TERMS)] = Field(default_factory=list)
    rows: Annotated[list[RowTerm], Field(max_length=MOST_TERMS)] = Field(default_factory=list)
    k: Annotated[int, Field(ge=1, le=MOST_HITS)] = 40
    filters: FilterMessage = Field(default_factory=FilterMessage)
    deduplicate: bool = True
    near: Annotated[
        float | None, Field(gt=0, le=1, description="null: 0.94, or equal files where cosines do not tell copies")
    ] = None
    safe: bool | None = Field(None, description="null: where the collection has the score")
    nonviolent: bool = False
    aesthetic: Aesthetic | None = None
    change: Annotated[
        str, Field(max_length=MAX_TEXT, description="what counts, or is different, of what the terms show: on grass")
    ] = ""

    def query(self, max_pixels: int, rows: int) -> Query:
        """As the service of so many rows takes it; `ValueError` if a picture is none."""
        terms = [Term("text", term.text, term.weight) for term in self.texts]
        pictures = pictures_of([term.base64 for term in self.images], max_pixels)
        terms += [Term("image", picture, term.weight) for picture, term in zip(pictures, self.images)]
        terms += [Term("embedding", term.vector, term.weight) for term in self.embeddings]
        terms += [Term("row", term.row, term.weight) for term in self.rows]
        return Query(
            terms=terms,
            side=self.index,
            k=self.k,
            filters=self.filters.filters(rows),
            deduplicate=self.deduplicate,
            near=self.near,
            safe=self.safe,
            nonviolent=self.nonviolent,
            aesthetic=None if self.aesthetic is None else (self.aesthetic.score, self.aesthetic.weight),
            change=self.change,
        )


class RowsMessage(Strict):
    """Rows of the collection."""

    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_HITS)]


class BrowseMessage(Strict):
    """Rows that pass filters, some at a time."""

    filters: FilterMessage = Field(default_factory=FilterMessage)
    first: Row = 0
    most: Annotated[int, Field(ge=1, le=MOST_HITS)] = 60
    sort: str | None = Field(None, description="a column of numbers")
    descending: bool = True


class TagMessage(Strict):
    """Put a tag on rows, or on all that pass filters; or take it off."""

    tag: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    on: bool = True
    rows: Annotated[list[Row], Field(max_length=MOST_ROWS)] = Field(default_factory=list)
    filters: FilterMessage | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.rows) == (self.filters is not None):
            raise ValueError("name either rows or filters")
        return self


class ExportMessage(Strict):
    """What to write: rows; what passes filters; or what a query finds: all above a threshold, or its k results."""

    format: Literal["parquet", "csv", "uids", "webdataset"] = "parquet"
    rows: Annotated[list[Row], Field(max_length=MOST_ROWS)] = Field(default_factory=list)
    filters: FilterMessage | None = None
    query: QueryMessage | None = None
    above: Annotated[float, Field(ge=-1, le=1)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.rows) + (self.query is not None) + (self.filters is not None) != 1:
            raise ValueError("name either rows or a query or filters")
        if self.above is not None and self.query is None:
            raise ValueError("above needs a query")
        return self


def bits_of(text: str, rows: int) -> BoolArray:
    """A bool for every row from bits in base64, the lowest of a byte first; `ValueError` if they are not so many."""
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("among must be bits in base64") from error
    if len(packed) != -(-rows // 8):
        raise ValueError(
            f"among must hold a bit for each of {rows:,} rows, {-(-rows // 8):,} bytes; got {len(packed):,}"
        )
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=rows, bitorder="little").astype(bool)


def told(results: Results, tags: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Results as JSON values, each with its tags."""
    return {
        "hits": [hit_of(hit, row_tags) for hit, row_tags in zip(results.hits, tags)],
        "removed": dict(results.removed),
        "allowed": results.allowed,
        "seconds": round(results.seconds, 4),
        "weak": results.weak,
        "unread": list(results.unread),
    }


def hit_of(hit: Hit, tags: Sequence[str]) -> dict[str, Any]:
    """A hit as JSON values; what the collection says of it stands below `columns`."""
    return {**row_of(hit.row, hit.columns, tags), "similarity": hit.similarity, "duplicates": list(hit.duplicates)}


def row_of(row: int, columns: Any, tags: Sequence[str]) -> dict[str, Any]:
    """A row as JSON values."""
    return {"row": row, "columns": plain(columns), "tags": list(tags)}


def plain(columns: Any) -> dict[str, Any]:
    """Columns as JSON values: numbers that are not finite become null, bytes and times words."""
    return {name: _plain(value) for name, value in columns.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if abs(value) < float("inf") else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return str(value)
