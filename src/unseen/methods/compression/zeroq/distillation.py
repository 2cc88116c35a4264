"""Steps 1-8: inputs that give every BatchNorm layer what it remembers."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from unseen.nn.bn_statistics import Per, batch_norms, bn_inputs, bns_loss, moment_loss
from unseen.nn.network_io import Init, Output, noise, output_of
from unseen.nn.quantizers import frozen_copy
from unseen.nn.train import Run, train
from unseen.runtime import current

log = logging.getLogger(__name__)

SAVED_EVERY = 50
"""Steps between checkpoints."""


class _Images(nn.Module):
    """Inputs that are learned, and the loss at each step."""

    losses: Tensor

    def __init__(self, x: Tensor, iterations: int) -> None:
        super().__init__()
        self.x = nn.Parameter(x)
        self.register_buffer("losses", torch.full((iterations,), math.nan))


def distillation_loss(network: nn.Module, x: Tensor, inputs: list[Any], stats: Per, output: Output) -> Tensor:
    """L = sum_i (||mu_i - m_i||^2 + ||sigma_i - s_i||^2) / B; i = 0 is the input, mean 0 and deviation 1."""
    inputs.clear()
    output(network, x)
    ones = torch.ones(x.shape[1], device=x.device)
    return moment_loss(x, 0 * ones, ones, stats) + bns_loss(inputs, stats)


def distill(
    network: nn.Module,
    shape: Sequence[int],
    *,
    batch_size: int = 32,
    iterations: int = 500,
    learning_rate: float = 0.5,
    early_stop: bool = False,
    init: Init = "gaussian",
    stats: Per = "sample",
    output: Output | None = None,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "t"]]:
    """Make inputs that give every BatchNorm layer the statistics it remembers; the network is not changed.

    Returns
    -------
    x : Tensor (n, c, h, w)
    losses : Tensor (t,)
        The loss before each step; fewer than `iterations` after an early stop. A last one that is not below the first
        is logged as a warning: the inputs are then no better than noise.

    Raises
    ------
    ValueError
        If the network has no BatchNorm layer.
    """
    device = torch.device(current().device)
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # in which convolutions are faster
    network = frozen_copy(network).to(device=device, **layout)
    output = output or output_of(network)
    images = _Images(noise(batch_size, shape, init).contiguous(**layout), iterations)
    adam = Adam([images.x], lr=learning_rate)
    plateau = ReduceLROnPlateau(adam, patience=100, min_lr=1e-4)
    enough = 5 * (len(batch_norms(network)) + 1) if early_stop else -math.inf

    with bn_inputs(network) as inputs:

        def objective(_: None, run: Run) -> Tensor:
            loss = distillation_loss(network, images.x, inputs, stats, output)
            images.losses[run.step] = loss.detach()
            if float(loss.detach()) <= enough or run.step + 1 == iterations:
                run.stop()
            return loss

        run = train(
            objective,
            name="distill",
            nets={"images": images},
            optimizers={"adam": adam},
            schedulers={"plateau": plateau},
            batches=None,
            epochs=-(-iterations // SAVED_EVERY),
            steps_per_epoch=SAVED_EVERY,
        )
    losses = images.losses[: run.step].cpu()
    if run.step > 1 and not losses[-1] < losses[0]:
        change = f"the mismatch of statistics went from {losses[0]:.4g} to {losses[-1]:.4g} in {run.step} steps"
        log.warning("distillation has diverged: %s; a smaller learning_rate than %g may help", change, learning_rate)
    return images.x.detach().cpu().contiguous(), losses
