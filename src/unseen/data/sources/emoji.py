"""Emoji as several vendors draw them: the same things in eleven styles, with names and keywords."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.images import image_files
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.npm import (
    archive_path,
    fetch,
    missing_bytes,
    pins,
    read_members,
    write_json,
)
from unseen.data.sources.undrawn import Drawings, put_off
from unseen.runtime import cache_folder

logger = logging.getLogger("unseen.data")

TEXTS = "emojibase-data"

_GROUPS_LEFT_OUT = (None, 2, 9)  # regional indicators, skin tones and hair, flags
_NAMED = 12  # members that the description of a subgroup names


def emoji_styles() -> tuple[str, ...]:
    """Return the styles that `emoji` draws."""
    return tuple(pins()["styles"])


def download_size(styles: Sequence[str]) -> int:
    """Return how many bytes `emoji` would download for these styles; 0 if everything is there."""
    return missing_bytes([TEXTS, *(_package(style) for style in styles)])


def emoji_codes(style: str) -> dict[str, str]:
    """The emoji of the 29 subgroups in one style: code points, and the subgroup of each; nothing is drawn."""
    table, kept = _texts(), set(pins()["subgroups"])
    icons = _icons(style, table)
    return {code: str(row["subgroup"]) for code, row in table.items() if code in icons and row["subgroup"] in kept}


def emoji(style: str, *, level: str = "subgroup", size: int = 224, only: Collection[str] | None = None) -> Domain:
    """Return all emoji of one style without skin tones and flags, as pictures on white.

    The drawings come from the npm package ``@iconify-json/STYLE``, names, keywords and groups from
    ``emojibase-data``; both are downloaded at pinned versions, checked, drawn once and kept in the cache.

    Parameters
    ----------
    style : str
        One of `emoji_styles`.
    level : {"subgroup", "emoji"}
        What the classes are: the 29 Unicode subgroups of which the five styles with code points share at
        least 20 emoji, or every emoji by itself. Described by the group, the subgroup and the names of its
        first members, or by the keywords: by Unicode's words, never by a picture.
    size : int
        Width and height in pixels.
    only : collection of str, optional
        Code points that are kept; no other is drawn.

    Returns
    -------
    Domain
        With the columns ``emoji`` (code points), ``name``, ``keywords``, ``group`` and ``subgroup``. The
        classes are the same for every style at level ``subgroup``.

    Raises
    ------
    SourceUnavailable
        If npm or the network is missing.

    See Also
    --------
    in_common : the emoji that several styles have in common.
    """
    if level not in ("subgroup", "emoji"):
        raise ValueError(f"level must be 'subgroup' or 'emoji'; got {level!r}")
    if not 8 <= size <= 1024:
        raise ValueError(f"size must lie in [8, 1024] pixels; got {size}")
    package = _package(style)
    table = _texts()
    icons = _icons(style, table)
    codes = [code for code in table if code in icons and (only is None or code in only)]
    if level == "subgroup":
        kept = set(pins()["subgroups"])
        codes = [code for code in codes if table[code]["subgroup"] in kept]
        classes = _subgroups(table)
        labels = [table[code]["subgroup"] for code in codes]
    else:
        labels = [table[code]["name"] for code in codes]
        keywords = tuple(", ".join(table[code]["keywords"]) for code in codes)
        classes = ClassSpace(names=tuple(labels), descriptions=keywords)
    folder = cache_folder() / "emoji" / f"{archive_path(package).stem}-{size}"
    pictures = drawn(style, {code: icons[code] for code in codes}, folder, size)
    columns: dict[str, Any] = {key: np.array([table[c][key] for c in codes]) for key in ("name", "group", "subgroup")}
    columns["emoji"] = np.array(codes)
    columns["keywords"] = np.array([", ".join(table[code]["keywords"]) for code in codes])
    return Domain(
        x=pictures,
        y=np.array([classes.index(label) for label in labels], dtype=np.int64),
        kind="image",
        classes=classes,
        ids=np.array([f"{style}/{code}" for code in codes]),
        columns=columns,
        name=style,
        credits=(pins()["packages"][package]["credit"], pins()["packages"][TEXTS]["credit"]),
    )


LOCALES = ("en", "de", "fr", "es", "it", "pt", "nl", "ru", "ja", "zh")
"""Languages of `emoji_words` that are tried."""


def emoji_words(locale: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name and keywords of every emoji in a language, by code points.

    Parameters
    ----------
    locale : str
        A language of emojibase-data, such as one of `LOCALES`.

    Raises
    ------
    SourceUnavailable
        If the language is not there, or npm and the network are missing.
    """
    target = cache_folder() / "emoji" / f"{archive_path(TEXTS).stem}-words-{locale}.json"
    if not target.exists():
        rows = read_members(fetch(TEXTS), [f"{locale}/data.json"])[f"{locale}/data.json"]
        write_json(target, {row["hexcode"]: [row["label"], row.get("tags", [])] for row in rows})
    table = json.loads(target.read_text(encoding="utf-8"))
    return {code: (label, tuple(words)) for code, (label, words) in table.items()}


def emoji_groups(locale: str) -> dict[str, str]:
    """What Unicode's subgroups of emoji are called in a language, by their keys (the column ``subgroup`` of `emoji`).

    Parameters
    ----------
    locale : str
        A language of emojibase-data.

    Raises
    ------
    SourceUnavailable
        If the language is not there, or npm and the network are missing.
    """
    target = cache_folder() / "emoji" / f"{archive_path(TEXTS).stem}-groups-{locale}.json"
    if not target.exists():
        name = f"{locale}/messages.json"
        entries = read_members(fetch(TEXTS), [name])[name]["subgroups"]
        write_json(target, {entry["key"]: entry["message"] for entry in entries})
    groups: dict[str, str] = json.loads(target.read_text(encoding="utf-8"))
    return groups


def in_common(*domains: Domain) -> tuple[Domain, ...]:
    """Return the samples of each style whose emoji all of them have, in one order."""
    if not domains:
        raise ValueError("domains must hold at least one Domain")
    shared = set.intersection(*(set(domain.columns["emoji"].tolist()) for domain in domains))
    return tuple(domain.take(np.isin(domain.columns["emoji"], list(shared))) for domain in domains)


def _package(style: str) -> str:
    if style not in emoji_styles():
        raise ValueError(f"style must be one of {', '.join(emoji_styles())}; got {style!r}")
    return f"@iconify-json/{style}"


def _texts() -> dict[str, dict[str, Any]]:
    """Name, keywords, group and subgroup of every emoji, by code points, in Unicode's order."""
    target = cache_folder() / "emoji" / f"{archive_path(TEXTS).stem}.json"
    if not target.exists():
        members = read_members(fetch(TEXTS), ["en/data.json", "en/messages.json", "meta/groups.json"])
        keys = members["meta/groups.json"]
        words = {
            kind: {entry["key"]: entry["message"] for entry in members["en/messages.json"][kind]}
            for kind in ("groups", "subgroups")
        }
        table = {
            entry["hexcode"]: {
                "name": entry["label"],
                "keywords": entry.get("tags", []),
                "group": words["groups"][keys["groups"][str(entry["group"])]],
                "subgroup": keys["subgroups"][str(entry["subgroup"])],
                "subgroup_words": words["subgroups"][keys["subgroups"][str(entry["subgroup"])]],
            }
            for entry in sorted(members["en/data.json"], key=lambda entry: entry.get("order", 0))
            if entry.get("group") not in _GROUPS_LEFT_OUT
        }
        write_json(target, table)
    return json.loads(target.read_text(encoding="utf-8"))


def _subgroups(table: Mapping[str, Mapping[str, Any]]) -> ClassSpace:
    """The subgroups as classes, described by Unicode's words for them and for their first members."""
    names = tuple(pins()["subgroups"])
    descriptions = []
    for name in names:
        members = [entry for entry in table.values() if entry["subgroup"] == name]
        first = members[0]
        examples = ", ".join(entry["name"] for entry in members[:_NAMED])
        descriptions.append(f"{first['subgroup_words']} ({first['group']}): {examples}")
    return ClassSpace(names=names, descriptions=tuple(descriptions))


def _icons(style: str, table: Mapping[str, Mapping[str, Any]], of: str = "") -> dict[str, str]:
    """Which icon of the set is which emoji: by code points where the set has them, else by plain name.

    `of` names the table, whose answer is kept.
    """
    package = _package(style)
    target = cache_folder() / "emoji" / f"{archive_path(package).stem}{of}.json"
    if not target.exists():
        members = read_members(fetch(package), ["icons.json", "chars.json"])
        icons = {**members["icons.json"]["icons"], **members["icons.json"].get("aliases", {})}
        named = {_plain(name): name for name in sorted(icons)}
        coded = {_bare(code): name for code, name in members["chars.json"].items()}
        by = {code: coded.get(_bare(code)) if coded else named.get(_plain(table[code]["name"])) for code in table}
        write_json(target, {code: name for code, name in by.items() if name is not None})
    return json.loads(target.read_text(encoding="utf-8"))


def _plain(name: str) -> str:
    """A name without accents, marks and spaces, in lower case."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "", ascii_name.lower().replace("&", "and"))


def _bare(code: str) -> str:
    """Code points without the variation selector, which vendors treat differently."""
    parts = [part.lower().lstrip("0") for part in code.split("-")]
    return "-".join(part for part in parts if part != "fe0f")


def drawn(style: str, icons: Mapping[str, str], folder: Path, size: int) -> Lazy:
    """The emoji as pictures that are kept in `folder`, drawn by now; later, where that is put off."""
    if put_off():
        return Drawings(folder, size, icons, lambda name: _svg(_drawings(fetch(_package(style))), name)).pictures()
    _draw(style, icons, folder, size)
    return image_files([folder / f"{code}.png" for code in icons])


@functools.lru_cache(maxsize=4)
def _drawings(archive: Path) -> dict[str, Any]:
    """The icons of a package that is here; kept for those who ask for one after the other."""
    icons: dict[str, Any] = read_members(archive, ["icons.json"])["icons.json"]
    return icons


def _draw(style: str, icons: Mapping[str, str], folder: Path, size: int) -> None:
    """Draw the emoji that are not in `folder` yet, in as many processes as there are processors."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name for path in folder.iterdir()}
    lacking = [code for code in icons if f"{code}.png" not in there]
    if not lacking:
        return
    logger.info("drawing %d emoji in the style %s", len(lacking), style)
    drawings = read_members(fetch(_package(style)), ["icons.json"])["icons.json"]
    lines = [f"{folder / f'{code}.png'}\t{_svg(drawings, icons[code])}\n" for code in lacking]
    workers = max(1, min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, 8, len(lines)))
    order = [sys.executable, "-P", str(Path(__file__).with_name("draw.py")), str(size)]

    def work(first: int) -> None:
        share = "".join(lines[first::workers])
        done = subprocess.run(order, input=share, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise SourceUnavailable(f"emoji in the style {style} could not be drawn: {why}")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))


def _svg(drawings: Mapping[str, Any], name: str) -> str:
    """One icon as a square SVG document in one line, mirrored if its alias says so."""
    icons, aliases = drawings["icons"], drawings.get("aliases", {})
    mirrored = False
    while name not in icons:
        mirrored ^= aliases[name].get("hFlip", False)
        name = aliases[name]["parent"]
    icon = icons[name]
    width, height = (icon.get(key, drawings.get(key, 16)) for key in ("width", "height"))
    left, top, side = icon.get("left", 0), icon.get("top", 0), max(width, height)
    box = f"{left - (side - width) / 2} {top - (side - height) / 2} {side} {side}"
    turn = f' transform="translate({2 * left + width} 0) scale(-1 1)"' if mirrored else ""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    body = re.sub(r"\s+", " ", icon["body"])
    return f'<svg {spaces} viewBox="{box}"><g{turn}>{body}</g></svg>'
