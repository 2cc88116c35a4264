"""Few-shot episodes as a page: the methods with their intervals, and one episode as it was seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.contact_sheet import contact_sheet
from unseen.data.images import thumbnail
from unseen.data.simulate.hard import HARD
from unseen.evaluation.rejection import OPEN
from unseen.jobs.episodes.names import NAMES
from unseen.methods.base import UNKNOWN
from unseen.report.pages import image_source, render_page

if TYPE_CHECKING:
    from unseen.data.domain import Domain
    from unseen.jobs.episodes.job import Graded

SHOWN = 8
"""Samples of a class that are shown."""
STYLE = """
.episode { border-top: 1px solid var(--rule); padding: 0.8rem 0; }
.episode ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.8rem, 1fr)); gap: 0.5rem; }
.episode ul { list-style: none; padding: 0; margin: 0.3rem 0; }
.episode.clips ul { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.episode ul.words { grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); }
.episode li { font-size: 0.75rem; line-height: 1.3; overflow-wrap: anywhere; }
.episode img { width: 4.5rem; height: 4.5rem; object-fit: contain; background: #fff; display: block; }
.episode.clips img { width: 9rem; height: 9rem; }
.episode li.wrong { color: var(--wrong); }
"""


def page(result: Graded, command: str) -> bytes:
    """One HTML page that needs nothing else."""
    rows = result.table()
    shots = max(result.protocol.shots)
    best = max((row for row in rows if row["shots"] == shots), key=lambda row: row["accuracy"])
    return render_page(
        Path(__file__).with_name("page.html"),
        style=STYLE,
        result=result,
        protocol=result.protocol,
        n_classes=result.named_classes,
        rows=rows,
        tables=[
            (NAMES[metric], metric, [{**row, **row[metric]} for row in rows]) for metric in OPEN if metric in rows[0]
        ],
        thresholds=[
            (name, shot, value) for name, by_shot in result.thresholds.items() for shot, value in by_shot.items()
        ],
        best=best,
        first=next(iter(result.scores)),
        chance=1 / result.protocol.way,
        clips=result.domain.kind == "clip",
        words=result.domain.kind not in ("clip", "image"),
        learnt=[(name, learnt_from, seconds) for name, (learnt_from, seconds) in result.learnt.items()],
        hard=HARD.get(result.hard, ""),
        classes=_classes(result, best["method"]),
        command=command,
    )


def _classes(result: Graded, method: str) -> list[dict[str, Any]]:
    """The classes of the first episode: labelled samples, and queries with what the method called them."""
    episode, named = result.example, result.named[method].reshape(result.example.query.shape)
    assert result.domain.classes is not None
    names = [result.domain.classes.names[i] for i in episode.classes.tolist()]
    return [
        {
            "name": names[k],
            "support": [_sample(result.domain, i) for i in episode.support[k][:SHOWN].tolist()],
            "queries": [
                {**_sample(result.asked, i), "called": _said(names, predicted), "wrong": predicted != k}
                for i, predicted in zip(episode.query[k][:SHOWN].tolist(), np.asarray(named[k]))
            ],
        }
        for k in range(len(names))
    ]


def _said(names: list[str], said: int) -> str:
    return "unknown" if said == UNKNOWN else names[int(said)]


def _sample(domain: Domain, row: int) -> dict[str, str]:
    if domain.kind == "image":
        sample = domain.x[row]
        if hasattr(sample, "convert"):
            return {"source": image_source(thumbnail(sample, 96), "jpeg"), "text": ""}
    if domain.kind == "clip":
        return {"source": image_source(thumbnail(contact_sheet(domain.x[row]), 168), "jpeg"), "text": ""}
    text = str(domain.x[row]) if domain.kind == "text" else str(domain.ids[row]) if domain.ids is not None else ""
    return {"source": "", "text": text[:120]}
