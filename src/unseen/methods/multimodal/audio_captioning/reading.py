"""What is read in training: batches of captions of like lengths, and how far sounds are from their captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unseen.data.pairs import Pairs
from unseen.data.rows import unit_rows
from unseen.nn.protocols import AudioTextSpace
from unseen.nn.train import Run

POOL = 16
"""Batches whose captions are put in order of their length together: short ones are not padded to long ones."""


def by_length(lengths: Sequence[int], size: int) -> Any:
    """Batches of captions of nearly one length, all of them in an epoch, in an order of its own."""
    n, sizes = len(lengths), torch.as_tensor(lengths)

    def batches(run: Run) -> Iterator[Tensor]:
        order = torch.randperm(n, generator=run.generator)
        pools = [pool[sizes[pool].argsort(stable=True)] for pool in torch.split(order, POOL * size)]
        parts = [part for pool in pools for part in torch.split(pool, size)]
        for place in torch.randperm(len(parts), generator=run.generator).tolist():
            yield parts[place]

    return batches


def chosen(tokens: Sequence[Sequence[int]], index: Tensor) -> list[Sequence[int]]:
    """The captions at an index."""
    return [tokens[i] for i in index.tolist()]


def measured_gap(pairs: Pairs, encoder: AudioTextSpace, d: int) -> dict[str, float]:
    """How far sounds are from their captions: the mean cosine, and the distance of the means."""
    if pairs.left.kind != "features" or pairs.right.kind != "text" or not len(pairs):
        raise ValueError(f"pairs must be of vectors of sounds and texts; got {pairs.left.kind} and {pairs.right.kind}")
    sounds = np.asarray(pairs.left.x, dtype=np.float32)
    if sounds.ndim != 2 or sounds.shape[1] != d or not np.isfinite(sounds).all():
        raise ValueError(f"pairs must hold finite vectors of the encoder, (n, {d}); got {sounds.shape}")
    a, t = unit_rows(sounds), unit_rows(encoder.encode_text([str(text) for text in pairs.right.x]))
    return {"matched": float((a * t).sum(axis=1).mean()),
            "means": float(np.linalg.norm(a.mean(axis=0) - t.mean(axis=0)))}  # fmt: skip
