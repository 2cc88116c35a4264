"""Photographs that packages ship: desktop backgrounds of Debian, and the samples of scikit-learn and scikit-image."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.images import decode, image_files
from unseen.data.sources.debian import deb_path, fetch_deb, read_deb
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.npm import write_json
from unseen.runtime import cache_folder, replacing

_SHIPPED: Mapping[str, str] = {
    "china": "sklearn/datasets/images/china.jpg",
    "flower": "sklearn/datasets/images/flower.jpg",
    "astronaut": "skimage/data/astronaut.png",
    "chelsea": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "rocket": "skimage/data/rocket.jpg",
    "motorcycle": "skimage/data/motorcycle_left.png",
}
"""Photographs in wheels, by name."""

SETS = ("mate", "lomiri", "budgie", "shipped")
"""What `photographs` gives."""


@functools.cache
def _pins() -> Mapping[str, Any]:
    """Where the sets come from, and whom to thank."""
    text = Path(__file__).with_name("photographs.json").read_text(encoding="utf-8")
    pins: Mapping[str, Any] = json.loads(text)["photographs"]
    return pins


def photographs_credit(name: str) -> str:
    """Whom to thank for a set."""
    return str(_pins()[name]["credit"])


def photographs_download(name: str) -> int:
    """How many bytes are still to be downloaded."""
    pin = _pins()[name]
    return 0 if "package" not in pin or deb_path(pin).exists() else int(pin["bytes"])


def photographs(name: str, *, longest: int = 800) -> Domain:
    """Return photographs without labels, as pictures whose longer side has `longest` pixels at most.

    A Debian package is downloaded once, by `apt-get download` (12 to 47 MB, no root), at a pinned version, and read in
    memory; the smaller pictures are kept in the cache. ``shipped`` are those of installed wheels: nothing is fetched.

    Parameters
    ----------
    name : {"mate", "lomiri", "budgie", "shipped"}
    longest : int in [64, 4096]

    Raises
    ------
    SourceUnavailable
        If a package cannot be fetched, read, or is not installed.
    """
    if name not in SETS:
        raise ValueError(f"name must be one of {', '.join(SETS)}; got {name!r}")
    if not 64 <= longest <= 4096:
        raise ValueError(f"longest must lie in [64, 4096] pixels; got {longest}")
    pin = _pins()[name]
    folder = cache_folder() / "photographs" / str(pin.get("version", "wheels")) / name / str(longest)
    file = folder / "names.json"
    if not file.exists():
        photos = _unpacked(pin) if "package" in pin else _shipped()
        for title, content in photos.items():
            picture = folder / f"{title}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            image = decode(content)
            image.thumbnail((longest, longest))
            with replacing(picture) as part:
                image.save(part, format="PNG")
        write_json(file, {title: f"{title}.png" for title in photos})
    titles = sorted(path.stem for path in folder.glob("*.png"))
    return Domain(
        x=image_files([folder / f"{title}.png" for title in titles]),
        kind="image",
        ids=np.array([f"{name}/{title}" for title in titles]),
        name=name,
        credits=(pin["credit"],),
    )


def _unpacked(pin: Mapping[str, Any]) -> dict[str, bytes]:
    """The photographs of a Debian package, by name without ending; drawings are left out."""
    archive = fetch_deb(pin["package"], pin)
    try:
        files = read_deb(
            archive, lambda path: path.startswith(pin["folder"]) and path.endswith(".jpg"), skip_links=True
        )
    except ValueError as error:
        raise SourceUnavailable(f"{error}: delete {archive} and try again") from error
    named = {PurePosixPath(path).stem: content for path, content in files.items()}
    return {title: content for title, content in named.items() if not any(word in title for word in pin["drawn"])}


def _shipped() -> dict[str, bytes]:
    photos = {}
    for title, path in _SHIPPED.items():
        package, _, file = path.partition("/")
        spec = importlib.util.find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        there = next((Path(place) / file for place in places if (Path(place) / file).is_file()), None)
        if there is None:
            raise SourceUnavailable(f'the photograph {title} comes with {package}: pip install "unseen[photos]"')
        photos[title] = there.read_bytes()
    return photos
