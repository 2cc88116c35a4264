"""Captions beside their sounds, as a page, a table and lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.report.pages import render_page, sound_source
from unseen.runtime import replacing

if TYPE_CHECKING:
    from unseen.jobs.captioning.job import Captioned

METRICS = ("CIDEr", "BLEU-1", "BLEU-4", "ROUGE-L", "event F1")
ARMS = {
    "captioner": "the captioner",
    "nearest caption": "the nearest caption of those learnt from",
    "keywords": "sound events in a sentence",
}
STYLE = """
.heard { padding: 0; display: grid; gap: 1rem; }
.heard li { list-style: none; border-top: 1px solid var(--rule); padding-top: .7rem; overflow-wrap: anywhere; }
.heard audio { width: 100%; max-width: 24rem; height: 2.2rem; }
.heard .caption { font-size: 1.15rem; margin: .35rem 0; }
.heard dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .8rem; margin: .2rem 0; }
.heard dl { font-size: .88rem; }
.heard dd { margin: 0; }
@media (max-width: 34rem) { .heard dl { grid-template-columns: 1fr; } .heard dd { margin-bottom: .3rem; } }
"""


def rows(result: Captioned) -> list[dict[str, Any]]:
    """A row for every sound, also for those that are left out."""
    found: list[dict[str, Any]] = [
        {
            "file": one.name,
            "caption": one.caption,
            "events": ", ".join(f"{name} {cosine:.2f}" for name, cosine in one.events),
            "nearest caption": one.nearest,
            "keywords": one.keywords,
            "seconds": round(one.seconds, 2),
            "parts": one.parts,
            "silent parts": one.silent,
            "left out": "",
        }
        for one in result.heard
    ]
    empty = dict.fromkeys(("caption", "events", "nearest caption", "keywords"), "")
    found += [
        {"file": one.where, **empty, "seconds": None, "parts": 0, "silent parts": 0, "left out": one.why}
        for one in result.skipped
    ]
    return found


def write_table(file: Path, result: Captioned) -> None:
    """Captions as CSV, or as JSON where the file is called so."""
    if file.suffix.lower() == ".json":
        with replacing(file) as part:
            part.write_text(json.dumps(facts(result), indent=1, ensure_ascii=False), encoding="utf-8")
        return
    import pandas as pd

    from unseen.console import write_csv

    write_csv(file, pd.DataFrame(rows(result)))


def facts(result: Captioned) -> dict[str, Any]:
    """All that is told, as JSON values."""
    return {
        "model": result.captioner.told,
        "verdict": result.verdict,
        "graded": result.graded,
        "figures": {name: dict(own) for name, own in result.figures.items()},
        "sounds": rows(result),
    }


def write_page(result: Captioned, file: Path, command: str) -> None:
    """The page: every sound with a player, its caption, and the nearest caption beside it."""
    table = [
        {"name": ARMS[name], "values": [f"{own[metric]:.3f}" for metric in metrics_of(own)]}
        for name, own in result.figures.items()
    ]
    shown = [
        {
            "one": one,
            "source": sound_source(one.wave) if one.wave else "",
            "events": ", ".join(f"{name} ({cosine:.2f})" for name, cosine in one.events),
            "length": length(one.seconds)
            + (f", one caption for {one.parts} parts" if one.parts > 1 else "")
            + (f", {one.silent} silent left out" if one.silent else ""),
            "cut": one.seconds > 10,
        }
        for one in result.heard
    ]
    content = render_page(
        Path(__file__).with_name("page.html"), style=STYLE, plays=True, shown=shown, skipped=result.skipped,
        table=table, metrics=metrics_of(next(iter(result.figures.values()), {})), told=result.captioner.told,
        verdict=result.verdict, command=command, graded=result.graded, method=result.captioner.method.card.slug,
    )  # fmt: skip
    with replacing(file) as part:
        part.write_bytes(content)


def metrics_of(figures: Mapping[str, float]) -> list[str]:
    """Those that are told: of one sound there is no CIDEr."""
    return [metric for metric in METRICS if metric in figures]


def length(seconds: float) -> str:
    """A duration as people say it."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def lines(result: Captioned, shown: int) -> list[str]:
    """What the terminal shows."""
    said = []
    for one in result.heard[:shown]:
        said.append(f"{one.name}: {one.caption}")
        if one.events:
            said.append(f"  events: {', '.join(name for name, _ in one.events)}")
        said.append(f"  nearest caption: {one.nearest}")
    if len(result.heard) > shown:
        said.append(f"and so on for {len(result.heard)} sounds: on the page")
    return said


def left_out(result: Captioned, shown: int = 5) -> list[str]:
    """The sounds that are left out: how many, and the first with their reasons."""
    if not result.skipped:
        return []
    first = [f"  {one.where}: {one.why}" for one in result.skipped[:shown]]
    return [f"{len(result.skipped)} left out" + (", such as" if len(result.skipped) > shown else ""), *first]


def graded(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The figures as lines."""
    return [
        f"{name:<16} " + "  ".join(f"{metric} {own[metric]:.3f}" for metric in metrics_of(own))
        for name, own in figures.items()
    ]
