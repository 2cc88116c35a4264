"""Methods that are named: what is refused before any work, and how long they are said to take."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from unseen import methods
from unseen.compare import adapt, compare, fits
from unseen.compare.candidates import fit_seconds, plan
from unseen.compare.consensus import too_few_labels, without_few_labels
from unseen.compare.inputs import prepare
from unseen.compare.introduction import cautions
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.operations import forward_operations
from unseen.nn.segmenters import small_unet
from unseen.scale import Engine


def table(columns: int = 8, samples: int = 12, seed: int = 0) -> Domain:
    x = np.random.default_rng(seed).normal(size=(samples, columns)).astype(np.float32)
    return Domain(x=x, y=np.arange(samples) % 2, classes=ClassSpace(names=("cat", "dog")), kind="features", name="t")


@pytest.mark.parametrize(
    ("slug", "command"), [("tent", "segment"), ("bm25", "rank"), ("ttm", "forecast"), ("gim", "match")]
)
def test_a_method_of_another_task_is_refused_before_any_work(slug: str, command: str) -> None:
    told = f"{slug} cannot run here: it is for another task, .*: `unseen {command}` runs it"
    said: list[str] = []
    with pytest.raises(ValueError, match=f"^method: {told}"):
        adapt(method=slug, source=table(), target=table(seed=1), say=said.append)
    with pytest.raises(ValueError, match=f"^methods: {told}"):
        compare(source=table(), target=table(seed=1), methods=[slug])
    assert not any("takes" in line for line in said)


def test_every_task_that_methods_have_is_run_by_a_command() -> None:
    from unseen.compare.wanted import COMMANDS

    cards = [methods.card(slug) for slug in methods.slugs()]
    assert {card.task for card in cards if card.kind == "method"} == {"class", *COMMANDS}


@pytest.mark.parametrize(("side", "steps", "least", "most"), [(64, 20, 1.0, 4.0), (256, 20, 20, 45), (256, 0, 1.5, 5)])
def test_tent_is_said_to_take_what_its_network_computes(side: int, steps: int, least: float, most: float) -> None:
    pictures = Domain(x=np.zeros((5, 3, side, side), np.float32), kind="image", name="t")
    words = {"target": pictures, "model": small_unet(4)}
    assert least < methods.get("tent")(steps=steps).expected_seconds(words) < most


def test_operations_are_counted_and_what_cannot_be_followed_has_none() -> None:
    class Asks(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * float(x.sum())

    assert forward_operations(nn.Conv2d(3, 4, 3, padding=1), (3, 8, 8)) == 2 * 3 * 4 * 9 * 64
    assert forward_operations(Asks(), (3, 8, 8)) is None


@pytest.mark.parametrize(("columns", "least", "most"), [(64, 0.3, 1.0), (1280, 0.6, 2.0), (10240, 3.0, 10.0)])
def test_distilling_is_said_to_take_what_was_measured(columns: int, least: float, most: float) -> None:
    support = table(columns)
    teachers = {"a": nn.Linear(columns, 3), "b": nn.Linear(columns, 2)}
    inputs = prepare(support=support, target=table(columns, 20, 1).unlabeled(), teachers=teachers)
    assert least < fit_seconds(inputs, "distill-similar", "default") < most
    assert fit_seconds(inputs, "distill-similar", "paper") > 100 * fit_seconds(inputs, "distill-similar", "default")


def test_more_steps_take_longer() -> None:
    inputs = prepare(support=table(), target=table(seed=1).unlabeled())
    usual, longer = methods.get("fixmatch")(), methods.get("fixmatch")(steps=4000)
    once = fit_seconds(inputs, "fixmatch", "default", usual)
    assert fit_seconds(inputs, "fixmatch", "default", longer) == pytest.approx(10 * once)


@pytest.mark.parametrize(("labels", "encoded", "run"), [(8, True, False), (9, True, True), (8, False, True)])
def test_what_learns_from_labels_is_not_run_where_they_have_no_say(labels: int, encoded: bool, run: bool) -> None:
    support = table(seed=2, samples=labels)
    ready = prepare(source=table(samples=40), target=table(samples=30, seed=1).unlabeled(), support=support)
    ready = dataclasses.replace(ready, encoder=SimpleNamespace(name="some") if encoded else None)  # type: ignore[arg-type]
    todo = plan(ready, seeds=1)
    learners = {"linear-probe", "fixmatch", "fewshot-sfda"}
    assert todo.consensus is not None
    assert learners & set(todo.names()) == (learners if run else {"linear-probe"})  # which is shown
    if not run:
        assert "fewer than 9 have no say" in todo.left_out["fixmatch"]
        assert learners < set(plan(ready, "all", 1).names())
        assert "fixmatch" in plan(ready, ["fixmatch", "coral"], 1).names()
        assert "fewshot-sfda" in plan(ready, seeds=1, protocol="open").names()  # there is no consensus


def test_all_classes_that_a_support_lacks_are_named() -> None:
    names = ClassSpace(names=("cat", "dog", "cow", "hen", "fox", "owl"))
    x = table(samples=24).x
    source = Domain(x=x, y=np.arange(24) % 6, classes=names, kind="features", name="s")
    inputs = prepare(source=source, target=table(samples=20, seed=1).unlabeled(), support=table(seed=2))
    (line,) = (line for line in cautions(inputs) if "the support has labels" in line)
    assert "2 of 6 classes, and none of 'cow', 'hen', 'fox', 'owl': " in line


def test_few_labels_have_a_say_where_they_are_all_that_is_known_of_a_class() -> None:
    names = ClassSpace(names=("cat", "dog", "cow"))
    support = table(seed=2, samples=6)
    new = Domain(x=support.x, y=np.array([0, 1, 2, 2, 2, 2]), classes=names, kind="features", name="few")
    for few, said in ((support, False), (new, True)):
        ready = prepare(source=table(samples=40), target=table(samples=30, seed=1).unlabeled(), support=few)
        ready = dataclasses.replace(ready, encoder=SimpleNamespace(name="some"))  # type: ignore[arg-type]
        assert too_few_labels(ready) is not said
        assert (without_few_labels(ready).support is None) is not said
        assert ("fixmatch" in plan(ready, seeds=1).names()) is said


def test_of_equal_fits_those_of_both_views_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they train on the source serves all of one view: two processes that meet seldom train the same."""
    ready = prepare(source=table(samples=40), target=table(samples=30, seed=1).unlabeled())
    ready = dataclasses.replace(ready, two_views=ready)
    pairs = tuple((slug, preset) for slug in ("shot", "aad", "glc") for preset in ("default", "views"))[:-1]
    asked: list[str] = []

    def noted(inputs: Any, jobs: Any, *_: Any) -> Any:
        asked.extend(f"{pair[0]}:{pair[1]}" for _, group in jobs for pair in group)
        return iter([{} for _ in group] for _, group in jobs)

    monkeypatch.setattr(fits, "_run", noted)
    fits.run_all(ready, pairs, 1, None, Engine(workers=1))
    assert asked == ["glc:default", "shot:views", "aad:views", "shot:default", "aad:default"]
