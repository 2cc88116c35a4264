"""Networks as graphs, as far as equalization has to see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from unseen.nn.bn_statistics import batch_norms
from unseen.nn.quantizers import ACTIVATIONS, Layer, count_activations


class _Tracer(fx.Tracer):
    """Goes into modules that hold layers, and takes all others as they are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        inner = [child for child in m.modules() if child is not m]
        return _is_layer(m) or super().is_leaf_module(m, module_qualified_name) or not any(map(_is_layer, inner))


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, Layer) or is_batch_norm(module)


def is_batch_norm(module: nn.Module | None) -> bool:
    return module is not None and "" in batch_norms(module)


def trace(network: nn.Module) -> fx.Graph:
    """The graph of a network; `ValueError` if its course depends on its input."""
    try:
        return _Tracer().trace(network)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ValueError(f"model must be traceable by torch.fx; {type(network).__name__} is not: {error}") from error


def modules_of(graph: fx.Graph, network: nn.Module) -> dict[fx.Node, nn.Module]:
    """The module behind each node that calls one."""
    return {node: network.get_submodule(str(node.target)) for node in graph.nodes if node.op == "call_module"}


def called_once(graph: fx.Graph) -> set[Any]:
    """The modules that are called a single time."""
    counts = Counter(node.target for node in graph.nodes if node.op == "call_module")
    return {target for target, count in counts.items() if count == 1}


def foldable(network: nn.Module) -> Iterator[tuple[str, Layer, str, nn.Module]]:
    """Each layer whose output goes to a BatchNorm alone, with it."""
    graph = trace(network)
    modules, once = modules_of(graph, network), called_once(graph)
    for node, layer in modules.items():
        users = list(node.users)
        if not isinstance(layer, Layer) or len(users) != 1 or not {node.target, users[0].target} <= once:
            continue
        if is_batch_norm(modules.get(users[0])) and not getattr(layer, "transposed", False):
            yield str(node.target), layer, str(users[0].target), modules[users[0]]


_POOLS = (
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "Flatten",
    "SelectAdaptivePool2d",
    "Identity",
    "Dropout",
    "DropPath",
)


def keeps_mean(node: fx.Node, module: nn.Module | None) -> bool:
    if module is not None:
        return type(module).__name__ in _POOLS
    return node.target in (
        torch.flatten,
        F.adaptive_avg_pool2d,
        F.dropout,
        "flatten",
        "mean",
        "reshape",
        "view",
    )


def pointwise(node: fx.Node, modules: dict[fx.Node, nn.Module]) -> Callable[[Tensor], Tensor] | None:
    """The function of a node that works on each value alone (an activation, or the identity); else None."""
    module = modules.get(node)
    if module is not None:
        plain = isinstance(module, nn.Identity | nn.Dropout) or type(module).__name__ == "DropPath"
        return module if plain or is_activation(module) else None
    target = _function(node)
    arguments = [*node.args[1:], *(value for key, value in node.kwargs.items() if key != "input")]
    if target not in ACTIVATIONS or any(isinstance(value, fx.Node) for value in arguments):
        return None
    keywords = {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")}
    return lambda z: target(z.clone(), *node.args[1:], **keywords)


def _function(node: fx.Node) -> Any:
    return getattr(Tensor, str(node.target), None) if node.op == "call_method" else node.target


def calls_activation(node: fx.Node) -> bool:
    """Whether a node calls an activation function, one with learnt slopes included."""
    return node.op in ("call_function", "call_method") and _function(node) in ACTIVATIONS


def is_activation(module: Any) -> bool:
    """Whether a module is one activation, without parameters or PReLU."""
    if isinstance(module, nn.PReLU):
        return True
    if not isinstance(module, nn.Module) or _is_layer(module) or any(True for _ in module.parameters()):
        return False
    try:
        return count_activations(module, torch.zeros(2, 1, 1, 1)) == 1
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False


def is_homogeneous(function: Callable[[Tensor], Tensor] | None) -> bool:
    """Whether f(s z) = s f(z) for s > 0, as of ReLU, LeakyReLU, PReLU and the identity."""
    if function is None or isinstance(function, nn.PReLU):
        return function is not None
    z = torch.tensor([-9.0, -1.0, -0.25, 0.25, 1.0, 9.0]).reshape(-1, 1, 1, 1)
    return torch.allclose(function(2 * z), 2 * function(z.clone()), atol=1e-6)
