"""Clips for methods that train the network that looks at frames: all frames as it takes pictures, and the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.domain import Domain, Lazy
from unseen.encoders.base import Encoder
from unseen.encoders.frames import ClipPreprocess, FramesEncoder
from unseen.encoders.prunable import prunable_towers
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.vit_towers import of_timm

ROOM = 1 << 30
"""Bytes of clips of one domain that stay in memory; the others are read and cut again. One of 16 frames of 224 x 224
pixels takes 2.4 million."""


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
        self.kept: dict[int, list[Any]] = {}
        self.room = ROOM

    def __call__(self, i: int) -> Float[Tensor, "t 3 h w"]:
        frames = self.kept.get(i)
        if frames is None:
            frames = self.preprocess.cut(self.samples[i])
            size = sum(getattr(frame, "values", frame).nbytes for frame in frames)
            if size <= self.room:
                self.room -= size
                self.kept[i] = frames
        clip: Tensor = self.preprocess.frame(frames)
        return clip


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
            f"opened ({error}); name one, such as frames:open_clip:ViT-B-32 or frames:timm:vit_small_patch16_224"
        ) from error
