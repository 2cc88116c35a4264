"""GENIE's claim: pictures that a network's own statistics give are enough to learn how its weights are rounded."""

from __future__ import annotations

import functools
import time
from typing import Any, get_args

import torch
from torch import Tensor, nn

from unseen.claims import behaviours, worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, better, equals, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.quantizing import Task, as_drawn, as_shown, drawn_of_shown, halves, lite0_agreement, pictures, task
from unseen.data.domain import Domain
from unseen.encoders.backends import keep_freed_memory
from unseen.encoders.vision import lite0_network
from unseen.methods.compression.genie import Genie
from unseen.methods.compression.genie.synthesis import Mode, synthesize
from unseen.methods.compression.zeroq import ZeroQ
from unseen.nn.divergences import exact_kl
from unseen.nn.network_io import noise
from unseen.nn.quantizers import outputs
from unseen.nn.state import digest
from unseen.runtime import reproducible, without_checkpoints

# -- a small network that quantizes badly ------------------------------------------------------------------

DIGITS: dict[str, Any] = {
    "weight_bits": 2, "activation_bits": 4, "iterations": 150, "rounding_rate": 3e-2, "weight_step_rate": 1e-3,
    "activation_step_rate": 1e-3,
}  # fmt: skip
SYNTHESIS: dict[str, Any] = {"samples": 256, "batch_size": 128, "steps": 100, "latent": 64, "width": 32}
MODES: tuple[Mode, ...] = ("genie", "pixel", "generator")
FEW = (16, 64, 256)
"""How many real pictures the few-shot arms have."""
OFF: dict[str, dict[str, Any]] = {
    "step not learnt": {"rounding": "adaround"},
    "rounding not learnt": {"rounding": "nearest"},
    "no drop": {"drop": "none"},
    "nothing learnt": {"iterations": 0},
}
"""Parts of GENIE-M that are taken away, on the same pictures."""


def learned(network: nn.Module, x: Tensor, seed: int, **settings: Any) -> Genie:
    """GENIE-M on the pictures `x`."""
    return Genie(**{"random_state": seed, **settings}).fit(model=network, target=Domain(x=x.numpy(), kind="image"))


def run_digits(case: str, seed: int) -> Result:
    """Accuracy at W2A4: pictures of every kind under the same quantizer, then the quantizer with parts taken away."""
    made = task(case, seed)
    network, shape = made.network, tuple(made.x.shape[1:])
    before = digest(network.state_dict())
    x: dict[str, Tensor] = {}
    losses: dict[str, Tensor] = {}
    table: Result = {"float": measured(network, made)}
    with without_checkpoints(), reproducible(seed):
        began = time.process_time()
        for mode in MODES:
            x[mode], losses[mode] = synthesize(network, shape, mode=mode, **SYNTHESIS)
        x["no swing"], _ = synthesize(network, shape, swinging=False, **SYNTHESIS)
        x["gaussian"] = noise(SYNTHESIS["samples"], shape)
        order = torch.randperm(len(made.x))
        x |= {f"{n} real": made.x[order[:n]] for n in FEW}
        fits = {arm: learned(network, inputs, seed, **DIGITS) for arm, inputs in x.items()}
        seconds = time.process_time() - began
        fits |= {arm: learned(network, x["genie"], seed, **{**DIGITS, **off}) for arm, off in OFF.items()}
        table |= {arm: measured(fit.network(), made) for arm, fit in fits.items()}
        table["zeroq"] = measured(zeroq_of(network, shape, fits["genie"], seed), made)
    units, gap = fits["genie"].reconstruction_, {arm: fit.reconstruction_["learned"] for arm, fit in fits.items()}
    inner = slice(1, -1)  # the first and the last layer have 8 bits
    table["genie"] |= {
        "loss divided by": float((losses["genie"][:, 0] / losses["genie"][:, -1]).mean()),
        "unchanged": float(digest(network.state_dict()) == before),
        "units nearer than rounded": float((units["learned"] < units["nearest"])[inner].mean()),
        "units nearer than with fixed steps": float((gap["genie"] < gap["step not learnt"])[inner].mean()),
        "seconds of all": seconds,
        "minutes left of 10": 10 - seconds / 60,
    }
    return table


def measured(network: nn.Module, made: Task) -> dict[str, float]:
    """Share of the test that is recognized, and mean divergence from the float network."""
    got = outputs(network, made.test, 64)
    return {
        "accuracy": float((got.argmax(dim=1).numpy() == made.y).mean()),
        "divergence": float(exact_kl(outputs(made.network, made.test, 64), got).mean()),
    }


def zeroq_of(network: nn.Module, shape: tuple[int, ...], genie: Genie, seed: int) -> nn.Module:
    """ZeroQ with GENIE's bits of the weights of each layer, and 4 of activations, of which GENIE has two at 8."""
    settings: dict[str, Any] = {"shape": shape, "batch_size": 64, "iterations": 200, "random_state": seed}
    zeroq = ZeroQ(**settings).fit(model=network)
    return zeroq.quantize(network, weight_bits=genie.bits_, activation_bits=DIGITS["activation_bits"])


# -- EfficientNet-Lite0 with its ImageNet weights ----------------------------------------------------------

LITE0: dict[str, Any] = {
    "weight_bits": 4, "activation_bits": 4, "iterations": 50, "batch_size": 16, "rounding_rate": 3e-2,
}  # fmt: skip
LITE0_SHAPE = (3, 64, 64)
LITE0_SYNTHESIS: dict[str, Any] = {"samples": 64, "batch_size": 64, "latent": 256, "width": 64}
LITE0_STEPS: dict[str, tuple[Mode, int]] = {
    "genie": ("genie", 70),
    "pixel": ("pixel", 70),
    "pixel as long": ("pixel", 117),
    "generator": ("generator", 70),
}
"""A step of pixels takes 0.6 of the time of one of a generator."""
N_PICTURES = 48


@functools.cache
def lite0_arms(seed: int) -> tuple[dict[str, nn.Module], dict[str, float]]:
    """Quantized networks by name, and what is known of the synthesis; no picture is read."""
    keep_freed_memory()
    network = lite0_network()
    x: dict[str, Tensor] = {}
    about: dict[str, float] = {}
    with without_checkpoints(), reproducible(seed):
        began = time.process_time()
        for arm, (mode, steps) in LITE0_STEPS.items():
            x[arm], losses = synthesize(network, LITE0_SHAPE, mode=mode, steps=steps, **LITE0_SYNTHESIS)
            about[f"loss of {arm} divided by"] = float(losses[0, 0] / losses[0, -1])
        x["gaussian"] = noise(len(x["genie"]), LITE0_SHAPE)
        arms = {arm: learned(network, inputs, seed, **LITE0).network() for arm, inputs in x.items()}
        arms["nothing learnt"] = learned(network, x["genie"], seed, **{**LITE0, "iterations": 0}).network()
        about["seconds"] = time.process_time() - began
    return arms, about


def run_lite0(case: str, seed: int) -> Result:
    """Agreement with the float network, and divergence from it, on pictures that no arm has seen."""
    arms, about = lite0_arms(seed)
    table = lite0_agreement(arms, pictures(case)[:N_PICTURES])
    table["genie"] |= about
    return table


def behaviour() -> dict[str, Any]:
    """Pictures that a network's statistics give, in each way to make them."""
    settings: dict[str, Any] = {"samples": 8, "batch_size": 8, "steps": 4, "latent": 8, "width": 8}
    out = {}
    for mode in get_args(Mode):
        with without_checkpoints(), reproducible(0):
            out[mode] = synthesize(behaviours.network(), (3, 8, 8), mode=mode, **settings)[0]
    return out


# fmt: off
LEDGER = (
    not_testable("Quantization without data is a promising way to small networks where data is costly or private.",
        "About the world. Sizes are measured here; quantization is simulated in floats, so speed is not."),
    mechanism("digits", at_least("genie", "loss divided by", 3),
        "Data is made from what the BatchNorm layers of the trained network remember: in 100 steps the mismatch "
        "falls at least threefold."),
    mechanism("lite0", at_least("genie", "loss of genie divided by", 2.5),
        "The same on EfficientNet-Lite0 with its ImageNet weights, in 70 steps."),
    mechanism("digits", at_least("genie", "units nearer than rounded", 0.8),
        "The quantized network learns from the trained one, block by block: of the units with few bits at least "
        "four fifths come nearer to their float counterpart than with nearest rounding and searched steps."),
    mechanism("digits", equals("genie", "unchanged", 1),
        "It is quantization after training: `fit` takes neither labels nor a loss of the task, and the network "
        "itself stays as it is."),
    not_testable("So far quantization without data has mostly been training anew, with losses of a task.",
        "About other methods."),
    promised("digits", at_least("genie", "minutes left of 10", 0),
        "It takes a few hours: here the small network, eight kinds of pictures, below 10 minutes on one core."),
    promised("digits", not_worse("genie", "float", "accuracy", within=0.06),
        "Networks of high quality: at 2 bits for weights and 4 for activations the small network is as accurate as "
        "in floats, within 6 points."),
    promised("lite0", better("genie", "gaussian", "divergence", by=0.4, lower=True),
        "The pictures suit quantization: on EfficientNet-Lite0 at W4A4 the network learnt on them diverges less "
        "from the float one than that learnt on noise, by 0.4 nats."),
    promised("digits", better("genie", "gaussian", "accuracy", by=0.01),
        "The same on the small network at W2A4, by a point of accuracy."),
    promised("lite0", better("genie", "pixel", "divergence", by=0.1, lower=True),
        "Generator and latents are better than pixels that are learnt directly (as in ZeroQ): EfficientNet-Lite0, "
        "as many steps, by 0.1 nats."),
    effect("lite0", better("genie", "pixel as long", "divergence", lower=True),
        "The same against pixels that are learnt for as long."),
    effect("digits", better("genie", "pixel", "divergence", lower=True),
        "The same on the small network, whose pictures have 64 or 100 pixels."),
    effect("lite0", better("genie", "generator", "divergence", lower=True),
        "Latents that are learnt are better than new ones at each step (as in GDFQ): EfficientNet-Lite0."),
    effect("digits", better("genie", "generator", "divergence", lower=True), "The same on the small network."),
    effect("digits", better("genie", "no swing", "divergence", lower=True),
        "Swing convolution makes better pictures: the small network."),
    promised("digits", not_worse("genie", "256 real", "accuracy", within=0.03),
        "Without real data networks are as good as with a few real pictures, within 3 points: as many of them, 256, "
        "and as many iterations."),
    effect("digits", not_worse("genie", "64 real", "accuracy", within=0.03), "The same against 64 real pictures."),
    effect("digits", not_worse("genie", "16 real", "accuracy", within=0.03), "The same against 16 real pictures."),
    promised("digits", better("genie", "nothing learnt", "accuracy", by=0.05),
        "Learning rounding and steps makes quantized networks better: 5 points above searched steps and nearest "
        "rounding, on the same pictures."),
    promised("lite0", better("genie", "nothing learnt", "agreement", by=0.1),
        "The same on EfficientNet-Lite0 at W4A4: agreement with the float network, by 10 points."),
    promised("digits", better("genie", "rounding not learnt", "accuracy", by=0.05),
        "It is the rounding of weights that has to be learnt: 5 points above learnt activation steps alone."),
    effect("digits", at_least("genie", "units nearer than with fixed steps", 0.8),
        "Weight steps that are learnt together with the rounding are better than fixed ones (AdaRound): nearer to "
        "the float unit in four fifths of the units, each behind the units that its own arm has learnt."),
    effect("digits", better("genie", "step not learnt", "divergence", lower=True),
        "The same in what the network gives."),
    effect("digits", better("genie", "no drop", "divergence", lower=True),
        "Dropping quantization at random while learning is better than not (QDrop)."),
    promised("digits", better("genie", "zeroq", "accuracy", by=0.04),
        "It is much better than what there was after training without data: 4 points above ZeroQ with the same bits "
        "of weights."),
    paper_scale("Networks of ImageNet in a few hours, better than all others without data, and near to those with few "
        "pictures: ResNet-18 at W4A4 about 69.7 and at W2A4 about 65.1 (71.0 in floats).",
        "Needs ImageNet's validation set and trained weights: `Genie()` and `Genie(weight_bits=2)` with the defaults "
        "on timm's resnet18, resnet50 and mobilenetv2_100, top-1 beside the float network's; the same with `target`, "
        "1,024 pictures of the training set."),
    paper_scale("Swing convolution and each part of GENIE-M gain up to about a point on ImageNet.",
        "Needs ImageNet: as above with `swing=False`, `rounding='adaround'` and `drop='none'`."),
    not_testable("The code is open.", "It is: SamsungLabs/Genie. This is another implementation."),
)
claim = Claim(
    slug="genie",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "digits": Experiment(
            run=run_digits, data=as_drawn, drawn=halves, clocks=("seconds of all", "minutes left of 10"),
            development=("handwritten 8", "handwritten 10"), confirmation=("printed 8", "printed 10"),
            unit="data set and size"),
        "lite0": Experiment(
            run=run_lite0, data=as_shown, drawn=drawn_of_shown, clocks=("seconds",), development=("photos", "noto"),
            confirmation=("twemoji", "fluent-emoji"), unit="kind of pictures", **seeds(2)),
    },
    licences=(worlds.LITE0, worlds.DIGITS, worlds.FONTS, worlds.PHOTOS, worlds.EMOJI),
)
# fmt: on
