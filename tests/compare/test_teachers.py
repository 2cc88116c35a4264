"""How much each model of a zoo suits the task is shown where the method that weighed it ran."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import unseen
from unseen import cli
from unseen.bundle import read_zoo
from unseen.compare.results import teachers
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines.prototypes import Prototypes
from unseen.nn.zoo import rank_teachers


def features(seed: int, n: int = 60) -> Domain:
    y = np.arange(n) % 3
    x = (4 * np.eye(5)[y] + np.random.default_rng(seed).normal(size=(n, 5))).astype(np.float32)
    return Domain(x=x, y=y, classes=ClassSpace(names=("ant", "bee", "cat")), name="f")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: one tells the classes apart, the other was taught that they are mixed."""
    folder, mixed = tmp_path_factory.mktemp("teachers") / "zoo", np.random.default_rng(0).permutation(60)
    unseen.adapt(method="source-only", source=features(0), out=folder / "apt")
    unseen.adapt(method="source-only", source=features(0).replace(y=features(0).labels[mixed]), out=folder / "<b>mixed")
    return folder


def test_teachers_are_told_in_the_order_of_their_similarity(zoo: Path) -> None:
    known, support = read_zoo(zoo), features(1, n=12)
    given = {"support": support, "target": features(2).unlabeled(), "teachers": known}
    model = unseen.adapt(method="distill-similar", settings={"steps": 2, "metric": "leep", "power": 1.0}, **given)
    told, ranked = teachers(model.method), rank_teachers(known, support, ("leep",))
    assert [row["name"] for row in told] == ranked["name"].tolist() == ["apt", "<b>mixed"]
    np.testing.assert_allclose([row["similarity"] for row in told], ranked["leep"])
    assert told[0]["weight"] > told[1]["weight"]
    assert sum(row["weight"] for row in told) == pytest.approx(1)


def test_a_method_that_weighs_no_zoo_tells_of_none() -> None:
    assert teachers(Prototypes().fit(source=features(0))) == []


def test_adapt_shows_them(zoo: Path, tmp_path: Path) -> None:
    for name, domain in (("few", features(1, n=12)), ("new", features(2))):
        np.savez(tmp_path / f"{name}.npz", x=domain.x, y=domain.labels)
    given = ["--support", str(tmp_path / "few.npz"), "--target", str(tmp_path / "new.npz"), "--teachers", str(zoo)]
    quick = ["--set", "steps=2", "--set", "metric=leep", "--out", str(tmp_path / "m")]
    done = CliRunner().invoke(cli.app, ["adapt", "--method", "distill-similar", *given, *quick])
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines()]
    table = lines[lines.index(["method", "teacher", "similarity", "weight"]) + 1 :]
    assert [line[1] for line in table if line[:1] == ["distill-similar"]] == ["apt", "<b>mixed"]


@pytest.mark.slow
def test_compare_keeps_them_and_the_report_shows_them(zoo: Path, tmp_path: Path) -> None:
    given = {"support": features(1, n=24), "target": features(2), "teachers": read_zoo(zoo)}
    unseen.compare(methods=["distill-similar:nearest", "linear-probe"], seeds=1, out=tmp_path / "run", **given)
    rows = {
        row["name"]: row["teachers"] for row in json.loads((tmp_path / "run/results.json").read_text())["candidates"]
    }
    assert {row["name"] for row in rows["distill-similar:nearest"]} == {"apt", "<b>mixed"}
    assert rows["linear-probe"] == []
    page = (tmp_path / "run/report.html").read_text()
    assert "Which teachers suit the task" in page
    assert "&lt;b&gt;mixed" in page
