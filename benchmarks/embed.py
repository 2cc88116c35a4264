"""Embedding image files with a frozen EfficientNet-Lite0 at 224 px, against a plain timm loop and the bare network."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from common import Row, in_turns, row
from PIL import Image

from unseen.data.loaders import load
from unseen.encoders import backends, get


def pictures(folder: Path, n: int) -> None:
    """JPEG files of 320 x 280 pixels with some texture."""
    rng = np.random.default_rng(0)
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 255, (14, 16, 3), dtype=np.uint8))
        coarse.resize((320, 280), Image.Resampling.BICUBIC).save(folder / f"{i:04d}.jpg", quality=90)


def run(sizes: tuple[int, ...] = (128, 512)) -> list[Row]:
    """Images per second, at n and 4 n."""
    encoder = get("efficientnet-lite0")
    rows = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pictures(folder, n)
            files = sorted(folder.iterdir())
            ours = lambda: encoder.encode(load(folder, check=False), cache=False)
            plain, (bare, in_turn) = _plain(files), _bare(encoder, n)
            own, peer, floor, other = in_turns(ours, plain, bare, in_turn, repeats=3)
        rows += [
            row(f"embed {n} files", n / own, "plain timm fp32 loop", n / peer, unit="images/s", floor=">= 2"),
            row(
                f"embed {n} files",
                n / own,
                "bare network, a batch per core",
                n / floor,
                unit="images/s",
                floor=">= 0.9",
            ),
            row(f"embed {n} files", n / own, "bare network, batch by batch", n / other, unit="images/s"),
        ]
    return rows


def _plain(files: list[Path]):
    """What people write: open, transform, batch of 32, float32."""
    import timm

    encoder = get("efficientnet-lite0")
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    config = timm.data.resolve_data_config({"input_size": (3, 224, 224)}, model=network)
    transform = timm.data.create_transform(**config)
    assert encoder.dim == network.num_features

    def job() -> None:
        with torch.no_grad():
            for start in range(0, len(files), 32):
                batch = torch.stack([transform(Image.open(file).convert("RGB")) for file in files[start : start + 32]])
                network(batch)

    return job


def _bare(encoder, n: int):
    """The fastest backend alone on a batch that is ready: a batch per core at once, and one batch on all cores."""
    batch = torch.randn(encoder.batch_size, 3, 224, 224)
    step = backends.prepare(encoder.backend("auto"), encoder.module, batch, encoder.fingerprint)
    batches = [batch] * -(-n // len(batch))

    def at_once() -> None:
        streams, threads = backends.streams(len(batches))
        for _ in backends.prefetched(step, batches, streams, threads=threads):
            pass

    def in_turn() -> None:
        for ready in batches:
            step(ready)

    return at_once, in_turn
