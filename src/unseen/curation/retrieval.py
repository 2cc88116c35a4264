"""`RetrievalService`: search a collection by words, pictures, vectors and rows, as LAION's service does."""

from __future__ import annotations

import dataclasses
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.curation.collection import Collection, Side
from unseen.curation.columns import Columns, caption_lengths, open_columns
from unseen.curation.concept_map import ConceptMap, read_map
from unseen.curation.doubt import Usual
from unseen.curation.index import Index, open_index
from unseen.curation.query import Hit, Query, Results, Term
from unseen.curation.results import (
    NEAR_DUPLICATE,
    UNSAFE,
    Filters,
    equals,
    facets,
    near_duplicates,
    steered,
    unit,
)
from unseen.curation.retrieval_encoders import QueryEncoders
from unseen.curation.settings import tells_copies
from unseen.curation.tags import Tags
from unseen.curation.vectors import BoolArray
from unseen.data.typing import FloatArray, IntArray

__all__ = ["Hit", "Query", "Results", "RetrievalService", "Term"]

VIOLENCE = ("a calm, peaceful scene", "a scene of violence, blood and injury")
"""What a result must be nearer to, and what it must not be nearer to, where violence is left out."""

EXACT_BELOW = 5_000_000
"""Rows up to which a search by threshold goes through all vectors instead of asking the index."""

MOST_HITS = 10_000
"""Results of one query: each is compared with all others."""

MOST_RATED = 2_000
"""Pictures of a score whose mean stands for it."""


class RetrievalService:
    """Search over a collection and its indices.

    Parameters
    ----------
    collection : Collection
    indices : mapping of "image" and "text" to Index
        Those that are there; at least one.
    encoder : two-tower encoder, optional
        The one that made the embeddings; loaded by its name when words or pictures are first asked for.
    stale : mapping of side to sentence, optional
        Indices that are there but do not fit, and why.
    violence : pair of str
        The sentences of `Query.nonviolent`.
    compose : callable (vector (d,), text (d,)) -> vector (d,), optional
        What makes one query of what is shown and `Query.change`, such as a combiner; both are added if absent.

    Raises
    ------
    ValueError
        If there is no index, or `encoder` is another one.

    References
    ----------
    Schuhmann et al., "LAION-5B", NeurIPS 2022, appendix on the search interface, and rom1504/clip-retrieval.
    """

    def __init__(
        self,
        collection: Collection,
        indices: Mapping[Side, Index],
        *,
        encoder: Any = None,
        stale: Mapping[Side, str] | None = None,
        violence: tuple[str, str] = VIOLENCE,
        compose: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]] = np.add,
    ) -> None:
        if not indices:
            raise ValueError(f"{collection.folder.name} has no index; build one: unseen explore DATA --build")
        self.collection, self.indices, self.violence = collection, dict(indices), violence
        self.stale = dict(stale or {})
        self.compose = compose
        self.usual = Usual(self.indices)
        self.no_map = ""
        self.encoders = QueryEncoders(collection, encoder)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, encoder: Any = None, **more: Any) -> RetrievalService:
        """Open a collection with every index that fits it; `ValueError` if there is none, which says why.

        `encoder` can be the name of one, too; `more` are further arguments of the service.
        """
        if isinstance(encoder, str):
            from unseen import encoders

            encoder = encoders.get(encoder)
        collection = Collection.open(Path(folder).resolve())
        sides: tuple[Side, ...] = ("image", "text")
        there = [side for side in sides if (collection.folder / "index" / f"{side}.json").is_file()]
        opened, stale = {}, {}
        for side in there:
            try:
                opened[side] = open_index(collection, side)
            except ValueError as error:
                stale[side] = str(error)
        if stale and not opened:
            raise ValueError("; ".join(stale.values()))
        return cls(collection, opened, encoder=encoder, stale=stale, **more)

    def __len__(self) -> int:
        return len(self.collection)

    @cached_property
    def columns(self) -> Columns:
        """What is said of every pair, with the length of its caption and, by the map, what is most alike."""
        columns = open_columns(self.collection)
        derived = {"caption_length": caption_lengths(columns)}
        if self.map is not None:
            derived |= {
                "nearest_cosine": self.map.points["nearest"].astype(np.float32),
                "earlier_cosine": self.map.points["earlier"].astype(np.float32),
            }
        return dataclasses.replace(columns, derived=derived)

    @property
    def by_file(self) -> bool:
        """Whether near duplicates among pictures are equal files, since the encoder's cosines do not tell copies."""
        encoder = self.collection.encoder
        return encoder is not None and not tells_copies(encoder.name)

    @cached_property
    def map(self) -> ConceptMap | None:
        """The map of the collection, if it was built of its rows."""
        try:
            return read_map(self.collection)
        except ValueError as error:
            self.no_map = str(error)
            return None

    @cached_property
    def tags(self) -> Tags:
        """The tags of the collection; `ValueError` if their file is damaged."""
        return Tags(self.collection, self.columns)

    def mask(self, filters: Filters) -> BoolArray | None:
        """Rows that pass filters, (n,), or None if all do; `ValueError` if a column is not there."""
        return filters.mask(self.columns, self.tags)

    def browse(
        self,
        filters: Filters | None = None,
        *,
        first: int = 0,
        most: int = 60,
        sort: str | None = None,
        descending: bool = True,
    ) -> tuple[IntArray, int]:
        """Rows that pass filters, in their order or by a column of numbers, and how many they are in all.

        Parameters
        ----------
        filters : Filters, optional
        first, most : int, >= 0
            How many are skipped, and how many are given at most.
        sort : str, optional
            A column of numbers; rows without one come last.
        descending : bool
            Whether the greatest comes first.
        """
        within = None if filters is None else self.mask(filters)
        rows = np.arange(len(self)) if sort is None else self._sorted(sort, descending)
        if within is not None:
            rows = rows[within[rows]]
        return rows[first : first + most], len(rows)

    @property
    def scores(self) -> tuple[str, ...]:
        """Columns of numbers that filters can use."""
        return self.columns.numeric

    def warm(self) -> None:
        """Load what the first query would have to wait for."""
        for side, index in self.indices.items():
            index.search(self.usual.vectors(side)[:1], 1)
        for name in self.columns.numeric:
            self.columns.numbers(name)
        self.facets()
        self.metadata(self.browse()[0])
        self.encoders.warm()

    # -- the query -----------------------------------------------------------------------------------------------

    def search(self, query: Query) -> Results:
        """The results of a query.

        Raises
        ------
        ValueError
            If a term, a column, a score or a side is not there.
        """
        began = time.perf_counter()
        if not 1 <= query.k <= MOST_HITS:
            raise ValueError(f"k must lie in [1, {MOST_HITS:,}], beyond, ask for all above a similarity; got {query.k}")
        if query.near is not None and not 0 < query.near <= 1:
            raise ValueError(f"near must lie in (0, 1]; got {query.near}")
        index = self.index(query.side)
        vector = self.vector(query)
        within = self.mask(query.filters)
        similarity, rows = index.search(vector[None], query.k, within=within)
        valid = rows[0] >= 0
        hits, removed = self._cleaned(index, rows[0][valid], similarity[0][valid], query)
        allowed = len(self) if within is None else int(np.count_nonzero(within))
        weak = self.usual.weak(query, vector, hits, allowed)
        lost = self.encoders.unread([*(term.value for term in query.terms if term.kind == "text"), query.change])
        return Results(tuple(hits), removed, allowed, time.perf_counter() - began, weak, tuple(lost))

    def above(self, query: Query, threshold: float, *, most: int | None = None) -> tuple[FloatArray, IntArray]:
        """All rows at least as near to a query as `threshold`, nearest first: similarities and rows.

        Up to five million rows every vector is compared; beyond, the index is asked, in which a graph or lists can miss
        some. Near duplicates are kept, unsafe results left out as in `search`. Cosines of words and pictures are lower
        than those of pictures and pictures: a threshold of one says nothing of the other.
        """
        if not -1 <= threshold <= 1:
            raise ValueError(f"threshold must lie in [-1, 1]; got {threshold}")
        index, vector = self.index(query.side), self.vector(query)
        within = self.mask(query.filters)
        if len(self) <= EXACT_BELOW:
            similarity, rows = index.vectors.above(vector, threshold, within=within)
        else:
            similarity, rows = self._in_range(index, vector, threshold, within)
        similarity, rows = similarity[:most], rows[:most]
        keep = self._kept(index, rows, dataclasses.replace(query, deduplicate=False))[0]
        return similarity[keep], rows[keep]

    def vector(self, query: Query) -> NDArray[np.float32]:
        """The unit vector (d,) of a query."""
        if not query.terms:
            raise ValueError("terms must hold a text, a picture, a vector or a row to look for")
        total = np.zeros(self.index(query.side).record.dim, np.float32)
        for term, part in zip(query.terms, self._parts(query.terms)):
            if not np.isfinite(term.weight) or term.weight == 0:
                raise ValueError(f"the weight of a term must be a number other than 0; got {term.weight}")
            total += np.float32(term.weight) * part
        vector = unit(total, "the query")
        if query.change.strip():
            text = unit(self.encode_text([query.change])[0], "the text of the change")
            vector = unit(self.compose(vector, text), "the query with its change")
        if query.aesthetic is not None:
            vector = steered(vector, self.ratings, *query.aesthetic)
        return vector

    def candidates(self, prompts: Sequence[str], n: int = 100, *, side: Side = "image") -> dict[str, list[int]]:
        """Rows to label for a head of scores: the n nearest to each prompt, each row under the first that found it."""
        taken: set[int] = set()
        by_prompt: dict[str, list[int]] = {}
        for prompt in prompts:
            rows = self.search(Query(terms=[Term("text", prompt)], side=side, k=n, safe=False)).rows
            by_prompt[prompt] = [row for row in rows if row not in taken]
            taken.update(rows)
        return by_prompt

    # -- what else there is --------------------------------------------------------------------------------------

    def index(self, side: Side) -> Index:
        """The index of a side; `ValueError` if it was not built."""
        if side not in self.indices:
            raise ValueError(f"there is no index of {side}s; there is one of {' and '.join(self.indices)}s")
        return self.indices[side]

    def metadata(self, rows: Sequence[int] | IntArray) -> list[dict[str, Any]]:
        """What is said of rows."""
        return self.columns.take(rows)

    def picture(self, row: int) -> bytes:
        """The file of a picture: JPEG, PNG or WEBP; `IndexError` if there is no such row, or no picture."""
        if not 0 <= row < len(self):
            raise IndexError(f"a row must lie in [0, {len(self)}); got {row}")
        offset, size = self.columns.place(row)
        shard = int(np.searchsorted(self.collection.starts, row, side="right")) - 1
        try:
            return self.collection.shards[shard].picture(offset, size)
        except (FileNotFoundError, TypeError) as error:
            raise IndexError(f"the picture of row {row} is not kept") from error

    def facets(self, filters: Filters | None = None) -> dict[str, Any]:
        """Counts of values and ranges among the rows that pass filters."""
        return facets(self.columns, self.tags, None if filters is None else self.mask(filters))

    @cached_property
    def ratings(self) -> dict[int, NDArray[np.float32]]:
        """For every aesthetic score that pairs have, rounded, the mean direction of such pictures, (d,)."""
        if "aesthetic" not in self.scores or "image" not in self.indices:
            raise ValueError("aesthetic steering needs a column 'aesthetic' and an index of images")
        scores = np.rint(self.columns.numbers("aesthetic"))
        directions = {}
        for score in np.unique(scores[~np.isnan(scores)]):
            rows = np.flatnonzero(scores == score)
            some = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_RATED)).astype(int)]
            directions[int(score)] = unit(self.indices["image"].vectors.take(some).mean(axis=0), f"the score {score:g}")
        return directions

    @property
    def encoder(self) -> Any:
        """The encoder of the collection, loaded when it is first asked for; `ValueError` if it cannot be had."""
        return self.encoders.main

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of texts, (n, d)."""
        return self.encoders.text(texts)

    def encode_image(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Unit vectors of pictures, (n, d)."""
        return self.encoders.image(images)

    @cached_property
    def _orders(self) -> dict[tuple[str, bool], IntArray]:
        return {}

    def _sorted(self, name: str, descending: bool) -> IntArray:
        """All rows in the order of a column of numbers, those without one last; it is kept."""
        if (name, descending) not in self._orders:
            numbers = self.columns.numbers(name)
            order = np.argsort(-numbers.astype(np.float64) if descending else numbers, kind="stable")
            self._orders[name, descending] = order.astype(np.int32 if len(order) < 2**31 else np.int64)
        return self._orders[name, descending]

    # -- parts ---------------------------------------------------------------------------------------------------

    def _parts(self, terms: Sequence[Term]) -> list[NDArray[np.float32]]:
        """The unit vector of every term; words and pictures go through the encoder together."""
        vectors: list[Any] = [None] * len(terms)
        for kind, encode in (("text", self.encode_text), ("image", self._encode_files)):
            at = [i for i, term in enumerate(terms) if term.kind == kind]
            if at:
                for i, vector in zip(at, encode([terms[i].value for i in at])):
                    vectors[i] = unit(vector, f"the {kind}")
        side: Side = "image" if "image" in self.indices else "text"
        index = self.indices[side]
        for i, term in enumerate(terms):
            if term.kind == "row":
                if not 0 <= int(term.value) < len(self):
                    raise ValueError(f"a row must lie in [0, {len(self)}); got {term.value}")
                vectors[i] = unit(index.vectors.take(np.array([int(term.value)]))[0], f"row {term.value}")
            elif term.kind == "embedding":
                vector = np.asarray(term.value, dtype=np.float32)
                if vector.shape != (index.record.dim,):
                    raise ValueError(f"an embedding must be {index.record.dim} numbers; got shape {vector.shape}")
                vectors[i] = unit(vector, "the embedding")
            elif vectors[i] is None:
                raise ValueError(f"the kind of a term must be text, image, embedding or row; got {term.kind!r}")
        return vectors

    def _encode_files(self, images: Sequence[Any]) -> NDArray[np.float32]:
        from unseen.data.images import decode

        return self.encode_image([decode(io.BytesIO(image)) if isinstance(image, bytes) else image for image in images])

    def _in_range(
        self, index: Index, vector: FloatArray, threshold: float, within: BoolArray | None
    ) -> tuple[FloatArray, IntArray]:
        """Rows above a threshold by doubling what is asked of the index until the last is below it."""
        k = 1_024
        while True:
            similarity, rows = index.search(vector[None], min(k, len(self)), within=within)
            good = (rows[0] >= 0) & (similarity[0] >= threshold)
            if not good.all() or k >= len(self):
                return similarity[0][good], rows[0][good]
            k *= 4

    def _cleaned(
        self, index: Index, rows: IntArray, similarity: FloatArray, query: Query
    ) -> tuple[list[Hit], dict[str, int]]:
        """The results without those that the query leaves out, in their order; each is judged by what was found."""
        keep, first, removed = self._kept(index, rows, query)
        records = self.columns.take(rows[keep])
        hits = []
        for i, columns in zip(np.flatnonzero(keep).tolist(), records):
            alike = np.flatnonzero(first == i)[1:]  # the first is itself
            hits.append(Hit(int(rows[i]), round(float(similarity[i]), 6), tuple(rows[alike].tolist()), columns))
        return hits, removed

    def _alike(self, side: Side, rows: IntArray, vectors: FloatArray, near: float | None) -> IntArray:
        """The position of the first row that shows the same as each, (k,)."""
        if near is None and side == "image" and self.by_file:
            return equals([row.get("sha256") for row in self.columns.take(rows)])
        return near_duplicates(vectors, NEAR_DUPLICATE if near is None else near)

    def _kept(self, index: Index, rows: IntArray, query: Query) -> tuple[BoolArray, IntArray, dict[str, int]]:
        """Which results stay, (k,), the first of those like each, (k,; -1 if left out), how many go and why."""
        keep, removed = np.ones(len(rows), bool), {}
        first: IntArray = np.arange(len(rows))
        vectors = index.vectors.take(rows) if query.deduplicate or query.nonviolent else None
        if query.change.strip():  # what is shown is no answer to what is different of it
            keep &= ~np.isin(rows, [term.value for term in query.terms if term.kind == "row"])
        scored = "punsafe" in self.scores
        if query.safe and not scored:
            raise ValueError("safe needs a column 'punsafe', which the collection does not have")
        if query.safe or (query.safe is None and scored):
            unsafe = self.columns.numbers("punsafe")[rows] > UNSAFE
            removed["unsafe"], keep = int(unsafe.sum()), keep & ~unsafe
        if query.nonviolent and vectors is not None:
            calm, violent = self.encode_text(self.violence)
            bad = vectors @ violent > vectors @ calm
            removed["violent"], keep = int((bad & keep).sum()), keep & ~bad
        if query.deduplicate and vectors is not None:  # last: what is left out neither stands for others nor below them
            left = np.flatnonzero(keep)
            first[left] = left[self._alike(index.record.side, rows[left], vectors[left], query.near)]
            first[~keep] = -1
            keep &= first == np.arange(len(rows))
            removed["duplicates"] = len(left) - int(keep.sum())
        return keep, first, removed
