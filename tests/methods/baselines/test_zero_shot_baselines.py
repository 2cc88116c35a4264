"""Ridge, ConSE, DAP, DeViSE and SAE, each against what it is defined by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as Peer
from sklearn.preprocessing import StandardScaler

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import DAP, SAE, ConSE, DeViSE, Ridge
from unseen.methods.base import Method
from unseen.methods.baselines.dap import binary, logistic_regressions
from unseen.methods.baselines.devise import ranking_loss
from unseen.methods.baselines.ridge import PENALTIES, choose_penalty
from unseen.methods.baselines.sae import WEIGHTS, autoencoder


def problem(noise: float = 0.5, binary_attributes: bool = False) -> tuple[Domain, Domain, ClassSpace]:
    """Features as a noisy linear map of attributes: 16 seen classes, a pool of 4 unseen ones, all classes."""
    rng = np.random.default_rng(0)
    attributes = rng.normal(size=(20, 6))
    if binary_attributes:
        attributes = (attributes > 0).astype(float)
    y = np.repeat(np.arange(20), 12)
    x = attributes[y] @ rng.normal(size=(6, 10)) + noise * rng.normal(size=(len(y), 10)) + 3
    classes = ClassSpace(names=[f"class {i}" for i in range(20)], attributes=attributes, seen=np.arange(16))
    whole = Domain(x=x.astype(np.float32), y=y, classes=classes)
    return whole.take(y < 16), whole.take(y >= 16), classes


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("method", [Ridge(), ConSE(), DAP(), DeViSE(), SAE(), SAE(direction="encode")])
@pytest.mark.parametrize("by", ["attributes", "embeddings"])
def test_unseen_classes_are_recognized_by_attributes_or_embeddings(method: Method, by: str) -> None:
    source, pool, classes = problem(binary_attributes=isinstance(method, DAP))
    told = ClassSpace(names=classes.names, seen=classes.seen, **{by: classes.attributes})
    method.fit(source=source.replace(classes=told), classes=told)
    assert float((method.predict(pool) == pool.y).mean()) > 0.6  # chance is 1/4
    assert set(method.predict(source).tolist()) <= {16, 17, 18, 19}


@pytest.mark.parametrize("method", [m(generalized=True) for m in (Ridge, ConSE, DAP, DeViSE, SAE)])
def test_seen_classes_compete_if_asked_and_a_large_handicap_silences_them(method: Method) -> None:
    source, pool, classes = problem()
    method.fit(source=source, classes=classes)
    assert set(method.predict(source).tolist()) & set(range(16))
    silent = method.set_params(handicap=1e3).fit(source=source, classes=classes)
    assert set(silent.predict(source).tolist()) <= {16, 17, 18, 19}
    narrow = type(method)().fit(source=source, classes=classes)
    np.testing.assert_array_equal(silent.predict(pool), narrow.predict(pool))


def test_ridge_is_that_of_scikit_learn_with_cosines() -> None:
    source, pool, classes = problem()
    x, vectors = unit(source.x), unit(classes.attributes)  # type: ignore[arg-type]
    centre = x.mean(axis=0)
    peer = Peer(alpha=0.01 * len(x), fit_intercept=False).fit(x - centre, vectors[source.y])
    expected = 20 * unit(peer.predict(unit(pool.x) - centre)) @ vectors.T
    found = Ridge(penalty=0.01).fit(source=source, classes=classes).decision_function(pool)
    np.testing.assert_allclose(found[:, 16:], expected[:, 16:], atol=1e-3)
    pooled = Ridge(penalty=0.01).fit(source=source, classes=classes, target=pool)
    corrected = expected / np.linalg.norm(expected, axis=0)
    np.testing.assert_array_equal(pooled.predict(pool), corrected[:, 16:].argmax(axis=1) + 16)


def test_the_penalty_of_ridge_is_chosen_by_classes_that_are_held_out() -> None:
    source, _, classes = problem(noise=2.0)
    method = Ridge().fit(source=source, classes=classes)
    assert method.penalty_ in PENALTIES
    vectors, x = torch.as_tensor(unit(classes.attributes)).float(), torch.as_tensor(unit(source.x))  # type: ignore[arg-type]
    few = source.y < 3
    assert choose_penalty(x[few], source.y[few], vectors) == 1e-2  # too few classes to hold any out


def test_conse_mixes_the_vectors_of_the_likeliest_classes() -> None:
    source, pool, classes = problem()
    scaler = StandardScaler().fit(source.x)
    p = (
        LogisticRegression(max_iter=1000)
        .fit(scaler.transform(source.x), source.y)
        .predict_proba(scaler.transform(pool.x))
    )
    vectors = unit(classes.attributes)  # type: ignore[arg-type]
    expected = []
    for row in p:
        top = row.argsort()[::-1][:3]
        expected.append(unit((row[top, None] * vectors[top]).sum(axis=0) / row[top].sum()) @ vectors.T)
    found = ConSE(top=3, scale=1.0).fit(source=source, classes=classes).decision_function(pool)
    np.testing.assert_allclose(found[:, 16:], np.stack(expected)[:, 16:], atol=5e-3)  # lbfgs in float32


def test_the_regressions_of_dap_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 5)), rng.integers(2, size=(80, 3)).astype(bool)
    weight, intercept = logistic_regressions(torch.as_tensor(x), torch.as_tensor(y), 0.5)
    for m in range(3):
        peer = LogisticRegression(C=0.5, tol=1e-8).fit(x, y[:, m])
        np.testing.assert_allclose(weight[m], peer.coef_[0], atol=2e-3)
        np.testing.assert_allclose(intercept[m], peer.intercept_[0], atol=2e-3)


def test_dap_multiplies_attribute_probabilities_over_their_priors() -> None:
    source, pool, classes = problem(binary_attributes=True)
    method = DAP().fit(source=source, classes=classes)
    network = method.network_
    logits = network.scaler(torch.as_tensor(pool.x)) @ network.weight.T + network.intercept  # type: ignore[operator]
    p, has = torch.sigmoid(logits).detach().numpy().astype(float), classes.attributes > 0.5  # type: ignore[operator]
    prior = has[:16].mean(axis=0)
    ratio = [np.prod(np.where(has[c], p / prior, (1 - p) / (1 - prior)), axis=1) for c in range(20)]
    np.testing.assert_allclose(method.decision_function(pool)[:, 16:], np.log(ratio).T[:, 16:], atol=1e-3)


def test_attributes_are_cut_at_their_mean_and_constant_ones_are_left_out() -> None:
    assert binary(torch.tensor([[0.0, 3.0], [1.0, 4.0], [1.0, 9.0]])).tolist() == [
        [False, False], [True, False], [True, True],
    ]  # fmt: skip
    source, _, classes = problem()
    constant = np.c_[classes.attributes, np.r_[np.zeros(16), np.ones(4)]]
    told = classes.replace(attributes=constant)
    method = DAP().fit(source=source.replace(classes=told), classes=told)
    assert method.attributes_.tolist() == [0, 1, 2, 3, 4, 5]
    alike = classes.replace(attributes=constant[:, 6:])
    with pytest.raises(ValueError, match="classes must differ in an attribute"):
        DAP().fit(source=source.replace(classes=alike), classes=alike)


def test_the_map_of_sae_is_the_least_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    x, s = torch.as_tensor(rng.normal(size=(40, 7))), torch.as_tensor(rng.normal(size=(40, 3)))

    def loss(w: torch.Tensor, weight: float) -> torch.Tensor:
        return (x - s @ w).square().sum() + weight * (x @ w.T - s).square().sum()

    for weight, w in zip((0.1, 5.0), autoencoder(x, s, [0.1, 5.0])):
        w.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(w, weight), w)
        assert float(gradient.abs().max()) < 1e-9
        assert all(loss(w, weight) < loss(w + 0.01 * torch.randn_like(w), weight) for _ in range(5))


def test_sae_leaves_directions_without_variation_at_zero() -> None:
    x, s = torch.zeros(6, 3), torch.zeros(6, 2)
    x[:, 0] = s[:, 0] = torch.arange(6.0) - 2.5
    (w,) = autoencoder(x, s, [1.0])
    np.testing.assert_allclose(w, [[1, 0, 0], [0, 0, 0]], atol=1e-12)


def test_the_weight_of_sae_is_chosen_by_classes_that_are_held_out() -> None:
    source, _, classes = problem(noise=2.0)
    assert SAE().fit(source=source, classes=classes).weight_ in WEIGHTS
    assert SAE(weight=3.0).fit(source=source, classes=classes).weight_ == 3.0


@pytest.mark.parametrize("kind", [Ridge, ConSE, DAP, DeViSE, SAE])
@pytest.mark.parametrize("seen", [2, 3])
def test_with_too_few_classes_to_hold_any_out_settings_are_usual_ones(kind: type[Method], seen: int) -> None:
    source, _, classes = problem()
    few = source.take(np.isin(source.labels, np.unique(source.labels)[:seen]))
    assert len(kind().fit(source=few, classes=classes).predict_proba(few)) == len(few)


def test_the_loss_of_devise_counts_every_class_within_the_margin() -> None:
    scores, y = torch.tensor([[0.5, 0.45, 0.1], [0.0, 0.3, 0.2]]), torch.tensor([0, 1])
    # first: 0.1 - 0.5 + 0.45 = 0.05, the third is far; second: the first is far, 0.1 - 0.3 + 0.2 = 0
    assert float(ranking_loss(scores, y, 0.1)) == pytest.approx((0.05 + 0.0) / 2)
    assert float(ranking_loss(scores, y, 1.0)) == pytest.approx((0.95 + 0.6 + 0.7 + 0.9) / 2)


def test_devise_ranks_the_right_class_first() -> None:
    source, _, classes = problem(noise=0.1)
    method = DeViSE(generalized=True, epochs=100).fit(source=source, classes=classes)
    assert float((method.predict(source) == source.y).mean()) > 0.9
