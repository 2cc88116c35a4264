"""GENIE-D: pictures from a generator whose weights and latents are both learnt (steps 1-7)."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from unseen.nn.bn_statistics import EPSILON, Inputs, Per, bn_inputs, moment_loss, moments
from unseen.nn.network_io import Output, noise, output_of
from unseen.nn.quantizers import frozen_copy
from unseen.nn.train import Run, train
from unseen.runtime import current

log = logging.getLogger(__name__)

Mode = Literal["genie", "pixel", "generator"]
SAVED_EVERY = 50
"""Steps between checkpoints."""


# -- step 1: swing convolution -----------------------------------------------------------------------------


def swing(x: Float[Tensor, "b c h w"], offset: Sequence[int] | None = None) -> Float[Tensor, "b c h w"]:
    """Reflect one pixel on each side, then cut the old size out at (dx, dy), each of 0, 1, 2 at random.

    At (1, 1) nothing changes. A map of a single row or column has nothing to reflect and stays as it is.
    """
    if min(x.shape[2:]) < 2:
        return x
    dy, dx = torch.randint(0, 3, (2,)).tolist() if offset is None else offset
    height, width = x.shape[2:]
    return F.pad(x, (1, 1, 1, 1), mode="reflect")[:, :, dy : dy + height, dx : dx + width]


def with_swing(network: nn.Module) -> nn.Module:
    """Let every convolution with a stride read a swung input, in place; others stay as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and set(layer.stride) != {1}:
            layer.register_forward_pre_hook(_swung)
    return network


def _swung(layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return swing(inputs[0])


# -- step 3: the generator ---------------------------------------------------------------------------------


class Generator(nn.Module):
    """Linear, BN, x2, conv, BN, LeakyReLU, x2, conv, tanh, BN: each channel of a batch has mean 0 and variance 1.

    Sides that are no multiple of 4 are made larger and cut.
    """

    def __init__(self, latent: int, width: int, shape: Sequence[int]) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        rows, columns = -(-self.height // 4), -(-self.width // 4)
        half = max(width // 2, 1)
        self.net = nn.Sequential(
            nn.Linear(latent, width * rows * columns),
            nn.Unflatten(1, (width, rows, columns)),
            nn.BatchNorm2d(width),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, half, 3, padding=1),
            nn.BatchNorm2d(half),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(half, channels, 3, padding=1),
            nn.Tanh(),
            nn.BatchNorm2d(channels, affine=False),
        )

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Pictures of latents."""
        x: Tensor = self.net(z)
        return x[:, :, : self.height, : self.width]


# -- step 4: the loss --------------------------------------------------------------------------------------


def bns_loss(x: Tensor, inputs: Inputs, stats: Per = "batch") -> Float[Tensor, ""]:
    """Each picture against mean 0 and deviation 1, plus each layer's mean over its channels of both squared gaps.

    Parameters
    ----------
    x : Tensor (b, c, h, w)
        Pictures; their term is a sum over channels and a mean over pictures.
    inputs : list of (layer, tensor)
        What has entered the BatchNorm layers.
    stats : {"batch", "sample"}
        Whether the whole batch has to match a layer's statistics, or each picture.
    """
    ones = torch.ones(x.shape[1], device=x.device)
    loss = moment_loss(x, 0 * ones, ones, "sample")
    for layer, z in inputs:
        mean, std = moments(z, stats)
        remembered: tuple[Any, Any] = (layer.running_mean, layer.running_var)
        loss = loss + (remembered[0] - mean).square().mean()
        loss = loss + (torch.sqrt(remembered[1] + EPSILON) - std).square().mean()
    return loss


# -- steps 2 and 5-7: a batch, and many of them ------------------------------------------------------------


class _Batch(nn.Module):
    """What makes one batch of pictures: a generator and latents, or the pictures themselves."""

    losses: Tensor
    made: Tensor

    def __init__(self, mode: Mode, size: int, shape: Sequence[int], latent: int, width: int, steps: int) -> None:
        super().__init__()
        self.mode: Mode = mode
        self.generator = None if mode == "pixel" else Generator(latent, width, shape)
        self.z = nn.Parameter(
            noise(size, shape) if mode == "pixel" else torch.randn(size, latent), requires_grad=mode != "generator"
        )
        self.register_buffer("losses", torch.zeros(steps))
        self.register_buffer("made", torch.zeros(size, *shape))

    def forward(self) -> Tensor:
        """The pictures of this step; `"generator"` draws new latents each time."""
        if self.generator is None:
            return self.z
        pictures: Tensor = self.generator(torch.randn_like(self.z) if self.mode == "generator" else self.z)
        return pictures


def synthesize(
    network: nn.Module,
    shape: Sequence[int],
    *,
    samples: int = 1024,
    batch_size: int = 128,
    steps: int = 4000,
    mode: Mode = "genie",
    latent: int = 256,
    width: int = 128,
    latent_rate: float = 0.1,
    generator_rate: float = 0.01,
    swinging: bool = True,
    stats: Per = "batch",
    output: Output | None = None,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "batches t"]]:
    """Make pictures that give every BatchNorm layer the statistics it remembers; the network is not changed.

    Parameters
    ----------
    network : Module
    shape : (channels, height, width)
    samples, batch_size : int
        How many pictures; batches of `batch_size`, each with a new generator and new latents.
    steps : int
        For each batch.
    mode : {"genie", "pixel", "generator"}
        Learn generator and latents; the pixels themselves; the generator alone, with new latents at every step.
    latent, width : int
        Entries of a latent and channels of the first map.
    latent_rate, generator_rate : float
        Of Adam on latents (or pixels), which falls at plateaus, and on the generator, times 0.95 every 100 steps.
    swinging : bool
        Shift what strided convolutions read by up to a pixel, at random.
    stats : {"batch", "sample"}
        As in `bns_loss`.
    output : callable, optional
        How the network reads a batch.

    Returns
    -------
    x : Tensor (n, c, h, w)
        As they were read in the last step.
    losses : Tensor (batches, t)
        The loss before each step.

    Raises
    ------
    ValueError
        If the network has no BatchNorm layer.
    """
    device = torch.device(current().device)
    network = frozen_copy(network).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = with_swing(network) if swinging else network
    output = output or output_of(network)
    batches: list[_Batch] = []
    with bn_inputs(network) as inputs:
        while batch_size * len(batches) < samples:
            batch = _Batch(mode, batch_size, shape, latent, width, steps)
            _synthesize(batch, network, inputs, output, stats, f"synthesis-{len(batches)}", latent_rate, generator_rate)
            batches.append(batch.cpu())
    losses = torch.stack([batch.losses for batch in batches])
    worse = int((~(losses[:, -1] < losses[:, 0])).sum())
    if steps > 1 and worse:
        log.warning("synthesis has diverged: the mismatch of %d of %d batches has not fallen", worse, len(batches))
    return torch.cat([batch.made for batch in batches])[:samples], losses


def _synthesize(
    batch: _Batch,
    network: nn.Module,
    inputs: Inputs,
    output: Output,
    stats: Per,
    name: str,
    latent_rate: float,
    generator_rate: float,
) -> None:
    """Learn one batch."""
    steps = len(batch.losses)
    optimizers, schedulers = {}, {}
    if batch.mode != "generator":
        optimizers["latents"] = Adam([batch.z], lr=latent_rate)
        schedulers["latents"] = ReduceLROnPlateau(optimizers["latents"], patience=100, min_lr=1e-4)
    if batch.generator is not None:
        optimizers["generator"] = Adam(batch.generator.parameters(), lr=generator_rate)
        schedulers["generator"] = StepLR(optimizers["generator"], step_size=100, gamma=0.95)  # type: ignore[assignment]

    def objective(_: None, run: Run) -> Tensor:
        x = batch()
        inputs.clear()
        output(network, x.contiguous(memory_format=torch.channels_last))
        loss = bns_loss(x, inputs, stats)
        batch.losses[run.step] = loss.detach()
        if run.step + 1 == steps:
            batch.made.copy_(x.detach())
            run.stop()
        return loss

    train(
        objective,
        name=name,
        nets={"batch": batch},
        optimizers=optimizers,
        schedulers=schedulers,
        batches=None,
        epochs=-(-steps // SAVED_EVERY),
        steps_per_epoch=SAVED_EVERY,
    )
    inputs.clear()
