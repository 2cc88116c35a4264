"""Photographs rendered as if another sensor or another hand had made them: pixel by pixel in place, so labels hold.

The published engine of MINIMA has five networks (infrared, depth, normals, sketch, paint) and one simulation (events).
Here the simulation is the published one, and the networks have stand-ins that are declared as such: functions of the
picture and of a seed. `register_modality` puts a real generator in their place.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray

from unseen.data.images import decode
from unseen.data.opencv import opencv
from unseen.runtime import replacing

Picture = UInt8[np.ndarray, "h w 3"]
Make = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture."""


@dataclasses.dataclass(frozen=True)
class Modality:
    """One kind of rendering.

    Attributes
    ----------
    name : str
    make : callable (picture, rng) -> picture
        Both (h, w, 3) of bytes in RGB.
    aligned : bool
        Whether each pixel stays in its place; what is not aligned cannot inherit labels and is refused in training.
    costly : bool
        Whether its results are worth keeping on disk, as those of a network are.
    """

    name: str
    make: Make
    aligned: bool = True
    costly: bool = False


_MODALITIES: dict[str, Modality] = {}


def register_modality(name: str, make: Make, *, aligned: bool = True, costly: bool = False) -> Modality:
    """Add a modality, or put another generator in the place of one, such as a depth network for ``depth``.

    Raises
    ------
    ValueError
        If `name` is empty, or is ``visible``, which is the picture itself.
    """
    if not name or name == "visible":
        raise ValueError(f"name must be a name other than 'visible', which is the picture itself; got {name!r}")
    _MODALITIES[name] = Modality(name, make, aligned, costly)
    return _MODALITIES[name]


def modality_names() -> tuple[str, ...]:
    """All modalities that can be rendered; ``visible`` comes first."""
    return ("visible", *sorted(set(_MODALITIES) - {"visible"}))


def modality(name: str) -> Modality:
    """The modality of that name; `ValueError` names those that there are."""
    if name not in _MODALITIES:
        raise ValueError(f"modality must be one of {', '.join(modality_names())}; got {name!r}")
    return _MODALITIES[name]


def render(picture: NDArray[np.uint8], name: str, seed: int = 0, *, cache: Path | None = None) -> NDArray[np.uint8]:
    """A picture in another modality, of the same height and width.

    The same picture, modality and seed give the same bytes, on any machine with the same versions.

    Parameters
    ----------
    picture : array (h, w, 3) of bytes, RGB
    name : str
        One of `modality_names()`; ``visible`` returns the picture itself.
    seed : int
        Of what the modality draws: thresholds, kernels, curves.
    cache : path, optional
        Folder where renderings of costly modalities are kept, by content, modality and seed.

    Raises
    ------
    ValueError
        If there is no such modality, the picture is none, or a generator that says it is aligned returns another size.
    """
    kind = modality(name)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise ValueError(f"picture must be of shape (h, w, 3) and of bytes; got {picture.shape} of {picture.dtype}")
    if name == "visible":
        return picture
    key = _key(picture, name, seed)
    if cache is not None and kind.costly:
        return _kept(cache / name / f"{key[:32]}.png", lambda: _made(kind, picture, key))
    return _made(kind, picture, key)


def _made(kind: Modality, picture: NDArray[np.uint8], key: str) -> NDArray[np.uint8]:
    rendered = kind.make(picture, np.random.default_rng(int(key[:32], 16)))
    if rendered.dtype != np.uint8 or rendered.ndim != 3 or rendered.shape[2] != 3:
        raise ValueError(f"modality {kind.name!r} must give bytes, (h, w, 3); got {rendered.shape} of {rendered.dtype}")
    if kind.aligned and rendered.shape != picture.shape:
        raise ValueError(f"modality {kind.name!r} must keep the shape {picture.shape}; got {rendered.shape}")
    return np.ascontiguousarray(rendered)


def _key(picture: NDArray[np.uint8], name: str, seed: int) -> str:
    header = f"{name}:{seed}:{picture.shape}:".encode()
    return hashlib.sha256(header + np.ascontiguousarray(picture).tobytes()).hexdigest()


def _kept(file: Path, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    from PIL import Image

    if file.is_file():
        return np.asarray(decode(file))
    pixels = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
    return pixels


# -- grey and back -----------------------------------------------------------------------------------------


def luma(picture: NDArray[np.uint8]) -> Float[np.ndarray, "h w"]:
    """Grey of a picture in RGB, in [0, 255], by the usual weights: both polarities of events stay unlike."""
    return np.asarray(picture, dtype=np.float32) @ np.asarray(LUMA, dtype=np.float32)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers as bytes, (h, w, 3); a grey picture three times."""
    clipped = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped if clipped.ndim == 3 else np.repeat(clipped[..., None], 3, axis=2)


def _blurred(values: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    return cast(NDArray[np.float32], opencv().GaussianBlur(np.asarray(values, dtype=np.float32), (0, 0), sigma))


# -- event: the published simulation -----------------------------------------------------------------------


def polarity(grey: Float[np.ndarray, "h w"], dx: int, dy: int, threshold: float) -> Int[np.ndarray, "h w"]:
    """Where an event camera that moves by (dx, dy) would report brighter (1) or darker (-1) light.

    The change of log(1 + grey) between a pixel and the one at (x + dx, y + dy), against a contrast threshold. Pixels
    nearer to the border than the shift report nothing.
    """
    height, width = grey.shape
    mx, my = abs(dx), abs(dy)
    out = np.zeros((height, width), dtype=np.int64)
    if height <= 2 * my or width <= 2 * mx:
        return out
    log = np.log1p(grey)
    here = log[my : height - my, mx : width - mx]
    there = log[my + dy : height - my + dy, mx + dx : width - mx + dx]
    change = there - here
    out[my : height - my, mx : width - mx] = (change > threshold).astype(np.int64) - (change < -threshold)
    return out


def _event(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brighter in blue, darker in red, on white: the first channel of BGR is the colour of what became brighter."""
    threshold = rng.uniform(0.05, 0.5)
    dx, dy = rng.integers(1, 4, 2) * rng.choice((-1, 1), 2)
    events = polarity(luma(picture), int(dx), int(dy), threshold)
    out = np.full(picture.shape, 255, dtype=np.uint8)
    out[events > 0] = (0, 0, 255)
    out[events < 0] = (255, 0, 0)
    return out


# -- stand-ins for networks --------------------------------------------------------------------------------


def _sketch(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Pencil by dodging, or lines by a difference of Gaussians; half of them with local contrast raised before."""
    grey = luma(picture)
    if rng.random() < 0.5:
        grey = opencv().createCLAHE(2.0, (8, 8)).apply(_bytes(grey)[..., 0]).astype(np.float32)
    sigma = rng.uniform(1.5, 6)
    if rng.random() < 0.6:
        return _bytes(255 * grey / np.maximum(255 - _blurred(255 - grey, sigma), 1))
    fine = sigma / 3
    lines = _blurred(grey, fine) - _blurred(grey, 1.6 * fine)
    return _bytes(255 * (1 + np.tanh(rng.uniform(0.1, 0.3) * np.minimum(lines + 1, 0) * 3)))


def _paint(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Colours smoothed between edges, then oil: each pixel takes the mean colour of the commonest grey around it."""
    cv2 = opencv()
    smooth = cv2.bilateralFilter(picture, 7, rng.uniform(30, 80), 5)
    k, levels = int(rng.choice((5, 7, 9))), int(rng.integers(8, 16))
    level = np.minimum((luma(smooth) * levels / 256).astype(np.int64), levels - 1)
    best, colour = np.full(level.shape, -1.0, dtype=np.float32), smooth.astype(np.float32)
    for value in np.unique(level):
        there = (level == value).astype(np.float32)
        count = cv2.boxFilter(there, -1, (k, k), normalize=False)
        total = cv2.boxFilter(smooth * there[..., None], -1, (k, k), normalize=False)
        more = count > best + 0.5
        best = np.where(more, count, best)
        colour = np.where(more[..., None], total / np.maximum(count, 1)[..., None], colour)
    return _bytes(colour)


def _field(rng: np.random.Generator, height: int, width: int, cells: int) -> NDArray[np.float32]:
    """A smooth random field in about [-1, 1]."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return cast(NDArray[np.float32], opencv().resize(coarse, (width, height), interpolation=opencv().INTER_CUBIC))


def _curve(rng: np.random.Generator, knots: int) -> NDArray[np.float32]:
    """A random piecewise curve from grey to grey, (256,), stretched to the whole range."""
    places = np.linspace(0, 255, knots)
    rising = np.cumsum(rng.uniform(0, 1, knots))
    heights = rising if rng.random() < 0.5 else rng.uniform(0, 1, knots)
    curve = np.interp(np.arange(256), places, heights)
    return (255 * (curve - curve.min()) / max(np.ptp(curve), 1e-6)).astype(np.float32)


def _infrared(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Warmth as if told by colour and light: random curves of luma and of hue, turned round in some regions."""
    cv2 = opencv()
    hue = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(np.float32)
    grey = luma(picture)
    warm = _curve(rng, int(rng.integers(4, 7)))[np.clip(np.rint(grey), 0, 255).astype(np.int64)]
    angle = 2 * np.pi * hue[..., 0] / 180 + rng.uniform(0, 2 * np.pi)
    warm = warm + rng.uniform(0, 0.5) * hue[..., 1] * np.cos(angle)
    height, width = grey.shape
    region = _field(rng, height, width, 4) + 0.5 * np.cos(angle) * hue[..., 1] / 255
    turn = 1 / (1 + np.exp(-8 * (region - rng.uniform(-0.6, 0.6))))
    mixed = turn * warm + (1 - turn) * (255 - warm)
    return _bytes(_blurred(mixed, rng.uniform(0.5, 1.5)) + rng.normal(0, 2, grey.shape))


@functools.cache
def _colours(name: str) -> NDArray[np.uint8]:
    """A colour map of matplotlib, (256, 3) of bytes."""
    import matplotlib

    return np.asarray(matplotlib.colormaps[name](np.arange(256), bytes=True))[:, :3].copy()


def _depth(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Flat pieces of like colour, each at a distance of its own that grows upwards, in the colours of Spectral_r."""
    cv2 = opencv()
    height, width = picture.shape[:2]
    smooth = cv2.bilateralFilter(picture, 9, 60, 7)
    level = (luma(smooth) * int(rng.integers(4, 7)) / 256).astype(np.uint8)
    near = _field(rng, height, width, 4) + np.linspace(-1.5, 1.5, height, dtype=np.float32)[:, None]
    for value in np.unique(level):
        n, piece = cv2.connectedComponents((level == value).astype(np.uint8))
        total = np.bincount(piece.ravel(), near.ravel(), n) / np.maximum(np.bincount(piece.ravel(), minlength=n), 1)
        depths = total + 0.3 * rng.normal(size=n)
        near = np.where(piece > 0, depths[piece].astype(np.float32), near)
    near = cv2.medianBlur(near.astype(np.float32), 5)
    levels = np.rint(255 * (near - near.min()) / max(float(np.ptp(near)), 1e-6)).astype(np.int64)
    return _colours("Spectral_r")[levels]


def _normal(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Normals of a surface whose height is the smoothed luma, (n + 1) / 2 in RGB."""
    cv2 = opencv()
    height = _blurred(luma(picture), rng.uniform(1, 3)) * rng.uniform(0.05, 0.2)
    gx, gy = (cv2.Sobel(height, cv2.CV_32F, *order, ksize=3) / 4 for order in ((1, 0), (0, 1)))
    n = np.stack([-gx, -gy, np.ones_like(gx)], axis=2)
    return _bytes(255 * (n / np.linalg.norm(n, axis=2, keepdims=True) + 1) / 2)


# -- for tests of what was never trained on ----------------------------------------------------------------


def _negative(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photographic negative."""
    return 255 - picture


def _night(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Dark, bluish and noisy, with a lamp somewhere."""
    height, width = picture.shape[:2]
    light = 0.25 + 0.6 * np.clip(_field(rng, height, width, 4), 0, 1)
    dark = 255 * (picture / 255.0) ** rng.uniform(1.5, 2.2) * light[..., None] * np.array([0.7, 0.8, 1.1])
    return _bytes(dark + rng.normal(0, rng.uniform(4, 9), picture.shape))


def _thermal(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Like a thermal camera: blurred, dark sides warm in part, in the colours of inferno."""
    grey = _blurred(luma(picture), rng.uniform(1.5, 2.5))
    hue = picture[..., 0].astype(np.float32) - picture[..., 2]
    warm = 255 - grey + rng.uniform(0.3, 0.8) * _blurred(hue, 2.0)
    low, high = np.percentile(warm, (1, 99))
    levels = np.clip(255 * (warm - low) / max(float(high - low), 1e-6), 0, 255)
    return _colours("inferno")[np.rint(levels).astype(np.int64)]


_MODALITIES["visible"] = Modality("visible", lambda picture, rng: picture)
for _name, _make in {
    "event": _event,
    "sketch": _sketch,
    "paint": _paint,
    "infrared": _infrared,
    "depth": _depth,
    "normal": _normal,
    "negative": _negative,
    "night": _night,
    "thermal": _thermal,
}.items():
    register_modality(_name, _make)
