"""What is asked of a collection, and what comes back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from unseen.curation.collection import Side
from unseen.curation.results import Filters

TermKind = Literal["text", "image", "embedding", "row"]


@dataclasses.dataclass(frozen=True)
class Term:
    """A part of a query.

    Attributes
    ----------
    kind : {"text", "image", "embedding", "row"}
    value : str, bytes, PIL image, vector (d,), or row
    weight : float, not 0
        How much of its unit vector enters; below 0 it leads away from it.
    """

    kind: TermKind
    value: Any
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """What is looked for.

    Attributes
    ----------
    terms : sequence of Term
        Their unit vectors are added by weight; the sum is brought to unit length.
    side : {"image", "text"}
        What is searched: pictures or captions.
    k : int, >= 1
        Results before any is left out; those are not replaced.
    filters : Filters
        Rows that may be found at all.
    deduplicate : bool
        Of results that show the same, keep the first.
    near : float in (0, 1], optional
        Cosine above which two results show the same. If absent 0.94, which is for CLIP; by an encoder whose cosines do
        not tell copies (`unseen.curation.settings.tells_copies`) pictures then show the same if their files are equal.
    safe : bool or None
        Leave out what has `punsafe` above 0.5. None does where the collection has that score.
    nonviolent : bool
        Leave out what is nearer to the second of two sentences than to the first.
    aesthetic : (score, weight) or None
        Steer towards pictures of that score.
    change : str
        What counts, or is different, of what the terms show: "on grass"; rows that are terms are no results then.
        Empty: they are looked for as they are.
    """

    terms: Sequence[Term]
    side: Side = "image"
    k: int = 40
    filters: Filters = dataclasses.field(default_factory=Filters)
    deduplicate: bool = True
    near: float | None = None
    safe: bool | None = None
    nonviolent: bool = False
    aesthetic: tuple[int, float] | None = None
    change: str = ""


@dataclasses.dataclass(frozen=True)
class Hit:
    """A row that was found, its cosine, the rows that show the same, and what is said of it."""

    row: int
    similarity: float
    duplicates: tuple[int, ...]
    columns: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Results:
    """Hits, the nearest first; how many were left out and why; how many rows the filters allowed; seconds; doubts.

    `weak`: words were looked for, and nothing found seems to show them (`unseen.curation.doubt`). `unread`: sentences
    on words that the encoder does not read, such as what is behind its context.
    """

    hits: tuple[Hit, ...]
    removed: Mapping[str, int]
    allowed: int
    seconds: float
    weak: bool = False
    unread: tuple[str, ...] = ()

    @property
    def rows(self) -> list[int]:
        """The rows of the hits."""
        return [hit.row for hit in self.hits]
