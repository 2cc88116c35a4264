"""Captions beside their sounds, as a page, a table and lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.report.pages import render_page, sound_source
from unseen.runtime import replacing
from unseen.strict_json import strict_json

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
    table_rows: list[dict[str, Any]] = [
        {
            "file": sound.name,
            "caption": sound.caption,
            "events": ", ".join(f"{name} {cosine:.2f}" for name, cosine in sound.events),
            "nearest caption": sound.nearest,
            "keywords": sound.keywords,
            "seconds": round(sound.seconds, 2),
            "parts": sound.parts,
            "silent parts": sound.silent,
            "left out": "",
        }
        for sound in result.heard
    ]
    empty = dict.fromkeys(("caption", "events", "nearest caption", "keywords"), "")
    table_rows += [
        {"file": skipped.where, **empty, "seconds": None, "parts": 0, "silent parts": 0, "left out": skipped.why}
        for skipped in result.skipped
    ]
    return table_rows


def write_table(file: Path, result: Captioned) -> None:
    """Captions as CSV, or as JSON where the file is called so."""
    if file.suffix.lower() == ".json":
        with replacing(file) as part:
            part.write_text(strict_json(facts(result)), encoding="utf-8")
        return
    import pandas as pd

    from unseen.console import write_csv

    write_csv(file, pd.DataFrame(rows(result)))


def facts(result: Captioned) -> dict[str, Any]:
    """All that is told, as JSON values."""
    return {
        "model": result.captioner.facts,
        "verdict": result.verdict,
        "graded": result.graded,
        "figures": {name: dict(figures) for name, figures in result.figures.items()},
        "sounds": rows(result),
    }


def write_page(result: Captioned, file: Path, command: str) -> None:
    """The page: every sound with a player, its caption, and the nearest caption beside it."""
    table = [
        {"name": ARMS[name], "values": [f"{figures[metric]:.3f}" for metric in metrics_of(figures)]}
        for name, figures in result.figures.items()
    ]
    shown = [
        {
            "sound": sound,
            "source": sound_source(sound.wave) if sound.wave else "",
            "events": ", ".join(f"{name} ({cosine:.2f})" for name, cosine in sound.events),
            "length": length(sound.seconds)
            + (f", one caption for {sound.parts} parts" if sound.parts > 1 else "")
            + (f", {sound.silent} silent left out" if sound.silent else ""),
            "cut": sound.seconds > 10,
        }
        for sound in result.heard
    ]
    content = render_page(
        Path(__file__).with_name("page.html"), style=STYLE, plays=True, shown=shown, skipped=result.skipped,
        table=table, metrics=metrics_of(next(iter(result.figures.values()), {})), facts=result.captioner.facts,
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
    printed = []
    for sound in result.heard[:shown]:
        printed.append(f"{sound.name}: {sound.caption}")
        if sound.events:
            printed.append(f"  events: {', '.join(name for name, _ in sound.events)}")
        printed.append(f"  nearest caption: {sound.nearest}")
    if len(result.heard) > shown:
        printed.append(f"and so on for {len(result.heard)} sounds: on the page")
    return printed


def left_out(result: Captioned, shown: int = 5) -> list[str]:
    """The sounds that are left out: how many, and the first with their reasons."""
    if not result.skipped:
        return []
    first = [f"  {skipped.where}: {skipped.why}" for skipped in result.skipped[:shown]]
    return [f"{len(result.skipped)} left out" + (", such as" if len(result.skipped) > shown else ""), *first]


def graded(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The figures as lines."""
    return [
        f"{name:<16} " + "  ".join(f"{metric} {scores[metric]:.3f}" for metric in metrics_of(scores))
        for name, scores in figures.items()
    ]
