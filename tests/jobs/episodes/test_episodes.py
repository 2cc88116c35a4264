"""`unseen episodes`: methods on the same episodes, written whole; what cannot be is named before work."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from unseen.cli import app
from unseen.evaluation.episodes import EpisodeScores
from unseen.jobs.episodes import job
from unseen.jobs.episodes.fits import few_shot_methods


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight classes of ten samples as a table of features."""
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(8), 10)
    table = pd.DataFrame(rng.normal(size=(80, 6)) + 2 * rng.normal(size=(8, 6))[y], columns=list("uvwxyz"))
    table["label"] = [f"class {i}" for i in y]
    file = tmp_path / "data.csv"
    table.to_csv(file, index=False)
    return file


def call(*args: Any, code: int = 0) -> str:
    made = CliRunner().invoke(app, ["episodes", *map(str, args)])
    told = made.output + str(made.exception or "")
    assert (made.exit_code != 0) == bool(code), told
    return told


def test_methods_of_the_house_are_graded_on_the_same_episodes(data: Path, tmp_path: Path) -> None:
    order = (data, "--way", 3, "--shot", "1,3", "--queries", 4, "--episodes", 6, "--methods", "prototypes,linear-probe")
    told = call(*order, "--out", tmp_path / "a")
    assert "above prototypes" in told
    figures = json.loads((tmp_path / "a" / "episodes.json").read_text())
    assert [(row["method"], row["shots"]) for row in figures["methods"]] == [
        ("prototypes", 1), ("prototypes", 3), ("linear-probe", 1), ("linear-probe", 3),
    ]  # fmt: skip
    assert figures["methods"][1]["accuracy"] > 0.5
    assert figures["methods"][0]["gain"] == 0
    rows = pd.read_csv(tmp_path / "a" / "episodes.csv")
    assert len(rows) == 2 * 2 * 6
    page = (tmp_path / "a" / "report.html").read_text()
    assert "<script" not in page
    assert "3 labelled samples of each of 3 classes" in page
    call(*order, "--out", tmp_path / "b")
    assert (tmp_path / "a" / "episodes.csv").read_bytes() == (tmp_path / "b" / "episodes.csv").read_bytes()


def test_an_interval_of_a_share_lies_between_0_and_1() -> None:
    nearly = EpisodeScores(np.array([1.0, 1.0, 0.9]), 0.0)
    hardly = EpisodeScores(np.array([0.0, 0.0, 0.1]), 0.0)
    for own in (nearly, hardly):
        told = job._figures(own, nearly)
        assert 0 <= told["low"] < told["accuracy"] < told["high"] <= 1
    assert np.isnan(job._figures(EpisodeScores(np.ones(1), 0.0), nearly)["low"])  # of a single episode


def test_an_earlier_result_is_not_replaced_without_a_word(data: Path, tmp_path: Path) -> None:
    order = (data, "--way", 3, "--shot", 1, "--queries", 4, "--episodes", 2, "--methods", "prototypes")
    assert "holds an earlier result" not in call(*order, "--out", tmp_path / "a")
    assert "a holds an earlier result, which this one replaces" in call(*order, "--out", tmp_path / "a")


def test_classes_set_aside_are_in_no_episode(data: Path, tmp_path: Path) -> None:
    call(data, "--way", 3, "--shot", 1, "--queries", 4, "--episodes", 2, "--base", 0.5, "--out", tmp_path / "a")
    assert len(json.loads((tmp_path / "a" / "episodes.json").read_text())["base_classes"]) == 4
    assert "at most 4" in call(data, "--way", 5, "--base", 0.5, "--out", tmp_path / "b", code=1)


def test_classes_of_too_few_samples_are_named_wherever_figures_are(data: Path, tmp_path: Path) -> None:
    table = pd.read_csv(data)
    kept = table.drop(index=[*range(1, 8), *range(10, 14)])  # leaves 3 and 6 of the first two classes
    kept.to_csv(data, index=False)
    order = (data, "--way", 3, "--shot", "1,3", "--queries", 4, "--episodes", 2, "--methods", "prototypes")
    told = call(*order, "--out", tmp_path / "a")
    line = "2 classes have fewer than the 3 + 4 samples of an episode, and take part in none: class 0 (3), class 1 (6)"
    assert line in told
    assert json.loads((tmp_path / "a" / "episodes.json").read_text())["too_few"] == {"class 0": 3, "class 1": 6}
    page = (tmp_path / "a" / "report.html").read_text()
    assert line in page
    assert "drawn anew in each episode from 6 of" in page
    told = call(*order[:5], "--queries", 3, *order[7:], "--out", tmp_path / "b")
    assert "1 class has fewer than the 3 + 3 samples of an episode, and takes part in none: class 0 (3)" in told


def test_what_cannot_be_is_named_before_work(data: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "never")
    assert "way must be at most 8" in call(data, "--way", 9, "--shot", 1, "--queries", 3, *out, code=1)
    assert "50 shots and 15 queries need 65 samples" in call(data, "--shot", 50, *out, code=1)
    assert "does not learn from a handful" in call(data, "--methods", "glc", *out, code=1)
    assert "called 'prototype'; did you mean 'prototypes'?" in call(data, "--methods", "prototype", *out, code=1)
    unlike = call(data, "--methods", "nothere", *out, code=1)
    assert "no method is called 'nothere'; of a handful of labelled samples learn: prototypes, " in unlike
    assert "bm25" not in unlike
    assert "base must be above 0" in call(data, "--methods", "crlnet", *out, code=1)
    assert "reads maps" in call(
        data, "--way", 3, "--queries", 3, "--base", 0.5, "--methods", "prototypes,crlnet", *out, code=1
    )
    assert "hard must be one of" in call(data, "--hard", "dark", *out, code=1)
    assert "must hold pictures" in call(data, "--way", 3, "--queries", 3, "--hard", "small", *out, code=1)
    assert "each once" in call(data, "--methods", "prototypes,prototypes", *out, code=1)
    assert "whole numbers" in call(data, "--shot", "few", *out, code=1)
    assert not (tmp_path / "never").exists()


def test_the_methods_that_an_episode_can_fit_are_known_by_their_cards() -> None:
    assert {"prototypes", "linear-probe", "fewshot-sfda"} <= set(few_shot_methods())
    assert "glc" not in few_shot_methods(with_source=True)
    assert "crlnet" in few_shot_methods(with_source=True)
    assert "crlnet" not in few_shot_methods()


@pytest.fixture
def drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight folders of six pictures: stripes and squares of a colour each."""
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    for k in range(8):
        folder = tmp_path / "drawings" / f"class {k}"
        folder.mkdir(parents=True)
        for i in range(6):
            x = np.full((40, 40, 3), 255, dtype=np.uint8)
            x[8:32:4, 8:32] = (30 * k, 255 - 30 * k, 17 * k)
            x[8 + k : 20 + k, 10:24] = rng.integers(0, 60, 3)
            Image.fromarray(x).save(folder / f"{i}.png")
    return tmp_path / "drawings"


def test_hard_queries_are_asked_of_all_methods_and_one_that_learns_once_is_adapted(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.methods.few_shot.crlnet import CRLNet

    fits: list[Any] = []
    plain = CRLNet.fit

    @functools.wraps(plain)
    def counted(self: Any, **given: Any) -> Any:
        fits.append(given)
        return plain(self, **given)

    monkeypatch.setattr(CRLNet, "fit", counted)
    order = (
        drawings, "--way", 3, "--shot", "1,2", "--queries", 2, "--episodes", 3, "--methods", "prototypes,crlnet",
        "--encoder", "efficientnet-lite0?size=64&regions=2", "--base", 0.5, "--set", "steps=3", "--set", "channels=8",
        "--set", "hidden=8", "--set", "ffn=8",
    )  # fmt: skip
    call(*order, "--hard", "small", "--severity", 2, "--out", tmp_path / "hard")
    assert len(fits) == 1
    assert set(fits[0]) == {"source", "auxiliary"}
    assert len(fits[0]["auxiliary"]) == 2 * len(fits[0]["source"])
    figures = json.loads((tmp_path / "hard" / "episodes.json").read_text())
    assert (figures["hard"], figures["severity"]) == ("small", 2)
    assert [row["method"] for row in figures["methods"]] == ["prototypes", "prototypes", "crlnet", "crlnet"]
    page = (tmp_path / "hard" / "report.html").read_text()
    assert "What is asked about is hard: from far away" in page
    call(*order, "--out", tmp_path / "clean")
    assert "What is asked about is hard" not in (tmp_path / "clean" / "report.html").read_text()
    rows = [pd.read_csv(tmp_path / name / "episodes.csv") for name in ("hard", "clean")]
    assert not rows[0].equals(rows[1])
