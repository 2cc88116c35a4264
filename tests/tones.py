"""Recordings of one tone, for tests of several rooms."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unseen.data.sounds import wav_bytes


def write_sound(path: Path, hertz: float = 440.0, rate: int = 8000, seconds: float = 0.5, level: float = 0.3) -> Path:
    """A WAV file of a sine, its folders with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    path.write_bytes(wav_bytes(wave.astype(np.float32), rate))
    return path
