"""Commands that write over an earlier result, killed at random moments: is one of the two there, whole, and no litter?

    python benchmarks/kills.py --kills 200 --seed 0

Each of `quantize`, `prune`, `export`, `forecast`, `continue`, and of the rooms of kills_rooms.py (`align`, `caption`,
`compose`, `episodes`, `match`, `nodes`, `rank`, `segment`, `shrink`) writes a result; then children of this process
(forked, so that nothing is imported again) run it once more with other settings and are killed by SIGKILL at a moment
drawn from the time that a whole run takes, half of them from the time in which it writes. After each kill what is
there must be read without error and be equal to one of the two results (`lost` if it is gone, `damaged` if not); of a
command that writes several files beside each other each must be. At the end one run that nobody kills must leave
nothing beside (`litter`).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

Command = Callable[[Path, int], object]
"""Writes a result of settings 0 or 1 to a place."""


def commands(folder: Path) -> dict[str, tuple[str, Command, Callable[[Path], Any]]]:
    """Name of what is written, the work, and what of a result must be equal."""
    import pandas as pd
    import torch
    from torch import nn

    from unseen.bundle import Bundle
    from unseen.data.classes import ClassSpace
    from unseen.data.domain import Domain
    from unseen.encoders import get
    from unseen.jobs.forecasting import job as forecasting
    from unseen.jobs.forecasting.model import ForecastModel
    from unseen.jobs.pruning import job as pruning
    from unseen.jobs.quantization.job import quantize
    from unseen.jobs.streams.job import continue_stream
    from unseen.methods.fixed import fixed
    from unseen.nn.build import builder

    @builder("kills-net")
    def small(width: int = 8) -> nn.Sequential:
        return nn.Sequential(
            *(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)),
        )

    def bundle(seed: int) -> Bundle:
        torch.manual_seed(seed)
        network = small()
        network.train()(torch.randn(16, 3, 16, 16))
        encoder = get("pixels?size=16&crop=1")
        return Bundle(
            method=fixed(network.eval()), classes=ClassSpace(names=("a", "b", "c")), encoder=encoder, whole=True
        )

    saved = [bundle(0).save(folder / "float0"), bundle(1).save(folder / "float1")]
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", embeddings=rng.normal(size=(300, 12)).astype(np.float32))
    times = pd.date_range("2024-01-01", periods=300, freq="h")
    load = 10 + np.sin(np.arange(300) / 24 * 2 * np.pi) + 0.1 * rng.normal(size=300)
    pd.DataFrame({"time": times, "load": load}).to_csv(folder / "s.csv", index=False)
    short = {"iterations": 3, "batch_size": 4, "learning_rate": 0.1}

    def quantized(place: Path, which: int) -> None:
        with patch("unseen.jobs.quantization.job._check_same"):  # else another model in the place is refused
            quantize(saved[0], out=place, bits=("8/8", "6/8")[which], settings=short)

    def pruned(place: Path, which: int) -> None:
        result = pruning.prune(folder / "x.npz", keep=(50, 100)[which])
        pruning.write(result, place)

    def exported(place: Path, which: int) -> None:
        Bundle.load(saved[which]).export(place)

    def forecast(place: Path, which: int) -> None:
        result = forecasting.forecast(folder / "s.csv", horizon=(12, 24)[which], method="seasonal-naive")
        forecasting.write(result, place)

    drawn = rng.integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    tasks = [
        Domain(x=drawn[i::2], y=np.arange(12) % 2, kind="image", classes=ClassSpace(names=("cat", "dog")), name=f"t{i}")
        for i in range(2)
    ]

    def continued(place: Path, which: int) -> None:
        quick = {"iterations": 3, "batch_size": 4}
        texts = ["a cat", "a dog", "a tree"]
        continue_stream("lite-clip", [tasks[which]], out=place, texts=texts, method="zscl", settings=quick)

    def of_stream(place: Path) -> Any:
        told = json.loads((place / "stream.json").read_text())
        assert (place / "stream.html").read_text().startswith("<!")
        return [Bundle.load(place).method.card.slug, [task["name"] for task in told["tasks"]]]

    def of_bundle(place: Path) -> Any:
        told = json.loads((place / "quantization.json").read_text())
        assert (place / "report.html").read_text().startswith("<!")
        return [Bundle.load(place).method.card.slug, told["weights"] if "weights" in told else told["bits"]]

    def of_pruning(place: Path) -> Any:
        import pyarrow.parquet as pq

        told = json.loads((place / "pruning.json").read_text())
        kept, dropped = (pq.read_table(place / f"{name}.parquet").num_rows for name in ("kept", "dropped"))
        assert (place / "report.html").stat().st_size > 1000
        return [kept, dropped, told["settings"].get("keep")]

    def of_graph(place: Path) -> Any:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(place), providers=["CPUExecutionProvider"])
        x = np.ones((1, 3, 16, 16), dtype=np.float32)
        return session.run(None, {"x": x})[0].round(4).tolist()

    def of_forecast(place: Path) -> Any:
        from PIL import Image

        table, past = (pd.read_csv(place / f"{name}.csv") for name in ("forecast", "backtest"))
        with Image.open(place / "forecast.png") as picture:
            picture.load()
        return [len(table), len(past), ForecastModel.load(place / "model").reading.horizon]

    return {
        "quantize": ("model", quantized, of_bundle),
        "prune": ("pruned", pruned, of_pruning),
        "export": ("model.onnx", exported, of_graph),
        "forecast": ("forecast", forecast, of_forecast),
        "continue": ("stream", continued, of_stream),
    }


def silent(job: Callable[[], object]) -> None:
    """Run a job without what it prints and warns."""
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        job()


def child(job: Callable[[], object], moment: float | None) -> tuple[bool, float]:
    """Run a job in a fork, kill it after `moment` seconds; whether it was killed, and its seconds."""
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            silent(job)
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        os._exit(status)
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status) != 0:
                raise RuntimeError("a run that nobody killed failed")
            return False, time.monotonic() - began
        if moment is not None and time.monotonic() - began >= moment:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return True, time.monotonic() - began
        time.sleep(0.0005)


def parts_of(read: Callable[[Path], Any], place: Path) -> dict[str, Any]:
    """What is read, by the parts that may be of one result or of the other."""
    found = read(place)
    return found if isinstance(found, dict) else {"all": found}


def litter(place: Path) -> list[str]:
    """What was left beside a result, and within its folder."""
    beside = [entry.name for entry in place.parent.iterdir() if entry.name != place.name]
    within = [entry.name for entry in place.rglob(".*") if ".partial-" in entry.name or ".old-" in entry.name]
    return beside + within


def kill_command(
    name: str, place: Path, work: Command, read: Callable[[Path], Any], kills: int, rng: random.Random
) -> dict[str, Any]:
    """Kill one command so many times; how often either result was there, whole, and what was left beside."""
    whole: dict[int, dict[str, Any]] = {}
    for settings in (1, 0):
        _, seconds = child(lambda settings=settings: work(place, settings), None)  # type: ignore[misc]
        whole[settings] = parts_of(read, place)
    if whole[0] == whole[1]:
        raise RuntimeError(f"{name}: both results are equal, so that no kill could be seen")
    counts = {"kills": 0, "lost": 0, "damaged": 0, "old": 0, "new": 0, "between": 0}
    there, attempts = 0, 0  # the settings whose result is in the place
    while counts["kills"] < kills and attempts < 4 * kills:
        attempts += 1
        late = rng.random() < 0.5
        moment = rng.uniform(0.6 * seconds if late else 0, 1.05 * seconds)
        wanted = 1 - there  # writing the same again, a mixture of both could not be seen
        killed, _ = child(lambda wanted=wanted: work(place, wanted), moment)  # type: ignore[misc]
        if not killed:
            there = wanted
            continue
        counts["kills"] += 1
        if not place.exists():
            counts["lost"] += 1
            child(lambda: work(place, 0), None)
            there = 0
            continue
        try:
            found = parts_of(read, place)
        except Exception as error:
            counts["damaged"] += 1
            counts["why"] = f"{type(error).__name__}: {error}"[:200]  # type: ignore[assignment]
            continue
        if any(value not in (whole[0][part], whole[1][part]) for part, value in found.items()):
            counts["damaged"] += 1
            continue
        counts["old" if found == whole[there] else "new" if found == whole[wanted] else "between"] += 1
        there = wanted if found == whole[wanted] else there
    before = len(litter(place))
    child(lambda: work(place, 0), None)
    return {
        "command": name,
        "seconds": round(seconds, 2),
        **counts,
        "beside before the last run": before,
        "litter": litter(place),
    }


def main() -> None:
    """Read the arguments, kill, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="commands, by name; all if none is named")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    rng = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="unseen-kills-"))
    try:
        found = []
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        import kills_rooms

        ready, rooms = commands(folder), kills_rooms.rooms()
        names = [name for name in (*ready, *rooms) if not given.only or name in given.only]
        each = -(-given.kills // len(names))
        for name in names:
            (folder / name).mkdir()
            (folder / "of" / name).mkdir(parents=True)
            called, work, read = ready[name] if name in ready else rooms[name](folder / "of" / name)
            found.append(kill_command(name, folder / name / called, work, read, each, rng))
            sys.stderr.write(f"{found[-1]}\n")
        print(json.dumps(found, indent=1))
        bad = [told["command"] for told in found if told["lost"] or told["damaged"] or told["litter"]]
        if bad:
            raise SystemExit(f"{', '.join(bad)}: a kill lost, damaged or left something")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
