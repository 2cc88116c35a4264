"""What commands write for spreadsheets holds no formulas, whatever files and classes are called."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import processes
import unseen
from unseen.console import write_csv
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.data.loaders.save import save_features
from unseen.data.rankings import Ranking, write_run
from unseen.data.series import read_series
from unseen.labeling.propose import Proposal
from unseen.spreadsheets import harmless, harmless_table, restored_table
from unseen.verification import Question, read_answers, write_table

FORMULAS = ("=1+1", "+1", "-1+x", "@x", "\tx", "\nx", "\v=1", "＝1", "＋1", "－1", "＠x")


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
    found = processes.run(order, cwd=tmp_path, capture_output=True, text=True)
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


@pytest.mark.parametrize("sign", [";", "\t"])
@pytest.mark.parametrize("before", ["", "a", "'"])
def test_no_formula_begins_behind_what_ends_a_cell_elsewhere(before: str, sign: str) -> None:
    for formula in FORMULAS:
        assert f"{sign}'{formula}" in harmless(f"{before}{sign}{formula}")
    assert harmless(f"a{sign} -b{sign}c") == f"a{sign} -b{sign}c"


TEXTS = [*FORMULAS, ";=1", "a;-b;'@c", "\t\t=1", ";';", "\t'\t", "'=1", "''-1", "it's", "'tis", ""]
BESIDE: dict[str, Any] = {"covers": np.array([1, 1]), "margins": None, "classes": (), "gain": None}
LINK = '=HYPERLINK("http:evil")'


def ids_of(domain: Domain) -> list[str]:
    assert domain.ids is not None
    return domain.ids.tolist()


def none_is_a_formula(file: Path) -> None:
    cells = [cell for row in lines(file) for cell in row]
    assert cells
    assert [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\n", "-x"))] == []


def test_a_harmless_table_is_restored() -> None:
    table = pd.DataFrame({"=a": TEXTS, "'=a": TEXTS[::-1], "n": np.arange(-5.0, len(TEXTS) - 5)})
    pd.testing.assert_frame_equal(restored_table(harmless_table(table)), table)


def test_a_table_to_label_holds_no_formula_and_leads_to_its_pictures(tmp_path: Path) -> None:
    for i, name in enumerate((LINK, "-x")):
        Image.new("RGB", (9, 9), (80 * i, 0, 0)).save(tmp_path / f"{name.replace('/', '')}.png")
    pictures = load(tmp_path)
    Proposal(samples=pictures, guesses=("=red", None), **BESIDE).save(tmp_path / "out.csv")
    none_is_a_formula(tmp_path / "out.csv")
    found = load(tmp_path / "out.csv")
    assert ids_of(found) == ids_of(pictures)
    assert list(found.digests()) == list(pictures.digests())


def test_a_table_of_features_to_label_keeps_their_names(tmp_path: Path) -> None:
    samples = Domain(x=np.eye(2, dtype="float32"), ids=np.array([LINK, "+1"]), feature_names=("=a", "-x"))
    Proposal(samples=samples, guesses=(None, None), **BESIDE).save(tmp_path / "out.csv")
    save_features(samples, tmp_path / "features.csv")
    for file in (tmp_path / "out.csv", tmp_path / "features.csv"):
        none_is_a_formula(file)
        found = load(file)
        assert ids_of(found) == ids_of(samples)
        assert found.feature_names == samples.feature_names


def test_a_table_to_verify_holds_no_formula_and_its_answers_are_read(tmp_path: Path) -> None:
    target = Domain(x=np.array([LINK, "-x"]), kind="text", ids=np.array(["=1", "@2"]))
    digests = target.digests()
    asked = [Question(position=i, id=ids_of(target)[i], digest=digests[i], choices=("=a", "b")) for i in range(2)]
    write_table(tmp_path / "v.csv", asked, target)
    none_is_a_formula(tmp_path / "v.csv")
    table = pd.read_csv(tmp_path / "v.csv", dtype=str, keep_default_na=False)
    table["answer"] = ["'=a", "=a"]
    table.to_csv(tmp_path / "v.csv", index=False)
    assert read_answers(tmp_path / "v.csv") == dict.fromkeys(digests, "=a")


def test_a_run_holds_no_formula(tmp_path: Path) -> None:
    queries, corpus = (
        Domain(x=np.array(["a", "b"]), kind="text", ids=np.array(ids)) for ids in ([LINK, "q"], ["@d", "e"])
    )
    ranking = Ranking(documents=np.array([[0, 1], [1, 0]]), scores=np.array([[2.0, 1.0], [2.0, 1.0]], dtype="float32"))
    write_run(tmp_path / "r.csv", ranking, queries, corpus)
    none_is_a_formula(tmp_path / "r.csv")


def test_headers_of_a_series_are_restored(tmp_path: Path) -> None:
    table = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=9), LINK: np.arange(9.0)})
    harmless_table(table).to_csv(tmp_path / "s.csv", index=False)
    none_is_a_formula(tmp_path / "s.csv")
    assert len(read_series(tmp_path / "s.csv", columns=[LINK])) == 1


def test_an_apostrophe_before_cells_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(tmp_path / "plain.csv", pd.DataFrame({"id": ["a", None], "p": pd.Series([1, 2], dtype=object)}))
    assert capsys.readouterr().err == ""
    write_csv(tmp_path / "guarded.csv", pd.DataFrame({"id": ["-a", "b"], "p": [0.5, -1.0]}))
    assert "have an apostrophe before them" in capsys.readouterr().err
