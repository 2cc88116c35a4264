"""Dropout that draws 8 masks from one random number: on a CPU, drawing is most of what dropout takes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """As `torch.nn.Dropout`, with `p` rounded to a multiple of 1/256; a survivor is divided by the share that is kept.

    Parameters
    ----------
    p : float in [0, 1)
        The share that is dropped. Below 1/512 nothing is.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1]; got {p}")
        self.p = p

    @property
    def dropped(self) -> int:
        """The share, in 256ths."""
        return min(round(256 * self.p), 255)

    def forward(self, x: Tensor) -> Tensor:
        """`x` itself in eval mode."""
        if not self.training or not self.dropped:
            return x
        bits = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        keep = (bits.view(torch.uint8)[: x.numel()] >= self.dropped).view(x.shape)
        return x * (keep.to(x.dtype) * (256 / (256 - self.dropped)))

    def extra_repr(self) -> str:
        """The share."""
        return f"p={self.p}"


def set_dropout(network: nn.Module, p: float) -> None:
    """Let every layer that drops, those inside attention too, drop the share `p`, in [0, 1); in place."""
    for module in network.modules():
        if isinstance(module, (Dropout, nn.Dropout)):
            module.p = p
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = p
