"""The networks: an encoder with batch normalization of its own for each domain, and two small judges of distances."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.classifier import Standardizer

SOURCE, TARGET = 0, 1
GAMMA = 2.5
"""Gamma of both domains before training: distances are means over dimensions, and with 1 no softmax of them is sure."""


class DomainBatchNorm(nn.Module):
    """Domain-specific batch normalization (DSBN): statistics, gamma and beta of each domain by itself.

    Parameters
    ----------
    n_features : int
    specific : bool
        If not, both domains share those of the source.
    """

    def __init__(self, n_features: int, specific: bool = True) -> None:
        super().__init__()
        self.specific = specific
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_features) for _ in range(2 if specific else 1))
        for layer in self.norms:
            assert isinstance(layer, nn.BatchNorm1d)
            nn.init.constant_(layer.weight, GAMMA)

    def of(self, domain: int) -> nn.BatchNorm1d:
        """The layer that reads samples of a domain."""
        layer = self.norms[domain if self.specific else SOURCE]
        assert isinstance(layer, nn.BatchNorm1d)
        return layer

    def forward(self, x: Float[Tensor, "b d"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Each sample as its domain is normalized."""
        if not self.specific:
            return self.of(SOURCE)(x)
        out = torch.empty_like(x)
        for number in (SOURCE, TARGET):
            members = domain == number
            if bool(members.any()):
                out[members] = self.of(number)(x[members])
        return out

    def affine(self, domain: int, prototypes: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        """gamma_D P + beta_D: prototypes under the scale and shift of a domain (step 11)."""
        layer = self.of(domain)
        return layer.weight * prototypes + layer.bias


class Encoder(nn.Module):
    """From cached features to the space of prototypes: standardization, Linear + BatchNorm + ReLU, Linear + DSBN."""

    def __init__(self, n_features: int, width: int, dim: int, specific: bool) -> None:
        super().__init__()
        self.standardizer = Standardizer(n_features)
        self.hidden = nn.Sequential(nn.Linear(n_features, width), nn.BatchNorm1d(width), nn.ReLU())
        self.out = nn.Linear(width, dim)
        self.dsbn = DomainBatchNorm(dim, specific)

    def forward(self, x: Float[Tensor, "b n"], domain: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Features of samples, whose domains are 0 (source) or 1 (target)."""
        return self.dsbn(self.out(self.hidden(self.standardizer(x))), domain)

    def of(self, x: Float[Tensor, "b n"], domain: int) -> Float[Tensor, "b d"]:
        """Features of samples that are all of one domain."""
        return self(x, torch.full((len(x),), domain, dtype=torch.long, device=x.device))


@builder("dafosnet-encoder")
def encoder(n_features: int, width: int, dim: int, specific: bool) -> Encoder:
    """An `Encoder` with fresh weights."""
    return Encoder(n_features, width, dim, specific)


def perceptron(widths: tuple[int, ...], slope: float = 0.0) -> nn.Sequential:
    """Linear layers with ReLU between, which lets `slope` of negative values pass; the last is linear."""
    layers: list[nn.Module] = []
    for i, (n_inputs, n_outputs) in enumerate(zip(widths, widths[1:])):
        between = [nn.LeakyReLU(slope) if slope else nn.ReLU()] if i < len(widths) - 2 else []
        layers += [nn.Linear(n_inputs, n_outputs), *between]
    return nn.Sequential(*layers)


JUDGE = (128, 64, 32, 16, 8, 2)
"""Widths of the outlier and of the domain network behind their inputs (step 12)."""


@builder("dafosnet-judge")
def judge(n_inputs: int) -> nn.Sequential:
    """The shape of the outlier network and of the domain network: K-128-64-32-16-8-2 logits (step 12)."""
    return perceptron((n_inputs, *JUDGE))


def judged_loss(
    network: nn.Sequential, x: Float[Tensor, "n k"], y: Int[Tensor, " n"], l1: float, activity: float
) -> Float[Tensor, ""]:
    """Cross entropy with the penalties on kernels (L1) and activity (L2); where both labels occur, each counts a half.

    The L1 norm is that of all kernels, the L2 one the square of what all layers give, averaged over samples.
    """
    value, activities = x, x.new_zeros(())
    for layer in network:
        value = layer(value)
        if isinstance(layer, nn.Linear):
            activities = activities + value.square().sum(dim=1).mean()
    each = nn.functional.cross_entropy(value, y, reduction="none")
    loss = torch.stack([each[y == label].mean() for label in (0, 1) if bool((y == label).any())]).mean()
    if l1:
        loss = loss + l1 * torch.stack([p.abs().sum() for p in network.parameters() if p.ndim == 2]).sum()
    return loss + activity * activities if activity else loss
