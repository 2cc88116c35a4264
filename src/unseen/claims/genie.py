"""GENIE's claim: pictures that a network's own statistics give are enough to learn how its weights are rounded."""

from __future__ import annotations

import copy
import functools
import time
from typing import Any

import torch
from torch import Tensor, nn

from unseen.claims.quantizing import Task, pictures, task
from unseen.data.domain import Domain
from unseen.encoders.backends import keep_freed_memory
from unseen.encoders.vision import lite0_network
from unseen.evaluation.metrics.agreement import top1_agreement
from unseen.methods.compression.genie import Genie
from unseen.methods.compression.genie.synthesis import Mode, synthesize
from unseen.methods.compression.zeroq import ZeroQ
from unseen.methods.compression.zeroq.precision import divergence
from unseen.nn.network_io import noise
from unseen.nn.quantizers import outputs
from unseen.runtime import reproducible, without_checkpoints

Result = dict[str, dict[str, float]]


# -- a small network that quantizes badly ------------------------------------------------------------------

DIGITS: dict[str, Any] = {
    "weight_bits": 2,
    "activation_bits": 4,
    "iterations": 150,
    "rounding_rate": 3e-2,
}
SYNTHESIS: dict[str, Any] = {"samples": 256, "batch_size": 128, "steps": 150, "latent": 64, "width": 32}
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
    return Genie(random_state=seed, **settings).fit(model=network, target=Domain(x=x.numpy(), kind="image"))


def run_digits(case: str, seed: int) -> Result:
    """Accuracy at W2A4: pictures of every kind under the same quantizer, then the quantizer with parts taken away."""
    made = task(case, seed)
    network, shape = made.network, tuple(made.x.shape[1:])
    before = copy.deepcopy(network.state_dict())
    x: dict[str, Tensor] = {}
    losses: dict[str, Tensor] = {}
    table: Result = {"float": {"accuracy": accuracy(network, made)}}
    with without_checkpoints(), reproducible(seed):
        began = time.perf_counter()
        for mode in MODES:
            x[mode], losses[mode] = synthesize(network, shape, mode=mode, **SYNTHESIS)
        x["no swing"], _ = synthesize(network, shape, swinging=False, **SYNTHESIS)
        x["gaussian"] = noise(SYNTHESIS["samples"], shape)
        order = torch.randperm(len(made.x))
        x |= {f"{n} real": made.x[order[:n]] for n in FEW}
        fits = {arm: learned(network, inputs, seed, **DIGITS) for arm, inputs in x.items()}
        seconds = time.perf_counter() - began
        fits |= {arm: learned(network, x["genie"], seed, **{**DIGITS, **off}) for arm, off in OFF.items()}
        table |= {arm: {"accuracy": accuracy(fit.network(), made)} for arm, fit in fits.items()}
        table["zeroq"] = {"accuracy": accuracy(zeroq_of(network, shape, fits["genie"], seed), made)}
    units, gap = fits["genie"].reconstruction_, {arm: fit.reconstruction_["learned"] for arm, fit in fits.items()}
    inner = slice(1, None)  # the first layer has 8 bits and reads floats: there is nothing to learn
    table["genie"] |= {
        "loss divided by": float((losses["genie"][:, 0] / losses["genie"][:, -1]).mean()),
        "unchanged": float(all(torch.equal(before[key], value) for key, value in network.state_dict().items())),
        "units nearer than rounded": float((units["learned"] < units["nearest"])[inner].mean()),
        "units nearer than with fixed steps": float((gap["genie"] < gap["step not learnt"])[inner].mean()),
        "seconds of all": seconds,
        "hours left of 3": 3 - seconds / 3600,
    }
    return table


def accuracy(network: nn.Module, made: Task) -> float:
    """Share of the test that is recognized."""
    return float((outputs(network, made.test, 64).argmax(dim=1).numpy() == made.y).mean())


def zeroq_of(network: nn.Module, shape: tuple[int, ...], genie: Genie, seed: int) -> nn.Module:
    """ZeroQ at the same bits: those of GENIE for each layer, 4 for activations."""
    zeroq = ZeroQ(shape=shape, batch_size=64, iterations=200, random_state=seed).fit(model=network)
    return zeroq.quantize(network, weight_bits=genie.bits_, activation_bits=DIGITS["activation_bits"])


# -- EfficientNet-Lite0 with its ImageNet weights ----------------------------------------------------------

LITE0: dict[str, Any] = {
    "weight_bits": 4,
    "activation_bits": 4,
    "iterations": 50,
    "batch_size": 16,
    "rounding_rate": 3e-2,
}
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
        began = time.perf_counter()
        for arm, (mode, steps) in LITE0_STEPS.items():
            x[arm], losses = synthesize(network, LITE0_SHAPE, mode=mode, steps=steps, **LITE0_SYNTHESIS)
            about[f"loss of {arm} divided by"] = float(losses[0, 0] / losses[0, -1])
        x["gaussian"] = noise(len(x["genie"]), LITE0_SHAPE)
        arms = {arm: learned(network, inputs, seed, **LITE0).network() for arm, inputs in x.items()}
        arms["nothing learnt"] = learned(network, x["genie"], seed, **{**LITE0, "iterations": 0}).network()
        about["seconds"] = time.perf_counter() - began
    return arms, about


def run_lite0(case: str, seed: int) -> Result:
    """Agreement with the float network, and divergence from it, on pictures that no arm has seen."""
    arms, about = lite0_arms(seed)
    x = pictures(case)[:N_PICTURES]
    expected = outputs(lite0_network(), x, 16)
    table: Result = {}
    for arm, quantized in arms.items():
        got = outputs(quantized, x, 16)
        table[arm] = {
            "agreement": top1_agreement(expected, got),
            "divergence": float(divergence(expected, got).mean()),
        }
    table["genie"] |= about
    return table
