"""The command line: each kind of command through a real process once, and the rest in the process of the tests."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import typer

import in_process
from unseen import claims, cli

COMMANDS = [
    "demo",
    "compare",
    "adapt",
    "predict",
    "methods",
    "recommend",
    "reproduce",
    "quantize",
    "embed",
    "encoders",
    "export",
    "serve",
    "report",
    "diagnose",
    "verify",
    "label",
    "web",
    "annotate",
    "map",
]


@pytest.fixture
def call(tmp_path, monkeypatch):
    """The command line in the process of the tests."""
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))

    def run(*args, code=0):
        return in_process.unseen(tmp_path, *args, code=code)

    return run


@pytest.fixture
def process(tmp_path):
    """The command line in a process of its own."""
    env = {
        **os.environ,
        "UNSEEN_DATA": str(tmp_path / "data"),
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "1",
    }

    def run(*args, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "unseen.cli", *map(str, args)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=env,
        )
        assert done.returncode == code, done.stderr[-2000:]
        return done

    return run


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("source", 0.0), ("target", 1.5)):
        y = np.arange(60) % 3
        x = np.eye(5)[y] * 4 + rng.normal(size=(60, 5)) + shift
        table = pd.DataFrame(x, columns=list("pqrst")).assign(label=np.array(["ant", "bee", "cat"])[y])
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_help_shows_every_command_in_a_panel_with_one_line():
    panels = {}
    for name, command in typer.main.get_command(cli.app).commands.items():
        first = command.help.split("\n\n")[0]
        assert len(first) <= 65, f"{name}: breaks in a terminal of 80 columns"
        assert first.endswith("."), name
        panels.setdefault(command.rich_help_panel, []).append(name)
    assert next(iter(panels)) == "Look at what you have"
    assert panels["Adapt, and compare"] == ["demo", "compare", "adapt", "continue", "align", "label"]
    assert len(panels) == 7


def test_reproduce_names_the_systems_that_it_can_run(call):
    rows = json.loads(call("reproduce", "--list", "--json").stdout)
    assert [row["slug"] for row in rows] == list(claims.slugs())
    assert "--list" in call("reproduce", "--help").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_teaches_with_an_example(call, command):
    assert f"unseen {command}" in call(command, "--help").stdout


def test_compare_predict_export_report(call, process, tables):
    done = process(
        "compare",
        "--source",
        "source.csv",
        "--target",
        "target.csv",
        "--methods",
        "source-only,standardize",
        "--out",
        "my run",
    )
    assert "report.html" in done.stdout
    assert "unseen predict 'my run' FILE" in done.stdout
    assert len(done.stdout.splitlines()) <= 5  # the answer in three lines, and where the report is
    assert len(done.stderr.splitlines()) <= 8
    out = process("predict", "my run", "target.csv", "--top", 2, "--json").stdout
    rows = json.loads(out)
    assert len(rows) == 60
    assert rows[0]["class"] == rows[0]["class_1"] == "ant"
    lines = call("predict", "my run", "target.csv", "--top", 2).stdout.splitlines()
    assert len(lines) == 60
    assert re.fullmatch(r"\S+ +ant +\d+\.\d% (?: not sure)?(?: then \w+ \d+\.\d%)?", lines[0]), lines[0]
    call("predict", "my run/model", "target.csv", "--csv", "p.csv")
    assert len(pd.read_csv(tables / "p.csv")) == 60
    call("export", "my run", "--out", "m.onnx")
    assert (tables / "m.onnx").stat().st_size > 0
    (tables / "my run" / "report.html").unlink()
    call("report", "my run")
    assert (tables / "my run" / "report.html").exists()


def test_adapt_takes_settings_and_names_wrong_ones(call, tables):
    done = call(
        "adapt",
        "--method",
        "standardize",
        "--source",
        "source.csv",
        "--target",
        "target.csv",
        "--set",
        "C=0.1",
        "--out",
        "m",
    )
    assert json.loads((tables / "m" / "bundle.json").read_text())["method"] == "standardize"
    assert done.stderr.startswith("source: ")
    assert "; their labels are not read" in done.stderr
    done = call(
        "adapt",
        "--method",
        "standardize",
        "--source",
        "source.csv",
        "--target",
        "target.csv",
        "--set",
        "C=-1",
        "--out",
        "n",
        code=1,
    )
    assert done.stderr.strip().splitlines()[-1].startswith("unseen: C must be")
    assert not (tables / "n").exists()


def test_methods_lists_searches_and_explains(call):
    rows = json.loads(call("methods", "--json").stdout)
    assert sum(row["slug"] not in ("chain",) for row in rows) >= 61
    fits = {row["slug"] for row in json.loads(call("methods", "--given", "source,target", "--json").stdout)}
    assert {"source-only", "shot"} <= fits
    assert "linear-probe" not in fits
    assert "beta" in call("methods", "shot").stdout


def test_recommend_says_what_fits_and_why_the_rest_does_not(call, tables):
    answer = call("recommend", "--source", "source.csv", "--target", "target.csv", "--json")
    assert answer.stderr.startswith("source: ")
    found = json.loads(answer.stdout)
    by = {row["slug"]: row for row in found["methods"]}
    assert found["profile"]["words"] == ["source", "target"]
    assert len(found["precedents"]) == 5
    assert found["gains"]["source-only"]["mean"] == 0
    given = ("recommend", "--source", "source.csv", "--target", "target.csv", "--nearest", "2")
    lines = call(*given).stdout.splitlines()
    assert lines[1].startswith("1. source-only:")  # of small tables like these nothing gained
    assert "what all gains are measured against" in lines[1]
    assert lines[2].startswith("on recorded data like yours nothing gained over doing nothing")
    assert lines[3].startswith("these fit, too: ")
    assert len(lines) <= 8
    told = call(*given, "--verbose").stdout
    assert told.count("best by the labels") == 2
    assert "linear-probe does not fit: it needs" in told
    assert by["coral"]["fits"]
    assert not by["linear-probe"]["fits"]
    assert "support" in by["linear-probe"]["why"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["compare", "--source", "nowhere"], "nowhere"),
        (["predict", "nowhere", "x"], "not a saved model"),
        (["methods", "shott"], "did you mean 'shot'"),
        (["data", "info", "emoji:notto"], "emoji:noto"),
        (["reproduce"], "name at least one system"),
        (["methods", "--given", "money"], "'money'"),
        (
            ["quantize", "nowhere", "--set", "iterations=abc", "--out", "q"],
            "unseen: iterations must be an integer; got",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_it(call, args, told):
    done = call(*args, code=1)
    assert told in done.stderr
    assert "traceback" not in done.stderr.lower()


def test_a_mistake_in_a_real_process_is_one_line_too(process):
    done = process("compare", "--source", "nowhere", code=1)
    assert "nowhere" in done.stderr
    assert "traceback" not in done.stderr.lower()


def test_data_list_and_get(call, tmp_path):
    assert "digits:printed" in call("data", "list").stdout
    call("data", "get", "digits:handwritten", "--out", "digits")
    assert len(list((tmp_path / "digits").iterdir())) == 10


def test_embed_writes_a_table_that_compare_reads(call, tables):
    call("data", "get", "digits:handwritten", "--out", "digits")
    for folder in (tables / "digits").iterdir():
        for file in sorted(folder.iterdir())[4:]:
            file.unlink()
    call("embed", "digits", "--out", "digits.parquet")
    table = pd.read_parquet(tables / "digits.parquet")
    assert len(table) == 40
    assert table.filter(regex=r"^f\d+$").shape[1] == 1280
    assert table.label.nunique() == 10


def test_diagnose_says_what_differs_and_what_it_means(call, tables):
    found = json.loads(call("diagnose", "--source", "source.csv", "--target", "target.csv", "--json").stdout)
    assert found["domain_classifier"]["auc"] > 0.9
    assert len(found["lines"]) == 4
    told = call("diagnose", "--source", "source.csv", "--target", "source.csv").stdout
    assert "little to adapt" in told
    assert "60 equal" in told


@pytest.mark.slow
def test_verify_asks_grades_and_seals(call, tables):
    given = ("--source", "source.csv", "--target", "target.csv")
    call("compare", *given, "--methods", "source-only", "--seeds", 1, "--out", "run")
    call("verify", "run", "target.csv", "--n", 12)
    assert "Content-Security-Policy" in (tables / "verify.html").read_text()
    call("verify", "run", "target.csv", "--n", 12, "--out", "v.csv")
    table = pd.read_csv(tables / "v.csv", dtype=str, keep_default_na=False)
    truth = pd.read_csv(tables / "target.csv")["label"]
    table["answer"] = [truth[int(i)] for i in table["id"]]
    table.loc[0, "answer"] = "none"
    table.to_csv(tables / "v.csv", index=False)
    grade = json.loads(call("verify", "run", "target.csv", "--answers", "v.csv", "--json").stdout)
    assert grade["accuracy"]["of"] == 12
    assert grade["none_of_these"] == 1
    assert grade["accuracy"]["interval"][0] < grade["accuracy"]["value"] < grade["accuracy"]["interval"][1]
    assert "accuracy: " in call("verify", "run", "target.csv", "--answers", "v.csv").stdout
    done = call("adapt", "--method", "linear-probe", "--support", "target.csv", "--out", "m")
    assert "12 of 60 samples were verified" in done.stderr
    assert "all 60 are known" in call("verify", "run", "source.csv", code=1).stderr
    assert "out must end" in call("verify", "run", "target.csv", "--out", "v.txt", code=1).stderr


@pytest.mark.slow
def test_label_proposes_a_table_that_adapt_learns_from(call, tables):
    pd.read_csv(tables / "target.csv").drop(columns="label").to_csv(tables / "new.csv", index=False)
    done = call("label", "new.csv", "--source", "source.csv", "--budget", 6, "--out", "l.csv")
    assert "6 labels chosen so buy" in done.stderr
    first, *_, second = (line for line in done.stderr.splitlines() if line.startswith(("source: ", "target: ")))
    assert first.startswith("source: ")
    assert second.endswith(" with labels")
    table = pd.read_csv(tables / "l.csv", dtype=str, keep_default_na=False)
    table["label"] = table["guess"]
    table.to_csv(tables / "l.csv", index=False)
    call("adapt", "--method", "prototypes", "--support", "l.csv", "--out", "m")
    assert (tables / "m" / "bundle.json").exists()
    assert "cannot be estimated" in call("label", "new.csv", "--budget", 3).stderr


def test_a_folder_and_names_alone(call, tmp_path):
    texts = {
        "cooking": ("boil the pasta", "bake a cake", "fry onions in a pan", "season the soup", "knead the dough"),
        "music": ("play the violin", "sing in a choir", "tune a guitar", "a drum solo", "piano lessons"),
        "astronomy": ("a telescope", "rings of a planet", "a distant galaxy", "stars and comets", "the orbit of Mars"),
    }
    for label, said in texts.items():
        (tmp_path / "notes" / label).mkdir(parents=True)
        for i, text in enumerate(said):
            (tmp_path / "notes" / label / f"{i}.txt").write_text(text)
    (tmp_path / "names.csv").write_text("name,description\ncooking,\nmusic,\nastronomy,stars and planets\n")
    given = ("--target", "notes", "--classes", "names.csv")
    done = call("compare", *given, "--seeds", "1", "--out", "run")
    assert "their names are compared with the samples" in done.stderr
    assert "encoder: minilm, as none was named" in done.stderr
    assert "propagate-names is right on" in done.stdout
    assert "by names alone; 15 samples of it were graded" in " ".join(done.stdout.split())
    (tmp_path / "new.txt").write_text("a violin and an orchestra")
    told = json.loads(call("predict", "run", "new.txt", "--top", "3", "--json").stdout)
    assert told[0]["class"] == "music"
    call("export", "run", "--out", "notes.onnx", code=0)
    fits = call("recommend", "--target", "notes", "--classes", "cooking,music,astronomy").stdout
    assert "1. propagate-names:" in fits
    one = call("compare", "--target", "notes", "--classes", "cooking", "--out", "no", code=1)
    assert "names with commas between them" in one.stderr
    refused = call("compare", *given, "--encoder", "efficientnet-lite0", "--out", "no", code=1)
    assert "into one space" in refused.stderr
    assert not (tmp_path / "no").exists()
