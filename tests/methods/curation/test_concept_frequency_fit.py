"""The log-linear fit and its predictions: a planted law, the toy of the spec, permutations, intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.methods.curation.concept_frequency import (
    Curve,
    bootstrap,
    concepts_needed,
    corpus_correlation,
    count_interval,
    fit_log_linear,
    generation_scores,
    highest_level,
    learn_curve,
    permutation_p,
    published_curve,
    published_curves,
    retrieval_scores,
    without_similar,
)
from unseen.methods.curation.concept_frequency.fit import binned, log_counts
from unseen.methods.curation.concept_frequency.published import corpus_size, thinned

COUNTS = np.array([0, 0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000])
SCORES = np.array([5, 15, 10, 20, 22, 30, 33, 41, 45, 52, 55, 63.0])


def planted(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    counts = np.exp(rng.uniform(0, 12, n)).round()
    return counts, 10 + 5 * np.log(np.maximum(counts, 1)) + rng.normal(0, noise, n)


def test_a_planted_law_is_found() -> None:
    counts, scores = planted(400, 8)
    found, spread = fit_log_linear(counts, scores), bootstrap(counts, scores)
    assert spread.slope[0] < 5 < spread.slope[1]
    assert found.r > 0.98
    assert found.slope_per_decade == pytest.approx(found.slope * math.log(10))
    assert found.aic_log < found.aic_linear
    assert found.residual == pytest.approx(8, rel=0.1)
    exact = fit_log_linear(*planted(400, 0))
    assert exact.slope == pytest.approx(5)
    assert exact.raw_r == pytest.approx(1)
    assert exact.r > 0.999


def test_a_planted_linear_law_prefers_the_count_itself() -> None:
    counts = np.arange(1, 200)
    found = fit_log_linear(counts, 3.0 * counts + np.random.default_rng(0).normal(size=199))
    assert found.aic_linear < found.aic_log
    assert found.linear_raw_r > found.raw_r


def test_the_toy_of_the_spec() -> None:
    x = log_counts(COUNTS)
    edges, means, ns = binned(x, SCORES)
    index = np.digitize(x, np.linspace(x.min(), x.max(), 12), right=True)
    assert index.tolist() == [0, 0, 0, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert ns.tolist() == [3, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1]
    assert np.isnan(means[[1, 6]]).all()  # empty, which the official code cannot read
    found = fit_log_linear(COUNTS, SCORES)
    inner = [k for k in range(1, 11) if ns[k]]
    assert found.r == pytest.approx(np.corrcoef(edges[inner], means[inner])[0, 1])
    assert found.r > 0.98
    assert found.raw_r == pytest.approx(0.98988, abs=5e-6)


def test_counts_of_0_and_1_are_alike_and_out_of_r() -> None:
    assert log_counts(np.array([0, 1])).tolist() == [0, 0]
    changed = SCORES.copy()
    changed[:3] += 40
    assert fit_log_linear(COUNTS, changed).r == fit_log_linear(COUNTS, SCORES).r
    assert fit_log_linear(COUNTS, changed).raw_r != fit_log_linear(COUNTS, SCORES).raw_r
    last = SCORES.copy()
    last[-1] = 0
    assert fit_log_linear(COUNTS, last).r == fit_log_linear(COUNTS, SCORES).r
    assert fit_log_linear(COUNTS, SCORES, drop_first=3).r != fit_log_linear(COUNTS, SCORES).r


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.floats(0.1, 50), st.floats(-100, 100))
def test_order_and_units_do_not_matter(order: list[int], factor: float, shift: float) -> None:
    one, other = fit_log_linear(COUNTS, SCORES), fit_log_linear(COUNTS[order], SCORES[order] * factor + shift)
    assert other.r == pytest.approx(one.r)
    assert other.slope == pytest.approx(one.slope * factor)


def test_shuffled_scores_lose_the_correlation() -> None:
    counts, scores = planted(300, 8)
    assert permutation_p(counts, scores, draws=200) == pytest.approx(1 / 201)
    shuffled = np.random.default_rng(5).permutation(scores)
    assert abs(fit_log_linear(counts, shuffled).raw_r) < 0.15
    assert permutation_p(counts, shuffled, draws=200) > 0.02


def test_a_linear_gain_takes_exponentially_more_data() -> None:
    found = fit_log_linear(*planted(100, 0))
    at = [found.data_needed(score) for score in (20, 30, 40)]
    assert at[0] == pytest.approx(math.exp(2))
    assert at[2] / at[1] == pytest.approx(at[1] / at[0])
    np.testing.assert_allclose(found.predict(np.array(at)), [20, 30, 40])
    assert fit_log_linear(COUNTS, SCORES[::-1]).data_needed(50) == math.inf


@pytest.mark.parametrize(
    ("counts", "scores", "message"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([1, 2, 3], [1, 2], "one shape"),
        ([1, 2, math.nan], [1, 2, 3], "finite"),
        ([-1, 2, 3], [1, 2, 3], "at least 0"),
        ([0, 1, 1], [1, 2, 3], "counts must differ"),
    ],
)
def test_what_cannot_be_fitted_is_refused(counts: list[float], scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_log_linear(np.array(counts), np.array(scores))


# -- predictions -------------------------------------------------------------------------------------------


def test_intervals_cover_classes_that_were_not_seen() -> None:
    covered, widths = [], []
    for seed in range(40):
        counts, scores = planted(120, 8, seed)
        scores = np.clip(scores, 0, 100)
        curve = learn_curve(counts[:80], scores[:80])
        middle, low, high = curve.predict(counts[80:])
        assert ((low <= middle) & (middle <= high)).all()
        covered.append(((low <= scores[80:]) & (scores[80:] <= high)).mean())
        widths.append((high - low).mean())
    assert 0.88 <= np.mean(covered) <= 0.97  # 1,600 classes: a standard error of 0.8 points
    assert np.mean(widths) < 50


def test_errors_that_grow_with_frequency_have_intervals_that_do() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 12, 600)
    curve = learn_curve(np.exp(x), 50 + x + rng.normal(0, 0.2 + x / 3))
    _, low, high = curve.predict(np.exp([0.5, 11.5]))
    assert high[1] - low[1] > 2 * (high[0] - low[0])


def test_few_concepts_give_no_bounds() -> None:
    curve = learn_curve(COUNTS[:6], SCORES[:6])
    assert [float(side[0]) for side in curve.predict(np.array([5]))[1:]] == [0, 100]
    with pytest.raises(ValueError, match="at least 5"):
        learn_curve(COUNTS[1:5], SCORES[1:5])
    with pytest.raises(ValueError, match="scores must lie"):
        learn_curve(COUNTS, SCORES * 10)
    with pytest.raises(ValueError, match="level"):
        curve.predict(np.array([5]), 1.0)


@pytest.mark.parametrize("level", [0.5, 0.65, 0.8, 0.9, 0.95, 0.99])
def test_an_interval_has_ends_from_as_many_concepts_on_as_are_said_to_be_needed(level: float) -> None:
    needed = concepts_needed(level)
    for n in (needed - 1, needed):
        curve = Curve(1.0, 0.0, (), (tuple(np.linspace(-1, 1, n)),), -np.inf, np.inf, n)
        assert np.isfinite(curve.predict(np.array([5]), level)[1:]).all() == (n == needed)


def test_the_highest_level_is_one_of_which_there_are_intervals() -> None:
    assert concepts_needed(0.9) == 19
    assert [highest_level(n) for n in (2, 5, 9, 10, 19, 39)] == [0.3, 0.65, 0.8, 0.8, 0.9, 0.95]
    assert all(concepts_needed(highest_level(n)) <= n < concepts_needed(highest_level(n) + 0.05) for n in range(2, 39))


def test_published_curves_come_along() -> None:
    names = published_curves()
    assert "laion400m/ViT-B-16/text" in names
    for name in names:
        curve = published_curve(name)
        middle, low, high = curve.predict(np.array([0, 100, 10**6]))
        assert (np.diff(middle) > 0).all()
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert curve.n > 3000
        assert corpus_size(name) >= 3_000_000
    with pytest.raises(ValueError, match="no published curve"):
        published_curve("nobody")


def test_a_thinned_curve_has_the_same_intervals() -> None:
    counts, scores = planted(3000, 8)
    curve = learn_curve(counts, scores, low=-np.inf, high=np.inf)
    at = np.array([2, 100, 10_000])
    for level in (0.5, 0.9):
        np.testing.assert_allclose(thinned(curve).predict(at, level), curve.predict(at, level), atol=0.5)


# -- controls ----------------------------------------------------------------------------------------------


def test_corpora_that_are_multiples_of_each_other_correlate_fully() -> None:
    found = corpus_correlation(COUNTS, 7 * COUNTS)
    assert (found.pearson, found.spearman) == (pytest.approx(1), pytest.approx(1))
    assert corpus_correlation(COUNTS, COUNTS[::-1]).spearman < 0
    with pytest.raises(ValueError, match="within each corpus"):
        corpus_correlation(COUNTS, np.ones(12))


def test_samples_nearer_than_the_training_set_are_removed() -> None:
    rng = np.random.default_rng(0)
    corpus, test, train = rng.normal(size=(300, 5)), rng.normal(size=(20, 5)), rng.normal(size=(60, 5))

    def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T

    stays = without_similar(corpus, test, train)
    naive = [all(c <= t.max() + 1e-6 for c, t in zip(row, cosine(test, train))) for row in cosine(corpus, test)]
    assert stays.tolist() == naive
    assert 0 < stays.sum() < 300
    assert not without_similar(test, test, train).any()
    assert without_similar(train, test, train).all()
    with pytest.raises(ValueError, match="not empty"):
        without_similar(corpus, test, train[:0])


def test_recall_of_a_concept_is_over_the_items_that_hold_it() -> None:
    similarity = np.array([[9, 1, 0], [8, 2, 0], [0, 0, 5.0]])
    found = retrieval_scores(similarity, [["dog", "cat"], ["dog"], ["car"]])
    assert found["dog"] == {"text to image": 50, "image to text": 100, "n": 2}
    assert found["car"] == {"text to image": 100, "image to text": 100, "n": 1}
    assert retrieval_scores(similarity, [["dog"], ["dog"], []], k=2)["dog"]["text to image"] == 100
    with pytest.raises(ValueError, match="k must lie"):
        retrieval_scores(similarity, [[], [], []], k=4)


def test_generation_is_expected_and_best() -> None:
    found = generation_scores(np.array([[1, 3], [5, 5.0]]), [["dog"], ["dog", "cat"]])
    assert found["dog"] == {"expected": pytest.approx(3.5), "best": pytest.approx(4), "n": 2}
    assert found["cat"]["best"] == pytest.approx(5)


def test_ties_count_by_chance_and_nan_is_refused() -> None:
    found = retrieval_scores(np.ones((4, 4)), [["dog"]] * 4, k=1)
    assert found["dog"] == {"text to image": pytest.approx(25), "image to text": pytest.approx(25), "n": 4}
    assert retrieval_scores(np.ones((4, 4)), [["dog"]] * 4, k=4)["dog"]["text to image"] == 100
    with pytest.raises(ValueError, match="similarity must be finite"):
        retrieval_scores(np.array([[np.nan, 0], [0, 1.0]]), [["dog"], ["cat"]])


def test_shuffling_says_nothing_without_a_binned_correlation() -> None:
    assert np.isnan(permutation_p(np.array([1, 1, 1, 100, 100]), np.array([1, 2, 3, 4, 5.0])))


def test_the_middle_is_inside_its_interval() -> None:
    curve = Curve(1.0, 50.0, (), (tuple(np.linspace(5, 20, 99).tolist()),), 0.0, 100.0, 99)
    middle, low, high = curve.predict(np.array([0, 10]))
    assert (low <= middle).all()
    assert (middle <= high).all()


def test_an_interval_of_a_poisson_rate() -> None:
    low, high = count_interval(np.array([0, 1, 10, 1000]), 0.9)
    np.testing.assert_allclose(low[:3], [0, 0.0513, 5.425], atol=1e-3)
    np.testing.assert_allclose(high[:3], [2.996, 4.744, 16.962], atol=1e-3)
    rng = np.random.default_rng(0)
    for rate in (0.5, 3.0, 40.0):
        least, most = count_interval(rng.poisson(rate, 4000), 0.9)
        assert ((least <= rate) & (rate <= most)).mean() > 0.885


def test_a_count_that_is_not_known_widens_the_interval_to_the_union() -> None:
    wide, small = tuple(np.linspace(-40, 40, 99).tolist()), tuple(np.linspace(-1, 1, 99).tolist())
    curve = Curve(3.0, 30.0, (2.0, 4.0), (small, wide, small), 0.0, 100.0, 297)
    middle, low, high = curve.predict_within(np.array([2.0]), np.array([10.0]), np.array([1000.0]))
    grid = curve.predict(np.geomspace(2, 1000, 5000))
    assert low[0] == pytest.approx(grid[1].min(), abs=0.01)
    assert high[0] == pytest.approx(grid[2].max(), abs=0.01)
    assert middle[0] == curve.predict(np.array([10.0]))[0][0]
