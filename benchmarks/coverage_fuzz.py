"""The same readers as fuzz.py, with inputs that are chosen because they reach lines nobody reached (atheris).

    pip install atheris
    python benchmarks/coverage_fuzz.py --seconds 600 --keep found bundle onnx crawl

One process a kind of file, one after the other; the modules of `unseen` are instrumented, those of others are not.
What is not named by a sentence is kept, each different one once; a process that dies or hangs is begun again from what
it has found. Printed for each: inputs, edges of the code that were reached, seconds of a processor, failures.

    make fuzz          # an hour each, as long as it takes

runs all of them so. `--corpus FOLDER` keeps what was found to reach new lines, and begins from it the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

BESIDE = Path(__file__).resolve().parent
STATUS = re.compile(r"^#(\d+)\s.*?cov: (\d+)")


def work(key: str, corpus: Path, seconds: float, keep: Path) -> None:
    """Read inputs of one kind of file for so many seconds of a processor."""
    import atheris

    sys.path.insert(0, str(BESIDE))
    with atheris.instrument_imports(include=["unseen"], enable_loader_override=False):
        import fuzz

        readers = fuzz.readers()
    import logging

    import torch

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    right = fuzz.corpus()
    read = readers[key.partition("|")[0]]
    fuzz.warm(readers, right, {key: right[key]}, corpus.parent / f"{corpus.name}.scratch")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + fuzz.ROOM, used + fuzz.ROOM))
    known: set[str] = set()
    done, begun = 0, time.process_time()
    scratch = corpus.parent / f"{corpus.name}.scratch"

    def one(content: bytes) -> None:
        nonlocal done
        if time.process_time() - begun > seconds:
            sys.stderr.write(f"\nDONE {done}\n")
            sys.stderr.flush()
            os._exit(0)
        done += 1
        file = fuzz.place(scratch, key, content, right)
        (corpus.parent / f"{corpus.name}.open").write_bytes(content)
        how, said = fuzz.verdict(read, file)
        told = f"{how} " + re.sub(r"\d", "", said)[:60]
        if how not in ("named", "read") and told not in known:
            known.add(told)
            keep.mkdir(parents=True, exist_ok=True)
            name = key.replace("|", "@").replace("/", "+")
            (keep / f"{len(list(keep.iterdir())):03d}@{name}").write_bytes(content)
            sys.stderr.write(f"\nFOUND {json.dumps({'key': key, 'how': how, 'said': said[:300]})}\n")

    options = [
        "-max_len=65536",
        "-rss_limit_mb=0",
        "-timeout=60",
        "-print_final_stats=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def _of_children() -> float:
    """Seconds of a processor that the processes of this one have used."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def run(key: str, seconds: float, keep: Path, kept: Path | None = None) -> dict[str, Any]:
    """All processes of one kind; inputs, edges and failures."""
    sys.path.insert(0, str(BESIDE))
    import fuzz

    told: dict[str, Any] = {"key": key, "inputs": 0, "edges": 0, "seconds": 0.0, "died": 0, "found": []}
    name = key.replace("|", "@").replace("/", "+")
    with tempfile.TemporaryDirectory(prefix="unseen-cover-") as folder:
        corpus = (kept if kept is not None else Path(folder)) / name
        corpus.mkdir(parents=True, exist_ok=True)
        for i, content in enumerate(fuzz.corpus()[key]):
            (corpus / f"right{i}").write_bytes(content)
        while (left := seconds - told["seconds"]) > 5:
            began = _of_children()
            order = [sys.executable, __file__, "--work", key, "--corpus", str(corpus), "--seconds", str(left)]
            inputs = 0
            with subprocess.Popen(
                [*order, "--keep", str(keep)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            ) as process:
                assert process.stderr is not None
                last = ""
                for line in process.stderr:
                    last = line.strip() or last
                    if line.startswith("FOUND "):
                        told["found"].append(json.loads(line[6:]))
                    elif line.startswith("DONE "):
                        inputs = int(line[5:])
                    elif match := STATUS.match(line):
                        inputs, told["edges"] = int(match[1]), max(told["edges"], int(match[2]))
            told["inputs"] += inputs
            told["seconds"] = round(told["seconds"] + _of_children() - began, 1)
            if process.returncode:
                told["died"] += 1
                told.setdefault("last words", last)
                if inputs == 0:
                    break
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"died{told['died']}@{name}").write_bytes((corpus.parent / f"{name}.open").read_bytes())
    return told


def main() -> None:
    """Read the arguments; a line of JSON for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="kinds of files that begin so; all if none is named")
    parser.add_argument("--seconds", type=float, default=60, help="of a processor, for each kind")
    parser.add_argument("--keep", type=Path, default=Path("found"))
    parser.add_argument("--work")
    parser.add_argument("--corpus", type=Path, help="folder in which what reaches new lines is kept")
    given = parser.parse_args()
    if given.work:
        work(given.work, given.corpus, given.seconds, given.keep)
        return
    sys.path.insert(0, str(BESIDE))
    import fuzz

    failed = False
    for key in sorted(fuzz.corpus()):
        if not given.kinds or key.startswith(tuple(given.kinds)):
            told = run(key, given.seconds, given.keep, given.corpus)
            failed |= bool(told["found"] or told["died"])
            print(json.dumps(told), flush=True)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
