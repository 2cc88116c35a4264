"""The geometry of the charts: places as shares of a width and a height, which the templates draw as SVG.

Places in [0, 1] become percentages, so that charts fill a wide page and a phone with text of one size.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.report.defined import is_defined
from unseen.report.words import (
    Results,
    deviation,
    metric_label,
    nothing,
    number,
    percent,
    seconds,
    share,
    verdict,
)

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "(unknown)"
LABELLED_CLASSES = 30
"""A confusion matrix of more classes has no names along it."""
DRAWN_CLASSES = 250
"""A confusion matrix of more classes is not drawn."""
COLOURS = 7
"""Classes that have a colour of their own in a map."""
SIDE = 400.0
"""Width and height of a map."""

_CHARACTER = 7.3
_NARROW = 300.0
_TALL = 260.0


def ticks(upper: float, at_most: int = 6) -> list[float]:
    """Round numbers from 0 to `upper`."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if upper / s < at_most - 1e-9)
    return [round(i * step, 6) for i in range(math.floor(upper / step + 1e-9) + 1)]


def reach(values: Sequence[float | None]) -> float:
    """The end of an axis that starts at 0 and holds all values, at most 1."""
    largest = max((v for v in values if is_defined(v)), default=1.0)
    return min(1.0, max(0.1, math.ceil(largest * 10 - 1e-9) / 10))


# -- one line from nothing to everything ---------------------------------------------------------------------


def scale(results: Results) -> dict[str, Any] | None:
    """The chosen candidate from 0 to 100 % with chance, source only and the ceiling; None without a figure."""
    graded = verdict(results)
    if graded is None:
        return None
    marks = [
        ("chance", "guessing", graded.chance),
        ("floor", graded.nothing, None if results["chosen"]["name"] == graded.nothing else graded.floor),
        ("ceiling", "ceiling (learnt the labels)", graded.ceiling),
    ]
    below = [
        {"kind": kind, "label": f"{label} {percent(value)}", "x": value}
        for kind, label, value in marks
        if is_defined(value)
    ]
    mean = graded.spread["mean"]
    if not is_defined(mean):
        return None
    return {
        "chosen": {"x": mean, "label": percent(mean), "anchor": _anchor(mean)},
        "interval": graded.spread.get("interval"),
        "below": _tiers(below),
        "ends": [end for end in (0, 1) if abs(mean - end) > 0.25],
    }


def _anchor(x: float) -> str:
    return "start" if x < 0.2 else "end" if x > 0.8 else "middle"


def _within(x: float, width: float) -> tuple[str, float]:
    """How a label at `x` is anchored so that the least of it leaves the page, and where it begins."""
    left = {"start": x, "middle": x - width / 2, "end": x - width}
    out = {anchor: max(-at, 0.0) + max(at + width - 1, 0.0) for anchor, at in left.items()}
    best = min(out, key=lambda anchor: (out[anchor], anchor != _anchor(x)))
    return best, left[best]


def _tiers(marks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each label the first line on which it meets no other, on a narrow page."""
    lines: list[list[tuple[float, float]]] = []
    for mark in sorted(marks, key=lambda mark: mark["x"]):
        width = _width(mark["label"]) / _NARROW
        mark["anchor"], left = _within(mark["x"], width)
        span = (left, left + width)
        tier = next((i for i, taken in enumerate(lines) if all(_apart(span, s) for s in taken)), len(lines))
        lines[tier : tier + 1] = [[*(lines[tier] if tier < len(lines) else []), span]]
        mark["tier"] = tier
    return marks


def _apart(a: tuple[float, float], b: tuple[float, float], gap: float = 0.02) -> bool:
    return a[0] > b[1] + gap or b[0] > a[1] + gap


# -- candidates ----------------------------------------------------------------------------------------------


def bars(results: Results) -> dict[str, Any]:
    """A bar for every candidate: the headline metric with its interval, or the vote where there are no labels."""
    graded = verdict(results)
    if graded is None:
        rows = [
            {
                "row": row,
                "floor": row["name"] == nothing(results),
                "value": number(row["vote"], 2),
                "adapted": {"mean": row["vote"], "whisker": None, "seeds": []},
                "held": None,
            }
            for row in results["candidates"]
        ]
        places = [{"x": t, "label": f"{t:g}"} for t in ticks(1.0)]
        return {"rows": rows, "references": [], "ticks": places, "label": "score without labels", "sampled": False}
    spreads = [[row["metrics"][part][graded.metric] for part in results["exam"]] for row in results["candidates"]]
    whiskers = [_whisker(group[0]) for group in spreads]
    highest = [value for group in spreads for spread in group for value in spread["per_seed"]]
    upper = reach([*highest, *(w[1] for w in whiskers if w), graded.ceiling])
    rows = [
        {
            "row": row,
            "floor": row["name"] == nothing(results),
            "value": f"{share(group[0]['mean'])} {deviation(group[0])}".strip(),
            "adapted": _bar(group[0], whisker, upper),
            "held": _bar(group[1], None, upper) if len(group) > 1 else None,
        }
        for row, group, whisker in zip(results["candidates"], spreads, whiskers)
    ]
    references = {"chance": graded.chance, "floor": graded.floor, "ceiling": graded.ceiling}
    return {
        "rows": rows,
        "references": [{"kind": kind, "x": v / upper} for kind, v in references.items() if is_defined(v)],
        "ticks": [{"x": t / upper, "label": f"{100 * t:.0f}"} for t in ticks(upper)],
        "label": f"{metric_label(graded.metric)}, %",
        "sampled": any("interval" in group[0] for group in spreads),
    }


def bars_of(
    figures: Mapping[str, float], label: str, *, chosen: str = "", floor: Collection[str] = (),
    intervals: Mapping[str, Sequence[float]] | None = None, in_percent: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """A bar for every figure in [0, 1], in their order, as `bars` of charts.html draws them.

    Parameters
    ----------
    figures : mapping of name to figure
    label : str
        What the figures are.
    chosen : str
        The name that stands out.
    floor : collection of str
        Names of those that do nothing.
    intervals : mapping of name to (low, high), optional
    in_percent : bool
        Whether figures are written in per cent, else with three digits.
    """
    ends = intervals or {}
    upper = reach([*figures.values(), *(end[1] for end in ends.values())])
    rows = [
        {
            "row": {"name": name, "chosen": name == chosen},
            "floor": name in floor,
            "value": share(value) if in_percent else number(value, 3),
            "adapted": {
                "mean": value / upper,
                "whisker": [end / upper for end in ends[name]] if name in ends else None,
                "seeds": [],
            },
            "held": None,
        }
        for name, value in figures.items()
    ]
    places = [{"x": t / upper, "label": f"{100 * t:.0f}" if in_percent else f"{t:g}"} for t in ticks(upper)]
    return {"rows": rows, "references": [], "ticks": places, "label": label, "sampled": bool(ends)}


def _whisker(spread: Mapping[str, Any]) -> tuple[float, float] | None:
    """The interval over samples if there is one, else one standard deviation over seeds."""
    if "interval" in spread:
        return tuple(spread["interval"])
    if len(spread["per_seed"]) < 2 or not is_defined(spread["mean"]):
        return None
    return max(0.0, spread["mean"] - spread["std"]), min(1.0, spread["mean"] + spread["std"])


def _bar(spread: Mapping[str, Any], whisker: tuple[float, float] | None, upper: float) -> dict[str, Any]:
    finite = is_defined(spread["mean"])
    return {
        "mean": spread["mean"] / upper if finite else 0.0,
        "whisker": whisker and [value / upper for value in whisker],
        "seeds": [value / upper for value in spread["per_seed"] if is_defined(value)],
    }


def scatter(results: Results) -> dict[str, Any] | None:
    """Seconds against quality, or against the vote without labels; None with fewer than two candidates."""
    graded = verdict(results)
    rows = [row for row in results["candidates"] if row["seconds"] > 0]
    if graded is not None:
        quality = {row["name"]: row["metrics"]["adapted"][graded.metric]["mean"] for row in rows}
    else:
        quality = {row["name"]: row["vote"] for row in rows}
    rows = [row for row in rows if is_defined(quality[row["name"]])]
    if len(rows) < 2:
        return None
    logs = np.log10([row["seconds"] for row in rows])
    low, high = math.floor(logs.min() * 2 - 0.2) / 2, math.ceil(logs.max() * 2 + 0.2) / 2
    bottom, top, step = _span(list(quality.values()))
    placed = [
        {
            "row": row,
            "floor": row["name"] == nothing(results),
            "x": (log - low) / (high - low),
            "y": 1 - (quality[row["name"]] - bottom) / (top - bottom),
            "title": f"{row['name']}: {percent(quality[row['name']]) if graded else number(quality[row['name']], 2)}, "
            f"{seconds(row['seconds'])}",
        }
        for row, log in zip(rows, logs)
    ]
    return {
        "dots": _labels(placed),
        "x_ticks": [
            {"x": (t - low) / (high - low), "label": f"{10.0**t:g}"}
            for t in range(math.ceil(low), math.floor(high) + 1)
        ],
        "y_ticks": [
            {
                "y": 1 - i * step / (top - bottom),
                "label": number((bottom + i * step) * (100 if graded else 1), 0 if graded else 1),
            }
            for i in range(round((top - bottom) / step) + 1)
        ],
        "label": f"{metric_label(graded.metric)}, %" if graded else "score without labels",
        "cut": bottom > 0,
    }


def _span(values: Sequence[float]) -> tuple[float, float, float]:
    """The ends of an axis in [0, 1] around the values, and its step."""
    width = max(values) - min(values)
    step = next((s for s in (0.02, 0.05, 0.1, 0.2) if width / s <= 4), 0.25)
    bottom = max(0.0, math.floor(min(values) / step - 0.3) * step)
    top = min(1.0, math.ceil(max(values) / step + 0.3) * step)
    return bottom, max(top, bottom + step), step


def _labels(dots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Place a name beside each dot where it meets no dot and no other name; the chosen one first, some get none."""
    boxes = [(d["x"] * _NARROW - 5, d["y"] * _TALL - 5, d["x"] * _NARROW + 5, d["y"] * _TALL + 5) for d in dots]
    for i, dot in sorted(
        enumerate(dots),
        key=lambda pair: (not pair[1]["row"]["chosen"], not pair[1]["floor"]),
    ):
        width = _width(dot["row"]["name"])
        x, y = dot["x"] * _NARROW, dot["y"] * _TALL
        dot["label"] = None
        for anchor, dx, dy in (("start", 9, 4), ("end", -9, 4), ("middle", 0, -10), ("middle", 0, 19)):
            left = x + dx - {"start": 0, "middle": width / 2, "end": width}[anchor]
            box = (left, y + dy - 11, left + width, y + dy + 3)
            inside = box[0] >= 0 and box[2] <= _NARROW and box[1] >= -8 and box[3] <= _TALL
            if inside and not any(_meet(box, other) for j, other in enumerate(boxes) if j != i):
                dot["label"] = {"anchor": anchor, "dx": dx, "dy": dy}
                boxes.append(box)
                break
    return dots


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


# -- right and wrong -----------------------------------------------------------------------------------------


def folded(predictions: pd.DataFrame, known: Sequence[str]) -> pd.DataFrame:
    """Labelled rows of the part that methods adapted to, with `right`; classes that no model knows are one."""
    rows = predictions[(predictions["part"] == "adapted") & predictions["truth"].notna()].copy()
    rows["truth"] = rows["truth"].where(rows["truth"].isin(set(known)), UNKNOWN)
    rows["prediction"] = rows["prediction"].where(rows["prediction"].notna(), UNKNOWN)
    rows["right"] = rows["truth"] == rows["prediction"]
    return rows


def confusion(rows: pd.DataFrame, known: Sequence[str]) -> dict[str, Any] | None:
    """How often which class is taken for which; None without labelled samples."""
    if len(rows) == 0:
        return None
    occurs = {*rows["truth"], *rows["prediction"]}
    names = [name for name in (*known, UNKNOWN) if name in occurs]
    place = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (rows["truth"].map(place).to_numpy(), rows["prediction"].map(place).to_numpy()), 1)
    return {
        "names": names,
        "matrix": _matrix(names, counts) if len(names) <= DRAWN_CLASSES else None,
        "top": _top(names, counts),
        "wrong": int(counts.sum() - np.trace(counts)),
    }


def _matrix(names: Sequence[str], counts: np.ndarray) -> dict[str, Any]:
    labelled = len(names) <= LABELLED_CLASSES
    size = max(20, min(40, 480 // len(names))) if labelled else max(2, 480 // len(names))
    short = [_short(name) for name in names]
    margin = 12 + max(_width(name) for name in short) if labelled else 22
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = [
        {
            "x": j * size,
            "y": i * size,
            "opacity": f"{0.08 + 0.92 * shares[i, j]:.2f}",
            "text": f"{100 * shares[i, j]:.0f}" if size >= 26 else "",
            "strong": shares[i, j] > 0.5,
            "title": f"{names[i]} taken for {names[j]}: {counts[i, j]} of {counts[i].sum()}",
            "diagonal": i == j,
        }
        for i, j in zip(*np.nonzero(counts))
    ]
    return {
        "cells": cells,
        "size": size,
        "side": size * len(names),
        "margin": margin,
        "labels": [{"at": (i + 0.5) * size, "short": s, "name": n} for i, (s, n) in enumerate(zip(short, names))]
        if labelled
        else [],
    }


def _width(text: str) -> float:
    """Pixels that a label takes at most, roughly; East Asian characters take two places."""
    return _CHARACTER * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _short(name: str, length: int = 20) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _top(names: Sequence[str], counts: np.ndarray, shown: int = 10) -> list[dict[str, Any]]:
    """The most frequent confusions."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:shown]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, wrong.shape)) if wrong[i, j]]
    return [
        {"truth": names[i], "prediction": names[j], "count": int(wrong[i, j]), "of": int(counts[i].sum())}
        for i, j in pairs
    ]


def per_class(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Accuracy, size and most frequent mistake of every class that occurs, the hardest first."""
    table = []
    for name, group in rows.groupby("truth", sort=True):
        wrong = Counter(group.loc[~group["right"], "prediction"]).most_common(1)
        table.append(
            {
                "name": name,
                "samples": len(group),
                "right": int(group["right"].sum()),
                "accuracy": float(group["right"].mean()),
                "mistake": {"name": wrong[0][0], "count": wrong[0][1]} if wrong else None,
            }
        )
    return sorted(table, key=lambda row: (row["accuracy"], row["name"]))


def predicted(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """How many samples went to each class, and how certain, where there is no truth to compare with."""
    rows = predictions[predictions["part"] == "adapted"]
    if len(rows) == 0:
        return []
    groups = rows.assign(prediction=rows["prediction"].fillna(UNKNOWN)).groupby("prediction")["probability"]
    table = [
        {
            "name": name,
            "samples": len(values),
            "share": len(values) / len(rows),
            "probability": float(values.mean()),
        }
        for name, values in groups
    ]
    return sorted(table, key=lambda row: -row["samples"])


# -- the feature map -----------------------------------------------------------------------------------------


def maps(places: pd.DataFrame) -> dict[str, Any] | None:
    """Source and target samples in two dimensions, before and after; None where nothing was recorded."""
    if len(places) == 0:
        return None
    labelled = places.loc[places["class"].fillna("") != "", "class"]
    classes = Counter(labelled).most_common()
    colour = {name: i for i, (name, _) in enumerate(classes[:COLOURS])}
    return {
        "stages": [
            {"name": stage, "paths": _paths(group, colour)} for stage, group in places.groupby("stage", sort=False)
        ],
        "legend": [{"name": name, "colour": i} for name, i in colour.items()],
        "classes": len(set(labelled)),
        "counts": Counter(places.loc[places["stage"] == places["stage"].iloc[0], "domain"]),
        "side": SIDE,
    }


def _paths(places: pd.DataFrame, colour: Mapping[str, int]) -> list[dict[str, Any]]:
    """One path for each domain and colour: crosses for the source, dots for everything else."""
    xy = places[["x", "y"]].to_numpy(dtype=float)
    xy = xy - (xy.min(axis=0) + xy.max(axis=0)) / 2
    xy = xy / max(float(np.abs(xy).max()), 1e-12) * (SIDE / 2 - 10) + SIDE / 2
    groups = places.assign(px=xy[:, 0], py=xy[:, 1], colour=places["class"].map(colour).fillna(-1).astype(int))
    return [
        {
            "domain": "source" if domain == "source" else "target",
            "colour": tint,
            "d": "".join((_cross if domain == "source" else _dot)(x, y) for x, y in zip(group["px"], group["py"])),
        }
        for (domain, tint), group in groups.groupby(["domain", "colour"], sort=True)
    ]


def _dot(x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}h0"


def _cross(x: float, y: float) -> str:
    return f"M{x - 2.2:.1f} {y:.1f}h4.4m-2.2-2.2v4.4"
