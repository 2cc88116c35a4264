"""Pictures with a class for every pixel, in the layouts that people have, and what is wrong with their masks."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Skipped
from unseen.data.images import decode_indices, image_files
from unseen.data.loaders.coco import OtherSizeError
from unseen.data.loaders.common import OnError, locate, settle
from unseen.data.loaders.mask_layouts import COLOUR, Layout, colour_words, layout_of
from unseen.data.loaders.shrinking import Shrink, smaller, upright_size
from unseen.data.reading import open_file, read_bytes
from unseen.data.tasks.base import objects
from unseen.data.tasks.mask import UNKNOWN
from unseen.files import reads, sentence
from unseen.runtime import track

IGNORE = 255
"""The value of masks that says that nothing is known."""
MOST_VALUES = 24
"""Values that are told one by one."""
SHOWN = 8
"""Classes that are named in a line."""
MOST_PIXELS = 2_000_000_000
"""Pixels of all masks together that are held in memory; more are refused unless pictures are made smaller."""

SIDES = ("picture height", "picture width")
"""Columns of what pictures measure in their files, before they are made smaller."""


@dataclasses.dataclass(frozen=True)
class MaskFindings:
    """What was found in masks before anything is learnt.

    Attributes
    ----------
    layout : str
        Which layout it was taken for.
    pictures, masks : int
        How many pictures are read, and how many of them have a mask.
    values : mapping of int to int
        Pixels of each value that is stored in the files; a colour is 65,536 red + 256 green + blue.
    ignored : float
        Share of the pixels of masks of which nothing is known.
    absent : tuple of str
        Classes without a pixel.
    mismatched : tuple of str
        Pictures whose mask has another size; they are left out.
    warnings : tuple of str
        What is probably not meant, in sentences.
    first : int or None
        The value of the first class: 1 where masks hold 1 to n and no 0. None where values are told otherwise, or there
        are none.
    coloured : bool
        Whether values are colours.
    own : tuple of str
        What the data themselves call the classes, in the order of values; empty if they do not.
    notes : tuple of str
        Those of `warnings` that say which pictures and classes are taken for which, whatever masks hold.
    """

    layout: str
    pictures: int
    masks: int
    values: Mapping[int, int]
    ignored: float
    absent: tuple[str, ...]
    mismatched: tuple[str, ...]
    warnings: tuple[str, ...]
    first: int | None = None
    coloured: bool = False
    own: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The same in words."""
        name = colour_words if self.coloured else str
        values = ", ".join(f"{name(value)} ({n:,})" for value, n in list(self.values.items())[:MOST_VALUES])
        grey = not self.coloured and self.layout != "COCO" and IGNORE in self.values
        marked = f"; value {IGNORE} stands in {self.values[IGNORE]:,}" if grey else ""
        sentences = [f"{self.layout}: {self.pictures} pictures, {self.masks} with a mask"]
        if self.masks:
            what = "colours (red, green, blue)" if self.coloured else "values"
            sentences.append(
                f"{what} in masks, with pixels: {values}{' ...' if len(self.values) > MOST_VALUES else ''}"
            )
            sentences.append(f"nothing is known of {self.ignored:.1%} of the pixels{marked}")
        if self.mismatched:
            n = len(self.mismatched)
            sentences.append(
                f"{n} masks are not as large as their pictures, which are left out: {self.mismatched[0]}, ..."
            )
        return sentences + [f"note: {warning}" for warning in self.warnings]


@reads("a folder of pictures with masks", "write masks as PNG with the names of their pictures, or a COCO .json")
def load_masks(
    path: str | os.PathLike[str],
    *,
    classes: ClassSpace | Sequence[str] | None = None,
    size: int | None = None,
    ignore: int | None = IGNORE,
    others: Collection[int] = (),
    alike: Sequence[str] | None = None,
    name: str | None = None,
    on_error: OnError = "skip",
) -> tuple[Domain, MaskFindings]:
    """Load pictures with masks, and say what was found in the masks.

    Understood are: ``images/`` beside ``masks/`` (or labels, annotations, ...) with equal names, with splits or other
    folders below; Cityscapes' ``leftImg8bit/`` beside ``gtFine/``; VOC's ``JPEGImages/`` beside ``SegmentationClass/``;
    a COCO ``.json`` file (or a folder with one) with polygons or run lengths; a folder of pictures, or one picture,
    without masks. Names of classes come from `classes`, from ``classes.txt`` (a line each) or ``classes.csv`` (name,
    and r, g, b where masks are coloured) in the folder, or from the layout. A picture without a mask is unlabelled.
    The columns ``picture height`` and ``picture width`` tell what pictures measure in their files.

    Parameters
    ----------
    path : path or fsspec URL
    classes : ClassSpace or sequence of names, optional
        What the values of masks index.
    size : int, optional
        Longest side of pictures and masks, in pixels: larger ones are made smaller when they are read, masks by the
        nearest value.
    ignore : int or None
        Value of pixels of which nothing is known; None if there is none. In coloured masks 255 is a colour, blue, and
        of a COCO file it is a class: there, what has no class is not known.
    others : collection of int
        Values of other masks of the same data: whether classes begin at 0 or at 1 is decided over all.
    alike : sequence of str, optional
        If given, a file of classes in the folder goes before the order of `classes`, as the names in a COCO file always
        do: what it names is the class of `classes` that is called so, or whose place in `alike` is. What the classes
        are called in the file of other masks of the same data is meant; it may be empty.
    name : str, optional
    on_error : {"skip", "fail"}

    Raises
    ------
    FileNotFoundError
        If nothing is at `path`.
    ValueError
        If there is no picture, no layout fits, values have no class, no class is called as one of `classes`, or masks
        are more than memory should hold.
    """
    if size is not None and not 8 <= size <= 8192:
        raise ValueError(f"size must lie in [8, 8192] pixels; got {size}")
    fs, root = locate(path)
    names = tuple(classes.names if isinstance(classes, ClassSpace) else classes or ())
    layout = layout_of(fs, root, names, alike)
    reader = _Reader(fs, layout, ignore, others)
    masks: list[NDArray[Any] | None] = []
    kept: list[str] = []
    shapes: list[tuple[int, int]] = []
    skipped: list[Skipped] = list(layout.missing)
    mismatched: list[str] = []
    held = 0
    for picture in track(layout.pictures, "masks") if any(layout.masks.values()) else layout.pictures:
        try:
            with open_file(fs, picture) as file:
                shape = upright_size(file)
            mask = reader(picture, shape)
            if mask is not None and mask.shape != shape:
                raise OtherSizeError(mask.shape, shape)
            reader.count(mask, picture)
        except Exception as error:  # whatever a file does to its reader: it is left out and told
            mismatched += [layout.id(picture)] if isinstance(error, OtherSizeError) else []
            skipped.append(Skipped(layout.id(picture), sentence(error)))
            continue
        mask = None if mask is None else smaller(mask, size)
        held += 0 if mask is None else mask.size
        if held > MOST_PIXELS:
            raise ValueError(f"masks of more than {MOST_PIXELS:,} pixels are not held in memory; give a smaller size")
        masks.append(mask)
        kept.append(picture)
        shapes.append(shape)
    left_out = settle(skipped, on_error, name or layout.name)
    if not kept:
        first = f", the first: {left_out[0].where}: {left_out[0].why}" if left_out else ""
        raise ValueError(f"{os.fspath(path)}: none of {len(skipped)} pictures can be read with its mask{first}")
    space, y, warnings = reader.settle(masks, classes)
    files = image_files(kept, fs)
    domain = Domain(
        x=files if size is None else files.map(Shrink(size)),
        y=y,
        kind="image",
        task="mask",
        classes=space,
        ids=np.array([layout.id(picture) for picture in kept]),
        columns={**layout.columns(kept), **dict(zip(SIDES, np.array(shapes).T))},
        name=name or layout.name,
        skipped=left_out,
    )
    return domain, _findings(layout, domain, reader, mismatched, warnings)


# -- masks -------------------------------------------------------------------------------------------------


class _Reader:
    """Reads masks as classes, and counts what is stored in them."""

    def __init__(self, fs: Any, layout: Layout, ignore: int | None, others: Collection[int]) -> None:
        self.fs, self.layout, self.ignore, self.others, self.first = fs, layout, ignore, set(others), 0
        numbered = layout.into is None or len(layout.names) == len(layout.given)
        self.is_plain = layout.kind != "COCO" and not layout.colours and layout.remap is None and numbered
        self.values: Counter[int] = Counter()
        self.coloured = bool(layout.colours)
        self.in_colour: list[str] = []

    def __call__(self, picture: str, shape: tuple[int, int]) -> NDArray[Any] | None:
        """The mask of a picture as it is stored; None if it has none."""
        place = self.layout.masks.get(picture)
        if place is None:
            return None
        raw = place(*shape) if callable(place) else decode_indices(read_bytes(self.fs, place))
        return raw if raw.max(initial=0) > np.iinfo(np.int16).max else raw.astype(np.int16)

    def count(self, mask: NDArray[Any] | None, picture: str) -> None:
        """Take in what is stored in the mask of a picture that is kept."""
        if mask is not None:
            values, counts = np.unique(mask, return_counts=True)
            self.values.update(dict(zip(values.tolist(), counts.tolist())))
            if values.max(initial=0) >= COLOUR:
                self.coloured, self.in_colour = True, [*self.in_colour, str(self.layout.masks[picture])]

    def settle(
        self, masks: Sequence[NDArray[Any] | None], classes: ClassSpace | Sequence[str] | None
    ) -> tuple[ClassSpace | None, NDArray[Any] | None, list[str]]:
        """Classes, masks as indices into them, and what is probably not meant."""
        names, layout, warnings = self.layout.names, self.layout, list(self.layout.notes)
        if not self.values:
            names = layout.given or names
            space = classes if isinstance(classes, ClassSpace) else ClassSpace(names=names) if names else None
            return space, None, warnings
        stored_so = not self.coloured and layout.kind != "COCO"
        nothing = self.ignore is None or (self.ignore == IGNORE and not stored_so)
        unknown = set() if nothing else {self.ignore}
        present = set(self.values) - unknown
        every = set(self.values) | (self.others if self.is_plain else set())
        stored = every - unknown
        table: dict[int, int] | None = None
        if layout.colours:
            table = dict(layout.colours)
            if present - set(table):
                detail = ", ".join(map(colour_words, sorted(present - set(table))[:3]))
                warnings.append(
                    f"{len(present - set(table))} colours of masks are of no class and are not known: {detail}"
                )
        elif self.coloured:
            few, n = self.in_colour, sum(mask is not None for mask in masks)
            detail = f" in {len(few)} of {n} files, such as {few[0]!r} (the others may hold numbers)" * (len(few) < n)
            raise ValueError(
                f"masks are in {len(self.values)} colours{detail}; classes.csv in the folder must tell the class of "
                "each: columns name, r, g, b"
            )
        elif layout.remap is not None:
            table = dict(layout.remap)
        elif every <= {0, IGNORE} and IGNORE in every and len(names) in (0, 2):
            table, names = {0: 0, IGNORE: 1}, names or ("background", "foreground")
            warnings.append("masks hold 0 and 255 alone: 255 is taken for the class foreground, not for unknown pixels")
        elif names and min(stored, default=1) == 1 and max(stored, default=0) == len(names):
            table, self.first = {i + 1: i for i in range(len(names))}, 1
            warnings.append(f"masks hold 1 to {len(names)} for {len(names)} classes: 1 is taken for the first of them")
        if table is None:
            highest = max(present, default=0)
            if names and highest >= len(names):
                raise ValueError(
                    f"masks hold the value {highest}, but there are {len(names)} classes, such as {names[0]!r}; values "
                    f"found: {', '.join(map(str, sorted(self.values)[:30]))}{_begin(present, every, len(names))}"
                )
            names = names or tuple(f"class {i}" for i in range(highest + 1))
            table = {value: value for value in present if value >= 0}
        if IGNORE in unknown and IGNORE in self.values and len(names) > IGNORE:
            warnings.append(
                f"value {IGNORE} is taken for unknown pixels, not for class {names[IGNORE]}: another ignore, or none, "
                "must be told"
            )
        table = {value: label for value, label in table.items() if value not in unknown or every <= {0, IGNORE}}
        if layout.into is not None:
            names, table = layout.given, {v: layout.into[label] for v, label in table.items() if label in layout.into}
        y = objects(None if mask is None else _mapped(mask, table, len(names)) for mask in masks)
        space = classes if isinstance(classes, ClassSpace) else ClassSpace(names=names)
        return space, y, warnings


def _begin(present: Collection[int], every: Collection[int], n: int) -> str:
    """Why values count from 0, where all would be classes if they did from 1, and what to do; else empty."""
    if max(present) != n or 0 not in every:
        return ""
    where = "masks hold 0, too" if 0 in present else "they begin at 1 here, but other masks of the data hold 0"
    ways = "name the class of 0, too, or say ignore=0 if nothing is known there"
    return (
        f". Values count from 0 because {where}: {ways}{'' if 0 in present else ', or renumber those that begin at 1'}"
    )


def _mapped(mask: NDArray[Any], table: Mapping[int, int], n: int) -> NDArray[Any]:
    """Stored values as classes, -1 where a value has none."""
    values, inverse = np.unique(mask, return_inverse=True)
    kind = np.int8 if n <= np.iinfo(np.int8).max else np.int16
    return np.array([table.get(int(v), UNKNOWN) for v in values], dtype=kind)[inverse.reshape(mask.shape)]


def _findings(
    layout: Layout, domain: Domain, reader: _Reader, mismatched: Sequence[str], warnings: Sequence[str]
) -> MaskFindings:
    known = [] if domain.y is None else [mask for mask in domain.y if mask is not None]
    total = sum(mask.size for mask in known)
    counts = Counter[int]()
    for mask in known:
        values, number = np.unique(mask, return_counts=True)
        counts.update(dict(zip(values.tolist(), number.tolist())))
    names = domain.classes.names if domain.classes is not None else ()
    absent = tuple(name for i, name in enumerate(names) if known and not counts[i])
    messages = list(warnings)
    ignored = counts[UNKNOWN] / max(total, 1)
    if ignored > 0.5:
        messages.append(f"nothing is known of {ignored:.0%} of the pixels of masks")
    if known and counts[0] / max(total - counts[UNKNOWN], 1) > 0.98:
        share = counts[0] / max(total - counts[UNKNOWN], 1)
        messages.append(f"{share:.1%} of the known pixels are of {_classes(names[:1])}")
    if absent:
        more = f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""
        messages.append(f"no pixel is of {_classes(absent[:SHOWN])}{more}")
    if len(absent) > len(names) / 2:
        messages.append(
            f"{len(absent)} of {len(names)} classes have no pixel: are these the values, or names, of classes?"
        )
    return MaskFindings(
        layout.kind,
        len(domain),
        len(known),
        dict(sorted(reader.values.items())),
        ignored,
        absent,
        tuple(mismatched),
        tuple(messages),
        reader.first if reader.is_plain and known else None,
        reader.coloured,
        layout.own_names,
        layout.notes,
    )


def _classes(names: Sequence[str]) -> str:
    """Classes by name; those without a name of their own are called class 0, class 1, ..."""
    return f"class {', '.join(names).removeprefix('class ')}"
