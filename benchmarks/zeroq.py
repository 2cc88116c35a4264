"""ZeroQ stage by stage: distillation, sensitivity and how it grows with depth, and integers beside floats."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from common import Row, in_turns, row, seconds
from torch import nn

from unseen.encoders import get
from unseen.jobs.quantization.networks import classifier
from unseen.methods.compression.zeroq import ZeroQ
from unseen.methods.compression.zeroq.distillation import distill
from unseen.methods.compression.zeroq.precision import sensitivity
from unseen.nn.divergences import exact_kl
from unseen.nn.export import export_onnx
from unseen.nn.integer import export_integers
from unseen.nn.quantizers import quantizable, quantized_weight
from unseen.runtime import stages

BITS = (2, 4, 8)
SETTINGS: dict[str, Any] = {"batch_size": 8, "iterations": 40, "learning_rate": 0.1, "precision": "mixed"}


def run(sizes: tuple[int, ...] = (96, 192), batch: int = 16) -> list[Row]:
    """All rows."""
    torch.set_num_threads(1)
    lite0 = get("efficientnet-lite0").module.network.eval()
    rows = [a_step(lite0, side, batch) for side in sizes]
    rows += [
        whole("EfficientNet-Lite0", lite0),
        whole("ResNet-18", classifier("torchvision:resnet18?pretrained=0").logits()),
    ]
    rows += [growth(depth) for depth in (6, 12, 24)]
    return rows + integers(lite0)


def a_step(network: nn.Module, side: int, batch: int) -> Row:
    """A step of distillation, over the pass forward and backward that it cannot avoid."""
    x = torch.randn(batch, 3, side, side, requires_grad=True)
    floor = seconds(lambda: torch.autograd.grad(network(x).sum(), x), repeats=3)
    steps = 4
    own = seconds(lambda: distill(network, (3, side, side), batch_size=batch, iterations=steps), repeats=1) / steps
    return row(f"a step of distillation, {batch} x {side} px", own, "forward and backward alone", floor)


def whole(name: str, network: nn.Module) -> Row:
    """All of ZeroQ with its stages, beside 30 seconds, which the paper has for ResNet-50 on eight GPUs."""
    with stages() as told:
        ZeroQ(**SETTINGS, shape=(3, 96, 96)).fit(model=network)
    return row(
        f"ZeroQ on {name}, 8 x 96 px, 40 steps",
        sum(told.values()),
        "the paper's 30 s for ResNet-50 on 8 V100",
        30,
        **{stage: round(value, 2) for stage, value in told.items()},
    )


def growth(depth: int) -> Row:
    """Sensitivity of a chain of equal layers, beside a whole pass for each layer and number of bits."""
    torch.manual_seed(0)
    blocks = [m for _ in range(depth) for m in (nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)).eval()
    x = torch.randn(4, 32, 32, 32)
    with torch.no_grad():
        own, peer, one = in_turns(
            lambda: sensitivity(network, x, BITS), whole_passes(network, x), lambda: network(x), repeats=1
        )
    layers = len(quantizable(network))
    return row(
        f"sensitivity of {layers} equal layers at {len(BITS)} numbers of bits",
        own,
        "a whole pass for each",
        peer,
        **{"passes per layer and bits": round(own / one / layers / len(BITS), 2)},
    )


def whole_passes(network: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def passes() -> None:
        reference = network(x)
        for layer in quantizable(network).values():
            weight = layer.weight.data
            for k in BITS:
                layer.weight.data = quantized_weight(layer, k)
                exact_kl(reference, network(x)).sum()
                layer.weight.data = weight

    return passes


def integers(network: nn.Module) -> list[Row]:
    """A picture through onnxruntime in integers and in floats, on one thread and on two."""
    x, example = torch.randn(8, 3, 96, 96), torch.zeros(2, 3, 224, 224)
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.onnx", Path(folder) / "large.onnx"
        told = export_integers(network, example, x, small)
        export_onnx(network, example, large)
        rows = []
        for threads in (1, 2):
            own, peer = in_turns(picture(small, threads), picture(large, threads), repeats=30)
            rows.append(
                row(
                    f"EfficientNet-Lite0 in integers, a picture, {threads} thread{'s' if threads > 1 else ''}",
                    own,
                    "in floats",
                    peer,
                    floor="2",
                    MB=round(told.megabytes, 2),
                    **{"MB in floats": round(told.float_megabytes, 2)},
                )
            )
        return rows


def picture(file: Path, threads: int) -> Callable[[], Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    return lambda: session.run(None, {"x": x})
