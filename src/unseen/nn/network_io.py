"""How a network is read without its data: the shape of its inputs, noise in their place, a detector's logits."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Output = Callable[[nn.Module, Tensor], Tensor]
"""From a network and a batch to logits (n, ..., c)."""

Init = Literal["gaussian", "uniform", "reference"]


def input_shape(network: nn.Module, shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """`shape`, or the one that a timm network was made for."""
    config = getattr(network, "pretrained_cfg", None) or {}
    size = shape or config.get("input_size")
    if not size:
        raise ValueError(f"shape must be given as (channels, height, width): a {type(network).__name__} tells none")
    return tuple(size)


def noise(n: int, shape: Sequence[int], init: Init = "gaussian") -> Float[Tensor, "n c h w"]:
    """Noise of mean 0 and deviation 1; `"reference"` has deviation 0.0136, as ZeroQ's official code has it."""
    if init == "gaussian":
        return torch.randn(n, *shape)
    if init == "uniform":
        return (2 * torch.rand(n, *shape) - 1) * math.sqrt(3)
    return (torch.randint(0, 255, (n, *shape)).float() - 127.5) / 5418.75


def output_of(network: nn.Module) -> Output:
    """How a network reads a batch of inputs: as it is, or `retinanet_logits`."""
    return retinanet_logits if is_detector(network) else _call


def _call(network: nn.Module, x: Tensor) -> Tensor:
    return network(x)


def is_detector(network: nn.Module) -> bool:
    """Whether `network` is built as torchvision's RetinaNet."""
    return hasattr(network, "backbone") and hasattr(getattr(network, "head", None), "classification_head")


def retinanet_logits(network: nn.Module, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n a k 2"]:
    """For each anchor and class the logits of 'this class' and 'not'; inputs are normalized already."""
    features = list(network.backbone(x).values())  # type: ignore[operator]
    logits = network.head(features)["cls_logits"]  # type: ignore[operator]
    return torch.stack([logits, torch.zeros_like(logits)], dim=-1)


@torch.no_grad()
def check_readable(network: nn.Module, name: str, shape: Sequence[int]) -> None:
    """Raise `ValueError` about the argument `name` if a float network on the CPU cannot read an input of this shape."""
    try:
        output_of(network)(network, torch.zeros(1, *shape))
    except (RuntimeError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name} must be what the model reads; it cannot read {tuple(shape)}: {reason}") from error
