"""Frames of videos as samples: each frame of a video file, at a rate, or each picture of a folder, in their order.

Where a few frames of a part of a video are one sample, `unseen.data.clips` reads them. Both are decoded by
`unseen.data.video`, and kept by `unseen.data.kept_frames`.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.clips import local, pictures_in
from unseen.data.domain import Domain, Lazy, concatenate
from unseen.data.images import IMAGE_SUFFIXES, as_pixels, image_files
from unseen.data.kept_frames import Contents, Store
from unseen.data.opencv import opencv
from unseen.data.video import DECODING, probe, read_frames
from unseen.data.video_formats import VIDEO_SUFFIXES
from unseen.files import check_plain
from unseen.runtime import track

log = logging.getLogger(__name__)

RATE = 6.0
"""Frames of a second that are taken: two of them apart is a third of a second."""
LONGEST = 480
"""Pixels of the longer side of a frame."""
MOST = 1200
"""Frames of a video that are taken, at most."""
FEWEST = 3
"""Frames below which nothing is far from anything."""


def frames_of(
    path: str | os.PathLike[str],
    *,
    rate: float = RATE,
    longest: int = LONGEST,
    most: int = MOST,
    start: float = 0.0,
    keep: Path | None = None,
) -> Domain:
    """The frames of one video, in order, upright, with the columns video and frame.

    Parameters
    ----------
    path : path
        A video file, or a folder of pictures, which are taken in the order of the numbers in their names, all of them.
    rate : float, > 0
        Frames of a second that are taken; what has fewer gives each once.
    longest : int, >= 64
        Pixels of the longer side above which frames are made smaller.
    most : int, >= 3
        Frames that are taken, from `start` on; of a longer video the rest is told and left.
    start : float, >= 0
        Seconds at which to begin, in a video file.
    keep : Path, optional
        Folder in which decoded frames are kept, by the content of the video, to be read again; in memory if absent.

    Raises
    ------
    ValueError
        If it cannot be read, has no picture track, or fewer than three frames; the message names the file.
    FileNotFoundError
        If it is not there.
    ImportError
        If PyAV is not installed; the message is the command that installs it.
    """
    path = Path(path)
    if not rate > 0 or not np.isfinite(rate):
        raise ValueError(f"rate must be above 0; got {rate}")
    if longest < 64:
        raise ValueError(f"longest must be at least 64 pixels; got {longest}")
    if most < FEWEST:
        raise ValueError(f"most must be at least {FEWEST} frames; got {most}")
    if not (start >= 0 and np.isfinite(start)):
        raise ValueError(f"start must be at least 0 seconds; got {start}")
    if not path.exists():
        raise FileNotFoundError(f"there is no {os.fspath(path)!r}")
    if path.is_dir():
        return _of_folder(path, longest, most)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise ValueError(f"{path} is one picture; a video has {FEWEST} frames at least")
    check_plain(path)
    if keep is None:
        return _domain(path.stem, _decoded(path, rate, longest, most, start))
    key = repr((Contents().digest(local(), os.fspath(path)), rate, longest, most, start, DECODING))
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:40]}-every.npy"
    frames = Store(keep, math.inf).once(name, lambda: _decoded(path, rate, longest, most, start))
    return _domain(path.stem, frames)


def videos(paths: Sequence[str | os.PathLike[str]], **settings: Any) -> Domain:
    """The frames of several videos, each of which has a name of its own; what cannot be read is told and left out.

    A folder that holds video files stands for all of them; one with pictures is a video. `settings` are those of
    `frames_of`.

    Raises
    ------
    ValueError
        If nothing can be read.
    """
    files = [file for path in paths for file in _listed(Path(path))]
    if not files:
        raise ValueError(
            "paths must name a video: a file, a folder of videos, or a folder with the frames of one; it is empty"
        )
    domains: list[Domain] = []
    taken: set[str] = set()
    failed: list[str] = []
    for file in track(files, "videos, decoded"):
        try:
            domain = frames_of(file, **settings)
        except (ValueError, FileNotFoundError) as error:
            failed.append(str(error))
            continue
        name, n = domain.name, 1
        while name in taken:
            n += 1
            name = f"{domain.name} ({n})"
        taken.add(name)
        domains.append(domain if n == 1 else _named(domain, name))
    if not domains:
        raise ValueError(failed[0] if len(failed) == 1 else f"no video can be read: {'; '.join(failed[:3])}")
    for message in failed:
        log.warning("left out: %s", message)
    return concatenate(domains, domains[0].name if len(domains) == 1 else f"{len(domains)} videos")


def _listed(path: Path) -> list[Path]:
    """The videos that a path stands for."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
    folders = [] if files else sorted(part for part in path.iterdir() if part.is_dir() and _pictures(part))
    return files or folders or [path]


def _pictures(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of the numbers in their names."""
    return [Path(file) for file in pictures_in(local(), os.fspath(folder))]


def _of_folder(folder: Path, longest: int, most: int) -> Domain:
    files = _pictures(folder)
    if len(files) < FEWEST:
        raise ValueError(f"{folder} holds {len(files)} pictures; a video has {FEWEST} frames at least")
    if len(files) > most:
        log.warning("%s: the first %d of %d pictures are used; most= takes more", folder, most, len(files))
    read = image_files(files[:most])
    shape = _smaller(as_pixels(read[0]), longest).shape

    def frame(i: int) -> NDArray[np.uint8]:
        image = _smaller(as_pixels(read[i]), longest)
        if image.shape != shape:
            raise ValueError(
                f"{files[i]} is {image.shape[1]} x {image.shape[0]}, the first frame {shape[1]} x {shape[0]}: frames "
                "of a video are of one size"
            )
        return image

    n = len(files[:most])
    columns = {"video": np.full(n, folder.name), "frame": np.arange(n)}
    return Domain(x=Lazy(range(n), frame), kind="image", name=folder.name, columns=columns)


def _decoded(path: Path, rate: float, longest: int, most: int, start: float) -> NDArray[np.uint8]:
    """Frames of a video file, (n, h, w, 3)."""
    try:
        with path.open("rb") as file:
            about = probe(file)
        taken = min(rate, about.rate) if about.rate > 0 else rate
        if start >= about.seconds:
            raise ValueError(f"start must lie before its end at {about.seconds:.1f} s; got {start:g}")
        n = int((about.seconds - start) * taken + 0.5)
        if n < FEWEST:
            more = f"a larger `rate` (its own is {about.rate:g}) or " if taken < about.rate else ""
            raise ValueError(
                f"it has {n} {'frame' if n == 1 else 'frames'} from {start:g} s on at {taken:g} a second; {FEWEST} at "
                f"least are needed: take {more}a longer video"
            )
        if n > most:
            log.warning(
                "%s: %.0f of its %.0f seconds are used, from %g s on; most= and start= take others",
                path, most / taken, about.seconds, start,
            )  # fmt: skip
        # in the middle of each frame, so that times that were rounded still show it
        times = [start + (i + 0.5) / taken for i in range(min(n, most))]
        side = max(1, round(min(about.width, about.height) * min(1.0, longest / max(about.width, about.height))))
        with path.open("rb") as file:
            frames = read_frames(file, times, side=side)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return frames.transpose(0, 2, 3, 1)


def _smaller(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(opencv().resize(picture, size, interpolation=opencv().INTER_AREA))


def _domain(name: str, frames: NDArray[np.uint8]) -> Domain:
    n = len(frames)
    columns = {"video": np.full(n, name), "frame": np.arange(n)}
    return Domain(
        x=Lazy(range(n), lambda i: np.ascontiguousarray(frames[i])),
        kind="image",
        name=name,
        ids=np.array([f"{name}/{i}" for i in range(n)]),
        columns=columns,
    )


def _named(domain: Domain, name: str) -> Domain:
    columns = {**domain.columns, "video": np.full(len(domain), name)}
    ids = np.array([f"{name}/{i}" for i in range(len(domain))])
    return domain.replace(columns=columns, ids=ids, name=name)
