"""Sounds of files: waves in one rate, from a list of formats and within limits; what is left out is named."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Lazy, Skipped
from unseen.files import check_plain, is_hidden, sentence, walk

PLAIN = (".wav",)
"""Formats that are read without another package."""
BY_SOUNDFILE = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")
SOUND_SUFFIXES = PLAIN + BY_SOUNDFILE
"""Formats that are read at all."""
LARGEST = 1 << 29
"""Bytes of a file."""
LONGEST = 600.0
"""Seconds of a sound, unless told otherwise."""
SILENCE = 10 ** (-70 / 20)
"""Root mean square, of full scale, below which a sound is silence: -70 dB."""
CANCELLED = 6.0
"""Decibels that a mixture lies below what its loudest channel alone would leave of it, where channels cancel."""
SHORTEST = 0.02
"""Seconds."""
RATES = (1000, 768_000)
CHANNELS = 64
MOST_VALUES = 1 << 28
"""Values of all channels together: 1 GB in memory, an hour of stereo at 37 kHz."""
BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b".snd", b"caff", b"ID3", b"\xff")
"""First bytes of the formats."""
INSTALL = 'pip install "unseen[captioning]"'


@dataclasses.dataclass(frozen=True)
class Sound:
    """A sound: its wave in one channel, (t,), in [-1, 1], how many values a second has, and how long the file is."""

    wave: NDArray[np.float32]
    rate: int
    seconds: float

    @property
    def level(self) -> float:
        """Root mean square in decibels of full scale, around the mean: a constant is not heard."""
        return level_of(self.wave)

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return is_silent(self.wave)


def level_of(wave: NDArray[Any]) -> float:
    """Root mean square of a wave around its mean, in decibels of full scale."""
    return 10 * math.log10(max(float(np.var(wave, dtype=np.float64)) if len(wave) else 0.0, 1e-20))


def is_silent(wave: NDArray[Any]) -> bool:
    """Whether there is nothing to hear in a wave."""
    return level_of(wave) < 20 * math.log10(SILENCE)


def read_sound(path: str | os.PathLike[str], rate: int | None = None, *, longest: float = LONGEST) -> Sound:
    """Read a file of a sound, its channels mixed, in `rate` values a second.

    Parameters
    ----------
    path : path
        WAV; with the package soundfile also FLAC, Ogg, MP3 and others of `SOUND_SUFFIXES`.
    rate : int, optional
        The file's own if absent.
    longest : float
        Seconds: a longer one is refused before it is decoded.

    Raises
    ------
    ValueError
        If it is no such file, damaged, empty, too large or too long.
    ImportError
        If soundfile is needed and not installed; the message is the command that installs it.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in SOUND_SUFFIXES:
        raise ValueError(f"{place.name} is no sound that is read: it must end in {', '.join(SOUND_SUFFIXES)}")
    if not place.exists():
        raise ValueError(f"there is no file {place.name}")
    check_plain(place)
    size = place.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{place.name} has {size:,} bytes; at most {LARGEST:,} are read")
    with place.open("rb") as file:
        return _waveform(file, place.name, suffix in PLAIN, size, rate, longest, MOST_VALUES)


def sound_of(content: bytes, rate: int | None = None, *, longest: float = LONGEST, most: int = MOST_VALUES) -> Sound:
    """A sound from the bytes of a file, whose format is seen by its first ones; see `read_sound`.

    One of more than `most` values in all channels together is refused.
    """
    plain = content[:4] in (b"RIFF", b"RIFX") and content[8:12] == b"WAVE"
    return _waveform(io.BytesIO(content), "the file", plain, len(content), rate, longest, most)


def _waveform(file: IO[bytes], name: str, plain: bool, size: int, rate: int | None, longest: float, most: int) -> Sound:
    if not size:
        raise ValueError(f"{name} is empty")
    read = _by_scipy if plain else _by_soundfile
    values, file_rate = read(file, name, size, longest, most)
    wave = _mixed(values, name) if values.ndim == 2 else values
    seconds = len(wave) / file_rate
    if seconds < SHORTEST:
        raise ValueError(f"{name} is too short: {seconds:.3f} s, at least {SHORTEST:g}")
    if not np.isfinite(wave).all():
        raise ValueError(f"{name} holds values that are not finite")
    rate = file_rate if rate is None else rate
    return Sound(np.clip(resampled(wave.astype(np.float32), file_rate, rate), -1, 1), rate, seconds)


def _mixed(channels: NDArray[Any], name: str) -> NDArray[Any]:
    """The mean of channels, (n, c); `ValueError` where they cancel: nothing is left of one that is heard."""
    wave: NDArray[Any] = channels.mean(axis=1)
    if is_silent(wave) and not is_silent(loudest := max(channels.T, key=level_of)):
        together, alone = level_of(wave), level_of(loudest)
        if together < alone - 20 * math.log10(channels.shape[1]) - CANCELLED:
            raise ValueError(
                f"{name} has channels that cancel each other: {alone:.0f} dB alone, {together:.0f} dB mixed, as one "
                'has the opposite phase. Keep one of them: ffmpeg -i IN -af "pan=mono|c0=c0" OUT'
            )
    return wave


def sound_files(paths: Sequence[str]) -> Lazy:
    """Files of this machine as samples of kind ``audio``: each a `Sound` in its own rate, read when asked for."""
    return Lazy([str(path) for path in paths], read_sound, _digest)


def check_sound(path: str | os.PathLike[str]) -> None:
    """Raise `ValueError` unless a file is a sound in which there is something to hear."""
    check_heard(read_sound(path))


def check_heard(sound: Sound) -> None:
    """Raise `ValueError` if there is nothing to hear in a sound."""
    if sound.silent:
        raise ValueError(f"silence ({sound.level:.0f} dB)")


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resampled(wave: NDArray[np.float32], wave_rate: int, rate: int) -> NDArray[np.float32]:
    """A wave with another number of values a second."""
    if wave_rate == rate:
        return wave
    from scipy.signal import resample_poly

    common = math.gcd(wave_rate, rate)
    return resample_poly(wave, rate // common, wave_rate // common).astype(np.float32)


def windows(wave: NDArray[np.float32], rate: int, seconds: float = 10.0) -> list[NDArray[np.float32]]:
    """A wave in parts of so many seconds, the last of which may be shorter, but not by more than nine tenths."""
    size = round(seconds * rate)
    parts = [wave[start : start + size] for start in range(0, len(wave), size)]
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) < size / 10 else parts


def audible(wave: NDArray[np.float32], rate: int, seconds: float = 10.0) -> list[NDArray[np.float32]]:
    """The `windows` of a wave in which there is something to hear; all of them where there is in none."""
    parts = windows(wave, rate, seconds)
    return [part for part in parts if not is_silent(part)] or parts


UNPACK = "sounds are read one by one here: unpack them into a folder (tar -xf SHARD.tar -C FOLDER), and name that"


def find_sounds(place: str | os.PathLike[str]) -> tuple[list[Path], list[str], tuple[Skipped, ...]]:
    """The sounds of a folder, or one file: paths, names below the folder, and what could not be looked into.

    Files of other formats are no sounds, and not counted; hidden files are ignored.

    Raises
    ------
    ValueError
        If there is no sound.
    """
    root = Path(place)
    if root.suffix.lower() == ".tar" and root.is_file():
        raise ValueError(f"sounds: {str(place)!r} is a shard; {UNPACK}")
    if root.is_file():
        return [root], [root.name], ()
    if not root.is_dir():
        raise ValueError(f"sounds: there is no file or folder {str(place)!r}")
    below = walk(root, ignore=is_hidden)
    names = [name for name in below.files if Path(name).suffix.lower() in SOUND_SUFFIXES]
    if not names and any(name.endswith(".tar") for name in below.files):
        raise ValueError(f"sounds: {str(place)!r} holds shards and no sound beside them; {UNPACK}")
    if not names:
        raise ValueError(f"sounds: {str(place)!r} holds no sound; they end in {', '.join(SOUND_SUFFIXES)}")
    return [root / name for name in names], names, tuple(Skipped(where, why) for where, why in below.refused)


def read_sounds(
    paths: Iterable[Path], rate: int, *, longest: float = LONGEST
) -> Iterable[tuple[Path, Sound | None, str]]:
    """Each file with its sound, or None and why it is left out: damaged, too long, or silence."""
    for path in paths:
        try:
            sound = read_sound(path, rate, longest=longest)
        except (ValueError, OSError, ImportError) as error:
            yield path, None, sentence(error)
            continue
        if sound.silent:
            yield path, None, f"silence ({sound.level:.0f} dB)"
        else:
            yield path, sound, ""


def wav_bytes(wave: NDArray[np.float32], rate: int) -> bytes:
    """A wave as a WAV file of 16 bits."""
    from scipy.io import wavfile

    buffer = io.BytesIO()
    wavfile.write(buffer, rate, np.rint(np.clip(wave, -1, 1) * 32767).astype(np.int16))
    return buffer.getvalue()


def _by_scipy(file: IO[bytes], name: str, size: int, longest: float, most: int) -> tuple[NDArray[Any], int]:
    import warnings

    from scipy.io import wavfile

    header = _wav_header(file, size)
    file.seek(0)
    if header is not None:  # before any of it is decoded
        _check(name, *header, longest, most)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, values = wavfile.read(file)
    except Exception as error:  # a damaged header is told in many ways
        raise ValueError(f"{name} {_broken(file, size)}") from error
    _check(name, rate, len(values), 1 if values.ndim == 1 else values.shape[1], longest, most)
    if values.dtype.kind == "f":
        return values, rate
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128, rate
    return values.astype(np.float32) / float(np.iinfo(values.dtype).max + 1), rate


def _wav_header(file: IO[bytes], whole: int) -> tuple[int, int, int] | None:
    """Values a second, frames and channels that a WAV file tells, or None where its header is damaged."""
    kind, left = file.read(12), whole - 12
    order: Literal["little", "big"] = "big" if kind[:4] == b"RIFX" else "little"
    form: tuple[int, int, int] | None = None
    while left >= 8:
        name, size = file.read(4), int.from_bytes(file.read(4), order)
        left -= 8
        if name == b"data":
            if form is None:
                return None
            return form[0], min(size, left) // max(form[2], 1), form[1]
        size += size % 2
        if name == b"fmt " and 16 <= size <= left:
            body = file.read(size)
            rate, channels, block = body[4:8], body[2:4], body[12:14]
            form = (int.from_bytes(rate, order), int.from_bytes(channels, order), int.from_bytes(block, order))
        else:
            file.seek(size, 1)
        left -= size
    return None


def _by_soundfile(file: IO[bytes], name: str, size: int, longest: float, most: int) -> tuple[NDArray[Any], int]:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise ImportError(f"{name} is no WAV; other sounds are read by soundfile: {INSTALL}") from error
    try:
        sound = soundfile.SoundFile(file)
    except Exception as error:  # a decoder dies of whatever it is given
        raise ValueError(f"{name} {_broken(file, size)}") from error
    with sound:
        _check(name, sound.samplerate, sound.frames, sound.channels, longest, most)
        frames = min(math.ceil(longest * sound.samplerate), most // sound.channels)  # a header may say less
        try:
            return sound.read(frames, dtype="float32", always_2d=True), sound.samplerate
        except Exception as error:
            raise ValueError(f"{name} {_broken(file, size)}") from error


def _broken(file: IO[bytes], size: int) -> str:
    """What is wrong with a file that no reader reads, by its first bytes; what readers say names their own affairs."""
    file.seek(0)
    head = file.read(12)
    if not head.startswith(BEGINNINGS):
        return "is no sound that can be read"
    declared = int.from_bytes(head[4:8], "big" if head[:4] in (b"RIFX", b"FORM") else "little") + 8
    whole = head[:4] in (b"RIFF", b"RIFX", b"FORM") and declared <= size
    return (
        "is damaged, and no sound that can be read" if whole else "is cut off or damaged, and no sound that can be read"
    )


def _check(name: str, rate: int, frames: int, channels: int, longest: float, most: int) -> None:
    if not RATES[0] <= rate <= RATES[1] or not 1 <= channels <= CHANNELS:
        raise ValueError(
            f"{name} must have {RATES[0]:,} to {RATES[1]:,} values a second and at most {CHANNELS} channels; "
            f"got {rate:,} and {channels}"
        )
    if frames * channels > most:
        raise ValueError(f"{name} holds {frames:,} values in each of {channels} channels, more than {most:,} in all")
    if frames > longest * rate:
        raise ValueError(f"{name} is {_minutes(frames / rate)} long; at most {_minutes(longest)} are read")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
