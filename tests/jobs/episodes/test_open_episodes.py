"""`unseen episodes --unknown`: what is of no class is rejected, and what cannot be is named before work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from unseen.cli import app
from unseen.evaluation.episodes import EpisodeScores
from unseen.evaluation.rejection import Answers
from unseen.jobs.episodes.fits import few_shot_methods
from unseen.jobs.episodes.names import unsure_lines

SMALL = ("--way", 3, "--shot", "1,3", "--queries", 4, "--episodes", 5)
QUICK = ("epochs=2", "fine_tune_epochs=1", "n_gan_rounds=1", "warm_up=5")


def table(file: Path, names: range, shift: float = 0.0) -> Path:
    """Ten samples of each class as a table of features."""
    rng = np.random.default_rng(len(names))
    y = np.repeat(np.arange(len(names)), 10)
    centres = 3 * np.random.default_rng(1).normal(size=(40, 6))[list(names)]
    rows = pd.DataFrame(rng.normal(size=(len(y), 6)) + centres[y] + shift, columns=list("uvwxyz"))
    rows["label"] = [f"class {names[i]}" for i in y]
    rows.to_csv(file, index=False)
    return file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "home"))
    return tmp_path


def call(*args: Any, code: int = 0) -> str:
    made = CliRunner().invoke(app, ["episodes", *map(str, args)])
    told = made.output + str(made.exception or "")
    assert (made.exit_code != 0) == bool(code), told
    return told


def test_open_episodes_tell_auroc_and_open_accuracy_with_intervals(home: Path) -> None:
    data, source = table(home / "data.csv", range(16)), table(home / "source.csv", range(10, 30), shift=1.0)
    order = (data, *SMALL, "--unknown", 2, "--base", 0.5, "--source", source, "--methods", "prototypes,dafosnet")
    order = (*order, *(part for item in QUICK for part in ("--set", item)))
    told = call(*order, "--out", home / "a")
    assert "AUROC known" in told
    assert "open accuracy" in told
    assert "left out of the source" in told
    figures = json.loads((home / "a" / "episodes.json").read_text())
    assert figures["protocol"]["unknown"] == 2
    assert set(figures["thresholds"]) == {"prototypes"}  # dafosnet rejects by itself
    row = figures["methods"][0]
    assert row["auroc"]["low"] <= row["auroc"]["auroc"] <= row["auroc"]["high"]
    assert row["auroc"]["auroc"] > 0.6
    rows = pd.read_csv(home / "a" / "episodes.csv")
    assert list(rows.columns[3:]) == ["accuracy", "auroc", "open_accuracy", "unknown_accuracy"]
    assert len(rows) == 2 * 2 * 5
    page = (home / "a" / "report.html").read_text()
    assert "unknown rejected" in page
    assert "tuned on classes that are set aside" in page
    call(*order, "--out", home / "b")
    assert (home / "a" / "episodes.csv").read_bytes() == (home / "b" / "episodes.csv").read_bytes()


def test_without_classes_that_are_set_aside_no_threshold_is_tuned(home: Path) -> None:
    told = call(table(home / "data.csv", range(8)), *SMALL, "--unknown", 2, "--out", home / "a")
    assert "rejects nothing" in told
    figures = json.loads((home / "a" / "episodes.json").read_text())
    assert figures["thresholds"] == {}
    assert figures["methods"][0]["unknown_accuracy"]["unknown_accuracy"] == 0


def test_unknown_classes_of_another_folder_are_always_unknown(home: Path) -> None:
    data, others = table(home / "data.csv", range(8)), table(home / "others.csv", range(20, 24))
    call(data, *SMALL, "--unknown", 3, "--unknown-data", others, "--out", home / "a")
    page = (home / "a" / "report.html").read_text()
    assert "Samples of 3 further classes" in page


def test_a_source_that_nothing_reads_or_that_is_other_than_the_data_is_refused(home: Path) -> None:
    data, source = table(home / "data.csv", range(16)), table(home / "source.csv", range(20, 30))
    told = call(data, *SMALL, "--base", 0.5, "--source", source, "--out", home / "never", code=1)
    assert "source is read by none of prototypes, linear-probe" in told
    wide = pd.read_csv(source)
    wide.insert(0, "t", 1.0)
    wide.to_csv(home / "wide.csv", index=False)
    more = ("--methods", "dafosnet", "--source", home / "wide.csv", "--out", home / "never")
    assert "source must have 6 features, as data; got 7" in call(data, *SMALL, "--base", 0.5, *more, code=1)
    more = ("--unknown", 2, "--unknown-data", home / "wide.csv", "--out", home / "never")
    assert "unknown_data must have 6 features, as data; got 7" in call(data, *SMALL, *more, code=1)


def test_figures_without_bound_or_interval_are_null_in_the_file(home: Path) -> None:
    data = table(home / "data.csv", range(8))
    call(data, "--way", 2, "--shot", 1, "--queries", 4, "--episodes", 1, "--out", home / "a")
    text = (home / "a" / "episodes.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["methods"][0]["low"] is None


def test_what_cannot_be_is_named_before_work(home: Path) -> None:
    data, out = table(home / "data.csv", range(8)), ("--out", home / "never")
    both = table(home / "both.csv", range(6, 12))
    told = call(data, *SMALL, "--unknown", 2, "--unknown-data", both, *out, code=1)
    assert "a class cannot be known and unknown at once" in told
    assert "'class 6', 'class 7'" in told
    told = call(data, *SMALL, "--unknown", 6, *out, code=1)
    assert "unknown must be at most 5, the classes with 4 queries beside 3 of an episode; got 6" in told
    assert "there are 8 such classes in all" in told
    assert "unknown must be at least 1" in call(data, *SMALL, "--unknown-data", both, *out, code=1)
    assert "base must be above 0" in call(data, *SMALL, "--methods", "dafosnet", *out, code=1)
    assert "source is read by none of prototypes" in call(data, *SMALL, "--source", both, *out, code=1)
    told = call(data, *SMALL, "--source", both, "--methods", "dafosnet", *out, code=1)
    assert "base must be above 0, the share that is set aside" in told  # its target's classes
    few = table(home / "few.csv", range(2))
    told = call(few, "--base", 0.5, *SMALL, "--way", 2, "--source", few, *out, code=1)
    assert "needs samples of two classes; there are those of 1" in told
    assert not (home / "never").exists()


def test_what_is_fitted_once_to_other_classes_and_adapted_is_known_by_its_words() -> None:
    assert "dafosnet" in few_shot_methods(with_source=True)
    assert "dafosnet" not in few_shot_methods()


def test_unknown_classes_of_too_few_samples_are_named_and_none_of_them_is_counted(home: Path) -> None:
    data, others = table(home / "data.csv", range(6)), table(home / "others.csv", range(20, 24))
    rows = pd.read_csv(others)
    rows.drop(index=range(1, 8)).to_csv(others, index=False)  # leaves 3 of the first class
    order = (data, *SMALL, "--unknown", 2, "--methods", "prototypes", "--out", home / "a")
    line = "1 unknown class has fewer than 4 samples, and is asked about in no episode: class 20 (3)"
    assert line in call(*order, "--unknown-data", others)
    told = json.loads((home / "a" / "episodes.json").read_text())
    assert told["never_unknown"] == {"class 20": 3}
    page = (home / "a" / "report.html").read_text()
    assert line in page
    assert "drawn anew in each episode from 6 of" in page
    rows = pd.read_csv(data)
    rows.drop(index=range(1, 6)).to_csv(data, index=False)  # 5 of a class: enough to be asked about, not to be labelled
    assert "samples of an episode, and is to be named in none: class 0 (5)" in call(*order)


def test_copies_among_the_samples_are_counted(home: Path) -> None:
    data = table(home / "data.csv", range(6))
    rows = pd.read_csv(data)
    rows.iloc[1, :6] = rows.iloc[0, :6]
    rows.iloc[11, :6] = rows.iloc[0, :6]
    rows.to_csv(data, index=False)
    line = (
        "2 samples are copies of others, so that what is labelled can be what is asked about; 1 is there under more "
        "than one label"
    )
    assert line in call(data, *SMALL, "--methods", "prototypes", "--out", home / "a")
    assert line in json.loads((home / "a" / "episodes.json").read_text())["notes"]
    assert line in (home / "a" / "report.html").read_text()


def test_what_is_set_aside_is_named_where_it_leaves_too_little(home: Path) -> None:
    data, out = table(home / "data.csv", range(10)), ("--out", home / "never")
    why = "way must be at most 3, the classes that have samples; got 5; 7 classes are set aside, a share of 0.7 (base)"
    assert why in call(data, "--base", 0.7, "--way", 5, *out, code=1)


def test_scores_that_hardly_tell_unknown_samples_are_told_in_terminal_page_and_file(home: Path) -> None:
    rows = pd.read_csv(table(home / "data.csv", range(16)))
    rows[list("uvwxyz")] = np.random.default_rng(0).normal(size=(len(rows), 6))  # classes mean nothing
    rows.to_csv(home / "noise.csv", index=False)
    order = ("--unknown", 2, "--base", 0.5, "--methods", "prototypes", "--out", home / "a")
    told = call(home / "noise.csv", *SMALL[:-1], 20, *order)
    line = (
        "what prototypes rejects is little better than chance: its scores hardly tell known samples from unknown ones"
    )
    assert f"mind: {line}" in told
    assert line in (home / "a" / "report.html").read_text()
    assert any(note.startswith(line) for note in json.loads((home / "a" / "episodes.json").read_text())["notes"])
    assert "little better than chance" not in call(home / "data.csv", *SMALL, *order)


def test_a_share_that_hangs_on_the_last_digits_of_a_threshold_is_told() -> None:
    right, rng = np.ones(30, dtype=bool), np.random.default_rng(0)
    crowded = np.append(1 - 1e-4 * rng.random(54), [0.4, 0.5, 0.5, 0.6, 0.6, 0.7])  # probabilities that are nearly 1
    spread = np.linspace(0.4, 1, 60)
    shares = {}
    for name, scores in (("crowded", crowded), ("spread", spread)):
        answers = Answers(np.zeros(60, dtype=np.int64), np.ones(60, dtype=bool), scores)
        figures = {metric: np.array([0.8]) for metric in answers.figures(right)}
        shares[name] = {5: EpisodeScores(np.ones(1), 0.0, figures, answers.near(float(np.median(scores))))}
    assert shares["crowded"][5].near == 0.9
    assert shares["spread"][5].near < 0.05
    (line,) = unsure_lines(shares)
    assert line.startswith("how much crowded rejects hangs on a hair, as many samples lie within a hundredth")
    assert "(90% with 5 labelled): go by its AUROC" in line
