"""Which frames of a clip are looked at, and clips as networks take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.augment import Augment
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import Batch


def segment_index(
    n: int, parts: int, generator: torch.Generator | None = None, *, at: float = 0.5
) -> Int[Tensor, " parts"]:
    """One frame of each of so many equal parts of a clip, in their order [1].

    With a generator it lies anywhere in its part, else at the share `at` of it: in the middle. A clip with fewer frames
    than parts shows some of them again.

    Parameters
    ----------
    n : int, >= 1
        Frames that there are.
    parts : int, >= 1
        Frames that are wanted.

    References
    ----------
    [1] Wang et al., "Temporal Segment Networks", ECCV 2016.
    """
    if n < 1 or parts < 1:
        raise ValueError(f"n and parts must be at least 1; got {n} and {parts}")
    inside = torch.full((parts,), at) if generator is None else torch.rand(parts, generator=generator)
    return ((torch.arange(parts) + inside) * (n / parts)).long().clamp(max=n - 1)


def segmented(
    x: Float[Tensor, "b f c h w"], parts: int, generator: torch.Generator | None = None
) -> Float[Tensor, "b parts c h w"]:
    """`segment_index` of each clip of a batch; each draws its own."""
    if x.shape[1] == parts:
        return x
    rows = torch.stack([segment_index(x.shape[1], parts, generator) for _ in range(len(x))]).to(x.device)
    return x[torch.arange(len(x), device=x.device)[:, None], rows]


def as_clip(sample: Any) -> Tensor:
    """A clip as floats, (t, c, h, w): bytes become values in [0, 1], floats stay."""
    values = torch.as_tensor(np.asarray(sample) if not isinstance(sample, Tensor) else sample)
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(f"a clip must be of shape (frames, channels, height, width); got {tuple(values.shape)}")
    return values.float() / 255 if values.dtype == torch.uint8 else values.float()


def stacked(
    domain: Domain, index: Any = slice(None), frames: int | None = None, at: float = 0.5
) -> Float[Tensor, "n t c h w"]:
    """The clips at `index` as one float tensor; with `frames`, one frame of each of so many parts, as `segment_index`.

    Raises
    ------
    ValueError
        If they are of unlike sizes, not finite, or have not three channels.
    """
    assert domain.ids is not None
    names = np.atleast_1d(domain.ids[index])
    x = domain.x[index]
    clips = [as_clip(sample) for sample in x]
    if frames is not None:
        clips = [clip[segment_index(len(clip), frames, at=at)] for clip in clips]
    for name, clip in zip(names, clips):
        if clip.shape != clips[0].shape or clip.shape[1] != 3:
            told = f"{str(name)!r} has {tuple(clip.shape)}, {str(names[0])!r} has {tuple(clips[0].shape)}"
            raise ValueError(f"x must hold clips (frames, 3, height, width) of one size, as `ready` makes them; {told}")
        if not torch.isfinite(clip).all():
            raise ValueError(f"x must be finite; clip {str(name)!r} holds NaN or infinity")
    return torch.stack(clips)


def clip_batches(
    domain: Domain, size: int, frames: int | None = None, *, augment: Augment | None = None
) -> Callable[[Any], Iterator[Batch]]:
    """What `nn.train.train` reads: shuffled batches of clips, one random frame of each of `frames` parts.

    Parameters
    ----------
    domain : Domain
        Ready clips.
    size : int
        Clips in a batch; a smaller domain gives one batch of all.
    frames : int, optional
        All frames as they are if absent.
    augment : callable (clips, generator) -> clips, optional
        Changes a batch (b, t, 3, h, w) at random.
    """
    n = len(domain)
    size = min(size, n)
    y = None if domain.y is None else torch.as_tensor(domain.y)

    def stream(run: Any) -> Iterator[Batch]:
        order = torch.randperm(n, generator=run.generator)
        for start in range(0, n - size + 1, size):
            index = order[start : start + size]
            x = stacked(domain, index.numpy())
            if frames is not None:
                x = segmented(x, frames, run.generator)
            if augment is not None:
                x = augment(x, run.generator)
            yield Batch(x, None if y is None else y[index], index)

    return stream


def fitted(clip: Float[Tensor, "t c h w"], size: tuple[int, int]) -> Float[Tensor, "t c height width"]:
    """The middle of a clip, as large as fits, brought to a size."""
    height, width = size
    tall, wide = clip.shape[2:]
    if (tall, wide) == size:
        return clip
    scale = max(height / tall, width / wide)
    inner = (min(tall, round(height / scale)), min(wide, round(width / scale)))
    top, left = (tall - inner[0]) // 2, (wide - inner[1]) // 2
    cut = clip[:, :, top : top + inner[0], left : left + inner[1]]
    return F.interpolate(cut, size, mode="bilinear", align_corners=False, antialias=True)


def ready(
    domain: Domain,
    size: tuple[int, int],
    *,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    frames: int | None = None,
) -> Domain:
    """Clips as a network takes them: float tensors (t, 3, h, w), normalized, read when they are asked for.

    Parameters
    ----------
    domain : Domain
        Of kind clip.
    size : (int, int)
        Height and width: the middle of each frame, as large as fits.
    mean, std : three floats
        Of red, green and blue, where white is 1.
    frames : int, optional
        One frame of each of so many parts; all if absent.
    """
    if domain.kind != "clip":
        raise ValueError(f"{domain.name} must hold clips (kind clip); it is of kind {domain.kind!r}")
    shift, scale = (torch.tensor(tuple(part), dtype=torch.float32)[:, None, None] for part in (mean, std))

    def make(sample: Any) -> Tensor:
        clip = as_clip(sample)
        if frames is not None:
            clip = clip[segment_index(len(clip), frames)]
        return (fitted(clip, size) - shift) / scale

    if isinstance(domain.x, Lazy):
        return domain.replace(x=domain.x.map(make))
    return domain.replace(x=torch.stack([make(sample) for sample in domain.x]))


def window_index(n: int, frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frames"]:
    """So many frames of a clip one after the other, from anywhere with a generator, else from the middle.

    A clip with fewer frames goes on with its last one.
    """
    if n < 1 or frames < 1:
        raise ValueError(f"n and frames must be at least 1; got {n} and {frames}")
    spare = max(n - frames, 0)
    start = spare // 2 if generator is None else int(torch.randint(spare + 1, (1,), generator=generator))
    return (start + torch.arange(frames)).clamp(max=n - 1)


def in_a_row(domain: Domain, frames: int, generator: torch.Generator | None = None) -> Domain:
    """The same clips, of each `window_index` alone; with a generator drawn anew whenever a clip is read."""

    def cut(sample: Any) -> Tensor:
        clip = as_clip(sample)
        return clip[window_index(len(clip), frames, generator)]

    x = domain.x if isinstance(domain.x, Lazy) else Lazy(range(len(domain)), domain.x.__getitem__)
    return domain.replace(x=x.map(cut))
