"""Clips by a text: `unseen find` with a model that compares both, as `unseen align --method mug-stan` saves one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.bundle import Bundle
from unseen.data.clips import FRAMES, Segment
from unseen.data.domain import Domain, Lazy
from unseen.data.loaders import samples_of
from unseen.encoders.base import Encoder
from unseen.encoders.unread import unread
from unseen.methods.clip_finders import ClipFinder

AT_ONCE = 16
"""Clips whose frames are read together."""


def is_model_of_clips(model: Any) -> bool:
    """Whether a path is a folder of a saved model, such as `unseen align` writes, and not of `unseen compose`."""
    return isinstance(model, (str, os.PathLike)) and (Path(model) / "bundle.json").is_file()


class FrameVectors(nn.Module):
    """From clips (b, t, 3, h, w) to the vectors of their frames side by side, (b, t * d)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b e"]:
        """Vectors of frames, of any length."""
        vectors: Tensor = self.network.encode_frames(clips)
        return vectors.flatten(1)


class ClipEncoder(Encoder):
    """The clips of a collection as a fitted method compares them with texts: what is kept of each."""

    def __init__(self, method: ClipFinder, reading: Encoder) -> None:
        super().__init__(
            name=method.card.slug, module=FrameVectors(method.network_), preprocess=reading.preprocess,
            batch_size=AT_ONCE, precision="fp32", local=True,
        )  # fmt: skip

    def example(self, rows: int | None = None) -> Tensor:
        """A batch of meaningless clips."""
        return self.batch([np.zeros((2, 3, 8, 8), dtype=np.uint8)], rows)


def scored_by_text(
    collection: str | os.PathLike[str] | Domain, text: str, model: str | os.PathLike[str], *, trust: bool = False
) -> tuple[Domain, NDArray[np.float32], float, list[str]]:
    """Each clip of a collection once, how well a text fits it, (n,), the seconds of the search alone, and notes.

    The vectors of all frames are kept in the user's cache folder, by the content of clips.

    Parameters
    ----------
    collection : path or Domain
        Clips, as `unseen.load` reads them: a folder of videos, a table of parts.
    model : path
        A saved method that compares clips with texts, such as `unseen align --method mug-stan` wrote.

    Raises
    ------
    ValueError
        If the model is another one, or the collection holds no clips.
    """
    bundle = Bundle.load(model, trust=trust)
    method, reading = bundle.method, bundle.encoder
    if not isinstance(method, ClipFinder) or reading is None:
        raise ValueError(
            f"model: {os.fspath(model)!r} is a saved {method.card.slug}; name what `unseen compose` wrote (pictures), "
            "or `unseen align --method mug-stan` (clips)"
        )
    clips = samples_of(collection, frames=max(FRAMES, method.asked_frames))
    if clips.kind != "clip" or not len(clips):
        raise ValueError(f"collection must hold clips for this model; {clips.name} holds {len(clips)} of {clips.kind}")
    clips = once_each(clips)
    x = torch.as_tensor(ClipEncoder(method, reading).encode(clips).x).view(len(clips), method.asked_frames, -1)
    started = time.perf_counter()
    scores: NDArray[np.float32] = method.compare([text], x)[:, 0].numpy()
    notes = unread(getattr(method.network_, "reader", None), [text]).lines()
    return clips, scores, time.perf_counter() - started, notes


def once_each(clips: Domain) -> Domain:
    """Every clip once, however many captions a table has of it, called by its video and its times."""
    first = np.sort(np.unique(clips.digests(), return_index=True)[1])
    if len(first) == len(clips):
        return clips
    unique = clips.take(first)
    if not isinstance(unique.x, Lazy) or not all(isinstance(item, Segment) for item in unique.x.items):
        return unique
    names = [Path(item.path).name for item in unique.x.items]
    if len(set(names)) < len(names):
        names = [f"{name}#{item.start:g}-{item.end or ''}" for name, item in zip(names, unique.x.items)]
    return unique if len(set(names)) < len(names) else unique.replace(ids=np.array(names))
