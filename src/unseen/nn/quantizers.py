"""Networks with few bits: the asymmetric uniform quantizer, on weights and on activations."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from unseen.nn.build import builder

FLOAT = 32
"""The number of bits that means: leave it as it is."""
MEGABYTE = 8 * 2**20
"""Bits in a megabyte."""

Bits = Literal[2, 3, 4, 5, 6, 7, 8, 32]
Granularity = Literal["channel", "tensor"]
Layer = nn.modules.conv._ConvNd | nn.Linear

ACTIVATIONS = frozenset(
    getattr(place, name)
    for place, names in {
        F: "relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ elu elu_ silu mish gelu hardswish prelu selu "
        "selu_ celu celu_ rrelu rrelu_ softplus softsign threshold threshold_",
        torch: "relu relu_ prelu selu selu_ celu celu_ rrelu rrelu_ threshold threshold_",
        Tensor: "relu relu_ prelu",
    }.items()
    for name in names.split()
)
"""The functions whose output is quantized, whether a module or the code of a network calls them.

Sigmoid, hard sigmoid and tanh, which are gates in most networks, are not among them."""


# -- numbers -----------------------------------------------------------------------------------------------


def affine(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scale (the inverse of a step) and integer zero point of the range [low, high], of its shape.

    n = 2^k - 1; scale = n / max(high - low, 1e-8); zero = round(scale low) + 2^(k - 1).
    """
    scale = (2**bits - 1) / (high - low).clamp_min(1e-8)
    return scale, torch.round(scale * low) + 2 ** (bits - 1)


def quantize(x: Tensor, scale: Tensor, zero: Tensor, bits: int) -> Tensor:
    """Codes clamp(round(scale x - zero), -2^(k - 1), 2^(k - 1) - 1), integers held as floats."""
    half = 2 ** (bits - 1)
    return torch.round(scale * x - zero).clamp(-half, half - 1)


def dequantize(codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The values (codes + zero) / scale."""
    return (codes + zero) / scale


def fake_quantize(x: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """`x` rounded to the 2^bits levels of [low, high]; `low` and `high` broadcast. 32 bits change nothing."""
    if bits == FLOAT:
        return x
    scale, zero = affine(low, high, bits)
    return dequantize(quantize(x, scale, zero, bits), scale, zero)


def weight_range(weight: Tensor, granularity: Granularity = "channel", axis: int = 0) -> tuple[Tensor, Tensor]:
    """Least and largest weight of each output channel, or of the tensor, in a shape that broadcasts."""
    dims = [d for d in range(weight.ndim) if granularity == "tensor" or d != axis]
    return weight.amin(dim=dims, keepdim=True), weight.amax(dim=dims, keepdim=True)


def quantized_weight(layer: Layer, bits: int, granularity: Granularity = "channel") -> Tensor:
    """The weight of a layer at `bits` bits, as floats."""
    weight = layer.weight.detach()
    return fake_quantize(weight, *weight_range(weight, granularity, channel_axis(layer)), bits)


def channel_axis(layer: Layer) -> int:
    """Along which dimension of its weight the output channels of a layer lie."""
    return 1 if getattr(layer, "transposed", False) else 0


def check_bits(name: str, bits: Collection[int]) -> None:
    """`ValueError` about the argument `name` if one of its numbers is not 2 to 8 or 32."""
    for k in bits:
        if k not in get_args(Bits):
            raise ValueError(f"{name} must be 2 to 8, or {FLOAT} for float; got {k}")


# -- the parts of a network --------------------------------------------------------------------------------


def quantizable(network: nn.Module, exclude: Collection[str] = ()) -> dict[str, Layer]:
    """All convolutional and linear layers by name, without those in `exclude`, in the order of definition.

    Raises
    ------
    ValueError
        If `exclude` names something else, or nothing is left.
    """
    known = {name: module for name, module in network.named_modules() if isinstance(module, Layer)}
    for name in exclude:
        if name not in known:
            raise ValueError(f"exclude must name layers of the model; there is no {name!r}, but {', '.join(known)}")
    layers = {name: layer for name, layer in known.items() if name not in set(exclude)}
    if not layers:
        raise ValueError(f"model must have a convolutional or linear layer; {type(network).__name__} has none")
    return layers


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy in eval mode, in float32 on the CPU, without gradients, whose weights are plain.

    A weight norm is multiplied out.
    """
    if any(isinstance(module, QuantizedNetwork) for module in network.modules()):
        raise ValueError("model must be a float network; it is quantized already")
    network = copy.deepcopy(network).eval().requires_grad_(False).float().cpu()
    for layer in network.modules():
        if isinstance(layer, Layer):
            _make_plain(layer)
    return network


def _make_plain(layer: nn.Module) -> None:
    """Multiply out what parametrizes a layer; torch's own removal breaks other copies, which share the class."""
    if parametrize.is_parametrized(layer):
        plain = {name: getattr(layer, name).detach().clone() for name in layer.parametrizations}  # type: ignore[union-attr]
        del layer.parametrizations
        layer.__class__ = type(layer).__bases__[0]
        for name, value in plain.items():
            setattr(layer, name, nn.Parameter(value, requires_grad=False))
    if "weight" not in layer._parameters:
        raise ValueError(f"model has a {type(layer).__name__} without a plain weight; remove its hook first")


class WeightCodes(nn.Module):
    """Turns the integer codes of a layer's weight into floats; the layer keeps its class and its name."""

    scale: Tensor
    zero: Tensor

    def __init__(self, scale: Tensor, zero: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("zero", zero)

    def forward(self, codes: Tensor) -> Tensor:
        """The weight as floats."""
        return dequantize(codes.to(self.scale.dtype), self.scale, self.zero)


def quantize_layer(layer: Layer, bits: int, granularity: Granularity = "channel") -> None:
    """Keep the weight of `layer` as integer codes from now on, in place; the bias stays float."""
    if bits == FLOAT:
        return
    weight = layer.weight.detach()
    scale, zero = affine(*weight_range(weight, granularity, channel_axis(layer)), bits)
    codes = quantize(weight, scale, zero, bits).to(torch.int8)
    layer.weight = nn.Parameter(codes, requires_grad=False)
    parametrize.register_parametrization(layer, "weight", WeightCodes(scale, zero), unsafe=True)


class ActivationQuantizer(nn.Module):
    """Rounds an activation to the levels of one range, which always holds 0.

    While `observing`, the range first grows to hold what passes; afterwards it is frozen.
    """

    low: Tensor
    high: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.observing = False
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """The rounded activation."""
        if self.observing:
            self.low, self.high = torch.minimum(self.low, x.min()), torch.maximum(self.high, x.max())
        return fake_quantize(x, self.low, self.high, self.bits)

    def extra_repr(self) -> str:
        """Bits and range."""
        return f"bits={self.bits}, range=[{float(self.low):.3g}, {float(self.high):.3g}]"


class _ActivationCalls(TorchFunctionMode):
    """Passes each activation through `visit(index, place, result)`, of a call the index and where it is.

    A place is the function's name and the module of a network in `following` that was entered last.
    """

    def __init__(self, visit: Callable[[int, str, Tensor], Tensor]) -> None:
        super().__init__()
        self.visit = visit
        self.calls = 0
        self.entered: nn.Module | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in ACTIVATIONS:
            return result
        self.calls += 1
        place = vars(self.entered).get("_place", "") if self.entered is not None else ""
        return self.visit(self.calls - 1, f"{func.__name__} of {place!r}", result)


_following = threading.local()
"""The pass that a thread computes, if it wants to know which modules it enters."""


def _enter(module: nn.Module, _: Any) -> None:
    calls = getattr(_following, "calls", None)
    if calls is not None:
        calls.entered = module


def follow(network: nn.Module) -> nn.Module:
    """Let passes of `network` know which module they are in, in place; names are those that it has now."""
    for name, module in network.named_modules():
        if "parametrizations" in name.split("."):  # the codes of a weight: part of their layer
            continue
        module._place = name
        if _enter not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_enter)
    return network


@contextlib.contextmanager
def _pass(visit: Callable[[int, str, Tensor], Tensor]) -> Iterator[_ActivationCalls]:
    """A pass in this thread, whose activations are visited."""
    outer = getattr(_following, "calls", None)
    with _ActivationCalls(visit) as calls:
        _following.calls = calls
        try:
            yield calls
        finally:
            _following.calls = outer


def count_activations(function: Callable[..., Any], *args: Any) -> int:
    """How many activations `function` computes: one for each call; a module used twice counts twice."""
    return len(places_of(function, *args))


def places_of(function: Callable[..., Any], *args: Any) -> tuple[str, ...]:
    """Where `function` computes activations, call by call: in which module, if it uses a network in `follow`."""
    places: list[str] = []

    def visit(_: int, place: str, result: Tensor) -> Tensor:
        places.append(place)
        return result

    with torch.no_grad(), _pass(visit):
        function(*args)
    return tuple(places)


class QuantizedNetwork(nn.Module):
    """A network whose weights are integer codes and whose activations are rounded; inference only.

    Attributes
    ----------
    network : Module
        The network; all its modules keep their names.
    activations : ModuleList of ActivationQuantizer
        One per activation that a forward pass computes, in that order.
    weight_bits : dict of layer name to bits
    places : tuple of str
        Where each activation is computed, as `places_of` tells; empty if nothing but their number is known.
    """

    def __init__(
        self,
        network: nn.Module,
        weight_bits: Mapping[str, int],
        activation_bits: Sequence[int],
        places: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network = follow(network) if places else network
        self.activations = nn.ModuleList(ActivationQuantizer(bits) for bits in activation_bits)
        self.weight_bits = dict(weight_bits)
        self.places = tuple(places)

    def forward(self, x: Any) -> Any:
        """What the network gives."""
        return self.run(self.network, x)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function`, which uses (parts of) `network`, with its activations quantized.

        Raises
        ------
        ValueError
            If it computes other activations than those that there are ranges for: control flow has taken another way
            than in calibration.
        """
        if not self.activations:
            return function(*args)
        with _pass(self._round) as calls:
            result = function(*args)
        if calls.calls < len(self.activations):
            missed = self.places[calls.calls] if self.places else f"activation {calls.calls}"
            raise ValueError(f"{_OTHER_WAY}: this input has not come to {missed}, of which there is a range")
        return result

    def _round(self, index: int, place: str, activation: Tensor) -> Tensor:
        n = len(self.activations)
        if index == n or (self.places and place != self.places[index]):
            wanted = f"only {n} activations were seen" if index == n else f"there was {self.places[index]}"
            raise ValueError(f"{_OTHER_WAY}: this input comes to {place}, where {wanted}")
        return self.activations[index](activation)

    def observe(self, observing: bool = True) -> None:
        """Let the ranges of activations grow, or freeze them."""
        for activation in self.activations:
            activation.observing = observing  # type: ignore[assignment]

    @property
    def megabytes(self) -> float:
        """Size of the quantized weights, sum of P_i k_i / 8 / 2^20; what `floats` has is not in it."""
        layers = dict(self.network.named_modules())
        bits = sum(layers[name].weight.numel() * k for name, k in self.weight_bits.items())
        return bits / MEGABYTE

    @property
    def floats(self) -> dict[str, nn.Parameter]:
        """All parameters that stay float, by name: float layers, projections of attention, biases, BatchNorm."""
        weights = ("weight", "parametrizations.weight.original")
        quantized = {f"{layer}.{weight}" for layer in self.weight_bits for weight in weights}
        return {name: value for name, value in self.network.named_parameters() if name not in quantized}


_OTHER_WAY = "model takes another way through its layers than in calibration, so ranges of activations are unknown"


@builder("quantized")
def quantized(
    network: nn.Module,
    weight_bits: Mapping[str, int],
    activation_bits: Sequence[int] = (),
    granularity: Granularity = "channel",
    places: Sequence[str] = (),
) -> QuantizedNetwork:
    """Quantize the weights of `network`, in place, and make room for ranges of activations.

    Parameters
    ----------
    network : Module
        It is changed: pass a copy to keep it.
    weight_bits : mapping of layer name to bits
        Layers that are not named stay float.
    activation_bits : sequence of int
        Bits of each activation in the order of computation; none leaves all of them float.
    granularity : {"channel", "tensor"}
        One range of weights per output channel, or one per layer.
    places : sequence of str, optional
        Where each activation is computed, as `places_of` tells of `network` in `follow`: other ways are refused then.

    Raises
    ------
    ValueError
        If a name is of no layer, or bits are not 2 to 8 or 32.
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, Layer)}
    for name in weight_bits:
        if name not in layers:
            raise ValueError(f"weight_bits must name convolutional or linear layers; {name!r} is none")
    check_bits("weight_bits", weight_bits.values())
    check_bits("activation_bits", activation_bits)
    for name, layer in layers.items():
        _make_plain(layer)
        quantize_layer(layer, weight_bits.get(name, FLOAT), granularity)
    return QuantizedNetwork(network.eval().requires_grad_(False), weight_bits, activation_bits, places)


@torch.no_grad()
def calibrate(
    network: QuantizedNetwork, forward: Callable[[nn.Module, Tensor], Any], x: Tensor, size: int = 64
) -> None:
    """Set the ranges of all activations to what the samples `x` reach, then freeze them.

    Parameters
    ----------
    network : QuantizedNetwork
        Changed in place.
    forward : callable (network, x)
        How the inner network reads a batch.
    x : Tensor (n, ...)
    size : int
        Samples at a time.
    """
    network.observe()
    for batch in torch.split(x, size):
        network.run(forward, network.network, batch)
    network.observe(False)


@torch.no_grad()
def outputs(network: nn.Module, x: Float[Tensor, "n ..."], size: int = 8) -> Tensor:
    """What the network gives for each sample, (n, ...), computed in batches of exactly `size`.

    The last batch is padded, so that a sample's output does not depend on those beside it: kernels may differ
    in the last bit between sizes, and a quantizer turns that into a whole step.
    """
    gap = -len(x) % size
    padded = torch.cat([x, x.new_zeros(gap, *x.shape[1:])]) if gap else x
    return torch.cat([network(batch) for batch in torch.split(padded, size)])[: len(x)]
