"""What the samples of a `Domain` may be, by its kind; anything else is refused, with the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.arguments import is_frame, way_out
from unseen.data.tasks.base import objects, text_array
from unseen.data.typing import Kind

RAGGED: tuple[Kind, ...] = ("image", "audio", "clip", "series", "points")
"""Kinds whose samples may be arrays of unlike sizes."""

CHANNELS = (1, 3, 4)
"""Of pictures, behind height and width."""


def is_missing(value: Any) -> bool:
    """Whether a value stands for one that is not there: None, not a number, or what pandas has in its place."""
    return value is None or (not isinstance(value, (str, bytes)) and str(value) in ("nan", "<NA>", "NaT"))


def as_samples(x: Any, kind: Kind, ids: Sequence[str] | NDArray[Any] | None = None, called: str = "x") -> NDArray[Any]:
    """Samples of one kind as an array, (n, ...): of objects where they are texts, sounds or of unlike sizes.

    PIL images become arrays as their files are read: upright, in RGB, transparency on white.

    Parameters
    ----------
    x : sequence of samples
    kind : str
        What they are said to be.
    ids : n strings, optional
        What errors call them; positions if absent.
    called : str
        The argument that errors name.

    Raises
    ------
    TypeError
        If it is no sequence of samples of this kind; the message says which kind it may be of.
    ValueError
        If samples of one size differ in it, a text is missing, numbers are masked, a picture is damaged, or it is one
        picture and no sequence of them.
    """
    if kind == "text":
        return _texts(x, ids, called)
    if kind in ("image", "clip"):
        x = _with_pixels(x, called)
    if kind == "image" and hasattr(x, "detach") and x.ndim == 3 and x.shape[0] == 3:
        raise ValueError(
            f"{called} must hold pictures, (n, h, w) or (n, h, w, 3); got a tensor of shape {tuple(x.shape)}, as torch "
            f"has one picture: give {called}.permute(1, 2, 0)[None]; {called}[..., None] if it holds three in grey"
        )
    array = _of_frame(x) if is_frame(x) else _as_array(unmasked(x, called), kind in RAGGED, called)
    if array.dtype.kind == "c":
        raise TypeError(
            f"{called} holds complex numbers: give their magnitudes, or real and imaginary parts side by side"
        )
    if kind == "audio":
        _check_sounds(array, called)
    elif array.dtype.kind in "US":
        raise TypeError(f"{called} holds texts, and not {kind}: give kind='text'; files are read by unseen.load(path)")
    elif kind == "image":
        check_several(array.shape, called)
    return _numbers(array, kind, called) if kind in ("features", "probabilities") else array


def check_several(shape: Sequence[int], called: str, way: str = "") -> None:
    """`ValueError` if what should be pictures, (n, h, w), has the shape of one: (h, w), or (h, w, channels).

    `way` says how to give it as a sequence of one, where that is not done in Python.
    """
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in CHANNELS):
        grey = f"; {called}[..., None] if it holds grey pictures as narrow as that" if len(shape) == 3 else ""
        raise ValueError(
            f"{called} must hold pictures, (n, h, w) or (n, h, w, 3); got one picture of shape {tuple(shape)}: "
            + (way or f"give [{called}] or {called}[None]{grey}")
        )


def unmasked(x: Any, called: str) -> Any:
    """`x`; of masked arrays in which nothing is masked the data.

    Raises
    ------
    ValueError
        If something is masked, which a plain array would hold as numbers like others.
    """
    if isinstance(x, np.ma.MaskedArray):
        masked = np.argwhere(np.ma.getmaskarray(x))
        if len(masked):
            where = f"sample {masked[0][0]}" + (f", feature {masked[0][1]}" if x.ndim == 2 else "")
            raise ValueError(
                f"{called} must have all its numbers; masked: {len(masked)}, the first in {where}: "
                f"fill them in, as {called}.filled(0) does, or leave these samples out"
            )
        return x.data
    if isinstance(x, (list, tuple)) and any(isinstance(sample, np.ma.MaskedArray) for sample in x):
        some = next((i for i, sample in enumerate(x) if np.ma.is_masked(sample)), None)
        if some is not None:
            raise ValueError(
                f"{called} must have all its numbers; some of sample {some} are masked: fill them in, as .filled(0) "
                "does, or leave it out"
            )
        return [sample.data if isinstance(sample, np.ma.MaskedArray) else sample for sample in x]
    return x


def _with_pixels(x: Any, called: str) -> Any:
    """The PIL images in a list, or in lists of it, as arrays of bytes in RGB, (h, w, 3); anything else as it is."""
    if hasattr(x, "getbands"):
        raise TypeError(f"{called} must be a sequence of samples; got one picture: give [{called}]")
    if not isinstance(x, (list, tuple)):  # images in an array of objects stay images, as those of files are
        return x
    if not any(hasattr(sample, "getbands") or isinstance(sample, (list, tuple)) for sample in x):
        return x
    from unseen.data.upright import upright

    samples: list[Any] = []
    for i, sample in enumerate(x):
        if not hasattr(sample, "getbands"):
            samples.append(_with_pixels(sample, called))
            continue
        try:
            samples.append(np.array(upright(sample), dtype=np.uint8))
        except ValueError as error:
            raise ValueError(f"{called}: picture {i}: {error}") from error
    return samples


def _texts(x: Any, ids: Any, called: str) -> NDArray[Any]:
    """Texts as an array of objects; the first that is none is refused by its id."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "U" and x.ndim == 1:
        return text_array(x.tolist())
    row = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    if isinstance(x, (str, bytes, Mapping, Set)) or not row or is_frame(x) or way_out(x):
        _refuse(x, called)
    values = x.tolist() if hasattr(x, "tolist") else list(x)
    for i, value in enumerate(values):
        if not isinstance(value, str):
            which = f"sample {f'{i:06d}' if ids is None else str(ids[i])!r}"
            if is_missing(value):
                raise ValueError(f"{called} must hold texts; {which} is missing ({value}): leave it out")
            raise TypeError(f"{called} must hold texts for kind='text'; {which} is of {type(value).__name__}")
    return x if isinstance(x, np.ndarray) and x.dtype == object else text_array(values)


def _refuse(x: Any, called: str) -> None:
    raise TypeError(f"{called} must be a sequence of samples; got {type(x).__name__}{way_out(x)}")


def _of_frame(frame: Any) -> NDArray[Any]:
    """The numbers of a data frame; a column of anything else is refused by its name."""
    array = np.asarray(frame)
    if array.dtype.kind in "biuf":
        return array
    for name, column in frame.items():
        if column.dtype.kind not in "biuf":
            raise TypeError(
                f"x: column {str(name)!r} holds {column.dtype}, and no numbers: leave it out, or read the whole table "
                "with unseen.load(frame)"
            )
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _as_array(x: Any, ragged: bool, called: str) -> NDArray[Any]:
    """`x` as a NumPy array, of objects where samples are `ragged`."""
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    if way_out(x):
        _refuse(x, called)
    try:
        array = np.asarray(x)
    except ValueError as error:
        if not ragged:
            raise ValueError(f"all samples of {called} must be of one shape: {error}") from error
        array = objects(_as_array(sample, False, called) for sample in x)
    if array.ndim == 0:
        _refuse(x, called)
    if array.dtype == object and len(array) and all(isinstance(value, str) for value in array):
        array = array.astype(np.str_)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check_sounds(array: NDArray[Any], called: str) -> None:
    """`TypeError` for sounds without a rate: the same numbers are another sound in another one."""
    for i, sound in enumerate(array):
        if not (hasattr(sound, "wave") and hasattr(sound, "rate")):
            raise TypeError(
                f"{called} must hold sounds for kind='audio': unseen.data.sounds.Sound(wave, rate, seconds), its "
                f"wave in one channel, (t,), of float32 in [-1, 1], with rate values a second; sample {i} is of "
                f"{type(sound).__name__}"
            )


def _numbers(array: NDArray[Any], kind: Kind, called: str) -> NDArray[Any]:
    """Numbers, (n, ...); pictures that are not said to be some are refused."""
    if array.dtype == object:
        odd = next((value for value in array.flat if not np.isscalar(value) or isinstance(value, str)), None)
        try:
            if odd is not None:
                raise TypeError
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{called} must hold numbers for kind={kind!r}; got objects, such as {odd!r}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{called} must hold numbers for kind={kind!r}; got {array.dtype}")
    if array.ndim > 2 and (array.dtype == np.uint8 or (array.ndim == 4 and array.shape[3] in CHANNELS)):
        raise TypeError(
            f"{called} holds arrays of shape {array.shape[1:]}, and kind={kind!r} is for rows of numbers: give "
            f"kind='image' for pictures (or 'clip', 'series', 'points'); {called}.reshape(len({called}), -1) "
            "makes rows of anything"
        )
    return array
