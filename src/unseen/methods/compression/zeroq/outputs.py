"""How ZeroQ reads a network: a classifier as it is, RetinaNet by the classes of its anchors."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Output = Callable[[nn.Module, Tensor], Tensor]
"""From a network and a batch to logits (n, ..., c)."""


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
