"""From what the layers of an image tower say to vectors that stand in a prompt (AD-CLIP, steps 2, 3 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

StylePool = Literal["average", "concat"]


class DomainProjector(nn.Module):
    """P_d: one style token per layer, by two linear layers without a non-linearity between them (step 2).

    Parameters
    ----------
    widths : sequence of int
        D_l of the L layers.
    out : int
        D_t, the width of tokens of the text tower.
    hidden : int
        Width between the two.
    style_pool : {"average", "concat"}
        What goes in: (mu + sigma) / 2, or [mu; sigma].
    """

    def __init__(self, widths: Sequence[int], out: int, hidden: int = 256, style_pool: StylePool = "average") -> None:
        super().__init__()
        self.style_pool = style_pool
        into = [width if style_pool == "average" else 2 * width for width in widths]
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(n, hidden), nn.Linear(hidden, out)) for n in into)

    def forward(self, means: Sequence[Tensor], stds: Sequence[Tensor]) -> Float[Tensor, "b l d"]:
        """S(x), the style tokens."""
        pairs = zip(means, stds)
        if self.style_pool == "average":
            styles = [(mu + sigma) / 2 for mu, sigma in pairs]
        else:
            styles = [torch.cat([mu, sigma], dim=1) for mu, sigma in pairs]
        return torch.stack([layer(style) for layer, style in zip(self.layers, styles)], dim=1)


class ContentProjector(nn.Module):
    """P_c: M content tokens, each a mixture of what the L layers say (step 3).

    Parameters
    ----------
    tokens : int
        M.
    shared_decoder : bool
        Whether one mixture makes all M tokens, which are then equal; else each has its own.
    """

    def __init__(self, widths: Sequence[int], out: int, tokens: int = 4, *, shared_decoder: bool = False) -> None:
        super().__init__()
        self.tokens = tokens
        self.layers = nn.ModuleList(nn.Linear(width, out) for width in widths)
        self.decoder = nn.Linear(len(widths), 1 if shared_decoder else tokens)

    def forward(self, means: Sequence[Tensor]) -> Float[Tensor, "b m d"]:
        """C(x), the content tokens."""
        each = torch.stack([layer(mu) for layer, mu in zip(self.layers, means)], dim=2)
        mixed = self.decoder(each).transpose(1, 2)
        return mixed.expand(-1, self.tokens, -1)


class StyleMapper(nn.Module):
    """P_smn: the style tokens of the source from the statistics of an image without it (step 5).

    [mu; sigma] is averaged to D_l entries (adjacent pairs), then a linear layer, ReLU, and a linear layer.
    """

    def __init__(self, widths: Sequence[int], out: int, hidden: int = 384) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out)) for width in widths
        )

    def forward(self, means: Sequence[Tensor], stds: Sequence[Tensor]) -> Float[Tensor, "b l d"]:
        """What S would be of a source image, as far as it can be told."""
        pooled = [F.adaptive_avg_pool1d(torch.cat(pair, dim=1), pair[0].shape[1]) for pair in zip(means, stds)]
        return torch.stack([layer(style) for layer, style in zip(self.layers, pooled)], dim=1)
