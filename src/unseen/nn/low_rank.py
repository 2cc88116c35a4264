"""Layers as products of two thin ones, which keep the directions in which their outputs vary most on some data."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder

READ_INSIDE = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
"""Layers that read the weights of what is in them, and so cannot have it replaced."""
TINY = 1e-30


# -- which layers, and thin ones in their place ----------------------------------------------------------------


def thinnable(network: nn.Module) -> dict[str, nn.Module]:
    """Linear layers, convolutions and tables of vectors by name; a module that stands twice, once."""
    layers: dict[str, nn.Module] = {}
    closed: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, READ_INSIDE) or (hasattr(module, "c_proj") and hasattr(module, "q_proj")):
            closed.append(f"{name}.")
        elif any(name.startswith(prefix) for prefix in closed):
            continue
        elif isinstance(module, (nn.Linear, nn.Embedding)) or (isinstance(module, nn.Conv2d) and module.groups == 1):
            layers[name] = module
    return layers


def thin(layer: nn.Module, rank: int) -> nn.Sequential:
    """Two layers in the place of one, with `rank` numbers between them and fresh weights."""
    if isinstance(layer, nn.Conv2d):
        first: nn.Module = nn.Conv2d(
            layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, layer.dilation, bias=False,  # type: ignore[arg-type]
        )  # fmt: skip
        return nn.Sequential(first, nn.Conv2d(rank, layer.out_channels, 1))
    n, width = sizes(layer)
    first = nn.Embedding(n, rank) if isinstance(layer, nn.Embedding) else nn.Linear(n, rank, bias=False)
    return nn.Sequential(first, nn.Linear(rank, width))


def sizes(layer: nn.Module) -> tuple[int, int]:
    """Numbers that go into the matrix of a layer, and that come out of it."""
    weight: Any = layer.weight
    if isinstance(layer, nn.Embedding):
        return weight.shape[0], weight.shape[1]
    return weight[0].numel(), weight.shape[0]


@builder("low-rank")
def low_rank(network: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """The network with thin layers of these ranks, by name; it is changed: pass a copy to keep it."""
    for name, rank in ranks.items():
        holder, _, key = name.rpartition(".")
        setattr(network.get_submodule(holder), key, thin(network.get_submodule(name), rank))
    return network


# -- what the outputs of a layer vary in -----------------------------------------------------------------------


@dataclasses.dataclass
class Directions:
    """The directions in which the outputs of a layer vary, the strongest first.

    Attributes
    ----------
    mean : Tensor (out,)
        Of its outputs, without the bias that it adds.
    axes : Tensor (out, k)
        Orthonormal.
    variances : Tensor (k,)
        Along each.
    cost : int
        Parameters of a rank more.
    """

    mean: Float[Tensor, " out"]
    axes: Float[Tensor, "out k"]
    variances: Float[Tensor, " k"]
    cost: int


class Moments:
    """First and second moments of what a layer reads, or gives, whichever is narrower; read by a hook."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        into, out = sizes(layer)
        self.of_input = isinstance(layer, nn.Linear) and into < out
        width = into if self.of_input else out
        if isinstance(layer, nn.Embedding):
            self.counts = torch.zeros(into, dtype=torch.float64)
        else:
            self.n, self.near = 0, torch.zeros(width)
            self.sum = torch.zeros(width, dtype=torch.float64)
            self.second = torch.zeros(width, width, dtype=torch.float64)

    def hook(self, layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        """Count one batch."""
        if isinstance(layer, nn.Embedding):
            self.counts += torch.bincount(given[0].flatten().cpu(), minlength=len(self.counts))
            return
        if isinstance(layer, nn.Conv2d):
            rows = output.transpose(0, 1).flatten(1).T
            rows = rows if layer.bias is None else rows - layer.bias
        elif self.of_input:
            rows = given[0].flatten(0, -2)
        else:
            bias: Any = layer.bias
            rows = output.flatten(0, -2) if bias is None else output.flatten(0, -2) - bias
        if not self.n:
            self.near = rows.mean(dim=0)  # what is near the mean is taken off, so that no digits are lost
        rows = rows - self.near
        self.n += len(rows)
        self.sum += rows.sum(dim=0).double().cpu()
        self.second += (rows.T @ rows).double().cpu()

    def directions(self) -> Directions:
        """What they say of the outputs."""
        layer: Any = self.layer
        weight = layer.weight.detach().double().cpu()
        into, out = sizes(self.layer)
        if isinstance(self.layer, nn.Embedding):
            share = (self.counts + 1) / (self.counts + 1).sum()  # a token that was never read counts as one
            mean = share @ weight
            spread = (share[:, None] * (weight - mean)).T @ (weight - mean)
        else:
            mean = self.sum / max(self.n, 1)
            spread = self.second / max(self.n, 1) - torch.outer(mean, mean)
            mean = mean + self.near.double().cpu()
        variances, axes = torch.linalg.eigh(spread)
        variances, axes = variances.flip(0).clamp(min=0), axes.flip(1)
        if self.of_input:  # cov(W x) = (W S)(W S)^T with S of cov(x) = S S^T
            root = weight @ (axes * variances.sqrt())
            axes, singular, _ = torch.linalg.svd(root, full_matrices=False)
            variances, mean = singular.square(), weight @ mean
        return Directions(mean, axes, variances, into + out)


def measured(network: nn.Module, run: Iterator[None]) -> dict[str, Directions]:
    """Directions of all layers that can be thinned and that `run` makes the network read something with."""
    moments = {name: Moments(layer) for name, layer in thinnable(network).items()}
    hooks = [moment.layer.register_forward_hook(moment.hook) for moment in moments.values()]
    try:
        with torch.no_grad():
            for _ in run:
                pass
    finally:
        for hook in hooks:
            hook.remove()
    seen = {n: moment for n, moment in moments.items() if isinstance(moment.layer, nn.Embedding) or moment.n}
    return {name: moment.directions() for name, moment in seen.items()}


# -- how many of them are kept -----------------------------------------------------------------------------------


def is_thinned(network: nn.Module) -> bool:
    """Whether `low_rank` made it."""
    return getattr(getattr(network, "recipe", None), "builder", "") == "low-rank"


def floor(network: nn.Module, name: str, known: Directions) -> int:
    """Parameters of a layer at rank 1, if it is not smaller as it is; a bias that it had not is counted."""
    return min(whole(network, name), known.cost + _bias(network.get_submodule(name)))


def _bias(layer: nn.Module) -> int:
    """Parameters of the bias that a thin layer has and this one has not."""
    return sizes(layer)[1] if getattr(layer, "bias", None) is None else 0


def whole(network: nn.Module, name: str) -> int:
    """Parameters of the matrix of a layer."""
    into, out = sizes(network.get_submodule(name))
    return into * out


def allotted(network: nn.Module, known: Mapping[str, Directions], most: int) -> dict[str, int]:
    """The rank of each layer, so that their matrices have at most `most` parameters; those left whole are not told.

    Every layer has one direction; then those are taken that carry the largest share of their layer's variance for each
    parameter that they cost. A layer whose product would be as large as its matrix stays whole.
    """
    layers = {name: network.get_submodule(name) for name in known}
    full = {name: whole(network, name) for name in known}
    ranks = {name: 1 for name in known if known[name].cost + _bias(layers[name]) < full[name]}
    left = [entry for name in ranks if (entry := _next(known[name], name, 1))]
    heapq.heapify(left)
    spent = sum(known[name].cost + _bias(layers[name]) if name in ranks else full[name] for name in known)
    while left:
        _, name = heapq.heappop(left)
        directions, rank = known[name], ranks[name]
        before = rank * directions.cost + _bias(layers[name])
        after = min(before + directions.cost, full[name])
        if spent + after - before > most:
            continue
        spent += after - before
        if after == full[name]:
            del ranks[name]
            continue
        ranks[name] = rank + 1
        if entry := _next(directions, name, rank + 1):
            heapq.heappush(left, entry)
    return ranks


def _next(directions: Directions, name: str, rank: int) -> tuple[float, str] | None:
    """What the direction after the first `rank` is worth, for a heap whose first is the least."""
    if rank >= len(directions.variances):
        return None
    return -float(directions.variances[rank] / directions.variances.sum().clamp(min=TINY)) / directions.cost, name


@torch.no_grad()
def filled(thinned: nn.Module, network: nn.Module, known: Mapping[str, Directions], ranks: Mapping[str, int]) -> None:
    """Write into a network of thin layers what they keep of another's: P (P' W) x + b + (1 - P P') mean."""
    for name, rank in ranks.items():
        layer: Any = network.get_submodule(name)
        first: Any = thinned.get_submodule(f"{name}.0")
        second: Any = thinned.get_submodule(f"{name}.1")
        directions, weight = known[name], layer.weight.detach().double().cpu()
        axes = directions.axes[:, :rank]
        if isinstance(layer, nn.Embedding):
            first.weight.copy_((weight - directions.mean) @ axes)
            second.bias.copy_(directions.mean)
        else:
            first.weight.copy_((axes.T @ weight.flatten(1)).view(rank, *weight.shape[1:]))
            rest = directions.mean - axes @ (axes.T @ directions.mean)
            second.bias.copy_(rest if layer.bias is None else rest + layer.bias.double().cpu())
        second.weight.copy_(axes.view_as(second.weight))
