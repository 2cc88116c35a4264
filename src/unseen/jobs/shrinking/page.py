"""A small model beside the large one, as a page and in words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.report.pages import render_page

ROWS: tuple[tuple[str, str, str], ...] = (
    ("partners found, mean of both ways", "recall mean", "{:.1%}"),
    ("a picture finds its text first", "recall there@1", "{:.1%}"),
    ("a picture finds its text among the first five", "recall there@5", "{:.1%}"),
    ("a text finds its picture first", "recall back@1", "{:.1%}"),
    ("a text finds its picture among the first five", "recall back@5", "{:.1%}"),
    ("zero-shot accuracy", "accuracy", "{:.1%}"),
    ("parameters", "parameters", "{:,}"),
    ("parameters of the tower of pictures", "parts image", "{:,}"),
    ("parameters of the tower of texts", "parts text", "{:,}"),
    ("size in float32", "megabytes", "{:.2f} MB"),
    ("time of a picture", "milliseconds picture", "{:.2f} ms"),
    ("time of a text", "milliseconds text", "{:.2f} ms"),
)


def facts(about: Mapping[str, Any]) -> dict[str, str]:
    """What `unseen.jobs.shrinking.job.shrink` tells in numbers, in words, as the terminal shows it."""
    large, small = about["teacher"], about["student"]
    record = {
        "model": about["model"],
        "method": about.get("slug", "tinyclip"),
        "parameters": f"{large['parameters']:,} became {small['parameters']:,} ({100 * about['size']:.1f} %)",
        "recall": f"{large['recall']['mean']:.3f} before, {small['recall']['mean']:.3f} after, "
        f"{large['chance']['mean']:.3f} by chance (mean of the first, five and ten, both ways), on "
        f"{about['pairs']['asked']} pairs that nothing was learnt from",
    }
    if "accuracy" in large:
        record["zero-shot accuracy"] = f"{large['accuracy']:.3f} before, {small['accuracy']:.3f} after"
    for kind in ("picture", "text"):
        before, after = (part["milliseconds"][kind] for part in (large, small))
        record[f"a {kind}"] = f"{before:.2f} ms before, {after:.2f} ms after"
    record["towers"] = "; ".join(f"{row['side']} {row['plan']}" for row in about["layers"])
    if "onnx" in about:
        record["ONNX"] = f"image.onnx and text.onnx, at most {max(about['onnx'].values()):.1g} from torch"
    record["encoder"] = f"towers:{about['folder']}"
    return record


def page(about: Mapping[str, Any]) -> bytes:
    """The page; it needs nothing else."""
    rows = []
    for label, key, form in ROWS:
        large, small = (_value(about[name], key) for name in ("teacher", "student"))
        if large is not None and small is not None:
            rows.append({"label": label, "large": form.format(large), "small": form.format(small)})
    return render_page(
        Path(__file__).with_name("page.html"),
        style="",
        about=about,
        method=about.get("slug", "tinyclip"),
        encoder=shlex.quote(f"towers:{about['folder']}"),
        share=f"{100 * about['size']:.1f}",
        rows=rows,
        recall={name: f"{100 * about[name]['recall']['mean']:.1f}" for name in ("teacher", "student")},
        chance=f"{100 * about['teacher']['chance']['mean']:.1f}",
        towers=about["layers"],
    )


def _value(part: Mapping[str, Any], key: str) -> Any:
    first, _, second = key.partition(" ")
    value = part.get(first)
    return value.get(second) if second and isinstance(value, Mapping) else value
