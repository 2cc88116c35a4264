"""Step E: find the best architectures of a space by a score that costs no training."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.nn.search_spaces.base import SearchSpace

Score = Callable[[Sequence[str]], NDArray[np.floating[Any]]]


@dataclasses.dataclass(frozen=True)
class Found:
    """Every architecture that was scored, the best first; `how` is ``all`` or ``evolution``."""

    architectures: tuple[str, ...]
    scores: NDArray[np.floating[Any]]
    how: str


def search(
    space: SearchSpace,
    score: Score,
    *,
    limit: int = 50_000,
    evaluations: int = 1000,
    population: int = 50,
    tournament: int = 10,
    batch: int = 512,
    seed: int = 0,
) -> Found:
    """Score all architectures of a space of at most `limit`, else evolve.

    Regularised evolution: the best of a random `tournament` of the population is mutated, and the oldest dies, until
    `evaluations` different architectures have a score.

    Raises
    ------
    ValueError
        If the tournament is larger than the population, or the population than what may be scored.
    """
    if len(space) <= limit:
        texts = [str(architecture) for architecture in space]
        parts = [texts[start : start + batch] for start in range(0, len(texts), batch)]
        return _sorted(texts, np.concatenate([score(part) for part in parts]), "all")
    if not 1 <= tournament <= population <= evaluations:
        expected = f"tournament <= population <= evaluations; got {tournament}, {population}, {evaluations}"
        raise ValueError(f"evolution needs {expected}")
    return evolve(space, score, evaluations, population, tournament, seed)


def evolve(space: SearchSpace, score: Score, evaluations: int, population: int, tournament: int, seed: int) -> Found:
    """Regularised evolution (Real et al., AAAI 2019)."""
    rng = np.random.default_rng(seed)
    first = space.sample(population, seed)
    scores = dict(zip(map(str, first), score([str(architecture) for architecture in first]).tolist()))
    alive = deque(map(str, first))
    tries = 0
    while len(scores) < min(evaluations, len(space)) and tries < 20 * evaluations:
        tries += 1
        fighters = rng.choice(len(alive), tournament, replace=False)
        parent = max((alive[int(i)] for i in fighters), key=scores.__getitem__)
        child = str(space.mutate(space.parse(parent), rng))
        if child not in scores:
            scores[child] = float(score([child])[0])
        alive.append(child)
        alive.popleft()
    return _sorted(list(scores), np.array(list(scores.values())), "evolution")


def _sorted(texts: Sequence[str], scores: NDArray[np.floating[Any]], how: str) -> Found:
    order = np.argsort(-scores, kind="stable")
    return Found(tuple(texts[i] for i in order), scores[order], how)
