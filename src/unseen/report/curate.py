"""The report of a curated collection: what became of every link, figures by stream, and a sheet of pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen.curation.accounting import Accounting
from unseen.curation.collection import Collection
from unseen.data.images import decode
from unseen.files import read_object
from unseen.report.pages import HERE, image_source, render_page
from unseen.runtime import replacing

SHOWN = 24
"""Pictures of a sheet."""
SIDE = 112
REASONS = 4
"""Reasons that the summary names, the most frequent first."""
STREAMS = {"all": "all", "en": "English", "multi": "other languages", "nolang": "no language"}
FIGURES = {
    "pairs": "pairs",
    "mean_text_length": "mean caption, characters",
    "mean_similarity": "mean similarity",
    "large_share": "both sides above 256 px, %",
    "median_width": "median width, px",
    "median_height": "median height, px",
}


def write_report(
    folder: str | os.PathLike[str], *, seconds: dict[str, float] | None = None, failures: Sequence[Any] = ()
) -> Path:
    """Write ``report.html`` into a collection, from its files alone; all or nothing.

    Parameters
    ----------
    folder : path
        What `unseen.curation.curate` wrote.
    seconds : mapping of stage to float, optional
        Of the run that was just made.
    failures : sequence of Failure
        Shards that could not be done.
    """
    folder = Path(folder)
    accounting = Accounting.load(folder / "accounting.json")
    collection = Collection.open(folder) if (folder / "collection.json").exists() else None
    file = folder / "statistics.json"
    figures = read_object(file) if file.exists() and collection is not None else {}
    rows = _rows(accounting)
    page = render_page(
        HERE / "curate.html",
        style=(HERE / "curate.css").read_text(encoding="utf-8"),
        accounting=accounting,
        nouns="pictures" if accounting.what == "pictures" else "image links",
        noun="picture" if accounting.what == "pictures" else "link",
        rows=rows,
        reasons=sorted(rows, key=lambda row: -row["count"])[:REASONS],
        streams=_streams(figures),
        names=STREAMS,
        figures=_figures(figures),
        languages=figures.get("languages", {}),
        encoder=collection.encoder if collection is not None else None,
        facts=collection.facts if collection is not None else {},
        sheets=_sheets(collection) if collection is not None and len(collection) else [],
        seconds=seconds or {},
        failures=[{"stage": f.stage, "number": f.number, "error": f.error} for f in failures],
    )
    target = folder / "report.html"
    with replacing(target) as temporary:
        temporary.write_bytes(page)
    return target


def _rows(accounting: Accounting) -> list[dict[str, Any]]:
    """Drops with what is left behind each."""
    left, rows = accounting.parsed, []
    for stage, reason, count in accounting.rows():
        left -= count
        share = count / accounting.parsed if accounting.parsed else 0.0
        rows.append({"stage": stage, "reason": reason, "count": count, "share": share, "left": left})
    return rows


def _streams(figures: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All pairs, and those of each stream that has some."""
    return [
        (label, figures[key])
        for key, label in STREAMS.items()
        if key in figures and (key == "all" or figures[key].get("pairs"))
    ]


def _figures(figures: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Rows of the table of figures: a label, and a cell per stream."""
    streams = [stream for _, stream in _streams(figures)]
    if not streams:
        return []
    scores = [name for name in streams[0] if name.startswith("share_")]
    labels = {**FIGURES, **{name: f"above the threshold of {name.removeprefix('share_')}, %" for name in scores}}
    return [(label, [_cell(name, stream.get(name)) for stream in streams]) for name, label in labels.items()]


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "pairs":
        return f"{value:,}"
    if "share" in name:
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if name == "mean_similarity" else f"{value:.0f}"


def _sheets(collection: Collection) -> list[dict[str, Any]]:
    """Pictures drawn at random, and the most and least similar pairs."""
    similarity = collection.table(["similarity"])["similarity"].to_numpy()
    n = len(similarity)
    order = np.argsort(-similarity, kind="stable")
    drawn = np.sort(np.random.default_rng(0).permutation(n)[:SHOWN])
    sheets = {"Pairs that were kept, drawn at random": drawn}
    if n > 3 * SHOWN:
        sheets |= {"The most similar pairs": order[:SHOWN], "The least similar that were kept": order[-SHOWN:]}
    drawn_sheets = [(name, [_shown(collection, int(row)) for row in rows]) for name, rows in sheets.items()]
    return [
        {"name": name, "pictures": pictures, "languages": any(picture["language"] for picture in pictures)}
        for name, pictures in drawn_sheets
    ]


def _shown(collection: Collection, row: int) -> dict[str, Any]:
    k = int(np.searchsorted(collection.starts, row, side="right")) - 1
    table = collection.shards[k].table(["text", "language", "similarity"]).slice(row - int(collection.starts[k]), 1)
    pair = table.to_pylist()[0]
    try:
        image = decode(collection.picture(row))
        image.thumbnail((SIDE, SIDE))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=80)
        source = image_source(stream.getvalue(), "jpeg")
    except ValueError:
        source = ""
    return {"source": source, "text": pair["text"], "language": pair["language"], "similarity": pair["similarity"]}
