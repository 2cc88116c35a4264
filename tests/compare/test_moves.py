"""A saved model goes on to another target by its method's own step, in Python and on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import unseen
from unseen import cli, methods
from unseen.bundle import Bundle
from unseen.compare.moves import STEPS, move, moves
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs

QUICK = {**methods.get("meta-dmoe").card.smoke, "alpha": 0.5}


def features(seed: int, shift: float = 0.0, n: int = 90) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = (4 * np.eye(5)[y] + rng.normal(size=(n, 5)) + shift).astype(np.float32)
    domain = np.array([f"d{i // 3 % 3}" for i in range(n)])
    return Domain(x=x, y=y, classes=ClassSpace(names=("ant", "bee", "cat")), columns={"domain": domain}, name="f")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moves") / "m"
    unseen.adapt(method="meta-dmoe", settings=QUICK, source=features(0), out=folder)
    return folder


def table(file: Path, domain: Domain) -> str:
    pd.DataFrame(domain.x, columns=list("pqrst")).to_csv(file, index=False)
    return str(file)


def test_a_saved_model_takes_the_step_that_its_method_takes(saved: Path, tmp_path: Path) -> None:
    model, target = Bundle.load(saved), features(1, shift=2)
    before = model.scores(target)
    moved = move(model, target, out=tmp_path / "there")
    by_hand = model.method.adapt(target=target).decision_function(target) / model.temperature
    assert torch.equal(moved.scores(target), by_hand)
    assert torch.equal(Bundle.load(tmp_path / "there").scores(target), by_hand)
    assert torch.equal(model.scores(target), before)
    assert not torch.equal(by_hand, before)
    assert (moved.temperature, moved.threshold) == (model.temperature, model.threshold)


def test_labels_of_the_target_make_no_difference(saved: Path) -> None:
    model, target = Bundle.load(saved), features(1, shift=2)
    wrong = target.replace(y=(target.labels + 1) % 3)
    assert torch.equal(move(model, target).scores(target), move(model, wrong).scores(target))


def test_a_method_that_learns_once_says_which_go_on(tmp_path: Path) -> None:
    model = unseen.adapt(method="standardize", source=features(0), target=features(1))
    with pytest.raises(
        ValueError, match=r"goes on to unlabeled samples of another target \(.*meta-dmoe.*\); it is a saved"
    ):
        move(model, features(2))
    able = {word: {slug for slug in methods.slugs() if moves(methods.get(slug), word)} for word in STEPS}
    assert able["target"] == {"meta-dmoe"}
    assert {"x-clip", "mug-stan"} <= able["classes"]
    assert {"cdfsl-v", "dafosnet"} <= able["support"]


def test_exactly_one_thing_to_go_on_to_is_given(saved: Path) -> None:
    model = Bundle.load(saved)
    for given in ({}, {"target": features(1), "classes": "ant,bee"}):
        with pytest.raises(ValueError, match="one of target, classes, support must be given"):
            move(model, **given)  # type: ignore[arg-type]


def test_names_that_a_method_reads_as_vectors_point_to_its_own_command() -> None:
    rng = np.random.default_rng(0)
    sides = (Domain(x=rng.normal(size=(12, 5)).astype(np.float32), name=name) for name in ("left", "right"))
    model = Bundle(method=methods.get("ridge-map")().fit(pairs=Pairs(*sides)), classes=ClassSpace(names=("a", "b")))
    with pytest.raises(ValueError, match="ridge-map cannot name these classes: classes must carry embeddings"):
        move(model, classes="c,d")


def clouds(names: str, seed: int) -> Domain:
    """Ten samples of each letter, around a place of its own."""
    rng, y = np.random.default_rng(seed), np.arange(10 * len(names)) % len(names)
    places = 4 * np.random.default_rng(ord(names[0])).normal(size=(len(names), 5))
    x = (places[y] + rng.normal(size=(len(y), 5))).astype(np.float32)
    return Domain(x=x, y=y, classes=ClassSpace(names=tuple(names)), name="clouds")


def test_other_classes_are_named_by_a_handful(tmp_path: Path) -> None:
    settings = dict(methods.get("dafosnet").card.smoke)
    model = unseen.adapt(method="dafosnet", settings=settings, source=clouds("abcdef", 0), support=clouds("rstu", 1))
    moved = move(model, support=clouds("xyz", 2), out=tmp_path / "there")
    assert moved.classes.names == ("x", "y", "z")
    asked = clouds("xyz", 3)
    again = Bundle.load(tmp_path / "there").predict(asked.unlabeled())
    assert (again["class"].to_numpy() == np.array(list("xyz"))[asked.labels]).mean() > 0.6
    with pytest.raises(ValueError, match="support must have labels"):
        move(model, support=asked.unlabeled())


def test_on_the_command_line_a_model_needs_no_method_and_takes_nothing_that_its_fit_has_settled(
    saved: Path, tmp_path: Path
) -> None:
    target, out = table(tmp_path / "new.csv", features(1, shift=2)), str(tmp_path / "there")
    run = CliRunner().invoke
    done = run(cli.app, ["adapt", "--model", str(saved), "--target", target, "--out", out])
    assert done.exit_code == 0, done.output
    assert "is adapted to" in done.output
    assert Bundle.load(out).method.card.slug == "meta-dmoe"
    for extra, told in (
        (["--model", str(saved)], "name a --method to fit, or a saved --model and what it goes on to"),
        (
            ["--model", str(saved), "--target", target, "--source", target, "--set", "alpha=1"],
            "--source, --set cannot be changed in a saved",
        ),
    ):
        done = run(cli.app, ["adapt", *extra, "--out", str(tmp_path / "none")])
        assert told in str(done.exception)
    assert not (tmp_path / "none").exists()
