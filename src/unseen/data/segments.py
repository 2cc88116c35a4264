"""Which frames of a clip are looked at, and clips as networks take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.augment import Augment
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import Batch, batches


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


def as_clip(
    sample: Any, frames: int | None = None, *, generator: torch.Generator | None = None, at: float = 0.5
) -> Float[Tensor, "t c h w"]:
    """A clip as floats: bytes become values in [0, 1], floats stay. With `frames`, `segment_index` of it alone."""
    values = torch.as_tensor(np.asarray(sample) if not isinstance(sample, Tensor) else sample)
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(f"a clip must be of shape (frames, channels, height, width); got {tuple(values.shape)}")
    if frames is not None and len(values) != frames:
        values = values[segment_index(len(values), frames, generator, at=at)]
    return values.float() / 255 if values.dtype == torch.uint8 else values.float()


def stacked(
    domain: Domain,
    index: Any = slice(None),
    frames: int | None = None,
    at: float = 0.5,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n t c h w"]:
    """The clips at `index` as one float tensor; with `frames`, one frame of each of so many parts, as `segment_index`.

    With a generator each clip draws its own.

    Raises
    ------
    ValueError
        If they are of unlike sizes, not finite, or have not three channels.
    """
    assert domain.ids is not None
    names = np.atleast_1d(domain.ids[index])
    clips = [as_clip(sample, frames, generator=generator, at=at) for sample in domain.x[index]]
    for name, clip in zip(names, clips):
        if clip.shape != clips[0].shape or clip.shape[1] != 3:
            shapes = f"{str(name)!r} has {tuple(clip.shape)}, {str(names[0])!r} has {tuple(clips[0].shape)}"
            raise ValueError(
                f"x must hold clips (frames, 3, height, width) of one size, as `ready` makes them; {shapes}"
            )
        if not torch.isfinite(clip).all():
            raise ValueError(f"x must be finite; clip {str(name)!r} holds NaN or infinity")
    return torch.stack(clips)


def clip_batches(
    domain: Domain, size: int, frames: int | None = None, *, augment: Augment | None = None
) -> Callable[[Any], Iterator[Batch]]:
    """`samplers.batches` of ready clips: one random frame of each of `frames` parts, all frames if that is absent."""

    def read(index: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        return stacked(domain, index, frames, generator=generator)

    return batches(domain, size, augment=augment, read=read)


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


def places(
    clips: Float[Tensor, "b t c h w"], size: tuple[int, int], crops: int
) -> Sequence[Float[Tensor, "b t c height width"]]:
    """So many squares of a size along the longer side of clips, from its one end to the other; the middle if one."""
    b, t, c, tall, wide = clips.shape
    if crops == 1:
        return [fitted(clips.flatten(0, 1), size).view(b, t, c, *size)]
    if (tall, wide) == size:
        raise ValueError(
            f"crops must be 1 for clips that are cut to the tower's size, {tall} x {wide}: {crops} crops would be the "
            "same picture; make them ready at a larger size"
        )
    scale = max(size[0] / tall, size[1] / wide)
    inner = (min(tall, round(size[0] / scale)), min(wide, round(size[1] / scale)))
    shares = [i / (crops - 1) for i in range(crops)]
    starts = [(round(share * (tall - inner[0])), round(share * (wide - inner[1]))) for share in shares]
    cut = [clips[..., top : top + inner[0], left : left + inner[1]] for top, left in starts]
    return [fitted(part.flatten(0, 1), size).view(b, t, c, *size) for part in cut]


def views_of(
    domain: Domain, index: Any, frames: int, size: tuple[int, int], views: int = 1, crops: int = 1
) -> Iterator[Float[Tensor, "b t c height width"]]:
    """The clips at `index` at so many times and places: one frame of each of `frames` parts, early to late in it."""
    for view in range(views):
        yield from places(stacked(domain, index, frames, (view + 0.5) / views), size, crops)


def over_views(logits: Sequence[Float[Tensor, "b k"]]) -> Float[Tensor, "b k"]:
    """Logarithms of the mean probabilities of several views; of one view its logits."""
    if len(logits) == 1:
        return logits[0]
    return torch.stack([*logits]).softmax(dim=2).mean(dim=0).clamp(min=1e-30).log()


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
        One frame of each of so many parts; all if absent. What is not taken is not brought to the size.
    """
    if domain.kind != "clip":
        raise ValueError(f"{domain.name} must hold clips (kind clip); it is of kind {domain.kind!r}")
    shift, scale = (torch.tensor(tuple(part), dtype=torch.float32)[:, None, None] for part in (mean, std))

    def make(sample: Any) -> Tensor:
        return (fitted(as_clip(sample, frames), size) - shift) / scale

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


def squares(domain: Domain, side: int | None, room: int = 1 << 30) -> Domain:
    """The same clips as floats with frames of `side` x `side`, the middle of each; as they are if that is None.

    Each is read when it is first asked for, and stays in memory as far as there is room, in bytes.
    """
    if side is None:
        return domain
    x = domain.x if isinstance(domain.x, Lazy) else Lazy(range(len(domain)), domain.x.__getitem__)
    kept: dict[int, Tensor] = {}
    left = room

    def read(i: int) -> Tensor:
        nonlocal left
        clip = kept.get(i)
        if clip is None:
            clip = fitted(as_clip(x[i]), (side, side))
            size = clip.numel() * clip.element_size()
            if size <= left:
                left -= size
                kept[i] = clip
        return clip

    return domain.replace(x=Lazy(range(len(domain)), read))
