"""Clips for methods that train the network that looks at frames: all frames as it takes pictures, and the network."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from unseen.data.domain import Domain, Lazy
from unseen.encoders.base import Encoder
from unseen.encoders.frames import ClipPreprocess, FramesEncoder
from unseen.encoders.prunable import prunable_towers
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.vision import Pixels
from unseen.encoders.vit_towers import of_timm
from unseen.runtime import track

log = logging.getLogger(__name__)

ROOM = 1 << 30
"""Bytes of clips of one domain that stay in memory; the others are read and cut again. One of 16 frames of 224 x 224
pixels takes 2.4 million."""
FILE_ROOM = 8 << 30
"""Bytes of clips of one domain that are written to a file for other processes."""


def frames_encoder(encoder: Encoder) -> FramesEncoder:
    """The side of an encoder (``frames:...``) that looks at the frames of clips.

    Raises
    ------
    ValueError
        If it does not read clips.
    """
    clips = encoder.image if isinstance(encoder, TwoTowerEncoder) else encoder
    if not isinstance(clips, FramesEncoder):
        raise ValueError(f"encoder must look at frames of clips, such as frames:open_clip:...; got {encoder.name!r}")
    return clips


def whole_clips(domain: Domain, encoder: Encoder) -> Domain:
    """Clips with all their frames, each cut and normalized as the encoder takes pictures, read when they are asked for.

    Parameters
    ----------
    domain : Domain
        Of kind clip.
    encoder : Encoder
        ``frames:...``.

    Returns
    -------
    Domain
        The same samples, floats of shape (frames, 3, h, w).
    """
    if domain.kind != "clip":
        raise ValueError(f"{domain.name} must hold clips (kind clip); it is of kind {domain.kind!r}")
    preprocess = frames_encoder(encoder).preprocess
    assert isinstance(preprocess, ClipPreprocess)
    domain = encoder.as_read(domain)
    samples = domain.x if isinstance(domain.x, Lazy) else Lazy(range(len(domain)), domain.x.__getitem__)
    return domain.replace(x=Lazy(range(len(domain)), _Cut(samples, preprocess), samples.digest))


class _Cut:
    """Clips by their place, of which as many stay cut, as bytes, as there is room for: epochs ask for them again."""

    def __init__(self, samples: Lazy, preprocess: ClipPreprocess) -> None:
        self.samples, self.preprocess = samples, preprocess
        self.kept: dict[int, UInt8[np.ndarray, "t h w 3"]] = {}
        self.room = ROOM
        self.written: Held | None = None

    def __call__(self, i: int) -> Float[Tensor, "t 3 h w"]:
        if self.written is not None:
            return self.written(i)
        return batch_of(self.frames(i), self.preprocess)

    def frames(self, i: int) -> UInt8[np.ndarray, "t h w 3"]:
        """All frames of a clip, cut."""
        frames = self.kept.get(i)
        if frames is None:
            frames = np.stack([getattr(frame, "values", frame) for frame in self.preprocess.cut(self.samples[i])])
            if frames.nbytes <= self.room:
                self.room -= frames.nbytes
                self.kept[i] = frames
        return frames


def batch_of(frames: UInt8[np.ndarray, "t h w 3"], preprocess: ClipPreprocess) -> Float[Tensor, "t 3 h w"]:
    """Frames that were cut as the network takes them."""
    ready = hasattr(preprocess.frame, "ready")
    clip: Tensor = preprocess.frame([Pixels(frame) if ready else frame for frame in frames])
    return clip


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """Cut clips by their place in one array, which several processes read: of a file, or in memory.

    What travels to another process is the name of the file, or the array; no path of a sample, which may tell a label.
    """

    values: Path | UInt8[np.ndarray, "n t h w 3"]
    preprocess: ClipPreprocess

    def __call__(self, i: int) -> Float[Tensor, "t 3 h w"]:
        return batch_of(np.array(self._array[i]), self.preprocess)  # torch warns of what cannot be written

    def __getstate__(self) -> dict[str, Any]:
        return {"values": self.values, "preprocess": self.preprocess}

    @cached_property
    def _array(self) -> UInt8[np.ndarray, "n t h w 3"]:
        held = self.values
        array: Any = np.load(held, mmap_mode="r", allow_pickle=False) if isinstance(held, Path) else held
        return array


def travelling(domain: Domain, file: Path | None = None) -> Domain | None:
    """`whole_clips` that other processes read, too: all of them are cut now, once.

    Parameters
    ----------
    domain : Domain
        What `whole_clips` gave.
    file : Path, optional
        What is written for the processes of this machine; it is read here from then on, also after it was removed. The
        clips travel in memory if absent.

    Returns
    -------
    Domain or None
        None where clips are of unlike sizes, or there is no room: `FILE_ROOM` bytes of a file, `ROOM` of memory.
    """
    cut = domain.x.read if isinstance(domain.x, Lazy) else None
    if not isinstance(cut, _Cut) or not len(domain):
        return None
    first = cut.frames(domain.x.items[0])
    need, room = len(domain) * first.nbytes, ROOM if file is None else FILE_ROOM
    if file is not None:
        room = min(room, shutil.disk_usage(file.parent).free // 2)
    if need > room:
        log.warning(
            "the clips of %s take %.1f GB, more than the %.1f GB that are kept for other processes: what learns from "
            "them is fitted in this process, one after the other", domain.name, need / 1e9, room / 1e9,
        )  # fmt: skip
        return None
    shape = (len(domain), *first.shape)
    array = np.empty(shape, np.uint8) if file is None else np.lib.format.open_memmap(file, "w+", np.uint8, shape)
    for place, i in enumerate(track(domain.x.items, f"cutting the clips of {domain.name}")):
        frames = cut.frames(i)
        if frames.shape != first.shape:
            return None
        array[place] = frames
    if isinstance(array, np.memmap):
        array.flush()
    held = Held(array if file is None else file, cut.preprocess)
    cut.kept, cut.written = {}, held if list(domain.x.items) == list(range(len(domain))) else None
    held._array  # noqa: B018 - it is opened here, before the file is removed
    digests = domain.digests().tolist()
    return domain.replace(x=Lazy(range(len(domain)), held, digests.__getitem__))


def frames_in(domain: Domain) -> int:
    """How many frames its clips have, by the first of them."""
    return len(np.asarray(domain.x[0]))


def every_frame(encoder: Encoder, frames: int) -> Encoder:
    """The same encoder for clips of so many frames: it takes each, so that its batches are `whole_clips`."""
    clips = frames_encoder(encoder)
    inner = clips.frame.name
    name = f"frames:{inner}{'&' if '?' in inner else '?'}frames={frames}&parts=1"
    every = FramesEncoder(name=name, frame=clips.frame, frames=frames, parts=1, unit=clips.unit)
    return _beside(every, encoder) if isinstance(encoder, TwoTowerEncoder) else every


def _beside(image: Encoder, encoder: TwoTowerEncoder) -> TwoTowerEncoder:
    """Another side of pictures or clips beside the same side of texts."""
    return TwoTowerEncoder(
        name=image.name, image=image, text=encoder.text, logit_scale=encoder.logit_scale, template=encoder.template,
        save=encoder.save_weights,
    )  # fmt: skip


def network_of_frames(encoder: Encoder) -> nn.Module:
    """A copy of the network that looks at frames, as methods train it: two towers, or a vision transformer.

    Parameters
    ----------
    encoder : Encoder
        ``frames:open_clip:...`` or ``frames:towers:...`` (two towers), ``frames:timm:...`` (one).

    Raises
    ------
    ValueError
        If that network is no vision transformer of which layers can be opened.
    """
    clips = frames_encoder(encoder)
    try:
        if isinstance(encoder, TwoTowerEncoder):
            return prunable_towers(_beside(clips.frame, encoder)).requires_grad_()  # a folder's rest; the copy learns
        with torch.no_grad():
            return of_timm(clips.frame.module)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"encoder {encoder.name!r} looks at frames by a network that is no vision transformer whose layers can be "
            "opened; name two towers, such as frames:open_clip:ViT-B-32, or, for a method that reads no names, "
            "frames:timm:vit_small_patch16_224"
        ) from error
