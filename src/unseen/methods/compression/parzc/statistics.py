"""Step 3: the statistics of each architecture, brought to a common scale."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Scale = Literal["proxy", "architecture", "node"]


def per_proxy(x: Float[Tensor, "n d"], proxies: int, logarithm: bool) -> Float[Tensor, "n p m"]:
    """The nodes of each proxy in double precision; with `logarithm` sign(x) log(1 + |x|)."""
    x = x.double()
    if logarithm:
        x = torch.sign(x) * torch.log1p(x.abs())
    return x.reshape(len(x), proxies, -1)


def within_architecture(x: Float[Tensor, "n p m"]) -> Float[Tensor, "n p m"]:
    """Min-max over the nodes of each architecture and proxy, to [0, 1]; zeros where all nodes are alike."""
    low, high = x.amin(dim=2, keepdim=True), x.amax(dim=2, keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp_min(1e-300), 0.0)


class Statistics(nn.Module):
    """What the network reads of raw statistics (n, d): fitted on the trained architectures alone.

    Attributes
    ----------
    mean, std : Tensor (d,)
        Of each proxy or entry over the trained architectures; 0 and 1 for ``scale="architecture"``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, proxies: int, scale: Scale, logarithm: bool) -> None:
        super().__init__()
        self.proxies, self.scale, self.logarithm = proxies, scale, logarithm
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("std", torch.ones(width, dtype=torch.float64))

    def measure(self, x: Float[Tensor, "n d"]) -> Statistics:
        """Take mean and deviation from the trained architectures; what is constant keeps deviation 1.

        `ValueError` if the squares of statistics exceed double precision, so that there is no deviation.
        """
        if self.scale != "architecture":
            z = per_proxy(x, self.proxies, self.logarithm)
            together = (0, 2) if self.scale == "proxy" else (0,)
            std, mean = torch.std_mean(z, dim=together, correction=0, keepdim=True)
            if not torch.isfinite(std).all():
                detail = f"no deviation in double precision; the largest is {float(x.abs().max()):.3g}"
                raise ValueError(f"source has statistics of {detail}: take logarithm=True")
            std = torch.where(std > 1e-9 * (1 + mean.abs()), std, 1.0)
            self.mean, self.std = mean.expand_as(z[:1]).flatten(), std.expand_as(z[:1]).flatten()
        return self

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        z = per_proxy(x, self.proxies, self.logarithm)
        z = within_architecture(z) if self.scale == "architecture" else z
        return ((z.flatten(1) - self.mean) / self.std).clamp(-10, 10).float()
