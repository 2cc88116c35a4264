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


def as_samples(x: Any, kind: Kind, ids: Sequence[str] | NDArray[Any] | None = None) -> NDArray[Any]:
    """Samples of one kind as an array, (n, ...): of objects where they are texts, sounds or of unlike sizes.

    Parameters
    ----------
    x : sequence of samples
    kind : str
        What they are said to be.
    ids : n strings, optional
        What errors call them; positions if absent.

    Raises
    ------
    TypeError
        If it is no sequence of samples of this kind; the message says which kind it may be of.
    ValueError
        If samples of one size differ in it, or a text is missing.
    """
    if kind == "text":
        return _texts(x, ids)
    array = _of_frame(x) if is_frame(x) else _as_array(x, ragged=kind in RAGGED)
    if array.dtype.kind == "c":
        raise TypeError("x holds complex numbers: give their magnitudes, or real and imaginary parts side by side")
    if kind == "audio":
        _check_sounds(array)
    elif array.dtype.kind in "US":
        raise TypeError(f"x holds texts, and not {kind}: give kind='text'; files are read by unseen.load(path)")
    return _numbers(array, kind) if kind in ("features", "probabilities") else array


def _texts(x: Any, ids: Any) -> NDArray[Any]:
    """Texts as an array of objects; the first that is none is refused by its id."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "U" and x.ndim == 1:
        return text_array(x.tolist())
    row = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    if isinstance(x, (str, bytes, Mapping, Set)) or not row or is_frame(x) or way_out(x):
        _refuse(x)
    values = x.tolist() if hasattr(x, "tolist") else list(x)
    for i, value in enumerate(values):
        if not isinstance(value, str):
            which = f"sample {f'{i:06d}' if ids is None else str(ids[i])!r}"
            if is_missing(value):
                raise ValueError(f"x must hold texts; {which} is missing ({value}): leave it out")
            raise TypeError(f"x must hold texts for kind='text'; {which} is of {type(value).__name__}")
    return x if isinstance(x, np.ndarray) and x.dtype == object else text_array(values)


def _refuse(x: Any) -> None:
    raise TypeError(f"x must be a sequence of samples; got {type(x).__name__}{way_out(x)}")


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


def _as_array(x: Any, *, ragged: bool) -> NDArray[Any]:
    """`x` as a NumPy array, of objects where samples are `ragged`."""
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    if way_out(x):
        _refuse(x)
    try:
        array = np.asarray(x)
    except ValueError as error:
        if not ragged:
            raise ValueError(f"all samples of x must be of one shape: {error}") from error
        array = objects(_as_array(sample, ragged=False) for sample in x)
    if array.ndim == 0:
        _refuse(x)
    if array.dtype == object and len(array) and all(isinstance(value, str) for value in array):
        array = array.astype(np.str_)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check_sounds(array: NDArray[Any]) -> None:
    """`TypeError` for sounds without a rate: the same numbers are another sound in another one."""
    for i, sound in enumerate(array):
        if not (hasattr(sound, "wave") and hasattr(sound, "rate")):
            raise TypeError(
                "x must hold sounds for kind='audio': unseen.data.sounds.Sound(wave, rate, seconds), its wave in one "
                f"channel, (t,), of float32 in [-1, 1], with rate values a second; sample {i} is of "
                f"{type(sound).__name__}"
            )


def _numbers(array: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Numbers, (n, ...); pictures that are not said to be some are refused."""
    if array.dtype == object:
        odd = next((value for value in array.flat if not np.isscalar(value) or isinstance(value, str)), None)
        try:
            if odd is not None:
                raise TypeError
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"x must hold numbers for kind={kind!r}; got objects, such as {odd!r}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"x must hold numbers for kind={kind!r}; got {array.dtype}")
    if array.ndim > 2 and (array.dtype == np.uint8 or (array.ndim == 4 and array.shape[3] in CHANNELS)):
        raise TypeError(
            f"x holds arrays of shape {array.shape[1:]}, and kind={kind!r} is for rows of numbers: give kind='image' "
            "for pictures (or 'clip', 'series', 'points'); x.reshape(len(x), -1) makes rows of anything"
        )
    return array
