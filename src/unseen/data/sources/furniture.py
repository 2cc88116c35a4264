"""Clouds of points of furniture and other objects, from the 820 meshes of Sweet Home 3D that Debian ships."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.meshes import centred, read_obj, sample_surface
from unseen.data.sources.debian import deb_path, fetch_deb, read_deb
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.npm import MAX_MEMBER
from unseen.data.typing import FloatArray
from unseen.runtime import cache_folder, replacing, track

INSTALLED = Path("/usr/share/sweethome3d/furniture")
"""Where the package puts its catalogues if it is installed."""
DENSE = 2048
"""Points drawn from each mesh once and kept; clouds are drawn from these."""
_CATALOGUE = "PluginFurnitureCatalog.properties"
_ENTRY = re.compile(r"^[ \t]*(\w+)#(\d+)[ \t]*[=:][ \t]*(.*?)\s*$", re.MULTILINE)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_COLUMNS = ("category", "creator", "domain", "maker", "name", "size")


@cache
def _pins() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("furniture.json").read_text(encoding="utf-8"))


def furniture_makers() -> tuple[str, ...]:
    """The makers of the models, whose ways of modelling differ: a catalogue each."""
    return tuple(_pins()["makers"])


def furniture_credit(maker: str) -> str:
    """Whom to thank for the models of a maker, with the licence."""
    return str(_pins()["makers"][maker]["credit"])


def furniture_download() -> int:
    """How many bytes are still to be downloaded."""
    present = _kept(furniture_makers()).exists() or deb_path(_pins()["pin"]).exists() or INSTALLED.is_dir()
    return 0 if present else int(_pins()["pin"]["bytes"])


def furniture(
    makers: str | Sequence[str] | None = None,
    *,
    classes: Literal["shape", "category"] = "shape",
    n_points: int = 1024,
    smallest: int = 1,
    random_state: int = 0,
) -> Domain:
    """Return clouds of points from the surfaces of objects, upright (z is up), centred, inside the unit sphere.

    The Debian package is downloaded once, by `apt-get download` (120 MB, no root), at a pinned version, unless it is
    installed; it is read in memory, and 2,048 points of each mesh are kept.

    Parameters
    ----------
    makers : str or sequence of str, optional
        Of `furniture_makers()`; all by default.
    classes : {"shape", "category"}
        Ten shapes that are told by the model's English name and category (seat, table, lamp, …; models of other
        shapes are left out), or the catalogue's twelve categories, which are rooms and kinds of use.
    n_points : int in [1, 2048]
        Points of each cloud, drawn without replacement.
    smallest : int, >= 1
        Classes with fewer models are left out.
    random_state : int
        Of the draw of the points.

    Returns
    -------
    Domain
        Of kind ``points``, x (n, n_points, 3). Columns: ``category``, ``name``, ``maker`` (and ``domain``, the same),
        ``creator``, and ``size``, (n, 3), the real width, depth and height in centimetres.

    Raises
    ------
    ValueError
        If an argument is out of its range, or no model is left.
    SourceUnavailable
        If the package is neither installed nor can be fetched; the message says what to do.
    """
    chosen = (makers,) if isinstance(makers, str) else tuple(makers if makers is not None else furniture_makers())
    unknown = [maker for maker in chosen if maker not in furniture_makers()]
    if unknown or not chosen:
        got = repr(unknown[0]) if unknown else "none"
        raise ValueError(f"makers must be of {', '.join(furniture_makers())}; got {got}")
    if classes not in ("shape", "category"):
        raise ValueError(f"classes must be 'shape' or 'category'; got {classes!r}")
    if not 1 <= n_points <= DENSE:
        raise ValueError(f"n_points must lie in [1, {DENSE}]; got {n_points}")
    if smallest < 1:
        raise ValueError(f"smallest must be at least 1; got {smallest}")
    table = _table()
    shapes = [shape_of(n, c) for n, c in zip(table["name"].tolist(), table["category"].tolist())]
    labels = np.array(shapes, dtype=np.str_) if classes == "shape" else table["category"]
    rows = np.flatnonzero(np.isin(table["maker"], chosen) & (labels != ""))
    names, counts = np.unique(labels[rows], return_counts=True)
    names = names[counts >= smallest]
    rows = rows[np.isin(labels[rows], names)]
    if not len(rows):
        raise ValueError(f"smallest must be at most {counts.max(initial=0)}, the models of the largest class")
    descriptions = tuple(_pins()["shapes"][n][0] for n in names.tolist()) if classes == "shape" else None
    return Domain(
        x=centred(_drawn(table["x"], n_points, random_state)[rows]).astype(np.float32),
        y=np.searchsorted(names, labels[rows]).astype(np.int64),
        kind="points",
        classes=ClassSpace(names=tuple(names.tolist()), descriptions=descriptions),
        ids=table["ids"][rows],
        columns={key: table[key][rows] for key in _COLUMNS},
        name=", ".join(chosen) if makers is not None else "furniture",
        credits=tuple(furniture_credit(maker) for maker in chosen),
    )


def shape_of(name: str, category: str) -> str:
    """The shape of a model by its category, else by the last word of its English name that tells one; perhaps ''."""
    pins = _pins()
    words = {word: shape for shape, (_, many) in pins["shapes"].items() for word in many}
    known = [words[word] for word in re.findall("[a-z]+", name.lower()) if word in words]
    return str(pins["categories"].get(category) or (known[-1] if known else ""))


def _drawn(clouds: FloatArray, n_points: int, seed: int) -> FloatArray:
    """`n_points` points of each cloud in random order, whatever other clouds are asked for, (n, n_points, 3)."""
    order = np.argsort(np.random.default_rng(seed).random(clouds.shape[:2]), axis=1)[:, :n_points]
    return np.take_along_axis(clouds, order[..., None], axis=1)


# -- from the package to the cache ---------------------------------------------------------------------------------


def _kept(makers: Sequence[str]) -> Path:
    """Where the points are kept; pins of other catalogues are other files."""
    pins = "".join(_pins()["makers"][maker]["sha256"] for maker in makers)
    return cache_folder() / "furniture" / f"points-{DENSE}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}.npz"


def _table() -> dict[str, Any]:
    """Points (n, 2048, 3) and columns of all models, from the cache or made and put there."""
    file = _kept(furniture_makers())
    if not file.exists():
        catalogues = _catalogues()
        models = [model for maker in furniture_makers() for model in _models(maker, catalogues[maker])]
        arrays: dict[str, Any] = {key: np.array([model[key] for model in models]) for key in ("x", "ids", *_COLUMNS)}
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            np.savez(part, **arrays)
    try:
        with np.load(file, allow_pickle=False) as kept:
            return {key: kept[key] for key in ("x", "ids", *_COLUMNS)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SourceUnavailable(f"{file} cannot be read ({error}): delete it and try again") from error


def _catalogues() -> dict[str, bytes]:
    """The catalogue of each maker, a zip: from the installed package if it is the pinned one, else from its archive."""
    pins = _pins()
    files = {maker: about["file"] for maker, about in pins["makers"].items()}
    there = {maker: INSTALLED / file for maker, file in files.items()}
    if all(path.is_file() for path in there.values()):
        contents = {maker: path.read_bytes() for maker, path in there.items()}
        if all(_as_pinned(maker, content) for maker, content in contents.items()):
            return contents
    archive = fetch_deb(pins["package"], pins["pin"])
    members = read_deb(archive, lambda name: name.endswith(".sh3f"))
    by_file = {Path(name).name: content for name, content in members.items()}
    for maker, file in files.items():
        if file not in by_file or not _as_pinned(maker, by_file[file]):
            raise SourceUnavailable(f"{archive.name} lacks {file} as it was pinned: delete {archive} and try again")
    return {maker: by_file[file] for maker, file in files.items()}


def _as_pinned(maker: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == _pins()["makers"][maker]["sha256"]


def _models(maker: str, content: bytes) -> list[dict[str, Any]]:
    """Points and columns of the models in a catalogue, in its order."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        about: dict[int, dict[str, str]] = {}
        for key, number, value in _ENTRY.findall(_member_bytes(archive, _CATALOGUE).decode("latin-1")):
            about.setdefault(int(number), {})[key] = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), value)
        numbers = sorted(number for number, entry in about.items() if "model" in entry)
        return [_model(archive, maker, about[number]) for number in track(numbers, f"points of {maker}")]


def _model(archive: zipfile.ZipFile, maker: str, about: Mapping[str, str]) -> dict[str, Any]:
    identity = f"{maker}/{about['id'].split('#')[-1]}"
    try:
        size = np.array([float(about[key]) for key in ("width", "depth", "height")])
        rotation = np.array(about.get("modelRotation", "1 0 0 0 1 0 0 0 1").split(), dtype=float).reshape(3, 3)
        vertices, triangles = read_obj(_member_bytes(archive, about["model"].lstrip("/")))
        upright = vertices @ rotation.T
        upright = np.stack([upright[:, 0], -upright[:, 2], upright[:, 1]], axis=1)  # y is up in OBJ, z here
        rng = np.random.default_rng(zlib.crc32(identity.encode()))
        points = sample_surface(_sized(upright, triangles, size), triangles, DENSE, rng)
    except (ValueError, KeyError) as error:
        raise SourceUnavailable(f"the model {identity} cannot be read: {error}") from error
    return {
        "x": centred(points).astype(np.float32),
        "ids": identity,
        "category": about["category"],
        "creator": about.get("creator", ""),
        "domain": maker,
        "maker": maker,
        "name": about["name"],
        "size": size,
    }


def _sized(vertices: FloatArray, triangles: Any, size: FloatArray) -> FloatArray:
    """The vertices with the sides that the catalogue tells, in centimetres."""
    named = np.zeros(len(vertices), dtype=bool)
    named[triangles] = True
    used = vertices[named]
    sides = used.max(axis=0) - used.min(axis=0)
    return vertices * np.divide(size, sides, out=np.ones(3), where=sides > 1e-9 * sides.max())


def _member_bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > MAX_MEMBER:
        raise ValueError(f"{name} is larger than {MAX_MEMBER:,} bytes")
    return archive.read(info)
