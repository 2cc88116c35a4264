"""Find the same, or nearly the same, sample on both sides before it makes an exam meaningless."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.decoded import once
from unseen.data.domain import Domain, Lazy
from unseen.data.rows import finite_rows, unit_rows
from unseen.data.typing import FloatArray

Matches = list[tuple[int, int, float]]
"""Positions on the left and on the right, and how alike they are, in [0, 1]."""

_BLOCK = 4096
_SIDE = 32


@dataclasses.dataclass(frozen=True)
class Match:
    """A sample of the source that also stands in the exam.

    `how` is ``content`` (equal bytes), ``picture`` (nearly equal pixels) or ``embedding``; `score` is 1 for
    equal.
    """

    source: str
    exam: str
    how: str
    score: float


@dataclasses.dataclass(frozen=True)
class Leakage:
    """What the exam shares with the data that a method learns from.

    Attributes
    ----------
    exact, near : tuple of Match
        Equal samples, and those that are nearly equal without being equal.
    size : int
        Number of samples in the exam.
    role : str
        What was learned from: "source" or "support".
    """

    exact: tuple[Match, ...]
    near: tuple[Match, ...]
    size: int
    role: str = "source"

    def __bool__(self) -> bool:
        return bool(self.exact or self.near)

    @property
    def exam_ids(self) -> tuple[str, ...]:
        """The samples of the exam that leak, each once."""
        return tuple(dict.fromkeys(match.exam for match in (*self.exact, *self.near)))

    def summary(self) -> str:
        """Return one sentence for a report."""
        if not self:
            return f"None of the {self.size} samples of the exam was found in the {self.role}."
        exact = len({match.exam for match in self.exact})
        near = len(self.exam_ids) - exact
        first = (*self.exact, *self.near)[0]
        return (
            f"Leakage: {exact + near} of the {self.size} samples of the target stand in the {self.role}, too "
            f"({exact} equal, {near} nearly equal), such as {first.exam!r}, which is {first.source!r} there; "
            "leave them out before you trust a score."
        )

    def __add__(self, other: Leakage) -> Leakage:
        """Both parts of an exam together."""
        both = (*self.exact, *other.exact), (*self.near, *other.near)
        return Leakage(*both, self.size + other.size, self.role)


def leakage(
    source: Domain,
    exam: Domain,
    *,
    source_features: FloatArray | None = None,
    exam_features: FloatArray | None = None,
    threshold: float = 0.98,
    role: str = "source",
) -> Leakage:
    """Report which samples of the exam a method has seen already.

    Contents are compared by hash, pictures by `perceptual`, and embeddings, if given, by `near`. Pictures whose
    embeddings are near must look alike, too: an encoder can place unlike pictures of one thing at one point.

    Parameters
    ----------
    source, exam : Domain
        What is learned from, and what is graded on.
    source_features, exam_features : array (n, d) and (m, d), optional
        Embeddings of the samples.
    threshold : float, in (0, 1]
        Cosine from which two embeddings count as nearly equal.
    role : str
        What the summary calls the source.
    """
    if (source_features is None) != (exam_features is None):
        raise ValueError("source_features and exam_features must be given together")
    assert source.ids is not None
    assert exam.ids is not None
    by_pair = {(i, j): Match(str(source.ids[i]), str(exam.ids[j]), "content", 1.0) for i, j in exact(source, exam)}
    same = tuple(by_pair.values())
    alike: list[tuple[str, Matches]] = []
    if source.kind == exam.kind == "image":
        alike.append(("picture", perceptual(source, exam)))
    if source_features is not None and exam_features is not None:
        for side, domain, rows in (("source", source, source_features), ("exam", exam, exam_features)):
            if len(rows) != len(domain):
                raise ValueError(f"{side}_features has {len(rows)} rows, {side} has {len(domain)} samples")
        close = near(source_features, exam_features, threshold)
        both = source.kind == exam.kind == "image"
        alike.append(("embedding", confirmed(source, exam, close) if both else close))
    for how, matches in alike:
        for i, j, score in matches:
            by_pair.setdefault((i, j), Match(str(source.ids[i]), str(exam.ids[j]), how, score))
    return Leakage(same, tuple(by_pair.values())[len(same) :], len(exam), role)


def exact(a: Domain, b: Domain) -> list[tuple[int, int]]:
    """Positions of samples with equal content: for files the same bytes, whatever their names."""
    where: dict[str, list[int]] = {}
    for i, digest in enumerate(a.digests().tolist()):
        where.setdefault(digest, []).append(i)
    return [(i, j) for j, digest in enumerate(b.digests().tolist()) for i in where.get(digest, ())]


def near(a: FloatArray, b: FloatArray, threshold: float = 0.98) -> Matches:
    """Positions of rows whose cosine is at least `threshold`, with that cosine.

    Works in blocks, so that memory stays small: (n, d) and (m, d).
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1]; got {threshold}")
    left, right = (unit_rows(finite_rows(rows, "features")) for rows in (a, b))
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"features must be of one width; got {left.shape[1]} and {right.shape[1]}")
    return [
        (int(i), int(j), min(1.0, float(cosine)))
        for rows, columns, cosines in _products(left, right)
        for i, j, cosine in _at_least(cosines, threshold - 1e-6, rows, columns)
    ]


def perceptual(a: Domain, b: Domain, *, bits: int = 6, difference: float = 0.03, share: float = 0.25) -> Matches:
    """Pairs of pictures that look the same after resizing, recompression or small changes of colour.

    Candidates differ in at most `bits` of 64 in their difference hash; of those, a pair counts if its
    pictures, shrunk to 32 x 32, differ by at most `difference` of the full range in the mean, and by at most `share`
    of their own mean deviation from their mean colour (thin strokes on white differ little from each other in the
    first sense). The score is one minus the difference.

    References
    ----------
    Krawetz, "Kind of Like That" (2013): the difference hash.
    """
    (signs_a, small_a), (signs_b, small_b) = _looks(a), _looks(b)
    matches = []
    for rows, columns, products in _products(signs_a, signs_b):
        for i, j, _ in _at_least(products, 64 - 2 * bits, rows, columns):
            gap = np.abs(small_a[i].astype(np.int16) - small_b[j]).mean() / 255
            if gap <= min(difference, share * _deviation(small_a[i], small_b[j])):
                matches.append((int(i), int(j), 1 - float(gap)))
    return matches


def confirmed(a: Domain, b: Domain, matches: Matches, *, correlation: float = 0.8) -> Matches:
    """Those of the pairs whose pictures look alike: as they are, mirrored, or a little cropped, in any light.

    Compared are greys of 32 x 32 by their correlation, of the best of these views.
    """
    if not matches:
        return []
    rows, columns = (sorted({match[side] for match in matches}) for side in (0, 1))
    left, right = (dict(zip(at, _looks(domain.take(at))[1])) for domain, at in ((a, rows), (b, columns)))

    def alike(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
        plain, views = _views(first), _views(second)
        return float(max((views @ plain[0]).max(), (plain @ views[0]).max())) >= correlation

    return [match for match in matches if alike(left[match[0]], right[match[1]])]


CROPS = (0, 1, 2, 3)
"""Pixels of 32 that are cut off each side, of pictures that may be cropped."""


def _views(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A thumbnail as it is, cropped, and each of these mirrored: greys with mean 0 and length 1, (views, 1024)."""
    grey = picture.reshape(_SIDE, _SIDE, 3).astype(np.float32).mean(axis=2)
    views = []
    for cut in CROPS:
        at = np.linspace(cut, _SIDE - 1 - cut, _SIDE)
        low, share = np.floor(at).astype(int), (at % 1).astype(np.float32)
        high = np.minimum(low + 1, _SIDE - 1)
        rows = grey[low] * (1 - share)[:, None] + grey[high] * share[:, None]
        cropped = rows[:, low] * (1 - share) + rows[:, high] * share
        views += [cropped, cropped[:, ::-1]]
    flat = np.stack(views).reshape(len(views), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _deviation(*pictures: NDArray[np.uint8]) -> float:
    """The smaller mean deviation of two pictures from their mean colours, in [0, 1]."""
    rows = [picture.reshape(-1, 3).astype(np.float32) for picture in pictures]
    return min(float(np.abs(row - row.mean(axis=0)).mean()) for row in rows) / 255


def difference_hash(domain: Domain) -> NDArray[np.uint64]:
    """64-bit difference hash of every picture, (n,): where brightness rises along 8 rows of 9 pixels."""
    bits = (_looks(domain)[0] > 0).astype(np.uint8)
    return np.packbits(bits, axis=1).view(">u8").reshape(-1).astype(np.uint64)


def _looks(domain: Domain) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Signs of the brightness steps, (n, 64) in {-1, 1}, and the shrunken pictures, (n, 32 * 32 * 3)."""
    if domain.kind != "image":
        raise TypeError(f"{domain.name} holds {domain.kind}, not pictures")
    steps = np.empty((len(domain), 8, 8), dtype=np.float32)
    small = np.empty((len(domain), _SIDE * _SIDE * 3), dtype=np.uint8)
    for i in range(len(domain)):
        steps[i], small[i] = look(domain, i, lambda i=i: domain.x[i])  # type: ignore[misc]
    return steps.reshape(-1, 64), small


def look(domain: Domain, i: int, read: Callable[[], Any]) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Signs of a picture's brightness steps, (8, 8), and the picture shrunken, (32 * 32 * 3,); kept where it may be.

    `read` gives the picture, if it is needed.
    """
    return once("look", partial(_digest_at, domain, i), lambda: _look(read()), lambda result: result[1].nbytes)


def _look(sample: Any) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    from PIL import Image

    image = Image.fromarray(sample).convert("RGB") if isinstance(sample, np.ndarray) else sample
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    signs = np.where(np.diff(grey, axis=1) > 0, 1, -1).astype(np.int8)
    return signs, np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX)).reshape(-1)


def _digest_at(domain: Domain, i: int) -> str:
    return str(domain.x.digest(i)) if isinstance(domain.x, Lazy) else str(domain.take([i]).digests()[0])


def _products(a: FloatArray, b: FloatArray) -> Iterator[tuple[int, int, FloatArray]]:
    """Inner products of all rows, block by block, with the block's first row and column."""
    for i in range(0, len(a), _BLOCK):
        for j in range(0, len(b), _BLOCK):
            yield i, j, a[i : i + _BLOCK] @ b[j : j + _BLOCK].T


def _at_least(
    products: FloatArray, bound: float, row: int, column: int
) -> Iterator[tuple[np.intp, np.intp, np.floating]]:
    """Positions and values of the products that are at least `bound`."""
    rows, columns = np.nonzero(products >= bound)
    return zip(rows + row, columns + column, products[rows, columns])
