"""The plain baselines, each against what it is defined by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import CORAL, SHOT, Describe, LinearProbe, Prototypes, SourceOnly, Standardize
from unseen.methods.baselines.coral import covariance
from unseen.methods.baselines.shot import pseudo_labels
from unseen.nn.classifier import feature_classifier, outputs, train_source
from unseen.nn.logistic import moderated_deviations
from unseen.runtime import reproducible

CLASSES = ClassSpace(names=("a", "b", "c"))


def blobs(n: int = 90, seed: int = 0, shift: float = 0.0, scale: float = 1.0, d: int = 6) -> Domain:
    """Three classes; the domain is stretched, and moved from its first class towards its second."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = 1.5 * np.random.default_rng(42).normal(size=(3, d))
    x = scale * (centres[y] + rng.normal(size=(n, d))) + shift * (centres[1] - centres[0])
    return Domain(x=x.astype(np.float32), y=y, classes=CLASSES)


def accuracy(method: object, domain: Domain) -> float:
    return float((method.predict(domain) == domain.y).mean())  # type: ignore[attr-defined]


def logistic(x: np.ndarray, y: np.ndarray, test: np.ndarray, C: float = 1.0) -> np.ndarray:
    return LogisticRegression(C=C, max_iter=1000).fit(x, y).predict_proba(test)


def test_source_only_is_logistic_regression_on_standardized_features() -> None:
    source, target = blobs(), blobs(seed=1, shift=0.5)
    scaler = StandardScaler().fit(source.x)
    expected = logistic(scaler.transform(source.x), source.y, scaler.transform(target.x))
    found = SourceOnly().fit(source=source).predict_proba(target)
    np.testing.assert_allclose(found, expected, atol=3e-3)  # lbfgs in float32 against float64


def test_standardize_gives_each_domain_its_own_mean_and_deviation() -> None:
    source, target = blobs(), blobs(seed=1, shift=2.0, scale=2.5)
    method = Standardize().fit(source=source, target=target)
    z = StandardScaler().fit_transform(source.x), StandardScaler().fit_transform(target.x)
    np.testing.assert_allclose(method.predict_proba(target), logistic(z[0], source.y, z[1]), atol=3e-3)
    found = torch.softmax(method.source_decision_function(source), dim=1)
    np.testing.assert_allclose(found, logistic(z[0], source.y, z[0]), atol=3e-3)
    assert accuracy(method, target) > accuracy(SourceOnly().fit(source=source), target) + 0.2


def test_coral_gives_the_source_the_covariance_of_the_target() -> None:
    source, target = blobs(), blobs(seed=1)
    mixing = np.random.default_rng(3).normal(size=(6, 6)).astype(np.float32)
    target = target.replace(x=target.x @ mixing)
    a, b = (torch.as_tensor(StandardScaler().fit_transform(d.x)).float() for d in (source, target))
    recoloured = covariance(b, 1e-4).power(covariance(a, 1e-4).power(a, -0.5), 0.5)
    np.testing.assert_allclose(np.cov(recoloured.T), np.cov(b.T), atol=0.02)
    method = CORAL(ridge=1e-4).fit(source=source, target=target)
    np.testing.assert_allclose(
        method.predict_proba(target), logistic(recoloured.numpy(), source.y, b.numpy()), atol=5e-3
    )


@pytest.mark.parametrize("exponent", [0.5, -0.5, 1.0])
@pytest.mark.parametrize("n", [4, 40])  # fewer samples than features, and more
def test_a_power_of_a_covariance_is_its_power(n: int, exponent: float) -> None:
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(0)).double()
    values, vectors = np.linalg.eig(np.cov(x.numpy().T) + 0.3 * np.eye(5))
    expected = vectors @ np.diag(values**exponent) @ np.linalg.inv(vectors)
    np.testing.assert_allclose(covariance(x, 0.3).power(torch.eye(5).double(), exponent), expected, atol=1e-8)


def test_prototypes_predict_the_nearest_mean_by_cosine() -> None:
    source, x = blobs(), blobs(seed=1).x
    method = Prototypes(scale=7.0).fit(source=source)
    centred = source.x - source.x.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    means = np.stack([unit[source.y == c].mean(axis=0) for c in range(3)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    z = x - source.x.mean(axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(method.decision_function(x), 7 * z @ means.T, atol=1e-4)


def test_prototypes_learn_from_one_sample_per_class_and_never_predict_a_missing_one() -> None:
    support = blobs().take([0, 2])
    method = Prototypes().fit(support=support)
    assert method.predict(support).tolist() == [0, 2]
    assert set(method.predict(blobs(seed=1)).tolist()) == {0, 2}


def test_a_linear_probe_is_logistic_regression_on_the_support_by_moderated_deviations() -> None:
    support, x = blobs(n=9), blobs(seed=1).x
    mean, deviation = support.x.mean(axis=0), moderated_deviations(torch.as_tensor(support.x).float()).numpy()
    expected = logistic((support.x - mean) / deviation, support.y, (x - mean) / deviation, C=0.1)
    np.testing.assert_allclose(LinearProbe().fit(support=support).predict_proba(x), expected, atol=3e-3)


def test_describe_predicts_the_nearest_text_and_needs_embeddings() -> None:
    rng = np.random.default_rng(0)
    e, x = rng.normal(size=(3, 5)), rng.normal(size=(20, 5))
    method = Describe(scale=10.0).fit(classes=CLASSES.replace(embeddings=e))
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (e / np.linalg.norm(e, axis=1, keepdims=True)).T
    np.testing.assert_allclose(method.decision_function(x), 10 * cosine, atol=1e-4)
    assert method.predict(x).tolist() == cosine.argmax(axis=1).tolist()
    with pytest.raises(ValueError, match="classes must have embeddings"):
        Describe().fit(classes=CLASSES)


# -- SHOT --------------------------------------------------------------------------------------------------


def test_pseudo_labels_are_those_of_the_nearest_weighted_centroid() -> None:
    rng = np.random.default_rng(0)
    z = torch.as_tensor(rng.normal(size=(30, 4))).float()
    p = torch.softmax(3 * torch.as_tensor(rng.normal(size=(30, 3))).float(), dim=1)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    features, weights = unit(np.c_[z.numpy(), np.ones(30)]), p.numpy()
    for _ in range(2):
        centroids = np.stack([(weights[:, [c]] * features).sum(axis=0) / weights[:, c].sum() for c in range(3)])
        labels = (features @ unit(centroids).T).argmax(axis=1)
        weights = np.eye(3)[labels]
    assert pseudo_labels(z, p).tolist() == labels.tolist()


def test_a_class_that_is_never_predicted_gets_no_pseudo_label() -> None:
    p = torch.tensor([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]]).repeat(5, 1)
    assert set(pseudo_labels(torch.randn(10, 4), p).tolist()) <= {0, 1}


def test_shot_keeps_the_head_and_moves_the_features_to_the_shifted_target() -> None:
    source, target = blobs(n=150), blobs(n=150, seed=1, shift=0.6)
    with reproducible(0):
        model = train_source(feature_classifier(6, 3, 8), source, epochs=15, batch_size=32)
    before = float((outputs(model, target)[1].argmax(dim=1).numpy() == target.y).mean())
    method = SHOT(epochs=10, batch_size=32).fit(model=model, target=target)
    for key, value in model.head.state_dict().items():
        assert torch.equal(method.network_.head.state_dict()[key], value)
    assert not torch.equal(method.network_.bottleneck[0].weight, model.bottleneck[0].weight)
    assert accuracy(method, target) > before + 0.1
    assert F.cross_entropy(method.decision_function(target), torch.as_tensor(target.y)) < 1.0


def test_shot_needs_two_samples() -> None:
    with pytest.raises(ValueError, match="target must hold at least 2 samples; got 1"):
        SHOT().fit(model=feature_classifier(6, 3), target=blobs().take([0]))
    with pytest.raises(ValueError, match=r"batch_size must be in \[2, inf"):
        SHOT(batch_size=1)
