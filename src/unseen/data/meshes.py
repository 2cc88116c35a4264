"""Meshes as clouds of points: Wavefront OBJ read, and points drawn from triangles by their area."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from unseen.data.typing import FloatArray, IntArray

_CORNER = re.compile(rb"(-?\d+)[^\s]*")
_REST = re.compile(rb"/\S*")
"""Of a corner, behind its vertex: texture and normal."""


def read_obj(content: bytes) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "t 3"]]:
    """Vertices (v, 3) and triangles (t, 3) of a Wavefront OBJ file; a polygon is cut into a fan of triangles.

    Textures, normals, materials, groups, lines and single points are passed over.

    Raises
    ------
    ValueError
        If it has no face, a number cannot be read, or a face names a vertex that is not there.
    """
    lines = content.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines()
    vertices = [b" ".join(line.split()[1:4]) for line in lines if line.startswith(b"v ")]
    faces = [line[2:] for line in lines if line.startswith(b"f ")]
    if not faces:
        raise ValueError("the mesh must have faces; it has none")
    numbers = np.array(b" ".join(vertices).split(), dtype=np.float64)
    if numbers.size != 3 * len(vertices) or not np.isfinite(numbers).all():
        raise ValueError("each vertex of the mesh must be three finite numbers; some is not")
    corners, counts = _corners(faces)
    cut = np.maximum(counts - 2, 0)  # triangles of each face
    face = np.repeat(np.arange(len(faces)), cut)
    first, k = (np.cumsum(counts) - counts)[face], np.arange(len(face)) - (np.cumsum(cut) - cut)[face]
    named = corners[np.stack([first, first + k + 1, first + k + 2], axis=1)]
    triangles = named - 1
    if (named < 0).any():  # -1 is the last vertex before the face
        before = np.cumsum([line.startswith(b"v ") for line in lines])
        so_far = before[[line.startswith(b"f ") for line in lines]]
        triangles = np.where(named < 0, so_far[face, None] + named, triangles)
    if not len(triangles) or triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError(f"faces of the mesh must name three or more of its {len(vertices)} vertices; some does not")
    return numbers.reshape(-1, 3), triangles


def _corners(faces: Sequence[bytes]) -> tuple[IntArray, IntArray]:
    """The vertices that faces name, (c,), and how many each of them names, (f,)."""
    text = _REST.sub(b"", b" ".join(faces))
    if not text.translate(None, b"0123456789 \t"):
        corners, counts = np.fromstring(text, dtype=np.int64, sep=" "), np.array([len(face.split()) for face in faces])
        if len(corners) == counts.sum():  # not so where a slash stands by itself
            return corners, counts
    named = [[int(corner) for corner in _CORNER.findall(face)] for face in faces]
    return np.array([corner for face in named for corner in face], dtype=np.int64), np.array([len(n) for n in named])


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
