"""How well a network suits a task: worked values on real tables, invariances, and cases by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, spearmanr
from sklearn.datasets import load_digits, load_iris, load_wine

from unseen.nn.transferability import cka, h_score, knn_accuracy, leep, logme, nce, parc, reduced, similarity

IRIS, WINE = (read(return_X_y=True) for read in (load_iris, load_wine))
DIGITS = tuple(part[:200] for part in load_digits(return_X_y=True))


def naive(x, y):
    """PARC as its authors' code computes it, rounding errors included."""
    deviation = np.array([column.std() or 1.0 for column in x.T])
    rows = (x - x.mean(axis=0)) / deviation
    one_hot = np.eye(y.max() + 1)[y]
    below = np.tril_indices(len(y), -1)
    return 100 * spearmanr((1 - np.corrcoef(rows))[below], (1 - np.corrcoef(one_hot))[below])[0]


@pytest.mark.parametrize(("data", "value"), [(IRIS, 61.217010), (WINE, 64.865255), (DIGITS, 44.893879)])
def test_parc_of_real_tables_as_the_authors_code_has_it(data, value):
    assert parc(*data, decimals=None) == pytest.approx(naive(*data), abs=1e-6)
    assert parc(*data, decimals=None) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("data", "value"), [(IRIS, 58.679784), (WINE, 64.549229), (DIGITS, 44.881691)])
def test_parc_of_real_tables_where_equal_pairs_are_tied(data, value):
    assert parc(*data) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("data", [IRIS, WINE])
def test_parc_does_not_change_with_units_doubled_features_or_names_of_classes(data):
    x, y = data
    rng = np.random.default_rng(0)
    first = parc(x, y)
    units = x * rng.uniform(0.1, 10, x.shape[1]) + rng.normal(size=x.shape[1])
    assert parc(units, y) == pytest.approx(first, abs=1e-4)  # a rounding may split a tie of correlations
    assert parc(np.hstack([x, x]), y) == pytest.approx(first, abs=1e-4)
    assert parc(x, np.array([7, 2, 5])[y]) == pytest.approx(first, abs=1e-9)


def test_parc_is_100_for_one_hot_features_of_balanced_classes_and_less_for_unbalanced_ones():
    y = np.arange(40) % 4
    assert parc(np.eye(4)[y], y) == pytest.approx(100)
    few = np.r_[y, np.zeros(15, dtype=int)]
    assert parc(np.eye(4)[few], few) < 99


def test_parc_is_near_0_for_noise_and_0_where_nothing_varies():
    rng, y = np.random.default_rng(0), np.arange(200) % 4
    assert abs(parc(rng.normal(size=(200, 20)), y)) < 3
    assert parc(np.ones((8, 3)), np.arange(8) % 2) == 0
    assert parc(rng.normal(size=(8, 1)), np.arange(8) % 2) == 0


def test_parc_changes_with_the_sign_of_a_column_and_with_a_rotation():
    x, y = IRIS
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert parc(x * [1, -1, 1, 1], y) != pytest.approx(parc(x, y), abs=1)
    assert parc(x @ turned, y) != pytest.approx(parc(x, y), abs=1)


def test_leep_by_hand():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    y = np.array([0, 0, 1])
    joint = np.array([[1.7, 0.3], [0.3, 0.7]]) / 3  # P(y, z)
    given = joint / joint.sum(axis=0)
    value = np.mean(np.log([given[0] @ p[0], given[0] @ p[1], given[1] @ p[2]]))
    assert leep(p, y) == pytest.approx(value)
    assert leep(np.eye(2)[y], y) == pytest.approx(0)
    assert leep(np.full((4, 3), 1 / 3), np.arange(4) % 2) == pytest.approx(np.log(0.5))


def test_nce_is_minus_the_entropy_of_labels_given_what_is_predicted():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
    assert nce(p, np.array([0, 0, 1, 1])) == pytest.approx(0.75 * (np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3))
    assert nce(p, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert similarity(np.zeros((4, 1)), np.array([0, 0, 1, 1]), "nce", probabilities=p[::-1]) == pytest.approx(
        nce(p[::-1], np.array([0, 0, 1, 1]))
    )


@pytest.mark.parametrize("shape", [(40, 5), (12, 20)])
def test_logme_is_the_largest_evidence_of_a_linear_model_with_normal_weights_and_noise(shape):
    rng, y = np.random.default_rng(0), np.arange(shape[0]) % 3
    x = rng.normal(size=(3, shape[1]))[y] + rng.normal(size=shape)
    best = []
    for label in range(3):
        target = (y == label).astype(float)

        def lost(precisions, target=target):
            alpha, beta = np.exp(precisions)
            return -multivariate_normal.logpdf(target, cov=x @ x.T / alpha + np.eye(len(x)) / beta)

        best.append(-minimize(lost, [0.0, 0.0], method="Nelder-Mead", options={"maxiter": 2000}).fun / len(x))
    assert logme(x, y) == pytest.approx(np.mean(best), abs=1e-3)


def test_logme_has_a_value_where_features_tell_nothing_or_all():
    y = np.arange(30) % 3
    assert np.isfinite(logme(np.zeros((30, 2)), y))
    assert logme(np.zeros((30, 2)), y) < logme(np.random.default_rng(0).normal(size=(30, 2)) + np.eye(3)[y][:, :2], y)
    assert np.isfinite(logme(np.eye(3)[y], y))


def test_h_score_is_classes_less_one_where_features_are_the_classes_and_0_where_means_agree():
    y = np.arange(30) % 3
    assert h_score(np.eye(3)[y], y) == pytest.approx(2)
    assert h_score(np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.array([0, 0, 1, 1])) == pytest.approx(0)


def test_nearest_neighbours_and_cka_by_hand():
    x = np.array([[1.0, 0], [2.0, 0.1], [0, 1.0], [0.1, 2.0]])
    assert knn_accuracy(x, np.array([0, 0, 1, 1])) == 1
    assert knn_accuracy(x, np.array([0, 1, 0, 1])) == 0
    y = np.arange(12) % 3
    assert cka(np.eye(3)[y], y) == pytest.approx(1)
    assert cka(np.ones((12, 2)), y) == 0


def test_principal_components_are_a_third_of_the_samples_at_most_and_reduce_only():
    x = np.random.default_rng(0).normal(size=(12, 15))
    assert reduced(x, 4).shape == (12, 4)
    assert reduced(x, 8).shape == (12, 4)
    np.testing.assert_array_equal(reduced(x, 15), x)
    y = np.arange(12) % 2
    assert similarity(x, y, "parc", n_dims=4) == pytest.approx(parc(reduced(x, 4), y))
    assert similarity(x, y, "parc", n_dims=5) == pytest.approx(parc(x, y))  # 12 samples are too few for 5
    assert similarity(x, y, "h-score", n_dims=8) == pytest.approx(h_score(reduced(x, 4), y))


@pytest.mark.parametrize("metric", ["parc", "h-score", "knn", "cka"])
@pytest.mark.parametrize("n_dims", [None, 6, 8, 19, 32])
def test_few_samples_of_tight_classes_stand_far_above_noise_however_many_components_are_wanted(metric, n_dims):
    """2 samples of each of 10 classes: 19 standardized components of 20 samples would leave all equally far apart."""
    rng, y = np.random.default_rng(0), np.arange(20) % 10
    tight = rng.normal(size=(10, 128))[y] + 0.05 * rng.normal(size=(20, 128))
    noise = [similarity(rng.normal(size=(20, 128)), y, metric, n_dims=n_dims) for _ in range(20)]
    if metric == "h-score" and n_dims is None:
        assert similarity(tight, y, metric) == pytest.approx(np.mean(noise))  # as its docstring warns
    else:
        assert similarity(tight, y, metric, n_dims=n_dims) > max(np.mean(noise) + 4 * np.std(noise), max(noise))
    if metric == "parc":
        assert similarity(tight, y, metric, n_dims=n_dims) > 30 > 10 > np.mean(noise)


@pytest.mark.parametrize("metric", ["parc", "h-score", "logme", "knn", "cka"])
def test_one_interface_for_all(metric):
    assert similarity(*IRIS, metric) > similarity(np.random.default_rng(0).normal(size=(150, 4)), IRIS[1], metric)


def test_what_cannot_be_measured_is_named():
    x, y = IRIS
    with pytest.raises(ValueError, match="at least two classes"):
        parc(x, np.zeros(150, dtype=int))
    with pytest.raises(ValueError, match="features must be finite"):
        parc(np.where(x > 6, np.nan, x), y)
    with pytest.raises(ValueError, match="probabilities must be given"):
        similarity(x, y, "leep")
    with pytest.raises(ValueError, match="given for nce"):
        similarity(x, y, "nce")
    with pytest.raises(ValueError, match="sum to 1"):
        leep(x, y)
    with pytest.raises(ValueError, match="n_dims"):
        reduced(x, 0)
