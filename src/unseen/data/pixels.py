"""Batches of pictures with a class for every pixel, cut and turned together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.images import as_pixels
from unseen.data.samplers import Batch
from unseen.data.tasks.mask import UNKNOWN

__all__ = ["UNKNOWN", "as_picture", "crop_both", "mask_batches", "one_size", "pictures"]


def as_picture(sample: Any) -> Tensor:
    """A picture as floats, (c, h, w): a tensor or array as it is, a PIL image with values in [0, 1]."""
    if isinstance(sample, (Tensor, np.ndarray)):
        return torch.as_tensor(np.array(sample) if isinstance(sample, np.ndarray) else sample).float()
    return torch.as_tensor(as_pixels(sample).astype(np.float32) / 255).permute(2, 0, 1).contiguous()


def pictures(domain: Domain, index: Any = slice(None)) -> list[Tensor]:
    """The pictures at `index`, each (c, h, w), of any sizes."""
    return [as_picture(sample) for sample in domain.x[index]]


def one_size(domain: Domain) -> tuple[int, int] | None:
    """Height and width of all pictures; None if they differ."""
    sizes = {tuple(as_picture(sample).shape[-2:]) for sample in domain.x}
    return sizes.pop() if len(sizes) == 1 else None  # type: ignore[return-value]


def crop_both(x: Tensor, y: Tensor, crop: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random square of a picture, (c, h, w), and of its mask, (h, w); what lies beyond the picture is not known."""
    below, right = max(crop - x.shape[-2], 0), max(crop - x.shape[-1], 0)
    if below or right:
        x, y = F.pad(x, (0, right, 0, below)), F.pad(y, (0, right, 0, below), value=UNKNOWN)
    top, left = (int(torch.randint(side - crop + 1, (1,), generator=generator)) for side in x.shape[-2:])
    return x[..., top : top + crop, left : left + crop], y[top : top + crop, left : left + crop]


def mask_batches(
    domain: Domain, size: int, *, crop: int | None = None, flip: bool = True, total: int | None = None
) -> Callable[[Any], Iterator[Batch]]:
    """What `nn.train.train` reads of labelled pictures: shuffled batches from the run's generator, flipped at random.

    Parameters
    ----------
    domain : Domain
        Pictures with masks.
    size : int
        Pictures in a batch; a smaller domain gives one batch of all.
    crop : int, optional
        Side of a random square of each picture; the whole picture if absent, and then all must be of one size.
    flip : bool
        Whether left and right are swapped at random.
    total : int, optional
        Batches of the whole training: a new pass begins where one ends until there were so many; one pass if absent.
    """
    n, y = len(domain), domain.labels
    size = min(size, n)

    def pass_(run: Any) -> Iterator[Batch]:
        order = torch.randperm(n, generator=run.generator)
        for start in range(0, n - size + 1, size):
            index = order[start : start + size]
            both = []
            for i in index.tolist():
                x, mask = as_picture(domain.x[i]), torch.as_tensor(np.asarray(y[i]).astype(np.int64))
                if crop is not None:
                    x, mask = crop_both(x, mask, crop, run.generator)
                if flip and bool(torch.rand(1, generator=run.generator) < 0.5):
                    x, mask = x.flip(-1), mask.flip(-1)
                both.append((x, mask))
            yield Batch(torch.stack([x for x, _ in both]), torch.stack([mask for _, mask in both]), index)

    def stream(run: Any) -> Iterator[Batch]:
        if total is None:
            yield from pass_(run)
            return
        passes = itertools.chain.from_iterable(pass_(run) for _ in itertools.count())
        yield from itertools.islice(passes, total - run.step)

    return stream
