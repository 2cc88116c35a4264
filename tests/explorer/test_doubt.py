"""Whether a query found more than any query finds, and what a hit is called where there is no picture to look at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")

from unseen import encoders
from unseen.cli import app
from unseen.curation.doubt import by_chance, share_a_word
from unseen.curation.retrieval import Query, RetrievalService, Term

from .conftest import Colours, picture


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "get", lambda name, **more: Colours())


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.mark.parametrize("n", [35, 1000])
def test_the_greatest_of_n_normal_draws_is_as_great_as_it_is_said(n: int) -> None:
    draws = np.random.default_rng(0).normal(0.2, 0.05, (2000, n))
    usual = np.array([0.15, 0.25])  # of that mean and spread
    assert by_chance(usual, n) == pytest.approx(draws.max(axis=1).mean(), abs=0.003)  # 2,000 draws, four errors


def test_words_that_name_nothing_are_shared_by_all_and_count_for_nothing() -> None:
    assert share_a_word(["a picture of a Zebra"], ["zebra, standing"])
    assert not share_a_word(["the car of the man"], ["the drawing of a bird"])


def test_what_is_not_in_the_collection_is_told_to_be_weak(colours_folder: Path) -> None:
    service = RetrievalService.open(colours_folder, encoder=Colours())
    by = {word: service.search(Query(terms=[Term("text", word)], safe=False)).weak for word in ("dark", "red", "blue")}
    assert by == {"dark": True, "red": False, "blue": False}  # no picture is dark, no caption says so
    seen = service.search(Query(terms=[Term("text", "dark"), Term("image", picture((250, 5, 5)))]))
    assert not seen.weak  # a picture was shown: its like is there, whatever captions say


class Brief(Colours):
    """Reads two words."""

    def cuts(self, texts: list[str]) -> list[bool]:
        return [len(text.split()) > 2 for text in texts]


def test_words_behind_the_context_are_told_not_to_be_read(
    colours_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = RetrievalService.open(colours_folder, encoder=Brief())
    shown, line = Term("image", picture((250, 5, 5))), "longer than the context of colours; what is behind is not read"
    assert service.search(Query(terms=[Term("text", "red green")], change="blue")).unread == ()
    assert service.search(Query(terms=[Term("text", "red red green")])).unread == (f"the text is {line}",)
    assert service.search(Query(terms=[shown], change="red red green")).unread == (f"the text is {line}",)
    assert service.search(Query(terms=[shown])).unread == ()
    monkeypatch.setattr(encoders, "get", lambda name, **more: Brief())
    assert line in run("explore", colours_folder, "--query", "red red green").stderr


def test_a_weak_answer_and_the_files_of_the_hits_are_said(colours_folder: Path) -> None:
    done = run("explore", colours_folder, "--query", "dark", "--k", "3")
    assert done.exit_code == 0, done.output
    assert "weak: none of these is nearer than" in done.stderr
    assert all(re.search(r" \d+\.png  (red|green|blue|=cmd)", line) for line in done.stdout.splitlines())
    assert json.loads(run("explore", colours_folder, "--query", "dark", "--json").stdout)["weak"] is True
    assert "weak" not in run("explore", colours_folder, "--query", "red").stderr
    listed = run("explore", colours_folder, "--where", "language=de", "--k", "2").stdout
    assert re.search(r"\d  1\.png  green", listed), listed
