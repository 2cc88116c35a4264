"""DFQ: data-free quantization through weight equalization and bias correction."""

import operator
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from unseen.methods.base import Card
from unseen.methods.baselines._graph import (
    called_once,
    calls_activation,
    foldable,
    is_activation,
    is_batch_norm,
    is_homogeneous,
    keeps_mean,
    modules_of,
    pointwise,
    trace,
)
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, Positive
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.build import builder
from unseen.nn.quantizers import (
    FLOAT,
    Bits,
    Granularity,
    Layer,
    frozen_copy,
    outputs,
    quantizable,
    quantized,
    quantized_weight,
)


class DFQ(NetworkMethod):
    """Fold BatchNorm, equalize the weights of neighbouring layers, correct biases, quantize [1]; no data.

    Parameters
    ----------
    weight_bits, activation_bits : int, 2 to 8, or 32 for float
    granularity : {"channel", "tensor"}
        One range of weights per output channel, or one per layer, as in the paper.
    deviations : float, > 0
        A range of activations is mean +- so many deviations of what BatchNorm gives, once activated.
    sweeps : int
        How often all pairs of layers are equalized.
    equalization, absorption, correction : bool
        Use cross-layer equalization, absorb high biases after it, correct the mean of each layer's output.
    replace_relu6 : bool
        Use ReLU for ReLU6, as in the paper: only then can layers around it be equalized. It changes the network
        itself; where activations do reach 6, as in EfficientNet-Lite, that ruins it.

    References
    ----------
    [1] Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019.
    """

    card = Card(
        slug="dfq",
        title="Data-Free Quantization Through Weight Equalization and Bias Correction",
        venue="ICCV 2019",
        summary="Quantize a network with BatchNorm without data, by equalizing its weights.",
        unseen={"data"},
        modalities={"image"},
        protocols={"quantization"},
        presets={"w8a8": {}, "paper": {"granularity": "tensor", "replace_relu6": True}},
        smoke={"sweeps": 2},
        notes=(
            "Moments behind an activation come from quadrature over its Gaussian input, not from a formula.",
            "What enters the activation after a sum is taken as a sum of independent Gaussians.",
            "Activations behind no BatchNorm stay float, as nothing is known of their range.",
            "The paper has one range of weights per layer and puts ReLU in the place of ReLU6: preset `paper`. By "
            "default a channel has its own range and ReLU6 stays, as not every network survives without it.",
        ),
        baseline=True,
    )

    weight_bits: Bits = 8
    activation_bits: Bits = 8
    granularity: Granularity = "channel"
    deviations: Positive = 6.0
    sweeps: Count = 20
    equalization: bool = True
    absorption: bool = True
    correction: bool = True
    replace_relu6: bool = False

    def fit(self, *, model: nn.Module) -> Self:
        """Quantize a copy of `model`."""
        if not batch_norms(model):
            hint = f"{type(model).__name__} has none; zeroq and genie do without, with a few real pictures (`pictures`)"
            raise ValueError(f"model must have BatchNorm layers; {hint}")
        remembered = folded_moments(model)
        network = fold_batch_norms(model, self.replace_relu6)
        graph = trace(network)
        if self.equalization:
            for _ in range(self.sweeps):
                for pair in neighbours(graph, network):
                    equalize(pair, remembered)
            if self.absorption:
                for pair in neighbours(graph, network):
                    absorb(pair, remembered)
        means, ranges = propagate(graph, network, remembered, self.deviations)
        layers = quantizable(network)
        if self.correction:
            for name in means.keys() & layers.keys():
                error = quantized_weight(layers[name], self.weight_bits, self.granularity) - layers[name].weight
                _shift(layers[name], -mean_output(error, means[name], layers[name]))
        bits = [FLOAT if bounds is None else int(self.activation_bits) for bounds in ranges]
        self.network_ = quantized(network, dict.fromkeys(layers, int(self.weight_bits)), tuple(bits), self.granularity)
        for quantizer, bounds in zip(self.network_.activations, ranges):
            if bounds is not None:
                quantizer.low, quantizer.high = bounds
        self.megabytes_ = self.network_.megabytes
        return self

    def decision_function(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n c"]:
        """Logits of the quantized network, (n, n_classes)."""
        return outputs(self.network_, x)


class Moments(NamedTuple):
    """Mean and deviation of each channel, (c,)."""

    mean: Tensor
    std: Tensor


class Pair(NamedTuple):
    """Two layers between which a channel can be scaled: nothing else reads what lies between them."""

    first_name: str
    first: Layer
    second: Layer


# -- batch norm folding ------------------------------------------------------------------------------------


def bn_moments(bn: nn.Module) -> Moments:
    """What a BatchNorm layer gives in training: mean beta, deviation |gamma|."""
    ones = torch.ones_like(bn.running_mean)  # type: ignore[arg-type]
    beta, gamma = getattr(bn, "bias", None), getattr(bn, "weight", None)
    return Moments(0 * ones if beta is None else beta.detach().clone(), ones if gamma is None else gamma.detach().abs())


def folded_moments(network: nn.Module) -> dict[str, Moments]:
    """Mean and deviation of the output of each layer into which a BatchNorm will be folded, by name."""
    return {name: bn_moments(bn) for name, _, _, bn in foldable(frozen_copy(network))}


@builder("bn-folded")
def fold_batch_norms(network: nn.Module, replace_relu6: bool = False) -> nn.Module:
    """A copy whose BatchNorm layers are multiplied into the layers before them; every layer gets a bias.

    Parameters
    ----------
    network : Module
        Not changed.
    replace_relu6 : bool
        Also put ReLU in the place of ReLU6.
    """
    network = frozen_copy(network)
    for layer in quantizable(network).values():
        if layer.bias is None:
            channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
            layer.bias = nn.Parameter(layer.weight.new_zeros(channels), requires_grad=False)
    for _, layer, name, bn in list(foldable(network)):
        factor = torch.rsqrt(bn.running_var + bn.eps)  # type: ignore[operator]
        gamma, beta = getattr(bn, "weight", None), getattr(bn, "bias", None)
        factor = factor if gamma is None else factor * gamma
        layer.weight.data = layer.weight * factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
        bias = (_bias(layer) - bn.running_mean) * factor + (0 if beta is None else beta)  # type: ignore[operator]
        layer.bias = nn.Parameter(bias, requires_grad=False)
        network.set_submodule(name, getattr(bn, "act", nn.Identity()))
    if replace_relu6:
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.Hardtanh) and (module.min_val, module.max_val) == (0, 6):
                network.set_submodule(name, nn.ReLU())
    return network


def _bias(layer: Layer) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _shift(layer: Layer, by: Tensor) -> None:
    layer.bias = nn.Parameter(_bias(layer) + by, requires_grad=False)


# -- cross-layer equalization ------------------------------------------------------------------------------


def neighbours(graph: fx.Graph, network: nn.Module) -> Iterator[Pair]:
    """All pairs of layers with nothing but positively homogeneous functions between them (section 4.1)."""
    modules, once = modules_of(graph, network), called_once(graph)
    for node, first in modules.items():
        if not isinstance(first, Layer) or node.target not in once:
            continue
        after = node
        while len(after.users) == 1:
            after = next(iter(after.users))
            second = modules.get(after)
            if isinstance(second, Layer):
                if after.target in once and _shares_channels(first, second):
                    yield Pair(str(node.target), first, second)
                break
            if not is_homogeneous(pointwise(after, modules)):
                break


def _shares_channels(first: Layer, second: Layer) -> bool:
    groups = getattr(second, "groups", 1)
    same = len(second.weight) if groups > 1 else second.weight.shape[1]
    plain = not getattr(first, "transposed", False) and not getattr(second, "transposed", False)
    return plain and groups in (1, len(second.weight)) and len(first.weight) == same


def equalize(pair: Pair, remembered: dict[str, Moments]) -> None:
    """Give both layers the same range per channel: s = sqrt(r1 r2) / r2, W1 / s, b1 / s, W2 s (eq. 11)."""
    name, first, second = pair
    depthwise = getattr(second, "groups", 1) > 1
    r1 = first.weight.abs().flatten(1).amax(dim=1)
    r2 = (second.weight if depthwise else second.weight.transpose(0, 1)).abs().flatten(1).amax(dim=1)
    s = torch.where((r1 > 0) & (r2 > 0), torch.sqrt(r1 * r2) / r2, 1.0)
    first.weight.data = first.weight / s.reshape(-1, *[1] * (first.weight.ndim - 1))
    first.bias = nn.Parameter(_bias(first) / s, requires_grad=False)
    place = 0 if depthwise else 1
    second.weight.data = second.weight * s.reshape([-1 if d == place else 1 for d in range(second.weight.ndim)])
    if name in remembered:
        remembered[name] = Moments(remembered[name].mean / s, remembered[name].std / s)


def absorb(pair: Pair, remembered: dict[str, Moments]) -> None:
    """Move c = max(0, beta - 3 gamma) of the first bias through the second layer (section 4.1.3)."""
    name, first, second = pair
    if name not in remembered:
        return
    mean, std = remembered[name]
    c = (mean - 3 * std).clamp_min(0)
    _shift(first, -c)
    _shift(second, mean_output(second.weight, c, second))
    remembered[name] = Moments(mean - c, std)


# -- bias correction and ranges ----------------------------------------------------------------------------


def mean_output(weight: Tensor, mean: Tensor, layer: Layer) -> Tensor:
    """What `weight` makes of an input whose channels have `mean`: sum_i W_oi E[x_i], (out,) (eq. 17)."""
    if isinstance(layer, nn.Linear):
        return weight @ mean.repeat_interleave(weight.shape[1] // len(mean))
    groups = layer.groups
    x = mean.reshape(groups, -1).repeat_interleave(len(weight) // groups, dim=0)
    return (weight.flatten(2).sum(dim=2) * x).sum(dim=1)


_GRID = torch.linspace(-1, 1, 201)


def through(
    function: Callable[[Tensor], Tensor], moments: Moments, deviations: float
) -> tuple[Moments, tuple[Tensor, Tensor]]:
    """Moments of f(z) for Gaussian z, and the range of f over mean +- so many deviations, with 0 in it."""

    def at(width: float) -> Tensor:
        z = moments.mean + width * _GRID.to(moments.mean)[:, None] * moments.std
        return function(z[..., None, None])[..., 0, 0]

    density = torch.exp(-0.5 * (6 * _GRID) ** 2).to(moments.mean)[:, None]
    density = density / density.sum()
    y, reached = at(6.0), at(deviations)
    mean = (density * y).sum(dim=0)
    std = (density * (y - mean) ** 2).sum(dim=0).sqrt()
    return Moments(mean, std), (reached.min().clamp_max(0), reached.max().clamp_min(0))


def propagate(
    graph: fx.Graph, network: nn.Module, remembered: dict[str, Moments], deviations: float
) -> tuple[dict[str, Tensor], list[tuple[Tensor, Tensor] | None]]:
    """Carry the moments that BatchNorm gives through the graph.

    Returns
    -------
    means : dict
        Mean of each channel that enters a layer, where it is known, by name.
    ranges : list
        Range of each activation in the order of computation; None where it is not known.
    """
    modules, once = modules_of(graph, network), called_once(graph)
    known: dict[fx.Node, Moments | None] = {}
    means: dict[str, Tensor] = {}
    ranges: list[tuple[Tensor, Tensor] | None] = []

    def activate(function: Callable[[Tensor], Tensor], before: Moments | None) -> Moments | None:
        if before is None:
            ranges.append(None)
            return None
        after, bounds = through(function, before, deviations)
        ranges.append(bounds)
        return after

    for node in graph.nodes:
        inputs = [known.get(other) for other in node.all_input_nodes]
        before = inputs[0] if inputs else None
        module = modules.get(node)
        function = pointwise(node, modules)
        after = None
        if isinstance(module, Layer):
            if before is not None and node.target in once:
                means[str(node.target)] = before.mean
            after = remembered.get(str(node.target))
        elif module is not None and is_batch_norm(module):
            after = bn_moments(module)
            act = getattr(module, "act", None)
            if act is not None and is_activation(act):
                after = activate(act, after)
        elif function is not None and (node.op != "call_module" or is_activation(function)):
            after = activate(function, before)
        elif function is None and calls_activation(node):
            ranges.append(None)
        elif function is not None or keeps_mean(node, module):
            after = before
        elif node.target in _SUMS and len(inputs) == 2 and None not in inputs:
            a, b = inputs
            assert a is not None
            assert b is not None
            after = Moments(a.mean + b.mean, torch.hypot(a.std, b.std))
        known[node] = after
    return means, ranges


_SUMS = (operator.add, operator.iadd, torch.add)
