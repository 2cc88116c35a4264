"""Somebody else's method: written by `unseen new`, installed as a package, seen in methods, compare and the report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unseen.scaffold import new_method

ROOT = Path(__file__).resolve().parents[2]


def install(package, where):
    """A package in a folder of its own, as pip puts it there, without touching this environment."""
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", where, package],
        check=True, capture_output=True,
    )  # fmt: skip
    return {**os.environ, "PYTHONPATH": str(where), "OMP_NUM_THREADS": "1", "UNSEEN_DATA": str(where / "data")}


def run(*args, env, cwd):
    done = subprocess.run([sys.executable, *map(str, args)], env=env, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    return done.stdout


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("source", 0.0), ("target", 2.5)):
        y = np.arange(90) % 3
        x = np.eye(6)[y] * 4 + rng.normal(size=(90, 6)) + shift
        table = pd.DataFrame(x, columns=list("pqrstu")).assign(label=np.array(["ant", "bee", "cat"])[y])
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def compare(slug, env, tables):
    args = ["--source", "source.csv", "--target", "target.csv", "--methods", f"source-only,{slug}", "--seeds", 1]
    run("-m", "unseen.cli", "compare", *args, "--out", "run", env=env, cwd=tables)
    results = json.loads((tables / "run" / "results.json").read_text())
    return {row["name"]: row["metrics"]["adapted"]["accuracy"]["mean"] for row in results["candidates"]}


@pytest.mark.slow
def test_the_example_package_is_seen_in_methods_compare_and_report(tables):
    env = install(ROOT / "examples" / "unseen-centre", tables / "site")
    assert "centre" in run("-m", "unseen.cli", "methods", env=env, cwd=tables)
    assert compare("centre", env, tables)["centre"] > 0.9
    assert "centre" in (tables / "run" / "report.html").read_text()
    row = json.loads(run("-m", "unseen.cli", "predict", "run", "target.csv", "--json", env=env, cwd=tables))[0]
    assert row["class"] in ("ant", "bee", "cat")
    without = {**env, "PYTHONPATH": ""}
    gone = subprocess.run(
        [sys.executable, "-m", "unseen.cli", "adapt", "--method", "centre", "--source", "source.csv", "--out", "m"],
        env=without, cwd=tables, capture_output=True, text=True,
    )  # fmt: skip
    assert gone.returncode == 1
    assert "no method is called 'centre'" in gone.stderr


@pytest.mark.slow
def test_what_unseen_new_writes_passes_as_it_is(tables):
    run("-m", "unseen.cli", "new", "method", "my-way", env={**os.environ}, cwd=tables)
    env = install(tables / "my-way", tables / "site")
    assert "2 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", env=env, cwd=tables / "my-way")
    assert "my-way" in run("-m", "unseen.cli", "methods", "my-way", env=env, cwd=tables)
    assert "held" in run("-m", "unseen.cli", "reproduce", "my-way", "--quick", env=env, cwd=tables)
    assert compare("my-way", env, tables)["my-way"] > 0.9


@pytest.mark.parametrize("slug", ["My Method", "-x", "a--b", "", "class", "../x", "1st"])
def test_names_that_are_none_are_refused(slug, tmp_path):
    with pytest.raises(ValueError, match="slug must be lower-case words"):
        new_method(slug, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_taken_name_and_an_existing_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="called 'coral' already"):
        new_method("coral", tmp_path / "out")
    with pytest.raises(ValueError, match="exists"):
        new_method("fine", tmp_path)


def test_all_files_are_there_and_hold_no_blanks_to_fill(tmp_path):
    folder = new_method("two-words", tmp_path / "out")
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files == {
        "pyproject.toml", "README.md", "two_words/__init__.py", "two_words/method.py", "two_words/claim.py",
        "tests/test_two_words.py",
    }  # fmt: skip
    assert "class TwoWords(Method)" in (folder / "two_words" / "method.py").read_text()
    assert not any("$" in file.read_text() for file in folder.rglob("*.py"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
