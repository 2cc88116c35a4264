"""What a model said of one sample, as a part of a page: bars of classes, lines, a mask, a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from unseen.report import words
from unseen.serving.model import Answer
from unseen.web.markup import folded, joined, paragraph

WIDE, HIGH, LEFT = 600, 210, 86
"""Of a curve, and where it begins beside its axis."""

Row = Mapping[str, Any]


def told(answer: Answer | Sequence[Row]) -> Markup:
    """The most probable classes and whether the model doubts; or what a model says that names no classes."""
    if isinstance(answer, Answer):
        return classes(answer)
    if answer and "forecast" in answer[0]:
        return forecasts(answer)
    return joined([_list(row["answer"] for row in answer), *(mask(row) for row in answer if "mask" in row)])


def classes(answer: Answer) -> Markup:
    """The most probable classes as bars."""
    doubt = paragraph("Not sure: it may be none of these.", "notice") if answer.unknown else ""
    bars = joined(
        Markup('<li><span>{}</span> <span>{}</span><meter min="0" max="1" value="{}"></meter></li>').format(
            name, words.percent(p), f"{p:.4f}"
        )
        for name, p in answer.top
    )
    return joined([doubt, Markup('<ol class="answers">{}</ol>').format(bars)])


def mask(row: Row) -> Markup:
    """The class of every pixel, and what its colours mean."""
    swatch = Markup('<svg class="swatch" viewBox="0 0 1 1"><rect width="1" height="1" fill="{}"/></svg>')
    key = joined(
        Markup('<span class="key">{} {}</span> ').format(swatch.format(colour), name)
        for name, colour in row["colours"].items()
    )
    picture = Markup('<img class="mask" alt="The class of every pixel, in colours" src="data:image/png;base64,{}">')
    return joined([picture.format(row["mask"]), Markup("<p>{}</p>").format(key)])


def forecasts(rows: Sequence[Row]) -> Markup:
    """A curve for each series and column, and the numbers folded below it."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["series"], row["channel"]), []).append(row)
    parts = []
    for (series, channel), points in groups.items():
        name = channel if len(groups) == 1 else f"{series}, {channel}"
        parts += [
            paragraph(f"{name}: {len(points)} points, {points[0]['time']} to {points[-1]['time']}"),
            curve(points),
            folded("Numbers", _list(row["answer"] for row in points)),
        ]
    return joined(parts)


def curve(points: Sequence[Row]) -> Markup:
    """What is forecast, and its interval where there is one."""
    known = [row[key] for row in points for key in ("forecast", "low", "high") if row.get(key) is not None]
    if not known:
        return Markup("")
    low, high = min(known), max(known)

    def place(i: int, value: float) -> str:
        across = LEFT + i * (WIDE - LEFT - 4) / max(len(points) - 1, 1)
        return f"{across:.1f},{8 + (high - value) * (HIGH - 16) / ((high - low) or 1):.1f}"

    def line(key: str) -> list[str]:
        return [place(i, row[key]) for i, row in enumerate(points) if row.get(key) is not None]

    axis = joined(
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 6, y, f"{value:.4g}")
        for value, y in ((high, 14), (low, HIGH - 4))
    )
    return Markup(
        '<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polygon class="band" points="{}"/><polyline class="line" points="{}"/>{}</svg>'
    ).format(
        *(WIDE, HIGH, f"What follows, between {low:.4g} and {high:.4g}"),
        *(" ".join([*line("high"), *line("low")[::-1]]), " ".join(line("forecast")), axis),
    )


def _list(lines: Any) -> Markup:
    return Markup('<ol class="answers">{}</ol>').format(joined(Markup("<li>{}</li>").format(line) for line in lines))
