"""The parts of LAION-5B's claim that can be wrong by themselves: the books, the small towers, the captions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from unseen.claims import laion, small_web
from unseen.curation.accounting import Accounting
from unseen.data.simulate.web import FAULTS, Thing
from unseen.data.simulate.web import small_web as build

THINGS = [
    Thing(f"v/{i}", Image.new("RGB", (32, 32), (9 * i, 20, 30)), {"en": f"a plain square, number {i}"})
    for i in range(12)
]


def test_every_planted_fault_has_a_reason_that_the_books_must_show() -> None:
    planted = [kind for kinds in laion.EXPECTED.values() for kind in kinds]
    assert sorted(planted) == sorted(FAULTS)


def test_books_that_are_right_miss_nothing_and_a_shifted_link_is_two_misses() -> None:
    web = build(THINGS, n_pages=4, each_fault=1)
    right = {reason: len(kinds) for reason, kinds in laion.EXPECTED.items()}
    assert laion.misses(Accounting(sum(right.values()) + 12, 12, right), web) == 0
    (first, second) = list(right)[:2]
    wrong = {**right, first: right[first] - 1, second: right[second] + 1}
    assert laion.misses(Accounting(sum(right.values()) + 12, 12, wrong), web) == 2
    extra = {**right, ("checks", "something new"): 1}
    assert laion.misses(Accounting(sum(right.values()) + 13, 12, extra), web) == 1


def test_hashed_words_are_of_fixed_length_and_know_scripts_without_spaces() -> None:
    grams = small_web.Grams()
    table = grams(["a red apple", "", "赤いりんごのイラスト", "word " * 500])
    assert table.shape == (4, small_web.LENGTH)
    assert table.max() < small_web.BUCKETS
    assert (table > 0).sum(dim=1).min() >= 1
    shared = set(table[2].tolist()) & set(grams(["りんごの絵"])[0].tolist()) - {0}
    assert len(shared) >= 3
    assert torch.equal(grams(["A  Red, apple."]), grams(["a red apple"]))


def test_towers_learn_pairs_and_name_pictures_better_than_chance() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(60, small_web.POOLED, generator=rng)
    names = [f"thing{i} of kind {i}" for i in range(60)]
    towers = small_web.learn(features, [[name] for name in names], seed=0, n_steps=60)
    accuracy = small_web.top_one(towers, features, np.arange(60), names)
    assert accuracy > 0.8
    again = small_web.learn(features, [[name] for name in names], seed=0, n_steps=60)
    assert torch.equal(towers.image.weight, again.image.weight)


@pytest.mark.parametrize("locale", list(small_web.FORMS))
def test_captions_hold_the_name_in_every_language(locale: str) -> None:
    for code in ("1F600", "1F34E", "1F697", "2600"):
        assert "NAME" in small_web._caption(locale, "NAME", ("tag",), code)
