"""Masks by a saved network, without learning, and how good they are where pictures have masks."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.loaders.masks import IGNORE, MaskFindings
from unseen.evaluation.drive import Together
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks import grades_of
from unseen.jobs.segmentation.model import SegmentModel
from unseen.jobs.segmentation.writing import APPLIED, asked_for, refuse_others, write_masks
from unseen.nn.state import write_folder
from unseen.strict_json import strict_json


@dataclasses.dataclass(frozen=True)
class Applied:
    """Masks of pictures by a saved network.

    Attributes
    ----------
    target : Domain
    masks, sure : arrays of n arrays (h, w)
        The class of every pixel, and its probability, as large as the pictures that the network saw.
    graded : mapping of str to float, or None
        Figures of the masks that pictures have, opened when all is said; None if no picture has one.
    findings : MaskFindings or None
        Of the masks of the target.
    about : mapping
        What is written: classes, how many masks, the figures, and what was asked for.
    """

    target: Domain
    masks: NDArray[Any]
    sure: NDArray[Any]
    graded: Mapping[str, float] | None
    findings: MaskFindings | None
    about: Mapping[str, Any]


def apply(model: str | os.PathLike[str], target: str | os.PathLike[str], *, ignore: int | None = IGNORE) -> Applied:
    """Masks of a picture, or of a folder, by the model in a folder; masks of the target, if there are some, grade.

    Raises
    ------
    ValueError
        If the model cannot be read, or the masks of the target have other classes than it.
    """
    saved = SegmentModel.load(model)
    domain, findings = saved.read(target, ignore)
    _, masks, sure = saved.predict(domain)
    graded = None
    if domain.labeled.any():
        grade = functools.partial(grades_of("mask").grade, classes=saved.classes)
        graded = Together(grade)(Exam(domain, saved.classes), {"model": masks})["model"]
    about = {"classes": list(saved.classes.names), "masks": len(masks), "model": str(model), "size": saved.size}
    about |= {} if graded is None else {"graded": graded}
    about["asked"] = asked_for(model=model, target=target, ignore=ignore)
    return Applied(domain, masks, sure, graded, findings, about)


def check_out(
    out: str | os.PathLike[str], model: str | os.PathLike[str], target: str | os.PathLike[str], ignore: int | None
) -> None:
    """Raise, before the work, if a folder holds the model, masks of something else, or other files."""
    out, mine = Path(out), Path(model).resolve()
    if out.resolve() in (mine, mine.parent, mine / "model"):
        raise ValueError(f"out: {out} holds the model that is used; name another folder")
    refuse_others(out, asked_for(model=model, target=target, ignore=ignore), APPLIED)


def write(applied: Applied, out: str | os.PathLike[str]) -> Path:
    """Write masks, and what their values mean, into a folder, all or nothing."""

    def fill(folder: Path) -> None:
        write_masks(applied.target, applied.masks, folder / "masks")
        text = strict_json(applied.about)
        (folder / "masks.json").write_text(text, encoding="utf-8")

    return write_folder(out, fill, also=APPLIED)
