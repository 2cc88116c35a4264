"""Zero-cost statistics of an untrained network, one number for each parametric layer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

PROXIES = ("grad_norm", "snip", "synflow", "plain", "fisher", "grasp", "l2_norm")
DATALESS = frozenset({"synflow", "l2_norm"})
"""Proxies that read no sample."""
Loss = Callable[[Tensor, Tensor], Tensor]


def parametric_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The nodes: convolutions and linear maps, in the order of the module tree."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear)
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


def nodewise_statistics(
    network: nn.Module,
    x: Float[Tensor, "b ..."],
    y: Int[Tensor, "b"],
    proxies: Sequence[str] = ("grad_norm", "snip", "synflow"),
    *,
    reduce: str = "sum",
    nodes: Sequence[str] | None = None,
    loss: Loss = F.cross_entropy,
) -> dict[str, Float[Tensor, "m"]]:
    """One number for each node and proxy; the network is not changed.

    With the gradient g of the loss of one batch, in training mode: grad_norm ||g||, snip |g w| (the gradient of a mask
    of ones on the weights), plain g w, grasp -(H g) w, fisher half the squared gradient of a gate of ones on every
    channel of the output. Without data: synflow |w dR/dw|, R being the sum of all outputs for an input of ones with
    every parameter at its absolute value, in double precision and eval mode; l2_norm ||w||. All but the norms are
    reduced over the entries of a node. All are doubles: synflow of a deep network, a product over its layers, exceeds
    what single precision holds (3.4e38; it is 1e71 for ResNet-50).

    Parameters
    ----------
    network : Module
    x, y : Tensor
        One batch and its labels.
    proxies : sequence of str
    reduce : {"sum", "mean"}
        Sums over nodes are then the usual global proxies; means do not depend on a layer's size.
    nodes : sequence of str, optional
        Slots of a search space by name: the vectors are in this order, 0 where the network has no such node.
    loss : callable (outputs, y) -> scalar

    Raises
    ------
    ValueError
        If there is no node, a proxy is unknown, the network has a node that `nodes` does not name, or a statistic is
        not finite: no number that stands for it would rank the network where it belongs.
    """
    unknown = [proxy for proxy in proxies if proxy not in PROXIES]
    if unknown or not proxies or reduce not in ("sum", "mean"):
        raise ValueError(f"proxies must be of {', '.join(PROXIES)}, reduce sum or mean; got {unknown or reduce}")
    layers = parametric_layers(network)
    strange = [name for name in layers if nodes is not None and name not in set(nodes)]
    if strange or not layers:
        text = f"has the nodes {', '.join(strange)}, which nodes does not name" if strange else "has no Conv or Linear"
        raise ValueError(f"network {text}")
    statistics: dict[str, dict[str, Tensor]] = {}
    if "synflow" in proxies:
        statistics["synflow"] = _synflow(network, x, reduce)
    backward = [proxy for proxy in proxies if proxy not in ("synflow", "grasp")]
    if backward:
        statistics |= _one_backward(network, x, y, backward, reduce, loss)
    if "grasp" in proxies:
        statistics["grasp"] = _grasp(network, x, y, reduce, loss)
    for proxy, values in statistics.items():
        _check_finite(proxy, values)
    zero = torch.zeros(())
    return {
        proxy: torch.stack([statistics[proxy].get(name, zero).double().cpu() for name in nodes or layers])
        for proxy in proxies
    }


def _check_finite(proxy: str, values: Mapping[str, Tensor]) -> None:
    lost = [name for name, value in values.items() if not torch.isfinite(value)]
    if lost:
        detail = f"{proxy} is not finite at {len(lost)} of {len(values)} nodes, such as {lost[0]!r}"
        raise ValueError(f"{detail}: it exceeds what doubles hold, or weights or samples are not finite themselves")


def _copy(network: nn.Module) -> tuple[nn.Module, dict[str, Tensor]]:
    """A copy that may be changed, and the weights of its nodes, which get gradients."""
    network = copy.deepcopy(network)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network, {name: layer.get_parameter("weight") for name, layer in parametric_layers(network).items()}


def _gradients(value: Tensor, weights: Mapping[str, Tensor], graph: bool = False) -> dict[str, Tensor]:
    """By node; zeros where the value does not depend on it."""
    grads = torch.autograd.grad(value, list(weights.values()), create_graph=graph, allow_unused=True)
    return {k: torch.zeros_like(w) if g is None else g for (k, w), g in zip(weights.items(), grads)}


def _reduced(values: Tensor, reduce: str) -> Tensor:
    return values.sum() if reduce == "sum" else values.mean()


def _one_backward(
    network: nn.Module, x: Tensor, y: Tensor, proxies: Sequence[str], reduce: str, loss: Loss
) -> dict[str, dict[str, Tensor]]:
    """What one backward pass gives: grad_norm, snip, plain, fisher, and the norm of the weights beside them."""
    network, weights = _copy(network)
    out: dict[str, dict[str, Tensor]] = {proxy: {} for proxy in proxies}
    if "l2_norm" in proxies:
        out["l2_norm"] = {name: w.detach().norm() for name, w in weights.items()}
    if not set(proxies) - DATALESS:
        return out
    kept: dict[str, Tensor] = {}
    hooks = []
    if "fisher" in proxies:
        for name, layer in parametric_layers(network).items():
            hooks.append(layer.register_forward_hook(lambda _m, _i, output, name=name: kept.update({name: output})))
    value = loss(network.train()(x), y)
    for hook in hooks:
        hook.remove()
    names = list(weights)
    activations = [kept[name] for name in names if name in kept]
    grads = torch.autograd.grad(value, [*weights.values(), *activations], allow_unused=True)
    for name, weight, g in zip(names, weights.values(), grads):
        g = torch.zeros_like(weight) if g is None else g
        for proxy, measured in (("grad_norm", g.norm()), ("snip", (g * weight).abs()), ("plain", g * weight)):
            if proxy in out:
                out[proxy][name] = _reduced(measured.detach(), reduce)
    for name, activation, g in zip([name for name in names if name in kept], activations, grads[len(names) :]):
        out["fisher"][name] = _reduced(_fisher(network, name, activation, g), reduce)
    return out


def _fisher(network: nn.Module, name: str, activation: Tensor, g: Tensor | None) -> Float[Tensor, "c"]:
    """Half the mean over samples of the squared gradient of each channel's gate."""
    if g is None:
        return activation.new_zeros(1)
    product = (activation * g).detach()
    if not isinstance(network.get_submodule(name), nn.Linear):
        product = product.movedim(1, -1)
    per_sample = product.flatten(1, -2).sum(dim=1) if product.ndim > 2 else product
    return per_sample.square().mean(dim=0) / 2


def _grasp(network: nn.Module, x: Tensor, y: Tensor, reduce: str, loss: Loss) -> dict[str, Tensor]:
    """-(H g) w, by the gradient of g.detach() g."""
    network, weights = _copy(network)
    g = _gradients(loss(network.train()(x), y), weights, graph=True)
    product = torch.stack([(gradient.detach() * gradient).sum() for gradient in g.values()]).sum()
    if not product.requires_grad:
        return {name: torch.zeros(()) for name in weights}
    curved = _gradients(product, weights)
    return {name: _reduced((-curved[name] * w).detach(), reduce) for name, w in weights.items()}


def _synflow(network: nn.Module, x: Tensor, reduce: str) -> dict[str, Tensor]:
    """|w dR/dw| of a copy whose parameters are their absolute values."""
    network, weights = _copy(network)
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    g = _gradients(network(torch.ones_like(x[:1], dtype=torch.float64)).sum(), weights)
    return {name: _reduced((g[name] * w).abs().detach(), reduce) for name, w in weights.items()}
