"""The diagnosis as a part of `compare`: told first, kept in the results, blind to target labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain


def domain(seed: int = 0, shift: float = 0.0) -> Domain:
    y = np.arange(90) % 3
    x = 4 * np.eye(6)[y] + np.random.default_rng(seed).standard_normal((90, 6)) + shift
    return Domain(x=x.astype(np.float32), y=y, classes=ClassSpace(names=("a", "b", "c")))


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


def test_it_stands_in_the_results_and_the_report_and_the_terminal_is_spared(tmp_path: Path) -> None:
    said: list[str] = []
    run = unseen.compare(
        source=domain(), target=domain(1, 2.0), methods="source-only", seeds=1, out=tmp_path / "run", say=said.append
    )
    assert [line for line in said if line.startswith("will run")]
    assert not any("told apart" in line for line in said)  # the report and --verbose tell it
    found = json.loads((tmp_path / "run" / "results.json").read_text())["diagnosis"]
    assert found == json.loads(json.dumps(run.results["diagnosis"]))
    assert found["samples"] == {"source": 90, "target": 72}  # the held-out fifth is not looked at
    assert found["lines"][0]["meaning"] in (tmp_path / "run" / "report.html").read_text()


def test_labels_of_the_target_do_not_enter() -> None:
    target = domain(1, 2.0)
    runs = [
        unseen.compare(source=domain(), target=t, methods="source-only", seeds=1)
        for t in (target, target.with_labels((target.y + 1) % 3), target.unlabeled())
    ]
    assert runs[0].results["diagnosis"] == runs[1].results["diagnosis"] == runs[2].results["diagnosis"]


def test_without_a_source_there_is_none() -> None:
    run = unseen.compare(support=domain(), target=domain(1), methods="prototypes", seeds=1)
    assert run.results["diagnosis"] is None
