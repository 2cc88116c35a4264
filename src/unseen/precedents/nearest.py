"""The nearest of the runs that are known, and what their methods gained there."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unseen.files import read_object
from unseen.precedents.profile import Profile, profile

FLOOR = "source-only"
"""What gains are measured against: doing nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Precedent:
    """A run of `compare` whose exam was opened.

    Attributes
    ----------
    name : str
    profile : Profile
    metric : str
        What the scores are.
    scores : mapping of candidate to float
    chosen : str
        The candidate that was chosen without labels.
    """

    name: str
    profile: Profile
    metric: str
    scores: Mapping[str, float]
    chosen: str

    @property
    def best(self) -> str:
        """The candidate that the exam would have chosen: an oracle."""
        return max(self.scores, key=lambda name: self.scores[name])

    def to_json(self) -> dict[str, Any]:
        """Plain values, scores to four digits."""
        scores = {name: float(f"{score:.4g}") for name, score in self.scores.items()}
        return {**vars(self), "profile": self.profile.to_json(), "scores": scores}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Precedent:
        """What `to_json` gave."""
        profile = row["profile"]
        return cls(**{**row, "profile": Profile(**{**profile, "words": tuple(profile["words"])})})


class Near(NamedTuple):
    """A precedent and how unlike it is; 0 is the same profile."""

    precedent: Precedent
    distance: float


class Gain(NamedTuple):
    """What a candidate gained over doing nothing in the nearest runs that had it."""

    mean: float
    worst: float
    runs: int


def recorded(runs: Iterable[Path] = ()) -> tuple[Precedent, ...]:
    """The runs that come with the library, and those below the folders of a user.

    Parameters
    ----------
    runs : iterable of Path
        Folders of `unseen compare`, or folders of such folders. Runs without an exam teach nothing and are left out.

    Raises
    ------
    ValueError
        If there is no run below a folder.
    """
    text = resources.files("unseen.precedents").joinpath("runs.json").read_text(encoding="utf-8")
    shipped = json.loads(text)
    precedents = [Precedent.from_json(row) for row in shipped]
    for folder in runs:
        files = sorted([folder / "results.json", *folder.glob("*/results.json")])
        read = [(file, read_object(file)) for file in files if file.is_file()]
        read = [(file, results) for file, results in read if "schema" in results]  # other commands write some, too
        if not read:
            raise ValueError(f"runs must hold runs of `unseen compare`; there is no results.json of one below {folder}")
        graded = (of_run(results, file.parent.name) for file, results in read if results["exam"])
        precedents += [precedent for precedent in graded if precedent.scores]
    return tuple(precedents)


def of_run(results: Mapping[str, Any], name: str) -> Precedent:
    """A run with an exam as a precedent, from what stands in its `results.json`."""
    metric = results["references"]["metric"]
    means = {row["name"]: row["metrics"]["adapted"][metric]["mean"] for row in results["candidates"]}
    scores = {name: mean for name, mean in means.items() if mean is not None and math.isfinite(mean)}
    return Precedent(
        name=name, profile=profile(results), metric=metric, scores=scores, chosen=results["chosen"]["name"]
    )


def nearest(about: Profile, known: Sequence[Precedent], k: int = 5) -> tuple[Near, ...]:
    """The `k` runs whose profiles are most like `about`, the nearest first.

    Figures are compared in units of their deviation over all known runs; equal distances keep the order of `known`.
    """
    scale = _scale([precedent.profile for precedent in known])
    near = [Near(precedent, about.distance(precedent.profile, scale)) for precedent in known]
    return tuple(sorted(near, key=lambda pair: pair.distance)[:k])


def _scale(profiles: Sequence[Profile]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for known in profiles:
        for key, value in known.figures().items():
            values.setdefault(key, []).append(value)
    return {key: float(np.std(column)) or 1.0 for key, column in values.items()}


def gains(near: Sequence[Near]) -> dict[str, Gain]:
    """What each candidate gained over `FLOOR` in these runs, the largest mean first; runs without it do not count."""
    differences: dict[str, list[float]] = {}
    for precedent, _ in near:
        if FLOOR in precedent.scores:
            for name, score in precedent.scores.items():
                differences.setdefault(name, []).append(score - precedent.scores[FLOOR])
    gains_of = {name: Gain(float(np.mean(of)), min(of), len(of)) for name, of in differences.items()}
    return dict(sorted(gains_of.items(), key=lambda pair: -pair[1].mean))
