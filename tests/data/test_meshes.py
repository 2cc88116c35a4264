"""Meshes: what an OBJ file says, and points that lie evenly on its surface."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.data.meshes import centred, read_obj, sample_surface

SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def test_polygons_become_fans_of_triangles() -> None:
    vertices, triangles = read_obj(b"# a\nmtllib a.mtl\no x\n" + SQUARE + b"vn 0 0 1\nusemtl b\nf 1/2/3 2//3 3/1 4\n")
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert triangles.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_negative_numbers_count_back_from_the_face() -> None:
    _, triangles = read_obj(SQUARE + b"f -4 -3 -2\nv 9 9 9\nf -1 -2 -3\n")
    assert triangles.tolist() == [[0, 1, 2], [4, 3, 2]]


def test_a_slash_that_stands_by_itself_names_no_vertex() -> None:
    content = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 1\nf 1 / 2 / 3\nf 2 3 4\n"
    assert read_obj(content)[1].tolist() == [[0, 1, 2], [1, 2, 3]]


def test_lines_may_be_continued_and_end_as_they_do_elsewhere() -> None:
    vertices, triangles = read_obj(SQUARE.replace(b"\n", b"\r\n") + b"f 1 2 \\\r\n 3\r\n")
    assert vertices.shape == (4, 3)
    assert triangles.tolist() == [[0, 1, 2]]


@given(
    st.lists(st.lists(st.sampled_from(["1", "2/7", "3//1", "4/1/1", "-1", "2\t", "x", "1-2"]), min_size=3), min_size=1)
)
def test_faces_are_read_as_one_after_the_other(faces: list[list[str]]) -> None:
    content = SQUARE + "".join(f"f {' '.join(face)}\n" for face in faces).encode()
    expected = []
    for face in faces:
        named = [int(m[0]) for word in face if (m := re.match(r"-?\d+", word))]
        corners = [4 + corner if corner < 0 else corner - 1 for corner in named]
        expected += [[corners[0], corners[k], corners[k + 1]] for k in range(1, len(corners) - 1)]
    if not expected:
        with pytest.raises(ValueError, match="must name three or more"):
            read_obj(content)
    else:
        assert read_obj(content)[1].tolist() == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SQUARE, "must have faces"),
        (SQUARE + b"f 1 2 5\n", "must name three or more of its 4 vertices"),
        (SQUARE + b"f 0 1 2\n", "must name three or more"),
        (SQUARE + b"f -5 1 2\n", "must name three or more"),
        (SQUARE + b"f 1 2\n", "must name three or more"),
        (b"v 0 0\nv 1 0 0\nv 1 1 1\nf 1 2 3\n", "three finite numbers"),
        (b"v nan 0 0\nv 1 0 0\nv 1 1 1\nf 1 2 3\n", "three finite numbers"),
    ],
)
def test_what_is_wrong_with_a_mesh_is_said(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_obj(content)


def test_points_are_shared_out_by_area_and_even_within() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 5], [1, 0, 5], [0, 2, 5.0]])
    triangles = np.array([[0, 1, 2], [3, 4, 5]])  # areas 3 and 1
    points = sample_surface(vertices, triangles, 40_000, np.random.default_rng(0))
    upper = points[:, 2] > 2
    assert upper.mean() == pytest.approx(0.25, abs=0.01)  # 4.6 standard errors
    np.testing.assert_allclose(points[~upper].mean(axis=0), [1, 2 / 3, 0], atol=0.02)  # the centroid


@given(st.integers(0, 1000))
def test_points_lie_inside_their_triangle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(3, 3))
    points = sample_surface(corners, np.array([[0, 1, 2]]), 20, rng)
    weights = np.linalg.lstsq(np.vstack([corners.T, np.ones(3)]), np.vstack([points.T, np.ones(20)]), rcond=None)[0]
    assert weights.min() > -1e-6
    np.testing.assert_allclose(corners.T @ weights, points.T, atol=1e-6)


def test_a_mesh_without_area_has_no_points() -> None:
    with pytest.raises(ValueError, match="must have a surface"):
        sample_surface(np.zeros((3, 3)), np.array([[0, 1, 2]]), 5, np.random.default_rng(0))


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_place_and_size_do_not_matter_once_centred(seed: int, scale: float) -> None:
    cloud = np.random.default_rng(seed).normal(size=(2, 30, 3))
    out = centred(cloud)
    np.testing.assert_allclose(centred(scale * cloud + 7), out, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(out, axis=2).max(axis=1), 1)
    assert not centred(np.ones((4, 3))).any()
