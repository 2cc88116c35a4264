"""Data that packages ship: list them, read about them, get them."""

from __future__ import annotations

import dataclasses
import difflib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unseen.data.domain import Domain
from unseen.data.sources.digits import characters, digit_styles, digits
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.emoji import (
    LOCALES,
    download_size,
    emoji,
    emoji_codes,
    emoji_groups,
    emoji_styles,
    emoji_words,
    in_common,
)
from unseen.data.sources.furniture import furniture, furniture_credit, furniture_download, furniture_makers
from unseen.data.sources.npm import pins
from unseen.data.sources.photographs import SETS, photographs, photographs_credit, photographs_download
from unseen.data.sources.stamps import CREDIT as STAMPS_CREDIT
from unseen.data.sources.stamps import stamps, stamps_download
from unseen.data.sources.tones import TONED, emoji_tones
from unseen.data.typing import Kind

__all__ = [
    "LOCALES",
    "Source",
    "SourceUnavailable",
    "characters",
    "digit_styles",
    "digits",
    "download_size",
    "emoji",
    "emoji_codes",
    "emoji_groups",
    "emoji_styles",
    "emoji_tones",
    "emoji_words",
    "furniture",
    "furniture_makers",
    "get",
    "in_common",
    "info",
    "list_sources",
    "photographs",
    "save",
    "stamps",
]


@dataclasses.dataclass(frozen=True)
class Source:
    """What is known of a source before it is had.

    `name` is ``SOURCE:STYLE``; `download` is in bytes, 0 for what ships with the install or is in the cache; `kind` is
    that of the samples.
    """

    name: str
    summary: str
    credit: str
    download: int
    needs: str = ""
    kind: Kind = "image"


def list_sources() -> tuple[Source, ...]:
    """Return everything that `get` knows."""
    return tuple(info(name) for name in _names())


def info(name: str) -> Source:
    """Return what is known of a source; nothing is downloaded.

    Raises
    ------
    ValueError
        If there is no such source; the nearest name is given.
    """
    kind, style = _split(name)
    if kind == "digits":
        summary = "digits in 21 fonts" if style == "printed" else "1,797 handwritten digits"
        return Source(name, f"{summary}, 10 classes", digits(style, size=8, copies=1).credits[0], 0)
    if kind == "furniture":
        summary = "clouds of points of objects by this maker, in ten shapes or by room, with names and real sizes"
        return Source(name, summary, furniture_credit(style), furniture_download(), "apt-get", "points")
    if kind == "stamps":
        summary = "photographs and clip art of a paint program, 16 classes, with captions in ten languages"
        return Source(name, summary, STAMPS_CREDIT, stamps_download(), "apt-get")
    if kind == "photographs":
        summary = "photographs without classes: to tune a matcher on, or to match"
        return Source(name, summary, photographs_credit(style), photographs_download(style), "apt-get")
    details = "29 classes or one each, with names and keywords"
    if kind == "tones":
        details = "people and hands in five skin tones, 1,650 pairs of tone and object"
    return Source(
        name,
        f"emoji in the style {style}, {details}",
        pins()["packages"][f"@iconify-json/{style}"]["credit"],
        download_size([style]),
        "npm",
    )


def get(name: str, **options: Any) -> Domain:
    """Return a source as a `Domain`, downloading it if that is needed.

    Parameters
    ----------
    name : str
        ``digits:printed``, ``digits:handwritten``, ``emoji:STYLE``, ``tones:STYLE``, ``furniture:MAKER``,
        ``photographs:SET`` or ``stamps:tuxpaint``.
    options
        Passed to `digits`, `emoji`, `emoji_tones`, `furniture`, `photographs` or `stamps`.
    """
    kind, style = _split(name)
    makers: dict[str, Callable[..., Domain]] = {
        "digits": digits,
        "emoji": emoji,
        "tones": emoji_tones,
        "furniture": furniture,
        "photographs": photographs,
        "stamps": lambda _, **settings: stamps(**settings),
    }
    return makers[kind](style, **options)


def save(domain: Domain, folder: str | os.PathLike[str]) -> Path:
    """Write pictures as a folder of class folders that `unseen.data.loaders.load` reads back.

    The folder must not exist; it appears when it is complete.
    """
    target = Path(folder)
    if domain.kind != "image":
        raise ValueError(f"only pictures can be saved as a folder; {domain.name} holds {domain.kind}")
    if target.exists():
        raise FileExistsError(f"folder {str(target)!r} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        assert domain.ids is not None
        names = domain.classes.names if domain.classes is not None else ()
        for i, (identity, image) in enumerate(zip(domain.ids.tolist(), domain.x)):
            label = names[int(domain.y[i])] if domain.y is not None and names and domain.y[i] >= 0 else ""
            place = part / label.replace("/", "-")
            place.mkdir(exist_ok=True)
            image.save(place / f"{identity.replace('/', '-')}.png")
        part.chmod(0o755)
        part.replace(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return target


def _names() -> tuple[str, ...]:
    kinds = {
        "digits": digit_styles(),
        "emoji": emoji_styles(),
        "tones": TONED,
        "furniture": furniture_makers(),
        "photographs": SETS,
        "stamps": ("tuxpaint",),
    }
    return tuple(f"{kind}:{style}" for kind, styles in kinds.items() for style in styles)


def _split(name: str) -> tuple[str, str]:
    if name not in _names():
        close = difflib.get_close_matches(name, _names(), n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no data source is called {name!r}{hint or '.'} There are: {', '.join(_names())}")
    kind, _, style = name.partition(":")
    return kind, style
