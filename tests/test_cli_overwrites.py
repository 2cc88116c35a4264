"""No command writes over a file that it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from saved_kinds import tagger
from unseen import cli
from unseen.console import check_apart


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", "a.csv", "b.csv", "a.jsonl", "a.conll", "a.npy", "a.html", "a.parquet", "qrels.csv"):
        Path(name).write_text("what stands here")
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save("a.png")
    Path("beir").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"):
        Path("beir", name).write_text("what stands here")


COMMANDS = [
    ("tag run a.txt --model m --out a.txt", "out", "a.txt"),
    ("tag run a.conll --model m --table ./a.conll", "table", "a.conll"),
    ("tag project a.jsonl --translations b.txt --out a.jsonl", "out", "a.jsonl"),
    ("tag project a.conll --translations b.txt --out c.conll --page b.txt", "page", "b.txt"),
    ("rank a.jsonl b.txt --with bm25 --out a.jsonl", "out", "a.jsonl"),
    ("rank a.jsonl b.txt --run b.txt", "run", "b.txt"),
    ("rank a.jsonl b.txt --qrels qrels.csv --run qrels.csv", "run", "qrels.csv"),
    ("rank beir --run beir/queries.jsonl", "run", "beir/queries.jsonl"),
    ("rank beir --run beir/qrels.tsv", "run", "beir/qrels.tsv"),
    ("complete a.csv --ontology b.csv --queries qrels.csv --out a.csv", "out", "a.csv"),
    ("map a.csv --taxonomy csv:b.csv --out b.csv", "out", "b.csv"),
    ("map a.npy --taxonomy hpo --vectors a.npy", "vectors", "a.npy"),
    ("caption a.csv --table a.csv", "table", "a.csv"),
    ("find a.parquet --image a.png --page a.png", "page", "a.png"),
    ("nas table cells --data a.parquet --out a.parquet", "out", "a.parquet"),
    ("shift a.html a.csv --out a.html", "out", "a.html"),
    ("annotate a.csv --source b.csv --classes qrels.csv --out qrels.csv", "out", "qrels.csv"),
    ("explain m a.png --out a.png", "out", "a.png"),
    ("verify m a.csv --out a.csv", "out", "a.csv"),
    ("label a.csv --out a.csv", "out", "a.csv"),
    ("embed a.parquet --out a.parquet", "out", "a.parquet"),
    ("explore beir --query x --image a.png --export a.png", "export", "a.png"),
]


@pytest.mark.parametrize(("command", "name", "file"), COMMANDS, ids=[command for command, _, _ in COMMANDS])
def test_a_file_that_is_read_is_not_written_over(command: str, name: str, file: str) -> None:
    before = Path(file).read_bytes()
    error = CliRunner().invoke(cli.app, command.split()).exception
    assert isinstance(error, ValueError)
    assert str(error) == f"{name}: {file!r} is what is read; name another file"
    assert Path(file).read_bytes() == before


def test_predictions_are_not_written_over_what_they_are_of(tmp_path: Path) -> None:
    folder, _ = tagger(tmp_path)
    error = CliRunner().invoke(cli.app, ["predict", str(folder), "b.txt", "a.txt", "--csv", "a.txt"]).exception
    assert str(error) == "csv: 'a.txt' is what is read; name another file"


ENDINGS = [
    ("export saved --out v.mp4", "out must end in .onnx; got 'v.mp4'"),
    ("export saved --web v.mp4", "web must end in .html; got 'v.mp4'"),
    ("export saved --out beir", "out must end in .onnx; got 'beir'"),
    ("predict saved a.csv --csv v.mp4", "csv must end in .csv; got 'v.mp4'"),
    ("predict saved a.csv --csv v.parquet", "csv must end in .csv; got 'v.parquet'"),
    ("predict saved a.csv --csv nowhere/x.csv", "csv: there is no folder 'nowhere'"),
    ("predict saved a.csv --csv beir.csv", "csv must be a file; 'beir.csv' is a folder"),
    ("embed a.csv --out v.mp4", "out must end in .parquet, .csv or .npz; got 'v.mp4'"),
    ("tag run a.txt --model saved --out v.mp4", "out must end in .html; got 'v.mp4'"),
    ("tag project a.jsonl --translations b.txt --out c.conll --page v.mp4", "page must end in .html; got 'v.mp4'"),
    ("tag project a.jsonl --translations b.txt --out c.conll --table v.mp4", "table must end in .csv; got 'v.mp4'"),
    ("rank a.jsonl b.txt --out v.mp4", "out must end in .html; got 'v.mp4'"),
    ("rank a.jsonl b.txt --run v.mp4", "run must end in .csv, .trec, .run, .tsv or .txt; got 'v.mp4'"),
    ("caption a.csv --out v.mp4", "out must end in .html; got 'v.mp4'"),
    ("find a.parquet --image a.png --page v.mp4", "page must end in .html; got 'v.mp4'"),
    ("annotate a.csv --source b.csv --classes qrels.csv --out v.mp4", "out must end in .csv; got 'v.mp4'"),
    ("quantize saved --onnx v.mp4", "onnx must end in .onnx; got 'v.mp4'"),
    ("head propose saved --prompt x --out v.mp4", "out must end in .csv; got 'v.mp4'"),
]


@pytest.mark.parametrize(("command", "said"), ENDINGS, ids=[command for command, _ in ENDINGS])
def test_a_file_of_another_kind_is_not_written_over(command: str, said: str) -> None:
    _save_model(Path("saved"))
    Path("beir.csv").mkdir()
    Path("v.mp4").write_text("a video")
    error = CliRunner().invoke(cli.app, command.split()).exception
    assert isinstance(error, ValueError)
    assert str(error) == said
    assert Path("v.mp4").read_text() == "a video"


INSIDE = [
    ("export run --out run/model/bundle.onnx", "out"),
    ("export run/model --web run/report.html", "web"),
    ("predict run a.csv --csv run/nodes.csv", "csv"),
    ("predict run/model a.csv --csv run/model/x.csv", "csv"),
    ("explain run a.png --out run/report.html", "out"),
    ("verify run a.csv --out run/report.html", "out"),
    ("label a.csv --model run --out run/nodes.csv", "out"),
    ("tag run a.txt --model run --out run/report.html", "out"),
    ("rank a.jsonl b.txt --model run --out run/report.html", "out"),
    ("caption a.csv --model run --out run/report.html", "out"),
    ("find a.parquet --image a.png --model run --page run/report.html", "page"),
    ("map a.csv --taxonomy hpo --model run --out run/nodes.csv", "out"),
    ("quantize run --onnx run/model/model.onnx", "onnx"),
    ("quantize a --from run --onnx run/model/model.onnx", "onnx"),
    ("explore a --query x --model run --export run/nodes.csv", "export"),
    ("head propose run --prompt x --out run/nodes.csv", "out"),
]


@pytest.mark.parametrize(("command", "name"), INSIDE, ids=[command for command, _ in INSIDE])
def test_nothing_is_written_into_a_saved_model_or_its_run(command: str, name: str) -> None:
    _save_model(Path("run/model"))
    for file in ("results.json", "report.html", "nodes.csv"):
        Path("run", file).write_text("what stands here")
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    error = CliRunner().invoke(cli.app, command.split()).exception
    assert isinstance(error, ValueError)
    assert str(error).startswith(f"{name}: 'run/")
    assert str(error).endswith("which is read; name a file elsewhere")
    assert {path: path.read_bytes() for path in Path("run").rglob("*.*")} == before


def _save_model(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.joinpath("bundle.json").write_text("{}")


def test_a_link_is_the_file_that_it_leads_to_and_what_is_not_there_is_no_file() -> None:
    Path("link.csv").symlink_to("a.csv")
    with pytest.raises(ValueError, match="is what is read; name another file"):
        check_apart([None, "a.csv"], out=Path("link.csv"))
    check_apart(["a.csv", None, "cat,dog" * 400, ""], out=Path("new.csv"), page=None)
    check_apart(["new.csv"], out=Path("new.csv"))
