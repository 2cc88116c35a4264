"""ZeroQ's claim: a network's own statistics are data enough to quantize it, in uniform and in mixed precision."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from unseen.claims import behaviours, worlds
from unseen.claims.arms import timed
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, better, equals, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.quantized_lite0 import as_packaged, crops_of, run_lite0, run_photographs
from unseen.claims.quantizing import as_drawn, as_shown, drawn_of_shown, halves, task
from unseen.methods.baselines.dfq import DFQ
from unseen.methods.compression.zeroq import ZeroQ
from unseen.methods.compression.zeroq.precision import allocate_random, allocate_uniform, allocate_worst, sensitivity
from unseen.nn.integer import export_integers, run_onnx
from unseen.nn.network_io import noise
from unseen.nn.quantizers import FLOAT, outputs
from unseen.nn.state import digest
from unseen.runtime import reproducible, without_checkpoints

# -- a small network that quantizes badly ------------------------------------------------------------------

DIGITS: dict[str, Any] = {
    "batch_size": 64, "iterations": 300, "learning_rate": 0.5, "precision": "mixed", "bits": (2, 3, 4, 8),
}  # fmt: skip
ACTIVATION_BITS = (2, 3, 4, 8)
BUDGETS = (2.5, 3.0)
"""Average bits of a weight."""
N_RANDOM = 20


def run_digits(case: str, seed: int) -> Result:
    """Ranges from noise, distilled and real inputs; bits by the frontier, equal, at random, and the worst."""
    network, x, test, y, epoch = task(case, seed)
    before = digest(network.state_dict())
    with without_checkpoints(), reproducible(seed):
        method = ZeroQ(**{**DIGITS, "shape": tuple(x.shape[1:]), "random_state": seed})
        zeroq, seconds = timed(lambda: method.fit(model=network))
        gaussian, real = noise(64, x.shape[1:]), x[torch.randperm(len(x))[:64]]

        def accuracy(quantized: nn.Module) -> float:
            return float((outputs(quantized, test, 64).argmax(dim=1).numpy() == y).mean())

        ranges = {"gaussian": gaussian, "distilled": zeroq.distilled_, "real": real}
        table: Result = {
            arm: {
                f"W8A{k}": accuracy(zeroq.quantize(network, weight_bits=8, activation_bits=k, calibration=inputs))
                for k in ACTIVATION_BITS
            }
            for arm, inputs in ranges.items()
        }
        for arm, settings in (("dfq", {}), ("dfq of the paper", DFQ.card.presets["paper"])):
            table[arm] = {
                f"W8A{k}": accuracy(DFQ(**{**settings, "activation_bits": k}).fit(model=network).network())
                for k in ACTIVATION_BITS
            }
        table["float"] = {key: accuracy(network) for key in ("W8A8", *(f"{budget} bits" for budget in BUDGETS))}
        omega = {arm: sensitivity(network, inputs, zeroq.bits) for arm, inputs in ranges.items()}
        for arm in ("gaussian", "distilled"):
            table[arm]["rank correlation"] = float(spearmanr(omega[arm].ravel(), omega["real"].ravel()).statistic)
        table["distilled"] |= {
            "loss divided by": float(zeroq.losses_[0] / zeroq.losses_[-1]),
            "unchanged": float(digest(network.state_dict()) == before),
            "seconds": seconds,
            "seconds left of 30": 30 - seconds,
            "epochs": seconds / epoch,
        }
        for budget in BUDGETS:
            for arm, value in allocations(network, zeroq, budget, accuracy).items():
                table.setdefault(arm, {})[f"{budget} bits"] = value
        table["frontier"]["as enumerated"] = enumerated(zeroq)
    return table


def allocations(
    network: nn.Module, zeroq: ZeroQ, budget: float, accuracy: Callable[[nn.Module], float]
) -> dict[str, float]:
    """Accuracy of each way to spend `budget` bits per weight, activations float."""
    total = budget * float(zeroq.sizes_.sum())

    def at(bits: np.ndarray) -> float:
        chosen = dict(zip(zeroq.layers_, bits.tolist()))
        return accuracy(zeroq.quantize(network, weight_bits=chosen, activation_bits=FLOAT))

    sizes, options = zeroq.sizes_, zeroq.bits
    return {
        "frontier": at(np.array(list(zeroq.choose(average_bits=budget).values()))),
        "uniform": at(allocate_uniform(sizes, options, total)),
        "median": float(np.median([at(allocate_random(sizes, options, total)) for _ in range(N_RANDOM)])),
        "worst": at(allocate_worst(zeroq.sensitivity_, sizes, options, total)),
    }


def enumerated(zeroq: ZeroQ) -> float:
    """Share of the budgets at which the frontier is the best of all configurations, tried one by one."""
    layer = np.arange(len(zeroq.sizes_))
    every = np.array(list(itertools.product(range(len(zeroq.bits)), repeat=len(layer))))
    sizes = (np.asarray(zeroq.bits)[every] * zeroq.sizes_).sum(axis=1)
    costs = zeroq.sensitivity_[layer, every].sum(axis=1)
    good = []
    for average in np.linspace(min(zeroq.bits), max(zeroq.bits), 25):
        chosen = [zeroq.bits.index(k) for k in zeroq.choose(average_bits=float(average)).values()]
        best = costs[sizes <= average * zeroq.sizes_.sum() * (1 + 1e-12)].min()
        good.append(np.isclose(zeroq.sensitivity_[layer, chosen].sum(), best))
    return float(np.mean(good))


SETTINGS = {
    "W6": "at 6 bits",
    "W4": "at 4 bits",
    "frontier W6": "in mixed precision of the size of 6 bits, sensitivity and ranges",
    "frontier W4": "in mixed precision of the size of 4 bits, sensitivity and ranges",
}
"""Arms of experiment photographs beside 8 bits, in words."""


def behaviour() -> dict[str, Any]:
    """Sensitivity, the bits of a frontier, and what a file in integers says of pictures."""
    model, x = behaviours.network(), torch.as_tensor(behaviours.blobs("image").x)
    with without_checkpoints(), tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"shape": tuple(x.shape[1:]), "batch_size": 16, "iterations": 5}
        method = ZeroQ(**settings, precision="mixed").fit(model=model)
        export_integers(model, x[:2], method.distilled_, file := Path(folder, "integers.onnx"))
        integers = run_onnx(file, x)
    bits = {str(mean): list(method.choose(average_bits=mean).values()) for mean in (3.0, 4.0, 6.0)}
    return {"sensitivity": method.sensitivity_, "bits": bits, "integers": integers}


# fmt: off
LEDGER = (
    not_testable("Fewer bits make inference faster and networks smaller.",
        "Background. Sizes are measured here; the speed of 8-bit integers is a benchmark, not a claim."),
    not_testable("Most other methods need the original data, which is often private.",
        "About other methods and about the world."),
    mechanism("digits", at_least("distilled", "loss divided by", 3),
        "The distilled inputs are made to match the statistics of the BatchNorm layers: the mismatch falls at least "
        "threefold."),
    mechanism("lite0", at_least("zeroq", "loss divided by", 3),
        "The same on EfficientNet-Lite0 with its ImageNet weights, in 80 steps."),
    mechanism("digits", equals("distilled", "unchanged", 1),
        "No training or validation data is touched: only the network goes in, and it comes out unchanged."),
    mechanism("digits", equals("frontier", "as enumerated", 1),
        "The frontier finds the bits of all layers by itself: at 25 budgets it is the best of all configurations, "
        "tried one by one."),
    promised("digits", not_worse("distilled", "float", "W8A8", within=0.01),
        "Uniform precision: at 8 bits the network is as accurate as in floats, within a point."),
    promised("digits", not_worse("frontier", "float", "3.0 bits", within=0.03),
        "Mixed precision: at 3 bits a weight on average the network is as accurate as in floats, within 3 points."),
    promised("digits", better("frontier", "median", "2.5 bits", by=0.02),
        "The frontier beats the median of random configurations of its size by 2 points, at 2.5 bits."),
    promised("digits", better("frontier", "worst", "2.5 bits", by=0.12),
        "The frontier beats the configuration that its sensitivity calls the worst by 12 points, at 2.5 bits."),
    promised("digits", better("frontier", "uniform", "3.0 bits", by=0.008),
        "The frontier beats the same 3 bits for all layers by 0.8 points."),
    promised("lite0", better("frontier W6", "distilled W6", "agreement", by=0.05),
        "On EfficientNet-Lite0 the frontier at 6 bits on average agrees with the float network more often than 6 "
        "bits for all layers, by 5 points."),
    promised("photographs", not_worse("distilled W8", "real W8", "agreement", within=0.05),
        "On photographs that packages ship, ranges from distilled inputs are as good for EfficientNet-Lite0 at 8 "
        "bits as ranges from other photographs: agreement with the float network within 5 points."),
    *(effect("photographs", not_worse(f"distilled {arm}", f"real {arm}", "agreement", within=0.05),
        f"The same {setting}.")
      for arm, setting in SETTINGS.items()),
    promised("photographs", better("distilled frontier W6", "distilled W6", "agreement", by=0.10),
        "On these photographs, the frontier at 6 bits on average agrees with the float network more often than 6 "
        "bits for all layers, by 10 points."),
    promised("photographs", better("distilled frontier W4", "distilled W4", "agreement", by=0.20),
        "The same at 4 bits, by 20 points."),
    effect("photographs", better("distilled W8", "gaussian W8", "divergence", lower=True),
        "On these photographs, 8 bits with ranges from distilled inputs of 96 pixels a side diverge less from the "
        "float network than with ranges from noise of 224."),
    *(effect("photographs", better(f"distilled {arm}", f"gaussian {arm}", "agreement"),
        f"Distilled inputs are better than noise: agreement with the float network {setting}.")
      for arm, setting in {"W8": "at 8 bits", **SETTINGS}.items()),
    promised("photographs", at_least("integers", "cosine", 0.98),
        "EfficientNet-Lite0 in 8-bit integers, exported to ONNX on distilled pictures alone, gives logits whose "
        "cosine with those in floats is at least .98."),
    effect("photographs", better("integers", "onnxruntime, real pictures", "divergence", by=0.004, lower=True),
        "In integers it diverges less from the float network than what onnxruntime makes by itself, ranges from "
        "real photographs and the same range of the input, at the same bits: by 0.004 nats. Scores are not rounded "
        "here; onnxruntime rounds them."),
    effect("photographs", not_worse("integers", "onnxruntime, real pictures", "agreement", within=0.02),
        "It names the same class as the float network at least as often, within 2 points."),
    promised("photographs", better("integers", "integers, biases as they are", "divergence", by=0.006, lower=True),
        "Of this, correcting biases on distilled pictures lowers the divergence by 0.006 nats."),
    effect("digits", better("distilled", "gaussian", "W8A2", by=0.10),
        "Ranges from distilled inputs are better than from noise: 10 points at 2 bits."),
    promised("digits", better("distilled", "gaussian", "W8A3", by=0.015),
        "Ranges from distilled inputs are better than from noise: 1.5 points at 3 bits."),
    effect("digits", not_worse("distilled", "real", "W8A2", within=0.06),
        "Ranges from distilled inputs are as good as from the training data, within 6 points at 2 bits."),
    promised("digits", not_worse("distilled", "real", "W8A3", within=0.06),
        "Ranges from distilled inputs are as good as from the training data, within 6 points at 3 bits."),
    promised("lite0", better("distilled W8", "gaussian W8", "divergence", by=0.0018, lower=True),
        "On EfficientNet-Lite0, 8 bits with ranges from distilled inputs of 96 pixels a side diverge less from the "
        "float network than with ranges from noise of 224, by 0.0018 nats."),
    promised("digits", at_least("distilled", "rank correlation", 0.9),
        "Sensitivity on distilled inputs ranks layers and bits as sensitivity on the training data does."),
    effect("digits", better("distilled", "gaussian", "rank correlation"),
        "It ranks them better than sensitivity on noise."),
    promised("digits", better("distilled", "dfq", "W8A3", by=0.05),
        "Heuristics such as those of DFQ perform poorly at very low precision: 5 points below at 3 bits."),
    effect("lite0", better("distilled W8", "dfq W8", "agreement", by=0.0171),
        "1.71 points above DFQ on a mobile network at 8 bits: EfficientNet-Lite0, agreement with the float network; "
        "DFQ per channel, ReLU6 kept, biases corrected."),
    effect("lite0", better("frontier W6", "dfq W6", "agreement", by=0.0171),
        "The same at 6 bits on average, mixed precision against DFQ's uniform."),
    paper_scale("1.71 points above DFQ on MobileNetV2 and ImageNet (72.91 against 71.20).",
        "Needs ImageNet's validation set and trained MobileNetV2 weights: `ZeroQ()` and `DFQ()` on timm's "
        "mobilenetv2_100 with the defaults, top-1 of both."),
    paper_scale("It works on ResNet18/50/152, MobileNetV2, ShuffleNet, SqueezeNext and InceptionV3 on ImageNet.",
        "Needs ImageNet's validation set and weights that no package ships: `ZeroQ()` with the defaults (8/8) and "
        "`ZeroQ(precision='mixed')` on the timm networks, top-1 beside the float network's."),
    paper_scale("It works on the detector RetinaNet-ResNet50 on COCO.",
        "Needs COCO and trained weights: `ZeroQ(shape=(3, 800, 800))` on torchvision's retinanet_resnet50_fpn, mAP "
        "of `network()`. A test runs it on a detector with frozen BatchNorm."),
    effect("digits", at_least("distilled", "seconds left of 30", 0),
        "The whole of it, mixed precision included, takes less than 30 seconds: the small network, one core."),
    paper_scale("Less than 30 seconds for ResNet50, half a percent of an epoch of its training on ImageNet.",
        "Measured in the paper on 8 V100; here the seconds of EfficientNet-Lite0 on one core are `whole` of "
        "experiment lite0, and `epochs` of experiment digits counts epochs of a set of 900 pictures."),
    not_testable("The code is open.", "It is: amirgholami/ZeroQ. This is another implementation."),
)
claim = Claim(
    slug="zeroq",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "digits": Experiment(
            run=run_digits, data=as_drawn, drawn=halves, clocks=("seconds", "seconds left of 30", "epochs"),
            development=("handwritten 8", "handwritten 12"), confirmation=("printed 8", "printed 12"),
            unit="data set and size"),
        "lite0": Experiment(
            run=run_lite0, data=as_shown, drawn=drawn_of_shown, clocks=("whole",), development=("photos", "noto"),
            confirmation=("twemoji", "fluent-emoji"), unit="kind of pictures", **seeds(1)),
        "photographs": Experiment(
            run=run_photographs, data=as_packaged, drawn=lambda case, seed: crops_of(case, 3), clocks=("seconds",),
            development=("photos", "scikit-image A", "stamps A"), confirmation=("gradio and matplotlib", "stamps C"),
            unit="set of photographs"),
    },
    licences=(
        worlds.LITE0, worlds.DIGITS, worlds.FONTS, worlds.PHOTOS, worlds.EMOJI, worlds.STAMPS,
        "scikit-image's sample pictures: BSD-3-Clause, mostly public domain",
        "gradio's sample pictures: Apache-2.0; matplotlib's portrait of Grace Hopper: public domain",
    ),
)
# fmt: on
