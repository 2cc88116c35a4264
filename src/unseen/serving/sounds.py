"""Sounds that strangers send: read from memory, and messages that tell nothing of the machine."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np

from unseen.data.sounds import Sound, sound_of, wav_bytes

logger = logging.getLogger(__name__)

MOST_VALUES = 1 << 26
"""Values of all channels together: ten minutes of stereo at 48 kHz, and some more."""
RATE, SECONDS = 16_000, 1.0
"""Of the sound to try a server with."""


def open_sound(content: bytes) -> Sound:
    """A sound of at most ten minutes, as `unseen.load` reads a file.

    Raises
    ------
    ValueError
        If it is no sound of a known format, is damaged, too long, or silence.
    """
    try:
        sound = sound_of(content, most=MOST_VALUES)
    except (ValueError, ImportError, MemoryError) as error:
        logger.info("a sound was refused: %s", error)
        reason = "takes too much memory" if isinstance(error, MemoryError) else str(error).removeprefix("the file ")
        raise ValueError(reason) from error
    if sound.silent:
        raise ValueError("is silence: there is nothing to hear in it")
    return sound


@cache
def example() -> bytes:
    """A small sound to try the server with: a tone that rises, as WAV."""
    t = np.arange(round(RATE * SECONDS)) / RATE
    return wav_bytes((0.3 * np.sin(2 * np.pi * (220 * t + 110 * t**2))).astype(np.float32), RATE)
