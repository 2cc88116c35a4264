"""Clips: so many frames of a part of a video, or of a folder of pictures, as one sample; decoded once and kept.

Where every frame is a sample, as in matching, `unseen.data.frames` reads them, at a rate. Both are decoded by
`unseen.data.video`, and kept by `unseen.data.kept_frames`.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data import video
from unseen.data.decoded import once
from unseen.data.domain import Domain, Lazy, Skipped
from unseen.data.images import IMAGE_SUFFIXES, decode
from unseen.data.kept_frames import Contents, Store, cache
from unseen.data.reading import natural_key, open_file, read_bytes
from unseen.files import check_plain

log = logging.getLogger("unseen.data")

FRAMES = 16
"""Frames of a clip that are read, unless told otherwise: one from the middle of each of as many equal parts."""
SIDE = 256
"""Most pixels of their shorter side."""
LONGEST = 600.0
"""Seconds of a clip: of a longer video, parts are named by a table, or windows slide over it."""
SHORTEST = 0.01
"""Seconds of a part."""
MOST_WINDOWS = 100_000
MOST_BYTES = 1 << 30
"""Of the frames of one clip."""
_NUMBERED = re.compile(r"(?:frame|img|image|flow)?[-_]?(\d+)", re.IGNORECASE)
_IN_WORDS = re.compile(r"(?:frame|flow)[-_]?(\d+)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a video file: seconds from its first frame; to its end where that is None."""

    path: str
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        end = np.inf if self.end is None else self.end
        if not (np.isfinite(self.start) and self.start >= 0 and end >= self.start + SHORTEST):
            raise ValueError(
                f"start and end must be seconds with 0 <= start and end >= start + {SHORTEST}; got {self.start} and "
                f"{self.end}"
            )


def middles(start: float, end: float, frames: int) -> list[float]:
    """The times in the middle of so many equal parts."""
    return [start + (i + 0.5) * (end - start) / frames for i in range(frames)]


def check_segment(fs: Any, segment: Segment) -> None:
    """Raise `ValueError` unless a part of a video can be read as a clip; `unseen.data.damage` looks inside."""
    with open_file(fs, segment.path) as file:
        track = video.probe(file)
    bounds(segment, track.seconds)


def bounds(segment: Segment, seconds: float) -> tuple[float, float]:
    """Where a part begins and ends in a video of so many seconds; `ValueError` if it begins later, or is too long."""
    if segment.start >= seconds:
        raise ValueError(f"it starts at {segment.start:.2f} s; the video ends at {seconds:.2f} s")
    end = seconds if segment.end is None else min(segment.end, seconds)
    if end - segment.start > LONGEST:
        raise ValueError(
            f"the clip is {_clock(end - segment.start)} long; at most {_clock(LONGEST)} make one. Give its parts a "
            "start and an end in a table, or let windows slide over it with a stride"
        )
    return segment.start, end


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def windows(seconds: float, window: float, stride: float) -> list[tuple[float, float]]:
    """Start and end of windows of `window` seconds, one every `stride`; a video that is shorter is one window.

    The last one ends where the video ends.

    Raises
    ------
    ValueError
        If a number is not positive, `window` is below `SHORTEST`, or there would be more than `MOST_WINDOWS`.
    """
    for name, value in (("seconds", seconds), ("window", window), ("stride", stride)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number of seconds; got {value}")
    if window < SHORTEST:
        raise ValueError(f"window must be at least {SHORTEST} seconds; got {window}")
    if seconds <= window:
        return [(0.0, max(seconds, SHORTEST))]
    count = int(np.ceil((seconds - window) / stride - 1e-9)) + 1
    if count > MOST_WINDOWS:
        raise ValueError(f"stride {stride:g} makes {count:,} windows of {seconds:.0f} s; at most {MOST_WINDOWS:,}")
    starts = [min(i * stride, seconds - window) for i in range(count)]
    return [(start, start + window) for start in starts]


def clip_files(segments: Sequence[Segment], fs: Any = None, *, frames: int = FRAMES, side: int = SIDE) -> Lazy:
    """Parts of video files as clips that are read when asked for: bytes (frames, 3, h, w).

    Parameters
    ----------
    segments : sequence of Segment
        All on one file system.
    fs : fsspec file system, optional
        Where they lie; this machine's if absent.
    frames : int, >= 2
        Frames of a clip.
    side : int, >= 8
        Most pixels of their shorter side; smaller ones are not made larger.
    """
    reader = _Clips(local() if fs is None else fs, *_checked(frames, side))
    return Lazy(list(segments), reader.read, reader.digest)


def frame_folders(folders: Sequence[Sequence[str]], fs: Any = None, *, frames: int = FRAMES, side: int = SIDE) -> Lazy:
    """Clips whose frames are picture files, in their order: bytes (frames, 3, h, w).

    Parameters
    ----------
    folders : sequence of sequences of str
        The files of each clip, at least two.
    fs, frames, side
        As in `clip_files`.
    """
    reader = _Folders(local() if fs is None else fs, *_checked(frames, side))
    return Lazy([tuple(files) for files in folders], reader.read, reader.digest)


def read_finely(domain: Domain, frames: int) -> Domain:
    """Clips of files, read with `frames` frames where they were to be read with fewer; other samples as they are."""
    return domain.replace(x=_finely(domain.x, frames)) if isinstance(domain.x, Lazy) else domain


def _finely(x: Lazy, frames: int) -> Lazy:
    reader = getattr(x.read, "__self__", None)
    if isinstance(reader, _Kept) and reader.frames < frames:
        finer = dataclasses.replace(reader, frames=_checked(frames, reader.side)[0])
        return Lazy(x.items, finer.read, finer.digest)
    if isinstance(reader, Lazy):  # known by their positions alone: `Lazy.anonymous`
        inner = _finely(reader, frames)
        return x if inner is reader else Lazy(x.items, inner.__getitem__, inner.digest)
    return x


def seconds_of(domain: Domain, i: int) -> list[float] | None:
    """When each frame that is read of a clip is shown, in seconds of its video; None where it is no part of one."""
    x, place = domain.x, i
    while isinstance(x, Lazy):
        reader, item = getattr(x.read, "__self__", None), x.items[place]
        if isinstance(reader, _Clips):
            with _named(item.path), open_file(reader.fs, item.path) as file:
                return middles(*bounds(item, video.length_of(file)), reader.frames)
        x, place = reader, item
    return None


def check_frames(files: Sequence[str]) -> None:
    """Raise `ValueError` unless there are frames enough for a clip."""
    if len(files) < 2:
        raise ValueError(f"the clip has {len(files) or 'no'} frame{'' if len(files) == 1 else 's'}; it needs two")


def are_frames(names: Sequence[str], *, in_words: bool = False) -> bool:
    """Whether files are called as the frames of one clip: numbers without a gap, from 0 or 1 on, of one form.

    With `in_words` they must be called frames: ``frame_0001.jpg``.
    """
    numbers = frame_numbers(names, in_words=in_words)
    return numbers is not None and not frames_missing(numbers)


def frame_numbers(names: Sequence[str], *, in_words: bool = False) -> list[int] | None:
    """The numbers of pictures that are called as frames in one form, in order; None where they are not."""
    pattern = _IN_WORDS if in_words else _NUMBERED
    matches = [pattern.fullmatch(PurePosixPath(name).stem) for name in names]
    forms = {None if match is None else match.string[: match.start(1)].casefold() for match in matches}
    pictures = all(PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in names)
    return (
        sorted(int(match[1]) for match in matches if match)
        if pictures and len(forms - {None}) == len(forms) == 1
        else None
    )


def frames_missing(numbers: Sequence[int]) -> str:
    """Why numbers in order are not those of the frames of one clip; "" where they are."""
    if len(numbers) < 2:
        return "it has one frame; a clip needs two"
    if numbers[0] > 1:
        return f"its first frame is {numbers[0]}; frames are numbered from 0 or 1 on"
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            return f"frame {before} is there twice" if after == before else f"frame {before + 1} is missing"
    return ""


def local() -> Any:
    """The file system of this machine."""
    import fsspec

    return fsspec.filesystem("file")


def pictures_in(fs: Any, folder: str) -> list[str]:
    """The pictures of a folder in the order of the numbers in their names; hidden ones are passed over."""
    pictures = [path for path in fs.ls(folder, detail=False) if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
    return sorted((path for path in pictures if PurePosixPath(path).name[0] != "."), key=natural_key)


def _checked(frames: int, side: int) -> tuple[int, int]:
    if not 2 <= frames <= 1024:
        raise ValueError(f"frames must lie in [2, 1024]; got {frames}")
    if not 8 <= side <= 4096:
        raise ValueError(f"side must lie in [8, 4096] pixels; got {side}")
    return frames, side


@dataclasses.dataclass(frozen=True)
class _Kept(abc.ABC):
    """Clips of one file system: each is made once in a job, and once on this machine while there is room."""

    fs: Any
    frames: int
    side: int
    contents: Contents = dataclasses.field(default_factory=Contents, compare=False)
    store: Store = dataclasses.field(default_factory=lambda: Store(cache()), compare=False)

    def read(self, item: Any) -> NDArray[np.uint8]:
        return once(
            f"clip {self.frames} {self.side}", lambda: self.digest(item), lambda: self._kept(item), lambda x: x.nbytes
        )

    @abc.abstractmethod
    def digest(self, item: Any) -> str:
        """What stands for the content of a clip, and for how it is read."""

    @abc.abstractmethod
    def make(self, item: Any) -> NDArray[np.uint8]:
        """The frames."""

    def _kept(self, item: Any) -> NDArray[np.uint8]:
        name = f"{self.digest(item)[:40]}-{self.frames}-to{self.side}.npy"
        return self.store.once(name, lambda: self.make(item), self.frames)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """An error of reading says of which file: clips are read when they are asked for."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class _Clips(_Kept):
    """Parts of videos."""

    def digest(self, item: Segment) -> str:
        content = self.contents.digest(self.fs, item.path)
        key = f"{content} {item.start:.6f} {item.end} {self.frames} {self.side} decoding {video.DECODING}"
        return hashlib.sha256(key.encode()).hexdigest()

    def make(self, item: Segment) -> NDArray[np.uint8]:
        with _named(item.path), open_file(self.fs, item.path) as file:
            start, end = bounds(item, video.length_of(file))
            file.seek(0)
            return video.read_frames(file, middles(start, end, self.frames), side=self.side, room=MOST_BYTES)


def _bytes_of(path: str) -> IO[bytes]:
    return Path(path).open("rb")


@dataclasses.dataclass(frozen=True)
class _Windows(_Clips):
    """Windows over one video, each frame of which is decoded once while they are read in their order."""

    path: str = ""
    windows: tuple[tuple[float, float], ...] = ()

    @functools.cached_property
    def passage(self) -> video.Passage:
        """The way through the video; it stands where the last window was read."""
        times = (time for window in self.windows for time in middles(*window, self.frames))
        return video.Passage(functools.partial(_bytes_of, self.path), times, self.side)

    def make(self, item: Segment) -> NDArray[np.uint8]:
        assert item.end is not None
        with _named(item.path):
            return self.passage.read(middles(item.start, item.end, self.frames))


class _Folders(_Kept):
    """Pictures of folders."""

    def chosen(self, files: Sequence[str]) -> list[str]:
        check_frames(files)
        return [files[int((i + 0.5) * len(files) / self.frames)] for i in range(self.frames)]

    def digest(self, item: Sequence[str]) -> str:
        parts = [
            *(self.contents.digest(self.fs, path) for path in self.chosen(item)),
            f"{self.side} decoding {video.DECODING}",
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def make(self, item: Sequence[str]) -> NDArray[np.uint8]:
        from PIL import Image

        resized: dict[str, NDArray[np.uint8]] = {}
        size: tuple[int, int] | None = None
        chosen = self.chosen(item)
        for path in dict.fromkeys(chosen):
            with _named(path):
                picture = decode(read_bytes(self.fs, path))
            if size is None:
                size = video.within(*picture.size, self.side)
            resized[path] = np.asarray(picture.resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        return np.stack([resized[path] for path in chosen])


def sliding(
    path: str | os.PathLike[str], stride: float, window: float | None = None, *, frames: int = FRAMES
) -> Domain:
    """Windows over one video, each a clip without a label, with the columns ``start`` and ``end`` in seconds.

    Their frames are not kept on disk: those of one long video would take the room of all other clips. Of a video that
    is truncated there are windows as far as it goes; the rest is one of `skipped`.

    Parameters
    ----------
    path : path
        A video on this machine.
    stride : float, > 0
        Seconds from the start of a window to that of the next one.
    window : float, > 0, optional
        Seconds of a window; `stride` if absent, so that each second is in one window.
    frames : int, >= 2
        Frames of a window.

    Raises
    ------
    ValueError
        If it is no video on this machine, a number is not above 0, or there would be more than `MOST_WINDOWS`.
    FileNotFoundError
        If it is not there.
    """
    place = os.fspath(path)
    for label, value in (("stride", stride), ("window", window)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{label} must be a positive number of seconds; got {value}")
    _checked(frames, SIDE)
    if "://" in place:
        raise ValueError(f"path must be a video on this machine, over which windows slide; got the URL {place!r}")
    if Path(place).is_dir():
        raise ValueError(f"path must be one video, over which windows slide; {place!r} is a folder: name its videos")
    if not Path(place).exists():
        raise FileNotFoundError(f"path {place!r} does not exist")
    check_plain(place)
    name = Path(place).name
    rest: tuple[Skipped, ...] = ()
    with _named(place), Path(place).open("rb") as file:
        try:
            seconds = video.probe(file).seconds
        except video.TruncatedError as cut:
            if cut.last < SHORTEST:
                raise
            seconds = cut.last
            rest = (Skipped(f"{name}#{seconds:.2f}-{cut.seconds:.2f}", str(cut)),)
            log.warning("%s: %s", name, cut)
    parts = windows(seconds, stride if window is None else window, stride)
    reader = _Windows(local(), *_checked(frames, SIDE), store=Store(cache(), room=0), path=place, windows=tuple(parts))
    return Domain(
        x=Lazy([Segment(place, start, end) for start, end in parts], reader.read, reader.digest),
        kind="clip",
        ids=np.array([f"{name}#{start:.2f}-{end:.2f}" for start, end in parts]),
        columns={"start": np.array([start for start, _ in parts]), "end": np.array([end for _, end in parts])},
        name=Path(place).stem,
        skipped=rest,
    )
