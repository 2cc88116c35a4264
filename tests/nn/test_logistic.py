"""Logistic regression as a network."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from unseen.nn.logistic import fit_logistic


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
