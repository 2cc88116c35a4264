"""Hours of requests at one rate: does `unseen serve` grow, slow down or fail? A table for docs/serve.md.

    python benchmarks/soak.py --minutes 120 --share 1 --state soak.jsonl --write

asks for a prediction of one JPEG so many times a second: `--share` of what the benchmark of `serve` sustains with 8
clients (benchmarks/results.json), or `--rate`. Requests are due at fixed times; one that is sent late because others
are still waited for counts from the time at which it was due. Every minute is a line of the state, so that a run that
was stopped goes on where it was, with a server that is started anew. `--write` puts the table into docs/serve.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import platform
import queue
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "serve.md"
BEGIN, END = "<!-- soak: written by benchmarks/soak.py -->", "<!-- end of soak -->"
CLIENTS, STEP, LONGEST, IDLE = 32, 1.02, 60, 5
"""Requests under way at once, the ratio of two steps of a time, seconds that an answer is waited for, and seconds after
which a client opens a new connection, as the server closes those on which nothing is asked for ten."""
ROWS = 8
"""Lines of the table, at most, beside that of the whole."""

Minute = dict[str, Any]


def bin_of(seconds: float) -> int:
    """The step in which a time lies: 2 % apart, from 0.1 ms on."""
    return max(0, math.ceil(math.log(max(seconds, 1e-4) / 1e-4, STEP)))


def percentile(times: Counter[int], share: float) -> float:
    """Seconds below which a share of all times lies; NaN of none."""
    left = share * sum(times.values())
    for step in sorted(times):
        left -= times[step]
        if left <= 0:
            return 1e-4 * STEP**step
    return math.nan


# -- asking ------------------------------------------------------------------------------------------------


def ask(connection: http.client.HTTPConnection, body: bytes) -> str:
    """What comes of a request: "200", another status, or the type of what went wrong."""
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "multipart/form-data; boundary=x"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return type(error).__name__
    if answer.status == 200:
        return "200" if json.loads(content).get("predictions") else "no prediction"
    return str(answer.status)


def form(picture: bytes) -> bytes:
    """A picture as the field of a form."""
    head = b'--x\r\nContent-Disposition: form-data; name="samples"; filename="a"\r\n\r\n'
    return head + picture + b"\r\n--x--\r\n"


class Clients:
    """Threads that send what is due, and count what comes of it."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self.port, self.bodies = port, bodies
        self.due: queue.Queue[tuple[int, float] | None] = queue.Queue()
        self.lock = threading.Lock()
        self.times, self.errors, self.slowest = Counter[int](), Counter[str](), 0.0
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def reset(self) -> tuple[Counter[int], Counter[str], float]:
        """What was counted since the last time, and the longest of it."""
        with self.lock:
            told = self.times, self.errors, self.slowest
            self.times, self.errors, self.slowest = Counter[int](), Counter[str](), 0.0
        return told

    def _work(self) -> None:
        connection, last = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST), time.monotonic()
        while (item := self.due.get()) is not None:
            number, when = item
            if time.monotonic() - last > IDLE:
                connection.close()
            how = ask(connection, self.bodies[number % len(self.bodies)])
            last = time.monotonic()
            taken = last - when
            with self.lock:
                self.slowest = max(self.slowest, taken)
                if how == "200":
                    self.times[bin_of(taken)] += 1
                else:
                    self.errors[how] += 1
        connection.close()

    def end(self) -> None:
        for _ in self.threads:
            self.due.put(None)
        for thread in self.threads:
            thread.join(LONGEST + 5)


def used(process: int) -> dict[str, float]:
    """Memory (MB), open files and threads of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    found = {key: int(value) for key, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
    files = len(os.listdir(f"/proc/{process}/fd"))  # noqa: PTH208
    return {"memory": round(found["VmRSS"] / 1024, 1), "files": files, "threads": found["Threads"]}


def soak(state: Path, minutes: int, rate: float) -> list[Minute]:
    """Ask until the state has so many minutes; what it has already is kept."""
    done = read(state, rate)
    if len(done) >= minutes:
        return done
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import serve
    from embed import pictures

    with tempfile.TemporaryDirectory(prefix="unseen-soak-") as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        pictures(folder / "pictures", 64)
        bodies = [form(file.read_bytes()) for file in sorted((folder / "pictures").iterdir())]
        serve._model().save(folder / "model")
        with serve._server(folder / "model") as (port, process):
            clients = Clients(port, bodies)
            first = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST)
            assert ask(first, bodies[0]) == "200"  # what is loaded with the first one
            part, number, began = max((one["part"] for one in done), default=0) + 1, 0, time.monotonic()
            while len(done) < minutes:
                load = os.getloadavg()[0]
                end = began + 60
                while (when := began + number / rate) < end:
                    if (left := when - time.monotonic()) > 0:
                        time.sleep(left)
                    clients.due.put((number, when))
                    number += 1
                began, sent, number = end, number, 0
                times, errors, slowest = clients.reset()
                told: Minute = {"part": part, "rate": rate, "sent": sent, "answered": sum(times.values())}
                told |= {"errors": dict(errors), "slowest": round(slowest, 4), "load": round(load, 1)}
                told |= {"waiting": clients.due.qsize(), "times": {str(k): n for k, n in sorted(times.items())}}
                done.append(told | used(process))
                with state.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
            clients.end()
    return done


def read(state: Path, rate: float | None = None) -> list[Minute]:
    """The minutes of a state; a last line that was cut short does not count."""
    if not state.exists():
        return []
    whole, _, cut = state.read_text(encoding="utf-8").rpartition("\n")
    if cut:
        state.write_text(whole + "\n" if whole else "", encoding="utf-8")
    done = [json.loads(line) for line in whole.splitlines()]
    if rate is not None and done and done[0]["rate"] != rate:
        raise SystemExit(f"{state} is of {done[0]['rate']:g} requests a second; name another state, or that rate")
    return done


# -- the table ---------------------------------------------------------------------------------------------


def line(name: str, part: list[Minute]) -> str:
    """A row of the table."""
    times, errors = Counter[int](), Counter[str]()
    for minute in part:
        times.update({int(k): n for k, n in minute["times"].items()})
        errors.update(minute["errors"])
    p50, p99 = (percentile(times, share) * 1000 for share in (0.5, 0.99))
    memory = [minute["memory"] for minute in part]
    files = max(minute["files"] for minute in part)
    told = ", ".join(f"{n} x {how}" for how, n in errors.most_common()) or "0"
    answered = sum(times.values())
    return (
        f"| {name} | {answered:,} | {p50:,.0f} | {p99:,.0f} | {max(minute['slowest'] for minute in part) * 1000:,.0f} "
        f"| {told} | {min(memory):,.0f} to {max(memory):,.0f} | {files} "
        f"| {max(minute['load'] for minute in part):.0f} |"
    )


def table(done: list[Minute], sustained: float | None) -> str:
    """The table of a soak in Markdown."""
    n, rate = len(done), done[0]["rate"]
    size = max(1, math.ceil(n / ROWS))
    parts = max(minute["part"] for minute in done)
    share = f", {rate / sustained:.0%} of what the benchmark sustains" if sustained else ""
    restarts = f", in {parts} parts, each with a server that was started anew" if parts > 1 else ""
    cores = len(os.sched_getaffinity(0))
    busy = max(minute["load"] for minute in done) > 2 * (cores or 1)
    others = [
        "Other programs had the machine meanwhile (column load: processes that run or wait for a core), so that times",
        "are theirs, too; errors, memory and open files are the server's own.",
    ]
    head = [
        BEGIN,
        f"Asked for {n} minutes{restarts}: {rate:g} pictures a second{share},",
        f"on {cores} core{'s' * (cores > 1)} ({platform.machine()}) that clients and server share; "
        "a time begins when a request is due.",
        *(others if busy else []),
        "",
        "| minutes | answers | p50 ms | p99 ms | slowest ms | errors | memory of the server, MB | files open | load |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = [line(f"{i + 1} to {min(i + size, n)}", done[i : i + size]) for i in range(0, n, size)]
    return "\n".join([*head, *rows, line("**all**", done), END])


def written(text: str, new: str) -> str:
    """The page with the new table in the place of the old one, or before the next title after "How fast"."""
    if BEGIN in text:
        return text[: text.index(BEGIN)] + new + text[text.index(END) + len(END) :]
    before, title, after = text.partition("\n## One page, offline")
    assert title, "docs/serve.md has no place for the table"
    told = (
        "### For hours\n\n```sh\npython benchmarks/soak.py --minutes 120 --share 1 --state soak.jsonl --write\n```\n\n"
    )
    return f"{before}\n{told}{new}\n{title}{after}"


def sustained() -> float | None:
    """Requests a second that the benchmark got with 8 clients."""
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    rows = results.get("serve", {}).get("rows", [])
    return next((float(row["ours"]) for row in rows if row["job"] == "serve, 8 clients"), None)


def main() -> None:
    """Read the arguments, ask, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--share", type=float, default=1.0, help="of the rate that the benchmark sustains")
    parser.add_argument("--rate", type=float, help="requests a second, instead")
    parser.add_argument("--of", type=float, help="what 8 clients get on these cores, if the benchmark ran on others")
    parser.add_argument("--state", type=Path, default=Path("soak.jsonl"))
    parser.add_argument("--write", action="store_true", help="put the table into docs/serve.md")
    given = parser.parse_args()
    most = given.of or sustained()
    if given.rate is None and most is None:
        raise SystemExit("benchmarks/results.json has no row of serve: name a rate")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends, too
    rate = given.rate if given.rate is not None else round(given.share * float(most or 0), 2)
    done = soak(given.state, given.minutes, rate)
    told = table(done, most)
    print(told)
    if given.write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), told), encoding="utf-8")


if __name__ == "__main__":
    main()
