"""Search by score: all of a small space, evolution of a large one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from unseen.nn.search_spaces import get
from unseen.nn.search_spaces.search import search

CELLS = get("cells")


def convolutions(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.count("conv3x3") + int(text[1 : text.index("/")]) / 100 for text in texts])


def test_a_space_within_the_limit_is_scored_whole() -> None:
    asked: list[str] = []

    def score(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return convolutions(texts)

    found = search(CELLS, score, limit=50_000, batch=10_000)
    assert found.how == "all"
    assert len(set(asked)) == len(asked) == len(CELLS)
    assert found.architectures[0] == "w16/" + "/".join(["conv3x3"] * 6)
    assert (np.diff(found.scores) <= 0).all()


def test_evolution_finds_better_ones_than_chance_with_as_many_scores() -> None:
    asked: list[str] = []

    def score(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return convolutions(texts)

    found = search(CELLS, score, limit=100, evaluations=300, population=30, tournament=8, seed=1)
    assert found.how == "evolution"
    assert len(set(asked)) == len(asked) == 300  # no architecture is scored twice
    chance = convolutions([str(one) for one in CELLS.sample(300, 1)])
    assert found.scores[0] > chance.max() + 0.5
    assert (
        found.architectures
        == search(CELLS, convolutions, limit=100, evaluations=300, population=30, tournament=8, seed=1).architectures
    )


def test_numbers_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="tournament <= population <= evaluations; got 10, 50, 20"):
        search(CELLS, convolutions, limit=1, evaluations=20)
