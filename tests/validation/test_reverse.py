"""Reverse validation: right predictions can be learnt back from, wrong ones can not."""

import numpy as np
import pytest
import torch

from unseen.validation import cross_validated, nearest_means, nearest_neighbours, reverse_validation


def _domain(n, shift, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = np.eye(3)[:, :, None].repeat(2, axis=2).reshape(3, 6) * 6
    return torch.as_tensor(centres[y] + rng.normal(size=(n, 6)) + shift, dtype=torch.float32), y


def test_right_predictions_give_the_source_back_and_random_ones_do_not():
    source, y = _domain(90, 0.0, 0)
    target, truth = _domain(60, 3.0, 1)
    assert reverse_validation(target, truth, source, y) > 0.95
    guess = np.random.default_rng(0).integers(3, size=60)
    assert reverse_validation(target, guess, source, y) < 0.7


def test_more_wrong_predictions_score_lower():
    source, y = _domain(300, 0.0, 0)
    target, truth = _domain(300, 1.0, 1)
    scores = []
    for wrong in (0, 80, 160, 240):
        predicted = truth.copy()
        predicted[:wrong] = (predicted[:wrong] + 1) % 3
        scores.append(reverse_validation(target, predicted, source, y))
    assert scores[0] > scores[-1]
    assert scores == sorted(scores, reverse=True)


def test_one_predicted_class_scores_its_share():
    source, y = _domain(90, 0.0, 0)
    target, _ = _domain(60, 0.0, 1)
    assert reverse_validation(target, np.full(60, 2), source, y) == pytest.approx(1 / 3)


def test_nearest_means_by_a_naive_loop():
    x, y = _domain(30, 0.0, 0)
    other, _ = _domain(20, 2.0, 3)
    a, b = ((t - t.mean(0)) / t.std(0, unbiased=False) for t in (x, other))
    a = a / a.norm(dim=1, keepdim=True)
    means = [a[torch.as_tensor(y == c)].sum(dim=0) for c in range(3)]
    expected = [int(np.argmax([float(row @ m / m.norm()) for m in means])) + 5 for row in b]
    assert nearest_means(x, y + 5, other).tolist() == expected


def test_nearest_neighbours_by_a_naive_loop():
    x, y = _domain(30, 0.0, 0)
    other, _ = _domain(20, 2.0, 3)
    a, b = ((t - t.mean(0)) / t.std(0, unbiased=False) for t in (x, other))
    expected = [y[int(torch.cosine_similarity(a, row[None]).argmax())] + 5 for row in b]
    assert nearest_neighbours(x, y + 5, other).tolist() == expected


def test_neighbours_see_predictions_that_follow_counterparts_and_means_do_not():
    rng = np.random.default_rng(0)
    x, y = torch.as_tensor(rng.normal(size=(200, 16)), dtype=torch.float32), rng.integers(8, size=200)
    target, wrong = x + 0.1 * torch.as_tensor(rng.normal(size=x.shape), dtype=torch.float32), rng.integers(8, size=200)
    right, guess = (reverse_validation(target, told, x, y, nearest_neighbours) for told in (y, wrong))
    assert (right, guess) == (1.0, pytest.approx(1 / 8, abs=0.07))
    assert reverse_validation(target, y, x, y) < 0.7  # classes without a place of their own have no telling mean


def test_a_learner_is_graded_on_folds_that_it_did_not_learn():
    x, y = _domain(60, 0.0, 0)
    assert cross_validated(nearest_means, x, y) > 0.95
    asked = []

    def spy(x, labels, other):
        asked.append((len(labels), len(other), sorted(set(labels))))
        return np.zeros(len(other))

    assert cross_validated(spy, x, y) == pytest.approx(1 / 3)
    assert asked == [(48, 12, [0, 1, 2])] * 5
    assert cross_validated(nearest_neighbours, x, np.random.default_rng(0).integers(3, size=60)) < 0.6
    with pytest.raises(ValueError, match="at least two"):
        cross_validated(spy, x[:1], y[:1])


def test_another_learner_takes_the_place_of_the_means():
    x, y = _domain(9, 0.0, 0)
    assert reverse_validation(x, y, x, y, learner=lambda x, labels, other: np.zeros(len(other))) == pytest.approx(1 / 3)


def test_samples_and_labels_must_match():
    x, y = _domain(9, 0.0, 0)
    with pytest.raises(ValueError, match="target must have one label per sample"):
        reverse_validation(x, y[:3], x, y)
