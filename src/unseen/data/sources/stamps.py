"""Stamps of Tux Paint, a paint program for children: photographs and clip art with captions in many languages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.images import decode, image_files
from unseen.data.sources.debian import deb_path, fetch_deb, read_deb
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.emoji import LOCALES
from unseen.data.sources.npm import write_json
from unseen.runtime import cache_folder, replacing, track

CREDIT = "Bill Kendrick and the contributors of Tux Paint's stamps (GPL-2)"
_PACKAGE = "tuxpaint-stamps-default"
_PIN: Mapping[str, Any] = {
    "version": "2025.03.31-1",
    "file": "tuxpaint-stamps-default_2025.03.31-1_all.deb",
    "bytes": 80_872_956,
    "sha256": "6312d03a37d0220b10fc91a7467bf2a2a2336e08c2f416de04311d25fd7aeacb",
}
_ROOT = "usr/share/tuxpaint/stamps/"
_FILES_SAY = {"zh": "zh_CN"}
"""What the files call a language of `LOCALES`, where it is another name."""


def stamps_download() -> int:
    """How many bytes are still to be downloaded."""
    return 0 if any(_folder().glob("*/captions.json")) or deb_path(_PIN).exists() else int(_PIN["bytes"])


def stamps(*, size: int = 224) -> Domain:
    """Return Tux Paint's stamps that have a caption, as square pictures on white.

    The Debian package is downloaded once, by `apt-get download` (81 MB, no root), at a pinned version; it is read in
    memory, and pictures of the size that is asked for are kept in the cache.

    Parameters
    ----------
    size : int
        Width and height in pixels.

    Returns
    -------
    Domain
        Its classes are the top folders: animals, food, vehicles and others. With the columns ``category`` (the same),
        ``folder`` (such as ``animals/birds``), and ``caption_en``, ``caption_de`` and so on for every language of
        `LOCALES`, "" where a stamp has none.

    Raises
    ------
    SourceUnavailable
        If the package cannot be fetched or read; the message says what to do.
    """
    if not 8 <= size <= 1024:
        raise ValueError(f"size must lie in [8, 1024] pixels; got {size}")
    folder = _folder() / str(size)
    table = _captions(folder, size)
    names = list(table)
    tops = np.array([name.partition("/")[0] for name in names])
    classes = ClassSpace(names=tuple(np.unique(tops).tolist()))
    folders = np.array([str(PurePosixPath(name).parent) for name in names])
    captions = {f"caption_{code}": np.array([table[name].get(code, "") for name in names]) for code in LOCALES}
    return Domain(
        x=image_files([folder / f"{name}.png" for name in names]),
        y=np.array([classes.index(top) for top in tops.tolist()], dtype=np.int64),
        kind="image",
        classes=classes,
        ids=np.array([f"stamps/{name}" for name in names]),
        columns={"category": tops, "folder": folders, **captions},
        name="stamps",
        credits=(CREDIT,),
    )


def stamp_sounds() -> tuple[list[Path], list[str]]:
    """Sounds of the stamps whose picture has a caption, as files (Ogg), and these captions: real sounds with names.

    They come with the same package as `stamps`.

    Raises
    ------
    SourceUnavailable
        If the package cannot be fetched or read; the message says what to do.
    """
    folder = _folder() / "sounds"
    file = folder / "captions.json"
    if not file.exists():
        archive = fetch_deb(_PACKAGE, _PIN)
        try:
            files = read_deb(
                archive, lambda name: name.startswith(_ROOT) and name.endswith((".ogg", ".txt")), skip_links=True
            )
        except ValueError as error:
            raise SourceUnavailable(f"{error}: delete {archive} and try again") from error
        kept: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(name for name in files if name.endswith(".ogg") and "_desc" not in name):
            caption = read_captions(files.get(f"{name.removesuffix('.ogg')}.txt", b"")).get("en", "")
            if caption:
                place = folder / f"{len(kept):04d}.ogg"
                with replacing(place) as part:
                    part.write_bytes(files[name])
                kept[place.name] = caption
        write_json(file, kept)
    captions = json.loads(file.read_text(encoding="utf-8"))
    return [folder / name for name in captions], list(captions.values())


def _folder() -> Path:
    return cache_folder() / "stamps" / str(_PIN["version"])


def _captions(folder: Path, size: int) -> dict[str, dict[str, str]]:
    """The captions of every stamp, by name and language; written when all pictures are in `folder`."""
    file = folder / "captions.json"
    if not file.exists():
        archive = fetch_deb(_PACKAGE, _PIN)
        try:
            files = read_deb(archive, lambda name: name.startswith(_ROOT) and name.endswith((".png", ".txt")))
            captions = {name: read_captions(files[f"{_ROOT}{name}.txt"]) for name in _captioned(files)}
            for name in track(list(captions), "stamps"):
                picture = folder / f"{name}.png"
                picture.parent.mkdir(parents=True, exist_ok=True)
                with replacing(picture) as part:
                    _square(files[f"{_ROOT}{name}.png"], size).save(part)
        except ValueError as error:
            raise SourceUnavailable(f"{error}: delete {archive} and try again") from error
        write_json(file, captions)
    return json.loads(file.read_text(encoding="utf-8"))


def _captioned(files: Mapping[str, bytes]) -> list[str]:
    """Names of the pictures that have a text, in order; those without one are other pictures mirrored."""
    names = sorted(name.removeprefix(_ROOT).removesuffix(".png") for name in files if name.endswith(".png"))
    return [name for name in names if f"{_ROOT}{name}.txt" in files]


def read_captions(text: bytes) -> dict[str, str]:
    """Captions by language of `LOCALES`: the first line is English, others are ``LANG.utf8=CAPTION``."""
    first, *others = text.decode("utf-8").splitlines() or [""]
    translations = {key: value.strip() for key, _, value in (line.partition(".utf8=") for line in others)}
    captions = {"en": first.strip(), **{code: translations.get(_FILES_SAY.get(code, code), "") for code in LOCALES[1:]}}
    return {code: caption for code, caption in captions.items() if caption}


def _square(content: bytes, size: int) -> Any:
    """The picture in the middle of a white square of `size` pixels, as large as it fits."""
    from PIL import Image, ImageOps

    return ImageOps.pad(decode(content), (size, size), Image.Resampling.LANCZOS, color="white")
