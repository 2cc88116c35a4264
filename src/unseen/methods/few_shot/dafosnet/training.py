"""Meta-training: the GANs of an episode, its prototypes and unknown set, and the loss of the encoder."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.methods.few_shot.dafosnet.encoder import SOURCE, TARGET, Encoder, judged_loss
from unseen.methods.few_shot.dafosnet.episodes import EpisodeBatch, EpisodeSampler, Side, episode_batches
from unseen.methods.few_shot.dafosnet.gan import (
    Collapse,
    ConditionalFeatureGAN,
    collapse_loss,
    discriminator_loss,
    generator_loss,
    reptile,
    weights_of,
)
from unseen.methods.few_shot.dafosnet.losses import (
    LossMode,
    OutlierInput,
    Weights,
    alignment,
    compactness,
    distances,
    diversification,
    outlier_features,
    prototypes,
)
from unseen.nn.train import Run, train

PER_EPOCH = 10
"""Episodes of an epoch."""
BETAS = (0.5, 0.9)
"""Of Adam for the GANs, as is usual for these."""
DECAY = 0.1
"""What is left of the rate of the encoder and of the judges at the end of a stage: it falls by the same share in every
episode."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What the steps of an episode are told; see `DAFOSNet`."""

    use_low_gan: bool
    use_high_gan: bool
    collapse: Collapse
    alpha: float
    rounds: int
    gan_rate: float
    warm_up: int
    align: str
    mode: LossMode
    outlier_input: OutlierInput
    weights: Weights
    margin: float
    l1: float
    activity: float


@dataclasses.dataclass(frozen=True)
class Networks:
    """All that learns."""

    encoder: Encoder
    outlier: nn.Sequential
    domain: nn.Sequential
    low: ConditionalFeatureGAN
    high: ConditionalFeatureGAN

    @property
    def named(self) -> dict[str, nn.Module]:
        """By name, as the training loop takes them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


class Judged(NamedTuple):
    """One domain of an episode: prototypes, distances of what is asked about, and its places, -1 of unknown ones."""

    prototypes: Float[Tensor, "k d"]
    d: Float[Tensor, "n k"]
    y: Int[Tensor, " n"]


# -- steps 3 to 5: the GANs ----------------------------------------------------------------------------------


def gan_round(networks: Networks, real: Tensor, label: Tensor, settings: Settings, run: Run) -> None:
    """One Adam step of every discriminator and generator that is used, each followed by Reptile's update.

    Real features and classes are the same for both GANs; what keeps the high-noise one apart is the collapse loss, on
    features that both make of the same classes.
    """
    used = [name for name, use in (("low", settings.use_low_gan), ("high", settings.use_high_gan)) if use]
    for name in used:
        gan: ConditionalFeatureGAN = getattr(networks, name)
        z = gan.noise(len(label))
        apart = real.new_zeros(())
        if name == "high" and settings.use_low_gan and settings.collapse != "none":
            z_low = networks.low.noise(len(label))
            with torch.no_grad():
                s_low = networks.low.generate(z_low, label)
            fake = gan.generate(z, label)
            apart = collapse_loss(settings.collapse, z_low, z, s_low, fake)
            run.log(collapse=apart)
        else:
            fake = gan.generate(z, label)
        caught = discriminator_loss(gan, real, fake.detach(), label) + apart.detach()
        _step(gan.discriminator, caught, name, "d", settings, run)
        _step(gan.generator, generator_loss(gan, fake, label) + apart, name, "g", settings, run)


def _step(network: nn.Module, loss: Tensor, gan: str, part: str, settings: Settings, run: Run) -> None:
    before = weights_of(network) if settings.alpha < 1 else {}
    run.log(**{f"{gan}_{part}": run.descend(loss, f"{gan}-{part}")})
    reptile(network, before, settings.alpha)


# -- steps 6 to 8: prototypes and what is unknown ---------------------------------------------------------------


def judged(networks: Networks, z: Tensor, side: Side, settings: Settings, hallucinate: bool) -> Judged:
    """Prototypes of real and low-noise features alike; unknown are pseudo-unknown queries and high-noise features."""
    support, y, label = z[: side.n_support], side.y[: side.n_support], side.label[: side.n_support]
    way = int(y.max()) + 1
    queries, places = z[side.n_support :], side.y[side.n_support :]
    if hallucinate and settings.use_low_gan:
        with torch.no_grad():
            low = networks.low.generate(networks.low.noise(len(label)), label)
        p = prototypes(torch.cat([support, low]), torch.cat([y, y]), way)
    else:
        p = prototypes(support, y, way)
    if hallucinate and settings.use_high_gan:
        with torch.no_grad():
            high = networks.high.generate(networks.high.noise(len(label)), label)
        queries, places = torch.cat([queries, high]), torch.cat([places, torch.full_like(label, -1)])
    return Judged(p, distances(queries, p), places)


# -- steps 9 to 13: the loss of the encoder ----------------------------------------------------------------------


def episode_loss(networks: Networks, sides: tuple[Judged, Judged], settings: Settings, run: Run) -> Tensor:
    """The judges' own steps, then the weighted sum of all parts, whose gradients reach the encoder alone."""
    features = torch.cat([outlier_features(side.d, settings.outlier_input) for side in sides])
    known = torch.cat([(side.y >= 0).long() for side in sides])
    origin = torch.cat([torch.full_like(side.y, i) for i, side in enumerate(sides)])
    for name, network, truth in (("outlier", networks.outlier, known), ("domain", networks.domain, origin)):
        loss = judged_loss(network, features.detach(), truth, settings.l1, settings.activity)
        run.log(**{name: run.descend(loss, name)})
    dsbn = networks.encoder.dsbn
    parts = {
        "compactness": torch.stack([compactness(side.d, side.y, settings.mode) for side in sides]).mean(),
        "outlier": judged_loss(networks.outlier, features, known, 0.0, 0.0),
        "domain": judged_loss(networks.domain, features, origin, 0.0, 0.0),
        "source_diversity": diversification(sides[SOURCE].d, sides[SOURCE].y, settings.margin, settings.mode),
        "target_diversity": diversification(sides[TARGET].d, sides[TARGET].y, settings.margin, settings.mode),
        "alignment": features.new_zeros(()),
    }
    if settings.align != "none":
        source, target = (dsbn.affine(i, side.prototypes) for i, side in enumerate(sides))
        parts["alignment"] = alignment(source, target, "l2" if settings.align == "l2" else "released")
    run.log(**{f"encoder_{name}": value for name, value in parts.items()})
    return torch.stack([getattr(settings.weights, name) * value for name, value in parts.items()]).sum()


def meta_train(
    networks: Networks,
    source: Domain,
    target: Domain,
    sampler: EpisodeSampler,
    settings: Settings,
    *,
    name: str,
    epochs: int,
    rate: float,
) -> list[dict[str, float]]:
    """One stage, in place; losses of every epoch.

    Gradients of each loss reach the networks of its own optimizer alone: what is made by a GAN is a constant to the
    encoder, and features are constants to the GANs.
    """
    gans = {"low": networks.low, "high": networks.high}
    adam = {"encoder": rate, "outlier": rate, "domain": rate}
    optimizers = {part: torch.optim.Adam(networks.named[part].parameters(), lr=lr) for part, lr in adam.items()}
    schedulers = {
        part: torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY ** (1 / (epochs * PER_EPOCH)))
        for part, optimizer in optimizers.items()
    }
    for key, gan in gans.items():
        optimizers[f"{key}-g"] = torch.optim.Adam(gan.generator.parameters(), lr=settings.gan_rate, betas=BETAS)
        optimizers[f"{key}-d"] = torch.optim.Adam(gan.discriminator.parameters(), lr=settings.gan_rate, betas=BETAS)

    def objective(batch: EpisodeBatch, run: Run) -> None:
        sizes = [len(side.x) for side in batch]
        origin = torch.repeat_interleave(torch.tensor([SOURCE, TARGET]), torch.tensor(sizes)).to(batch.source.x.device)
        z = networks.encoder(torch.cat([side.x for side in batch]), origin)
        parts = z.split(sizes)
        supports = [part[: side.n_support].detach() for part, side in zip(parts, batch)]
        label = torch.cat([side.label[: side.n_support] for side in batch])
        for _ in range(settings.rounds):
            gan_round(networks, torch.cat(supports), label, settings, run)
        hallucinate = run.step >= settings.warm_up
        source_side, target_side = (
            judged(networks, part, side, settings, hallucinate) for part, side in zip(parts, batch)
        )
        loss = episode_loss(networks, (source_side, target_side), settings, run)
        run.log(loss=run.descend(loss, "encoder"))

    def prepare(run: Run) -> None:
        networks.encoder.train()

    run = train(
        objective,
        name=name,
        nets=networks.named,
        optimizers=optimizers,
        schedulers=schedulers,
        batches=episode_batches(source, target, sampler),
        epochs=epochs,
        steps_per_epoch=PER_EPOCH,
        before_epoch=prepare,
    )
    return run.history
