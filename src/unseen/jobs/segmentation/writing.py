"""What `unseen segment` writes, and whether a folder holds something else that would be lost."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.masks import IGNORE, SIDES
from unseen.data.loaders.shrinking import at_size
from unseen.files import read_json
from unseen.jobs.segmentation.model import SegmentModel
from unseen.nn.state import digest, refuse_foreign
from unseen.runtime import track

WRITTEN = ("segmentation.json", "model", "masks", "report.html")
"""What stands in the folder of a run; the first says what was asked for."""
APPLIED = ("masks.json", "masks")
"""What stands in the folder of masks by a saved model."""
PLACES = ("source", "target", "model")
"""Arguments that are paths, if they are texts."""


def asked_for(**given: Any) -> dict[str, Any]:
    """What a run was asked for, as plain data: equal for equal arguments, the paths of data and model from the root."""
    return {key: _place(value) if key in PLACES else _plain(value) for key, value in given.items()}


def _place(value: Any) -> Any:
    if not isinstance(value, (str, os.PathLike)):
        return _plain(value)
    return str(Path(value).resolve()) if Path(value).exists() else os.fspath(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Domain):
        return f"{value.name} {value.fingerprint(labels=True)[:16]}"
    if isinstance(value, SegmentModel):
        return _plain(value.method.network())
    if isinstance(value, nn.Module):
        return digest(dict(value.state_dict()))[:16]
    if isinstance(value, ClassSpace):
        return list(value.names)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in sorted(value.items())}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def refuse_others(out: str | os.PathLike[str], asked: Mapping[str, Any], written: tuple[str, ...] = WRITTEN) -> None:
    """Raise, before the long work, if the folder holds what was asked for otherwise, or what was not written here.

    `FileExistsError` for other files, `ValueError` for another run.
    """
    out = Path(out)
    refuse_foreign(out, written)
    if not (out / written[0]).exists():
        return
    try:
        other = dict(read_json(out / written[0])["asked"])
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or of an earlier version
        other = {}
    differ = [key for key, value in asked.items() if key not in other or other[key] != value]
    if differ:
        difference = f" (of other {', '.join(differ)})" if other else ", which does not say what it was asked for"
        raise ValueError(f"out: {out} holds another run{difference}; choose another folder or remove it")


def write_masks(target: Domain, masks: NDArray[Any], folder: Path) -> None:
    """A grey PNG for each picture, whose values are class indices, under its name in the folder of all pictures.

    It is as large as the picture in its file, by the nearest value, if the target says how large that is.
    """
    from PIL import Image

    assert target.ids is not None
    inner = [Path(*(part for part in Path(name).parts if part not in ("..", "/"))) for name in target.ids.tolist()]
    above = os.path.commonpath([path.parent for path in inner])
    sides = zip(*(target.columns[side].tolist() for side in SIDES)) if SIDES[0] in target.columns else None
    shapes = [np.shape(mask) for mask in masks] if sides is None else list(sides)
    for path, mask, shape in track(list(zip(inner, masks, shapes)), "masks"):
        file = folder / path.relative_to(above).with_suffix(".png")
        if file.exists():  # of two pictures that differ in their endings alone
            file = file.with_name(f"{path.name}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        kind = np.uint8 if int(mask.max(initial=0)) < IGNORE else np.uint16
        Image.fromarray(at_size(np.asarray(mask).astype(kind), shape)).save(file)


def told_size(target: Domain, size: int) -> str | None:
    """That the network saw pictures smaller than the masks that `write_masks` wrote of them; None if it did not."""
    largest = max((int(target.columns[side].max()) for side in SIDES if side in target.columns), default=0)
    if largest <= size:
        return None
    return f"masks are as large as their pictures; the network saw these with {size} pixels on their longest side"
