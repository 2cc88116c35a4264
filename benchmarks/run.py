"""Run all benchmarks, or those named, and keep the figures: `make bench`, or `python benchmarks/run.py loki embed`."""

from __future__ import annotations

import datetime
import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from unseen.runtime import share_one_heap

share_one_heap()  # as the command line does, before there are threads

from common import Row, machine

ALL = (
    "embed",
    "loki",
    "adaptation",
    "steps",
    "glc_labels",
    "zeroq",
    "forecasting",
    "nas",
    "concepts",
    "overhead",
    "serve",
    "hypergraph",
    "taxonomy",
    "generation",
    "named_towers",
    "pruning",
    "curation",
    "index",
    "contrastive",
    "multimodal_steps",
    "captions",
    "frames",
)


def main(names: list[str]) -> None:
    """Run, print a line each, and write `results.json` beside this file; others' figures stay."""
    unknown = set(names) - set(ALL)
    if unknown:
        raise SystemExit(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in names or ALL:
        told = machine()
        rows = importlib.import_module(name).run()
        results[name] = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "machine": told, "rows": rows}
        for row in rows:
            print(line(row), flush=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(results, indent=1) + "\n")
        temporary.replace(file)


def line(row: Row) -> str:
    """A benchmark in one line."""
    more = {k: v for k, v in row.items() if k not in ("job", "ours", "peer", "peers", "unit", "ratio", "asked")}
    asked = f" (asked {row['asked']})" if row["asked"] else ""
    told = "".join(f", {k} {v}" for k, v in more.items())
    figures = f"{row['ours']:g} {row['unit']}; {row['peer']}: {row['peers']:g}; ratio {row['ratio']:g}"
    return f"{row['job']}: {figures}{asked}{told}"


if __name__ == "__main__":
    main(sys.argv[1:])
