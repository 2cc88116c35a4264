"""Small video files for tests, written by PyAV."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


def shade(i, height=16, width=24):
    """A frame that tells its number by its brightness."""
    return np.full((height, width, 3), min(20 + 6 * i, 255), np.uint8)


def write_video(
    path,
    frames=10,
    *,
    rate=10,
    times=None,
    rotation=None,
    gop=4,
    size=(16, 24),
    sound=False,
    ahead=0,
    codec="mpeg4",
    index_first=False,
):
    """Write frames of rising brightness; `times` are hundredths of seconds where the rate varies.

    `ahead` frames may be told by later ones, so that frames are not shown when they are decoded; the index of an MP4
    may stand first.
    """
    av = pytest.importorskip("av", reason="no PyAV; pip install 'unseen[video]'")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as out:
        if sound:
            track = out.add_stream("aac", rate=8000)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 8000
            for packet in (*track.encode(silence), *track.encode(None)):
                out.mux(packet)
            return path
        track = out.add_stream(codec, rate=rate)
        track.height, track.width, track.pix_fmt, track.gop_size = *size, "yuv420p", gop
        base = Fraction(1, 100 if codec == "mpeg4" else rate)  # MPEG-1 and 2 know few rates
        track.codec_context.time_base = base
        track.codec_context.qmin = track.codec_context.qmax = 1
        track.codec_context.max_b_frames = ahead
        if rotation:
            track.set_display_rotation(rotation)
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(shade(i, *size), "rgb24")
            frame.pts, frame.time_base = (int(Fraction(i, rate) / base) if times is None else times[i]), base
            for packet in track.encode(frame):
                out.mux(packet)
        for packet in track.encode(None):
            out.mux(packet)
    return path


def numbers(clip):
    """Which frames a clip shows, by their brightness."""
    return np.rint((np.asarray(clip, dtype=float).mean(axis=(1, 2, 3)) - 20) / 6).astype(int).tolist()


def damaged_inside(path):
    """A video whose header, first and last frames are whole, and in whose middle there is noise."""
    write_video(path, 60, codec="libx264", gop=10, size=(64, 96))
    content = bytearray(path.read_bytes())
    start, length = content.find(b"mdat") + 4, content.find(b"moov") - content.find(b"mdat")
    places = np.arange(start + length // 3, start + length // 2)
    content[places[0] : places[-1]] = np.random.default_rng(0).bytes(places[-1] - places[0])
    path.write_bytes(content)
    return path
