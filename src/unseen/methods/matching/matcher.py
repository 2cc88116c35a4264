"""A matcher as it is: what every tuned one is compared with, and how both are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unseen import methods as registry
from unseen.data.images import as_pixels
from unseen.data.opencv import opencv
from unseen.data.pairs import Pairs
from unseen.data.simulate.modalities import luma
from unseen.data.tasks.base import objects
from unseen.methods.base import Card, Method
from unseen.methods.matching.needs import AMatcher
from unseen.methods.parameters import Positive, Within
from unseen.methods.verbs import gives
from unseen.nn.matchers import POINTS
from unseen.nn.matchers import matcher as published
from unseen.nn.protocols import Matcher, Matches
from unseen.nn.two_view import needed, two_view

Picture = NDArray[np.uint8]
Rotations = bool | Literal["auto"]


class PairMatcher(Method):
    """Match pairs of pictures with a network that is used as it is.

    `unseen match` takes any subclass, also a plug-in's. One whose `fit` names a `source` learns from photographs, or
    from frames of videos if its card needs `FramesOfVideos`; `network_` is what matches.

    Parameters
    ----------
    longest : int, >= 32
        Pixels of the longer side above which a picture is made smaller first; coordinates are those of the picture as
        it came.
    rotations : {False, True, "auto"}
        Whether the second picture is tried turned by 90, 180 and 270 degrees: never, always, or only where what is
        found upright is no more than chance; what is found upright then stays as it is.
    renderings : bool
        Whether both pictures are tried as they are, with one inverted, and both as the strength of their gradient.
    sift_first : bool
        Whether SIFT is asked before, and has the say where more of its matches agree than is chance: its places are
        the most exact, and it finds hardly any where it does not suit.
    geometry : {"homography", "fundamental"}
        What matches must agree with: where several ways are tried, that with the most inliers wins.
    threshold : float, > 0
        Pixels that an inlier may be off in the pictures that are matched, which have no side above `longest`.
    """

    card = Card(
        slug="matcher",
        title="A matcher as it is",
        venue="",
        summary="Match pairs of pictures with published weights, untuned.",
        unseen={"modalities"},
        modalities={"image"},
        protocols={"matching"},
        task="matches",
        needs=(AMatcher(),),
        at_prediction={"longest", "rotations", "renderings", "sift_first", "geometry", "threshold"},
        baseline=True,
        cost=0.1,
    )

    longest: Annotated[int, Within(32)] = 1200
    rotations: Rotations = False
    renderings: bool = False
    sift_first: bool = False
    geometry: Literal["homography", "fundamental"] = "homography"
    threshold: Positive = 3.0

    def fit(self, *, model: nn.Module) -> Self:
        """Keep the matcher; nothing is learnt."""
        check_matcher(model)
        self.network_ = model
        return self

    @classmethod
    def _from_state(cls, value: Any) -> Self:
        """Of what was saved; `PairMatcher.load` itself reads a matcher of any method, tuned or learnt."""
        slug = value.get("method") if isinstance(value, dict) else None
        if cls is PairMatcher and slug != cls.card.slug and slug in registry.slugs():
            kind: Any = registry.get(slug)
            if issubclass(kind, PairMatcher):
                return cast(Self, kind._from_state(value))
        return super()._from_state(value)

    @gives("matches", reads="pairs")
    def match(self, pairs: Pairs) -> NDArray[Any]:
        """Matches of every pair: n arrays (matches, 4) of x, y in the left and x, y in the right picture.

        The surest come first. No row says that nothing was found.
        """
        return objects(matches.points for matches in self.matched(pairs))

    def matched(self, pairs: Pairs) -> Iterator[Matches]:
        """Matches of one pair after the other, with how sure each is."""
        for i in range(len(pairs)):
            yield self.matches_of(as_pixels(pairs.left.x[i]), as_pixels(pairs.right.x[i]))

    def matches_of(self, first: Picture, second: Picture) -> Matches:
        """Matches of two pictures, (h, w, 3) of bytes, in pixels of both as they came."""
        (left, a), (right, b) = (smaller(picture, self.longest) for picture in (first, second))
        best = self._by_sift(left, right) if self.sift_first else None
        if best is None:
            best = self._best(left, right, range(4) if self.rotations is True else range(1))
            if self.rotations == "auto" and not self._enough(best):
                rotated = self._best(left, right, range(1, 4))
                best = rotated if self._enough(rotated) else best
        return Matches((best.points + 0.5) * np.concatenate([a, b]) - 0.5, best.scores)

    def _by_sift(self, picture: Picture, other: Picture) -> Matches | None:
        """What SIFT finds, which does not mind turns; None if that may be chance."""
        points = getattr(getattr(self.network_, "features", None), "points", POINTS)
        matches = cast(Matches, published("sift", points=points).match(picture, other))  # type: ignore[operator]
        return matches if self._enough(matches) else None

    def _best(self, picture: Picture, other: Picture, quarters: range) -> Matches:
        """What most matches of a way agree with, of all ways with the second picture turned by these quarters."""
        tried = [
            self._match(x, turned(y, quarter), quarter, other.shape)
            for x, y in (ways(picture, other) if self.renderings else [(picture, other)])
            for quarter in quarters
        ]
        return max(tried, key=self._agreeing) if len(tried) > 1 else tried[0]

    def _enough(self, matches: Matches) -> bool:
        """Whether so many matches agree that it is hardly chance."""
        return self._agreeing(matches) >= needed(self.geometry, len(matches.points))

    def _match(self, first: Picture, second: Picture, quarter: int, shape: tuple[int, ...]) -> Matches:
        network: Any = self.network_
        matches: Matches = network.match(first, second)
        points = np.column_stack([matches.points[:, :2], unturned(matches.points[:, 2:], quarter, shape)])
        return Matches(points, matches.scores)

    def _agreeing(self, matches: Matches) -> int:
        return two_view(matches.points, self.geometry, self.threshold).count


# -- what is tried -----------------------------------------------------------------------------------------


class Ways(NamedTuple):
    """Both pictures in one of the renderings."""

    first: Picture
    second: Picture


def ways(first: Picture, second: Picture) -> list[Ways]:
    """As they are, the second inverted, and the strength of both gradients."""
    return [Ways(first, second), Ways(first, 255 - second), Ways(gradient(first), gradient(second))]


def gradient(picture: Picture) -> Picture:
    """How strongly a blurred grey picture changes, stretched to its 99th percentile: the same for a negative."""
    cv2 = opencv()
    grey = cv2.GaussianBlur(luma(picture), (0, 0), 1.0)
    strength = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    top = max(float(np.percentile(strength, 99)), 1e-6)
    return np.repeat((255 * np.clip(strength / top, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def turned(picture: Picture, quarter: int) -> Picture:
    """A picture turned by so many quarters against the clock."""
    return np.ascontiguousarray(np.rot90(picture, quarter))


def quarter_turn(width: int) -> NDArray[np.float64]:
    """Where a turn by one quarter against the clock takes pixels of a picture of that width, (3, 3)."""
    return np.array([[0, 1, 0], [-1, 0, width - 1], [0, 0, 1]], dtype=np.float64)


def unturned(points: NDArray[np.float64], quarter: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Points of the turned picture where they are in the one of that shape (height, width, ...)."""
    x, y, (height, width) = points[:, 0], points[:, 1], shape[:2]
    back = {0: (x, y), 1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}
    return np.column_stack(back[quarter])


def smaller(picture: Picture, longest: int) -> tuple[Picture, NDArray[np.float64]]:
    """A picture with no side above `longest`, and how many of its own pixels one of the new is, in x and y."""
    scale = scale_of(picture, longest)
    if (scale == 1).all():
        return picture, scale
    width, height = np.rint(np.array(picture.shape[1::-1]) / scale).astype(int).tolist()
    return opencv().resize(picture, (width, height), interpolation=opencv().INTER_AREA), scale


def scale_of(picture: Picture, longest: int) -> NDArray[np.float64]:
    """How many pixels of a picture, in x and y, are one of what is matched; sides are rounded to whole pixels."""
    width, height = picture.shape[1::-1]
    scale = max(height, width) / longest
    if scale <= 1:
        return np.ones(2)
    return np.array([width / max(round(width / scale), 1), height / max(round(height / scale), 1)])


def check_matcher(model: nn.Module) -> None:
    """Raise `TypeError` unless the network matches pictures."""
    if not isinstance(model, Matcher):
        raise TypeError(
            f"model must be a matcher (unseen.nn.matchers.matcher makes one); a {type(model).__name__} has no match"
        )
