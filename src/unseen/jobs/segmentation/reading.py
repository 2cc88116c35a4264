"""Pictures with masks as `unseen segment` reads them, and where the values of masks begin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.masks import MaskFindings, load_masks
from unseen.data.pixels import as_picture
from unseen.data.tasks.base import objects
from unseen.runtime import track

HELD = 2**30
"""Bytes of pictures that are kept in memory; more are read anew whenever they are needed."""


def read(
    data: Any,
    classes: ClassSpace | Sequence[str] | None,
    size: int,
    ignore: int | None,
    others: Collection[int] = (),
    alike: Sequence[str] | None = None,
) -> tuple[Domain, MaskFindings | None]:
    """Pictures with masks as `load_masks` reads them, and what was found in them; of a `Domain` nothing is looked for.

    `ValueError` where classes go by their names, that is where `alike` is given, if a `Domain` has others.
    """
    if isinstance(data, Domain):
        if data.kind != "image" or data.task != "mask":
            raise ValueError(
                f"{data.name} must hold pictures with task='mask'; it holds {data.kind}, task {data.task!r}"
            )
        names = classes.names if isinstance(classes, ClassSpace) else classes
        if alike is not None and data.classes is not None and data.classes.names != names and data.labeled.any():
            raise ValueError(
                f"{data.name} has the classes {', '.join(data.classes.names[:8])}, and masks are read by "
                f"{', '.join(names or ())[:300]}; give both the same classes in the same order"
            )
        return data, None
    domain, findings = load_masks(data, classes=classes, size=size, ignore=ignore, others=others, alike=alike)
    if 12 * len(domain) * size * size > HELD:
        return domain.replace(x=domain.x.map(as_picture)), findings
    return domain.replace(x=as_samples([as_picture(sample) for sample in track(domain.x, "pictures")])), findings


def first_value(findings: MaskFindings | None) -> int | None:
    """The value of the first class, if masks say it."""
    return None if findings is None else findings.first


def names_alike(space: ClassSpace, findings: MaskFindings | None = None) -> tuple[str, ...] | None:
    """What the data of `findings` call the classes, beside their names, to know them in other data by; None if nobody
    has named them."""
    names = () if findings is None else findings.own
    return None if space.names in (_numbers(len(space)), ("background", "foreground")) and not names else names


def stored_values(findings: MaskFindings | None) -> Collection[int]:
    """Values of masks that say where classes begin; none where colours or names tell the classes."""
    return () if findings is None or findings.first is None else findings.values


def numbered(domain: Domain) -> ClassSpace:
    """Classes that are called by their numbers."""
    highest = (
        max((int(np.max(mask)) for mask in domain.y if mask is not None), default=0) if domain.y is not None else 0
    )
    return ClassSpace(names=_numbers(highest + 1))


def _numbers(n: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(n))


def as_samples(parts: Sequence[Any]) -> Any:
    """Pictures of one size as an array, others as an array of arrays."""
    same = len({tuple(part.shape) for part in parts}) == 1
    return np.stack([part.numpy() for part in parts]) if same else objects(part.numpy() for part in parts)
