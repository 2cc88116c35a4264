"""Needs: each says what is lacking, its example lacks nothing, and another package may bring one."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import pytest

from unseen import methods
from unseen.catalogue import Given
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.base import Card, Method
from unseen.methods.needs import Compositions, Domains, Need, Regions, Related, SharedSpace, TrainableTowers, TwoTowers

CLASSES = ClassSpace(names=tuple("abcdef"), seen=range(4))
SOURCE = Domain(x=np.random.default_rng(0).normal(size=(24, 3)), y=np.arange(24) % 4, classes=CLASSES.take(range(4)))


def lacks(need: Need, shared_space: bool = False, **inputs: Any) -> str | None:
    return need.lacks(Given(inputs, shared_space=shared_space))


@pytest.mark.parametrize(
    ("need", "inputs", "told"),
    [
        (Compositions(), {"classes": CLASSES}, "pairs"),
        (Related(), {"classes": CLASSES}, "classes that are related"),
        (SharedSpace(), {"classes": CLASSES}, "two-tower encoder"),
        (Regions(), {"source": SOURCE}, "features of regions"),
        (Domains(3), {"source": SOURCE}, "at least 3 domains"),
        (TwoTowers(), {}, "two-tower model"),
        (TrainableTowers(), {}, "unseen continue"),
    ],
)
def test_a_need_says_what_is_lacking_and_nothing_of_words_that_are_missing(need: Need, inputs: Any, told: str) -> None:
    assert told in str(lacks(need, **inputs))
    assert need.first or lacks(need) is None


@pytest.mark.parametrize("need", [Compositions(), Domains(3), TwoTowers(), TrainableTowers()])
def test_an_example_lacks_nothing(need: Need) -> None:
    inputs = {"classes": CLASSES, "source": SOURCE, "encoder": object(), "model": object()}
    assert lacks(need, **{**inputs, **need.example(inputs)}) is None
    assert need.example({}) == {}


def test_embeddings_and_regions_are_found() -> None:
    embedded = CLASSES.replace(embeddings=np.ones((6, 3)))
    assert lacks(SharedSpace(), classes=embedded, shared_space=True) is None
    assert lacks(SharedSpace(), classes=embedded) is not None
    assert lacks(Regions(), source=SOURCE.replace(columns={"regions": np.ones((24, 2, 3))})) is None
    assert lacks(Regions(), source=SOURCE.replace(columns={"regions": np.repeat("north", 24)})) is not None


def test_a_card_finds_its_need_by_kind() -> None:
    assert methods.get("meta-dmoe").card.needed(Domains) == Domains(3)
    assert methods.get("coral").card.needed(Domains) is None


@dataclasses.dataclass(frozen=True)
class Many(Need):
    """At least `n` samples of the target: a need that no package of ours has."""

    n: int

    def lacks(self, given: Any) -> str | None:
        target = given.inputs.get("target")
        return None if target is None or len(target) >= self.n else f"needs {self.n} samples of the target"

    def check(self, word: str, value: Any) -> None:
        if word == "target" and len(value) < self.n:
            raise ValueError(f"target must have {self.n} samples; it has {len(value)}")


class Mine(Method):
    """Needs many samples."""

    card = Card(slug="mine", title="", venue="", needs=(Many(30),))

    def fit(self, *, target: Domain) -> Self:
        self.mean_ = target.x.mean()
        return self


def test_a_need_of_another_package_is_told_and_checked() -> None:
    given = {"target": SOURCE.unlabeled()}
    assert Given(given).why_not(Mine) == "needs 30 samples of the target"
    assert Given({}).why_not(Mine) == "needs target"
    with pytest.raises(ValueError, match="target must have 30 samples; it has 24"):
        Mine().fit(**given)
