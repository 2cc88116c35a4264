"""The bank: ten families of strong changes; of every picture each family has one fixed copy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.shifts import arithmetic, colors, filters, geometric, scenes
from unseen.data.shifts.base import LUMA, Member

FAMILIES: Mapping[str, tuple[Member, ...]] = {
    "arithmetic": arithmetic.MEMBERS,
    "artistic": filters.ARTISTIC,
    "blur": filters.BLUR,
    "color": colors.COLOR,
    "contrast": colors.CONTRAST,
    "convolutional": filters.CONVOLUTIONAL,
    "edges": filters.EDGES,
    "geometric": geometric.MEMBERS,
    "segmentation": scenes.SEGMENTATION,
    "weather": scenes.WEATHER,
}
"""Members of each family, in the paper's order of families."""

FOLDS = (tuple(FAMILIES)[:5], tuple(FAMILIES)[5:])
"""The paper's two folds of families."""

SMALLEST = 8
"""The shortest side of a picture that the bank takes."""

Pictures = TypeVar("Pictures", Tensor, NDArray[Any])


def check_families(families: Iterable[str]) -> tuple[str, ...]:
    """The families as a tuple; `ValueError` names one that is none, or is there twice."""
    chosen = tuple(families)
    for family in chosen:
        if family not in FAMILIES:
            raise ValueError(f"families must be of {', '.join(FAMILIES)}; got {family!r}")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"families must differ; got {', '.join(chosen)}")
    return chosen


def craft(images: Pictures, family: str, random_state: int = 0, *, strength: float = 1.0) -> Pictures:
    """The copy of every picture in one family: one member, drawn uniformly, with random values of its own.

    What is drawn depends on the content of the picture, the family and `random_state` alone: the same picture has the
    same copy in any order and any batch.

    Parameters
    ----------
    images : Tensor or array of shape (n, 3, h, w), (n, 1, h, w) or (n, h, w)
        Bytes, or floats in [0, 1]; sides of at least 8. Grey pictures are changed in colour and made grey again.
    family : str
        One of `FAMILIES`.
    random_state : int, >= 0
    strength : float, >= 0
        1 is the paper's. Lengths in pixels are scaled from a shorter side of 227.

    Returns
    -------
    Tensor or array
        As `images` in type and shape.

    Raises
    ------
    ValueError
        If there is no such family, or shape or range are others.

    Source: Efthymiadis, Tolias, Chum, WACV 2025, appendix.
    """
    check_families([family])
    if not 0 <= strength < np.inf:
        raise ValueError(f"strength must be at least 0; got {strength}")
    if isinstance(images, Tensor):
        return torch.as_tensor(craft(images.cpu().numpy(), family, random_state, strength=strength)).to(images.device)
    pictures = _as_bytes(np.asarray(images))
    out = np.stack([_copy(one, family, random_state, strength) for one in pictures]) if len(pictures) else pictures
    if out.shape[1] != (1 if images.ndim == 3 else images.shape[1]):
        out = np.rint(np.tensordot(out, LUMA, axes=(1, 0)) / LUMA.sum())[:, None].clip(0, 255).astype(np.uint8)
    out = out[:, 0] if images.ndim == 3 else out
    return out if images.dtype == np.uint8 else (out / np.float32(255)).astype(images.dtype)


def _as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pictures as bytes, (n, 3, h, w)."""
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < SMALLEST:
        told = f"(n, 3, h, w), (n, 1, h, w) or (n, h, w) with sides of at least {SMALLEST}"
        raise ValueError(f"images must be of shape {told}; got {images.shape}")
    if images.dtype != np.uint8:
        if images.dtype.kind != "f":
            raise ValueError(f"images must be bytes or floats in [0, 1]; got {images.dtype}")
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(f"images must lie in [0, 1]; they lie in [{images.min():g}, {images.max():g}]")
        images = np.rint(images * 255).astype(np.uint8)
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images


def _copy(picture: NDArray[np.uint8], family: str, random_state: int, strength: float) -> NDArray[np.uint8]:
    """The copy of one picture (3, h, w) of bytes."""
    name = f"{family}:{random_state}:{picture.shape}".encode()
    content = hashlib.sha256(name + np.ascontiguousarray(picture).tobytes()).digest()
    rng = np.random.default_rng(np.frombuffer(content, dtype=np.uint32))
    member = FAMILIES[family][rng.integers(len(FAMILIES[family]))]
    x = (picture.transpose(1, 2, 0) / np.float32(255)).astype(np.float32)
    changed = np.nan_to_num(member(x, rng, strength), nan=0.5)
    return np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8).transpose(2, 0, 1)


class Copies:
    """The copies of a set of pictures in some families, each made when it is first asked for and then kept.

    Parameters
    ----------
    read : callable (indices (m,)) -> float array (m, c, h, w) in [0, 1]
        The pictures at some places.
    families : sequence of str
    random_state, strength
        As in `craft`.
    keep : int
        Bytes of copies to keep; the others are made again when they are asked for.
    """

    def __init__(
        self, read: Any, families: Sequence[str], random_state: int = 0, strength: float = 1.0, keep: int = 2**29
    ) -> None:
        self.read, self.families = read, check_families(families)
        self.random_state, self.strength, self.keep = random_state, strength, keep
        self._kept: dict[tuple[int, str], NDArray[np.uint8]] = {}
        self._bytes = 0

    def take(self, index: NDArray[np.integer], family: str) -> NDArray[np.float32]:
        """The copies of the pictures at `index` in one family, float32 (m, c, h, w) in [0, 1]."""
        if family not in self.families:
            raise ValueError(f"family must be one of {', '.join(self.families)}; got {family!r}")
        missing = np.array([i for i in index.tolist() if (i, family) not in self._kept], dtype=np.int64)
        fresh: dict[int, NDArray[np.uint8]] = {}
        if len(missing):
            pictures = np.rint(np.asarray(self.read(missing)) * 255).astype(np.uint8)
            made = craft(pictures, family, self.random_state, strength=self.strength)
            fresh = dict(zip(missing.tolist(), made))
            for i, copy in fresh.items():
                if self._bytes + copy.nbytes <= self.keep:
                    self._kept[i, family] = copy
                    self._bytes += copy.nbytes
        rows = [fresh[i] if i in fresh else self._kept[i, family] for i in index.tolist()]
        return np.stack(rows).astype(np.float32) / np.float32(255)
