"""Partly frozen networks: what a user froze stays as it is, however the rest is trained."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from unseen.nn.bn_statistics import batch_norms


def frozen(network: nn.Module) -> list[nn.Parameter]:
    """Floating-point parameters that require no gradient where others do; none if all are frozen, as for inference."""
    weights = [p for p in network.parameters() if p.is_floating_point()]
    held = [p for p in weights if not p.requires_grad]
    return held if len(held) < len(weights) else []


def keep_frozen(network: nn.Module) -> nn.Module:
    """A copy of which training reaches only what is not frozen; the network itself where no part is frozen.

    Frozen weights become buffers under their names: no optimizer, weight decay or later `requires_grad_` finds them,
    and the state dict has the same keys. BatchNorm layers all of whose weights are frozen normalize by what they
    remember, also after `train()`, and remember no more.
    """
    if not frozen(network):
        return network
    network = copy.deepcopy(network)
    held = {id(p) for p in frozen(network)}
    for layer in batch_norms(network).values():
        weights = [*layer.parameters(recurse=False)]
        if weights and all(id(p) in held for p in weights):
            layer.register_forward_pre_hook(_rest)
    for module in network.modules():
        for name, parameter in [*module.named_parameters(recurse=False, remove_duplicate=False)]:
            if id(parameter) in held:
                delattr(module, name)
                module.register_buffer(name, parameter.detach())
    return network


def release(network: nn.Module) -> None:
    """Let parameters that were frozen for one training require a gradient again; a wholly frozen network stays so."""
    for parameter in frozen(network):
        parameter.requires_grad_()


def _rest(layer: nn.Module, inputs: Any) -> None:
    if layer.training:
        layer.eval()
