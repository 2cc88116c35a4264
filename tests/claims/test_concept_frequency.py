"""The instruments of the claim on concept frequency: ladders, captions that are counted right, fixed effects."""

from __future__ import annotations

import numpy as np
import pytest

from unseen import claims
from unseen.claims import concept_frequency as claim
from unseen.claims.frequency_ladder import PROMPTS, World, corpus, ladder, noisy, pretrain, tokens


def test_the_search_counts_what_a_ladder_wrote() -> None:
    for case in ("printed", "abdefghijn", "ABCDEFGHIJ"):
        of = noisy(case, 0.1)
        sizes = ladder(claim.RUNGS, 3)
        chosen, captions = corpus(of, np.arange(len(of.y)), sizes, 0)
        assert claim.searched(of, captions).tolist() == sizes.tolist()
        assert np.bincount(of.y[chosen]).tolist() == sizes.tolist()
        assert len(set(chosen.tolist())) == len(chosen)
    with pytest.raises(ValueError, match="the ladder asks for"):
        corpus(of, np.arange(20), sizes, 0)


def test_what_a_concept_is_by_itself_does_not_count_within_concepts() -> None:
    rng = np.random.default_rng(0)
    counts = [rng.permutation([1, 3, 9, 27]) for _ in range(20)]
    own = np.array([0, 30, 60, 90.0])
    assert claim.within_concepts(counts, [own + np.log(c) for c in counts]) == pytest.approx(1)
    noise = [own + rng.normal(size=4) for _ in counts]
    assert abs(claim.within_concepts(counts, noise)) < 0.3


def test_a_model_learns_what_it_is_shown_often() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    of = World(np.eye(2)[y].astype(np.float32) + rng.normal(0, 0.1, (400, 2)).astype(np.float32), y, ("zebra", "lamp"))
    chosen, captions = corpus(of, np.arange(400), np.array([40, 40]), 0)
    model = pretrain(of, chosen, captions, 0)
    for style in PROMPTS:
        assert model.accuracy(of, np.arange(400), style).min() > 95
    assert tokens(["two zebras", "nobody"], model.lexicon).shape == (2, 1)


def test_a_long_tailed_set_is_balanced_and_of_the_rare_ones() -> None:
    for case in ("printed", "ABCDEFGHIJ"):
        of = noisy(case, 0.2)
        rows = claim.long_tailed(of, np.arange(500), of.concepts[:4], 20)
        assert np.bincount(of.y[rows]).tolist() == [20] * 4


def test_development_and_confirmation_share_no_case() -> None:
    for experiment in claims.get("concept-frequency").experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert not set(experiment.seeds) & set(experiment.fresh_seeds)
