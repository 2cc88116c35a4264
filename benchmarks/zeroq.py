"""ZeroQ on EfficientNet-Lite0, stage by stage, beside a plain forward and backward pass of the same batch."""

from __future__ import annotations

import torch
from common import Row, row, seconds

from unseen.encoders import get


def run(sizes: tuple[int, ...] = (96, 192), batch: int = 16) -> list[Row]:
    """Seconds of a step of distillation at two sides (four times the pixels), over the pass it cannot avoid."""
    from unseen.methods.compression.zeroq.distillation import distill

    torch.set_num_threads(1)
    network = get("efficientnet-lite0").module.network.eval()
    rows = []
    for side in sizes:
        x = torch.randn(batch, 3, side, side, requires_grad=True)

        def plain() -> None:
            torch.autograd.grad(network(x).sum(), x)

        floor = seconds(plain, repeats=3)
        steps = 4
        own = seconds(lambda: distill(network, (3, side, side), batch_size=batch, iterations=steps), repeats=1) / steps
        rows.append(row(f"a step of distillation, {batch} x {side} px", own, "forward and backward alone", floor))
    return rows
