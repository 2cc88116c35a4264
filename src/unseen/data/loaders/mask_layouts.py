"""Which file is the mask of which picture, in the layouts that people have, and what the classes are called."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Skipped
from unseen.data.images import IMAGE_SUFFIXES
from unseen.data.loaders.coco import coco_masks
from unseen.data.loaders.common import inside
from unseen.data.loaders.folder import MASKS, PICTURES, files_below
from unseen.data.reading import natural_key, read_bytes

CLASS_FILES = ("classes.txt", "labels.txt", "class_names.txt", "classes.csv", "class_dict.csv", "labelmap.txt")
COLOUR = 65536

CITYSCAPES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The 19 classes that are graded, and what `labelIds` files call them; all other ids are not known."""
VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table",
    "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which file is the mask of which picture, and what values mean.

    Attributes
    ----------
    names : tuple of str
        What values index, or indices that `remap` or `colours` give them.
    given : tuple of str
        The classes that are asked for; the same, unless `into` says where each of `names` is among them.
    own : tuple of str
        What the data themselves call the classes.
    notes : tuple of str
    missing : tuple of Skipped
        Pictures that are told and are not there.
    """

    name: str
    kind: str
    root: str
    pictures: list[str]
    masks: Mapping[str, Any]
    names: tuple[str, ...] = ()
    colours: Mapping[int, int] = dataclasses.field(default_factory=dict)
    remap: Mapping[int, int] | None = None
    given: tuple[str, ...] = ()
    into: Mapping[int, int] | None = None
    own_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[Skipped, ...] = ()

    def id(self, picture: str) -> str:
        return picture.removeprefix(self.root).lstrip("/")

    def columns(self, kept: Sequence[str]) -> dict[str, NDArray[Any]]:
        known = {"train", "val", "test", "training", "validation"}
        splits = [next((part for part in PurePosixPath(self.id(p)).parts if part.lower() in known), "") for p in kept]
        return {"split": np.array(splits)} if any(splits) else {}


def layout_of(fs: Any, root: str, names: tuple[str, ...], alike: Sequence[str] | None = None) -> Layout:
    """The layout of what lies at a place, its classes being `names`, if there are any.

    Names in a COCO file are found among these; those in a file of classes, too, if `alike` says what they may also be
    called; else `names` are what values index.
    """
    title = PurePosixPath(root).stem or "data"
    if root.endswith(".json"):
        return _coco(fs, root, title, names, alike)
    if not fs.isdir(root) and root:
        return Layout(title, "one picture", root.rpartition("/")[0], [root], {}, names)
    below = [entry.rstrip("/").rpartition("/")[2] for entry in fs.ls(root, detail=False)]
    folders = {
        entry.lower(): f"{root.rstrip('/')}/{entry}" for entry in below if fs.isdir(f"{root.rstrip('/')}/{entry}")
    }
    pictures = next((folders[key] for key in PICTURES if key in folders), None)
    there = [folders[key] for key in MASKS if key in folders]
    masks = next((folder for folder in there if _files(fs, folder)), there[0] if there else None)  # VOC has XML, too
    class_names, colours = _class_file(fs, root, below)
    if pictures is None or masks is None or not _files(fs, masks):
        described = [entry for entry in below if entry.endswith(".json")]
        deeper = [e for e in (fs.ls(masks, detail=False) if masks else ()) if e.endswith(".json")]
        if len(described) + len(deeper) == 1:
            return _coco(
                fs, f"{root.rstrip('/')}/{described[0]}" if described else deeper[0], title, names, alike, root
            )
        if len(described) + len(deeper) > 1:
            raise ValueError(f"{root!r} holds {len(described) + len(deeper)} .json files; name the one that is meant")
        files = _files(fs, pictures or root)
        if not files:
            raise ValueError(
                f"{root!r} holds no pictures; expected images/ beside masks/, or a layout named in the docs"
            )
        return Layout(title, "pictures without masks", root, files, {}, names or class_names, own_names=class_names)
    stems: dict[str, str] = {}
    for file in _files(fs, masks):
        stems.setdefault(_stem(file.removeprefix(masks)), file)
        if file.endswith("labelTrainIds.png"):
            stems[_stem(file.removeprefix(masks))] = file
    files = _files(fs, pictures)
    if not files:
        raise ValueError(f"{pictures!r} holds no pictures; there are masks in {masks!r}")
    pairs = {picture: stems.get(_stem(picture.removeprefix(pictures))) for picture in files}
    if not any(pairs.values()) and stems:
        told_by = sorted(stems)[0]
        raise ValueError(
            f"{root!r}: no mask is called as a picture; there is a mask {told_by!r} and a picture "
            f"{_stem(files[0].removeprefix(pictures))!r}"
        )
    default: tuple[str, ...] = ()
    kind, remap = "images and masks", None
    into, notes = (None, ()) if alike is None or not class_names else _by_name(class_names, names, alike)
    if pictures.lower().endswith("leftimg8bit"):
        kind, default = "Cityscapes", CITYSCAPES
        named = (class_names if into is not None else names) or class_names or default
        if len(named) == len(CITYSCAPES) and any(mask and mask.endswith("_labelIds.png") for mask in pairs.values()):
            remap = dict(zip(CITYSCAPES_IDS, range(len(CITYSCAPES_IDS))))
    elif masks.lower().endswith("segmentationclass"):
        kind, default = "VOC", VOC
    own_names = class_names or default
    indexed = own_names if into is not None else names or own_names
    return Layout(title, kind, root, files, pairs, indexed, colours, remap, names or own_names, into, own_names, notes)


def _coco(
    fs: Any,
    file: str,
    title: str,
    names: tuple[str, ...],
    alike: Sequence[str] | None,
    root: str | None = None,
) -> Layout:
    """The pictures of a COCO file in a folder: its own where none is told, or the one above if it is annotations/."""
    parent = file.rpartition("/")[0]
    if root is None:
        above, _, last = parent.rpartition("/")
        root = above if last.lower() in MASKS else parent
    with_masks, categories = coco_masks(json.loads(read_bytes(fs, file)))
    entries = [entry.rstrip("/").rpartition("/")[2] for entry in fs.ls(root or "/", detail=False)]
    entry_paths = {entry.lower(): f"{root.rstrip('/')}/{entry}" for entry in entries}
    images = next((entry_paths[key] for key in PICTURES if key in entry_paths and fs.isdir(entry_paths[key])), None)
    beside = [root] if images else list(dict.fromkeys((parent, root)))  # beside images/, a folder of masks is no place
    places = _pictures_of(fs, file, beside, images or root, list(with_masks))
    missing = [name for name in with_masks if name not in places]
    where = repr(images or root or "the archive")
    if not places:
        first = f", the first: {missing[0]!r}" if missing else ""
        raise ValueError(
            f"{file}: none of its {len(with_masks)} pictures lies in {where}{first}; the file must lie beside its "
            "pictures, above their folder, or in a folder such as annotations/ beside it"
        )
    pairs = {places[name]: drawn for name, drawn in with_masks.items() if name in places}
    into, notes = _by_name(categories, names, alike or (), in_order=True)
    if missing:
        gone = f"{len(missing)} of the {len(with_masks)} pictures of {PurePosixPath(file).name} are not there"
        notes = (f"{gone}, the first: {missing[0]}", *notes)
    files = sorted(pairs, key=natural_key)
    absent = tuple(Skipped(name, f"no picture in {where} is called so") for name in missing)
    indexed = categories if into is not None else names or categories
    given = names or categories
    return Layout(title, "COCO", root, files, pairs, indexed, {}, None, given, into, categories, notes, absent)


def _pictures_of(fs: Any, file: str, beside: Sequence[str], area: str, names: Sequence[str]) -> dict[str, str]:
    """Where the pictures of a COCO file are, by the names that it gives them; one that is nowhere is left out.

    All are looked for in one way, the first by which any is found, so that for a picture that is gone none is taken
    from elsewhere: at their paths from a folder of `beside`; at their paths from any folder of `area`; at the ends of
    these paths, which may begin with folders of another machine, and at last by their names alone, in folders that are
    called as such of pictures.

    Raises
    ------
    ValueError
        If a picture is in two places, or two are in one.
    """
    paths = {name: inside(name) for name in names}
    for folder in beside:
        at = {name: f"{folder.rstrip('/')}/{path}" for name, path in paths.items()}
        if there := {name: place for name, place in at.items() if fs.isfile(place)}:
            return there
    below: dict[str, list[str]] = {}
    for place in _files(fs, area or "/"):
        below.setdefault(PurePosixPath(place).name, []).append(place)
    for dropped in range(max((path.count("/") for path in paths.values()), default=0) + 1):
        candidates: dict[str, list[str]] = {}
        for name, path in paths.items():
            end = _without(path, dropped)
            places = [place for place in below.get(PurePosixPath(end).name, ()) if f"/{place}".endswith(f"/{end}")]
            any_folder = not dropped or "/" in end
            candidates[name] = [place for place in places if any_folder or _is_home(place, beside)]
        if any(candidates.values()):
            return _each_once(file, candidates)
    return {}


def _without(path: str, dropped: int) -> str:
    """A path without so many of the folders that it begins with."""
    parts = path.split("/")
    return "/".join(parts[min(dropped, len(parts) - 1) :])


def _is_home(place: str, folders: Sequence[str]) -> bool:
    """Whether a picture lies in one of these folders, or in one that is called as those of pictures are."""
    home = place.rpartition("/")[0]
    return home in folders or home.rpartition("/")[2].lower() in PICTURES


def _each_once(file: str, places: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The place of each picture that has one; `ValueError` if one has two, or two have the same."""
    named: dict[str, str] = {}
    for name, paths in places.items():
        if len(paths) > 1:
            raise ValueError(
                f"{file}: its picture {name!r} is in more than one place, {paths[0]!r} and {paths[1]!r}; write its "
                "folder into file_name, or put the file beside its pictures"
            )
        for place in paths:
            if place in named:
                raise ValueError(f"{file}: its pictures {named[place]!r} and {name!r} would both be {place!r}")
            named[place] = name
    return {name: place for place, name in named.items()}


def _by_name(
    data_names: Sequence[str], names: Sequence[str], alike: Sequence[str], in_order: bool = False
) -> tuple[dict[int, int] | None, tuple[str, ...]]:
    """Where the classes that data name stand among those that are given, by their names, and what is left out.

    None if they are the same in the same order. Where none is called as one that is given, and there are as many, they
    are taken `in_order` perhaps.
    """
    place = _places(alike) | _places(names)
    at = [place.get(name, place.get(_folded(name), len(names))) for name in data_names]
    if not names or at == list(range(len(names))):
        return None, ()
    into = {i: k for i, k in enumerate(at) if k < len(names)}
    if not any(_folded(data_names[i]) != "background" for i in into):
        if in_order and len(data_names) == len(names):
            return None, ("no class is called as one that is given: they are taken in the order of their numbers",)
        raise ValueError(
            f"none of the classes {', '.join(data_names[:8])} is called as one of {', '.join(names[:8])}, by which "
            "masks are read; name them alike"
        )
    lost = [name for i, name in enumerate(data_names) if i not in into]
    return into, (f"pixels of {', '.join(lost[:8])} are of no class that is given, and are not known",) if lost else ()


def _places(names: Sequence[str]) -> dict[str, int]:
    """Where each name stands, by itself and as `_folded`, where no other is alike then."""
    folded = Counter(map(_folded, names))
    alone = {_folded(name): i for i, name in enumerate(names) if folded[_folded(name)] == 1}
    return alone | {name: i for i, name in enumerate(names)}


def _folded(name: str) -> str:
    """A name without what no reader sees in it: case, spaces around it, ways to write an accent."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _files(fs: Any, root: str) -> list[str]:
    """Pictures below a folder, in natural order."""
    files, _ = files_below(fs, root)
    return [f"{root.rstrip('/')}/{file}" for file in files if PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES]


_ENDINGS = (
    "_leftImg8bit", "_gtFine_labelTrainIds", "_gtFine_labelIds", "_labelTrainIds", "_labelIds", "_mask", "_label",
    "_gt", "_L", "_seg", "-mask", "_rgb",
)  # fmt: skip


def _stem(file: str) -> str:
    """The path without its suffix and without what tells pictures and masks apart."""
    stem = file.lstrip("/").rpartition(".")[0]
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    return stem


def _class_file(fs: Any, root: str, below: Sequence[str]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of classes and, where they are told, their colours."""
    file = next((entry for entry in CLASS_FILES if entry in below), None)
    if file is None:
        return (), {}
    text = read_bytes(fs, f"{root.rstrip('/')}/{file}").decode("utf-8-sig")
    if not file.endswith(".csv"):
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if file == "labelmap.txt":  # CVAT: name:r,g,b:parts:actions
            parts = [line.split(":") for line in lines]
            colours = {packed_colour(p[1].split(",")): i for i, p in enumerate(parts) if len(p) > 1 and p[1]}
            return tuple(p[0] for p in parts), colours
        return tuple(lines), {}
    rows = [
        {key.strip().lower(): value for key, value in row.items() if key} for row in csv.DictReader(io.StringIO(text))
    ]
    key = next((k for k in ("name", "class", "label") if rows and k in rows[0]), None)
    if key is None or any(len(row[key] or "") > 1000 for row in rows):
        raise ValueError(f"{file} must have a column name, 1,000 letters at most (and r, g, b for coloured masks)")
    colours = {packed_colour([row[c] for c in "rgb"]): i for i, row in enumerate(rows) if all(c in row for c in "rgb")}
    return tuple(row[key].strip() for row in rows), colours


def packed_colour(channels: Sequence[str]) -> int:
    red, green, blue = (int(value) for value in channels)
    return COLOUR * red + 256 * green + blue


def colour_words(value: int) -> str:
    return f"({value // COLOUR}, {value // 256 % 256}, {value % 256})"
