"""Labels as people write them, as indices of classes."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.reading import natural_key
from unseen.data.samples import is_missing
from unseen.data.tasks.base import objects
from unseen.data.tasks.class_ import UNLABELED
from unseen.data.typing import IntArray

logger = logging.getLogger("unseen.data")

_WHOLE = re.compile(r"-?\d+\.0")
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MANY_VALUES = 20
"""Different numbers from which on labels may be measurements."""
_INDEX = re.compile(r"-?\d+")


def label_text(value: Any) -> str | None:
    """One label as the name of a class; None where it is missing (empty, not a number, or -1)."""
    if is_missing(value):
        return None
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value) or value != int(value):
            raise ValueError(f"labels must name classes; got the real number {value}")
        value = int(value)
    text = unicodedata.normalize("NFC", str(value)).strip()
    return None if text in ("", "-1") else text


def encode_labels(
    labels: Iterable[Any], classes: ClassSpace | Sequence[str] | None, *, of_table: bool = False
) -> tuple[IntArray | None, ClassSpace | None]:
    """Labels of any type as indices into a class space.

    Without `classes` the names found become the classes, in natural order. If no sample has a label, `y` is
    None. Names that differ in upper and lower case only are logged as a warning. Tables write whole numbers with a
    fraction (1.0) where a column has gaps: if all labels `of_table` are such, they lose it, unless `classes` has it.
    """
    texts = [label_text(value) for value in labels]
    names = sorted({text for text in texts if text is not None}, key=natural_key)
    space = classes if isinstance(classes, ClassSpace) or classes is None else ClassSpace(names=tuple(classes))
    whole = of_table and all(_WHOLE.fullmatch(text) for text in names)
    if whole and names and not (space is not None and set(names) <= set(space.names)):
        return encode_labels((text and text.removesuffix(".0") for text in texts), space)
    if not names:
        return None, space
    for variants in case_variants(names):
        logger.warning("classes that differ in upper and lower case only: %s", ", ".join(variants))
    if space is None:
        space = ClassSpace(names=tuple(names))
    position = {name: i for i, name in enumerate(space.names)}
    unknown = [name for name in names if name not in position]
    if unknown:
        raise ValueError(
            f"classes lacks {len(unknown)} of the labels in the data, such as {unknown[0]!r}; "
            f"it has {len(space)}, such as {space.names[0]!r}"
        )
    return np.array([UNLABELED if text is None else position[text] for text in texts], dtype=np.int64), space


def names_of(y: IntArray, classes: ClassSpace) -> NDArray[np.object_]:
    """Labels or predictions, indices of `classes`, as names, (n,); "" for -1, an unknown class or no label.

    Names can be compared where indices cannot: those of two domains, or of a model and a target, may be of different
    classes.

    Examples
    --------
    >>> from unseen.data.classes import ClassSpace
    >>> names_of(np.array([1, -1]), ClassSpace(names=("cat", "dog"))).tolist()
    ['dog', '']
    """
    y = np.asarray(y)
    if y.size and (y.dtype.kind not in "iu" or not -1 <= y.min() <= y.max() < len(classes)):
        raise ValueError(
            f"y must hold indices of the {len(classes)} classes, or -1; got {y.dtype}, {y.ravel()[:3]} ..."
        )
    return np.array([*classes.names, ""], dtype=object)[y.astype(np.int64)]


def class_labels(y: Any, classes: ClassSpace | None) -> tuple[Any, ClassSpace | None]:
    """Labels of samples as integers, and the classes that they index.

    Whole numbers of any type are indices. Names are looked up in `classes`, which are those found where there are
    none; so are True and False, unless `classes` calls two classes otherwise, which they index then. A label that is
    missing, or masked, is -1. A column (n, 1) is taken as a row. Of anything else the type is refused where a task
    checks it.
    """
    y = y.detach().cpu() if hasattr(y, "detach") else y
    if isinstance(y, np.ma.MaskedArray):
        y = np.where(np.ma.getmaskarray(y), np.array(None, dtype=object), y.data) if np.ma.is_masked(y) else y.data
    values = np.asarray(y)
    if values.dtype.kind in "US" and values.ndim == 1 and isinstance(y, (list, tuple)):
        values = objects(y)  # what is missing is no text
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    kind = values.dtype.kind
    if values.ndim != 1 or not len(values) or kind not in "USTObf":
        return values, classes
    if kind != "b" and kind != "f" and any(isinstance(value, (str, bytes)) for value in values):
        return encode_labels(values, classes)
    there = [value for value in values if not is_missing(value)]
    truths = {str(value) for value in there if isinstance(value, (bool, np.bool_))}
    if truths and truths == set(map(str, there)) and (classes is None or truths <= set(classes.names)):
        return encode_labels(values, classes)
    texts = [label_text(value) for value in values]
    if not all(text is None or _INDEX.fullmatch(text) or text in ("False", "True") for text in texts):
        return values, classes
    known = {"False": 0, "True": 1}
    return np.array([UNLABELED if t is None else known[t] if t in known else int(t) for t in texts], np.int64), classes


def counted(y: IntArray, classes: ClassSpace) -> dict[str, int]:
    """How many samples of each class there are that has some, by its name."""
    values, counts = np.unique(y[y != UNLABELED], return_counts=True)
    return {classes.names[value]: int(n) for value, n in zip(values, counts)}


def measurements(counts: Mapping[str, int]) -> str | None:
    """What is to be said of classes that are called by many different numbers, as measurements are; None of others.

    Numbers that only count the classes (0, 1, 2, ...) are none.

    Parameters
    ----------
    counts : mapping of name to int
        How many samples of each class there are.
    """
    if len(counts) < MANY_VALUES or not all(_REAL.fullmatch(name) for name in counts):
        return None
    rare = sum(n <= 2 for n in counts.values())
    if 2 * rare < len(counts) or sorted(map(float, counts)) in ([*range(len(counts))], [*range(1, len(counts) + 1)]):
        return None
    return (
        f"its labels are {len(counts)} different numbers, of which {rare} stand once or twice: they look like "
        "measurements, and not like classes; each number is a class of its own here, however near it is to another"
    )


def case_variants(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of names that are equal but for upper and lower case."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.casefold(), []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
