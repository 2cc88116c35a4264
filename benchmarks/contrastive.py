"""What the contrastive loss costs: a large batch in parts, and training steps, beside open_clip's."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from common import Row, in_turns, row
from loki import memory
from torch import Tensor, nn

from unseen.data.samplers import Batch
from unseen.methods.multimodal.cwcl import cwcl
from unseen.nn.affinity import AffinityDistillation, Distilling, Taught
from unseen.nn.contrastive import LogitScale
from unseen.nn.dual_encoder import Letters, dual_encoder, feature_head
from unseen.nn.towers import text_tower, vision_tower
from unseen.nn.train import Run

BATCH, DIM, PART = 8192, 512, 1024
SMALL, WIDTH, OUT = 256, 1280, 384


def run() -> list[Row]:
    """The kernel at a batch of 8,192, in seconds and megabytes, and a step of 256 on features."""
    torch.set_num_threads(1)
    kernels = [partial(kernel, which) for which in ("identity", "open_clip", "clipped")]
    ours, peer, weighted = in_turns(*kernels, repeats=1)
    held = {which: grown(which) for which in ("identity", "open_clip", "clipped")}
    bare, step = in_turns(training(None), training("clipped"), repeats=15)
    plain, mimicking = in_turns(distilling("open_clip"), distilling("tinyclip"), repeats=15)
    size = f"a batch of {BATCH:,} in parts of {PART:,}"
    return [
        row(
            f"{name}, {size}",
            seconds,
            "open_clip's ClipLoss",
            peer,
            **{"peak MB": round(held[which]), "peak MB of the peer": round(held["open_clip"])},
        )
        for name, which, seconds in (("one pair each", "identity", ours), ("weighted", "clipped", weighted))
    ] + [
        row(f"a step of cwcl, {SMALL} pairs", step, "the same step with ClipLoss", bare, floor="0.87"),
        row(
            f"a step of tinyclip, {SMALL} pairs",
            mimicking,
            "the same step with ClipLoss, no teacher",
            plain,
            floor="0.87",
        ),
    ]


def kernel(which: str) -> None:
    """Loss and gradients of one batch."""
    generator = torch.Generator().manual_seed(0)
    p, q = (F.normalize(torch.randn(BATCH, DIM, generator=generator), dim=1) for _ in range(2))
    p.requires_grad_(which == "open_clip")
    q.requires_grad_()
    scale = torch.tensor(20.0, requires_grad=True)
    loss_of(which, PART)(p, q, scale).backward()


def loss_of(which: str, rows: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Ours with some weights, or open_clip's."""
    if which == "open_clip":
        from open_clip.loss import ClipLoss

        made = ClipLoss()
        return lambda p, q, scale: made(p, q, scale)
    return lambda p, q, scale: cwcl(p.detach(), q, scale, which, power=4.0, rows=rows).total  # type: ignore[arg-type]


def training(weights: str | None) -> Callable[[], None]:
    """A step on features with a small tower: the bare one with ClipLoss, or ours."""
    torch.manual_seed(0)
    network, scale = feature_head(WIDTH, OUT, 512, 0.3), LogitScale()
    adam = torch.optim.AdamW([*network.parameters(), *scale.parameters()], lr=1e-3)
    x, p = torch.randn(SMALL, WIDTH), F.normalize(torch.randn(SMALL, OUT), dim=1)
    loss = loss_of(weights or "open_clip", 0)

    def step() -> None:
        adam.zero_grad()
        loss(p, F.normalize(nn.Module.__call__(network, x), dim=1), scale()).backward()
        adam.step()

    return step


def distilling(which: str) -> Callable[[], None]:
    """A step of two small transformers: with ClipLoss, or mimicking a teacher that has read the pairs before."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"width": 128, "head": 32, "dim": 64, "heads": (4,) * 3, "mlp": (512,) * 3}
    image, text = vision_tower((32, 32), (8, 8), **sizes), text_tower(32, 30, **sizes)
    towers: Any = dual_encoder(image, text, Letters().to_json(), 20.0)
    x, index = torch.randn(SMALL, 3, 32, 32), torch.arange(SMALL)
    tokens = towers.tokenize([f"thing number {i}" for i in range(SMALL)])
    taught = Taught(copy.deepcopy(towers), tokens, 64, index)
    taught(x, index)
    adam, bare = torch.optim.AdamW(towers.parameters(), lr=1e-4), loss_of("open_clip", 0)
    mimicked, noted = Distilling(towers, taught, AffinityDistillation()), Run("a step of tinyclip", {}, {}, 1, None)

    def step() -> None:
        adam.zero_grad()
        if which == "open_clip":
            loss = bare(towers.encode_image(x), towers.encode_text(taught.texts(index)), towers.logit_scale.exp())
        else:
            loss = mimicked(Batch(x, None, index), noted)
        loss.backward()
        adam.step()

    return step


def grown(which: str) -> float:
    """Megabytes that a loss needs at its peak, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, which], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "open_clip":
        import open_clip.loss  # noqa: F401
    started = memory("VmRSS")
    kernel(sys.argv[1])
    print(memory("VmHWM") - started)
