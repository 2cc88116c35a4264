"""People and hands in five skin tones: emoji as pairs of an attribute and an object."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from unseen.data.compositions import compositions
from unseen.data.domain import Domain
from unseen.data.sources.emoji import TEXTS, _icons, _package, drawn
from unseen.data.sources.npm import archive_path, fetch, pins, read_members, write_json
from unseen.runtime import cache_folder

TONES = ("light skin tone", "medium-light skin tone", "medium skin tone", "medium-dark skin tone", "dark skin tone")

TONED = ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "noto-v1", "emojione")
"""Styles that draw them, the complete ones first."""


def emoji_tones(style: str, *, size: int = 224) -> Domain:
    """Return the emoji of one style that are drawn in five skin tones, as pictures on white.

    Parameters
    ----------
    style : str
        One of `TONED`: noto, twemoji and openmoji have all 330 people and hands, fluent-emoji-flat 309, noto-v1 178
        and emojione 81.
    size : int
        Width and height in pixels.

    Returns
    -------
    Domain
        Its 1,650 classes, the same for every style, are pairs of a tone (attribute) and of what is shown (object). With
        the columns ``attribute``, ``object`` and ``emoji`` (code points).

    Raises
    ------
    ValueError
        If the style draws none.
    SourceUnavailable
        If npm or the network is missing.
    """
    if not 8 <= size <= 1024:
        raise ValueError(f"size must lie in [8, 1024] pixels; got {size}")
    if style not in TONED:
        raise ValueError(f"style must be one of {', '.join(TONED)}; got {style!r}")
    package, table = _package(style), _table()
    icons = _icons(style, table, of="-tones")
    codes = [code for code in table if code in icons]
    folder = cache_folder() / "emoji" / f"{archive_path(package).stem}-{size}"
    pictures = drawn(style, {code: icons[code] for code in codes}, folder, size)
    classes = compositions([(entry["tone"], entry["object"]) for entry in table.values()])
    places = {code: k for k, code in enumerate(table)}
    return Domain(
        x=pictures,
        y=np.array([places[code] for code in codes], dtype=np.int64),
        kind="image",
        classes=classes,
        ids=np.array([f"{style}/{code}" for code in codes]),
        columns={
            "attribute": np.array([table[code]["tone"] for code in codes]),
            "object": np.array([table[code]["object"] for code in codes]),
            "emoji": np.array(codes),
        },
        name=f"{style} in tones",
        credits=(pins()["packages"][package]["credit"], pins()["packages"][TEXTS]["credit"]),
    )


def _table() -> dict[str, dict[str, Any]]:
    """Tone, object and full name of every toned emoji, by code points, in Unicode's order."""
    target = cache_folder() / "emoji" / f"{archive_path(TEXTS).stem}-tones.json"
    if not target.exists():
        members = read_members(fetch(TEXTS), ["en/data.json"])
        table = {
            skin["hexcode"]: {"tone": TONES[skin["tone"] - 1], "object": entry["label"], "name": skin["label"]}
            for entry in sorted(members["en/data.json"], key=lambda entry: entry.get("order", 0))
            for skin in entry.get("skins", [])
            if isinstance(skin.get("tone"), int)
        }
        write_json(target, table)
    return json.loads(target.read_text(encoding="utf-8"))
