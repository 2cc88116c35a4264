"""What an alignment is worth, as a page and as lines for a terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unseen.console import in_flags_here
from unseen.report.pages import FIGURES, image_source, render_page

if TYPE_CHECKING:
    from unseen.jobs.alignment.report import Report

STYLE = "tr.saved th, tr.saved td { font-weight: 600; }" + FIGURES
LEVEL = 0.95
"""Share of ln N above which the targets say hardly anything."""
HOW = {"lit": "preset=lit", "cwcl": "preset=default", "ridge map": "method=ridge-map"}
"""How to get an arm that was not saved."""
WAYS = ("there", "back")
ARMS = {
    "aligned": "what was saved",
    "cwcl": "layers taught by the pairs, and by how alike the frozen side finds the samples of a batch",
    "ridge map": "a linear map from one space to the other, without any training",
    "lit": "the same layers, taught by each pair alone (LiT)",
    "naive union": "the same towers, trained on captions and labels without telling them apart",
    "mean of frames, trained": "the same towers, trained on the mean of each clip's frames",
    "mean of frames, untouched": "the towers as they were, on the mean of each clip's frames",
    "ridge map, mean of frames": "a linear map of the mean of each clip's frames",
}
"""What the page says of the rows of its table."""


def page(report: Report, picture: bytes | None = None) -> bytes:
    """The page that stands beside the model; `picture` is that of `matrices`."""
    return render_page(
        Path(__file__).with_name("page.html"),
        style=STYLE,
        title=title(report),
        unified=unified(report),
        kicker=kicker(report),
        report=report,
        summary=summary(report),
        head=head(report),
        rows=rows(report),
        arms=[(name, ARMS[name]) for name in report.recall if name in ARMS],
        languages=by_language(report),
        beside=[f"mean, {name}" for name in report.beside],
        remarks=remarks(report),
        picture=None if picture is None else image_source(picture),
    )


def unified(report: Report) -> bool:
    """Whether both towers learnt: from captions and labels, captions in several languages, or clips and captions."""
    return report.method in ("prefix-conditioning", "rs-m-clip", "mug-stan")


def kicker(report: Report) -> str:
    """The method and its preset."""
    if unified(report) or report.variant:
        return f"{report.method} · {report.variant or 'default'}"
    return report.method if chosen(report) else f"cwcl · {report.method}"


def chosen(report: Report) -> bool:
    """Whether a simple alternative was saved, in the place of cwcl."""
    return "cwcl" in report.recall


def translated(counts: dict[str, int]) -> tuple[int, str]:
    """How many translations of a language were kept, and why others were dropped."""
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in counts.items() if reason != "kept" and n)
    return counts.get("kept", 0), dropped or "none"


def title(report: Report) -> str:
    """What was made, in a line."""
    if report.method == "rs-m-clip":
        return f"Captions in {len(report.languages)} languages"
    if report.method == "mug-stan":
        return "Clips and captions in one model"
    if unified(report):
        return "Captions and labels in one model"
    new = report.encoders["left" if report.frozen == "right" else "right"] or "features"
    return f"{new} in the space of {report.encoders[report.frozen] or 'features'}"


def summary(report: Report) -> str:
    """How often what was saved finds a partner, and the best of what stands beside it, in a line or two."""
    saved = report.recall.get("aligned") or {}
    if not {"there@1", "back@1", "mean"} <= saved.keys():
        return ""
    sentence = (
        f"Of what was held out, {100 * saved['there@1']:.1f} % on the left find their partner on the right first, "
        f"{100 * saved['back@1']:.1f} % the other way."
    )
    others = {name: of["mean"] for name, of in report.recall.items() if name != "aligned" and of}
    if not others:
        return sentence
    best = max(others, key=lambda name: others[name])
    more = "which is better" if others[best] > saved["mean"] else "the best beside it"
    return (
        f"{sentence} The mean of all columns is {100 * saved['mean']:.1f} %; {best}, {more}, has "
        f"{100 * others[best]:.1f} %."
    )


def matrices(frozen: NDArray[np.floating], new: NDArray[np.floating], side: int = 300) -> bytes:
    """A PNG of the cosines of samples in the frozen space and, beside it, in the new one; alike ones stand together.

    Parameters
    ----------
    frozen, new : array (n, d), (n, e)
        Vectors of the same samples, at least three; the order is that of a tree of the frozen ones.
    side : int
        Pixels of a side.
    """
    from PIL import Image
    from scipy.cluster.hierarchy import leaves_list, linkage

    still, moved = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (frozen, new))
    order = leaves_list(linkage(still, "average"))
    panels = []
    for x in (still, moved):
        cosines = (x @ x.T)[np.ix_(order, order)]
        low, high = np.quantile(cosines, [0.02, 0.98])
        grey = 255 - np.clip((cosines - low) / max(high - low, 1e-9), 0, 1) * 255
        panels.append(np.asarray(Image.fromarray(grey.astype(np.uint8)).resize((side, side), Image.Resampling.BOX)))
    gap = np.full((side, side // 20), 255, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.concatenate([panels[0], gap, panels[1]], axis=1)).save(file, "PNG")
    return file.getvalue()


def head(report: Report) -> list[str]:
    """Columns of the tables of recall."""
    some = next(iter(report.recall.values()), {})
    arrows = [key.replace("there", "→").replace("back", "←") for key in some]
    return arrows + (["median rank →", "←"] if report.ranks else [])


def cells(figures: dict[str, float]) -> list[str]:
    """Shares as percentages."""
    return [f"{100 * value:.1f}" for value in figures.values()]


def by_language(report: Report) -> list[tuple[str, list[str]]]:
    """Of each language the recall of what was saved, and the mean of what was trained beside."""
    return [
        (
            _with_count(name, report),
            [*cells(figures), *cells({arm: of[name] for arm, of in report.beside.items() if name in of})],
        )
        for name, figures in report.languages.items()
    ]


def _with_count(language: str, report: Report) -> str:
    """A language with how many captions of it were asked about."""
    return f"{language} ({report.asked[language]:,} captions)" if language in report.asked else language


def rows(report: Report) -> list[tuple[str, list[str], str, list[str]]]:
    """Of each arm its recall, its structure and its zero-shot accuracy."""
    table_rows = []
    for name, figures in report.recall.items():
        structure = report.structure.get(name)
        zero_shot = report.accuracy.get(name, {})
        empty = ["–"] * len(head(report))
        recall = cells(figures) + [f"{value:g}" for value in report.ranks.get(name, {}).values()]
        table_rows.append((name, recall or empty, "–" if structure is None else f"{structure:.3f}", cells(zero_shot)))
    if report.chance:
        blank = ["–"] * (len(head(report)) - len(report.chance))
        table_rows.append(("chance", cells(report.chance) + blank, "–", cells(report.accuracy.get("chance", {}))))
    return table_rows


def remarks(report: Report) -> list[str]:
    """What else a reader should know, in sentences."""
    things = (
        _alternative_saved, _levelness, _modes, _student_or_teacher, _both_towers, _languages_read, _spaces_filled,
        _shared, _zero_shot, _ridge_rows_and_notes, _better_in_recall, _better_zero_shot, _left_out,
    )  # fmt: skip
    return [in_flags_here(line) for thing in things for line in thing(report)]


def _alternative_saved(report: Report) -> Iterator[str]:
    if chosen(report):
        yield (
            f"Saved is {report.method!r} ({ARMS[report.method]}): it finds more of the pairs held out than cwcl as "
            "published, which preset=default saves."
        )


def _levelness(report: Report) -> Iterator[str]:
    if report.row_entropy:
        level = f"{report.row_entropy:.3f} of the greatest entropy"
        yield (
            f"By the frozen side all samples are about equally alike ({level}), so that it teaches hardly more than "
            "the pairs do (the weighted term is label smoothing); preset=sharpened tells samples apart."
            if report.row_entropy > LEVEL
            else f"How level the similarities are by which the frozen side teaches: {level}."
        )


def _modes(report: Report) -> Iterator[str]:
    if "mode_cosine, aligned" in report.monitors:
        cosine = report.monitors["mode_cosine, aligned"]
        yield f"The two modes' vectors of a class have a mean cosine of {cosine:.3f}; 1 is no prefix at all."


def _student_or_teacher(report: Report) -> Iterator[str]:
    if report.kept:
        other = "the student of the last step" if report.kept == "teacher" else "its moving average"
        which = "moving average of the student" if report.kept == "teacher" else "student of the last step"
        yield f"What was saved is the {which}: on pictures held out for that it finds no less than {other}."


def _both_towers(report: Report) -> Iterator[str]:
    look = report.monitors
    if "std_image" not in look:
        return
    line = (
        f"Two pictures have a mean cosine of {look['mean_cosine_image']:.3f}, two captions of "
        f"{look['mean_cosine_text']:.3f}; the effective rank is {look['effective_rank_image']:.0f} and "
        f"{look['effective_rank_text']:.0f}"
    )
    if "teacher_entropy" in look:
        line += (
            f"; the mean of what the teacher says has {look['teacher_entropy']:.2f} of the largest entropy (0: it "
            "says one thing of all)"
        )
    if "teacher_certainty" in look:
        line += f", its certainty of a picture is {look['teacher_certainty']:.2f} (0: it says everything of each)"
    yield line + "."


def _languages_read(report: Report) -> Iterator[str]:
    for name, counts in report.translations.items():
        kept, dropped = translated(counts)
        yield f"Translated into {name}: {kept:,} captions; dropped: {dropped}."
    if report.spoken:
        each = ", ".join(f"{name} {100 * value:.1f} %" for name, value in report.spoken.items())
        yield f"Zero-shot by the sentences of one language: {each}."


def _spaces_filled(report: Report) -> Iterator[str]:
    look = report.monitors
    if "gap" in look:
        yield (
            f"How both spaces are filled: two samples have a mean cosine of {look['mean_cosine_trained']:.3f} on the "
            f"new side, {look['mean_cosine_frozen']:.3f} on the frozen one; the effective rank is "
            f"{look['effective_rank_trained']:.0f} against {look['effective_rank_frozen']:.0f}; the means are "
            f"{look['gap']:.3f} apart."
        )


def _shared(report: Report) -> Iterator[str]:
    if report.shared:
        yield (
            f"Pairs held out whose right side is, by content, that of a pair that was learnt from: {report.shared:,}. "
            "The recall is not that of unseen right sides alone."
        )


def _zero_shot(report: Report) -> Iterator[str]:
    if report.accuracy:
        yield (
            f"Zero-shot among the classes by {len(report.prompts)} template{'s' * (len(report.prompts) != 1)}"
            f"{' in the languages that are there' if report.spoken else ''}: "
            f"{100 * report.accuracy['aligned']['ensemble']:.1f} %, by the name alone "
            f"{100 * report.accuracy['aligned']['name']:.1f} %; chance is "
            f"{100 * report.accuracy['chance']['name']:.1f} %."
        )
    if report.known:
        yield (
            f"{report.known:,} samples of the exam are, by content, among those that were learnt from: the zero-shot "
            "accuracy is not that of unseen samples alone."
        )


def _ridge_rows_and_notes(report: Report) -> Iterator[str]:
    if report.ridge_rows:
        yield f"The ridge map learnt from {report.ridge_rows:,} pairs drawn at random, the others from all."
    yield from report.notes


def _better_in_recall(report: Report) -> Iterator[str]:
    recall = {name: figures for name, figures in report.recall.items() if figures}
    best = max(recall, key=lambda name: recall[name]["mean"]) if recall else "aligned"
    if best != "aligned":
        yield f"The simple alternative {best!r} finds more of the pairs held out than what was saved."
    for arm, of in report.beside.items():
        ahead = [name for name, value in of.items() if value > report.languages.get(name, {}).get("mean", 1.0)]
        if ahead and arm != best:
            yield f"{arm!r} finds more in {', '.join(ahead)} than what was saved."


def _better_zero_shot(report: Report) -> Iterator[str]:
    named = {name: figures["ensemble"] for name, figures in report.accuracy.items() if name != "chance" and figures}
    best = max(named, key=lambda name: named[name]) if named else "aligned"
    if named and named[best] > named["aligned"]:
        a, b, n = named[best], named["aligned"], report.examined
        sure = n and a - b > 2 * math.sqrt((a * (1 - a) + b * (1 - b)) / n)
        advice = f"rather use that{f' ({HOW[best]})' if best in HOW and not unified(report) else ''}."
        right = (
            f"{best!r} is right on {100 * a:.1f} % of the {n:,} samples of the exam, what was saved on {100 * b:.1f} %"
        )
        yield f"{right}: {advice if sure else 'too few samples to tell them apart.'}"


def _left_out(report: Report) -> Iterator[str]:
    if report.cut:
        yield f"Texts longer than the context of their encoder: {report.cut:,}; what is behind was not read."
    if report.lacking:
        yield f"Pairs that lack a side, and were left out: {report.lacking:,}."


def lines(report: Report) -> list[str]:
    """All of it for a terminal."""
    count = min(report.held_out, 2000)
    measured = "pictures held out, mean of languages" if report.method == "rs-m-clip" else "pairs held out"
    title = f"recall in % among {count:,} {measured} (→ left finds right, ← right finds left)"
    looked = ["structure"] if report.structure else []
    columns = ["", *head(report), *looked, *(["zero-shot", "name alone"] if report.accuracy else [])]
    body = [[name, *recall, *([at] if looked else []), *zero_shot] for name, recall, at, zero_shot in rows(report)]
    out = [title, *table([columns, *body])]
    if report.languages:
        columns = ["", *head(report), *(f"mean, {name}" for name in report.beside)]
        spoken = [[name, *figures] for name, figures in by_language(report)]
        out += ["", "by language, of what was saved", *table([columns, *spoken])]
    return [*out, "", *remarks(report)]


def table(lines_of: list[list[str]]) -> list[str]:
    """Cells in columns."""
    width = max(len(row) for row in lines_of)
    full = [row + [""] * (width - len(row)) for row in lines_of]
    widths = [max(len(row[k]) for row in full) for k in range(width)]
    return [
        "  ".join(cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in full
    ]
