"""Quantizers whose step is searched for, then learnt: weights per channel, activations at the inputs of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize

from unseen.nn.build import builder
from unseen.nn.quantizers import FLOAT, Layer, QuantizedNetwork, WeightCodes, quantized

POWER = 2.4
"""The error of a step is the mean of |x - q|^POWER."""
SEARCHED = 2**16
"""How many of the values of an activation the search looks at, at most; its largest value is that of all."""


# -- the search of a step ----------------------------------------------------------------------------------


@torch.no_grad()
def search_step(
    rows: Float[Tensor, "c n"],
    low: Float[Tensor, " c"],
    high: Float[Tensor, " c"],
    bits: int,
    zero_point: int | None = None,
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Step d and zero point z of each row: of the ranges r [low, high], r = 1.00, 0.99, ..., 0.01, the best one.

    d = r (high - low) / (2^k - 1), z = round(-r low / d), q = (clamp(round(x / d) + z, 0, 2^k - 1) - z) d; the
    largest r of those with the least mean |x - q|^2.4 wins. A row of zeros has step 1.

    Parameters
    ----------
    rows : Tensor (c, n)
        What is quantized; each row has a step of its own.
    low, high : Tensor (c,)
        Least and largest value of each row.
    bits : int, 2 to 8
    zero_point : int, optional
        z of all rows, where it is known: 2^(k - 1) for signed symmetric codes.
    """
    top = 2**bits - 1
    flat = low == high  # one value: the range then reaches from it to zero
    low, high = torch.where(flat, low.clamp_max(0), low), torch.where(flat, high.clamp_min(0), high)
    high = torch.where(low == high, torch.full_like(high, top), high)
    least, step, zero = torch.full_like(low, torch.inf), torch.ones_like(low), torch.zeros_like(low)
    for percent in range(100, 0, -1):
        d = (percent / 100 * high - percent / 100 * low) / top
        z = torch.round(-(percent / 100) * low / d) if zero_point is None else torch.full_like(d, zero_point)
        codes = torch.round(rows / d[:, None]).add_(z[:, None]).clamp_(0, top)
        error = codes.sub_(z[:, None]).mul_(d[:, None]).sub_(rows).abs_().pow_(POWER).mean(dim=1)
        better = error < least
        least, step, zero = (torch.where(better, new, old) for new, old in ((error, least), (d, step), (z, zero)))
    return step, zero


def weight_step(weight: Tensor, bits: int, axis: int = 0) -> tuple[Tensor, Tensor]:
    """Searched step and zero point of each output channel, asymmetric, in a shape that broadcasts with the weight."""
    rows = weight.detach().movedim(axis, 0).flatten(1)
    step, zero = search_step(rows, rows.amin(dim=1), rows.amax(dim=1), bits)
    shape = [-1 if d == axis else 1 for d in range(weight.ndim)]
    return step.reshape(shape), zero.reshape(shape)


def activation_step(x: Tensor, bits: int, signed: bool) -> Tensor:
    """Searched step of the tensor, symmetric: of [-max |x|, max |x|], or of [0, max |x|] if it is not signed, ()."""
    values = x.detach().flatten()
    top = values.abs().max()[None]
    if len(values) > SEARCHED:
        values = values[spread(len(values), SEARCHED).to(x.device)]
    return search_step(values[None], -top if signed else 0 * top, top, bits, 2 ** (bits - 1) if signed else 0)[0][0]


def spread(n: int, count: int) -> Int[Tensor, " k"]:
    """`count` positions of `n`, evenly spread."""
    return torch.arange(count) * n // count


# -- activations -------------------------------------------------------------------------------------------


class InputQuantizer(nn.Module):
    """Rounds what enters a module: s round(clamp(x / s, Q_n, Q_p)), whose step s can be learnt (LSQ) [1].

    The first batch that passes while `observing` says whether values are signed (Q_n = -2^(k - 1), Q_p =
    2^(k - 1) - 1) or not (0, 2^k - 1), and gives the step that the search finds. While `kept` is above 0, that share
    of the values, drawn anew each time, stays float (QDrop) [2].

    References
    ----------
    [1] Esser et al., "Learned Step Size Quantization", ICLR 2020. Its scale of the gradient is left out, as in GENIE.
    [2] Wei et al., "QDrop: Randomly Dropping Quantization for Extremely Low-bit Post-Training Quantization", ICLR 2022.
    """

    low: Tensor
    high: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.observing = False
        self.kept = 0.0
        self.step = nn.Parameter(torch.ones(()))
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.tensor(2.0**bits - 1))

    def forward(self, x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The rounded values; those that are clipped pass a gradient to the step alone."""
        if self.observing:
            self._start(x)
        rounded: Tensor = _Rounded.apply(x, self.step, self.low, self.high, self.kept)  # type: ignore[no-untyped-call]
        return rounded

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        signed = bool(x.min() < 0)
        half = 2.0 ** (self.bits - 1)
        self.low.fill_(-half if signed else 0.0)
        self.high.fill_(half - 1 if signed else 2 * half - 1)
        self.step.fill_(activation_step(x, self.bits, signed))
        self.observing = False

    def extra_repr(self) -> str:
        """Bits, step and bounds of the codes."""
        return f"bits={self.bits}, step={float(self.step):.3g}, codes=[{float(self.low):.0f}, {float(self.high):.0f}]"


class _Rounded(torch.autograd.Function):
    """What `InputQuantizer` computes; d / ds is Q_n or Q_p where clipped, else round(x / s) - x / s."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: Tensor, high: Tensor, kept: float) -> Tensor:
        scaled = x / step
        codes = torch.clamp(scaled, low, high)
        inside = codes == scaled
        codes.round_()
        slope = torch.where(inside, codes - scaled, codes)
        rounded = codes.mul_(step)
        if kept:
            float_ = torch.rand_like(x) < kept
            rounded, slope = torch.where(float_, x, rounded), slope.masked_fill_(float_, 0)
            inside |= float_
        ctx.save_for_backward(inside, slope)
        return rounded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inside, slope = ctx.saved_tensors
        to_x = grad * inside if ctx.needs_input_grad[0] else None
        return to_x, (grad * slope).sum(), None, None, None


def quantize_input(module: nn.Module, bits: int) -> InputQuantizer:
    """Let `module` round what it reads, in place; its quantizer is the submodule `input_quantizer`.

    Raises
    ------
    ValueError
        If `module` is a sequence, in which a submodule is a layer.
    """
    if isinstance(module, nn.Sequential):
        raise ValueError(f"a {type(module).__name__} cannot hold a quantizer; quantize the input of its first layer")
    quantizer = InputQuantizer(bits)
    module.add_module("input_quantizer", quantizer)
    module.register_forward_pre_hook(_round_input)
    return quantizer


def without_input_quantizers(network: nn.Module) -> nn.Module:
    """Let no module of `network` round what it reads any more, in place."""
    for module in network.modules():
        if "input_quantizer" in module._modules:
            del module._modules["input_quantizer"]
            for key, hook in list(module._forward_pre_hooks.items()):
                if hook is _round_input:
                    del module._forward_pre_hooks[key]
    return network


def _round_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return module.input_quantizer(inputs[0]), *inputs[1:]  # type: ignore[operator]


# -- networks ----------------------------------------------------------------------------------------------


def keep_codes(layer: Layer, codes: Tensor, step: Tensor, zero: Tensor, bits: int) -> None:
    """Keep s (q - z) as the weight of `layer`, in place: q, integers in [0, 2^k - 1], as `WeightCodes`."""
    half = 2 ** (bits - 1)
    stored = (codes - half).to(torch.int8)
    layer.weight = nn.Parameter(stored, requires_grad=False)
    parametrize.register_parametrization(layer, "weight", WeightCodes(1 / step, half - zero), unsafe=True)


@builder("input-quantized")
def input_quantized(
    network: nn.Module, weight_bits: Mapping[str, int], input_bits: Mapping[str, int]
) -> QuantizedNetwork:
    """Quantize the weights of `network`, in place, and make room for quantizers at the inputs of modules.

    Parameters
    ----------
    network : Module
        It is changed: pass a copy to keep it.
    weight_bits : mapping of layer name to bits
        Layers that are not named, or have 32, stay float.
    input_bits : mapping of module name to bits
        Layers or blocks; all that a block computes from its input, its shortcut too, then reads the rounded one.
    """
    result = quantized(network, weight_bits)
    for name, bits in input_bits.items():
        if bits == FLOAT:
            raise ValueError(f"input_bits names what is rounded; {name!r} has {FLOAT}, which is float")
        quantize_input(result.network.get_submodule(name), bits)
    return result.requires_grad_(False)
