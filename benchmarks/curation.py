"""Curating image-text pairs, beside the bare encoder on the same pairs; and two workers of Ray beside one."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import Row, in_turns, row
from embed import pictures

from unseen.curation import Settings, curate
from unseen.data.loaders import load
from unseen.encoders import get
from unseen.scale import Engine

SIZES, SHARD = (128, 512), 128
SETTINGS = Settings(threshold=-1.0, shard_size=SHARD)


def run() -> list[Row]:
    """Pairs per second at n and 4 n, what a pair takes on disk, and the gain of a second worker."""
    torch.set_num_threads(1)
    return [*(pairs_row(n) for n in SIZES), *ray_rows()]


def captioned(folder: Path, n: int) -> Path:
    """Textured JPEG files of 320 x 280 pixels with a caption each."""
    folder.mkdir()
    pictures(folder, n)
    for i, file in enumerate(sorted(folder.glob("*.jpg"))):
        file.with_suffix(".txt").write_text(f"a photo of coloured patches on a wall, the one with the number {i}")
    return folder


def pairs_row(n: int) -> Row:
    """All stages from pictures on disk to shards, beside both towers alone on the same pictures and captions."""
    encoder: Any = get("lite-clip")
    with tempfile.TemporaryDirectory() as name:
        folder = captioned(Path(name, "photos"), n)
        texts = [file.read_text() for file in sorted(folder.glob("*.txt"))]
        outs = (Path(name, f"pairs-{i}") for i in itertools.count())
        done: list[Any] = []

        def ours() -> None:
            done.append(curate(folder, next(outs), encoder=encoder, settings=SETTINGS))

        def bare() -> None:
            encoder.encode_image(load(folder, check=False), cache=False)
            encoder.encode_text(texts, cache=False)

        own, peer = in_turns(ours, bare, repeats=3)
        assert done[-1].accounting.kept == n
        kept, work = (_bytes(done[-1].folder / part) for part in ("shards", "work"))
        seconds = {f"{stage} s per 1000 pairs": round(1000 * s / n, 2) for stage, s in done[-1].seconds.items()}
    more = {"bytes per pair": round(kept / n), "bytes per pair of work": round(work / n), **seconds}
    return row(f"curate {n} pairs", n / own, "bare encoder", n / peer, unit="pairs/s", floor=">= 0.85", **more)


def ray_rows(n: int = 1024) -> list[Row]:
    """Two workers of Ray beside one, for `curate` and for the encoder alone, which is what the machine can give."""
    if (os.cpu_count() or 1) < 2:
        return []
    try:
        import ray
    except ImportError:
        return []
    encoder: Any = get("lite-clip")
    alone = {"env_vars": {"OMP_NUM_THREADS": "1"}}  # else one worker that is given two cores has two threads
    stay = {"idle_worker_killing_time_threshold_ms": 3_600_000}  # else the second is started anew at every turn
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, runtime_env=alone, _system_config=stay)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = captioned(Path(name, "photos"), n)
            outs = (Path(name, f"pairs-{i}") for i in itertools.count())

            def job(cpus: float) -> Any:
                engine = Engine(name="ray", cpus=cpus)
                return lambda: curate(folder, next(outs), encoder=encoder, settings=SETTINGS, engine=engine)

            two, one = in_turns(job(1.0), job(2.0), repeats=3)
            few = captioned(Path(name, "few"), 256)
            twice, once = in_turns(bare(few, 2), bare(few, 1), repeats=3)
    finally:
        ray.shutdown()
    return [
        row(f"curate {n} pairs, 2 workers", n / two, "1 worker", n / one, unit="pairs/s", floor=">= 1.6"),
        row(
            "the bare encoder, 2 workers",
            2 * 256 / twice,
            "1 worker: what the machine has",
            256 / once,
            unit="pictures/s",
        ),
    ]


def bare(folder: Path, workers: int) -> Any:
    """Workers of Ray that do nothing but encode the same pictures, all at once."""
    import ray

    def encode() -> None:
        torch.set_num_threads(1)
        encoder: Any = get("lite-clip")
        encoder.encode_image(load(folder, check=False), cache=False)

    task = ray.remote(num_cpus=1)(encode)
    return lambda: ray.get([task.remote() for _ in range(workers)])


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    for one in run():
        print(one)
