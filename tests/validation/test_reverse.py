"""Reverse validation: right predictions can be learnt back from, wrong ones can not."""

import numpy as np
import pytest
import torch

from unseen.validation import nearest_means, reverse_validation


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


def test_another_learner_takes_the_place_of_the_means():
    x, y = _domain(9, 0.0, 0)
    assert reverse_validation(x, y, x, y, learner=lambda x, labels, other: np.zeros(len(other))) == pytest.approx(1 / 3)


def test_samples_and_labels_must_match():
    x, y = _domain(9, 0.0, 0)
    with pytest.raises(ValueError, match="target must have one label per sample"):
        reverse_validation(x, y[:3], x, y)
