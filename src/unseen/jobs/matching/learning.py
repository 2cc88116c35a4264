"""A better matcher from ordinary videos: read frames, label, propagate, learn, save; a stop goes on where it was."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen.data.frames import videos
from unseen.jobs.matching.job import TUNABLE, method_of, photographs
from unseen.methods.base import fit_words
from unseen.methods.matching.gim.propagation import WHY
from unseen.methods.matching.matcher import PairMatcher
from unseen.methods.matching.tuning import EPOCH
from unseen.nn.matchers import MATCHERS, matcher
from unseen.runtime import runtime

DEFAULT = "gim"
LABELERS = ("sift",)
"""What labels beside the matcher that learns."""
WRITTEN = ("frames", "labels", "tune", *(f"tune {k}" for k in range(1, 100)))
"""Names of all that a run keeps in its folder: of training a folder for each round."""


def learn(
    paths: Sequence[str | os.PathLike[str]],
    *,
    name: str = "xfeat",
    method: str = DEFAULT,
    labelers: Sequence[str] = LABELERS,
    stills: str | os.PathLike[str] | None = None,
    points: int = 2048,
    work: Path | None = None,
    reading: Mapping[str, Any] | None = None,
    **settings: Any,
) -> PairMatcher:
    """A matcher of `TUNABLE` that has learnt from videos.

    Parameters
    ----------
    paths : sequence of path
        Video files, folders of videos, or folders with the frames of one video.
    name : str
        What learns.
    method : str
        Slug of the method by which it learns, one of ``matchers("videos")``. Its training is called as in `WRITTEN`.
    labelers : sequence of str
        Which of `unseen.nn.matchers.MATCHERS` label near frames beside it.
    stills : path, optional
        Folder of photographs that are warped beside the frames; the frames themselves if absent.
    points : int
        Most points of a picture that the matcher will find.
    work : Path, optional
        Folder for what a stopped run goes on from: decoded frames, labels, the state of training.
    reading : mapping
        `rate`, `longest`, `most`, `start` of `unseen.data.frames.frames_of`.
    settings
        Of the method.

    Raises
    ------
    ValueError
        If a name is unknown, the method reads no labelers or stills that are named, nothing can be read, or no labels
        reach far frames.
    """
    if name not in TUNABLE:
        raise ValueError(f"matcher must be {' or '.join(TUNABLE)} to learn; got {name!r}")
    for other in labelers:
        if other not in MATCHERS:
            raise ValueError(f"labelers must be among {', '.join(MATCHERS)}; got {other!r}")
    if not labelers:
        raise ValueError(
            "labelers must name at least one, such as sift; labels of one matcher alone repeat its mistakes"
        )
    learner: Any = method_of(method, "videos", settings)
    words = fit_words(type(learner))
    for argument, named, word in (
        ("labelers", tuple(labelers) != LABELERS, "teachers"),
        ("photographs", stills is not None, "auxiliary"),
    ):
        if named and word not in words:
            raise ValueError(f"{argument}: {method} reads none; leave them out, or name another method")
    inputs: dict[str, Any] = {} if stills is None else {"auxiliary": photographs(stills)}
    source = videos(paths, keep=None if work is None else work / "frames", **(reading or {}))
    with runtime(folder=None if work is None else work):
        if "teachers" in words:
            most = learner.get_params().get("labels", points)
            inputs["teachers"] = {other: matcher(other, points=most) for other in labelers}
        learnt: PairMatcher = learner.fit(source=source, model=matcher(name, points=points), **inputs)
        return learnt


def clear(work: Path) -> None:
    """Remove what a run has kept in a folder, and the folder if it holds nothing else."""
    if not work.is_dir():
        return
    for part in work.iterdir():
        if part.name in WRITTEN and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
    if not any(work.iterdir()):
        work.rmdir()


def told(method: PairMatcher) -> list[str]:
    """What became of the frames, line by line: how many pairs were kept, and how many were dropped for what.

    Nothing where the method kept no `counts_`, no `pairs_` and no `losses_`.
    """
    learnt = facts(method)
    counts = learnt["counts"]
    kept, tried = counts.get("pairs kept", 0), counts.get("pairs tried", 0)
    near = [
        f"{n:,} by {'the matcher itself' if labeler == 'model' else labeler}"
        for labeler, n in (
            (name.partition(", ")[2], n) for name, n in counts.items() if name.startswith("labels of near")
        )
    ]
    lines = [
        f"{counts.get('frames', 0):,} frames; labels of near frames: {', '.join(near)}",
        f"labels reached {kept} of {tried} pairs of far frames ({counts.get('labels of far frames', 0):,} labels)",
    ][: 2 if counts else 0]
    for why, sentence in WHY.items():
        if counts.get(f"dropped: {why}"):
            lines.append(f"  dropped {counts[f'dropped: {why}']}: {sentence}")
    spans = sorted(pair["last"] - pair["first"] for pair in learnt["pairs"])
    if spans:
        lines.append(
            f"frames of a pair lie {spans[0]} to {spans[-1]} apart, half of them {spans[len(spans) // 2]} or more"
        )
    for name, values in learnt["losses"].items():
        there = [value for value in values if math.isfinite(value)]
        if len(there) > 1:
            lines.append(f"loss on {PLAIN.get(name, name)}: {there[0]:.2f} at first, {there[-1]:.2f} at last")
        elif there:
            known = f"the mean of all steps; whether it falls is told from more than {EPOCH} steps"
            lines.append(f"loss on {PLAIN.get(name, name)}: {there[0]:.2f}, {known}")
    return lines


PLAIN = {"video": "far frames", "homography": "warped photographs"}


def facts(method: PairMatcher) -> dict[str, Any]:
    """What was learnt from, in numbers that JSON can hold: what the method kept of it."""
    learnt = method.fitted
    return {
        "method": method.card.slug,
        "counts": dict(learnt.get("counts_", {})),
        "pairs": list(learnt.get("pairs_", ())),
        "dropped": list(learnt.get("dropped_", ())),
        "losses": {name: list(map(float, values)) for name, values in learnt.get("losses_", {}).items()},
    }
