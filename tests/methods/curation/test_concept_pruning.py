"""Density-based pruning: the checks of its specification, against naive second versions and by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processes
from unseen.data.domain import Domain
from unseen.methods import get
from unseen.methods.base import NotFittedError
from unseen.methods.curation.concept_pruning import ConceptPruning
from unseen.nn.concepts import (
    BLANK,
    DUPLICATE,
    UNLIKE,
    automatic_temperature,
    budgets,
    by_concept,
    check_options,
    complexity,
    find_concepts,
    inter_distance,
    intra_distance,
    number,
    random_rule,
    shares,
    similarity_rule,
    ssp_rule,
    uniform_rule,
)
from unseen.nn.semdedup import rough_clusters

INTRA, INTER = np.array([0.1, 0.2, 0.4, 0.8]), np.full(4, 0.5)
SIZES = np.array([100, 300, 50, 550])


def groups(n: int = 400, d: int = 16, seed: int = 0) -> Domain:
    """Four concepts: of few and many samples, narrow and wide."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(d, d)))[0][:4]
    y = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])
    spread = np.array([0.02, 0.05, 0.1, 0.2])[y]
    x = directions[y] + spread[:, None] * rng.normal(size=(n, d))
    return Domain(x=x.astype(np.float32), y=y, kind="features", name="groups")


# -- steps 5 to 9 --------------------------------------------------------------------------------------------


def test_the_worked_example_at_the_papers_temperature() -> None:
    p = shares(complexity(INTRA, INTER), 0.1)
    np.testing.assert_allclose(p, [0.024847, 0.040966, 0.111358, 0.822829], atol=5e-7)
    plan = budgets(400, p, SIZES)
    np.testing.assert_allclose(plan.exact, [9.939, 16.386, 44.543, 329.131], atol=6e-4)
    assert plan.whole.sum() == 400


def test_the_worked_example_at_the_codes_temperature_where_a_concept_is_too_small() -> None:
    plan = budgets(400, shares(complexity(INTRA, INTER), 0.5), SIZES)
    np.testing.assert_allclose(plan.wanted, [73.142, 80.835, 98.732, 147.291], atol=6e-4)
    np.testing.assert_allclose(plan.exact, [89.386, 97.079, 50, 163.535], atol=6e-4)
    assert plan.whole.tolist() == [89, 97, 50, 164]
    np.testing.assert_allclose(plan.at_bound, [0, 0.25])


def test_distances_between_centroids_by_hand() -> None:
    c = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0, 0.6, 0.8], [0, 0, 1]])
    np.testing.assert_allclose(inter_distance(c, 2), [0.7, 0.3, 0.3, 0.3, 0.6], atol=1e-6)


def test_centroids_that_are_not_of_unit_length_are_brought_to_it() -> None:
    c = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0, 0.6, 0.8], [0, 0, 1]])
    lengths = np.array([[0.3], [2.0], [1.0], [5.0], [0.1]])
    np.testing.assert_allclose(inter_distance(c * lengths, 2), inter_distance(c, 2), atol=1e-6)


def test_equal_centroids_are_neighbours_of_each_other_at_no_distance() -> None:
    assert inter_distance(np.array([[1.0, 0], [1.0, 0], [0, 1.0]]), 1).tolist() == [0, 0, 1]


def test_more_neighbours_than_centroids_are_all_others_and_one_centroid_has_none() -> None:
    c = np.eye(3)
    np.testing.assert_allclose(inter_distance(c, 20), 1)
    assert np.isnan(inter_distance(c[:1], 20)).all()


def test_the_mean_distance_of_members_is_not_defined_below_two() -> None:
    labels, distances = np.array([0, 0, 1, 3, 3]), np.array([0.1, 0.3, 0.5, 0.2, 0.2])
    np.testing.assert_allclose(intra_distance(labels, distances, 4), [0.2, np.nan, np.nan, 0.2])


def test_what_is_not_defined_gets_the_mean_of_the_others() -> None:
    c = complexity(np.array([0.2, np.nan, 0.4]), np.array([0.5, 0.5, 0.5]))
    np.testing.assert_allclose(c, [0.1, 0.15, 0.2])
    assert complexity(np.array([np.nan]), np.array([np.nan])).tolist() == [0]
    np.testing.assert_array_equal(complexity(INTRA, INTER, "intra"), INTRA)
    np.testing.assert_array_equal(complexity(INTRA, INTER, "inter"), INTER)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0.001, 1)), min_size=2, max_size=15), st.data())
def test_budgets_are_feasible_and_sum_to_what_was_asked_for(rows: list[tuple[int, float]], data: st.DataObject) -> None:
    sizes, c = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    n = data.draw(st.integers(1, int(sizes.sum())))
    floor = data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    plan = budgets(n, shares(c, 0.1), sizes, floor)
    assert plan.exact.sum() == pytest.approx(n, abs=1e-6)
    assert plan.whole.sum() == n
    for x in (plan.exact, plan.whole):
        assert (x >= plan.lower - 1e-9).all()
        assert (x <= sizes + 1e-9).all()
    if n >= len(sizes):
        assert (plan.whole >= 1).all()


def test_where_no_bound_is_met_the_budget_is_what_was_wanted() -> None:
    p = shares(complexity(INTRA, INTER), 1.0)
    plan = budgets(150, p, np.full(4, 1000))
    np.testing.assert_allclose(plan.exact, 150 * p, atol=1e-9)


def test_a_very_high_temperature_gives_every_concept_the_same() -> None:
    plan = budgets(80, shares(complexity(INTRA, INTER), 1e9), SIZES)
    np.testing.assert_allclose(plan.exact, 20, atol=1e-5)
    plan = budgets(400, shares(complexity(INTRA, INTER), 1e9), SIZES)  # or all it has: 100 and 50
    np.testing.assert_allclose(plan.exact, [100, 125, 50, 125], atol=1e-4)


def test_a_very_low_temperature_fills_the_most_complex_concept_first() -> None:
    plan = budgets(400, shares(complexity(INTRA, INTER), 1e-6), SIZES)
    assert plan.whole.tolist() == [1, 1, 1, 397]
    assert budgets(600, shares(complexity(INTRA, INTER), 1e-6), SIZES).whole[3] == 550


def test_equal_complexities_give_equal_budgets() -> None:
    plan = budgets(40, shares(np.full(4, 0.2), 0.01), SIZES)
    assert plan.whole.tolist() == [10] * 4


def test_doubling_all_distances_and_the_temperature_changes_nothing() -> None:
    """C is a product of two distances, so one factor is doubled."""
    np.testing.assert_allclose(
        shares(complexity(2 * INTRA, INTER), 0.2), shares(complexity(INTRA, INTER), 0.1), rtol=1e-12
    )


def test_what_concepts_are_called_does_not_matter() -> None:
    order = np.array([2, 0, 3, 1])
    p = shares(complexity(INTRA, INTER), 0.5)
    moved = budgets(400, shares(complexity(INTRA[order], INTER[order]), 0.5), SIZES[order])
    np.testing.assert_array_equal(moved.whole, budgets(400, p, SIZES).whole[order])


def test_the_codes_floor_is_a_share_of_an_equal_budget() -> None:
    plan = budgets(400, shares(complexity(INTRA, INTER), 1e-6), SIZES, floor=0.5)
    assert plan.lower.tolist() == [50, 50, 49, 50]  # 0.5 * 400 / 4, and M - 1 of the third
    assert plan.whole.tolist() == [50, 50, 49, 251]


def test_the_automatic_temperature_fills_seven_of_ten_concepts_whatever_the_scale() -> None:
    c = np.random.default_rng(0).gamma(2.0, 0.02, 60)
    t = automatic_temperature(c)
    p = shares(c, t)
    assert np.exp(-(p * np.log(p)).sum()) == pytest.approx(0.7 * 60, rel=1e-6)
    assert automatic_temperature(10 * c) == pytest.approx(10 * t, rel=1e-6)
    assert automatic_temperature(np.full(5, 0.1)) == 1


# -- step 10 and the other rules -----------------------------------------------------------------------------


def by_loop(labels: np.ndarray, key: np.ndarray, whole: np.ndarray) -> list[int]:
    kept = []
    for j, x in enumerate(whole):
        mine = sorted(np.flatnonzero(labels == j).tolist(), key=lambda i: (key[i], i))
        kept += mine[:x]
    return sorted(kept)


@pytest.mark.parametrize(("pick", "sign"), [("hardest", -1), ("easiest", 1)])
def test_members_are_taken_in_order_of_distance_ties_to_the_first(pick: str, sign: int) -> None:
    rng = np.random.default_rng(0)
    labels, distances = rng.integers(0, 5, 200), rng.integers(0, 9, 200) / 10
    whole = np.array([3, 0, 10, 1, 20])
    assert by_concept(labels, distances, whole, pick).tolist() == by_loop(labels, sign * distances, whole)  # type: ignore[arg-type]


def test_ssp_takes_the_farthest_of_all_and_its_floor_takes_some_of_each_first() -> None:
    rng = np.random.default_rng(0)
    labels, distances = np.arange(100) % 4, rng.random(100) + 2 * (np.arange(100) % 4 == 3)
    assert set(labels[ssp_rule(20, labels, distances, 4)].tolist()) == {3}
    kept = ssp_rule(20, labels, distances, 4, floor=0.5)
    assert np.bincount(labels[kept]).tolist() == [2, 2, 2, 14]
    assert len(kept) == len(set(kept.tolist())) == 20
    easy = ssp_rule(20, labels, distances, 4, easiest=True)
    assert distances[easy].max() <= np.delete(distances, easy).min()


def test_the_plain_rules() -> None:
    labels, distances = np.repeat([0, 1], [90, 10]), np.linspace(0, 1, 100)
    assert np.bincount(labels[uniform_rule(30, labels, distances, 2)]).tolist() == [20, 10]
    assert similarity_rule(3, np.array([0.1, 0.9, 0.5, 0.9, 0.5])).tolist() == [1, 2, 3]
    first = random_rule(10, 100, 1)
    assert len(set(first.tolist())) == 10
    assert first.tolist() == random_rule(10, 100, 1).tolist() != random_rule(10, 100, 2).tolist()


# -- the method ----------------------------------------------------------------------------------------------


def test_keeping_everything_keeps_everything() -> None:
    data = groups()
    method = ConceptPruning(n_clusters=8).fit(target=data)
    assert method.select(len(data)).mask.all()
    assert method.select(fraction=1.0).mask.all()


def test_as_many_as_concepts_keeps_the_hardest_of_each() -> None:
    method = ConceptPruning(n_clusters=8).fit(target=groups())
    chosen = method.select(8)
    assert chosen.budgets.tolist() == [1] * 8
    for i in chosen.indices:
        mine = method.clusters_ == method.clusters_[i]
        assert method.distances_[i] == method.distances_[mine].max()


def test_fewer_than_concepts_can_be_kept() -> None:
    chosen = ConceptPruning(n_clusters=8).fit(target=groups()).select(3)
    assert len(chosen.indices) == chosen.budgets.sum() == 3


def test_select_follows_the_order_that_the_user_gave() -> None:
    data, order = groups(), np.random.default_rng(1).permutation(400)
    plain = ConceptPruning(n_clusters=8).fit(target=data)
    moved = ConceptPruning(n_clusters=8).fit(target=data.take(order))
    np.testing.assert_array_equal(moved.select(50).mask, plain.select(50).mask[order])
    np.testing.assert_array_equal(plain.select(fraction=plain.keep).mask, plain.transduction_ == 1)


def test_wide_and_rare_concepts_keep_a_larger_share_than_narrow_and_common_ones() -> None:
    data = groups(2000)
    mask = ConceptPruning(n_clusters=4, restarts=5).fit(target=data).select(200).mask
    share = [mask[data.labels == j].mean() for j in range(4)]
    assert share == sorted(share)
    assert share[3] > 3 * share[0]


def test_new_samples_are_kept_if_they_are_as_far_out_as_those_that_are() -> None:
    data = groups(600)
    for pick in ("hardest", "easiest"):
        method = ConceptPruning(n_clusters=6, keep=0.4, pick=pick).fit(target=data)
        agreed = method.predict(data) == method.transduction_
        assert agreed.mean() > 0.995  # only rounding at a cut may differ


def test_copies_are_dropped_before_concepts_are_found() -> None:
    data = groups(300)
    copied = data.replace(x=np.concatenate([data.x, data.x[:100], data.x[:100]]), y=None, ids=None)
    method = ConceptPruning(n_clusters=8, dedup=1e-4, keep=1.0).fit(target=copied)
    assert (method.fates_ == DUPLICATE).sum() == 200
    assert method.transduction_.sum() == 300
    with pytest.raises(ValueError, match="left after the quality filter"):
        method.select(301)


def test_the_quality_filter_comes_first_and_needs_a_similarity() -> None:
    data = groups(200)
    similarity = np.linspace(0, 1, 200)
    method = ConceptPruning(n_clusters=4, quality=0.5, keep=1.0).fit(
        target=data.replace(columns={"similarity": similarity})
    )
    np.testing.assert_array_equal(method.fates_ == UNLIKE, similarity < 0.5)
    without = ConceptPruning(n_clusters=4, quality=0.5, keep=1.0).fit(target=data)
    assert (without.fates_ == 0).all()


def test_a_column_similarity_of_words_is_no_score() -> None:
    words = np.array(["cat", "dog"] * 100)
    method = ConceptPruning(n_clusters=4, quality=0.5).fit(target=groups(200).replace(columns={"similarity": words}))
    assert (method.fates_ == 0).all()


def test_every_rule_keeps_as_many_as_asked_for() -> None:
    found = find_concepts(groups().x, similarity=np.linspace(0, 1, 400), n_clusters=8)
    for rule in ("dbp", "ssp", "random", "uniform", "similarity"):
        chosen = found.select(77, rule=rule)  # type: ignore[arg-type]
        assert len(chosen.indices) == chosen.budgets.sum() == 77
    with pytest.raises(ValueError, match="needs the similarity"):
        find_concepts(groups().x, n_clusters=8).select(7, rule="similarity")


def test_presets_carry_the_published_constants() -> None:
    card = get("concept-pruning").card
    assert card.presets["paper"]["temperature"] == 0.1
    assert card.presets["code"] == {"temperature": 0.5, "floor": 0.5, "n_clusters": 500}


def test_bad_arguments_are_named() -> None:
    method = ConceptPruning(n_clusters=8)
    with pytest.raises(NotFittedError):
        method.select(5)
    method.fit(target=groups())
    with pytest.raises(ValueError, match="either n or fraction"):
        method.select()
    with pytest.raises(ValueError, match="either n or fraction"):
        method.select(3, fraction=0.5)
    with pytest.raises(ValueError, match="fraction must lie"):
        method.select(fraction=1.5)
    with pytest.raises(ValueError, match="n must lie between 1 and 400"):
        method.select(401)
    with pytest.raises(ValueError, match="n_clusters must be at most 400"):
        ConceptPruning(n_clusters=401).fit(target=groups())
    for wrong in (0, -1, 1.5, 401, np.nan):
        with pytest.raises(ValueError, match="keep must be"):
            number(wrong, 400)
    assert (number(0.25, 400), number(7, 400), number(1, 400), number(0.001, 400)) == (100, 7, 400, 1)


def test_one_sample_and_equal_samples_are_no_error() -> None:
    one = ConceptPruning(keep=1.0).fit(target=Domain(x=np.ones((1, 3), dtype=np.float32), kind="features"))
    assert one.transduction_.tolist() == [1]
    same = ConceptPruning(keep=0.5).fit(target=Domain(x=np.ones((40, 3), dtype=np.float32), kind="features"))
    assert same.transduction_.sum() == 20


# -- the parts together, a second time and naively -----------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_selection_is_what_the_numbered_steps_give_by_loops(seed: int) -> None:
    found = find_concepts(groups(seed=seed).x, n_clusters=9, restarts=2, dedup=0.0005, random_state=seed)
    chosen = found.select(60, temperature=0.02, neighbours=3)
    k, unique = 9, [i for i in range(400) if found.fates[i] == 0]
    members = [[i for i in unique if found.labels[i] == j] for j in range(k)]
    c = []
    for j in range(k):
        intra = float(np.mean([found.distances[i] for i in members[j]]))
        others = sorted(1 - float(found.centroids[j] @ found.centroids[m]) for m in range(k) if m != j)
        c.append(intra * float(np.mean(others[:3])))
    powers = [np.exp(value / 0.02) for value in c]
    wanted = [60 * power / sum(powers) for power in powers]
    low, high = -60.0, 60.0
    for _ in range(200):  # the shift, by bisection
        shift = (low + high) / 2
        x = [min(max(w - shift, min(1, len(m))), len(m)) for w, m in zip(wanted, members)]
        low, high = (shift, high) if sum(x) > 60 else (low, shift)
    whole = [int(value + 1e-9) for value in x]
    for j in sorted(range(k), key=lambda j: (whole[j] - x[j], j))[: 60 - sum(whole)]:
        whole[j] += 1
    kept = [i for j in range(k) for i in sorted(members[j], key=lambda i: (-found.distances[i], i))[: whole[j]]]
    np.testing.assert_allclose(chosen.complexity, c, rtol=1e-4)
    assert chosen.budgets.tolist() == whole
    assert chosen.indices.tolist() == sorted(kept)


def test_of_near_copies_the_one_that_is_farthest_from_the_centroid_stays() -> None:
    rng = np.random.default_rng(0)
    own = groups(150).x
    x = np.concatenate([own, own[:60] + 1e-4 * rng.normal(size=(60, 16)).astype(np.float32)])
    found = find_concepts(x, n_clusters=6, dedup=1e-5)
    rough = rough_clusters(x)
    for i in range(60):
        if rough.labels[i] != rough.labels[150 + i] or rough.distances[i] == rough.distances[150 + i]:
            continue
        near, far = sorted((i, 150 + i), key=lambda j: rough.distances[j])
        assert (found.fates[near], found.fates[far]) == (DUPLICATE, 0)
    assert (found.fates == DUPLICATE).sum() >= 55


def test_of_equal_rows_the_first_stays_and_at_zero_only_these_go() -> None:
    own = groups(100).x
    x = np.concatenate([own, own[:40], own[:40] + np.float32(1e-5)])
    found = find_concepts(x, n_clusters=4, dedup=0.0)
    assert np.flatnonzero(found.fates == DUPLICATE).tolist() == list(range(100, 140))
    assert (find_concepts(x, n_clusters=4).fates == 0).all()


def test_cuts_are_halfway_between_what_is_kept_and_what_is_not() -> None:
    data = groups(300)
    for pick, sign in (("hardest", 1), ("easiest", -1)):
        method = ConceptPruning(n_clusters=5, keep=0.4, pick=pick).fit(target=data)
        for j in range(5):
            mine = method.clusters_ == j
            inside = sign * method.distances_[mine & (method.transduction_ == 1)]
            outside = sign * method.distances_[mine & (method.transduction_ == 0)]
            if len(inside) and len(outside):
                assert method.cuts_[j] == pytest.approx(sign * (inside.min() + outside.max()) / 2, abs=1e-6)
            else:
                assert method.cuts_[j] in (-1, 3)


# -- samples without an embedding ----------------------------------------------------------------------------


def test_samples_without_a_direction_are_set_aside_and_change_nothing_else() -> None:
    data = groups(200)
    x = np.concatenate([np.zeros((2, 16)), data.x[:100], np.full((1, 16), 1e25), data.x[100:]]).astype(np.float32)
    found, clean = find_concepts(x, n_clusters=6), find_concepts(data.x, n_clusters=6)
    blank = [0, 1, 102]
    assert np.flatnonzero(found.fates == BLANK).tolist() == blank
    assert found.labels[blank].tolist() == [-1] * 3
    np.testing.assert_array_equal(np.delete(found.labels, blank), clean.labels)
    rest = np.delete(np.arange(203), blank)
    np.testing.assert_array_equal(found.select(50).indices, rest[clean.select(50).indices])
    with pytest.raises(ValueError, match="none of the 3 embeddings has a direction"):
        find_concepts(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="row 7 holds NaN"):
        find_concepts(np.where(np.arange(200)[:, None] == 7, np.nan, data.x))


def test_the_method_never_keeps_a_sample_without_a_direction() -> None:
    data = groups(200)
    x = data.x.copy()
    x[5] = 0
    method = ConceptPruning(n_clusters=6, keep=1.0).fit(target=data.replace(x=x))
    assert np.flatnonzero(method.transduction_ == 0).tolist() == [5]
    assert method.predict(data.replace(x=x))[5] == 0


def test_similarity_is_only_looked_at_where_it_is_needed() -> None:
    x, similarity = groups(50).x, np.linspace(0, 1, 50)
    similarity[[7, 9]] = np.nan
    found = find_concepts(x, similarity=similarity, n_clusters=3)
    assert len(found.select(10).indices) == 10
    for job in (
        lambda: find_concepts(x, similarity=similarity, quality=0.5, n_clusters=3),
        lambda: found.select(10, rule="similarity"),
    ):
        with pytest.raises(ValueError, match="missing for 2 of 50 samples, first for row 7"):
            job()


# -- options -------------------------------------------------------------------------------------------------


def test_a_floor_leaves_every_concept_one_sample_at_least() -> None:
    plan = budgets(20, shares(complexity(INTRA, INTER), 1e-6), np.array([1, 300, 50, 550]), floor=0.1)
    assert plan.lower.tolist() == [1, 1, 1, 1]
    assert plan.whole.tolist() == [1, 1, 1, 17]
    labels, distances = np.arange(100) % 4, np.arange(100) % 4 / 4
    assert np.bincount(labels[ssp_rule(20, labels, distances, 4, floor=0.1)]).tolist() == [1, 1, 1, 17]


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("random", {"temperature": 0.1}),
        ("random", {"pick": "easiest"}),
        ("ssp", {"neighbours": 5}),
        ("uniform", {"floor": 0.5}),
        ("similarity", {"measure": "intra"}),
    ],
)
def test_options_that_a_rule_has_no_use_for_are_refused(rule: str, options: dict[str, object]) -> None:
    found = find_concepts(groups(100).x, similarity=np.linspace(0, 1, 100), n_clusters=4)
    with pytest.raises(ValueError, match=f"{next(iter(options))} has no effect with rule={rule!r}, only with .*dbp"):
        found.select(10, rule=rule, **options)  # type: ignore[arg-type]


def test_ssp_has_no_order_at_random() -> None:
    with pytest.raises(ValueError, match="pick must be hardest or easiest with rule ssp"):
        check_options("ssp", {"pick": "random"})


def test_misspelt_words_are_refused_with_those_that_there_are() -> None:
    """In a process of its own: here types are checked before the functions are."""
    code = """
import numpy as np
from unseen.nn.concepts import by_concept, complexity, find_concepts
from unseen.nn.semdedup import semdedup
x = np.random.default_rng(0).normal(size=(40, 4)); found = find_concepts(x, n_clusters=3)
jobs = [
    lambda: found.select(5, rule='dpb'), lambda: found.select(5, pick='hard'), lambda: found.select(5, measure='all'),
    lambda: found.select(5, temperature=0), lambda: found.select(5, temperature='hot'),
    lambda: found.select(5, neighbours=0), lambda: found.select(5, floor=2), lambda: find_concepts(x, restarts=-1),
    lambda: find_concepts(x, dedup=-1), lambda: find_concepts(x, quality=0), lambda: find_concepts(x, n_clusters=-1),
    lambda: by_concept(found.labels, found.distances, np.ones(3, int), 'hard'),
    lambda: complexity(np.ones(2), np.ones(2), 'all'), lambda: semdedup(x, 0.1, keep='best'),
]
for job in jobs:
    try:
        job(); print('nothing')
    except ValueError as error:
        print(error)
"""
    done = processes.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stdout.strip().splitlines()
    names = (
        "rule pick measure temperature temperature neighbours floor restarts dedup quality n_clusters pick measure keep"
    )
    assert [line.split()[0] for line in said] == names.split()
    assert all(" must be " in line for line in said)
