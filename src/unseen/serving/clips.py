"""Videos that strangers send: frames of one, decoded from memory, and messages that tell nothing of the machine."""

from __future__ import annotations

import io
import logging
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data import clips, video

logger = logging.getLogger(__name__)

MOST_WORK = 1 << 34
"""Pixels that are decoded of one video to find its frames: 8,000 frames of 1080p, or half a minute of a processor."""
MOST_BYTES = 1 << 29
"""Of its frames in memory."""
EXAMPLE = (96, 24)
"""Pixels of a side and frames of the video to try a server with."""


def open_clip(content: bytes, frames: int, max_pixels: int) -> NDArray[np.uint8]:
    """Frames from the middle of equal parts of a video, bytes (frames, 3, h, w), as `unseen.load` reads a file.

    Parameters
    ----------
    content : bytes
        A whole file, of at most ten minutes.
    frames : int, >= 2
    max_pixels : int
        Width times height of a frame; more are refused before one is decoded.

    Raises
    ------
    ValueError
        If it is no video of a known format, is damaged, too long or too large, or takes too long to decode.
    """
    file = io.BytesIO(content)
    try:
        start, end = clips.bounds(clips.Segment("sample"), video.length_of(file))
        file.seek(0)
        video.probe(
            file, max_pixels=max_pixels, most=MOST_WORK
        )  # one frame, or an end that lacks, is refused as in a folder
        file.seek(0)
        times = clips.middles(start, end, frames)
        return video.read_frames(file, times, side=clips.SIDE, max_pixels=max_pixels, most=MOST_WORK, room=MOST_BYTES)
    except (ValueError, MemoryError) as error:
        logger.info("a video was refused: %s", error)
        reason = "it takes too much memory" if isinstance(error, MemoryError) else str(error)
        raise ValueError(f"is no video that can be read: {reason}") from error


@cache
def example() -> bytes:
    """A small video to try the server with: a disc that moves to the right, as MP4."""
    import av

    side, frames = EXAMPLE
    out = io.BytesIO()
    down, right = np.mgrid[:side, :side]
    with av.open(out, "w", format="mp4") as container:
        track: Any = container.add_stream("mpeg4", rate=12)
        track.width = track.height = side
        track.pix_fmt = "yuv420p"
        for i in range(frames):
            at = side * (0.2 + 0.6 * i / (frames - 1))
            disc = (down - side / 2) ** 2 + (right - at) ** 2 < (side / 6) ** 2
            shown = np.where(disc[..., None], (196, 64, 48), (236, 231, 220)).astype(np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(shown)))
        container.mux(track.encode())
    return out.getvalue()
