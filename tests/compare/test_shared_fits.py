"""Candidates that differ in what only predictions read share their fits; what presets compute alike is done once."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen import catalogue
from unseen.compare.candidates import plan
from unseen.compare.cells import run_cell
from unseen.compare.fits import run_all, split
from unseen.compare.inputs import Inputs, prepare
from unseen.compare.shared_fits import Fits
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.adaptation import glc
from unseen.methods.adaptation.glc import GLC
from unseen.nn.state import digest
from unseen.scale import Engine

PAIRS = (("glc", "default"), ("glc", "global"), ("glc", "no-rejection"), ("glc", "paper"))
ALIKE = (PAIRS[0], PAIRS[2])


def domain(shift: float, seed: int, names: str = "abc") -> Domain:
    rng = np.random.default_rng(seed)
    y = np.arange(60) % len(names)
    x = (np.eye(8)[y] * 3 + rng.normal(size=(60, 8)) + shift).astype("float32")
    return Domain(x=x, y=y, classes=ClassSpace(names=tuple(names)), name=f"d{seed}")


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    """A small problem, on which all presets have an epoch or two."""
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    short = {name: {**told, "epochs": 1 + (name == "paper")} for name, told in GLC.card.presets.items()}
    monkeypatch.setattr(GLC, "card", dataclasses.replace(GLC.card, presets=short))
    return prepare(source=domain(0, 0), target=domain(1, 1))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many fits and maps by t-SNE there were."""
    count: Counter[str] = Counter()

    def counted(home: Any, name: str, what: str) -> None:
        original = getattr(home, name)
        monkeypatch.setattr(home, name, lambda *args: count.update([what]) or original(*args))

    counted(catalogue.Given, "fit", "fits")
    counted(glc, "_map_in_two_dimensions", "maps")
    return count


def content(cell: dict[str, Any]) -> str:
    """All of a cell but the time that it took."""
    return digest({key: value for key, value in cell.items() if key != "seconds"})


def test_a_preset_that_only_predicts_otherwise_is_not_fitted_again(inputs: Inputs, done: Counter[str]) -> None:
    cells = run_all(inputs, PAIRS, 2, None, Engine())
    assert done["fits"] == 2 * 3
    assert [cell["method"].reject for cell in cells[PAIRS[0]] + cells[PAIRS[2]]] == [True, True, False, False]
    for one, other in zip(*(cells[pair] for pair in ALIKE)):
        assert one["method"].network_ is other["method"].network_  # shared, not copied
        assert one["seconds"] == other["seconds"]
        assert (one["adapted"]["rejecting"] == -1).any()
        assert (other["adapted"]["rejecting"] >= 0).all()


def test_presets_that_start_alike_estimate_the_number_of_classes_once(inputs: Inputs, done: Counter[str]) -> None:
    run_all(inputs, PAIRS, 2, None, Engine())
    assert done["maps"] == 2  # of each seed's source model one


def test_what_is_shared_has_the_bits_of_what_each_candidate_does_by_itself(inputs: Inputs, done: Counter[str]) -> None:
    together = run_all(inputs, PAIRS, 1, None, Engine())
    done.clear()
    given, check = split(inputs, 0)
    for pair in PAIRS:
        assert content(together[pair][0]) == content(run_cell(inputs, given, check, *pair, 0, None))
    assert done == {"fits": 4, "maps": 4}


def test_a_run_that_goes_on_shares_what_was_fitted_before(inputs: Inputs, done: Counter[str], tmp_path: Path) -> None:
    before = run_all(inputs, ALIKE, 1, tmp_path, Engine())
    shutil.rmtree(tmp_path / "cells" / "glc-no-rejection-seed0")
    done.clear()
    after = run_all(inputs, ALIKE, 1, tmp_path, Engine())
    assert done["fits"] == 0
    assert [content(before[pair][0]) for pair in ALIKE] == [content(after[pair][0]) for pair in ALIKE]


def test_class_wise_validation_shares_its_fits_too(inputs: Inputs, done: Counter[str]) -> None:
    embeddings = np.eye(8)[:6]
    space = ClassSpace(names=tuple("abcdef"), embeddings=embeddings, seen=range(4))
    ready = prepare(source=domain(0, 0, "abcd"), target=domain(1, 1, "abcdef"), classes=space)
    cells = run_all(ready, ALIKE, 1, None, Engine())
    assert done["fits"] == 2
    given, check = split(ready, 0)
    for pair in ALIKE:
        assert "classwise" in cells[pair][0]
        assert content(cells[pair][0]) == content(run_cell(ready, given, check, *pair, 0, None))


def test_only_what_no_fit_reads_may_differ_within_a_group() -> None:
    pairs = (("source-only", "default"), *PAIRS, ("ridge", "default"), ("ridge", "generalized"))
    assert catalogue.sharing(pairs) == (
        (("source-only", "default"),), ALIKE, (("glc", "global"),), (("glc", "paper"),),
        (("ridge", "default"),), (("ridge", "generalized"),),
    )  # fmt: skip


def test_a_candidate_that_is_named_twice_is_fitted_once(inputs: Inputs, done: Counter[str]) -> None:
    cells = run_all(inputs, (PAIRS[0], PAIRS[0]), 1, None, Engine())
    assert done["fits"] == 1
    assert len(cells[PAIRS[0]]) == 1


def test_models_of_a_candidate_that_shares_nothing_are_not_kept(inputs: Inputs) -> None:
    given, _ = split(inputs, 0)
    alone, several = Fits(), Fits(2)
    for fits in (alone, several):
        first = fits.fit("a", given, catalogue.make("source-only"))
        assert fits.seconds["a"] > 0
        assert (fits.fit("a", given, catalogue.make("source-only")).network_ is first.network_) is (fits is several)


def test_a_copy_that_predicts_otherwise_leaves_the_first_as_it_was(inputs: Inputs) -> None:
    given, _ = split(inputs, 0)
    first = given.fit(catalogue.make("glc"))
    x = torch.as_tensor(domain(1, 1).x)
    before = first.predict(x).tolist()
    other = catalogue.predicting_as(first, catalogue.make("glc", "no-rejection", epochs=77))
    assert (other.get_params()["reject"], other.get_params()["epochs"]) == (False, 1)  # it did not learn for 77
    assert -1 in before
    assert -1 not in other.predict(x)
    assert first.predict(x).tolist() == before


def test_the_plan_counts_a_shared_fit_once_and_a_budget_leaves_out_all_that_it_serves(inputs: Inputs) -> None:
    todo = plan(inputs, "source-only,glc", seeds=1)
    assert todo.seconds["glc:no-rejection"] == 0
    assert "glc:no-rejection (with glc)" in todo.lines()[0]
    alone = plan(inputs, "glc:no-rejection", seeds=1)
    assert alone.seconds["glc:no-rejection"] == todo.seconds["glc"]
    little = plan(inputs, "source-only,glc:default,glc:no-rejection", seeds=1, budget=todo.seconds["glc"] / 2)
    assert little.candidates == (("source-only", "default"),)
    over = f"over the budget (about {todo.seconds['glc']:.0f} s)"
    assert little.left_out["glc"] == little.left_out["glc:no-rejection"] == over
