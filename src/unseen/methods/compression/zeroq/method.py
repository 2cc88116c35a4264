"""The method: distil, measure, choose bits, quantize."""

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import Card, Method
from unseen.methods.compression.zeroq.distillation import distill
from unseen.methods.compression.zeroq.precision import (
    allocate_random,
    allocate_uniform,
    allocate_worst,
    pareto,
    sensitivity,
)
from unseen.methods.parameters import Count, Positive
from unseen.nn.bn_statistics import Per
from unseen.nn.network_io import Init, Output, check_readable, input_shape, is_detector, noise, output_of
from unseen.nn.quantizers import (
    FLOAT,
    MEGABYTE,
    Bits,
    Granularity,
    QuantizedNetwork,
    calibrate,
    follow,
    frozen_copy,
    outputs,
    places_of,
    quantizable,
    quantized,
)
from unseen.runtime import stage

Allocation = Literal["pareto", "uniform", "random", "reverse"]


class ZeroQ(Method):
    """Quantize a network with BatchNorm, with pictures made from what its BatchNorm layers remember [1].

    Inputs are optimized until every BatchNorm layer sees the mean and deviation it has seen in training.
    On these distilled inputs the ranges of activations are measured and, for mixed precision, how much each
    layer suffers from fewer bits; the Pareto frontier of size and total sensitivity then gives the bits.

    Parameters
    ----------
    precision : {"uniform", "mixed"}
        `weight_bits` for all layers, or bits of their own from `bits`.
    weight_bits, activation_bits : int, 2 to 8, or 32 for float
        `activation_bits` is for all activations; the input of the network stays float.
    bits : tuple of int
        What a layer may have in mixed precision.
    average_bits : float, > 0
        Budget of mixed precision: mean bits of a weight.
    budget_mb : float, > 0, optional
        Budget in megabytes of weights instead.
    allocation : {"pareto", "uniform", "random", "reverse"}
        How the budget is spent; all but the first are ablations: one number of bits for all layers, random
        layers, the worst choice of at least nine tenths of the budget.
    data : {"distilled", "gaussian"}
        What ranges and sensitivity are measured on, where no `target` is given.
    shape : (channels, height, width), optional
        Of one input. timm's networks tell it by themselves.
    batch_size, iterations : int
        How many inputs are distilled, in how many steps of Adam.
    learning_rate : float, > 0
        0.5 in the paper; 0.1 for small networks.
    early_stop : bool
        Stop as soon as the loss is at most 5 (BatchNorm layers + 1).
    init : {"gaussian", "uniform", "reference"}
        Where inputs start: of unit variance, or almost at zero as in the official code.
    stats : {"sample", "batch"}
        Whether each picture or only the batch has to match the statistics.
    granularity : {"channel", "tensor"}
        One range of weights per output channel, or one per layer.
    exclude : tuple of str
        Layers that stay float.

    References
    ----------
    [1] Cai et al., "ZeroQ: A Novel Zero Shot Quantization Framework", CVPR 2020, eq. 1-4.
    """

    card = Card(
        slug="zeroq",
        title="ZeroQ: A Novel Zero Shot Quantization Framework",
        venue="CVPR 2020",
        official_code="amirgholami/ZeroQ",
        summary="Make a trained network small, in uniform or mixed precision, without any data.",
        unseen={"data"},
        modalities={"image"},
        protocols={"quantization"},
        presets={
            "w8a8": {},
            "w6a8": {"weight_bits": 6},
            "mixed": {"precision": "mixed"},
            "cpu": {"iterations": 80, "batch_size": 16, "learning_rate": 0.1},
        },
        smoke={"iterations": 3, "batch_size": 4, "precision": "mixed", "shape": (3, 8, 8)},
        notes=(
            "The official code has uniform precision only; sensitivity and frontier follow the paper.",
            "The input of each BatchNorm layer is read itself; the official code pairs the k-th convolution "
            "with the k-th BatchNorm, which is the same for plain chains only.",
            "Inputs start at unit variance, as the official code says; what it does is `init='reference'`.",
            "Maps of a single position are compared by batch statistics; the official code gives NaN there.",
            "Every call of an activation function has a range of its own, functional and smooth ones "
            "included; the official code quantizes modules of ReLU and ReLU6.",
            "Sensitivity of RetinaNet: divergence of 'this class or not', mean over anchors and classes.",
        ),
    )

    precision: Literal["uniform", "mixed"] = "uniform"
    weight_bits: Bits = 8
    activation_bits: Bits = 8
    bits: tuple[Bits, ...] = (2, 4, 8)
    average_bits: Positive = 4.0
    budget_mb: Positive | None = None
    allocation: Allocation = "pareto"
    data: Literal["distilled", "gaussian"] = "distilled"
    shape: tuple[Count, Count, Count] | None = None
    batch_size: Count = 32
    iterations: Count = 500
    learning_rate: Positive = 0.5
    early_stop: bool = False
    init: Init = "gaussian"
    stats: Per = "sample"
    granularity: Granularity = "channel"
    exclude: tuple[str, ...] = ()

    def fit(self, *, model: nn.Module, target: Domain | None = None) -> Self:
        """Quantize a copy of `model`; pictures of `target`, if given, replace the distilled ones."""
        network = frozen_copy(model)
        layers = quantizable(network, self.exclude)
        if not self.bits or len(set(self.bits)) != len(self.bits):
            raise ValueError(f"bits must be different numbers, at least one; got {self.bits}")
        if self.budget_mb is not None and self.precision == "uniform":
            raise ValueError("budget_mb is for precision='mixed'; uniform precision has weight_bits")
        self.layers_ = tuple(layers)
        self.sizes_ = np.array([layer.weight.numel() for layer in layers.values()], dtype=np.int64)
        if self.precision == "mixed":
            self._budget(self.average_bits, self.budget_mb)  # fails before the long work
        with stage("pictures"):
            x = self._inputs(network, target)
        self.bits_ = dict.fromkeys(layers, int(self.weight_bits))
        if self.precision == "mixed":
            self._measure(network, x)
            self.bits_ = self._allocate()
        self._round(network, x)
        return self

    def at(
        self,
        model: nn.Module,
        *,
        budget_mb: float | None = None,
        weight_bits: Bits | None = None,
        activation_bits: Bits | None = None,
    ) -> Self:
        """This method with other bits, on the pictures that `fit` has distilled: nothing is distilled again.

        Parameters
        ----------
        model : Module
            What `fit` was given.
        budget_mb : float, optional
            Another point of the frontier, which is measured now if `fit` has not done so.
        weight_bits, activation_bits : int, optional
            Other bits for all layers, and of the activations.

        Raises
        ------
        ValueError
            If `fit` has distilled no pictures, the budget is below the smallest size, or `allocation` is random.
        """
        again = copy.copy(self)
        if "distilled_" not in vars(again):
            raise ValueError("fit has distilled no pictures to go on from")
        changes = {"weight_bits": weight_bits, "activation_bits": activation_bits}
        again.set_params(**{name: value for name, value in changes.items() if value is not None})
        network = frozen_copy(model)
        if budget_mb is not None:
            again.set_params(precision="mixed", budget_mb=budget_mb)
            if again.allocation == "random":
                raise ValueError("allocation='random' draws anew in each fit; fit again with another budget_mb")
            again._budget(None, budget_mb)
            if "frontier_" not in vars(again):
                again._measure(network, again.distilled_)
            again.bits_ = again._allocate()
        elif weight_bits is not None:
            again.set_params(precision="uniform", budget_mb=None)
            again.bits_ = dict.fromkeys(again.layers_, int(weight_bits))
        again._round(network, again.distilled_)
        return again

    def _measure(self, network: nn.Module, x: Tensor) -> None:
        """Sensitivity of each layer and number of bits, and the frontier that follows from it."""
        with stage("sensitivity"):
            self.sensitivity_ = sensitivity(
                network, x, self.bits, granularity=self.granularity, exclude=self.exclude, output=output_of(network)
            )
        with stage("frontier"):
            table = pareto(self.sensitivity_, self.sizes_, self.bits)
        self.frontier_: dict[str, NDArray[Any]] = {
            "megabytes": table.sizes / MEGABYTE,
            "sensitivity": table.costs,
            "bits": np.asarray(self.bits, dtype=np.int8)[table.choices],
        }

    def _round(self, network: nn.Module, x: Tensor) -> None:
        """Weights at their bits, activations in the ranges that `x` reaches."""
        with stage("ranges"):
            self.network_ = quantize(
                network,
                self.bits_,
                self.activation_bits,
                x,
                granularity=self.granularity,
                output=output_of(network),
            )
        self.megabytes_ = self.network_.megabytes

    def _check(self, network: nn.Module, name: str, shape: tuple[int, ...]) -> None:
        """`ValueError` if the network cannot read an input of this shape, or has no activations to round."""
        check_readable(network, name, shape)
        if self.activation_bits != FLOAT:
            _places(output_of(network), network, torch.zeros(1, *shape))

    def _inputs(self, network: nn.Module, target: Domain | None) -> Tensor:
        """What stands for the data: pictures of the user, distilled inputs, or noise."""
        if target is not None:
            x = tensor(target)
            if x.ndim != 4 or not torch.isfinite(x).all():
                raise ValueError(f"target must hold finite tensors (channels, height, width); got {tuple(x.shape[1:])}")
            self._check(network, "target", tuple(x.shape[1:]))
            return x
        shape = input_shape(network, self.shape)
        self._check(network, "shape", shape)
        if self.data == "gaussian":
            return noise(self.batch_size, shape, "gaussian")
        self.distilled_, losses = distill(
            network,
            shape,
            batch_size=self.batch_size,
            iterations=self.iterations,
            learning_rate=self.learning_rate,
            early_stop=self.early_stop,
            init=self.init,
            stats=self.stats,
            output=output_of(network),
        )
        self.losses_ = losses.numpy()
        return self.distilled_

    def _allocate(self) -> dict[str, int]:
        if self.allocation == "pareto":
            return self.choose(average_bits=self.average_bits, budget_mb=self.budget_mb)
        budget = self._budget(self.average_bits, self.budget_mb)
        if self.allocation == "uniform":
            chosen = allocate_uniform(self.sizes_, self.bits, budget)
        elif self.allocation == "random":
            chosen = allocate_random(self.sizes_, self.bits, budget)
        else:
            chosen = allocate_worst(self.sensitivity_, self.sizes_, self.bits, budget)
        return dict(zip(self.layers_, chosen.tolist()))

    def _budget(self, average_bits: float | None, budget_mb: float | None) -> float:
        """The budget in bits, up to rounding; `ValueError` if it is below the smallest size."""
        if budget_mb is None and average_bits is None:
            raise ValueError("give a budget: average_bits or budget_mb")
        weights = float(self.sizes_.sum())
        budget = (budget_mb * MEGABYTE if budget_mb is not None else average_bits * weights) * (1 + 1e-12)  # type: ignore[operator]
        if budget < min(self.bits) * weights:
            least = f"{min(self.bits)} bits for all layers are {min(self.bits) * weights / MEGABYTE:.4g} MB"
            raise ValueError(f"a budget of {budget / MEGABYTE:.4g} MB is too small: {least}")
        return budget

    def choose(self, *, average_bits: float | None = None, budget_mb: float | None = None) -> dict[str, int]:
        """Bits of every layer at the largest point of the frontier within a budget.

        Raises
        ------
        ValueError
            If the budget is below the smallest size, or mixed precision was not asked for in `fit`.
        """
        if "frontier_" not in vars(self):
            raise ValueError("there is no frontier: fit with precision='mixed' first")
        budget = self._budget(average_bits, budget_mb) / MEGABYTE
        point = int(np.searchsorted(self.frontier_["megabytes"], budget, side="right")) - 1
        return dict(zip(self.layers_, self.frontier_["bits"][point].tolist()))

    def quantize(
        self,
        model: nn.Module,
        *,
        weight_bits: int | Mapping[str, int] | None = None,
        activation_bits: int | None = None,
        calibration: Tensor | None = None,
    ) -> QuantizedNetwork:
        """Quantize `model` anew with other bits, such as those of `choose`, on what `fit` has distilled."""
        x = vars(self).get("distilled_") if calibration is None else calibration
        if x is None:
            raise ValueError("give calibration inputs: fit has distilled none")
        bits = self.bits_ if weight_bits is None else weight_bits
        if isinstance(bits, int):
            bits = dict.fromkeys(quantizable(model, self.exclude), bits)
        return quantize(
            model,
            bits,
            self.activation_bits if activation_bits is None else activation_bits,
            x,
            granularity=self.granularity,
        )

    def decision_function(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n c"]:
        """Logits of the quantized network, (n, n_classes)."""
        if is_detector(self.network_.network):
            raise TypeError("a detector gives boxes, not one class: use network()(images)")
        return outputs(self.network_, x)

    def network(self) -> nn.Module:
        """The quantized network."""
        return self.network_


def _places(output: Output, network: nn.Module, x: Tensor) -> tuple[str, ...]:
    """Where activations are; `ValueError` if there is none, which would leave all of them float."""
    places = places_of(output, network, x)
    if not places:
        raise ValueError(
            f"activation_bits must be {FLOAT}: {type(network).__name__} calls none that is rounded, such as relu"
        )
    return places


def quantize(
    network: nn.Module,
    weight_bits: int | Mapping[str, int],
    activation_bits: int,
    calibration: Float[Tensor, "n ..."],
    *,
    granularity: Granularity = "channel",
    output: Output | None = None,
) -> QuantizedNetwork:
    """A quantized copy: weights at their bits, activations in the ranges that the calibration inputs reach.

    Parameters
    ----------
    network : Module
        Not changed.
    weight_bits : int or mapping of layer name to bits
        One number for all layers, or only those that are named.
    activation_bits : int
    calibration : Tensor (n, ...)
        One pass over it sets the ranges.
    granularity, output
        As in `sensitivity`.
    """
    network = frozen_copy(network)
    output = output or output_of(network)
    if isinstance(weight_bits, int):
        weight_bits = dict.fromkeys(quantizable(network), weight_bits)
    places = () if activation_bits == FLOAT else _places(output, follow(network), calibration[:1])
    result = quantized(network, weight_bits, (activation_bits,) * len(places), granularity, places)
    if places:
        calibrate(result, output, calibration)
    return result
