"""Video files: what is in them, and the frames that are shown at some times; bad ones are named before work.

Files are decoded by PyAV, which is the extra ``unseen[video]``. Which format a file has is seen by its first bytes, and
no other reader is asked: what FFmpeg would open as a list of other files is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.video_formats import format_of
from unseen.files import sentence

INSTALL = 'pip install "unseen[video]"'
LARGEST = 1 << 36
"""Bytes of a file: 64 GiB."""
MAX_PIXELS = 1 << 26
"""Pixels of a frame above which a video is refused."""
LEAST_WORK = 1 << 14
"""Pixels as which the smallest frame counts in what is decoded."""
GAP = 4.0
"""Seconds ahead from which, in a file without an index, a key frame is looked for instead of decoding all between."""
SHORT = 0.9
"""Share of the length that a header tells which must be there to be decoded; with less the file is truncated."""
AGAIN = "; copy or record it again"
"""What helps where a file is not whole."""
DECODING = 2
"""Of how frames are found and made: it rises with each change that gives other frames, and what was kept is not read
again."""
SHARP = 1e-3
"""Seconds: how exact times are."""
UNEVEN = 1.5
"""The largest of the last steps between frames beside the least, from which the length of a header is not relied on."""


class TruncatedError(ValueError):
    """Decoding ends long before the end that the header tells.

    Attributes
    ----------
    last, seconds : float
        When the last frame is shown that is there, and the length that is told.
    """

    def __init__(self, last: float, seconds: float) -> None:
        super().__init__(f"the video is truncated: it ends after {last:.1f} of {seconds:.1f} s{AGAIN}")
        self.last, self.seconds = last, seconds


@dataclasses.dataclass(frozen=True)
class Track:
    """The picture track of a video.

    Attributes
    ----------
    seconds : float
        Its length.
    rate : float
        Frames a second in the mean; 0 where nothing tells.
    width, height : int
        Pixels as a person sees it: turned as the file says, with square pixels.
    rotation : int
        Degrees, counter-clockwise, by which frames are turned to stand upright: 0, 90, 180 or 270.
    """

    seconds: float
    rate: float
    width: int
    height: int
    rotation: int


def probe(file: IO[bytes], *, max_pixels: int = MAX_PIXELS, most: float = math.inf) -> Track:
    """Say what a video file holds, after its first two frames and its last ones were decoded.

    Parameters
    ----------
    file : binary file
        It must be able to seek.
    max_pixels : int
        Width times height of a frame.
    most : float
        Pixels of all frames that may be decoded: a small file can hold a million large frames in which nothing moves.

    Raises
    ------
    ValueError
        If it is no video of a known format, has no picture track, one frame only, too large frames, ends before its
        header says (`TruncatedError`), or more would have to be decoded.
    ImportError
        If PyAV is not installed; the message is the command that installs it.
    """
    with _opened(file, max_pixels, most) as video:
        return video.checked()


def length_of(file: IO[bytes]) -> float:
    """Seconds that a video's header tells; nothing is decoded where it does."""
    with _opened(file, MAX_PIXELS) as video:
        return video.seconds


def read_frames(
    file: IO[bytes],
    times: Sequence[float],
    *,
    side: int | None = None,
    max_pixels: int = MAX_PIXELS,
    most: float = math.inf,
    room: float = math.inf,
) -> NDArray[np.uint8]:
    """The frames that are shown at some times, upright, with square pixels.

    A frame is shown from its own time until that of the next one, however far that is: rates may vary. Between times
    that are far apart it is sought by key frames.

    Parameters
    ----------
    file : binary file
        It must be able to seek.
    times : sequence of float
        Seconds since the first frame, ascending; one beyond the last frame shows the last one.
    side : int, optional
        Most pixels of the shorter side; as large as they are if absent, or if they are smaller.
    max_pixels, most
        As in `probe`.
    room : float
        Bytes that the frames may take together.

    Returns
    -------
    array of uint8, (k, 3, h, w)

    Raises
    ------
    ValueError, ImportError
        As `probe`; also if decoding ends before the last time while the header tells more.
    """
    if any(a > b for a, b in zip(times, times[1:])):
        raise ValueError(f"times must ascend; got {list(times)[:8]}")
    with _opened(file, max_pixels, most) as video:
        return _clip(times, (video.shown(time, side) for time in times), room)


def _clip(times: Sequence[float], pictures: Iterable[NDArray[np.uint8]], room: float = math.inf) -> NDArray[np.uint8]:
    """Pictures (h, w, 3) of some times as one array (k, 3, h, w), one at a time in memory beside it."""
    frames = np.zeros((0, 3, 0, 0), np.uint8)
    for i, (time, picture) in enumerate(zip(times, pictures)):
        if i == 0:
            if picture.nbytes * len(times) > room:
                height, width = picture.shape[:2]
                raise ValueError(
                    f"{len(times)} frames of {width} x {height} pixels are more than {room:,} bytes; cut it"
                )
            frames = np.empty((len(times), 3, *picture.shape[:2]), np.uint8)
        if picture.shape[:2] != frames.shape[2:]:
            raise ValueError(f"the size of its frames changes at {time:.1f} s; cut it there")
        frames[i] = picture.transpose(2, 0, 1)
    return frames


class Passage:
    """One way through a video: while windows are asked for in their order, it is opened once and decoded once.

    Windows may overlap: pictures stay as long as the window that is asked for does not begin after them. Where one is
    asked for that lies behind, the way begins anew; a stretch in which nothing is asked for is leapt over.

    Parameters
    ----------
    open_ : callable () -> binary file
        It must be able to seek.
    times : iterable of float
        Seconds of all that may be asked for, in any order.
    side : int, optional
        As in `read_frames`.
    """

    def __init__(self, open_: Callable[[], IO[bytes]], times: Iterable[float], side: int | None = None) -> None:
        self.open, self.side = open_, side
        self.times = sorted(set(times))
        self.place = 0
        self.kept: dict[float, NDArray[np.uint8]] = {}
        self.video: _Video | None = None
        self.held = contextlib.ExitStack()
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Passage, (self.open, self.times, self.side)

    def read(self, times: Sequence[float]) -> NDArray[np.uint8]:
        """The frames of one window, of ascending times among all: (k, 3, h, w); errors as `read_frames`."""
        with self.lock:
            try:
                return _clip(times, self._to(times))
            except BaseException:
                self._end()
                raise

    def _to(self, times: Sequence[float]) -> list[NDArray[np.uint8]]:
        first, end = bisect_left(self.times, times[0]), bisect_right(self.times, times[-1])
        if not self.place or any(time not in self.kept for time in self.times[first : self.place]):
            self._end()
            self.video = self.held.enter_context(_opened(self.held.enter_context(self.open()), MAX_PIXELS))
        self.kept = {time: picture for time, picture in self.kept.items() if time >= times[0]}
        with _named_damage():
            for time in self.times[max(first, self.place) : end]:
                assert self.video is not None
                self.kept[time] = self.video.shown(time, self.side)
        self.place = max(end, self.place)
        if self.place == len(self.times):  # all is decoded
            self.held.close()
        return [self.kept[time] for time in times]

    def _end(self) -> None:
        self.place, self.kept = 0, {}
        self.held.close()


class _Video:
    """An open file, its picture track, and where decoding stands."""

    def __init__(self, container: Any, max_pixels: int, most: float = math.inf) -> None:
        self.max_pixels, self.most, self.work = max_pixels, most, 0
        pictures = [s for s in container.streams.video if not _is_cover(s)]
        if not pictures:
            content = "sound only, and is no clip" if container.streams.audio else "no track that can be read"
            raise ValueError(f"the file has no picture track: it holds {content}")
        self.container, self.stream = container, pictures[0]
        if self.stream.codec_context is None:
            raise ValueError("the picture track is of no format that can be decoded")
        self.stream.thread_type = "AUTO"
        width, height = self.stream.codec_context.width, self.stream.codec_context.height
        if width < 1 or height < 1:
            raise ValueError(f"the picture track tells no size: {width} x {height}")
        self._fits(width, height)
        self.base = float(self.stream.time_base or Fraction(1, 1000))
        self.start = float(self.stream.start_time or 0) * self.base
        self.lost = container.format.name in ("mpeg", "mpegvideo")  # they have no index that can be relied on
        entries = () if self.lost else _entries(self.stream)
        ticks = [entry.timestamp for entry in entries if entry.is_keyframe]  # when each is decoded
        last = [entries[i].timestamp for i in range(max(0, len(entries) - 33), len(entries))]
        steps = [after - before for before, after in itertools.pairwise(last)]
        self.uneven = bool(steps) and max(steps) > UNEVEN * min(steps)
        self.keys = [(tick - ticks[0]) * self.base for tick in ticks]  # when it is shown
        self.frames: Iterator[Any] = self._decoded()
        self.scaling = _av().video.reformatter.VideoReformatter()  # made once for all frames of a size
        self.at = -math.inf
        self.now: Any = None
        self.coming: Any = None
        self.made: tuple[Any, NDArray[np.uint8]] | None = None

    @property
    def seconds(self) -> float:
        """What the header tells; where it tells nothing, all packets are looked at."""
        if self.stream.duration:
            return max(self.seconds_told, self._last_end() if self.uneven else 0.0)
        if self.container.duration:
            return float(self.container.duration) / 1e6
        last = max((float(p.pts + (p.duration or 0)) for p in self.container.demux(self.stream) if p.pts is not None),
                   default=0.0)  # fmt: skip
        self.container.seek(0)
        self.frames = self._decoded()
        return last * self.base - self.start

    def _last_end(self) -> float:
        """When the last frame ends by the packets behind the last key frame; of a damaged file 0.

        Headers add up when frames are decoded: where the rate varies, and frames are told by later ones, these end
        earlier than what is shown.
        """
        try:
            self._seek(self.seconds_told)
            ends = [float(p.pts + (p.duration or 0)) for p in self.container.demux(self.stream) if p.pts is not None]
            self._seek(0.0)
        except _av().error.FFmpegError:
            return 0.0
        return max(ends, default=0.0) * self.base - self.start

    def checked(self) -> Track:
        seconds = self.seconds
        first = next(self.frames, None)
        if first is None:
            raise ValueError("no frame of the picture track can be decoded: the file is empty or damaged")
        second = next(self.frames, None)
        if second is None:
            raise ValueError("the video has one frame; a clip needs at least two, and one alone is a picture")
        if seconds > 0:
            self._seek(seconds)
            last = max((self._time(frame) for frame in self.frames), default=0.0)
            if _is_short(last, seconds):
                raise TruncatedError(max(last, self._last_shown()), seconds)
        rotation = _turn(first)
        width, height = _square(first, self.stream, rotation)
        return Track(seconds, float(self.stream.average_rate or 0), width, height, rotation)

    def _last_shown(self) -> float:
        """When the last frame is shown that can be decoded, where the index leads beyond it; 0 without an index.

        Behind which key frame that is, is found by halves.
        """

        def shown_from(place: int) -> Iterator[float]:
            self._seek(self.keys[place])
            with contextlib.suppress(ValueError, _av().error.FFmpegError):  # damaged there: it ended before
                yield from (time for time in map(self._time, self.frames) if time >= self.keys[place] - SHARP)

        beyond = bisect_left(range(len(self.keys)), True, key=lambda place: next(shown_from(place), None) is None)
        return max(shown_from(beyond - 1), default=0.0) if beyond else 0.0

    def shown(self, time: float, side: int | None) -> NDArray[np.uint8]:
        """The picture (h, w, 3) of a time, which is not before the last one that was asked for."""
        if self.now is None and self.coming is None:
            self.coming = next(self.frames, None)
        self._leap(time)
        while self.coming is not None and (self.now is None or self._time(self.coming) <= time + SHARP):
            self.now, self.coming = self.coming, next(self.frames, None)
        if self.now is None:
            raise ValueError(f"nothing can be decoded at {time:.1f} s: the file is truncated or damaged")
        if self.coming is None:
            last, wanted = min(self._time(self.now), time), min(time, self.seconds_told)
            if _is_short(last, wanted):
                raise TruncatedError(last, wanted)
        if self.made is None or self.made[0] is not self.now:
            self.made = (self.now, self._upright(self.now, side))
        return self.made[1]

    @property
    def seconds_told(self) -> float:
        return float(self.stream.duration or 0) * self.base

    def _leap(self, time: float) -> None:
        """Go to the last key frame before a time, where that lies ahead; where it proves to be later, to one before.

        Where the index leads nowhere, as in some programme streams, all is decoded from the beginning, and no more is
        sought.
        """
        ahead = math.inf if self.coming is None else self._time(self.coming) + SHARP
        if not (self.keys or self.lost) and ahead < time and time - self.at > GAP:
            self._jump(time)
        jumped = False
        for place in reversed(range(bisect_right(self.keys, time + SHARP))):
            near = self.keys[place] <= ahead
            if near and not jumped:
                return
            self._jump(self.keys[place])
            if self.coming is not None and self._time(self.coming) <= time + SHARP:
                return
            if near:
                break
            jumped = True
        if jumped:
            self.keys, self.lost = [], True
            self._jump(0.0)

    def _jump(self, time: float) -> None:
        self._seek(time)
        self.now, self.coming = None, next(self.frames, None)

    def _seek(self, time: float) -> None:
        self.container.seek(round((time + self.start) / self.base), stream=self.stream, backward=True)
        self.frames = self._decoded()

    def _decoded(self) -> Iterator[Any]:
        damage = _av().error.FFmpegError
        try:
            for frame in self.container.decode(self.stream):
                self._fits(frame.width, frame.height)
                self.work += max(LEAST_WORK, frame.width * frame.height)
                if self.work > self.most:
                    raise ValueError(
                        f"more than {self.most:,} pixels would have to be decoded to find its frames; cut it, or give "
                        "it smaller frames or more key frames"
                    )
                if frame.pts is not None:
                    self.at = self._time(frame)
                    yield frame
        except damage as error:
            raise ValueError(f"the video is damaged after {max(self.at, 0):.1f} s: {_why(error)}{AGAIN}") from error

    def _upright(self, frame: Any, side: int | None) -> NDArray[np.uint8]:
        """A frame as a picture, (h, w, 3)."""
        rotation = _turn(frame)
        width, height = _square(frame, self.stream, rotation)
        width, height = within(width, height, side)
        self._fits(width, height)  # with square pixels it may be ten times as wide
        across, down = (height, width) if rotation % 180 else (width, height)
        scaled = self.scaling.reformat(frame, width=across, height=down, format="rgb24")
        return np.rot90(scaled.to_ndarray(), rotation // 90)

    def _fits(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise ValueError(f"its frames have {width} x {height} pixels; at most {self.max_pixels:,} are read")

    def _time(self, frame: Any) -> float:
        return float(frame.pts) * self.base - self.start


def _is_short(last: float, seconds: float) -> bool:
    """Whether decoding ended long before the end that was told."""
    return seconds > 1 and last < SHORT * seconds - 1


@contextlib.contextmanager
def _opened(file: IO[bytes], max_pixels: int, most: float = math.inf) -> Iterator[_Video]:
    av = _av()
    size = file.seek(0, 2)
    if not size:
        raise ValueError("the file is empty: it was not copied, or not recorded, to its end")
    if size > LARGEST:
        raise ValueError(f"the file has {size:,} bytes; at most {LARGEST:,} are read")
    file.seek(0)
    name = format_of(file.read(264))
    file.seek(0)
    try:
        container = av.open(file, format=name, metadata_errors="ignore")
    except av.error.FFmpegError as error:
        raise ValueError(f"the video cannot be opened; it is truncated or damaged: {_why(error)}{AGAIN}") from error
    with container, _named_damage():
        yield _Video(container, max_pixels, most)


@contextlib.contextmanager
def _named_damage() -> Iterator[None]:
    """FFmpeg's errors as a sentence."""
    damage = _av().error.FFmpegError
    try:
        yield
    except damage as error:
        raise ValueError(f"the video is truncated or damaged: {_why(error)}{AGAIN}") from error


def _why(error: Any) -> str:
    """What FFmpeg says, without its number and the folders of this machine."""
    return getattr(error, "strerror", None) or sentence(error)


def _is_cover(stream: Any) -> bool:
    """Whether a picture track is the cover of a sound."""
    return bool(stream.disposition & _av().stream.Disposition.attached_pic)


def _entries(stream: Any) -> Sequence[Any]:
    """The index of a track, as far as the file has one."""
    return getattr(stream, "index_entries", None) or ()


def _turn(frame: Any) -> int:
    return round(float(getattr(frame, "rotation", 0) or 0) / 90) * 90 % 360


def _square(frame: Any, stream: Any, rotation: int) -> tuple[int, int]:
    """Width and height as a person sees them."""
    ratio = float(stream.sample_aspect_ratio or 1)
    wide = max(1, round(frame.width * ratio)) if 0.1 < ratio < 10 else frame.width
    return (frame.height, wide) if rotation % 180 else (wide, frame.height)


def within(width: int, height: int, side: int | None) -> tuple[int, int]:
    """Width and height with at most `side` pixels on the shorter side: a small picture is not made larger."""
    scale = 1.0 if side is None else min(1.0, side / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def require() -> None:
    """Raise `ImportError`, with the command that installs it, if videos cannot be read here."""
    _av()


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError(f"videos are read by PyAV: {INSTALL}") from error
    # Its log on, as older versions of torchvision turn it on, decoding threads and Python wait for each other for ever.
    av.logging.set_level(None)
    return av
