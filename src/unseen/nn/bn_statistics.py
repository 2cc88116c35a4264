"""What batch normalization remembers of the training data, and how far other inputs are from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPSILON = 1e-6
"""Added to every variance before its root is taken."""

Per = Literal["sample", "batch"]
Inputs = list[tuple[nn.Module, Tensor]]


def batch_norms(network: nn.Module) -> dict[str, nn.Module]:
    """All layers with a running mean and variance, by name: BatchNorm of any dimension, frozen or not."""
    return {name: module for name, module in network.named_modules() if _is_batch_norm(module)}


def _is_batch_norm(module: nn.Module) -> bool:
    held = (getattr(module, "running_mean", None), getattr(module, "running_var", None))
    return all(isinstance(value, Tensor) for value in held) and not isinstance(
        module, nn.modules.instancenorm._InstanceNorm
    )


@contextlib.contextmanager
def by_batch(network: nn.Module) -> Iterator[None]:
    """BatchNorm layers normalize by the batch while the block runs, and remember nothing of it."""
    layers: list[Any] = [*batch_norms(network).values()]
    before = [(layer.training, getattr(layer, "momentum", None)) for layer in layers]
    counts = [layer.num_batches_tracked.clone() for layer in layers if hasattr(layer, "num_batches_tracked")]
    for layer in layers:
        layer.training, layer.momentum = True, 0.0
    try:
        yield
    finally:
        for layer, (training, momentum) in zip(layers, before):
            layer.training, layer.momentum = training, momentum
        counted = [layer for layer in layers if hasattr(layer, "num_batches_tracked")]
        for layer, count in zip(counted, counts):
            layer.num_batches_tracked.copy_(count)


@contextlib.contextmanager
def bn_inputs(network: nn.Module) -> Iterator[Inputs]:
    """Collect what enters every BatchNorm layer, call by call, while the block runs; the hooks go with it.

    Yields
    ------
    list of (layer, tensor)
        Clear it before each forward pass.

    Raises
    ------
    ValueError
        If the network has no BatchNorm layer.
    """
    layers = batch_norms(network)
    if not layers:
        name = type(network).__name__
        detail = f"{name} has none; give a few real pictures (`pictures` or `target`) instead"
        raise ValueError(f"model must have BatchNorm layers, whose statistics stand for its data; {detail}")
    seen: Inputs = []
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs: seen.append((module, inputs[0])))
        for layer in layers.values()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def moments(z: Float[Tensor, "b c *positions"], per: Per = "sample") -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, over the positions of a sample (b, c) or of the batch (1, c).

    One position has no deviation of its own: then both are taken over the batch.
    """
    z = z.flatten(2) if z.ndim > 2 else z[..., None]
    if per == "batch" or z.shape[2] == 1:
        z = z.transpose(0, 1).flatten(1)[None]
    return _Moments.apply(z)  # type: ignore[no-untyped-call]


class _Moments(torch.autograd.Function):
    """Mean and deviation over the last dimension: three passes forward, one backward, where torch.var is slow."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        mean = z.mean(dim=2)
        ctx.freedom = max(z.shape[2] - 1, 1)
        std = torch.sqrt((z - mean[..., None]).square_().sum(dim=2) / ctx.freedom + EPSILON)
        ctx.save_for_backward(z, mean, std)
        return mean, std

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_std: Tensor) -> Tensor:
        z, mean, std = ctx.saved_tensors
        slope = to_std / (ctx.freedom * std)  # d std / d z = (z - mean) / ((n - 1) std)
        offset = to_mean / z.shape[2] - slope * mean
        return torch.addcmul(offset[..., None], slope[..., None], z)


def moment_loss(
    z: Float[Tensor, "b c *positions"],
    mean: Float[Tensor, " c"],
    std: Float[Tensor, " c"],
    per: Per = "sample",
) -> Tensor:
    """||mean - m||^2 / B + ||std - s||^2 / B of the moments m, s of `z`, summed over channels."""
    m, s = moments(z, per)
    return ((mean - m).square().sum() + (std - s).square().sum()) / len(z)


def bns_loss(inputs: Sequence[tuple[nn.Module, Tensor]], per: Per = "sample") -> Tensor:
    """Sum of `moment_loss` over all that entered a BatchNorm layer, against what the layer remembers."""
    losses = [
        moment_loss(z, layer.running_mean, torch.sqrt(layer.running_var + EPSILON), per)  # type: ignore[operator,arg-type]
        for layer, z in inputs
    ]
    return torch.stack(losses).sum()
