"""What the page draws of a million pairs at once: places, colours and what passes, as bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.curation.results import Filters
from unseen.curation.retrieval import RetrievalService
from unseen.data.typing import FloatArray, IntArray

MISSING = 255
"""The code of a row that has no value, or one of those that are counted together."""

COLOURS = 200
"""Values that have a code of their own."""

COLUMN = "column:"


def places(service: RetrievalService) -> bytes:
    """Where every pair lies: two unsigned numbers of 16 bits each, little-endian; `IndexError` if there is no map."""
    if service.map is None:
        raise IndexError(service.no_map)
    points = service.map.points
    return np.stack([points["x"], points["y"]], axis=1).astype("<u2").tobytes()


def colours(service: RetrievalService, by: str) -> bytes:
    """What every pair is coloured by: a legend in JSON, its length before it (32 bits), and a byte for each pair.

    Parameters
    ----------
    service : RetrievalService
    by : str
        `group`, `tags`, or `column:NAME` of words or of numbers.
    """
    if by == "group":
        if service.map is None:
            raise IndexError(service.no_map)
        names = [", ".join(concept.words) for concept in service.map.concepts]
        legend, codes = _of_words(names, np.asarray(service.map.points["group"]))
    elif by == "tags":
        legend, codes = _of_words(list(service.tags.names), service.tags.first())
    elif by.startswith(COLUMN) and (name := by.removeprefix(COLUMN)) in service.columns.numeric:
        legend, codes = _of_numbers(service.columns.numbers(name))
    elif by.startswith(COLUMN):
        legend, codes = _of_words(*service.columns.values(by.removeprefix(COLUMN)))
    else:
        raise ValueError(f"by must be group, tags or column:NAME; got {by!r}")
    legend_bytes = json.dumps({"by": by, **legend}, ensure_ascii=False).encode()
    return len(legend_bytes).to_bytes(4, "little") + legend_bytes + codes.tobytes()


def _of_words(values: list[str], codes: IntArray) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """A code for each value; one below 0 or beyond the last colour is none."""
    shown = (codes >= 0) & (codes < COLOURS)
    legend = {"kind": "words", "values": values[:COLOURS], "more": max(0, len(values) - COLOURS)}
    return legend, np.where(shown, codes, MISSING).astype(np.uint8)


def _of_numbers(numbers: FloatArray) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Codes from 0 to 254 between the hundredth below and the hundredth above; what lies beyond has the outer ones."""
    known = np.isfinite(numbers)
    low, high = np.percentile(numbers[known], [1, 99]).tolist() if known.any() else (0.0, 0.0)
    scaled = np.clip((np.where(known, numbers, low) - low) / max(high - low, 1e-12), 0, 1) * 254
    return {"kind": "numbers", "low": low, "high": high}, np.where(known, np.rint(scaled), MISSING).astype(np.uint8)


def passing(service: RetrievalService, filters: Filters) -> bytes:
    """A bit for every row, the lowest of a byte first: whether it passes."""
    within = service.mask(filters)
    return np.packbits(np.ones(len(service), bool) if within is None else within, bitorder="little").tobytes()
