"""Declared changes of clouds of points: turned about the vertical, or a part hidden as scanners and clutter hide it."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from unseen.data.domain import Domain
from unseen.data.meshes import centred
from unseen.data.typing import FloatArray

Hidden = Literal["view", "half", "ball"]
"""What hides points: the object itself from a viewpoint, a plane that cuts it, or a ball around one of its points."""
DISTANCE = 3.0
"""How far a viewpoint is from the centre, in radii of the cloud."""
STEEPEST = 0.6
"""Largest sine of the angle between a viewpoint and the horizon: nobody scans from below or straight above."""
FLIP = 2.0
"""gamma: the radius of the spherical flip is 10^gamma times the farthest distance. Larger sees more; at 2.5, a sixth of
1,500 points on the far side of a sphere, at 2 none."""


def turned(domain: Domain, copies: int = 1, *, random_state: int = 0) -> Domain:
    """Each cloud `copies` times, each turned by a random angle about the vertical (the third axis).

    Parameters
    ----------
    domain : Domain
        Clouds, x (n, p, 3).
    copies : int, >= 1
    random_state : int
        Of the angles.

    Returns
    -------
    Domain
        With n x copies clouds, the copies of one beside each other, and the column ``angle`` in radians.
    """
    clouds = _clouds(domain)
    if copies < 1:
        raise ValueError(f"copies must be at least 1; got {copies}")
    angle = np.random.default_rng(random_state).uniform(0, 2 * np.pi, len(clouds) * copies)
    zero, ones = np.zeros_like(angle), np.ones_like(angle)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, -sin, zero], [sin, cos, zero], [zero, zero, ones]]).transpose(2, 0, 1)
    many = domain if copies == 1 else _repeated(domain, copies)
    x = np.asarray(many.x) @ rotation.transpose(0, 2, 1)
    return many.replace(x=x.astype(clouds.dtype), columns={**many.columns, "angle": angle})


def _repeated(domain: Domain, copies: int) -> Domain:
    """Each sample so many times; ids are told apart by a number."""
    index = np.repeat(np.arange(len(domain)), copies)
    assert domain.ids is not None
    ids = np.array([f"{domain.ids[i]}/{k % copies}" for k, i in enumerate(index.tolist())], dtype=np.str_)
    return Domain(
        x=np.asarray(domain.x)[index],
        y=None if domain.y is None else domain.y[index],
        kind=domain.kind,
        task=domain.task,
        classes=domain.classes,
        ids=ids,
        columns={key: column[index] for key, column in domain.columns.items()},
        name=domain.name,
        credits=domain.credits,
    )


def hidden(
    domain: Domain,
    by: Hidden = "view",
    *,
    share: float = 0.5,
    n_points: int | None = None,
    random_state: int = 0,
) -> Domain:
    """Clouds of which a part cannot be seen; what is left is centred and scaled again, as a scan would be.

    Parameters
    ----------
    domain : Domain
        Clouds, x (n, p, 3).
    by : {"view", "half", "ball"}
        ``view``: points that the object itself hides from a random viewpoint beside or above it, found by a spherical
        flip and a convex hull [1]; how many, the object says. ``half``: the points on one side of a plane across a
        random direction. ``ball``: the points nearest to a random point of the cloud.
    share : float in (0, 1)
        Of the points that ``half`` and ``ball`` hide, give or take a point.
    n_points : int, optional
        Points of each cloud that is returned, as many as before by default: drawn from those that are seen, without
        replacement as far as they reach.
    random_state : int
        Of viewpoints, planes, balls and draws.

    Returns
    -------
    Domain
        With the column ``seen``, the share of points that were not hidden.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the domain holds no clouds.

    References
    ----------
    [1] Katz, Tal, Basri, "Direct Visibility of Point Sets", SIGGRAPH 2007.
    """
    clouds = _clouds(domain)
    if by not in get_args(Hidden):
        raise ValueError(f"by must be one of {', '.join(get_args(Hidden))}; got {by!r}")
    if not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1); got {share}")
    if n_points is not None and n_points < 1:
        raise ValueError(f"n_points must be at least 1; got {n_points}")
    rng = np.random.default_rng(random_state)
    if by == "view":
        seen = np.stack([visible(cloud, at) for cloud, at in zip(clouds, _viewpoints(clouds, rng))])
    else:
        seen = _nearest_hidden(_far(clouds, by, rng), share)
    kept = _kept(clouds, seen, n_points or clouds.shape[1], rng)
    return domain.replace(
        x=centred(kept).astype(clouds.dtype),
        columns={**domain.columns, "seen": seen.mean(axis=1)},
        name=f"{domain.name}, hidden by {by}" + ("" if by == "view" else f" {share:.0%}"),
    )


def visible(cloud: Float[np.ndarray, "p 3"], viewpoint: Float[np.ndarray, " 3"]) -> Bool[np.ndarray, " p"]:
    """Which points of a cloud are seen from a viewpoint outside it, (p,): the hidden point removal of Katz et al.

    Points are flipped at a sphere around the viewpoint; those on the convex hull of the result and the viewpoint are
    seen. A cloud that is flat as seen from there (all on one plane with the viewpoint) hides nothing.
    """
    from scipy.spatial import ConvexHull, QhullError

    towards = np.asarray(cloud - viewpoint, dtype=np.float64)
    far = np.linalg.norm(towards, axis=1, keepdims=True).clip(1e-12)
    flipped = towards + 2 * (10**FLIP * far.max() - far) * towards / far
    seen = np.zeros(len(cloud) + 1, dtype=bool)
    try:
        seen[ConvexHull(np.vstack([flipped, np.zeros(3)])).vertices] = True
    except (QhullError, ValueError):
        seen[:] = True
    return seen[:-1]


def _clouds(domain: Domain) -> FloatArray:
    if domain.kind != "points" or not isinstance(domain.x, np.ndarray) or domain.x.shape[2:] != (3,):
        raise ValueError(f"domain must hold clouds of points, x (n, p, 3); {domain.name!r} holds {domain.kind}")
    return domain.x


def _directions(n: int, rng: np.random.Generator) -> FloatArray:
    """Even on the sphere, (n, 3)."""
    direction = rng.normal(size=(n, 3))
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)


def _viewpoints(clouds: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Places around the clouds, from the horizon up to `STEEPEST`, (n, 3)."""
    up, angle = rng.uniform(0, STEEPEST, len(clouds)), rng.uniform(0, 2 * np.pi, len(clouds))
    flat = np.sqrt(1 - up**2)
    centre = clouds.mean(axis=1)
    radius = np.linalg.norm(clouds - centre[:, None], axis=2).max(axis=1).clip(1e-12)
    return centre + DISTANCE * radius[:, None] * np.stack([flat * np.cos(angle), flat * np.sin(angle), up], axis=1)


def _far(clouds: FloatArray, by: Hidden, rng: np.random.Generator) -> FloatArray:
    """How far each point is from what hides it, (n, p): along a direction, or from a point of the cloud."""
    if by == "half":
        return (clouds * _directions(len(clouds), rng)[:, None]).sum(axis=2)
    chosen = clouds[np.arange(len(clouds)), rng.integers(clouds.shape[1], size=len(clouds))]
    return np.linalg.norm(clouds - chosen[:, None], axis=2)


def _nearest_hidden(far: FloatArray, share: float) -> Bool[np.ndarray, "n p"]:
    """All points but the `share` that is nearest to what hides them; at least one is seen."""
    n_hidden = min(round(share * far.shape[1]), far.shape[1] - 1)
    return np.argsort(np.argsort(far, axis=1, kind="stable"), axis=1) >= n_hidden


def _kept(clouds: FloatArray, seen: Bool[np.ndarray, "n p"], n_points: int, rng: np.random.Generator) -> FloatArray:
    """`n_points` seen points of each cloud in random order, over and over where there are fewer, (n, n_points, 3)."""
    order = np.argsort(rng.random(seen.shape) + 2.0 * ~seen, axis=1)  # those that are seen come first
    place = np.arange(n_points)[None, :] % seen.sum(axis=1, keepdims=True)
    return np.take_along_axis(clouds, np.take_along_axis(order, place, axis=1)[..., None], axis=1)
