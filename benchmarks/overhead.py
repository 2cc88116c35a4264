"""What is spent beside the work: `compare` and its report over its fits, a bare loop, `predict` cold and warm."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Row, in_turns, processor_in_turns, row
from PIL import Image
from torch import nn

import unseen
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.train import train
from unseen.scale import Engine


def domain(n: int, shift: float, seed: int) -> Domain:
    """Features of 1,280 columns in ten classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 10
    centres = np.random.default_rng(0).normal(size=(10, 1280))
    x = (centres[y] + 3 * rng.normal(size=(n, 1280)) + shift).astype(np.float32)
    return Domain(x=x, y=y, classes=ClassSpace(names=tuple("abcdefghij")), name=f"d{seed}")


def run(sizes: tuple[int, ...] = (500, 2000)) -> list[Row]:
    """All three."""
    logging.disable(logging.WARNING)
    return [*compare_rows(sizes), *loop_rows(), *predict_rows()]


def compare_rows(sizes: tuple[int, ...]) -> list[Row]:
    """The whole of `compare`, with choice, grades and report, over the sum of its fits, in one process."""
    rows = []
    alone = Engine(workers=1)  # fits on several cores would hide what is beside them
    with tempfile.TemporaryDirectory() as name:

        def compare(n: int, seeds: int, **more: str) -> dict[str, Any]:
            sides = {"source": domain(n, 0, 1), "target": domain(n, 1, 2)}
            return unseen.compare(**sides, seeds=seeds, out=f"{name}/{n}", engine=alone, **more).results

        compare(60, 1, methods="source-only,coral")  # imports
        for n in sizes:
            started = time.perf_counter()
            found = compare(n, 2)
            whole = time.perf_counter() - started
            fits = sum(candidate["seconds"] * 2 for candidate in found["candidates"])
            job = f"compare, n {n}, all that fit, and its report"
            rows.append(row(job, whole, "sum of its fits", fits, floor=">= 0.91"))
    return rows


def loop_rows(steps: int = 40) -> list[Row]:
    """A step of `train` and of a bare loop on EfficientNet-Lite0's last stages."""
    import timm

    torch.set_num_threads(1)
    whole = timm.create_model("tf_efficientnet_lite0", num_classes=29)
    head = (whole.conv_head, whole.bn2, nn.AdaptiveAvgPool2d(1), nn.Flatten(), whole.classifier)
    network = nn.Sequential(*whole.blocks[5:], *head)
    x, y = torch.randn(32, 112, 14, 14), torch.randint(29, (32,))
    loss = nn.CrossEntropyLoss()

    def ours() -> None:
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
        train(
            lambda batch, run: loss(network(x), y), name="bench", nets={"network": network},
            optimizers={"sgd": optimizer}, batches=None, epochs=1, steps_per_epoch=steps,
        )  # fmt: skip

    def bare() -> None:
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
        for _ in range(steps):
            optimizer.zero_grad()
            loss(network(x), y).backward()
            optimizer.step()

    own, peer = in_turns(ours, bare, repeats=3)
    job = "a step of the loop, Lite0's last stages, batch 32"
    return [row(job, own / steps, "bare torch loop", peer / steps, floor=">= 0.87")]


def predict_rows() -> list[Row]:
    """One picture: in a fresh process, and again in the same one."""
    from unseen.data.sources import digits

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = unseen.adapt(method="source-only", source=digits("printed", copies=1), out=folder / "m")
        Image.fromarray(np.zeros((224, 224, 3), dtype=np.uint8)).save(folder / "x.png")
        command = [sys.executable, "-m", "unseen.cli", "predict", str(folder / "m"), str(folder / "x.png"), "--json"]
        cold, floor = processor_in_turns(
            lambda: subprocess.run(command, check=True, capture_output=True),
            lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True),
        )
        picture = Image.open(folder / "x.png").convert("RGB")
        network = bundle.network().eval()
        batch = bundle.encoder.preprocess([picture])

        def bare() -> None:
            with torch.inference_mode():
                network(batch)

        warm, alone = in_turns(lambda: bundle.predict(folder / "x.png", cache=False), bare)
    return [
        row("predict one picture, cold, processor seconds", cold, "import torch", floor, floor=">= 0.5"),
        row("predict one picture, warm", warm, "the network alone, fp32", alone),
    ]
