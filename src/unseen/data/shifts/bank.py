"""The bank: ten families of strong changes; of every picture each family has one fixed copy."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
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
    out = (
        np.stack([_copy(picture, family, random_state, strength) for picture in pictures])
        if len(pictures)
        else pictures
    )
    if out.shape[1] != (1 if images.ndim == 3 else images.shape[1]):
        out = np.rint(np.tensordot(out, LUMA, axes=(1, 0)) / LUMA.sum())[:, None].clip(0, 255).astype(np.uint8)
    out = out[:, 0] if images.ndim == 3 else out
    return out if images.dtype == np.uint8 else (out / np.float32(255)).astype(images.dtype)


def _as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pictures as bytes, (n, 3, h, w)."""
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < SMALLEST:
        shapes = f"(n, 3, h, w), (n, 1, h, w) or (n, h, w) with sides of at least {SMALLEST}"
        raise ValueError(f"images must be of shape {shapes}; got {images.shape}")
    if images.dtype != np.uint8:
        if images.dtype.kind != "f":
            raise ValueError(f"images must be bytes or floats in [0, 1]; got {images.dtype}")
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(f"images must lie in [0, 1]; they lie in [{images.min():g}, {images.max():g}]")
        images = np.rint(images * 255).astype(np.uint8)
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images


def _copy(picture: NDArray[np.uint8], family: str, random_state: int, strength: float) -> NDArray[np.uint8]:
    """The copy of one picture (3, h, w) of bytes; made once as long as it is remembered."""
    name = f"{family}:{random_state}:{picture.shape}".encode()
    content = hashlib.sha256(name + np.ascontiguousarray(picture).tobytes()).digest()
    return _remembered(content, strength, lambda: _made(picture, family, content, strength))


def _made(picture: NDArray[np.uint8], family: str, content: bytes, strength: float) -> NDArray[np.uint8]:
    rng = np.random.default_rng(np.frombuffer(content, dtype=np.uint32))
    member = FAMILIES[family][rng.integers(len(FAMILIES[family]))]
    x = (picture.transpose(1, 2, 0) / np.float32(255)).astype(np.float32)
    changed = np.nan_to_num(member(x, rng, strength), nan=0.5)
    return np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8).transpose(2, 0, 1)


# -- copies are the same for every model and epoch ---------------------------------------------------------

REMEMBERED = 2**28
"""Bytes of copies that are kept in memory; those not asked for the longest go first."""

_memory: OrderedDict[tuple[bytes, float], NDArray[np.uint8]] = OrderedDict()
_lock = threading.Lock()


def _remembered(content: bytes, strength: float, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    key = (content, float(strength))
    with _lock:
        if key in _memory:
            _memory.move_to_end(key)
            return _memory[key]
    copy = make()
    with _lock:
        _memory[key] = copy
        while len(_memory) * copy.nbytes > REMEMBERED and len(_memory) > 1:
            _memory.popitem(last=False)
    return copy
