"""The same places in two pictures: read pairs, match, tell the geometry; tune a matcher on photographs."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.images import IMAGE_SUFFIXES, as_pixels, image_files
from unseen.data.pairs import Pairs, read_pairs
from unseen.files import is_hidden, reads, walk
from unseen.methods.base import signatures
from unseen.methods.listing import with_foreign
from unseen.methods.matching.matcher import PairMatcher, scale_of
from unseen.methods.matching.needs import FramesOfVideos
from unseen.nn.matchers import MATCHERS, matcher
from unseen.nn.protocols import Matches
from unseen.nn.state import load_state
from unseen.nn.two_view import LEAST, THRESHOLD, View, needed, two_view
from unseen.runtime import track

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd

DEFAULT, TUNER = "matcher", "minima"
"""What matches as it is, and what is tuned on photographs, if no method is named."""
FLAT = 4
"""Of 255, by which neighbouring pixels of a picture without texture differ at most."""
SHOWN = 40
"""Pairs whose pictures are kept, for a page."""
COLUMNS = (("first", "second"), ("left", "right"), ("a", "b"), ("image1", "image2"))
"""Usual names of the two columns of a table of pairs."""


@dataclasses.dataclass(frozen=True)
class Matched:
    """What was found in one pair.

    Attributes
    ----------
    name, first, second : str
        Of the pair and of its pictures.
    pictures : pair of arrays (h, w, 3) of bytes, or None
        As they came; points are in their pixels. None of pairs beyond those that are shown.
    shortest : int
        Pixels of the shortest side of both.
    matches : Matches
    view : View
        The geometry that most of them agree with.
    flat : tuple of str
        Pictures without texture: no two neighbouring pixels differ by more than `FLAT`.
    within : float
        Pixels of the second picture, as it came, that an inlier may be off.
    """

    name: str
    first: str
    second: str
    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None
    shortest: int
    matches: Matches
    view: View
    flat: tuple[str, ...] = ()
    within: float = THRESHOLD

    @property
    def found(self) -> bool:
        """Whether so many matches agree that it is hardly chance."""
        return is_found(self.view, len(self.matches.points))

    @property
    def needed(self) -> int:
        """Inliers below which nothing is said to have been found."""
        return needed(self.view.geometry, len(self.matches.points))

    @property
    def matrix(self) -> Float[np.ndarray, "3 3"] | None:
        """The homography (first to second) or the fundamental matrix; None where nothing was found."""
        return self.view.matrix if self.found else None


# -- pairs -------------------------------------------------------------------------------------------------


@reads("a table of pairs of pictures", "write a CSV with the columns first and second")
def read(first: str | os.PathLike[str], second: str | os.PathLike[str] | None = None) -> Pairs:
    """Pairs of pictures: two files, two folders with files of equal names, or a table with two columns of paths.

    Raises
    ------
    ValueError
        If one is a file and the other a folder, no names are equal, or a table has no such columns.
    FileNotFoundError
        If one is not there.
    """
    a = Path(first)
    if not a.exists():
        raise FileNotFoundError(f"there is no {os.fspath(first)!r}")
    if second is None:
        if a.is_dir() or a.suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(f"a second picture or folder is needed beside {os.fspath(first)!r}, or a table of pairs")
        return _table(a)
    b = Path(second)
    if not b.exists():
        raise FileNotFoundError(f"there is no {os.fspath(second)!r}")
    if a.is_dir() != b.is_dir():
        raise ValueError(f"two files or two folders must be given; got {os.fspath(first)!r} and {os.fspath(second)!r}")
    if not a.is_dir():
        return _of_files([a], [b], [a.stem])
    files = [_pictures(folder) for folder in (a, b)]
    names = sorted(files[0].keys() & files[1].keys())
    if not names:
        some = ", ".join(str(next(iter(part.values()), folder)) for part, folder in zip(files, (a, b)))
        raise ValueError(f"the folders have no pictures of equal names (endings aside), such as: {some}")
    alone = sorted(
        str(path) for mine, other in (files, files[::-1]) for name, path in mine.items() if name not in other
    )
    if alone:
        log.warning("%d pictures have no partner of the same name, such as %s", len(alone), alone[0])
    left, right = ([part[name] for name in names] for part in files)
    return _of_files(left, right, names)


def _pictures(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by their path in it without ending."""
    pictures: dict[str, Path] = {}
    for path in _files(folder):
        key = str(path.relative_to(folder).with_suffix(""))
        if key in pictures:
            raise ValueError(f"{pictures[key]} and {path} have one name without endings; rename one")
        pictures[key] = path
    return pictures


def _files(folder: Path) -> list[Path]:
    names = walk(folder, ignore=is_hidden).files
    return sorted(path for name in names if (path := folder / name).suffix.lower() in IMAGE_SUFFIXES)


def _of_files(left: Sequence[Path], right: Sequence[Path], names: Sequence[str]) -> Pairs:
    ids = np.array(names, dtype=np.str_)
    sides = [
        Domain(
            x=image_files(files), kind="image", ids=ids, columns={"file": np.array(list(map(str, files)))}, name=side
        )
        for side, files in (("first", left), ("second", right))
    ]
    return Pairs(sides[0], sides[1], name=names[0] if len(names) == 1 else "pairs")


def _table(file: Path) -> Pairs:
    from unseen.data.loaders.common import locate
    from unseen.data.loaders.table import read_frame

    fs, path = locate(file)
    headers = list(read_frame(fs, path, []).columns)
    lower = {str(name).lower(): name for name in headers}
    for names in COLUMNS:
        if set(names) <= set(lower):
            left, right = (lower[name] for name in names)
            break
    else:
        if len(headers) < 2:
            raise ValueError(f"{file}: a table of pairs needs two columns of paths, such as first and second")
        left, right = headers[:2]
    pairs = read_pairs(file, left=left, right=right, on_error="fail")
    if pairs.left.kind != "image" or pairs.right.kind != "image":
        raise ValueError(f"{file}: the columns {left} and {right} must hold paths of pictures")
    frame = read_frame(fs, path, [left, right])
    sides = [
        side.replace(columns={"file": frame[column].astype(str).to_numpy().astype(np.str_)})
        for side, column in ((pairs.left, left), (pairs.right, right))
    ]
    return Pairs(sides[0], sides[1], ids=pairs.ids, columns=pairs.columns, name=pairs.name)


def photographs(folder: str | os.PathLike[str]) -> Domain:
    """All pictures of a folder and its folders, without labels: what a matcher is tuned on."""
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {os.fspath(folder)!r}")
    files = _files(path)
    if not files:
        raise ValueError(f"{os.fspath(folder)} holds no pictures")
    ids = np.array([str(file.relative_to(path)) for file in files])
    return Domain(x=image_files(files), kind="image", ids=ids, name=path.name)


# -- matchers ----------------------------------------------------------------------------------------------


def learns_from(kind: type[PairMatcher]) -> str:
    """What a method learns from beside its network: ``photographs``, ``videos``, or nothing (an empty text)."""
    if not any("source" in way.required for way in signatures(kind)):
        return ""
    return "videos" if any(isinstance(need, FramesOfVideos) for need in kind.card.needs) else "photographs"


def matchers(source: str = "") -> tuple[str, ...]:
    """All methods that match pictures and learn from `source`, by slug, those of other packages, too."""
    return tuple(slug for slug in with_foreign("model") if _fits(slug, source))


def _fits(slug: str, source: str) -> bool:
    kind = registry.get(slug)
    return issubclass(kind, PairMatcher) and learns_from(kind) == source


def method_of(slug: str, source: str, settings: Mapping[str, Any]) -> PairMatcher:
    """The method with nothing learnt yet; `ValueError` for one that does not learn from `source` to match."""
    if slug not in registry.slugs() or not _fits(slug, source):
        raise ValueError(f"method must be one of {', '.join(matchers(source))}; got {slug!r}")
    learner: Any = registry.get(slug)(**settings)
    return learner


def make(
    name: str | os.PathLike[str], *, method: str | None = None, points: int = 2048, **settings: Any
) -> PairMatcher:
    """A matcher by name, or one that was saved.

    Parameters
    ----------
    name : str or path
        One of `unseen.nn.matchers.MATCHERS`, ``auto`` (SIFT, and where it does not find enough XFeat on pictures as
        they are, inverted, and as gradients; the most inliers win), or a folder that `tune` was saved to.
    method : str, optional
        Slug of the method that asks the matcher, one of `matchers`; a saved one has its own.
    points : int
        Most points of a picture; a saved matcher has its own.
    settings
        `longest`, `rotations`, `renderings`, `sift_first`, `geometry`, `threshold` of `PairMatcher`, and others of the
        method.
    """
    if os.fspath(name) == "auto":
        return make("xfeat", method=method, points=points, **{"renderings": True, "sift_first": True, **settings})
    if os.fspath(name) in MATCHERS:
        asks = method_of(method or DEFAULT, "", settings)
        return asks.fit(model=matcher(os.fspath(name), points=points))
    if not (Path(name) / "state.json").exists():
        names = ", ".join(("auto", *MATCHERS))
        raise ValueError(f"matcher must be {names}, or the folder of a saved one; got {os.fspath(name)!r}")
    saved = load_state(name)
    slug = saved.get("method") if isinstance(saved, dict) else None
    kind = registry.get(slug) if slug in registry.slugs() else None
    if kind is None or not issubclass(kind, PairMatcher):
        raise ValueError(f"{os.fspath(name)} holds no matcher")
    if method not in (None, slug):
        raise ValueError(f"method must be left out beside {os.fspath(name)!r}, which holds a {slug}; got {method!r}")
    return kind._from_state(saved).set_params(**settings)


def turning(name: str | os.PathLike[str], turns: Any = None) -> dict[str, Any]:
    """The setting `rotations` of a matcher, if one is to be made: as asked for; ``auto`` if not, a saved one's own."""
    if turns is not None:
        return {"rotations": turns}
    return {"rotations": "auto"} if os.fspath(name) in ("auto", *MATCHERS) else {}


TUNABLE = ("xfeat", "xfeat+lighterglue")
"""Matchers that `tune` tunes."""


def tune(
    source: Domain, name: str = "xfeat", *, method: str | None = None, points: int = 2048, **settings: Any
) -> PairMatcher:
    """A matcher of `TUNABLE`, tuned on photographs by a method of ``matchers("photographs")`` with its settings."""
    if name not in TUNABLE:
        raise ValueError(f"matcher must be {' or '.join(TUNABLE)} to be tuned; got {name!r}")
    learner: Any = method_of(method or TUNER, "photographs", settings)
    tuned: PairMatcher = learner.fit(source=source, model=matcher(name, points=points))
    return tuned


# -- matching ----------------------------------------------------------------------------------------------


def match(pairs: Pairs, method: PairMatcher, *, shown: int = SHOWN) -> Iterator[Matched]:
    """Match one pair after the other, and find the geometry that most of its matches agree with.

    The pictures of the first `shown` pairs are kept with them.
    """
    assert pairs.ids is not None
    names = [[str(x) for x in side.columns.get("file", pairs.ids)] for side in (pairs.left, pairs.right)]
    for i in track(range(len(pairs)), "pairs"):
        first, second = as_pixels(pairs.left.x[i]), as_pixels(pairs.right.x[i])
        matches = method.matches_of(first, second)
        view = agreed(method, matches.points, first, second)
        kept = (first, second) if i < shown else None
        shortest = min(*first.shape[:2], *second.shape[:2])
        flat = tuple(name[i] for name, picture in zip(names, (first, second)) if is_flat(picture))
        allowed = within(method, first, second)
        yield Matched(str(pairs.ids[i]), names[0][i], names[1][i], kept, shortest, matches, view, flat, allowed)


def is_flat(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture (h, w, 3) is of one colour or fades from one to another, so that no point of it stands out."""
    return all(bool((np.abs(np.diff(picture.astype(np.int16), axis=axis)) <= FLAT).all()) for axis in (0, 1))


def agreed(method: PairMatcher, points: NDArray[Any], first: NDArray[np.uint8], second: NDArray[np.uint8]) -> View:
    """The geometry that most of the matches of a pair agree with, in pixels of the pictures as they came.

    The threshold is one of the pictures that are matched: less than a pixel of these says nothing. So it is asked for
    there, where each picture has its own scale, and what is found is carried over.
    """
    scale = np.concatenate([scale_of(picture, method.longest) for picture in (first, second)])
    if (scale == 1).all():
        return two_view(points, method.geometry, method.threshold)
    view = two_view((points + 0.5) / scale - 0.5, method.geometry, method.threshold)
    if view.matrix is None:
        return view
    here, there = (_to_matched(part) for part in (scale[:2], scale[2:]))
    if view.geometry == "homography":
        matrix = np.linalg.inv(there) @ view.matrix @ here
        return dataclasses.replace(view, matrix=matrix / matrix[2, 2])
    return dataclasses.replace(view, matrix=there.T @ view.matrix @ here)


def _to_matched(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """From pixels of a picture as it came to those of what is matched, (3, 3): centres of pixels are whole numbers."""
    x, y = scale
    return np.array([[1 / x, 0, 0.5 / x - 0.5], [0, 1 / y, 0.5 / y - 0.5], [0, 0, 1]])


def within(method: PairMatcher, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Pixels that an inlier may be off in the second picture as it came, or in either with a fundamental matrix."""
    pictures = (second,) if method.geometry == "homography" else (first, second)
    return method.threshold * max(float(scale_of(picture, method.longest).max()) for picture in pictures)


def is_found(view: View, matches: int) -> bool:
    """Whether so many of the matches agree with a geometry that it is hardly chance."""
    return view.matrix is not None and view.count >= needed(view.geometry, matches)


def table(results: Sequence[Matched]) -> pd.DataFrame:
    """A row for each match: pair, first, second (files), x1, y1, x2, y2 (their pixels), score, inlier."""
    import pandas as pd

    parts = [
        pd.DataFrame(result.matches.points.round(2), columns=["x1", "y1", "x2", "y2"]).assign(
            pair=result.name,
            first=result.first,
            second=result.second,
            score=result.matches.scores.round(4),
            inlier=result.view.inliers & result.found,
        )
        for result in results
    ]
    columns = ["pair", "first", "second", "x1", "y1", "x2", "y2", "score", "inlier"]
    return pd.concat(parts, ignore_index=True)[columns]


def facts(pair: Matched, method: PairMatcher) -> dict[str, Any]:
    """What was found in a pair, as JSON values."""
    return {
        "pair": pair.name,
        "first": pair.first,
        "second": pair.second,
        "matches": len(pair.matches.points),
        "inliers": pair.view.count if pair.found else 0,
        "found": pair.found,
        "needed": pair.needed,
        "within": round(pair.within, 3),
        "geometry": pair.view.geometry,
        "matrix": None if pair.matrix is None else pair.matrix.tolist(),
        "reason": "" if pair.found else _reason(pair),
        "advice": [] if pair.found else advice(pair, method),
    }


def _reason(pair: Matched) -> str:
    """Why nothing is said to have been found."""
    n = len(pair.matches.points)
    if not n:
        return "no place of one looks like any of the other"
    if n == 1:
        return f"the one candidate is too few: at least {pair.needed} must agree"
    agree = "agrees" if pair.view.count == 1 else "agree"
    return f"{pair.view.count or 'none'} of {n} candidates {agree}, and at least {pair.needed} must"


def advice(pair: Matched, method: PairMatcher) -> list[str]:
    """What to try where nothing was found, the likeliest first."""
    if pair.flat:
        names = " and ".join(Path(name).name for name in pair.flat)
        has = "has" if len(pair.flat) == 1 else "have"
        return [f"{names} {has} no texture, so that no point can be matched: take other pictures"]
    tips = []
    if pair.shortest < 100:
        tips.append("a picture has fewer than 100 pixels a side: take a larger one")
    if not method.rotations:
        tips.append("rotate='auto', if one picture may be turned")
    if not method.renderings:
        tips.append("renderings=True (or matcher=auto), if one looks like a negative or a drawing of the other")
    if learns_from(type(method)):
        tips.append("matcher=auto, without tuning")
    else:
        tips.append("tune=FOLDER, with photographs like yours")
    tips.append("matcher=aliked+lightglue, slower and stronger on photographs")
    if pair.view.geometry == "homography":
        tips.append("geometry=fundamental, if the scene has depth and the camera moved")
    if len(pair.matches.points) >= LEAST[pair.view.geometry]:
        tips.append(f"threshold={2 * method.threshold:g}, if pictures are blurred or distorted")
    return tips
