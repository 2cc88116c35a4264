"""RandAugment for pictures that are tensors, from the random numbers of a training run."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rand_augment(
    x: Float[Tensor, "b *t c h w"], generator: torch.Generator, n: int = 2, magnitude: int = 9, share: float = 1.0
) -> Float[Tensor, "b *t c h w"]:
    """`n` operations of `magnitude` (of 30) on each picture, drawn anew, as torchvision has them; the same in all
    frames of a clip.

    The operations read bytes, and tensors may be normalized: each picture is stretched from its own least and largest
    value to 0 and 255, and back. What comes in from outside is the least value.

    Parameters
    ----------
    x : Tensor (b, c, h, w), or (b, t, c, h, w)
        Pictures or clips, of one or three channels.
    share : float in [0, 1]
        Chance of each operation to be done, as pytorchvideo has .5.
    """
    from torchvision.transforms.v2 import RandAugment

    if x.shape[-3] not in (1, 3):
        raise ValueError(f"RandAugment needs pictures of one or three channels; these have {x.shape[-3]}")
    count = [n] * len(x)
    if share < 1:
        count = (torch.rand(len(x), n, generator=generator) < share).sum(dim=1).tolist()
    views = {k: RandAugment(num_ops=k, magnitude=magnitude) for k in set(count)}
    low, high = x.flatten(1).aminmax(dim=1)
    ends = (low, (high - low).clamp_min(torch.finfo(x.dtype).tiny))
    low, span = (part.view(-1, *[1] * (x.ndim - 1)) for part in ends)
    bytes_ = ((x - low) / span * 255).round().to(torch.uint8)
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        changed = torch.stack([views[k](picture) for k, picture in zip(count, bytes_)])
    return low + changed.to(x) / 255 * span
