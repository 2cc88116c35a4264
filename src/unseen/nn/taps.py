"""What a network computes on the way: the outputs of its layers, by name, and which layers end a stage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from unseen.nn.classifier import Classifier, evaluating

RESNET = ("maxpool", "layer1", "layer2", "layer3", "layer4")
"""The stem after pooling and the four stages, as timm and torchvision call them."""


@contextlib.contextmanager
def tapped(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect what the named layers give, while the block runs; each forward pass replaces the last one's.

    Parameters
    ----------
    network : Module
    names : sequence of str
        As `network.named_modules()` has them.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    layers = dict(network.named_modules())
    for name in names:
        if name not in layers:
            near = ", ".join(list(layers)[1:9])
            raise ValueError(f"taps must name layers of the network, such as {near}; it has no {name!r}")
    outputs: dict[str, Tensor] = {}
    hooks = [layers[name].register_forward_hook(_keeper(outputs, name)) for name in dict.fromkeys(names)]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _keeper(outputs: dict[str, Tensor], name: str):  # type: ignore[no-untyped-def]
    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = output

    return keep


def stages(network: Classifier) -> tuple[str, ...]:
    """Names of the layers that end the stages of a classifier, from its input to its head.

    Of a ResNet the stem and its four stages; of another timm network what timm calls its feature levels; of a sequence
    the blocks in it, else its pooling layers, else its activations, else its layers with weights. Where the backbone
    has none of these (cached features), those of the bottleneck.

    Raises
    ------
    ValueError
        If none is found.
    """
    for part in ("backbone", "bottleneck"):
        for prefix, module in getattr(network, part, nn.Identity()).named_modules(prefix=part):
            if ends := _stages_of(module):
                return tuple(f"{prefix}.{name}" for name in ends)
    raise ValueError(f"taps must be named: the stages of a {type(network).__name__} are not known")


def _stages_of(module: nn.Module) -> list[str]:
    if all(isinstance(getattr(module, name, None), nn.Module) for name in RESNET):
        return list(RESNET)
    levels = getattr(module, "feature_info", None)
    if isinstance(levels, list):
        return [level["module"] for level in levels]
    if not isinstance(module, nn.Sequential):
        return []
    children = [*module.named_children()]
    for wanted in (_is_block, _pools, _activates, _weighs):
        if matching := [name for name, child in children if wanted(child)]:
            return matching
    return []


def _is_block(layer: nn.Module) -> bool:
    return any(True for _ in layer.children()) and any(True for _ in layer.parameters())


def _pools(layer: nn.Module) -> bool:
    return "Pool" in type(layer).__name__


def _activates(layer: nn.Module) -> bool:
    return type(layer).__module__ == nn.ReLU.__module__


def _weighs(layer: nn.Module) -> bool:
    return any(True for _ in layer.parameters())


@torch.no_grad()
def tap_shapes(network: Classifier, names: Sequence[str], x: Tensor) -> dict[str, tuple[int, ...]]:
    """Shape of what each layer gives for one sample, and under "embedding" that of the classifier's embedding."""
    with evaluating(network), tapped(network, names) as outputs:
        embedding = network.embed(x[:1])
    return {name: tuple(outputs[name].shape[1:]) for name in names} | {"embedding": tuple(embedding.shape[1:])}
