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
from unseen.curation.vectors import BoolArray
from unseen.data.typing import FloatArray, IntArray

NEAR_DUPLICATE = 0.94
"""Cosine above which two results show the same."""

UNSAFE = 0.5
"""`punsafe` above which a result is unsafe."""

MOST_VALUES = 50
"""Values of a column of words up to which it is counted by value."""

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
    near = np.argwhere(x @ x.T > threshold)
    graph = coo_array((np.ones(len(near), bool), (near[:, 0], near[:, 1])), shape=(len(x), len(x)))
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
    """

    values: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    ranges: Mapping[str, tuple[float | None, float | None]] = dataclasses.field(default_factory=dict)

    def mask(self, columns: Columns) -> BoolArray | None:
        """Rows that pass, (n,), or None if all do; `ValueError` if a column is not there."""
        passed: BoolArray | None = None
        for name, allowed in self.values.items():
            words, codes = columns.values(name)
            keep = np.isin(np.array(words, dtype=object), list(allowed))[codes] if words else np.zeros(0, bool)
            passed = keep if passed is None else passed & keep
        for name, (least, greatest) in self.ranges.items():
            numbers = columns.numbers(name)
            keep = ~np.isnan(numbers)
            if least is not None:
                keep &= numbers >= np.float32(least)
            if greatest is not None:
                keep &= numbers <= np.float32(greatest)
            passed = keep if passed is None else passed & keep
        return passed


def facets(columns: Columns, within: BoolArray | None = None) -> dict[str, Any]:
    """How often each value of a column occurs among the rows `within`: of few words by value, of numbers by range.

    Returns
    -------
    dict
        ``{"rows": n, "words": {column: [[value, count], ...]}, "numbers": {column: {"edges", "counts", "missing"}}}``,
        frequent values first. A column that is the same everywhere
        is left out. Edges are those of all rows, so that counts of two filters can be compared.
    """
    words: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    for name in columns.numeric:
        told = _histogram(columns.numbers(name), within)
        if told is not None:
            numbers[name] = told
    for name in columns.words:
        values, codes = columns.values(name)
        if 1 < len(values) <= MOST_VALUES:
            counts = np.bincount(codes if within is None else codes[within], minlength=len(values)).tolist()
            words[name] = [[value, count] for value, count in zip(values, counts)]
    rows = len(columns) if within is None else int(np.count_nonzero(within))
    return {"rows": rows, "words": words, "numbers": numbers}


def _histogram(numbers: FloatArray, within: BoolArray | None) -> dict[str, Any] | None:
    known = numbers[~np.isnan(numbers)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    if low == high:
        return None
    seen = numbers if within is None else numbers[within]
    there = seen[~np.isnan(seen)]
    counts, edges = np.histogram(there, bins=BINS, range=(low, high))
    return {
        "edges": [float(f"{edge:.4g}") for edge in edges],
        "counts": counts.tolist(),
        "missing": int(len(seen) - len(there)),
    }
