"""What `unseen concepts` shows: lines on the screen, and a page with the curve, the long tail and the misalignment."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unseen.console import in_flags_here
from unseen.methods.curation.concept_frequency import concepts_needed, highest_level
from unseen.report.pages import FIGURES, image_source, render_page

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INK, QUIET, LINE = "#1b1d21", "#62666e", "#0067a6"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a3fa0")
CURVES = 6
"""Models that are drawn."""
ROWS = 300
"""Concepts that the page lists."""
NAMED = 5
"""Concepts that the answer names."""


class Found(Protocol):
    """What `unseen.jobs.concepts.job.analyse` gives."""

    @property
    def table(self) -> pd.DataFrame: ...

    @property
    def groups(self) -> tuple[Any, ...]: ...

    @property
    def n(self) -> int: ...

    @property
    def search(self) -> str: ...

    @property
    def tail(self) -> Any: ...

    @property
    def misaligned(self) -> Any: ...

    @property
    def examples(self) -> list[dict[str, Any]]: ...

    @property
    def thresholds(self) -> dict[float, int]: ...

    @property
    def facts(self) -> dict[str, Any]: ...


def lines(analysis: Found, most: int) -> list[str]:
    """A line per concept, the rarest first, and one per fit."""
    table = analysis.table.sort_values(analysis.search, kind="stable").head(most)
    counted = [name for name in ("text", "image", "joint") if name in table]
    named = [name for name in ("model", "prompts") if name in table and analysis.table[name].nunique() > 1]
    shown = [
        "concept",
        *named,
        *counted,
        "per million",
    ]
    predicts = "predicted" in table and bool(table.predicted.notna().any())
    if "score" in table:
        shown.append(analysis.facts["score"])
    if predicts:
        shown += ["predicted", f"{analysis.facts['level']:.0%} interval", "x10 adds"]
    rows: list[tuple[str, ...]] = [tuple(shown)]
    for row in table.to_dict("records"):
        cells = [str(row["concept"]), *(str(row[name]) for name in named)]
        cells += [f"{row[name]:,}" for name in counted]
        cells.append(f"{row['per_million']:,.1f}")
        if "score" in table:
            cells.append("" if math.isnan(row["score"]) else f"{row['score']:.4g}")
        if predicts:
            cells += [""] * 3 if math.isnan(row["predicted"]) else [
                f"{row['predicted']:.3g}", f"{row['low']:.3g} to {row['high']:.3g}", f"{row['times_ten']:+.2g}"
            ]  # fmt: skip
        rows.append(tuple(cells))
    widths = [max(len(row[i]) for row in rows) for i in range(len(shown))]
    out = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) for row in rows]
    if len(analysis.table) > most:
        out.append(f"... {len(analysis.table) - most:,} more in concepts.csv")
    return [*out, "", *sentences(analysis)]


def sentences(analysis: Found) -> list[str]:
    """What was found, a sentence each."""
    tail = analysis.tail
    out = [
        answer(analysis),
        f"In {analysis.n:,} captions {tail.zero:.0%} of {tail.n_concepts:,} concepts never occur, and "
        f"{tail.negligible:.0%} in fewer than one of {1 / tail.threshold:,.0f}; {tail.head:.0%} of all occurrences are "
        "of the most frequent tenth.",
    ]
    if analysis.misaligned is not None:
        misaligned = analysis.misaligned
        out.append(
            f"Captions and pictures share no concept in {misaligned.disjoint:,} of {misaligned.both:,} pairs that show "
            f"some on both sides: {misaligned.degree():.1%} of all pairs."
        )
    if empty := analysis.facts["empty"]:
        out.append(f"{empty:,} other caption{' is' if empty == 1 else 's are'} empty, and in no share.")
    if analysis.facts["skipped"]:
        out.append(
            f"{analysis.facts['skipped']:,} rows of captions were skipped; "
            f"the first: {analysis.facts['skipped_first']}."
        )
    if analysis.facts["tags_left_out"]:
        out.append(f"{analysis.facts['tags_left_out']:,} tags name none of the concepts and were left out.")
    if analysis.facts["shares"]:
        out.append("Scores are read as shares and told in percent.")
    out += [sentence for group in analysis.groups if (sentence := _of_group(group, analysis))]
    out += [sentence for group in analysis.groups if (sentence := _of_intervals(group, analysis))]
    if analysis.facts["like"] and any(group.fit is not None and group.scale == 1 for group in analysis.groups):
        out.append(
            "Your own scores predict where there are enough, by the counts as they are; a published curve the rest."
        )
    if analysis.facts["scale"] > 1:
        scale = analysis.facts["scale"]
        out.append(
            f"The corpus is taken to be {scale:,.3g} times these captions; a concept that does not occur in them may "
            f"still occur {3 * scale:,.3g} times in it."
        )
    return [in_flags_here(line) for line in out]


def answer(analysis: Found) -> str:
    """Will zero-shot work for these classes? What the counts say, or what an answer takes."""
    table, name = analysis.table, analysis.facts["score"]
    if "predicted" in table and table.predicted.notna().any():
        predicted = table[table.predicted.notna()].sort_values("predicted", kind="stable")
        unit = " %" if _in_percent(name) else ""
        low = ", ".join(
            f"{row.concept} {row.predicted:.3g}{unit} ({row.low:.3g} to {row.high:.3g})"
            for row in predicted.head(NAMED).itertuples()
        )
        mean = predicted.predicted.mean()
        return f"Predicted {name}: {mean:.3g}{unit} in the mean of {len(predicted):,} concepts; the lowest are {low}."
    rare = table.drop_duplicates("concept").sort_values(analysis.search, kind="stable").head(NAMED)
    weak = ", ".join(f"{row['concept']} ({row[analysis.search]:,})" for row in rare.to_dict("records"))
    return (
        f"Expect the least of {weak}, which occur least. No accuracy is predicted from counts alone: add `like`, a "
        "published curve (such as laion400m/ViT-B-16/text), or a column accuracy for at least 5 concepts."
    )


def _of_group(group: Any, analysis: Found) -> str:
    if group.fit is None:
        return (
            f"{group.name if group.scores.size else 'Predictions'}: {group.why}."
            if group.curve or group.scores.size
            else ""
        )
    fit, low_high = group.fit, group.spread.slope_per_decade
    binned = f"over means of bins {fit.r:.3f} (p {fit.p:.2g})" if math.isfinite(fit.r) else "too few bins for means"
    better = "better" if fit.aic_log < fit.aic_linear else "WORSE"
    name = group.name[:1].upper() + group.name[1:] if group.name == "your scores" else group.name
    points = " points" if _in_percent(analysis.facts["score"]) else ""
    return (
        f"{name}: ten times the data buys {fit.slope_per_decade:+.3g}{points} (between {low_high[0]:+.3g} and "
        f"{low_high[1]:+.3g}), as a line over {fit.n} concepts says. Correlation with the logarithm of the frequency: "
        f"{fit.raw_r:.3f} over single concepts, {binned}; the logarithm fits {better} than the count itself."
    )


def _of_intervals(group: Any, analysis: Found) -> str:
    """Why intervals say nothing, where concepts with a score are too few for their level."""
    if group.curve is None:
        return ""
    level, n = analysis.facts["level"], min(len(errors) for errors in group.curve.errors)
    if (needed := concepts_needed(level)) <= n:
        return ""
    of = f" of {group.name}" if len(analysis.groups) > 1 else ""
    lower = highest_level(n)
    return (
        f"Intervals{of} of {100 * level:.4g} % need {needed} scored concepts, there are {n}: they reach over all that "
        "a score can be" + (f"; a `level` of {lower:g} ({100 * lower:.0f} %) has some." if lower else ".")
    )


def fits(analysis: Found) -> pd.DataFrame:
    """A row per model and style of prompts."""
    import pandas as pd

    rows = []
    for group in analysis.groups:
        row: dict[str, Any] = {
            "model": group.model,
            "prompts": group.prompts,
            "search": analysis.search,
            "n": len(group.scores),
        }
        if group.fit is not None:
            fit, spread = group.fit, group.spread
            row |= {
                "r": fit.r, "p": fit.p, "r_low": spread.r[0], "r_high": spread.r[1], "shuffled_p": group.shuffled,
                "raw_r": fit.raw_r, "raw_p": fit.raw_p, "slope_per_decade": fit.slope_per_decade,
                "slope_low": spread.slope_per_decade[0], "slope_high": spread.slope_per_decade[1],
                "intercept": fit.intercept, "linear_r": fit.linear_r, "linear_raw_r": fit.linear_raw_r,
                "aic_log": fit.aic_log, "aic_linear": fit.aic_linear,
            }  # fmt: skip
        rows.append(row | {"why": group.why})
    return pd.DataFrame(rows)


def summary(analysis: Found) -> dict[str, Any]:
    """All but the concepts themselves, as JSON takes it."""
    tail, misaligned = analysis.tail, analysis.misaligned
    out: dict[str, Any] = {
        "captions": analysis.n,
        "concepts": tail.n_concepts,
        "search": analysis.search,
        "settings": analysis.facts,
        "long_tail": {key: getattr(tail, key) for key in ("zero", "negligible", "threshold", "head", "gini")},
        "fits": [_plain(row) for row in fits(analysis).to_dict("records")],
    }
    if misaligned is not None:
        out["misalignment"] = {
            "disjoint": misaligned.disjoint,
            "both": misaligned.both,
            "degree": misaligned.degree(),
            "of_both": misaligned.degree_of_both,
        }
        out["tags"] = {f"{threshold:g}": n for threshold, n in analysis.thresholds.items()}
    return out


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(k): None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


# -- pictures ----------------------------------------------------------------------------------------------


def _figure(draw: Any, height: float = 3.8, narrow: float = 3.2) -> tuple[str, str]:
    """A drawing of that height in inches as it stands in the page, and a narrow one for a phone."""
    return _drawn(draw, 7.2, height, 120), _drawn(draw, 3.6, narrow, 200)


def _drawn(draw: Any, width: float, height: float, dpi: int) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white", layout="constrained")
    axis = figure.subplots()
    draw(axis)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)
    axis.grid(alpha=0.25, linewidth=0.5)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return image_source(buffer.getvalue())


def draw_curves(axis: Axes, analysis: Found) -> None:
    """Concepts as points, their bins, and the fitted line of every model."""
    groups = [group for group in analysis.groups if group.curve is not None][:CURVES]
    most = max(
        [10.0, *(float(group.counts.max(initial=1)) for group in groups), float(analysis.table[analysis.search].max())]
    )
    at = np.geomspace(1, most, 100)
    for color, group in zip(COLORS, groups):
        middle, low, high = group.curve.predict(at, analysis.facts["level"])
        axis.plot(at, middle, color=color, linewidth=1.8, label=_safe(group.name))
        if len(groups) == 1 and np.isfinite(low).all() and np.isfinite(high).all():
            axis.fill_between(
                at, low, high, color=color, alpha=0.1, linewidth=0, label=f"{analysis.facts['level']:.0%} interval"
            )
        axis.scatter(np.maximum(group.counts, 1), group.scores, s=8, color=color, alpha=0.35, linewidth=0)
        if group.fit is not None:
            some = group.fit.ns > 0
            axis.plot(np.exp(group.fit.edges[some]), group.fit.means[some], "s", color=color, markersize=5, mec="white")
    axis.set_xscale("log")
    counted = COUNTS[analysis.search]
    axis.set_xlabel(f"{counted} with the concept (0 stands at 1)", fontsize=9, color=QUIET)
    axis.set_ylabel(_safe(scored(analysis)), fontsize=9, color=QUIET)
    axis.legend(fontsize=8, frameon=False)


def draw_tail(axis: Axes, analysis: Found) -> None:
    """Relative frequencies from the most frequent concept on."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    curve = analysis.tail.curve
    some = curve > 0
    axis.plot(
        np.arange(1, len(curve) + 1)[some],
        curve[some],
        color=LINE,
        linewidth=1.6,
        marker="." if len(curve) < 60 else "",
    )
    if not some.all():
        axis.axvspan(some.sum() + 0.5, len(curve) + 0.5, color="#b45309", alpha=0.15, linewidth=0)
        axis.text(
            len(curve),
            0.97,
            "never ",
            ha="right",
            va="top",
            fontsize=9,
            color="#b45309",
            transform=axis.get_xaxis_transform(),
        )
    if some.any():
        axis.set_yscale("log")
    axis.set_xlabel("concepts, the most frequent first", fontsize=9, color=QUIET)
    axis.set_ylabel("frequency, over the highest", fontsize=9, color=QUIET)


def draw_misalignment(axis: Axes, analysis: Found) -> None:
    """Pairs by what caption and picture show."""
    misaligned = analysis.misaligned
    parts = {
        "share a concept": misaligned.both - misaligned.disjoint,
        "share none": misaligned.disjoint,
        "a concept on one side at most": misaligned.n - misaligned.both,
    }
    left = 0.0
    for (name, n), color in zip(parts.items(), ("#047857", "#b45309", "#c9ccd1")):
        axis.barh(
            0, n / misaligned.n, left=left, color=color, height=0.5, label=f"{name}: {n:,} ({n / misaligned.n:.1%})"
        )
        left += n / misaligned.n
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.4, 1.2)
    axis.set_yticks([])
    axis.legend(fontsize=9, frameon=False, loc="upper left")


def _safe(text: str) -> str:
    return text.replace("$", r"\$")  # no formula


# -- the page ----------------------------------------------------------------------------------------------


def page(analysis: Found, command: str, tally: Mapping[str, int] | None = None) -> bytes:
    """One HTML page that needs nothing else: no script, no request; names and captions are shown as text."""
    figures = {"tail": _figure(lambda axis: draw_tail(axis, analysis))}
    if any(group.curve is not None for group in analysis.groups):
        figures["curve"] = _figure(lambda axis: draw_curves(axis, analysis))
    if analysis.misaligned is not None:
        figures["misaligned"] = _figure(lambda axis: draw_misalignment(axis, analysis), height=1.7, narrow=1.7)
    table = analysis.table.sort_values(analysis.search, kind="stable")
    rows = [_row(row, analysis) for row in table.head(ROWS).to_dict("records")]
    examples = [
        {**example, "picture": example["picture"] and image_source(example["picture"], "jpeg")}
        for example in analysis.examples
    ]
    return render_page(
        Path(__file__).with_name("page.html"),
        style=FIGURES,
        analysis=analysis,
        sentences=sentences(analysis),
        figures=figures,
        columns=list(rows[0]) if rows else [],
        rows=rows,
        texts=("concept", "model", "prompts"),
        hidden=len(table) - len(rows),
        examples=examples,
        names=[group.name for group in analysis.groups],
        fits=_figures_of(fits(analysis)),
        tally=tally or {},
        command=command,
    )


COUNTS = {"text": "captions", "image": "pictures", "joint": "pairs"}
"""What is counted of a concept, as it is called on the page: pairs have it on both sides."""

FITS = {
    "search": "counted in",
    "n": "concepts",
    "slope_per_decade": "ten times the data buys",
    "slope_low": "… at least",
    "slope_high": "… at most",
    "raw_r": "correlation, single concepts",
    "raw_p": "… its p",
    "r": "correlation, means of bins",
    "r_low": "… at least",
    "r_high": "… at most",
    "p": "… its p",
    "shuffled_p": "… its p by shuffling",
    "intercept": "score of a concept that occurs once",
    "linear_r": "with the count itself: correlation, means of bins",
    "linear_raw_r": "… single concepts",
    "aic_log": "AIC with the logarithm (smaller is better)",
    "aic_linear": "AIC with the count itself",
    "why": "why",
}
"""Columns of fits.csv as the page calls them."""


def _in_percent(score: str) -> bool:
    return score.startswith(("accuracy", "recall"))


def scored(analysis: Found) -> str:
    """The score with its unit."""
    name = str(analysis.facts["score"])
    return f"{name}, %" if _in_percent(name) else name


def _row(row: Mapping[Any, Any], analysis: Found) -> dict[str, str]:
    """A concept as the page shows it; what is empty for all of them has no column."""
    out = {"concept": str(row["concept"])}
    out |= {name: str(row[name]) for name in ("model", "prompts") if name in row and analysis.table[name].any()}
    out |= {label: f"{row[name]:,}" for name, label in COUNTS.items() if name in row}
    out["per million"] = f"{row['per_million']:,.0f}" if row["per_million"] >= 10 else f"{row['per_million']:.2g}"
    if "score" in row:
        out[scored(analysis)] = _number(row["score"])
    if "predicted" in row:
        known = not math.isnan(row["predicted"])
        out["predicted"] = _number(row["predicted"])
        out[f"{analysis.facts['level']:.0%} interval"] = f"{row['low']:.3g} to {row['high']:.3g}" if known else ""
        out["ten times the data adds"] = f"{row['times_ten']:+.2g}" if known else ""
    return out


def _figures_of(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """The figures of all lines, a line of the page for each figure."""
    out = []
    for name, label in FITS.items():
        values: Iterable[Any] = table.get(name, ())
        cells = [COUNTS[value] if name == "search" else _number(value) for value in values]
        if any(cells):
            out.append((label, cells))
    return out


def _number(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return (
        f"{value:.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, (int, np.integer))
        else str(value)
    )
