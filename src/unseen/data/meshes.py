"""Meshes as clouds of points: Wavefront OBJ read, and points drawn from triangles by their area."""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Float, Int

from unseen.data.typing import FloatArray, IntArray

_CORNER = re.compile(rb"(-?\d+)[^\s]*")


def read_obj(content: bytes) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "t 3"]]:
    """Vertices (v, 3) and triangles (t, 3) of a Wavefront OBJ file; a polygon is cut into a fan of triangles.

    Textures, normals, materials, groups, lines and single points are passed over.

    Raises
    ------
    ValueError
        If it has no face, a number cannot be read, or a face names a vertex that is not there.
    """
    vertices: list[bytes] = []
    faces: list[tuple[int, list[int]]] = []
    for line in content.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        if line.startswith(b"v "):
            vertices.append(b" ".join(line.split()[1:4]))
        elif line.startswith(b"f "):
            faces.append((len(vertices), [int(corner) for corner in _CORNER.findall(line, 2)]))
    if not faces:
        raise ValueError("the mesh must have faces; it has none")
    numbers = np.array(b" ".join(vertices).split(), dtype=np.float64)
    if numbers.size != 3 * len(vertices) or not np.isfinite(numbers).all():
        raise ValueError("each vertex of the mesh must be three finite numbers; some is not")
    corners = np.array(
        [
            (face[0], face[k], face[k + 1], so_far)
            for so_far, face in faces
            for k in range(1, len(face) - 1)
        ],
        dtype=np.int64,
    ).reshape(-1, 4)  # fmt: skip
    named, so_far = corners[:, :3], corners[:, 3:]
    triangles = np.where(named < 0, so_far + named, named - 1)  # -1 is the last vertex before the face
    if not len(triangles) or triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError(f"faces of the mesh must name three or more of its {len(vertices)} vertices; some does not")
    return numbers.reshape(-1, 3), triangles


def sample_surface(vertices: FloatArray, triangles: IntArray, n: int, rng: np.random.Generator) -> FloatArray:
    """`n` points drawn evenly from the surface of a mesh, (n, 3): triangles by area, then a place in each.

    Raises
    ------
    ValueError
        If the surface has no area.

    Source: Osada, Funkhouser, Chazelle, Dobkin, "Shape Distributions", ACM Transactions on Graphics 2002, 4.2.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    total = area.sum()
    if not total > 0:
        raise ValueError("the mesh must have a surface; the area of its triangles is 0")
    chosen = rng.choice(len(area), n, p=area / total)
    root, along = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    return (1 - root) * a[chosen] + root * (1 - along) * b[chosen] + root * along * c[chosen]


def centred(clouds: Float[np.ndarray, "... p 3"]) -> Float[np.ndarray, "... p 3"]:
    """Clouds moved to their mean and scaled into the unit sphere, whose surface the farthest point touches.

    A cloud whose points are all the same becomes zeros.
    """
    moved = clouds - clouds.mean(axis=-2, keepdims=True)
    far = np.linalg.norm(moved, axis=-1).max(axis=-1)[..., None, None]
    return moved / np.where(far > 0, far, 1)
