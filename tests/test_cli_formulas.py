"""What commands write for spreadsheets holds no formulas, whatever files and classes are called."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import unseen
from unseen.console import write_csv
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

FORMULAS = ("=1+1", "+1", "-1+x", "@x", "\tx", "\nx")


def test_predictions_in_a_csv_are_no_formulas(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = (np.eye(3)[y] * 5 + rng.normal(size=(40, 3))).astype("float32")
    domain = Domain(x=x, y=y, classes=ClassSpace(names=('=HYPERLINK("http://evil")', "@bee")), name="d")
    unseen.adapt(method="standardize", source=domain, target=domain, out=tmp_path / "model")
    new = pd.DataFrame(x[:4], columns=["f0", "f1", "f2"])
    new.insert(0, "id", ["=cmd|' /C calc'!A0", "+b", "c", "d"])
    new.to_csv(tmp_path / "new.csv", index=False)
    order = [sys.executable, "-m", "unseen.cli", "predict", "model", "new.csv", "--csv", "out.csv", "--top", "2"]
    found = subprocess.run(order, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    rows = list(csv.reader((tmp_path / "out.csv").open()))
    assert len(rows) == 5
    assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))] == []
    assert rows[1][0] == "'=cmd|' /C calc'!A0"


def lines(file: Path) -> list[list[str]]:
    with file.open(newline="") as stream:
        return list(csv.reader(stream))


def test_no_formula_begins_behind_the_end_of_a_line_in_a_cell(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", pd.DataFrame({"a": ["x\r=1+1", "x\r\n=1+1"]}))
    assert lines(tmp_path / "t.csv") == [["a"], ["x\n=1+1"], ["x\n=1+1"]]


@pytest.mark.parametrize("formula", FORMULAS)
def test_cells_and_headers_of_every_table_are_harmless(formula: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", pd.DataFrame({formula: [formula, "fine", None], "n": [-1.5, 2.0, 3.0]}))
    rows = lines(tmp_path / "t.csv")
    assert rows == [[f"'{formula}", "n"], [f"'{formula}", "-1.5"], ["fine", "2.0"], ["", "3.0"]]
