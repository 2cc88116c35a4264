"""ZEB, the zero-shot evaluation of matchers: one score over many unlike data sets, and the mean rank [1].

[1] Shen et al., "GIM: Learning Generalizable Image Matcher From Internet Videos", ICLR 2024, section 4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.evaluation.drive import Pairs
from unseen.evaluation.tasks.matches import corner_error, error_auc
from unseen.nn.two_view import THRESHOLD, Pose, pose_error, relative_pose, two_view

if TYPE_CHECKING:
    import pandas as pd

Picture = NDArray[np.uint8]
UP_TO = 5.0
"""Degrees of the pose, or pixels of the corners, up to which the area is taken."""
DIGITS = 9
"""Decimals of areas that are compared: pictures that are the same leave errors of 1e-14, which rank nobody."""
DEGREES, PIXELS = "degrees of the pose", "pixels of the corners"


@dataclasses.dataclass(frozen=True)
class Cameras:
    """What is known of two pictures whose cameras are: ZEB's own truth.

    Attributes
    ----------
    first, second : array (3, 3)
        Intrinsics.
    pose : Pose
        From the first camera to the second.
    """

    first: Float[np.ndarray, "3 3"]
    second: Float[np.ndarray, "3 3"]
    pose: Pose
    unit = DEGREES

    @classmethod
    def of(cls, first: NDArray[np.float64], second: NDArray[np.float64], matrix: NDArray[np.float64]) -> Cameras:
        """From intrinsics and the matrix (3, 4) or (4, 4) that takes points of the first camera to the second.

        Raises
        ------
        ValueError
            If a matrix has another shape, is not finite, or its left part is no rotation.
        """
        for name, value, shapes in (("K0", first, [(3, 3)]), ("K1", second, [(3, 3)]), ("T", matrix, [(3, 4), (4, 4)])):
            if value.shape not in shapes or not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite numbers of shape {shapes[-1]}; got {value.tolist()}")
        turn = matrix[:3, :3]
        if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
            raise ValueError(f"T must begin with a rotation; got {turn.tolist()}")
        return cls(first, second, Pose(turn, matrix[:3, 3]))

    def error(self, points: NDArray[np.float64]) -> float:
        """The larger of the degrees by which the turn and the way of the camera are off; 180 if none is found."""
        return pose_error(self.pose, relative_pose(points, self.first, self.second)).worst


@dataclasses.dataclass(frozen=True)
class Plane:
    """What is known of two pictures of one plane: the homography from a picture of that width and height."""

    matrix: Float[np.ndarray, "3 3"]
    width: int
    height: int
    unit = PIXELS

    def error(self, points: NDArray[np.float64]) -> float:
        """Mean pixels by which the corners are off; infinite if no homography is found."""
        return corner_error(self.matrix, two_view(points, "homography", THRESHOLD).matrix, self.width, self.height)


@dataclasses.dataclass(frozen=True)
class KnownPair:
    """Two pictures, and what is known of them.

    Attributes
    ----------
    name : str
    pictures : callable () -> two arrays (h, w, 3) of bytes
        They are read when their turn comes.
    truth : Cameras or Plane
    """

    name: str
    pictures: Callable[[], tuple[Picture, Picture]]
    truth: Cameras | Plane


zeb_evaluate = Pairs()
"""Errors of every matcher on every pair of every data set, (matchers, datasets): `unseen.evaluation.drive.Pairs`."""


def areas(errors: pd.DataFrame, up_to: float = UP_TO) -> pd.DataFrame:
    """The area under the recall of every matcher on every data set, in [0, 1]: matchers by data sets, as they came.

    A pair that is listed twice counts once, as in the published protocol.
    """
    once = errors.drop_duplicates(["dataset", "pair", "matcher"])
    table = once.groupby(["matcher", "dataset"], sort=False).error.apply(
        lambda group: error_auc(group.to_numpy(), (up_to,))[0]
    )
    wide = table.unstack("dataset")
    return wide.loc[list(dict.fromkeys(once.matcher)), list(dict.fromkeys(once.dataset))]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The mean of the data sets, each counted alike, and the mean rank among the matchers (1 the best; ties share).

    Parameters
    ----------
    table : DataFrame
        Areas, matchers by data sets.

    Raises
    ------
    ValueError
        If a matcher lacks a data set: its mean would be of others.
    """
    if table.isna().to_numpy().any():
        row, column = np.argwhere(table.isna().to_numpy())[0]
        raise ValueError(
            f"{table.index[row]} has no figure on {table.columns[column]}; means would be of other data sets"
        )
    ranks = table.round(DIGITS).rank(ascending=False, method="average").mean(axis=1)
    return table.assign(**{"mean": table.mean(axis=1), "mean rank": ranks})[["mean", "mean rank"]]
