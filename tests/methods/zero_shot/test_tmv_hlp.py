"""TMV-HLP: the analytic checks of its description, and what must hold of any fit."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import TreeMetric
from unseen.methods.base import NotFittedError
from unseen.methods.zero_shot.tmv_hlp import TMVHLP
from unseen.methods.zero_shot.tmv_hlp.cca import multiview_cca
from unseen.methods.zero_shot.tmv_hlp.hypergraph import (
    heterogeneous,
    hyperedge_weights,
    hyperedges,
    hypergraph,
    view_prior,
)
from unseen.methods.zero_shot.tmv_hlp.propagation import affinity, neighbour_counts
from unseen.methods.zero_shot.tmv_hlp.views import coordinates, moved_prototypes, semantic_view
from unseen.nn.graphs import neighbour_graph, propagate, sparsified, symmetric

SMOKE: dict[str, Any] = {"neighbours": 6, "hyper_neighbours": 6, "prototype_factor": 2}


def problem(
    seen: int = 14, unseen: int = 4, n: int = 10, d: int = 20, seed: int = 0, noise: float = 0.4, binary: bool = False
) -> tuple[Domain, Domain, ClassSpace]:
    """Features as a noisy map of attributes; embeddings as another map of them: source, labelled pool, classes."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(seen + unseen, 6))
    a = (a > 0).astype(float) if binary else a
    y = np.repeat(np.arange(seen + unseen), n)
    x = np.tanh(a[y] @ rng.normal(size=(6, d)) / 2) + noise * rng.normal(size=(len(y), d))
    classes = ClassSpace(
        names=tuple(f"class {i}" for i in range(seen + unseen)),
        attributes=a,
        embeddings=a @ rng.normal(size=(6, 9)) + 0.1 * rng.normal(size=(seen + unseen, 9)),
        seen=np.arange(seen),
    )
    whole = Domain(x=x.astype(np.float32), y=y)
    return whole.take(y < seen), whole.take(y >= seen), classes


def accuracy(method: TMVHLP, pool: Domain) -> float:
    return float((method.transduction_ == pool.y).mean())


def points(n: int, d: int = 5, seed: int = 0) -> torch.Tensor:
    x = np.random.default_rng(seed).normal(size=(n, d))
    return torch.nn.functional.normalize(torch.as_tensor(x), dim=1)


# -- the checks of the specification -----------------------------------------------------------------------


def test_three_identical_views_have_top_eigenvalues_about_3_and_the_others_about_0() -> None:
    x = torch.randn(400, 3).double()
    x = (x - x.mean(dim=0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T  # covariance exactly I
    values = multiview_cca([x, x, x]).eigenvalues
    torch.testing.assert_close(values[:3], torch.full((3,), (3 + 1e-4) / (1 + 1e-4)).double())
    assert float(values[3:].max()) < 1.1e-4


def test_sum_of_eigenvalues_is_the_total_dimension() -> None:
    x = torch.randn(200, 7).double()
    views = [x[:, :3], x[:, 3:5] + x[:, :2], x[:, 5:] - x[:, 1:3]]
    assert float(multiview_cca(views).eigenvalues.sum()) == pytest.approx(7.0)


def test_eigenvalues_are_invariant_to_invertible_linear_maps_of_each_view() -> None:
    x = torch.randn(300, 6).double()
    views = [x[:, :3], x[:, 2:5] + 0.5 * torch.randn(300, 3), x[:, 4:] * 2]
    mapped = [v @ torch.randn(v.shape[1], v.shape[1]).double() for v in views]
    torch.testing.assert_close(multiview_cca(views, 1e-12).eigenvalues, multiview_cca(mapped, 1e-12).eigenvalues)


def test_of_mutually_independent_views_all_eigenvalues_are_near_1() -> None:
    values = multiview_cca([torch.randn(20_000, d) for d in (3, 2, 2)]).eigenvalues
    assert float((values - 1).abs().max()) < 0.06


H = csr_array(np.array([[0.9, 0.5, 0, 0], [0, 0.8, 0.6, 0], [0.4, 0, 0.7, 0.2]]))
OMEGA = np.array(
    [
        [1, 0.50029, 0.22321, 0.33009],
        [0.50029, 1, 0.62471, 0],
        [0.22321, 0.62471, 1, 0.67623],
        [0.33009, 0, 0.67623, 1],
    ]
)


def test_hypergraph_of_the_given_incidence() -> None:
    np.testing.assert_allclose(hyperedge_weights(H), [0.7, 0.7, 0.43333], atol=1e-5)
    np.testing.assert_allclose(hypergraph(H).product(np.eye(4)), OMEGA, atol=1e-5)


@given(st.integers(2, 9), st.integers(1, 12), st.integers(0, 1000))
@settings(deadline=None)
def test_node_similarity_has_unit_diagonal_always_and_is_positive_semidefinite(n: int, e: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    h = rng.random((e, n)) * (rng.random((e, n)) < 0.5)
    omega = hypergraph(csr_array(h)).product(np.eye(n))
    np.testing.assert_allclose(omega.diagonal(), h.any(axis=0).astype(float), atol=1e-12)
    assert np.linalg.eigvalsh(omega).min() > -1e-12


W = np.array([[0, 1, 0.5, 0], [1, 0, 0.2, 0.1], [0.5, 0.2, 0, 1], [0, 0.1, 1, 0]])
LABELS = np.array([[0.0, 0], [0, 0], [1, -1], [-1, 1]])


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(0.35, [0.06418, 0.02582, 0.52657, -0.51447]), (0.5, [0.07318, 0.03697, 0.38288, -0.35846])],
)
def test_propagation_over_the_given_graph(alpha: float, expected: list[float]) -> None:
    found = propagate(lambda f: W @ f, LABELS, alpha)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], -found[:, 0])


def test_knn_filter_of_the_given_kernel() -> None:
    kernel = torch.tensor([[1, 0.9, 0.2, 0.5], [0.9, 1, 0.3, 0.4], [0.2, 0.3, 1, 0.6], [0.5, 0.4, 0.6, 1]]).double()
    counts = neighbour_counts(3, 1, k=1, factor=2)
    assert counts.tolist() == [1, 1, 1, 2]
    expected = np.zeros((4, 4))
    for i, j, value in ((0, 1, 0.9), (0, 3, 0.25), (2, 3, 0.6)):
        expected[i, j] = expected[j, i] = value
    found = symmetric(sparsified(lambda block: kernel[block].clone(), counts)).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_with_alpha_0_samples_get_zero_scores_and_prototypes_keep_their_labels() -> None:
    np.testing.assert_allclose(propagate(lambda f: W @ f, LABELS, 0.0), LABELS)
    source, pool, classes = problem()
    method = TMVHLP(alpha=0.0, **SMOKE).fit(source=source, classes=classes, target=pool)
    np.testing.assert_allclose(method.mass_[len(pool) :], np.eye(4), atol=1e-12)


def test_permuting_classes_permutes_columns() -> None:
    source, pool, classes = problem()
    order = np.random.default_rng(1).permutation(len(classes))
    place = np.argsort(order)
    found = TMVHLP(**SMOKE).fit(source=source, classes=classes, target=pool)
    other = TMVHLP(**SMOKE).fit(
        source=source.with_labels(place[source.labels]), classes=classes.take(order), target=pool
    )
    assert other.transduction_.tolist() == place[found.transduction_].tolist()
    columns = np.searchsorted(other.candidates_, place[found.candidates_])
    np.testing.assert_allclose(other.scores(pool)[:, columns], found.scores(pool), atol=1e-8)


def test_relabelling_nodes_permutes_rows() -> None:
    views = [points(30, seed=s) for s in range(3)]
    counts, shares, order = np.full(30, 5), np.array([0.2, 0.3, 0.5]), np.random.default_rng(3).permutation(30)
    labels = np.random.default_rng(2).normal(size=(30, 2))
    plain = propagate(affinity(views, shares, counts, counts, 0.25), labels, 0.35)
    moved = propagate(affinity([v[order] for v in views], shares, counts, counts, 0.25), labels[order], 0.35)
    np.testing.assert_allclose(moved, plain[order], atol=1e-9)


def test_view_prior_sums_to_1_and_two_agreeing_views_receive_more_weight_than_a_contradictory_third() -> None:
    a = points(50)
    b = torch.nn.functional.normalize(a + 0.1 * points(50, seed=1), dim=1)
    prior = view_prior([a, b, -a + 0.5 * points(50, seed=2)])
    assert prior.sum() == pytest.approx(1)
    assert min(prior[:2]) > prior[2]


def test_view_prior_by_hand_where_views_coincide_or_contradict() -> None:
    a = torch.tensor([[1.0, 0], [1, 0]])
    b = torch.tensor([[1.0, 0], [-1, 0]])  # distance 0, which counts as 0.001, and 2, which does not count
    c = torch.tensor([[0.6, 0.8], [-1.0, 0]])  # distance sqrt(.8) of the first rows; the second agrees with b
    r = {"ab": 1000, "ac": 0.8**-0.5, "bc": 0.8**-0.5 + 1000}
    expected = np.array([r["ab"] + r["ac"], r["ab"] + r["bc"], r["ac"] + r["bc"]]) / (2 * sum(r.values()))
    np.testing.assert_allclose(view_prior([a, b, c]), expected, rtol=1e-6)
    np.testing.assert_allclose(view_prior([a, -a]), [0.5, 0.5])


def test_mixture_1_is_multi_graph_propagation_and_0_hypergraph_only() -> None:
    views, counts, shares = [points(20, seed=s) for s in range(3)], np.full(20, 4), np.array([0.2, 0.3, 0.5])
    graph = sum(p * neighbour_graph(v, counts).toarray() for v, p in zip(views, shares))
    edges = heterogeneous(views, counts).product(np.eye(20))
    np.testing.assert_allclose(affinity(views, shares, counts, counts, 1.0)(np.eye(20)), graph)
    np.testing.assert_allclose(affinity(views, shares, counts, counts, 0.0)(np.eye(20)), edges)
    mixed = affinity(views, shares, counts, counts, 0.25)(np.eye(20))
    np.testing.assert_allclose(mixed, 0.25 * graph + 0.75 * edges)


# -- hyperedges against a plain second writing -------------------------------------------------------------


def test_hyperedges_are_standardized_by_rows_then_columns_and_never_hold_negative_incidences() -> None:
    a, b, counts = points(12, seed=1), points(12, seed=2), np.full(12, 3)
    squared = torch.cdist(a, b).numpy() ** 2
    s = np.exp(-squared / np.sort(squared.ravel())[(squared.size - 1) // 2])
    s = (s - s.mean(axis=1, keepdims=True)) / s.std(axis=1, keepdims=True)
    s = (s - s.mean(axis=0)) / s.std(axis=0)
    kept = np.zeros_like(s)
    for i in range(12):
        for j in [j for j in np.argsort(-s[i]) if j != i][:3]:
            kept[i, j] = max(s[i, j], 0)
    found = hyperedges(a, b, counts)
    np.testing.assert_allclose(found.toarray(), (kept + kept.T) / 2, atol=1e-9)
    assert found.data.min() > 0


def test_v_views_have_hyperedges_for_all_ordered_pairs() -> None:
    for v in (2, 3, 5):
        views = [points(15, seed=s) for s in range(v)]
        assert heterogeneous(views, np.full(15, 4)).root.shape == (v * (v - 1) * 15, 15)


# -- views -------------------------------------------------------------------------------------------------


def test_binary_attributes_become_probabilities_and_other_vectors_are_regressed() -> None:
    source, _, classes = problem(binary=True)
    x, y = torch.as_tensor(source.x).double(), torch.as_tensor(source.labels)
    assert classes.attributes is not None
    z = torch.as_tensor(classes.attributes).double()[y]
    p = semantic_view(x, z, 0.01).vectors(x)
    assert float(p.min()) >= 0
    assert float(p.max()) <= 1
    torch.testing.assert_close(p.mean(dim=0), z.mean(dim=0), atol=2e-3, rtol=0)  # calibrated in the large
    assert float(semantic_view(x, 2 * z, 0.01).vectors(x).max()) > 1


def test_coordinates_of_a_metric_have_its_distances() -> None:
    square = np.array([[0, 0], [0, 1], [1, 1], [3, 1.0]])
    distance = np.linalg.norm(square[:, None] - square, axis=2)
    found = coordinates(ClassSpace(names=("a", "b", "c", "d"), metric=distance).metric)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found, axis=2), distance, atol=1e-9)


@pytest.mark.parametrize("spaces", [("attributes",), ("embeddings",), ("attributes", "embeddings"), ("metric",)])
def test_every_space_of_the_classes_is_a_view(spaces: tuple[str, ...]) -> None:
    source, pool, classes = problem()
    tree = TreeMetric(np.array([-1, *([0] * 4), *np.arange(18) % 4 + 1]), None, np.arange(5, 23))
    kept = {key: value if key in spaces else None for key, value in vars(classes).items() if key in spaces}
    space = ClassSpace(names=classes.names, seen=classes.seen, **(kept if spaces != ("metric",) else {"metric": tree}))
    method = TMVHLP(**SMOKE).fit(source=source, classes=space, target=pool)
    assert tuple(method.views_) == ("features", *spaces)
    assert method.nodes_.shape[:2] == (len(spaces) + 1, len(pool) + 4)
    torch.testing.assert_close(method.nodes_.norm(dim=2), torch.ones(method.nodes_.shape[:2]).double())


def test_distances_of_too_many_classes_are_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    source, pool, classes = problem()
    monkeypatch.setattr("unseen.methods.zero_shot.tmv_hlp.views.MOST", 17)
    spaced = classes.replace(metric=np.abs(np.subtract.outer(np.arange(18), np.arange(18))))
    method = TMVHLP(**SMOKE).fit(source=source, classes=spaced, target=pool)
    assert list(method.views_) == ["features", "attributes", "embeddings"]
    with pytest.raises(ValueError, match="classes must have attributes, embeddings"):
        TMVHLP().fit(source=source, classes=spaced.replace(attributes=None, embeddings=None), target=pool)


def test_more_than_three_views() -> None:
    source, pool, classes = problem()
    assert classes.attributes is not None
    distance = np.abs(classes.attributes[:, None] - classes.attributes).sum(axis=2)
    method = TMVHLP(**SMOKE, view_weights=(1.0, 1.5, 1.0, 0.5))
    method.fit(source=source, classes=classes.replace(metric=distance), target=pool)
    assert list(method.views_) == ["features", "attributes", "embeddings", "metric"]
    assert accuracy(method, pool) > 0.6


# -- the method --------------------------------------------------------------------------------------------


def test_a_pool_is_labelled_and_later_samples_too() -> None:
    source, pool, classes = problem()
    method = TMVHLP(**SMOKE).fit(source=source, classes=classes, target=pool)
    assert accuracy(method, pool) > 0.7
    _, later, _ = problem(n=25)  # the same classes
    assert (method.predict(later) == later.y).mean() > 0.6
    assert set(method.predict(later)) <= set(classes.unseen)


def test_a_moved_prototype_is_the_mean_of_the_samples_that_correlate_most() -> None:
    rng = np.random.default_rng(0)
    v, z = rng.normal(size=(30, 4)), rng.normal(size=(5, 4))
    cosine = v @ z.T / np.linalg.norm(v, axis=1, keepdims=True)
    for k, told in ((3, 3), (100, 30), (None, 2)):  # 8% of 30 are 2.4
        expected = [v[np.argsort(-cosine[:, c])[:told]].mean(axis=0) for c in range(5)]
        found = moved_prototypes(torch.as_tensor(v), torch.as_tensor(z), k).numpy()
        np.testing.assert_allclose(found, np.array(expected), atol=1e-12)
    np.testing.assert_array_equal(moved_prototypes(torch.as_tensor(v), torch.as_tensor(z), 0), z)


def test_a_prototype_moves_to_no_more_samples_than_its_share_of_the_pool() -> None:
    v, z = points(30, seed=1), points(20, seed=2)  # 8% of 30 are 2, a share is 1
    torch.testing.assert_close(moved_prototypes(v, z, None), v[(v @ z.T).argmax(dim=0)])


def test_nodes_and_shares_are_those_made_by_hand() -> None:
    source, pool, classes = problem()
    weights = (1.0, 1.5, 0.5)
    method = TMVHLP(**SMOKE, view_weights=weights).fit(source=source, classes=classes, target=pool)
    x = torch.as_tensor(pool.x[pool.canonical_order()]).double()
    images: dict[str, torch.Tensor] = {}
    for name in ("attributes", "embeddings"):
        z, v = getattr(classes, name), method.views_[name].vectors(x).numpy()
        origin = z[classes.seen].mean(axis=0)
        a, b = (u / np.linalg.norm(u, axis=1, keepdims=True) for u in (v - origin, z[classes.unseen] - origin))
        nearest = np.argsort(-(a @ b.T), axis=0)[:3]  # 8% of 40
        images[name] = method.views_[name].image(torch.as_tensor(v[nearest].mean(axis=0)))
    images["features"] = (images["attributes"] + images["embeddings"]) / 2
    for nodes, (name, view) in zip(method.nodes_, method.views_.items()):
        expected = torch.cat([view.image(view.vectors(x)), images[name]])
        torch.testing.assert_close(nodes, expected / expected.norm(dim=1, keepdim=True))
    np.testing.assert_allclose(method.shares_, view_prior(list(method.nodes_)) * weights)
    equal = TMVHLP(**SMOKE, view_prior=False).fit(source=source, classes=classes, target=pool)
    np.testing.assert_allclose(equal.shares_, np.full(3, 1 / 3))


@pytest.mark.parametrize("change", [{"repeats": 2}, {"hyper_neighbours": 3}, {"components": 3}])
def test_a_parameter_has_an_effect(change: dict[str, int]) -> None:
    source, pool, classes = problem()
    plain, other = (TMVHLP(**SMOKE | c).fit(source=source, classes=classes, target=pool) for c in ({}, change))
    assert np.abs(plain.mass_ - other.mass_).max() > 1e-3


def test_a_pool_too_small_for_its_correlations_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    source, pool, classes = problem(n=3)
    TMVHLP(**SMOKE, regularization=0.1).fit(source=source, classes=classes, target=pool)
    assert not caplog.records
    TMVHLP(**SMOKE).fit(source=source, classes=classes, target=pool)
    assert "12 samples are few for correlations of 26 components, which need 52" in caplog.text


def test_scores_are_those_of_labels_plus_and_minus_one_in_the_order_of_the_pool() -> None:
    source, pool, classes = problem()
    method = TMVHLP(**SMOKE).fit(source=source, classes=classes, target=pool)
    scores = method.scores(pool)
    assert method.candidates_[scores.argmax(axis=1)].tolist() == method.transduction_.tolist()
    views, n = list(method.nodes_), len(pool)
    counts = neighbour_counts(n, 4, 6, 2)
    labels = np.vstack([np.zeros((n, 4)), 2 * np.eye(4) - 1])
    plain = propagate(affinity(views, method.shares_, counts, counts, 0.25), labels, 0.35)
    np.testing.assert_allclose(scores[pool.canonical_order()], plain[:n], atol=1e-8)


def test_support_holds_its_labels_and_helps() -> None:
    source, pool, classes = problem(noise=1.0)
    y = pool.labels
    shown = np.concatenate([np.flatnonzero(y == c)[:5] for c in classes.unseen])
    rest = np.setdiff1d(np.arange(len(pool)), shown)
    inputs: dict[str, Any] = {"source": source, "classes": classes, "target": pool.take(rest)}
    with_support = TMVHLP(**SMOKE).fit(**inputs, support=pool.take(shown))
    n = len(rest)
    assert (with_support.mass_[n : n + len(shown)].argmax(axis=1) + 14).tolist() == y[shown].tolist()
    assert accuracy(with_support, pool.take(rest)) > accuracy(TMVHLP(**SMOKE).fit(**inputs), pool.take(rest))


def test_without_prototypes_the_support_alone_speaks() -> None:
    source, pool, classes = problem()
    shown = np.concatenate([np.flatnonzero(pool.y == c)[:3] for c in classes.unseen[:3]])
    rest = pool.take(np.setdiff1d(np.arange(len(pool)), shown))
    method = TMVHLP(prototypes=False, **SMOKE).fit(
        source=source, classes=classes, target=rest, support=pool.take(shown)
    )
    assert method.candidates_.tolist() == [14, 15, 16]
    assert method.nodes_.shape[1] == len(pool)
    known = rest.labels < 17
    assert (method.transduction_ == rest.y)[known].mean() > 0.7


def test_generalized_lets_seen_classes_compete() -> None:
    source, pool, classes = problem()
    both = Domain(x=np.concatenate([source.x[::5], pool.x]))
    method = TMVHLP(generalized=True, **SMOKE).fit(source=source, classes=classes, target=both)
    assert len(method.candidates_) == len(classes)
    assert {True, False} == set(method.transduction_ < 14)


def test_a_sample_that_no_label_reaches_takes_the_nearest_labelled_node(caplog: pytest.LogCaptureFixture) -> None:
    method = TMVHLP()
    method.nodes_ = torch.tensor([[[1.0, 0], [0, 1], [0.8, 0.6], [0.6, 0.8]]]).double()
    own = np.array([[0, 0], [0, 0], [1, 0], [0, 1.0]])
    with caplog.at_level(logging.INFO):
        found = method._completed(np.array([[0, 1e-12], [0.3, 0.2], [1, 0], [0, 1]]), own)
    assert found.tolist() == [[1, 0], [0.3, 0.2], [1, 0], [0, 1]]
    assert "1 of 4 nodes" in caplog.text


def test_a_text_finds_its_pictures_and_a_picture_its_words() -> None:
    source, pool, classes = problem(noise=0.2)
    method = TMVHLP(**SMOKE).fit(source=source, classes=classes, target=pool)
    assert classes.embeddings is not None
    words = classes.embeddings[classes.unseen]
    first = method.retrieve(pool.x, words, top=1)
    assert first.shape == (len(pool), 1)
    assert (classes.unseen[first[:, 0]] == pool.y).mean() > 0.5
    pictures = method.retrieve(words, pool.x, view="embeddings", among="features", top=5)
    assert (pool.labels[pictures] == classes.unseen[:, None]).mean() > 0.6
    assert sorted(method.retrieve(words, pool.x, view="embeddings", among="features")[0]) == list(range(len(pool)))


# -- bad input ---------------------------------------------------------------------------------------------


def test_what_cannot_be_worked_on_is_named() -> None:
    source, pool, classes = problem()
    fit = TMVHLP(**SMOKE).fit
    with pytest.raises(ValueError, match=r"'class 13' is not in classes\.seen"):
        fit(source=source, classes=classes.replace(seen=range(13)), target=pool)
    with pytest.raises(ValueError, match="at least two unseen classes"):
        fit(source=source, classes=classes.replace(seen=range(18)), target=pool)
    with pytest.raises(ValueError, match="target must hold at least two samples"):
        fit(source=source, classes=classes, target=pool.take([0]))
    with pytest.raises(ValueError, match="target must hold samples that differ"):
        fit(source=source, classes=classes, target=Domain(x=np.ones((3, 20), dtype=np.float32)))
    with pytest.raises(ValueError, match="support must be given"):
        TMVHLP(prototypes=False).fit(source=source, classes=classes, target=pool)
    with pytest.raises(ValueError, match="view_weights must be 3 numbers"):
        TMVHLP(view_weights=(1.0, 2.0)).fit(source=source, classes=classes, target=pool)


def test_descriptions_missing_for_some_classes_are_named() -> None:
    source, pool, classes = problem()
    assert classes.embeddings is not None
    empty = classes.embeddings.copy()
    empty[[15, 16]] = 0
    with pytest.raises(ValueError, match="embeddings; those of 2 classes are all 0: 'class 15', 'class 16'"):
        TMVHLP().fit(source=source, classes=classes.replace(embeddings=empty), target=pool)


def test_constant_attribute_columns_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    source, pool, classes = problem()
    assert classes.attributes is not None
    padded = classes.replace(attributes=np.hstack([classes.attributes, np.ones((18, 2))]))
    with caplog.at_level(logging.INFO):
        found = TMVHLP(**SMOKE).fit(source=source, classes=padded, target=pool)
    assert "2 columns of attributes" in caplog.text
    plain = TMVHLP(**SMOKE).fit(source=source, classes=classes, target=pool)
    assert found.transduction_.tolist() == plain.transduction_.tolist()
    assert padded.attributes is not None  # whoever asks gives all columns
    torch.testing.assert_close(
        found.embed(padded.attributes, "attributes"), plain.embed(classes.attributes, "attributes")
    )
    with pytest.raises(ValueError, match="classes must differ in their attributes"):
        TMVHLP().fit(source=source, classes=classes.replace(attributes=np.ones((18, 2))), target=pool)


def test_an_attribute_that_varies_only_in_classes_without_samples_is_left_out() -> None:
    source, pool, classes = problem(binary=True)
    assert classes.attributes is not None
    rare = np.hstack([classes.attributes, np.eye(18)[:, [13]]])
    known = source.take(source.labels != 13)
    method = TMVHLP(**SMOKE).fit(source=known, classes=classes.replace(attributes=rare), target=pool)
    assert method.columns_["attributes"].tolist() == [True] * 6 + [False]


def test_classes_that_no_vector_tells_apart_are_named(caplog: pytest.LogCaptureFixture) -> None:
    source, pool, classes = problem(n=30)
    fit, arrays = TMVHLP(**SMOKE).fit, {"attributes": classes.attributes, "embeddings": classes.embeddings}

    def alike(rows: list[int], *spaces: str) -> ClassSpace:
        return classes.replace(**{name: np.asarray(arrays[name])[rows] for name in spaces})

    two, all_ = [*range(17), 15], [*range(14), *[15] * 4]
    fit(source=source, classes=alike(two, "attributes"), target=pool)
    assert "told" not in caplog.text
    fit(source=source, classes=alike(two, *arrays), target=pool)
    assert "1 classes cannot be told" in caplog.text
    assert "'class 15' and 'class 17' have the same attributes and embeddings" in caplog.text
    with pytest.raises(ValueError, match=r"classes must have vectors that differ.*'class 14' and 'class 15'"):
        fit(source=source, classes=alike(all_, *arrays), target=pool)


def test_wrong_views_and_widths_are_named() -> None:
    source, pool, classes = problem()
    with pytest.raises(NotFittedError):
        TMVHLP().embed(pool.x)
    method = TMVHLP(**SMOKE).fit(source=source, classes=classes, target=pool)
    with pytest.raises(ValueError, match="view must be one of features, attributes, embeddings; got 'words'"):
        method.embed(pool.x, "words")
    with pytest.raises(ValueError, match=r"of the view 'attributes' must be of shape \(n, 6\)"):
        method.retrieve(pool.x, pool.x, among="attributes")
    with pytest.raises(ValueError, match="target must be the pool of fit, 40 samples; got 2"):
        method.scores(pool.take([0, 1]))
    with pytest.raises(ValueError, match="it holds other samples"):
        method.scores(source.take(range(40)))
    with pytest.raises(ValueError, match="top must be at least 1; got 0"):
        method.retrieve(pool.x, classes.embeddings, top=0)
    with pytest.raises(ValueError, match="must be finite; row 1 is not"):
        method.retrieve(np.vstack([pool.x[:1], np.full((1, 20), np.nan)]), classes.embeddings)
