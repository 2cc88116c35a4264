"""Where the pictures come from: packages of Debian and of the install, each as a domain with a column `item`."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from shifts.case import classed, itemized
from shifts.readers import read_idx
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, _digest_of
from unseen.data.images import decode, image_files
from unseen.data.sources import SourceUnavailable, emoji, stamps
from unseen.data.sources.debian import fetch_deb, read_deb
from unseen.data.sources.furniture import (
    _CATALOGUE,
    _ENTRY,
    DENSE,
    _catalogues,
    _member_bytes,
    furniture,
    furniture_credit,
    furniture_makers,
    shape_of,
)
from unseen.data.sources.npm import write_json
from unseen.data.typing import FloatArray
from unseen.runtime import cache_folder, replacing, track

CLIP_ART: Mapping[str, Any] = {
    "version": "1:0.18+dfsg-19",
    "file": "openclipart-png_0.18+dfsg-19_all.deb",
    "bytes": 130_910_028,
    "sha256": "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
}
FASHION: Mapping[str, Any] = {
    "version": "0.0~git20200523.55506a9-1",
    "file": "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "bytes": 30_900_652,
    "sha256": "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
}
THINGS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "mammals": (("animals/mammals", "animals/marsupials"), ("animals/mammals",), ("animal-mammal",)),
    "birds": (("animals/birds",), ("animals/birds",), ("animal-bird",)),
    "sea animals": (
        ("animals/fish", "animals/shellfish", "animals/mammals/aquatic"),
        ("animals/fish",),
        ("animal-marine",),
    ),
    "insects": (("animals/insects",), ("animals/bugs",), ("animal-bug",)),
    "fruit and vegetables": (
        ("food/fruit", "food/nuts", "food/vegetables"),
        ("food/fruit", "food/vegetables"),
        ("food-fruit", "food-vegetable"),
    ),
    "plants": (("plants",), ("plants",), ("plant-flower", "plant-other")),
    "vehicles": (
        ("vehicles",),
        ("transportation/vehicles", "transportation/boating"),
        ("transport-ground", "transport-air", "transport-water"),
    ),
    "tools": (("household/tools", "household/arttools"), ("tools",), ("tool",)),
    "music": (("hobbies/music",), ("recreation/music",), ("musical-instrument",)),
}  # fmt: skip
"""Classes that photographs and clip art (by folder; of two that fit, the longer one) and emoji (by subgroup) share."""
PHOTOGRAPHS = (
    "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "ihc",
    "microaneurysms", "moon", "motorcycle_left", "page", "retina", "rocket",
)  # fmt: skip
"""Pictures that ship with scikit-image, each of them a class of which crops are samples."""


# -- photographs, clip art, emoji --------------------------------------------------------------------------


def thing_of(folder: str, column: int) -> str:
    """The class of `THINGS` that a folder belongs to, '' if none; `column` 0 for Tux Paint, 1 for Open Clip Art."""
    fitting = [
        (len(start), name)
        for name, starts in THINGS.items()
        for start in starts[column]
        if folder == start or folder.startswith(f"{start}/")
    ]
    return max(fitting)[1] if fitting else ""


@cache
def photographs() -> Domain:
    """Photographs among Tux Paint's stamps: many colours, few flat surfaces, and not in a folder of cartoons."""
    drawn = stamps()
    things = np.array([thing_of(folder, 0) for folder in drawn.columns["folder"].tolist()])
    kept = [
        i
        for i in np.flatnonzero(things != "")
        if "cartoon" not in str(drawn.columns["folder"][i]) and _photographic(np.asarray(drawn.x[int(i)]))
    ]
    domain = classed(drawn.take(np.array(kept)), things[kept].tolist(), tuple(THINGS))
    assert domain.ids is not None
    return itemized(domain.replace(name="photographs", columns={}), domain.ids.tolist())


def _photographic(picture: Any) -> bool:
    """Whether a picture on white has 150 colours (of 32,768), and three of ten neighbours at most are alike."""
    thing = picture.min(axis=2) < 250
    colours = np.unique((picture[thing] // 8).astype(np.int64) @ np.array([1024, 32, 1]))
    steps = np.abs(np.diff(picture.mean(axis=2), axis=1))[thing[:, 1:] & thing[:, :-1]]
    return len(colours) >= 150 and bool(len(steps)) and float((steps < 1).mean()) < 0.3


@cache
def clip_art() -> Domain:
    """Open Clip Art in the classes of `THINGS`, each picture once, as squares of 224 pixels on white."""
    folder = cache_folder() / "clip-art" / str(CLIP_ART["file"])
    listing = folder / "things.json"
    root = "usr/share/openclipart/png/"

    def wanted(name: str) -> bool:
        inside = name.removeprefix(root)
        return name.endswith(".png") and thing_of(inside.rpartition("/")[0], 1) != "" and "weapons" not in inside

    if not listing.exists():
        members = read_deb(fetch_deb("openclipart-png", CLIP_ART), wanted, skip_links=True)
        _kept({name.removeprefix(root): content for name, content in members.items()}, folder)
        write_json(listing, sorted(name.removeprefix(root) for name in members))
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    drawn = Domain(x=image_files([folder / name for name in names]), kind="image", ids=np.array(names), name="clip art")
    digests = drawn.digests()
    _, first, counts = np.unique(digests, return_index=True, return_counts=True)
    once = np.zeros(len(names), dtype=bool)
    once[first[counts <= 2]] = True  # what stands more often says that a picture is missing
    things = [thing_of(name.rpartition("/")[0], 1) for name in np.array(names)[once].tolist()]
    return itemized(classed(drawn.take(once), things, tuple(THINGS)), np.array(names)[once].tolist()).replace(
        credits=("Open Clip Art Library (public domain)",)
    )


def things(style: str) -> Domain:
    """Emoji of a style in the classes of `THINGS`."""
    drawn = coded(emoji(style, level="emoji"))
    by = {subgroup: name for name, (_, _, subgroups) in THINGS.items() for subgroup in subgroups}
    return classed(drawn, [by.get(subgroup, "") for subgroup in drawn.columns["subgroup"].tolist()], tuple(THINGS))


def coded(drawn: Domain) -> Domain:
    """Emoji whose item is their code point."""
    return itemized(drawn, drawn.columns["emoji"].tolist())


def _kept(pictures: Mapping[str, bytes], folder: Path, size: int = 224) -> None:
    """Write pictures as squares on white; those that cannot be read are left out."""
    for name in track(sorted(pictures), folder.parent.name):
        file = folder / name
        if file.exists():
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # decode refuses them
                square = ImageOps.pad(decode(pictures[name]), (size, size), Image.Resampling.LANCZOS, color="white")
        except ValueError:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            square.save(part)


@cache
def crops(part: int, each: int = 10, size: int = 96) -> Domain:
    """Squares out of the left half (0) or the right one (1) of scikit-image's photographs, which are the classes."""
    try:
        from skimage.data import data_dir
    except ImportError as error:
        raise SourceUnavailable("photographs need scikit-image: pip install scikit-image") from error

    folder = Path(data_dir)
    squares, labels, items = [], [], []
    for label, name in enumerate(PHOTOGRAPHS):
        file = next(path for path in (folder / f"{name}.png", folder / f"{name}.jpg") if path.exists())
        picture = np.asarray(decode(file))
        middle = picture.shape[1] // 2
        half = picture[:, :middle] if part == 0 else picture[:, middle:]
        rng = np.random.default_rng((label, part))
        edge = min(size, *half.shape[:2])
        for number in range(each):
            top, left = (int(rng.integers(0, length - edge + 1)) for length in half.shape[:2])
            squares.append(half[top : top + edge, left : left + edge])
            labels.append(label)
            items.append(f"{name}/{part}/{number}")
    classes = ClassSpace(names=PHOTOGRAPHS)
    name = f"crops of {('left', 'right')[part]} halves"
    drawn = Domain(x=pictures(squares), y=np.array(labels), kind="image", classes=classes, name=name)
    return itemized(drawn, items)


def pictures(arrays: Iterable[Any]) -> Lazy:
    """Arrays (h, w) or (h, w, 3) of bytes as pictures that are read lazily."""
    kept = [np.ascontiguousarray(array) for array in arrays]
    return Lazy(range(len(kept)), lambda i: Image.fromarray(kept[i]).convert("RGB"), lambda i: _digest_of(kept[i]))


# -- furniture ---------------------------------------------------------------------------------------------


@cache
def icons(makers: tuple[str, ...], classes: str) -> Domain:
    """The picture that a catalogue shows of each of its models; classes are shapes or categories, as in `furniture`."""
    folder = cache_folder() / "furniture" / "icons"
    listing = folder / "models.json"
    if not listing.exists():
        models = _write_icons(folder)
        write_json(listing, models)
    models = [model for model in json.loads(listing.read_text(encoding="utf-8")) if model["maker"] in makers]
    labels = [shape_of(m["name"], m["category"]) if classes == "shape" else m["category"] for m in models]
    names = tuple(sorted(set(labels) - {""}))
    drawn = Domain(
        x=image_files([folder / f"{model['item']}.png" for model in models]),
        kind="image",
        ids=np.array([model["item"] for model in models]),
        name=" and ".join(makers),
        credits=tuple(furniture_credit(maker) for maker in makers),
    )
    return classed(itemized(drawn, [model["item"] for model in models]), labels, names)


def _write_icons(folder: Path) -> list[dict[str, str]]:
    models, shown = [], {}
    for maker in furniture_makers():
        with zipfile.ZipFile(io.BytesIO(_catalogues()[maker])) as archive:
            about: dict[int, dict[str, str]] = {}
            for key, number, value in _ENTRY.findall(_member_bytes(archive, _CATALOGUE).decode("latin-1")):
                about.setdefault(int(number), {})[key] = value
            for entry in about.values():
                if "model" in entry and "icon" in entry:
                    item = f"{maker}/{entry['id'].split('#')[-1]}"
                    shown[f"{item}.png"] = _member_bytes(archive, entry["icon"].lstrip("/"))
                    model = {"item": item, "maker": maker, "name": entry["name"], "category": entry["category"]}
                    models.append(model)
    _kept(shown, folder)
    return [model for model in models if (folder / f"{model['item']}.png").exists()]


@cache
def renders(makers: tuple[str, ...], classes: str) -> Domain:
    """Grey pictures of the models' surfaces from a corner above: discs at their points, darker where they are near."""
    clouds = furniture(makers, classes=classes, n_points=DENSE)  # type: ignore[arg-type]
    assert clouds.ids is not None
    drawn = clouds.replace(
        x=pictures([rendered(cloud) for cloud in track(clouds.x, "renders")]),
        kind="image",
        columns={},
        name=f"renders of {clouds.name}",
    )
    return itemized(drawn, clouds.ids.tolist())


def rendered(cloud: FloatArray, side: int = 128, radius: int = 3) -> Any:
    """One cloud (n, 3) inside the unit sphere as a grey picture, (side, side) of bytes."""
    turn, tilt = np.radians(30), np.radians(20)
    x = np.cos(turn) * cloud[:, 0] - np.sin(turn) * cloud[:, 1]
    y = np.sin(turn) * cloud[:, 0] + np.cos(turn) * cloud[:, 1]
    depth = np.cos(tilt) * y - np.sin(tilt) * cloud[:, 2]
    across, down = side / 2 + 0.46 * side * x, side / 2 - 0.46 * side * (np.sin(tilt) * y + np.cos(tilt) * cloud[:, 2])
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = rows**2 + columns**2 <= radius**2
    shades = np.rint(255 * (0.15 + 0.35 * (depth + 1))).clip(0, 255)
    page = np.full((side, side), 255, dtype=np.uint8)
    for i in np.argsort(-depth, kind="stable"):
        at = (
            np.clip((middle + offset[disc]).astype(int), 0, side - 1)
            for middle, offset in ((down[i], rows), (across[i], columns))
        )
        page[tuple(at)] = shades[i]
    return page


# -- clothes -----------------------------------------------------------------------------------------------


@cache
def fashion() -> tuple[Any, Any]:
    """The test pictures of Fashion-MNIST, (10,000, 28, 28) of bytes, and their labels."""
    root = "usr/share/datasets/fashion-mnist/t10k-"
    names = [f"{root}{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1")]
    members = read_deb(fetch_deb("dataset-fashion-mnist", FASHION), lambda name: name in names)
    return read_idx(*(members[name] for name in names))
