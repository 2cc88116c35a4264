"""The method: make pictures, search steps, learn rounding and steps unit by unit."""

from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import Card, Method
from unseen.methods.compression.genie.reconstruction import Drop, Recipe, Rounding, reconstruct
from unseen.methods.compression.genie.synthesis import Mode, synthesize
from unseen.methods.compression.genie.units import Setting, plan
from unseen.methods.parameters import Count, Natural, NonNegative, Positive
from unseen.nn.bn_statistics import Per
from unseen.nn.learned_quantizers import input_quantized
from unseen.nn.network_io import check_readable, input_shape, is_detector, noise, output_of
from unseen.nn.quantizers import Bits, frozen_copy, outputs, quantizable
from unseen.runtime import current, stage

SHOWN = 32
"""How many of the pictures that were made are kept."""


class Genie(Method):
    """Quantize a network to few bits on pictures that are made from what its BatchNorm layers remember [1].

    A generator and its latents are both learnt, anew for each batch, until every BatchNorm layer sees the statistics
    it has seen in training (GENIE-D). On these pictures, or on a few real ones, each block of the network then learns
    which weights to round up, the steps of its weights and those of its activations, so that it gives what the float
    block gives (GENIE-M). Nothing is trained from end to end, and no labels are used.

    Parameters
    ----------
    weight_bits, activation_bits : int, 2 to 8, or 32 for float
        First and last layer have 8 for their weights, the last one also for its input; the network's input is float.
    setting : {"brecq", "qdrop"}
        Whether what enters the second layer has 8 bits, or `activation_bits` like all others.
    data : {"genie", "pixel", "generator", "gaussian"}
        What the calibration pictures are, where no `target` is given: of generators with learnt latents; learnt pixel
        by pixel; of generators that read new latents at every step; noise.
    shape : (channels, height, width), optional
        Of one picture. timm's networks tell it by themselves.
    samples : int
        How many pictures are made.
    synthesis_batch, synthesis_steps : int
        Pictures that are made together, and the steps of Adam they take.
    latent, width : int
        Entries of a latent, and channels of the generator's first map.
    latent_rate, generator_rate : float, > 0
        Learning rates of latents (or pixels) and of the generator.
    swing : bool
        Shift what strided convolutions read by up to one pixel at random, while pictures are made.
    stats : {"batch", "sample"}
        Whether the batch has to match the statistics of a layer, or each picture.
    rounding : {"genie", "adaround", "nearest"}
        Learn rounding and weight steps; rounding alone; neither. Activation steps are learnt in all of them.
    drop : {"qdrop", "none"}
        Whether half of the activations, drawn anew each time, stay float while a block learns.
    iterations : int, >= 0
        Steps of Adam for each block; 0 leaves searched steps and the nearest rounding.
    batch_size : int
        Pictures in a step.
    rounding_rate, weight_step_rate, activation_step_rate : float, > 0
        Learning rates of V, which rounds, and of the steps; those of the steps fall to 0.
    penalty : float, >= 0
        Lambda, the weight of the regularizer that drives rounding to up or down.
    blocks : tuple of str
        Names of further classes that are reconstructed as a whole, beside those of timm and torchvision.

    References
    ----------
    [1] Jeon et al., "Genie: Show Me the Data for Quantization", CVPR 2023.
    """

    card = Card(
        slug="genie",
        title="Genie: Show Me the Data for Quantization",
        venue="CVPR 2023",
        official_code="SamsungLabs/Genie",
        summary="Quantize to 2 or 4 bits without data: a generator makes pictures, blocks learn to round.",
        unseen={"data"},
        modalities={"image"},
        protocols={"quantization"},
        presets={
            "w4a4": {},
            "w2a4": {"weight_bits": 2},
            "cpu": {
                "samples": 256,
                "synthesis_steps": 400,
                "iterations": 400,
                "rounding_rate": 3e-2,
            },
        },
        smoke={
            "shape": (3, 8, 8),
            "samples": 8,
            "synthesis_batch": 4,
            "synthesis_steps": 2,
            "latent": 8,
            "width": 4,
            "iterations": 2,
            "batch_size": 4,
        },
        notes=(
            "What a residual block reads is rounded once, for its first layer, a downsampling layer and the shortcut, "
            "whether the shortcut is a module or only a sum; the official code puts the same quantizer in each of "
            "these places. Known are the blocks of timm and torchvision and those named in `blocks`; elsewhere each "
            "layer is a unit, and shortcuts stay float.",
            "Units come in the order in which a forward pass calls them, which is the order of definition in the "
            "official code. A layer that none calls is rounded to nearest.",
            "Latents learn at 0.1 and the generator at 0.01, as the official code does; its arguments are called the "
            "other way round.",
            "Minibatches have `batch_size` pictures; those of the official code have a 32nd of all, 32 of 1,024.",
            "The search of an activation's step looks at 65,536 values of the first batch at most.",
            "A channel whose weights are all equal has a range that reaches to zero.",
            "Preset `cpu` has a fiftieth of the paper's iterations, a quarter of its pictures and a larger rate for V. "
            "Rates of steps stay: steps of 8 bits are so small that larger rates do harm.",
            f"Of the pictures that were made the first {SHOWN} are kept.",
        ),
        left_out=(
            "Layers in different units that read one tensor have a quantizer each; the official code lets them share.",
        ),
        parts=("unseen.nn.learned_quantizers", "unseen.nn.network_io", "unseen.nn.bn_statistics"),
    )

    weight_bits: Bits = 4
    activation_bits: Bits = 4
    setting: Setting = "brecq"
    data: Mode | Literal["gaussian"] = "genie"
    shape: tuple[Count, Count, Count] | None = None
    samples: Count = 1024
    synthesis_batch: Count = 128
    synthesis_steps: Count = 4000
    latent: Count = 256
    width: Count = 128
    latent_rate: Positive = 0.1
    generator_rate: Positive = 0.01
    swing: bool = True
    stats: Per = "batch"
    rounding: Rounding = "genie"
    drop: Drop = "qdrop"
    iterations: Natural = 20000
    batch_size: Count = 32
    rounding_rate: Positive = 1e-3
    weight_step_rate: Positive = 1e-4
    activation_step_rate: Positive = 4e-5
    penalty: NonNegative = 1.0
    blocks: tuple[str, ...] = ()

    def fit(self, *, model: nn.Module, target: Domain | None = None) -> Self:
        """Quantize a copy of `model`; a few pictures of `target`, if given, replace those that are made."""
        teacher, output = frozen_copy(model), output_of(model)
        layers = quantizable(teacher)
        self._check(teacher)
        with stage("pictures"):
            x = self._pictures(teacher, target)
        planned = plan(
            teacher,
            layers,
            x[:1],
            output,
            self.weight_bits,
            self.activation_bits,
            setting=self.setting,
            classes=self.blocks,
        )
        device = torch.device(current().device)
        teacher, student = (
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for network in (teacher, frozen_copy(model))
        )
        with stage("reconstruction"):
            before, after = reconstruct(teacher, student, planned, x, output, self._recipe())
        self.network_ = input_quantized(frozen_copy(model), planned.weight_bits, planned.input_bits)
        self.network_.network.load_state_dict(student.state_dict())
        self.units_ = tuple(unit.name for unit in planned.units)
        self.reconstruction_ = {"nearest": np.array(before), "learned": np.array(after)}
        self.bits_ = planned.weight_bits
        self.input_bits_ = planned.input_bits
        self.megabytes_ = self.network_.megabytes
        return self

    def _check(self, network: nn.Module) -> None:
        """`ValueError` if a name of `blocks` is of no module, or a generator would see single pictures."""
        there = {type(module).__name__ for module in network.modules()}
        for name in self.blocks:
            if name not in there:
                raise ValueError(f"blocks must name classes of modules of the model; none is a {name!r}")
        if self.data in ("genie", "generator") and min(self.synthesis_batch, self.samples) < 2:
            raise ValueError("synthesis_batch and samples must be at least 2: a generator normalizes over its batch")

    def _pictures(self, network: nn.Module, target: Domain | None) -> Tensor:
        """What stands for the data: pictures of the user, those made from statistics, or noise."""
        if target is not None:
            x = tensor(target)
            if x.ndim != 4 or not torch.isfinite(x).all():
                raise ValueError(f"target must hold finite tensors (channels, height, width); got {tuple(x.shape[1:])}")
            check_readable(network, "target", x.shape[1:])
            return x
        shape = input_shape(network, self.shape)
        check_readable(network, "shape", shape)
        if self.data == "gaussian":
            return noise(self.samples, shape)
        x, losses = synthesize(
            network,
            shape,
            samples=self.samples,
            batch_size=self.synthesis_batch,
            steps=self.synthesis_steps,
            mode=self.data,
            latent=self.latent,
            width=self.width,
            latent_rate=self.latent_rate,
            generator_rate=self.generator_rate,
            swinging=self.swing,
            stats=self.stats,
            output=output_of(network),
        )
        self.distilled_, self.losses_ = x[:SHOWN].clone(), losses.numpy()
        return x

    def _recipe(self) -> Recipe:
        return Recipe(
            iterations=self.iterations,
            batch_size=self.batch_size,
            rounding=self.rounding,
            drop=self.drop,
            penalty=self.penalty,
            rounding_rate=self.rounding_rate,
            weight_step_rate=self.weight_step_rate,
            activation_step_rate=self.activation_step_rate,
        )

    def decision_function(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n c"]:
        """Logits of the quantized network, (n, n_classes)."""
        if is_detector(self.network_.network):
            raise TypeError("a detector gives boxes, not one class: use network()(images)")
        return outputs(self.network_, x)

    def network(self) -> nn.Module:
        """The quantized network."""
        return self.network_
