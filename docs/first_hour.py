"""Walk a stranger's first hour through real commands, and write docs/first-hour.md with the seconds of each.

    python docs/first_hour.py                      # the package that is installed here
    python docs/first_hour.py --clone FOLDER       # a fresh clone first: `make install` is timed, and its .venv is used

Own folders are emoji of eight groups in two styles, no emoji on both sides; tables hold measurements of cells: small
ones are the source, large ones the target. Nothing is cached but what npm gave before. Pages are looked at in
chromium, wide and narrow, light and dark; the pictures stay in the folder that `--keep` names.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "first-hour.md"
GOALS = {"demo": 40, "folders": 60, "predict": 3, "help": 0.5, "wrong path": 0.7}
"""Seconds on two idle cores that the project aims at."""


class Hour:
    """Commands that were run, with their seconds."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.rows: list[tuple[str, str, float, float, str]] = []
        self.use(python)

    def use(self, python: Path) -> None:
        """Take the commands of an environment, and a cache of their own."""
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "UNSEEN_CACHE": str(self.folder / ".cache")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a stranger's Python keeps what it compiled

    def run(self, key: str, command: str, *, fails: bool = False, shown: str = "", where: Path | None = None) -> str:
        """Run a command as a shell would, and note its seconds and those of the processor."""
        before, started = _processor(), time.perf_counter()
        done = subprocess.run(
            ["bash", "-c", command], cwd=where or self.folder, env=self.environment, text=True, capture_output=True
        )
        seconds, cpu = time.perf_counter() - started, _processor() - before
        if (done.returncode != 0) is not fails:
            raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        text = done.stderr if fails else done.stdout
        self.note(key, shown or command, seconds, cpu, text.strip())
        return done.stdout

    def note(self, key: str, command: str, seconds: float, cpu: float, said: str) -> None:
        """Keep a row, and show it."""
        self.rows.append((key, command, seconds, cpu, said))
        print(f"{key:<14}{seconds:7.1f} s  {cpu:7.1f} s of the processor  {command}", flush=True)

    @contextlib.contextmanager
    def serving(self, key: str, command: str, path: str = "") -> Iterator[str]:
        """Start a server; the seconds until its first page; its address."""
        started = time.perf_counter()
        process = subprocess.Popen(
            command.split(), cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = ""
            for line in process.stdout:
                if "listening on " in line:
                    url = line.split("listening on ")[1].split()[0].strip(",;")
                    break
            else:
                raise RuntimeError(f"{command} ended before it listened")
            urllib.request.urlopen(url + path, timeout=60).read()  # an address of this machine
            self.note(key, command, time.perf_counter() - started, math.nan, f"listening on {url}")  # it goes on
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


MAKE = """
import sys
from pathlib import Path
import numpy as np
from unseen.compare.demo import demo_data
from sklearn.datasets import load_breast_cancer
folder, things = Path(sys.argv[1]), sys.argv[2].split(",")
for name, domain in zip(("photos", "sketches"), demo_data("emoji", None, None, print, each=20)):
    for i, label in enumerate(domain.labels.tolist()):
        kind = domain.classes.names[label]
        picture = domain.x[i].convert("RGB")
        for place in (folder / name, *([folder / "things"] if kind in things and name == "sketches" else [])):
            (place / kind).mkdir(parents=True, exist_ok=True)
            picture.save(place / kind / f"{i}.png")
    print(len(domain), "pictures in", name)
table = load_breast_cancer(as_frame=True)
frame = table.frame.drop(columns="target").assign(label=np.where(table.target == 0, "malignant", "benign"))
large = frame["mean radius"].rank(pct=True) + np.random.default_rng(0).normal(0, 0.25, len(frame)) > 0.5
frame[~large].to_csv(folder / "small.csv", index=False)
frame[large].to_csv(folder / "large.csv", index=False)
next(iter(sorted((folder / "sketches").rglob("*.png")))).rename(folder / "new.png")
(folder / "names.csv").write_text("name\\n" + "".join(f"{name}\\n" for name in things))
"""
THINGS = (
    "animal-mammal",
    "animal-bird",
    "food-fruit",
    "drink",
    "place-building",
    "transport-ground",
    "clothing",
    "tool",
)
"""Classes of which the names alone are told."""


def walk(hour: Hour) -> dict[str, str]:
    """The commands in the order in which a stranger comes to them; pages to look at by their names."""
    hour.run("help", "unseen compare --help")
    hour.run("wrong path", "unseen compare --source phtos --target sketches", fails=True)
    hour.run("demo", "unseen demo --out demo")
    command = "unseen compare --source photos --target sketches --out run"
    hour.run("folders", f"{command} 2>&1", shown=command)
    hour.run("names", "unseen compare --target things --classes names.csv --out run-names")
    hour.run("table", "unseen compare --source small.csv --target large.csv --out run-table")
    hour.run("predict", "unseen predict run new.png --top 3")
    hour.run("verify", "unseen verify run sketches --n 20 --out verify.html")
    hour.run("page", "unseen export run --web page.html")
    return {"report": "run/report.html", "verify": "verify.html", "page": "page.html"}


def look(pages: dict[str, str], keep: Path) -> None:
    """Pictures of pages in a browser: wide and narrow, light and dark; a page wider than its window is an error."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, url in pages.items():
            for width, height in ((1280, 900), (390, 844)):
                for scheme in ("light", "dark"):
                    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                    page.goto(url)
                    page.wait_for_timeout(500)
                    if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                        raise RuntimeError(f"{name} is {wide} pixels wide in a window of {width}")
                    page.screenshot(path=str(keep / f"{name}-{width}-{scheme}.png"))
                    page.close()
        browser.close()


def written(hour: Hour) -> str:
    """The page."""
    lines = [
        "# A first hour",
        "",
        "What a stranger meets, walked by `python docs/first_hour.py` on two cores without a GPU, nothing cached but",
        "what npm gave: each command with its seconds on the clock, and those of the processor. `photos` and",
        "`sketches` are some hundred emoji each, of 29 groups, in two styles, `things` a part of the sketches; the",
        "tables are measurements of cells, of small tumours and of large ones.",
        "",
        "| | command | seconds | of the processor | aim |",
        "|---|---|---|---|---|",
    ]
    for key, command, seconds, cpu, _ in hour.rows:
        aim = f"{GOALS[key]:g}" if key in GOALS else ""
        used = "" if math.isnan(cpu) else f"{cpu:.1f}"
        lines.append(f"| {key} | `{command}` | {seconds:.1f} | {used} | {aim} |")
    lines += ["", "What they print (the end of it):", ""]
    for key, command, _, _, said in hour.rows:
        if said and key not in ("help", "install"):
            told = said.splitlines() if key == "folders" else said.splitlines()[-5:]
            lines += [f"`{command}`", "", "```", *_one_of_progress(told), "```", ""]
    return ("\n".join(lines).rstrip() + "\n").replace(f"{hour.folder}{os.sep}", "")  # where it was walked is nobody's


def _one_of_progress(said: list[str]) -> list[str]:
    """What was printed, with the last line in the place of all that tell how far it is."""
    kept: list[str] = []
    for line in said:
        if kept and ": " in line and " left" in line and kept[-1].partition(":")[0] == line.partition(":")[0]:
            kept.pop()
        kept.append(line)
    return kept


def main() -> int:
    """Walk, look, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clone", type=Path, help="folder for a fresh clone, whose installation is timed")
    parser.add_argument("--keep", type=Path, help="folder for the pictures of pages")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, python = Path(name), Path(sys.executable)
        hour = Hour(folder, python)
        if asked.clone is not None:
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(asked.clone)], check=True)
            hour.run("install", "make install", where=asked.clone)
            python = asked.clone / ".venv" / "bin" / "python"
            hour.use(python)
        order = [str(python), "-c", MAKE, str(folder), ",".join(THINGS)]
        subprocess.run(order, check=True, env=hour.environment, cwd=folder)
        for kept in (folder / ".cache").iterdir():
            if kept.name != "npm":  # the drawings are there, all else is as on the first day
                shutil.rmtree(kept, ignore_errors=True)
        pages = {key: (folder / file).as_uri() for key, file in walk(hour).items()}
        keep = asked.keep or folder / "seen"
        keep.mkdir(parents=True, exist_ok=True)
        if asked.clone is not None:
            hour.run("extra", "pip install --quiet -e '.[web]'", where=asked.clone)  # as both servers say
        with (
            hour.serving("serve", "unseen serve run --port 0", "/health") as served,
            hour.serving("web", "unseen web --runs . --port 0") as web,
        ):
            look({**pages, "serve": served, "web": web}, keep)
        PAGE.write_text(written(hour), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
