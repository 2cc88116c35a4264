"""Loki against the analytic checks of its specification."""

import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import CompleteMetric, EmbeddingMetric, GraphMetric, MatrixMetric, TreeMetric
from unseen.methods.zero_shot.loki import Loki, rule
from unseen.methods.zero_shot.loki import method as loki_method
from unseen.methods.zero_shot.loki.locus import (
    active_classes,
    diameter,
    is_cover,
    locus,
    minimum_cover,
    next_class,
    random_classes,
    tree_locus,
)
from unseen.methods.zero_shot.loki.measures import (
    mean_squared_distance,
    relative_improvement,
    unseen_accuracy,
)
from unseen.methods.zero_shot.loki.rule import (
    embedding_cost,
    loki_head,
    metric_cost,
    nearest_to_mean,
    on_top,
    tree_cost,
)
from unseen.methods.zero_shot.loki.sampling import central_class, concentrated_classes, uniform_classes
from unseen.nn.build import builder
from unseen.nn.state import load_state, save_state


def space(metric, seen=None):
    return ClassSpace(names=tuple(map(str, range(len(metric)))), metric=metric, seen=seen)


def path(n):
    return MatrixMetric(abs(np.subtract.outer(np.arange(n), np.arange(n))).astype(float))


def random_tree(n, rng):
    return TreeMetric(np.array([-1, *(int(rng.integers(i)) for i in range(1, n))]))


def grid(side):
    return GraphMetric(nx.to_scipy_sparse_array(nx.grid_2d_graph(side, side)))


def weights(k, n, rng, concentration=0.5):
    return torch.as_tensor(rng.dirichlet(np.full(k, concentration), n)).float()


def simplex_grid(k, steps):
    """All weights that are multiples of 1 / steps."""
    bars = itertools.combinations(range(steps + k - 1), k - 1)
    rows = [np.diff([-1, *bar, steps + k - 1]) - 1 for bar in bars]
    return np.array(rows) / steps


def naive_cost(p, metric, observed, power=2):
    d = metric.rows(np.arange(len(metric)))
    return np.array(
        [[sum(w * d[o, y] ** power for w, o in zip(row, observed)) for y in range(len(d))] for row in p.numpy()]
    )


# -- the checks of the specification -----------------------------------------------------------------------


def test_with_the_complete_graph_metric_loki_equals_argmax_and_predicts_no_unobserved_class():
    rng = np.random.default_rng(0)
    seen = np.array([8, 1, 5])
    p = weights(3, 500, rng)
    predicted = Loki().fit(classes=space(CompleteMetric(10), seen)).predict(p)
    assert np.array_equal(predicted, seen[p.argmax(1)])


def test_one_hot_probabilities_return_their_class():
    rng = np.random.default_rng(1)
    seen = np.array([11, 3, 7, 0])
    for metric in (random_tree(15, rng), EmbeddingMetric(rng.standard_normal((15, 6))), grid(4)):
        assert np.array_equal(Loki().fit(classes=space(metric, seen)).predict(np.eye(4)), seen)


def test_the_path_graph_of_five_with_both_ends_observed():
    loki = Loki().fit(classes=space(path(5), [0, 4]))
    p = [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5], [0.3, 0.7]]
    assert loki.predict(p).tolist() == [0, 1, 2, 2, 3]
    costs = -loki.decision_function([[0.8, 0.2]]).numpy()
    np.testing.assert_allclose(costs, [[3.2, 2.6, 4.0, 7.4, 12.8]], rtol=1e-6)


def test_with_an_embedding_metric_loki_is_the_nearest_class_to_the_weighted_mean_embedding():
    rng = np.random.default_rng(2)
    metric = EmbeddingMetric(rng.standard_normal((40, 8)))
    seen, p = rng.choice(40, 6, replace=False), weights(6, 50, rng)
    scores = Loki().fit(classes=space(metric, seen)).decision_function(p).numpy()
    vectors = metric.vectors.astype(float)
    mean = p.numpy() @ vectors[seen]
    distance = ((mean[:, None] - vectors[None]) ** 2).sum(2)
    constant = scores + distance  # equal up to a constant per row
    assert np.ptp(constant, axis=1).max() < 1e-5
    np.testing.assert_allclose(-scores, naive_cost(p, metric, seen), atol=1e-5)


def test_in_a_tree_argmins_over_a_simplex_grid_are_the_union_of_paths():
    rng = np.random.default_rng(3)
    for _ in range(5):
        tree = random_tree(9, rng)
        observed = rng.choice(9, 3, replace=False)
        cost = simplex_grid(3, 40) @ tree.rows(observed) ** 2
        reached = (cost <= cost.min(1, keepdims=True) + 1e-9).any(0)
        assert np.array_equal(reached, tree_locus(tree, observed))


def test_the_leaves_cover_a_tree_and_dropping_any_leaf_loses_it():
    rng = np.random.default_rng(4)
    for _ in range(5):
        tree = random_tree(15, rng)
        leaves = minimum_cover(tree)
        assert is_cover(tree, leaves)
        for leaf in leaves:
            assert not locus(tree, np.setdiff1d(np.arange(15), [leaf]))[leaf]


def test_with_opposite_corners_of_a_grid_every_vertex_is_in_the_mean_for_some_weights():
    metric = grid(4)
    corners = np.array([0, 15])
    loki = Loki().fit(classes=space(metric, corners))
    w = np.linspace(0, 1, 7)
    assert loki.predict_set(np.stack([w, 1 - w], axis=1)).any(0).all()
    assert is_cover(metric, corners)
    assert not is_cover(metric, np.array([0, 3]))


def test_an_active_step_grows_the_locus_of_a_tree_by_the_distance_to_it():
    rng = np.random.default_rng(5)
    for _ in range(10):
        tree = random_tree(25, rng)
        observed = rng.choice(25, 3, replace=False)
        inside = locus(tree, observed)
        gaps = tree.rows(np.flatnonzero(inside)).min(0)
        for v in np.flatnonzero(~inside):
            assert locus(tree, np.append(observed, v)).sum() - inside.sum() == gaps[v]
        assert gaps[next_class(tree, observed)] == gaps.max()


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 1000))
def test_scaling_the_metric_leaves_predictions_unchanged(c, seed):
    rng = np.random.default_rng(seed)
    d = EmbeddingMetric(rng.standard_normal((12, 3))).rows(np.arange(12))
    seen, p = np.array([2, 9, 4]), weights(3, 30, rng)
    a, b = (Loki().fit(classes=space(MatrixMetric(m), seen)).predict(p) for m in (d, c * d))
    assert np.array_equal(a, b)


def test_adding_a_constant_to_columns_of_the_squared_distance_changes_predictions():
    loki = Loki().fit(classes=space(path(5), [0, 4]))
    assert loki.predict([[0.8, 0.2]]).tolist() == [1]
    loki.cost_.cost[:, 1] += 2.0
    assert loki.predict([[0.8, 0.2]]).tolist() == [0]


def test_with_the_true_posterior_over_all_classes_loki_has_the_least_mean_squared_distance():
    rng = np.random.default_rng(6)
    metric = path(7)
    p = weights(7, 20_000, rng)
    y = (p.cumsum(1) < torch.as_tensor(rng.random((len(p), 1)))).sum(1).clamp_max(6).numpy()
    loki = Loki().fit(classes=space(metric)).predict(p)
    best = mean_squared_distance(metric, y, loki)
    assert best < mean_squared_distance(metric, y, p.argmax(1).numpy())
    for other in range(7):
        assert best < mean_squared_distance(metric, y, np.full(len(y), other))


# -- the ways of computing the rule agree ------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(0, 10_000), st.sampled_from([1, 2]))
def test_rerooting_gives_the_expected_cost_of_every_class_of_a_tree(n, seed, power):
    rng = np.random.default_rng(seed)
    full = random_tree(n, rng)
    nodes = rng.permutation(n)[: max(2, n // 2)]
    tree = TreeMetric(full.parents, rng.uniform(0, 3, n), nodes)
    observed = rng.choice(len(nodes), 2, replace=False)
    p = weights(2, 4, rng)
    expected = naive_cost(p, tree, observed, power)
    np.testing.assert_allclose(tree_cost(p, tree, observed, power), expected, atol=1e-10)
    np.testing.assert_allclose(metric_cost(p, tree, observed, power), expected, atol=1e-10)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(7)
    seen, p = rng.choice(60, 9, replace=False), weights(9, 33, rng)
    for metric in (
        random_tree(60, rng),
        grid(8).take(np.arange(60)),
        EmbeddingMetric(rng.standard_normal((60, 5))),
    ):
        plain = Loki().fit(classes=space(metric, seen)).predict(p)
        with monkeypatch.context() as patch:
            patch.setattr(loki_method, "BLOCK", 200)
            patch.setattr(rule, "BLOCK", 200)
            small = Loki().fit(classes=space(metric, seen))
            assert np.array_equal(small.predict(p), plain)
    vectors = torch.as_tensor(EmbeddingMetric(rng.standard_normal((60, 5))).vectors)
    whole = embedding_cost(p, vectors[seen], vectors).argmin(1)
    monkeypatch.setattr(rule, "BLOCK", 7 * len(p))
    assert torch.equal(nearest_to_mean(p, vectors[seen], vectors), whole)


def test_large_trees_go_by_rerooting_and_have_no_network(monkeypatch, tmp_path):
    rng = np.random.default_rng(8)
    tree, seen, p = random_tree(50, rng), np.array([3, 40, 20]), weights(3, 20, rng)
    plain = Loki().fit(classes=space(tree, seen)).predict(p)
    monkeypatch.setattr(loki_method, "BLOCK", 100)
    loki = Loki().fit(classes=space(tree, seen))
    with pytest.raises(ValueError, match="too many for one network"):
        loki.network()
    loki.save(tmp_path / "loki")
    assert np.array_equal(Loki.load(tmp_path / "loki").predict(p), plain)


def test_equal_hop_counts_tie_to_the_lowest_index():
    star = TreeMetric(np.array([3, 3, 3, -1]))
    loki = Loki().fit(classes=space(star, [0, 1]))
    assert loki.predict([[0.5, 0.5]]).tolist() == [3]
    two = Loki().fit(classes=space(path(4), [0, 3]))
    assert two.predict([[0.5, 0.5]]).tolist() == [1]
    assert two.predict_set([[0.5, 0.5]]).tolist() == [[False, True, True, False]]


def test_neighbours_far_from_all_observed_classes_are_told_apart():
    x = np.r_[0, 1e5, 5e4 + np.arange(-50, 50)]
    metric, w = MatrixMetric(abs(np.subtract.outer(x, x))), np.linspace(0.4996, 0.5004, 81).astype(np.float32)
    predicted = Loki().fit(classes=space(metric, [0, 1])).predict(np.stack([1 - w, w], axis=1))
    assert abs(x[predicted] - w * 1e5).max() < 1  # the mean of 0 and 1e5, to the nearest of the classes


def test_moving_all_vectors_changes_nothing():
    rng = np.random.default_rng(16)
    vectors, p = rng.integers(-8, 8, (200, 16)), weights(10, 300, rng)
    here, there = (
        Loki().fit(classes=space(EmbeddingMetric(vectors + by, normalize=False), np.arange(10))) for by in (0, 1024)
    )
    assert np.array_equal(here.predict(p), there.predict(p))
    torch.testing.assert_close(here.decision_function(p), there.decision_function(p), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("c", [1e-4, 1.0, 1e4])
def test_the_set_of_means_does_not_depend_on_the_unit_of_distance(c):
    loki = Loki().fit(classes=space(MatrixMetric(path(4).matrix * c), [0, 3]))
    expected = [[False, True, True, False], [True, False, False, False]]
    assert loki.predict_set([[0.5, 0.5], [0.9, 0.1]]).tolist() == expected


@pytest.mark.parametrize("kind", ["tree", "embedding"])
def test_large_trees_and_embeddings_form_no_distances(kind, monkeypatch):
    rng = np.random.default_rng(17)
    metric = random_tree(60, rng) if kind == "tree" else EmbeddingMetric(rng.standard_normal((60, 5)))
    monkeypatch.setattr(loki_method, "BLOCK", 200)
    monkeypatch.setattr(type(metric), "rows", lambda *_: pytest.fail("distances were asked for"))
    assert len(Loki().fit(classes=space(metric, np.arange(9))).predict(weights(9, 33, rng))) == 33


def test_without_any_structure_a_warning_says_that_no_other_class_can_be_predicted(caplog):
    Loki().fit(classes=space(CompleteMetric(4)))
    assert not caplog.records
    Loki().fit(classes=space(CompleteMetric(4), [0, 1]))
    assert "none of the 2 others" in caplog.text


def test_the_frechet_median_uses_the_distance_itself():
    rng = np.random.default_rng(9)
    metric, seen, p = EmbeddingMetric(rng.standard_normal((20, 4))), np.array([0, 5, 9]), weights(3, 40, rng)
    median = Loki(power=1).fit(classes=space(metric, seen)).predict(p)
    assert np.array_equal(median, naive_cost(p, metric, seen, 1).argmin(1))


def test_a_cold_temperature_is_argmax_and_the_temperature_acts_before_the_rule():
    seen, z = np.array([1, 7]), torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    classes = space(path(9), seen)
    p = torch.softmax(z, 1)
    assert np.array_equal(Loki(temperature=1e-3).fit(classes=classes).predict(p), seen[p.argmax(1)])
    softer = Loki().fit(classes=classes).predict(torch.softmax(z / 3, 1))
    assert np.array_equal(Loki(temperature=3.0).fit(classes=classes).predict(p), softer)


def test_columns_are_in_the_order_of_the_observed_classes():
    rng = np.random.default_rng(11)
    p, order = weights(3, 30, rng), np.array([2, 0, 1])
    seen = np.array([6, 0, 3])
    a = Loki().fit(classes=space(path(8), seen)).predict(p)
    b = Loki().fit(classes=space(path(8), seen[order])).predict(p[:, order])
    assert np.array_equal(a, b)


# -- composition and export --------------------------------------------------------------------------------


@builder("test-loki-linear")
def small_model(n_features: int, n_classes: int) -> nn.Module:
    return nn.Linear(n_features, n_classes)


@pytest.mark.parametrize("kind", ["embedding", "dense"])
def test_lokis_rule_on_top_of_a_model_is_saved_and_exported(kind, tmp_path):
    import onnxruntime

    rng = np.random.default_rng(12)
    metric = EmbeddingMetric(rng.standard_normal((20, 4))) if kind == "embedding" else path(20)
    loki = Loki(temperature=1.5).fit(classes=space(metric, [0, 9, 19]))
    model = small_model(5, 3).eval()
    whole = on_top(model, loki.head()).eval()
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        p, scores = torch.softmax(model(x), 1), whole(x)
    torch.testing.assert_close(scores, loki.decision_function(p), atol=1e-4, rtol=1e-5)
    save_state(tmp_path / "m", whole)
    assert torch.equal(load_state(tmp_path / "m")(x), scores)
    file = tmp_path / "loki.onnx"
    torch.onnx.export(loki.network().eval(), (p,), file, dynamo=False, input_names=["p"], dynamic_axes={"p": {0: "n"}})
    session = onnxruntime.InferenceSession(str(file))
    out = session.run(None, {"p": p[:3].numpy()})[0]
    np.testing.assert_allclose(out, loki.decision_function(p[:3]).numpy(), atol=1e-4, rtol=1e-5)
    assert loki_head(loki.cost_, 1.5, logits=True)(model(x)).shape == (7, 20)


def test_fitting_leaves_the_class_space_as_it_was_and_loading_gives_equal_bits(tmp_path):
    rng = np.random.default_rng(13)
    classes = space(EmbeddingMetric(rng.standard_normal((12, 4))), [3, 1, 8])
    before, p = classes.metric.vectors.copy(), weights(3, 20, rng)
    loki = Loki().fit(classes=classes)
    scores = loki.decision_function(p)
    loki.save(tmp_path / "loki")
    assert np.array_equal(classes.metric.vectors, before)
    assert torch.equal(Loki.load(tmp_path / "loki").decision_function(p), scores)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        ([[2.0, -1.0]], "softmax"),
        ([[0.2, 0.2]], "sums to 0.4"),
        ([[0.2, 0.3, 0.5]], r"shape \(n, 2\)"),
        ([[np.nan, 1.0]], "finite"),
        (np.zeros((0, 2)), "at least one sample"),
    ],
)
def test_what_is_no_probability_is_named(x, told):
    with pytest.raises(ValueError, match=told):
        Loki().fit(classes=space(path(5), [0, 4])).predict(x)


def test_one_observed_class_leaves_nothing_to_lie_between():
    with pytest.raises(ValueError, match="two seen classes"):
        Loki().fit(classes=space(path(5), [2]))


# -- locus, choice, sampling, measures ---------------------------------------------------------------------


def test_linear_programs_agree_with_paths_and_with_the_complete_graph():
    rng = np.random.default_rng(14)
    for _ in range(3):
        tree = random_tree(14, rng)
        observed = rng.choice(14, 3, replace=False)
        exact = locus(MatrixMetric(tree.rows(np.arange(14))), observed, "exact")
        assert np.array_equal(exact, tree_locus(tree, observed))
    assert locus(CompleteMetric(6), np.array([1, 4]), "exact").tolist() == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert np.array_equal(minimum_cover(CompleteMetric(3)), np.arange(3))


def test_pairs_may_miss_what_three_observed_classes_reach_and_programs_find_it():
    angle = 2 * np.pi * np.arange(3) / 3
    corners = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.vstack([corners, [[0, 0]], -0.5 * corners])  # a triangle, its centre, the middles of its sides
    metric = EmbeddingMetric(points, normalize=False)
    assert locus(metric, np.array([0, 1, 2]), "pairs").tolist() == [True] * 3 + [False] + [True] * 3
    assert locus(metric, np.array([0, 1, 2]), "exact").all()


def test_in_a_tree_of_which_only_leaves_are_classes_programs_decide():
    def star(c):
        return TreeMetric(np.array([3, 3, 3, -1]), np.array([10.0, 10.0, c, 0]), np.arange(3))

    assert locus(star(1), np.array([0, 1])).tolist() == [True, True, True]
    assert locus(star(10), np.array([0, 1])).tolist() == [True, True, False]
    with pytest.raises(ValueError, match="class at every node"):
        minimum_cover(star(1))


def test_active_choice_covers_and_needs_no_more_labels_than_random_choice():
    rng = np.random.default_rng(15)
    for _ in range(5):
        tree = random_tree(30, rng)
        observed = rng.choice(30, 3, replace=False)
        chosen = active_classes(tree, observed)
        assert is_cover(tree, np.r_[observed, chosen])
        assert not len(chosen) or not is_cover(tree, np.r_[observed, chosen[:-1]])
        assert len(chosen) <= len(random_classes(tree, observed, rng))
        one_by_one = list(observed)
        for choice in chosen:
            assert choice == next_class(tree, np.array(one_by_one))
            one_by_one.append(choice)
    with pytest.raises(ValueError, match="already"):
        next_class(tree, np.arange(30))


@pytest.mark.parametrize("seed", range(5))
def test_the_diameter_is_the_largest_distance(seed):
    rng = np.random.default_rng(seed)
    tree = TreeMetric(random_tree(30, rng).parents, rng.uniform(0, 2, 30), rng.permutation(30)[:12])
    for metric in (tree, EmbeddingMetric(rng.standard_normal((30, 3)))):
        assert diameter(metric, block=4) == pytest.approx(metric.rows(np.arange(len(metric))).max())


def test_samplers_draw_k_classes_near_the_centre_and_then_far_pairs():
    metric = path(21)
    assert central_class(metric, block=4) == 10
    drawn = concentrated_classes(metric, 6, np.random.default_rng(0), central=4)
    assert len(set(drawn.tolist())) == 6
    assert abs(drawn[:4] - 10).max() <= 5
    assert set(drawn[4:].tolist()) == {0, 20}
    scattered = EmbeddingMetric(np.random.default_rng(1).standard_normal((30, 3)))
    d = scattered.rows(np.arange(30))
    pairs = sorted(itertools.combinations(range(30), 2), key=lambda pair: -d[pair])
    by_pairs = list(dict.fromkeys(y for pair in pairs for y in pair))
    far = concentrated_classes(scattered, 30, np.random.default_rng(0), central=0)
    assert np.array_equal(d.max(1)[far], d.max(1)[by_pairs])
    assert len(set(far.tolist())) == 30
    assert len(np.unique(uniform_classes(metric, 7, np.random.default_rng(0)))) == 7
    with pytest.raises(ValueError, match="k must lie"):
        uniform_classes(metric, 22, np.random.default_rng(0))


def test_measures_by_hand():
    assert mean_squared_distance(path(5), np.array([0, 4, 2]), np.array([0, 1, 4])) == pytest.approx((0 + 9 + 4) / 3)
    assert relative_improvement(2.0, 1.5) == 0.25
    assert unseen_accuracy(np.array([0, 1, 1, 2]), np.array([0, 1, 0, 2]), np.array([0, 2])) == 0.5
    with pytest.raises(ValueError, match="equal shape"):
        mean_squared_distance(path(5), np.array([0]), np.array([0, 1]))
