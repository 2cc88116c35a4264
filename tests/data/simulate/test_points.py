"""Clouds that are turned, and clouds of which a declared part is hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.simulate import hidden, turned, visible
from unseen.data.simulate.points import _directions, _far, _nearest_hidden

WAYS = ("view", "half", "ball")


def clouds(n: int = 4, p: int = 300) -> Domain:
    """Ellipsoids."""
    x = np.random.default_rng(0).normal(size=(n, p, 3))
    x = x / np.linalg.norm(x, axis=2, keepdims=True) * (1, 0.7, 0.4)
    return Domain(x=x.astype(np.float32), y=np.arange(n) % 2, kind="points", name="eggs")


def test_of_a_sphere_the_near_side_is_seen() -> None:
    x = np.random.default_rng(0).normal(size=(1500, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    seen = visible(x, np.array([3.0, 0, 0]))
    horizon = 1 / 3  # where the line of sight touches: cos = radius / distance
    assert seen[x[:, 0] > horizon + 0.1].mean() > 0.99
    assert seen[x[:, 0] < horizon - 0.3].mean() < 0.01


def test_a_plate_hides_the_plate_behind_it() -> None:
    y, z = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 30), np.linspace(-1, 1, 30)))
    front, behind = (np.stack([np.full_like(y, at), y, z], axis=1) for at in (0.5, -0.5))
    seen = visible(np.vstack([front, behind]), np.array([4.0, 0, 0]))
    assert seen[:900].all()
    assert seen[900:].mean() < 0.15  # its rim, which sticks out
    assert visible(front[:3], np.array([4.0, 0, 0])).all()


def test_points_on_one_plane_with_the_viewpoint_hide_nothing() -> None:
    flat = np.random.default_rng(0).normal(size=(20, 3)) * (1, 1, 0)
    assert visible(flat, np.array([9.0, 0, 0])).all()


@pytest.mark.parametrize("by", ["half", "ball"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_declared_share_is_hidden(by: Any, share: float) -> None:
    made = hidden(clouds(), by, share=share)
    np.testing.assert_allclose(made.columns["seen"], 1 - share, atol=1 / 300)
    left = [len(np.unique(cloud, axis=0)) for cloud in made.x]
    assert left == np.rint(300 * made.columns["seen"]).astype(int).tolist()


def test_what_is_left_lies_beyond_a_plane_or_outside_a_ball() -> None:
    points = clouds(n=1).x
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    seen = _nearest_hidden(_far(points, "half", rng), 0.4)[0]
    direction = _directions(1, again)[0]
    assert (points[0, ~seen] @ direction).max() <= (points[0, seen] @ direction).min()
    rng, again = np.random.default_rng(6), np.random.default_rng(6)
    seen = _nearest_hidden(_far(points, "ball", rng), 0.4)[0]
    far = np.linalg.norm(points[0] - points[0, again.integers(300)], axis=1)
    assert far[~seen].max() <= far[seen].min()


def test_only_what_was_there_is_left_and_labels_stay() -> None:
    for by in WAYS:
        whole = clouds()
        made = hidden(whole, by, n_points=50)  # type: ignore[arg-type]
        assert made.x.shape == (4, 50, 3)
        assert made.x.dtype == np.float32
        assert made.labels.tolist() == whole.labels.tolist()
        np.testing.assert_allclose(np.linalg.norm(made.x, axis=2).max(axis=1), 1, rtol=1e-5)
        assert np.array_equal(made.x, hidden(whole, by, n_points=50).x)  # type: ignore[arg-type]
        assert not np.array_equal(made.x, hidden(whole, by, n_points=50, random_state=1).x)  # type: ignore[arg-type]


def test_a_view_hides_more_of_a_closed_body_than_of_a_plate() -> None:
    plate = np.random.default_rng(0).uniform(-1, 1, (1, 300, 3)) * (0.001, 1, 1)
    seen = hidden(Domain(x=plate, kind="points"), "view").columns["seen"]
    assert hidden(clouds(), "view").columns["seen"].max() < 0.75
    assert seen.min() > 0.3


def test_turned_copies_keep_heights_and_radii() -> None:
    whole = clouds()
    made = turned(whole, 3)
    assert len(made) == 12
    assert made.labels.tolist() == np.repeat(whole.labels, 3).tolist()
    np.testing.assert_allclose(made.x[..., 2], np.repeat(whole.x[..., 2], 3, axis=0), atol=1e-6)
    radius = np.hypot(whole.x[..., 0], whole.x[..., 1])
    np.testing.assert_allclose(np.hypot(made.x[..., 0], made.x[..., 1]), np.repeat(radius, 3, axis=0), atol=1e-6)
    assert len(np.unique(made.columns["angle"])) == 12
    assert made.ids is not None
    assert made.ids[:3].tolist() == ["000000/0", "000000/1", "000000/2"]
    cos, sin = np.cos(made.columns["angle"][4]), np.sin(made.columns["angle"][4])
    by_hand = cos * whole.x[1, :, 0] - sin * whole.x[1, :, 1]
    np.testing.assert_allclose(made.x[4, :, 0], by_hand, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "fog"}, "by must be one of"),
        ({"by": "half", "share": 0.0}, r"share must lie in \(0, 1\)"),
        ({"by": "half", "share": 1.0}, r"share must lie in \(0, 1\)"),
        ({"n_points": 0}, "n_points must be at least 1"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hidden(clouds(), **options)


def test_other_kinds_of_samples_are_refused() -> None:
    for other in (Domain(x=np.zeros((3, 4))), Domain(x=np.zeros((3, 4, 2)), kind="points")):
        with pytest.raises(ValueError, match="must hold clouds of points"):
            hidden(other)
    with pytest.raises(ValueError, match="copies must be at least 1"):
        turned(clouds(), 0)


def test_at_least_one_point_is_seen() -> None:
    made = hidden(clouds(p=2), "ball", share=0.99)
    assert made.columns["seen"].tolist() == [0.5] * 4
    assert made.x.shape == (4, 2, 3)
    assert not made.x.any()  # one point, twice: its own centre
