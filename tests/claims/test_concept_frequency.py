"""The instruments of the claim on concept frequency: ladders, captions that are counted right, fixed effects."""

from __future__ import annotations

import numpy as np
import pytest

from unseen import claims
from unseen.claims import concept_frequency as claim
from unseen.claims.frequency_ladder import (
    HELD_OUT,
    HIGH_NOISE,
    LOW_NOISE,
    NOISE,
    PROMPTS,
    World,
    base,
    corpus,
    ladder,
    pretrain,
    split_emoji,
    tokens,
    world,
)


def test_the_search_counts_what_a_ladder_wrote() -> None:
    for case in ("printed", "abdefghijn", "ABCDEFGHIJ"):
        of = world(case, 0.1)
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
        of = world(case, 0.2)
        rows = claim.long_tailed(of, np.arange(500), of.concepts[:4], 20)
        assert np.bincount(of.y[rows]).tolist() == [20] * 4


def test_development_and_confirmation_share_no_case() -> None:
    for experiment in claims.get("concept-frequency").experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert not set(experiment.seeds) & set(experiment.fresh_seeds)


def test_equal_factors_and_equal_steps_are_as_many_pairs_and_steps_of_training() -> None:
    assert sum(claim.RUNGS) == sum(claim.EVEN) == 199
    assert len(claim.RUNGS) == len(claim.EVEN) == 10
    steps = np.diff(claim.EVEN)
    assert np.ptp(steps) <= 1


def test_one_noise_is_used_by_every_case() -> None:
    for case in ("printed", "abcdefghij"):
        a, b = world(case), world(case, NOISE)
        np.testing.assert_array_equal(a.x, b.x)
    assert LOW_NOISE < NOISE < HIGH_NOISE
    for experiment in ("ladder", "similarity", "long tail"):
        assert f"noise of {NOISE} " in claims.get("concept-frequency").experiments[experiment].unit


def test_a_slope_that_differs_between_orders_has_a_wide_interval() -> None:
    counts = [np.array([1, 3, 9, 27, 81])] * 6
    alike = [3 * np.log(c) for c in counts]
    assert claim.least_slope(counts, alike) == pytest.approx(3 * np.log(10))
    apart = [(3 + 2 * (-1) ** k) * np.log(c) for k, c in enumerate(counts)]
    assert claim.least_slope(counts, apart) < 2.4 * np.log(10)


def test_as_many_of_every_concept_stay_at_random() -> None:
    rng = np.random.default_rng(0)
    labels, stays = rng.integers(4, size=200), rng.random(200) < 0.6
    kept = claim.at_random(labels, stays, 0)
    assert np.bincount(labels[kept]).tolist() == np.bincount(labels[stays]).tolist()
    assert (kept != stays).any()


def test_recall_is_over_one_caption_and_picture_of_each_concept() -> None:
    y = np.repeat(np.arange(3), 30)
    of = World(np.eye(3)[y].astype(np.float32), y, ("zebra", "lamp", "boat"))
    chosen, captions = corpus(of, np.arange(90), np.array([20, 20, 20]), 0)
    model = pretrain(of, chosen, captions, 0)
    for found in model.recalls(of, np.arange(90)).values():
        assert found.tolist() == [100, 100, 100]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1F46E-200D-2642-FE0F", "1F46E-200D-2640-FE0F"), ("1F468-200D-1F692", "1F469-200D-1F692"),
        ("1F44B", "1F44B-1F3FD"), ("1F934", "1F478"), ("2764-FE0F", "2764"),
    ],
)  # fmt: skip
def test_variants_of_an_emoji_have_one_base(a: str, b: str) -> None:
    assert base(a) == base(b)
    assert base("1F468-200D-1F692") != base("1F468-200D-1F680")


def test_no_variant_is_on_both_sides_of_a_split_and_no_vendor_in_two_cases() -> None:
    codes = np.array(
        [base(code) for code in ("1F46E", "1F46E-200D-2640-FE0F", "1F44B", "1F44B-1F3FD", "1F600", "1F601")]
    )
    of = World(np.zeros((6, 1), np.float32), np.zeros(6, np.int64), ("faces",))
    for seed in range(5):
        test, rest = split_emoji(of, codes, seed)
        assert not set(codes[test]) & set(codes[rest])
        assert len(set(codes[test])) == HELD_OUT
    experiment = claims.get("concept-frequency").experiments["emoji"]
    vendors = {"noto": "Google", "openmoji": "HfG", "twemoji": "Twitter", "fxemoji": "Mozilla"}
    cases = [
        {vendors.get(style, style.split("-")[0]) for style in case.split("+")}
        for case in (*experiment.development, *experiment.confirmation)
    ]
    assert len(experiment.confirmation) >= 2
    assert sum(map(len, cases)) == len(set().union(*cases))


def test_confirmation_is_on_pictures_of_things_that_people_drew() -> None:
    experiments = claims.get("concept-frequency").experiments
    rendered = set(experiments["synthetic"].confirmation)
    for name in ("ladder", "similarity", "long tail"):
        assert not rendered & set(experiments[name].confirmation)
        assert all(case.startswith("mnist") for case in experiments[name].confirmation)


def test_mnist_is_read_and_its_halves_share_no_picture() -> None:
    from unseen.data.sources import SourceUnavailable

    try:
        odd, even = world("mnist odd", 0.0), world("mnist even", 0.0)
    except SourceUnavailable as error:
        pytest.skip(str(error))
    assert odd.x.shape == even.x.shape == (2500, 64)
    assert np.bincount(odd.y).tolist() == np.bincount(even.y).tolist() == [250] * 10
    assert 0 <= odd.x.min() < 0.01
    assert 0.9 < odd.x.max() <= 1
    assert not {row.tobytes() for row in odd.x} & {row.tobytes() for row in even.x}
