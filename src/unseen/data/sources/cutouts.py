"""Emoji without a background: cut-outs with an exact mask, their alpha channel."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.images import open_header
from unseen.data.sources.emoji import TEXTS, _icons, _package, _svg, _texts
from unseen.data.sources.npm import archive_path, fetch, pins, read_members
from unseen.runtime import cache_folder, replacing, track

GROUPS: Mapping[str, tuple[str, ...]] = {
    "face": ("face-",),
    "animal": ("animal-mammal",),
    "fruit": ("food-fruit", "food-vegetable"),
    "vehicle": ("transport-ground",),
    "building": ("place-building",),
    "plant": ("plant-",),
    "clothing": ("clothing",),
}
"""Classes, and how the Unicode subgroups of their emoji begin."""


def emoji_cutouts(style: str, *, groups: Sequence[str] = tuple(GROUPS)[:4], size: int = 48) -> Domain:
    """Return the emoji of some groups in one style, without a background.

    Parameters
    ----------
    style : str
        One of `unseen.data.sources.emoji_styles`.
    groups : sequence of str
        Of `GROUPS`; they are the classes.
    size : int
        Width and height in pixels.

    Returns
    -------
    Domain
        Its samples are arrays (4, size, size) of bytes: red, green, blue and alpha. With the columns ``emoji`` (code
        points) and ``name``.

    Raises
    ------
    SourceUnavailable
        If npm or the network is missing.
    """
    import resvg_py

    if not 8 <= size <= 512:
        raise ValueError(f"size must lie in [8, 512] pixels; got {size}")
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise ValueError(f"groups must be among {', '.join(GROUPS)}; got {unknown[0]!r}")
    package, table = _package(style), _texts()
    icons = _icons(style, table)
    of = {
        code: next((k for k, g in enumerate(groups) if table[code]["subgroup"].startswith(GROUPS[g])), -1)
        for code in icons
    }
    codes = [code for code in table if of.get(code, -1) >= 0]
    file = cache_folder() / "emoji" / f"{archive_path(package).stem}-cutouts-{'-'.join(groups)}-{size}.npz"
    if not file.exists():
        drawings = read_members(fetch(package), ["icons.json"])["icons.json"]
        drawn = []
        for code in track(codes, f"cut-outs of {style}"):
            svg = _svg(drawings, icons[code])
            png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True))
            drawn.append(np.asarray(open_header(io.BytesIO(png), ("PNG",)).convert("RGBA")).transpose(2, 0, 1))
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part, part.open("wb") as stream:
            np.savez_compressed(stream, x=np.stack(drawn))
    with np.load(file) as arrays:
        x = arrays["x"]
    return Domain(
        x=x,
        y=np.array([of[code] for code in codes]),
        kind="image",
        classes=ClassSpace(names=tuple(groups)),
        ids=np.array([f"{style}/{code}" for code in codes]),
        columns={"emoji": np.array(codes), "name": np.array([table[code]["name"] for code in codes])},
        name=f"{style} cut out",
        credits=(pins()["packages"][package]["credit"], pins()["packages"][TEXTS]["credit"]),
    )
