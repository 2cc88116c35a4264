"""Conditional GANs on features: low noise for pseudo-known samples, high noise for pseudo-unknown ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.methods.few_shot.dafosnet.encoder import perceptron
from unseen.nn.build import builder

NOISE = 8
LOW, HIGH = 0.2, 1.0
"""Deviations of the noise of the two GANs (step 2)."""
SLOPE = 0.2
"""Of the discriminator's LeakyReLU: with plain ReLU its last layers, 8 wide, die, and no class is learnt."""
Collapse = Literal["aocmc", "aol", "none"]


class ConditionalFeatureGAN(nn.Module):
    """A generator and a discriminator of features, both told the class as one of `n_labels`.

    The generator is (8 + n_labels)-32-48-dim, the discriminator (dim + n_labels)-48-32-16-8-1.

    Parameters
    ----------
    dim, n_labels : int
        Of features, and classes; those of source and target have numbers of their own.
    noise_std : float
        Deviation of the noise.
    """

    def __init__(self, dim: int, n_labels: int, noise_std: float) -> None:
        super().__init__()
        self.n_labels, self.noise_std = n_labels, noise_std
        self.generator = perceptron((NOISE + n_labels, 32, 48, dim))
        self.discriminator = perceptron((dim + n_labels, 48, 32, 16, 8, 1), slope=SLOPE)

    def noise(self, n: int) -> Float[Tensor, "n 8"]:
        """z ~ N(0, noise_std^2)."""
        weight = next(self.parameters())
        return self.noise_std * torch.randn(n, NOISE, device=weight.device)

    def generate(self, z: Float[Tensor, "n z"], label: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Features of classes."""
        return self.generator(torch.cat([z, self._told(label, z)], dim=1))

    def judge(self, x: Float[Tensor, "n d"], label: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The logit that a feature is made, not real."""
        return self.discriminator(torch.cat([x, self._told(label, x)], dim=1)).squeeze(1)

    def _told(self, label: Tensor, like: Tensor) -> Tensor:
        return F.one_hot(label, self.n_labels).to(like.dtype)


@builder("dafosnet-gan")
def feature_gan(dim: int, n_labels: int, noise_std: float) -> ConditionalFeatureGAN:
    """A `ConditionalFeatureGAN` with fresh weights."""
    return ConditionalFeatureGAN(dim, n_labels, noise_std)


def discriminator_loss(gan: ConditionalFeatureGAN, real: Tensor, made: Tensor, label: Tensor) -> Float[Tensor, ""]:
    """BCE with real features as 0 and made ones as 1 (step 3: the names of the released code)."""
    logits = gan.judge(torch.cat([real, made]), torch.cat([label, label]))
    truth = torch.cat([torch.zeros(len(real)), torch.ones(len(made))]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, truth)


def generator_loss(gan: ConditionalFeatureGAN, made: Tensor, label: Tensor) -> Float[Tensor, ""]:
    """BCE that made features be taken for real, 0."""
    logits = gan.judge(made, label)
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


def aocmc(
    z_low: Float[Tensor, "n z"],
    z_high: Float[Tensor, "n z"],
    s_low: Float[Tensor, "n d"],
    s_high: Float[Tensor, "n d"],
    e: float = 1e-8,
) -> Float[Tensor, ""]:
    """Anti-open-close mode collapse: mean of 1 + log((1 - cos(z_l, z_h) + e) / (1 - cos(s_l, s_h) + e)) (step 4)."""
    noise, samples = F.cosine_similarity(z_low, z_high, dim=1), F.cosine_similarity(s_low, s_high, dim=1)
    return (1 + torch.log((1 - noise + e).clamp_min(e) / (1 - samples + e).clamp_min(e))).mean()


def aol(
    z_low: Float[Tensor, "n z"],
    z_high: Float[Tensor, "n z"],
    s_low: Float[Tensor, "n d"],
    s_high: Float[Tensor, "n d"],
) -> Float[Tensor, ""]:
    """What the released code has in its place: mean of (1 + cos(z_l, z_h)) max(1e-7, cos(s_l, s_h))."""
    noise, samples = F.cosine_similarity(z_low, z_high, dim=1), F.cosine_similarity(s_low, s_high, dim=1)
    return ((1 + noise) * samples.clamp_min(1e-7)).mean()


def collapse_loss(kind: Collapse, z_low: Tensor, z_high: Tensor, s_low: Tensor, s_high: Tensor) -> Float[Tensor, ""]:
    """The regularizer that is asked for; 0 for none."""
    if kind == "none":
        return s_high.new_zeros(())
    return (aocmc if kind == "aocmc" else aol)(z_low, z_high, s_low, s_high)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now."""
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


@torch.no_grad()
def reptile(network: nn.Module, before: Mapping[str, Tensor], alpha: float) -> None:
    """w <- w + alpha (w' - w): go a part of the way from the weights `before` a step to those after it (step 5)."""
    for name, parameter in network.named_parameters() if alpha < 1 else ():
        parameter.copy_(before[name] + alpha * (parameter - before[name]))
