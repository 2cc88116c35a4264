"""What requests to the explorer may say and what its answers hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unseen.curation.results import NEAR_DUPLICATE, Filters
from unseen.curation.retrieval import Hit, Query, Results, Term
from unseen.explorer.pictures import pictures_of
from unseen.serving.limits import MAX_TEXT

MOST_TERMS, MOST_HITS, MOST_ROWS = 16, 1_000, 100_000
"""Terms of a query, results of it, and rows of one export."""

Finite = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
"""Weights and parts of vectors."""

Bound = Annotated[float, Field(allow_inf_nan=False)]
"""An end of a range: columns hold numbers of any size, such as times in milliseconds."""

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
    """Values and ranges, ends included, that columns may have; null leaves an end open."""

    values: dict[str, Annotated[list[str], Field(max_length=100)]] = Field(default_factory=dict)
    ranges: dict[str, tuple[Bound | None, Bound | None]] = Field(default_factory=dict)

    def filters(self) -> Filters:
        """As the service takes them."""
        return Filters(self.values, self.ranges)


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
    near: Annotated[float, Field(gt=0, le=1)] = NEAR_DUPLICATE
    safe: bool | None = Field(None, description="null: where the collection has the score")
    nonviolent: bool = False
    aesthetic: Aesthetic | None = None

    def query(self, max_pixels: int) -> Query:
        """As the service takes it; `ValueError` if a picture is none."""
        terms = [Term("text", one.text, one.weight) for one in self.texts]
        pictures = pictures_of([one.base64 for one in self.images], max_pixels)
        terms += [Term("image", picture, one.weight) for picture, one in zip(pictures, self.images)]
        terms += [Term("embedding", one.vector, one.weight) for one in self.embeddings]
        terms += [Term("row", one.row, one.weight) for one in self.rows]
        return Query(
            terms=terms,
            side=self.index,
            k=self.k,
            filters=self.filters.filters(),
            deduplicate=self.deduplicate,
            near=self.near,
            safe=self.safe,
            nonviolent=self.nonviolent,
            aesthetic=None if self.aesthetic is None else (self.aesthetic.score, self.aesthetic.weight),
        )


class RowsMessage(Strict):
    """Rows of the collection."""

    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_HITS)]


class ExportMessage(Strict):
    """What to write: rows, or what a query finds: all above a threshold, or its k results."""

    format: Literal["parquet", "csv", "uids", "webdataset"] = "parquet"
    rows: Annotated[list[Row], Field(max_length=MOST_ROWS)] = Field(default_factory=list)
    query: QueryMessage | None = None
    above: Annotated[float, Field(ge=-1, le=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.rows) == (self.query is not None):
            raise ValueError("name either rows or a query")
        if self.above is not None and self.query is None:
            raise ValueError("above needs a query")
        return self


def told(results: Results) -> dict[str, Any]:
    """Results as JSON values."""
    return {
        "hits": [hit_of(hit) for hit in results.hits],
        "removed": dict(results.removed),
        "allowed": results.allowed,
        "seconds": round(results.seconds, 4),
    }


def hit_of(hit: Hit) -> dict[str, Any]:
    """A hit as JSON values; what the collection says of it stands below `columns`."""
    return {
        "row": hit.row,
        "similarity": hit.similarity,
        "duplicates": list(hit.duplicates),
        "columns": plain(hit.columns),
    }


def plain(columns: Any) -> dict[str, Any]:
    """Columns as JSON values: numbers that are not finite become null, bytes and times words."""
    return {name: _plain(value) for name, value in columns.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if abs(value) < float("inf") else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return str(value)
