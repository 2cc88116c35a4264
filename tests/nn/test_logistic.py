"""Logistic regression as a network."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.special import polygamma

from unseen.nn.logistic import PENALTIES, Span, _inverse_trigamma, fit_logistic, moderated_deviations, tuned_penalty


def blobs(classes: int, n: int = 60, d: int = 5) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(classes)
    y = np.arange(n) % classes
    return torch.as_tensor(rng.normal(size=(n, d)) + 2 * rng.normal(size=(classes, d))[y]).float(), y


@pytest.mark.parametrize("classes", [2, 4])
def test_it_gives_the_probabilities_of_scikit_learn(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = blobs(classes)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.7, max_iter=300)).fit(x.numpy(), y)
    with torch.no_grad():
        p = torch.softmax(fit_logistic(x, y, classes, C=0.7)(x), dim=1).numpy()
    np.testing.assert_allclose(p, reference.predict_proba(x.numpy()), atol=2e-3)  # two optimizers, float32


def test_a_class_without_samples_is_never_predicted_and_has_no_probability() -> None:
    x, y = blobs(3)
    with torch.no_grad():
        p = torch.softmax(fit_logistic(x, 2 * y, 6)(10 * x), dim=1)
    assert set(p.argmax(dim=1).tolist()) <= {0, 2, 4}
    assert float(p[:, [1, 3, 5]].max()) == 0.0


@pytest.fixture
def no_small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unseen.nn.logistic.WORTH_IT", 0)


@pytest.mark.parametrize("n", [1, 7, 30])
def test_samples_keep_their_products_in_their_span_and_weights_found_there_say_the_same_of_them(
    n: int, no_small_tables: None
) -> None:
    rows = torch.as_tensor(np.random.default_rng(n).normal(size=(n, 31)))
    rows[-1] = rows[0]  # one sample twice
    span = Span(rows)
    weight = torch.as_tensor(np.random.default_rng(0).normal(size=(3, n)))
    assert span.coordinates.shape == (n, n)
    torch.testing.assert_close(span.coordinates @ span.coordinates.T, rows @ rows.T)
    torch.testing.assert_close(rows @ span.of_features(weight).T, span.coordinates @ weight.T)


def test_as_many_samples_as_features_and_small_tables_are_left_as_they_are() -> None:
    for rows in (torch.randn(400, 400), torch.randn(3, 9)):
        assert Span(rows).coordinates is rows
        assert Span(rows).of_features(rows) is rows


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_more_features_than_samples_give_the_model_that_all_features_give(
    classes: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = blobs(classes, n=24, d=60)
    weights = torch.linspace(0.1, 2, 24) if weighted else None
    found = []
    for smallest in (10**9, 0):  # all features, then their span
        monkeypatch.setattr("unseen.nn.logistic.WORTH_IT", smallest)
        network = fit_logistic(x, y, classes, C=0.3, weights=weights, solver="newton-cg", max_iter=1000)
        with torch.no_grad():
            found.append(network(x.flip(0) * 1.1))
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=1e-3)  # each stops at a gradient below 1e-4


def test_one_class_is_told() -> None:
    x, _ = blobs(2)
    with pytest.raises(ValueError, match=r"two classes; all samples are of class \[1\]"):
        fit_logistic(x, np.ones(len(x), dtype=int), 3)


def test_it_is_silent_where_the_optimizer_stops_early() -> None:
    x, y = blobs(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_logistic(x * torch.logspace(-3, 3, x.shape[1]), y, 3, C=1e6, max_iter=2, standardize=False)


def test_newton_cg_ends_at_the_minimum_in_silence_also_on_wide_and_separable_rows() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 5)
    x = torch.as_tensor(3 * rng.normal(size=(25, 300)) + rng.normal(size=(5, 300))[y]).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = fit_logistic(x, y, 5, C=1.0, max_iter=1000, standardize=False, solver="newton-cg")
    head = network.head.requires_grad_(True)
    loss = torch.nn.functional.cross_entropy(head(x), torch.as_tensor(y), reduction="sum")
    (loss + head.weight.square().sum() / 2).backward()
    assert float(head.weight.grad.abs().max()) < 1e-3


# -- deviations of few samples -----------------------------------------------------------------------------


def test_the_deviations_of_few_samples_are_drawn_together_where_they_differ_by_chance() -> None:
    x = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    own, moderated = x.std(dim=0), moderated_deviations(x)
    assert float(own.max() / own.min()) > 10
    assert float(moderated.max() / moderated.min()) < 1.5
    assert float(moderated.mean()) == pytest.approx(1, abs=0.05)


def test_columns_with_units_of_their_own_keep_their_deviations() -> None:
    units = torch.logspace(-3, 3, 40)
    x = units * torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    ratio = moderated_deviations(x) / units
    assert float(ratio.max() / ratio.min()) < 50  # of a million
    assert float(ratio.median()) == pytest.approx(1, abs=0.3)


def test_the_deviations_of_many_samples_stay_as_they_are() -> None:
    x = torch.linspace(1, 9, 30) * torch.randn(5000, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moderated_deviations(x), x.std(dim=0), rtol=0.01, atol=0)


def test_constant_features_have_a_finite_deviation_above_0() -> None:
    x = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    x[:, :5] = 7.0
    moderated = moderated_deviations(x)
    assert torch.isfinite(moderated).all()
    assert (moderated > 0).all()
    assert torch.equal(moderated_deviations(torch.ones(3, 4)), torch.ones(4))


@pytest.mark.parametrize("value", [1e-8, 1e-3, 0.4, 5.0, 1e4])
def test_the_inverse_of_trigamma_is_its_inverse(value: float) -> None:
    assert float(polygamma(1, _inverse_trigamma(value))) == pytest.approx(value, rel=1e-5)


def test_a_handful_of_many_features_is_learnt_about_as_well_as_by_means() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 600))
    right: dict[Literal["moderated"] | bool, list[float]] = {"moderated": [], True: []}
    for _ in range(10):
        y = np.repeat(np.arange(3), [1, 1, 1])
        asked = np.repeat(np.arange(3), 30)
        x, q = (
            torch.as_tensor(np.maximum(means[of] + 2 * rng.normal(size=(len(of), 600)), 0)).float() for of in (y, asked)
        )
        for how, found in right.items():
            said = fit_logistic(x, y, 3, C=0.1, standardize=how)(q).argmax(dim=1).numpy()
            found.append((said == asked).mean())
    assert np.mean(right["moderated"]) > np.mean(right[True]) + 0.05


def test_a_penalty_is_tuned_on_folds_and_none_is_where_a_class_has_one_sample():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20)
    noise = torch.as_tensor(rng.standard_normal((40, 60))).float()
    plain = noise.clone()
    plain[:, 0] += torch.as_tensor(8.0 * y)
    scaled = tuned_penalty(1000 * plain, y)
    assert tuned_penalty(plain, y) in PENALTIES
    assert scaled <= tuned_penalty(plain, y)  # large features want a stronger penalty, and get no weaker one
    assert tuned_penalty(plain[:21], y[:21]) == 1.0
