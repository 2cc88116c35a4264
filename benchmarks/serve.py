"""`unseen serve` under load: requests a second and the slowest hundredth, beside the bare model in the same run.

Clients and server share the processors of this machine, as nothing else would be comparable with the bare model.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import http.client
import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import Row, in_turns, row
from embed import pictures

from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.encoders import get
from unseen.methods import get as method

CLASSES = 20
ALONE = 8
"""Files that the bare model reads one after the other."""


def run(n: int = 128, clients: tuple[int, ...] = (1, 8, 32)) -> list[Row]:
    """Requests of one JPEG each, from so many clients that each wait for their answer before they ask again."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        pictures(folder / "pictures", n)
        files = sorted((folder / "pictures").iterdir())
        bundle = _model()
        bundle.save(folder / "model")
        bodies = [file.read_bytes() for file in files]
        with _server(folder / "model") as (port, _):
            for count in clients:
                rows += _beside(bundle, folder / "pictures", files, bodies, port, count)
    return rows


def _beside(bundle: Bundle, folder: Path, files: list[Path], bodies: list[bytes], port: int, clients: int) -> list[Row]:
    """Two rows: requests a second beside all files at once, and the time of a request beside that of one file."""
    n = len(files) if clients > 1 else len(files) // 4
    latencies: list[float] = []
    served = lambda: latencies.extend(_load(port, bodies[:n], clients))
    at_once = lambda: bundle.predict(load(folder, check=False).take(slice(n)), cache=False)
    one = _one_by_one(bundle, files[:ALONE])
    ours, bare, single = in_turns(served, at_once, one, repeats=3)
    p50, p99 = np.percentile(latencies[n:], [50, 99])
    who = f"{clients} client{'s' * (clients > 1)}"
    told = {"p50 ms": round(1000 * p50, 1), "p99 ms": round(1000 * p99, 1)}
    return [
        row(f"serve, {who}", n / ours, "bare model, all files at once", n / bare, unit="requests/s", **told),
        row(f"serve, {who}, p99", float(p99), "bare model, one file alone", single / ALONE),
    ]


def _one_by_one(bundle: Bundle, files: list[Path]):
    """The bare model on one file after the other, in a batch of one."""
    encoder = copy.copy(bundle.encoder)
    encoder.batch_size = 1
    alone = dataclasses.replace(bundle, encoder=encoder)

    def job() -> None:
        for file in files:
            alone.predict(str(file), cache=False)

    return job


def _model() -> Bundle:
    """EfficientNet-Lite0 and a linear classifier of random features: speed does not depend on what it learnt."""
    encoder = get("efficientnet-lite0")
    rng = np.random.default_rng(0)
    classes = ClassSpace(names=tuple(f"class {i}" for i in range(CLASSES)))
    x, y = rng.normal(size=(200, encoder.dim)).astype("float32"), np.arange(200) % CLASSES
    fitted = method("source-only")().fit(source=Domain(x=x, y=y, classes=classes))
    return Bundle(method=fitted, classes=classes, encoder=encoder)


@contextlib.contextmanager
def _server(model: Path) -> Iterator[tuple[int, int]]:
    """The port of a server in a process of its own, and the number of that process."""
    order = [sys.executable, "-m", "unseen.cli", "serve", str(model), "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if key != "UNSEEN_TOKEN"}
    process = subprocess.Popen(order, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        told: list[str] = []
        found = None
        while found is None and (line := process.stderr.readline()):
            told.append(line)
            found = re.search(r"listening on http://[^ ]*:(\d+),", line)
        assert found is not None, "".join(told)
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop the server
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # on a machine that others keep busy
            process.kill()
            process.wait()


def _load(port: int, bodies: list[bytes], clients: int) -> list[float]:
    """Seconds of every request."""
    turn = itertools.count()
    taken: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while (i := next(turn)) < len(bodies):
            body = (
                b'--x\r\nContent-Disposition: form-data; name="samples"; filename="a"\r\n\r\n'
                + bodies[i]
                + b"\r\n--x--\r\n"
            )
            began = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": "multipart/form-data; boundary=x"})
            answer = connection.getresponse()
            content = answer.read()
            taken.append(time.perf_counter() - began)
            assert answer.status == 200, content
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(bodies), "a client failed"
    return taken


if __name__ == "__main__":
    from run import line

    for result in run():
        print(line(result))
