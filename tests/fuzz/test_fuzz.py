"""Damaged files: those that once raised something else than a sentence, and some hundreds of new ones."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SEEDS = sorted((Path(__file__).parent / "seeds").iterdir())
HARNESS = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def harness() -> Any:
    specification = importlib.util.spec_from_file_location("fuzz_harness", HARNESS)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["fuzz_harness"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def readers(harness: Any) -> dict[str, Callable[[Path], object]]:
    return harness.readers()


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_file_that_raised_something_else_is_told_now(
    seed: Path, harness: Any, readers: dict[str, Callable[[Path], object]], tmp_path: Path
) -> None:
    _, kind, name = seed.name.split("@", 2)
    key = f"{kind}|{name.replace('+', '/')}"
    right = harness.corpus() if "+" in name else {}
    file = harness.place(tmp_path / "scratch", key, seed.read_bytes(), right)
    how, said = harness.verdict(readers[kind], file)
    assert how in ("read", "named"), said


def test_what_is_right_is_read(harness: Any, readers: dict[str, Callable[[Path], object]], tmp_path: Path) -> None:
    right = harness.corpus()
    for key, contents in right.items():
        for number, content in enumerate(contents):
            folder = tmp_path / f"{key.replace('|', '-').replace('/', '-')}-{number}"
            how, said = harness.verdict(readers[key.partition("|")[0]], harness.place(folder, key, content, right))
            assert how == "read", f"{key}: {said}"


def test_some_hundreds_of_changed_files_are_read_or_told() -> None:
    order = [sys.executable, str(HARNESS), "--seconds", "120", "--most", "300", "--seed", "7"]
    found = subprocess.run(order, capture_output=True, text=True, timeout=300)
    told = json.loads(found.stdout)
    assert told["inputs"] > 100
    assert told["failures"] == []
    assert set(told["counts"]) == {"read", "named"}
