"""What was found, and how well a combiner finds, as pages and lines."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.report.pages import image_source, render_page
from unseen.runtime import replacing

if TYPE_CHECKING:
    from unseen.data.domain import Domain
    from unseen.jobs.composed_retrieval.job import Found

WAYS = {
    "combiner": "combiner, learnt from captions",
    "sum": "picture and text, their share tuned",
    "image": "picture alone",
    "text": "text alone",
}
SIDE = 144
STYLE = f"""
.found {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem; padding: 0; }}
.asked {{ display: block; margin: .8rem 0; }}
.found li {{ list-style: none; }}
.found img {{ width: 100%; max-width: {SIDE}px; height: auto; }}
.found p {{ margin: .2rem 0; overflow-wrap: anywhere; font-size: .85rem; }}
"""


def lines(about: Mapping[str, Any]) -> list[str]:
    """What `compose` tells, for a terminal."""
    printed = []
    if about["relations"] is not None:
        printed.append(
            f"relations in {about['pairs']:,} captions: {about['relations']:,}; subjects to learn from: "
            f"{about['subjects']:,}"
        )
    printed.append(
        "recall@1 among the triplets on which share and epoch were chosen: "
        + ", ".join(f"{name} {about['recall'][name]:.3f}" for name in (*WAYS, "chance"))
        + f" (share of the text in the sum: {about['share']:g})"
    )
    for name, scores in about.get("bench", {}).items():
        low, high = scores["interval"]
        kinds = ", ".join(f"{kind} {row['recall@1']:.3f}" for kind, row in scores["kinds"].items())
        printed.append(f"bench, {name}: {scores['recall']:.3f} ({low:.3f} to {high:.3f}); {kinds}")
    if about.get("bench"):
        printed.append(f"bench, chance: {next(iter(about['bench'].values()))['chance']:.3f}")
    return printed + warnings(about)


def warnings(about: Mapping[str, Any]) -> list[str]:
    """What of the texts was not read, and that nothing was found."""
    return [*about.get("notes", []), *nothing_found(about)]


def nothing_found(about: Mapping[str, Any]) -> list[str]:
    """That no way of asking is surely above chance on the bench, if so."""
    bench = about.get("bench", {}).values()
    if not bench or any(scores["interval"][0] > scores["chance"] for scores in bench):
        return []
    return ["no way of asking is surely above chance: do not rely on any of them here"]


def trained_page(about: Mapping[str, Any], encoder: str) -> bytes:
    """The page beside a combiner."""
    bench: Mapping[str, Any] = about.get("bench", {})
    kinds = list(next(iter(bench.values()))["kinds"]) if bench else []
    rows = [
        {
            "way": WAYS[name],
            "held": f"{about['recall'][name]:.3f}",
            "recall": f"{bench[name]['recall']:.3f}" if name in bench else "",
            "interval": "{:.3f} to {:.3f}".format(*bench[name]["interval"]) if name in bench else "",
            "kinds": [f"{bench[name]['kinds'][kind]['recall@1']:.3f}" for kind in kinds] if name in bench else [],
        }
        for name in WAYS
    ]
    chance = [f"{next(iter(bench.values()))['kinds'][kind]['chance']:.3f}" for kind in kinds]
    return render_page(
        Path(__file__).with_name("page.html"), style="", about=about, encoder=encoder, rows=rows, kinds=kinds,
        chance=chance, held=f"{about['recall']['chance']:.3f}", warnings=warnings(about),
    )  # fmt: skip


def write_found(
    file: Path, collection: str, image: Any, text: str, hits: Sequence[Found], about: Mapping[str, Any]
) -> None:
    """A page of what was found: the picture that asked, the text, and the answers."""
    from unseen.data.contact_sheet import contact_sheet
    from unseen.data.loaders import load
    from unseen.jobs.composed_retrieval.clips import once_each
    from unseen.jobs.composed_retrieval.composer import collection_of, picture

    clips = about["what"] == "clips"
    if clips:
        domain: Domain | None = once_each(load(collection))
    else:
        domain = None if (Path(collection) / "index").is_dir() else collection_of(collection)
    shown = []
    for hit in hits:
        sample = None if domain is None else domain.x[hit.place]
        small = None if sample is None else image_source(_small(contact_sheet(sample) if clips else sample))
        shown.append({"id": hit.id, "score": f"{hit.score:.3f}", "picture": small})
    query = None if image is None else image_source(_small(picture(image)))
    content = render_page(
        Path(__file__).with_name("page.html"), style=STYLE, asked=query, text=text, shown=shown, about=about,
        way=WAYS[about["mode"]] if about["mode"] != "sum" else f"picture and text, {about['share']:g} of it the text",
    )  # fmt: skip
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def _small(sample: Any) -> bytes:
    from unseen.encoders.vision import as_image

    small = as_image(sample)
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return buffer.getvalue()
