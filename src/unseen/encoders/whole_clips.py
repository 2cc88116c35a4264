"""Clips for methods that train the network that looks at frames: all frames as it takes pictures, and the network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from unseen.data.domain import Domain, Lazy
from unseen.encoders.base import Encoder
from unseen.encoders.frames import ClipPreprocess, FramesEncoder
from unseen.encoders.prunable import prunable_towers
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.vit_towers import of_timm


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
    x = domain.x if isinstance(domain.x, Lazy) else Lazy(range(len(domain)), domain.x.__getitem__)
    return domain.replace(x=x.map(preprocess.every))


def frames_in(domain: Domain) -> int:
    """How many frames its clips have, by the first of them."""
    return len(np.asarray(domain.x[0]))


def every_frame(encoder: Encoder, frames: int) -> FramesEncoder:
    """The same side of an encoder for clips of so many frames: it takes each, so that its batches are `whole_clips`."""
    clips = frames_encoder(encoder)
    inner = clips.frame.name
    name = f"frames:{inner}{'&' if '?' in inner else '?'}frames={frames}&parts=1"
    return FramesEncoder(name=name, frame=clips.frame, frames=frames, parts=1)


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
            pictures = TwoTowerEncoder(
                name=clips.frame.name, image=clips.frame, text=encoder.text, logit_scale=encoder.logit_scale,
                template=encoder.template,
            )  # fmt: skip
            return prunable_towers(pictures).requires_grad_()  # towers of a folder rest: their copy learns
        with torch.no_grad():
            return of_timm(clips.frame.module)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"encoder {encoder.name!r} looks at frames by a network that is no vision transformer whose layers can be "
            f"opened ({error}); name one, such as frames:open_clip:ViT-B-32 or frames:timm:vit_small_patch16_224"
        ) from error
