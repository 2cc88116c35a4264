"""Evidence: what a run of a claim found, kept as a file, and compared with what was found before."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unseen import claims, methods
from unseen.claims.base import Assertion, Claim, Split, Verdict

COLUMNS = ["experiment", "case", "seed", "arm", "metric", "value"]
PACKAGES = ("unseen", "torch", "numpy", "scikit-learn", "timm")


def reproduce(
    slug: str,
    *,
    quick: bool = False,
    check: bool = False,
    confirm: bool = False,
    folder: Path = Path("docs/evidence"),
) -> dict[str, Any]:
    """Run the claim of a system and judge it.

    Parameters
    ----------
    slug : str
    quick : bool
        One seed.
    check : bool
        Run the confirmation cases and compare the verdicts with the recorded ones.
    confirm : bool
        Run the confirmation cases and record what was found; a second confirmation stands beside the first.
        Without `check` and `confirm` the development cases run.
    folder : Path
        Where evidence lies.

    Returns
    -------
    dict
        The record; `good` tells whether what must hold held (with `check`: whether the verdicts are the recorded ones).
    """
    if check and confirm:
        raise ValueError("check and confirm exclude each other")
    if quick and confirm:
        raise ValueError("a confirmation uses all seeds; quick and confirm exclude each other")
    claim = claims.get(slug)
    recorded = _recorded(folder, slug) if check else None
    split: Split = "confirmation" if check or confirm else "development"
    started = time.perf_counter()
    table = claim.measure(split, quick=quick)
    judged = claim.judge(table)
    record = _record(claim, split, table, judged, time.perf_counter() - started)
    record["good"] = all(v is None or v.held for assertion, v in judged if assertion.must_hold)
    if recorded is not None:
        now, then = record["ledger"], lines_of([row["text"] for row in record["ledger"]], recorded)
        record["changed"] = sorted(a["text"] for a, b in zip(now, then) if b is None or a["verdict"] != b["verdict"])
        record["good"] = not record["changed"] and len(now) == len(recorded["ledger"])
    if confirm:
        _write(folder, slug, record)
    return record


def _recorded(folder: Path, slug: str) -> dict[str, Any]:
    files = evidence_files(folder, slug)
    if not files:
        raise ValueError(f"there is no evidence for {slug} in {folder}; record it with --confirm")
    return json.loads(files[-1].read_text())


def evidence_files(folder: Path, slug: str) -> list[Path]:
    """The records of a system, oldest first."""
    first = folder / f"{slug}.json"
    later = sorted(folder.glob(f"{slug}.[0-9]*.json"), key=lambda file: int(file.suffixes[-2][1:]))
    return ([first] if first.exists() else []) + later


def lines_of(texts: Sequence[str], record: Mapping[str, Any] | None) -> list[dict[str, Any] | None]:
    """For each assertion its line of a record, or None; of texts that say the same, the first is the first."""
    left: dict[str, list[dict[str, Any]]] = {}
    for line in record["ledger"] if record else ():
        left.setdefault(line["text"], []).append(line)
    return [left[text].pop(0) if left.get(text) else None for text in texts]


def _write(folder: Path, slug: str, record: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    have = len(evidence_files(folder, slug))
    file = folder / (f"{slug}.json" if not have else f"{slug}.{have + 1}.json")
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    os.link(temporary, file)  # fails if another confirmation was faster: nothing is overwritten
    temporary.unlink()


def _record(
    claim: Claim,
    split: Split,
    table: pd.DataFrame,
    judged: Sequence[tuple[Assertion, Verdict | None]],
    seconds: float,
) -> dict[str, Any]:
    return {
        "slug": claim.slug,
        "split": split,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"unseen reproduce {claim.slug}" + (" --check" if split == "confirmation" else ""),
        "seeds": sorted(int(seed) for seed in table.seed.unique()),
        "cases": {name: sorted(group.case.unique()) for name, group in table.groupby("experiment")},
        "seconds": round(seconds, 1),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "machine": platform.machine(),
        "licences": list(claim.licences),
        "files": file_hash(claim.slug),
        "ledger": [_line(assertion, verdict) for assertion, verdict in judged],
        "rows": [
            [experiment, case, int(seed), arm, metric, float(f"{value:.6g}")]
            for experiment, case, seed, arm, metric, value in table[COLUMNS].to_numpy().tolist()
        ],
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _line(assertion: Assertion, verdict: Verdict | None) -> dict[str, Any]:
    if verdict is None:
        word = "not run" if assertion.level == "paper scale" else "not testable"
    else:
        word = "held" if verdict.held else "not held"
    numbers = None if verdict is None else [float(f"{v:.6g}") for v in (verdict.value, verdict.low, verdict.high)]
    return {
        "text": assertion.text,
        "level": assertion.level,
        "promised": assertion.must_hold,
        "experiment": assertion.experiment,
        "verdict": word,
        "numbers": numbers,
        "told": assertion.reason if verdict is None else verdict.told,
        "reason": assertion.reason,
    }


def file_hash(slug: str) -> str:
    """SHA-256 of the files of a system: its method (all files of its folder), its claim, and the parts both name."""
    own = Path(inspect.getfile(methods.home(slug)))
    files = sorted(own.parent.glob("*.py")) if own.parent.name == slug.replace("-", "_") else [own]
    modules = [part if _is_module(part) else part.rpartition(".")[0] for part in methods.card(slug).parts]
    for module in (claims.module(slug), *claims.get(slug).parts, *modules):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            files.append(Path(spec.origin))
    digest = hashlib.sha256()
    for file in dict.fromkeys(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def stale(folder: Path) -> list[str]:
    """Slugs whose newest evidence was made from other files than those that are there now."""
    found = []
    for slug in claims.CLAIMS:
        files = evidence_files(folder, slug)
        if files and json.loads(files[-1].read_text())["files"] != file_hash(slug):
            found.append(slug)
    return found
