"""Grade matchers on pairs of which all is known: a user's own, and unlike scenes that are declared here."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.homographies import apply, generator_of, grid, middle, moved_corners, warped
from unseen.data.images import as_pixels, decode
from unseen.data.simulate.flights import Way, flight
from unseen.data.simulate.modalities import render
from unseen.evaluation.drive import Pairs
from unseen.evaluation.zeb import DEGREES, Cameras, KnownPair, Plane, areas, summary
from unseen.jobs.matching.job import agreed, is_found, make, matchers, turning
from unseen.methods.matching.matcher import PairMatcher, quarter_turn, turned
from unseen.nn.two_view import Pose

Picture = NDArray[np.uint8]
SIZE = (480, 320)
"""Width and height of the pictures of the scenes."""
SMALL = (320, 240)
"""The same of frames of flights."""
NOISE = 0.15
"""How far corners are moved, of the shorter side."""
FAR = 24
"""Frames between the two of a pair of a flight."""
COLUMNS = ("first", "second")
CAMERAS = ("K0", "K1", "T")


@dataclasses.dataclass(frozen=True)
class Bench:
    """What a benchmark gave.

    Attributes
    ----------
    errors : DataFrame
        dataset, pair, matcher, unit, matches, error, found: whether `unseen match` would say that they match.
    table : DataFrame
        Areas up to 5 degrees or pixels, matchers by data sets, in [0, 1].
    scores : DataFrame
        mean and mean rank of every matcher.
    """

    errors: pd.DataFrame
    table: pd.DataFrame
    scores: pd.DataFrame

    @property
    def units(self) -> dict[str, str]:
        """What errors of each data set are of."""
        return dict(self.errors.drop_duplicates("dataset").set_index("dataset").unit)

    def told(self) -> dict[str, Any]:
        """All figures as JSON can hold them."""
        share_found = self.errors.groupby("matcher").found.mean()
        return {
            "up_to": 5,
            "units": self.units,
            "pairs": {name: int(n) for name, n in self.errors.groupby("dataset", sort=False).pair.nunique().items()},
            "matchers": [
                {
                    "matcher": name, "mean": float(self.scores["mean"][name]),
                    "mean_rank": float(self.scores["mean rank"][name]), "nothing_found": 1 - float(share_found[name]),
                    "areas": {str(dataset): float(self.table[dataset][name]) for dataset in self.table.columns},
                }
                for name in map(str, self.scores.index)
            ],
        }  # fmt: skip


def bench(
    names: Sequence[str], datasets: Mapping[str, Sequence[KnownPair]], *, turns: Any = None, **settings: Any
) -> Bench:
    """Grade matchers by ZEB's protocol.

    Parameters
    ----------
    names : sequence of str
        As `made` takes them, at least one, each once.
    datasets : mapping of name to pairs
    turns : {False, True, "auto"}, optional
        Whether the second picture is turned; as `unseen match` does if absent.
    settings
        Of `make`: points, longest, renderings, threshold.
    """
    if not names:
        raise ValueError("matchers must name at least one, such as xfeat,sift")
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"matchers must differ; {twice} is named twice")
    methods = {str(name): made(str(name), turns, **settings) for name in names}
    hits: dict[str, list[bool]] = {name: [] for name in methods}

    def asked(name: str, first: Picture, second: Picture) -> NDArray[np.float64]:
        matches = methods[name].matches_of(first, second).points
        hits[name].append(is_found(agreed(methods[name], matches, first, second), len(matches)))
        return matches

    errors = Pairs()({name: functools.partial(asked, name) for name in methods}, datasets)
    for name, flags in hits.items():
        errors.loc[errors.matcher == name, "found"] = flags
    errors = errors.astype({"found": bool})
    table = areas(errors)
    return Bench(errors, table, summary(table))


def made(name: str, turns: Any = None, **settings: Any) -> PairMatcher:
    """A matcher as `unseen.jobs.matching.job.make` takes it, or ``METHOD:MATCHER``: one that a method asks.

    METHOD is one of `unseen.jobs.matching.job.matchers`, also of another package.
    """
    slug, _, matcher = name.partition(":")
    by, name = (slug, matcher) if matcher and slug in matchers() else (None, name)
    return make(name, method=by, **turning(name, turns), **settings)


# -- pairs of a user ---------------------------------------------------------------------------------------


def known_pairs(file: str | os.PathLike[str]) -> dict[str, list[KnownPair]]:
    """Pairs of a table, by its column dataset if it has one.

    The columns first and second are paths beside the table. Truth is either a column ``homography`` (nine numbers, row
    by row, from the first picture to the second), or columns ``K0``, ``K1`` (nine numbers, or fx fy cx cy) and ``T``
    (twelve or sixteen numbers: from the first camera to the second). Numbers are separated by spaces, or a JSON list.

    Raises
    ------
    ValueError
        If columns are missing, or a row is not what it should be; the message names the row.
    FileNotFoundError
        If a picture is not there.
    """
    from unseen.data.loaders.common import locate
    from unseen.data.loaders.table import read_frame

    place = Path(file)
    if not place.is_file():
        raise FileNotFoundError(f"there is no table {os.fspath(file)!r}")
    fs, path = locate(file)
    frame = read_frame(fs, path, []).astype(str)
    have = set(frame.columns)
    flat, posed = "homography" in have, have >= set(CAMERAS)
    if not have >= set(COLUMNS) or flat == posed:
        raise ValueError(
            f"{place}: columns first, second and either homography, or K0, K1 and T are needed; it has "
            f"{', '.join(map(str, frame.columns))}"
        )
    pairs: dict[str, list[KnownPair]] = {}
    records: list[dict[str, Any]] = [dict(zip(frame.columns, row)) for row in frame.to_numpy().tolist()]
    for i, row in enumerate(records, 1):
        try:
            truth, files = _truth(row, place.parent), [place.parent / row[name] for name in COLUMNS]
        except ValueError as error:
            raise ValueError(f"{place}, row {i}: {error}") from error
        for picture_file in files:
            if not picture_file.is_file():
                raise FileNotFoundError(f"{place}, row {i}: there is no {os.fspath(picture_file)!r}")
        name = row.get("dataset", place.stem)
        pair_name = f"{row['first']} {row['second']}"
        pairs.setdefault(name, []).append(KnownPair(pair_name, functools.partial(_both, *files), truth))
    if not pairs:
        raise ValueError(f"{place} has no rows")
    return pairs


def _truth(row: Mapping[str, Any], folder: Path) -> Cameras | Plane:
    if "homography" in row:
        matrix = _numbers("homography", row["homography"], (9,)).reshape(3, 3)
        if abs(np.linalg.det(matrix)) < 1e-12:
            raise ValueError(f"homography must be invertible; got {matrix.tolist()}")
        first = folder / row["first"]
        if not first.is_file():
            raise FileNotFoundError(f"there is no {os.fspath(first)!r}")
        height, width = _picture_of(first).shape[:2]
        return Plane(matrix, width, height)
    first_camera, second_camera = (_intrinsics(name, row[name]) for name in CAMERAS[:2])
    return Cameras.of(first_camera, second_camera, _numbers("T", row["T"], (12, 16)).reshape(-1, 4))


def _intrinsics(name: str, text: str) -> NDArray[np.float64]:
    values = _numbers(name, text, (4, 9))
    if len(values) == 9:
        matrix = values.reshape(3, 3)
    else:
        fx, fy, cx, cy = values
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ValueError(f"{name} must have focal lengths above 0; got {values.tolist()}")
    return matrix


def _numbers(name: str, text: str, lengths: tuple[int, ...]) -> NDArray[np.float64]:
    wanted = " or ".join(map(str, lengths))
    try:
        values = np.array(
            json.loads(text) if text.strip().startswith("[") else text.replace(",", " ").split(), dtype=np.float64
        ).ravel()
    except ValueError as error:
        raise ValueError(f"{name} must be {wanted} numbers; got {text!r:.80}") from error
    if len(values) not in lengths or not np.isfinite(values).all():
        raise ValueError(f"{name} must be {wanted} finite numbers; got {text!r:.80}")
    return values


def _both(first: Path, second: Path) -> tuple[Picture, Picture]:
    return _picture_of(first), _picture_of(second)


def _picture_of(file: Path) -> Picture:
    return as_pixels(decode(file.read_bytes()))


# -- scenes ------------------------------------------------------------------------------------------------


def scenes(photographs: Domain, *, pairs: int = 8, seed: int = 0) -> dict[str, list[KnownPair]]:
    """Unlike scenes with known truth, made of photographs: so many pairs of each of `SCENES`.

    Each pair takes another photograph, in order; all is drawn from the seed and the names.
    """
    if pairs < 1:
        raise ValueError(f"pairs must be at least 1; got {pairs}")
    if not len(photographs):
        raise ValueError("photographs must hold at least one; there is none")
    by_scene: dict[str, list[KnownPair]] = {}
    for name, make_pair in SCENES.items():
        for k in range(pairs):
            i = k % len(photographs)
            picture = as_pixels(photographs.x[i])
            pair_name = f"{photographs.ids[i]} {k // len(photographs)}"  # type: ignore[index]
            by_scene.setdefault(name, []).append(
                make_pair(pair_name, picture, generator_of(f"{name}:{pair_name}", seed))
            )
    return by_scene


def _warp(
    name: str, picture: Picture, rng: np.random.Generator, modality: str = "visible", quarter: int = 0
) -> KnownPair:
    """A photograph against itself, rendered, warped and turned by quarters."""
    first = middle(picture, *SIZE)
    matrix = moved_corners(rng, *SIZE, NOISE)
    second = warped(render(first, modality, int(rng.integers(2**31))), matrix, *SIZE)
    truth = quarter_turn(SIZE[0]) @ matrix if quarter else matrix
    return KnownPair(name, lambda: (first, turned(second, quarter)), Plane(truth, *SIZE))


def _flown(name: str, picture: Picture, rng: np.random.Generator, way: Way, layers: int) -> KnownPair:
    """Two frames of a flight, far apart: with pieces over the ground the cameras are known, without them the plane."""
    video = flight(picture, frames=90, size=SMALL, layers=layers, way=way, seed=int(rng.integers(2**31)))
    starts = range(0, len(video) - FAR, 6)
    overlaps = [float(np.abs(_inside(video.homography(a, a + FAR)) - 0.6)) for a in starts]
    a = starts[int(np.argmin(overlaps))]
    if layers:
        truth: Cameras | Plane = Cameras(video.intrinsics, video.intrinsics, Pose(*video.pose(a, a + FAR)))
    else:
        truth = Plane(video.homography(a, a + FAR), *SMALL)
    return KnownPair(name, lambda: (video.frame(a), video.frame(a + FAR)), truth)


def _inside(matrix: NDArray[np.float64]) -> float:
    """Share of a picture that a homography leaves inside one of the same size."""
    there = apply(matrix, grid(*SMALL, 16)[4:])
    return float(((there >= 0) & (there < np.array(SMALL))).all(axis=1).mean())


CALM = Way(roll=10.0, lean=10.0, near=1.0, far=1.4, dusk=0.0, haze=0.0, noise=1.0)
TURNS = dataclasses.replace(CALM, roll=60.0, lean=25.0, near=0.8, far=2.0)
DUSK = Way(roll=10.0, lean=10.0, near=1.0, far=1.4)
SCENES: Mapping[str, Callable[[str, Picture, np.random.Generator], KnownPair]] = {
    "seen from aside": _warp,
    "turned by 90 degrees": functools.partial(_warp, quarter=1),
    "negative": functools.partial(_warp, modality="negative"),
    "infrared-like": functools.partial(_warp, modality="infrared"),
    "sketch": functools.partial(_warp, modality="sketch"),
    "night": functools.partial(_warp, modality="night"),
    "calm flight": functools.partial(_flown, way=CALM, layers=0),
    "flight with turns": functools.partial(_flown, way=TURNS, layers=0),
    "flight into dusk and haze": functools.partial(_flown, way=DUSK, layers=0),
    "flight over depth": functools.partial(_flown, way=dataclasses.replace(CALM, lean=25.0), layers=6),
}
"""Scenes by name; the last one is graded by the pose, the others by the corners of a homography."""


def in_degrees(result: Bench) -> list[str]:
    """Data sets that are graded by the pose."""
    return [name for name, unit in result.units.items() if unit == DEGREES]
