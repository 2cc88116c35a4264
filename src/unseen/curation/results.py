"""What is done with the results of a search: near duplicates, filters, steering, counts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unseen.curation.columns import Columns
from unseen.curation.tags import Tags
from unseen.curation.vectors import BoolArray
from unseen.data.typing import FloatArray, IntArray

NEAR_DUPLICATE = 0.94
"""Cosine above which two results show the same."""

NO_OTHER = -1.0
"""The cosine that stands where there is no other pair, or none before: what has no like is like nothing."""

COSINES = ("nearest_cosine", "earlier_cosine")
"""Columns in which `NO_OTHER` stands."""

UNSAFE = 0.5
"""`punsafe` above which a result is unsafe."""

COMPARED = 512
"""Results that are compared with all others at once."""

MOST_VALUES = 1_000
"""Values of a column of words, the most frequent ones, that are counted; more are counted together."""

LIKE_KEYS = 0.5
"""Part of the rows up to which a column of more values than that may have different ones: above, it names rows."""

BINS = 10


def near_duplicates(vectors: FloatArray, threshold: float = NEAR_DUPLICATE) -> IntArray:
    """The position of the first result that shows the same as each, (k,): its own where there is none before it.

    Two results show the same if a chain of results leads from one to the other in which each is nearer than `threshold`
    to the next.

    Parameters
    ----------
    vectors : array (k, d)
        Unit vectors in the order of the results.
    threshold : float in [-1, 1]
        Cosine above which two are neighbours.
    """
    x = np.asarray(vectors, dtype=np.float32)
    if not len(x):
        return np.empty(0, np.int64)
    every = np.arange(len(x))
    pairs = [np.empty((0, 2), np.int64)]
    for at in range(0, len(x), COMPARED):
        near = np.argwhere(x[at : at + COMPARED] @ x.T > threshold)
        first = _firsts(near + np.array([at, 0]), len(x))
        moved = np.flatnonzero(first != every)
        pairs.append(np.stack([moved, first[moved]], axis=1))
    return _firsts(np.concatenate(pairs), len(x))


def equals(values: Sequence[str | None]) -> IntArray:
    """The position of the first of equal values for each, (k,): its own where there is none before it, or no value."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(value, i) if value else i for i, value in enumerate(values)], dtype=np.int64)


def _firsts(pairs: IntArray, n: int) -> IntArray:
    """The first of those that pairs (m, 2) connect with each of n, itself where there are none."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    part = connected_components(graph, directed=False)[1]
    _, first = np.unique(part, return_index=True)
    return first[part].astype(np.int64)


def steered(query: FloatArray, ratings: Mapping[int, FloatArray], score: int, weight: float) -> NDArray[np.float32]:
    """A query (d,) moved towards what was rated `score`: normalise(query + weight * rating)."""
    if score not in ratings:
        known = ", ".join(map(str, sorted(ratings)))
        raise ValueError(
            f"aesthetic score must be one that pairs of the collection have: {known or 'none'}; got {score}"
        )
    return unit(np.asarray(query) + weight * np.asarray(ratings[score]), "the query with its aesthetic steering")


def unit(vector: FloatArray, what: str) -> NDArray[np.float32]:
    """A vector (d,) of length 1; `ValueError` if it has no direction."""
    x = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(x))
    if not math.isfinite(length) or length < 1e-6:
        raise ValueError(f"{what} has no direction: its parts are zero, not finite, or cancel each other")
    return x / length


@dataclasses.dataclass(frozen=True)
class Filters:
    """Which rows may be found.

    Attributes
    ----------
    values : mapping of column to the values that are allowed
        Of columns of words, such as ``{"language": ["en", "de"]}``; "" stands for none.
    ranges : mapping of column to (least, greatest)
        Of columns of numbers, such as ``{"width": (256, None)}``, ends included; None leaves an end open. Where a row
        has no number it is not found.
    tags : sequence of str
        Rows with one of them; "" stands for none.
    safe : bool
        Without what has `punsafe` above 0.5.
    among : array (n,) of bools, optional
        Rows chosen by hand, such as those inside a lasso.
    """

    values: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    ranges: Mapping[str, tuple[float | None, float | None]] = dataclasses.field(default_factory=dict)
    tags: Sequence[str] = ()
    safe: bool = False
    among: BoolArray | None = None

    def mask(self, columns: Columns, tags: Tags | None = None) -> BoolArray | None:
        """Rows that pass, (n,), or None if all do; `ValueError` if a column is not there."""
        passed = self.among
        if self.tags:
            keep = np.zeros(len(columns), bool) if tags is None else tags.mask(self.tags)
            passed = keep if passed is None else passed & keep
        if self.safe:
            keep = ~(columns.numbers("punsafe") > UNSAFE)
            passed = keep if passed is None else passed & keep
        for name, allowed in self.values.items():
            words, codes = columns.values(name)
            keep = np.isin(np.array(words, dtype=object), list(allowed))[codes] if words else np.zeros(0, bool)
            passed = keep if passed is None else passed & keep
        for name, (least, greatest) in self.ranges.items():
            numbers = columns.numbers(name)
            keep = ~np.isnan(numbers)
            if least is not None:
                keep &= numbers >= _as(numbers, least)
            if greatest is not None:
                keep &= numbers <= _as(numbers, greatest)
            passed = keep if passed is None else passed & keep
        return passed


def _as(numbers: FloatArray, bound: float) -> Any:
    """A bound as exact as the numbers: 0.3 lets 0.3 of 32 bits pass, too."""
    with np.errstate(over="ignore"):
        return numbers.dtype.type(bound)


def facets(columns: Columns, tags: Tags, within: BoolArray | None = None) -> dict[str, Any]:
    """How often each value of a column occurs among the rows `within`: words by value, numbers by range; and each tag.

    Returns
    -------
    dict
        ``{"rows": n, "tags": [[tag, count], ...], "untagged": n, "words": {column: [[value, count], ...]},
        "numbers": {column: {"edges", "counts", "missing"}}}``, frequent values first. A column that is the same
        everywhere, or another for most rows, is left out. Edges are those of all rows, so that counts of two filters
        can be compared.
    """
    words: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    for name in columns.numeric:
        histogram = _histogram(columns.numbers(name), within, NO_OTHER if name in COSINES else None)
        if histogram is not None:
            numbers[name] = histogram
    for name in columns.words:
        values, codes = columns.values(name)
        if 1 < len(values) <= max(50, LIKE_KEYS * len(columns)):
            counts = np.bincount(codes if within is None else codes[within], minlength=len(values)).tolist()
            words[name] = [[value, count] for value, count in zip(values[:MOST_VALUES], counts)]
    rows = len(columns) if within is None else int(np.count_nonzero(within))
    none = tags.mask([""])
    return {
        "rows": rows,
        "tags": tags.counts(within),
        "untagged": int(np.count_nonzero(none if within is None else none & within)),
        "words": words,
        "numbers": numbers,
    }


def _histogram(numbers: FloatArray, within: BoolArray | None, nothing: float | None = None) -> dict[str, Any] | None:
    """Counts of ten ranges, all of one width; the first begins at `nothing` where that stands among the numbers."""
    known = numbers[np.isfinite(numbers)]
    spread = known if nothing is None else known[known != nothing]
    low, high = (float(spread.min()), float(spread.max())) if len(spread) else (0.0, 0.0)
    if low == high:
        return None
    edges = np.linspace(low, high, BINS + 1)
    edges[0] = known.min()
    seen = numbers if within is None else numbers[within]
    there = seen[np.isfinite(seen)]
    counts, _ = np.histogram(there, bins=edges)
    return {
        "edges": [float(f"{edge:.4g}") for edge in edges],
        "counts": counts.tolist(),
        "missing": int(len(seen) - len(there)),
    }
