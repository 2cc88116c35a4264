"""ICV and IDD: bounds, invariances, and a naive second reading."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, concatenate
from unseen.diagnosis.stylistic import divergences, frechet, icv, idd, measure_styles, scaled, separated


def features(n=12, d=5, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (np.eye(3, d)[y] * 2 + spread * rng.normal(size=(n, d))).astype(np.float32), y


def js(p, q):
    return jensenshannon(p, q) ** 2


# -- against a naive reading --------------------------------------------------------------------------------


def test_icv_is_the_mean_over_classes_of_the_mean_over_distinct_pairs():
    x, y = features(13)
    p = softmax(x.astype(float), axis=1)
    naive = {c: np.mean([js(a, b) for a, b in itertools.combinations(p[y == c], 2)]) for c in range(3)}
    found = icv(x, y)
    assert found.value == pytest.approx(np.mean([*naive.values()]), rel=1e-5)
    assert found.per_class == pytest.approx(naive, rel=1e-5)
    assert found.low <= found.value <= found.high


def test_idd_is_the_mean_over_shared_classes_of_the_mean_over_all_pairs():
    (x, y), (u, z) = features(13), features(10, seed=1)
    z = np.where(z == 2, 7, z)
    p, q = (softmax(t.astype(float), axis=1) for t in (x, u))
    naive = [np.mean([js(a, b) for a in p[y == c] for b in q[z == c]]) for c in (0, 1)]
    found = idd(x, y, u, z)
    assert found.value == pytest.approx(np.mean(naive), rel=1e-5)
    assert found.skipped == (2, 7)
    assert found.by_class


def test_disjoint_rows_are_ln_2_apart_and_equal_rows_0():
    p = np.eye(3)
    pairs = np.array([0, 1, 2]), np.array([1, 1, 0])
    np.testing.assert_allclose(divergences(p, p, *pairs), [math.log(2), 0, math.log(2)], atol=1e-12)


def test_the_worked_value_of_raw_rows():
    a, b = np.array([[0.2, 0.8, 0.0]]), np.array([[0.4, 0.1, 0.5]])
    assert idd(a, [0], b, [0]).value == pytest.approx(0.032663, abs=1e-6)


def test_the_distance_of_gaussians_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    for n, m in ((30, 40), (4, 30), (3, 4)):
        a, b = rng.normal(size=(n, 5)), rng.normal(size=(m, 5)) * 2 + 1
        s, t = np.cov(a.T), np.cov(b.T)
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t + 1e-12 * np.eye(5)).real)
        assert frechet(a, b) == pytest.approx(expected, rel=1e-3)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


# -- what must hold -----------------------------------------------------------------------------------------


def test_identical_pictures_of_a_class_have_no_variation():
    x = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    assert icv(x, [0, 0, 1, 1, 2, 2]).value == pytest.approx(0, abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(-5, 5))
def test_order_of_pictures_and_a_constant_do_not_matter(seed, constant):
    (x, y), (u, z) = features(15), features(12, seed=1)
    order = np.random.default_rng(seed).permutation(15)
    for most in (2000, 6):  # drawn pairs, too
        assert icv(x[order], y[order], max_pairs=most).value == pytest.approx(icv(x, y, max_pairs=most).value, rel=1e-6)
        expected = idd(x, y, u, z, max_pairs=most).value
        assert idd(x[order], y[order], u, z, max_pairs=most).value == pytest.approx(expected, rel=1e-6)
    assert icv(x + constant, y).value == pytest.approx(icv(x, y).value, rel=1e-4)


def test_idd_of_a_domain_with_itself_over_distinct_pairs_is_its_icv():
    x, y = features(12)  # four of each class, of 16 pairs 4 of which are no two pictures
    assert idd(x, y, x, y).value * 4 / 3 == pytest.approx(icv(x, y).value, rel=1e-5)


def test_idd_is_symmetric():
    (x, y), (u, z) = features(12), features(10, seed=1)
    assert idd(x, y, u, z).value == pytest.approx(idd(u, z, x, y).value, rel=1e-9)


def test_classes_count_alike_whatever_their_size():
    x, y = features(6)
    large = np.concatenate([x, x[y == 0] + np.float32(0)] * 3)
    labels = np.concatenate([y, y[y == 0]] * 3)
    assert icv(large, labels).per_class[1] == pytest.approx(icv(np.concatenate([x] * 3), np.tile(y, 3)).per_class[1])
    by_pair, by_class = (icv(large, labels, weighting=w).value for w in ("pair", "class"))
    sizes = np.bincount(labels)
    pairs = sizes * (sizes - 1) / 2
    means = [icv(large, labels).per_class[c] for c in range(3)]
    assert by_class == pytest.approx(np.mean(means))
    assert by_pair == pytest.approx(np.average(means, weights=pairs))


def test_drawn_pairs_are_close_to_all_pairs_and_intervals_hold_them():
    x, y = features(300, seed=3)
    whole, part = icv(x, y), icv(x, y, max_pairs=500)
    assert (whole.pairs, part.pairs) == (6000, 1500)
    everything = icv(x, y, max_pairs=10**6)
    assert part.value == pytest.approx(everything.value, rel=0.1)
    assert part.low < everything.value < part.high
    assert everything.high - everything.low < 0.2 * everything.value


def test_more_spread_is_more_variation_and_a_shift_is_more_dissimilarity():
    tables = [features(60, seed=s, spread=w)[0] for s, w in ((0, 0.3), (1, 1.5))]
    narrow, wide = (icv(x, features(60)[1]) for x in scaled(*tables))
    assert narrow.high < wide.low
    x, y = features(60, seed=2, spread=0.3)
    near, far = (idd(x, y, x + np.float32(gap) * np.eye(5, dtype=np.float32)[4], y) for gap in (0.1, 2))
    assert near.high < far.low


def test_without_a_common_scale_long_vectors_saturate():
    x = 100 * np.random.default_rng(0).normal(size=(20, 50))
    assert icv(x, np.zeros(20)).value > 0.95 * math.log(2)
    assert icv(*scaled(x), np.zeros(20)).value < 0.5 * math.log(2)


def test_all_domains_are_divided_by_one_number():
    a, b = scaled(np.array([[1.0, 7], [2, 7]]), np.array([[3.0, 7]]))
    np.testing.assert_allclose(np.concatenate([a, b]).std(), 1, rtol=1e-6)
    np.testing.assert_allclose(a[1] / a[0], [2, 1], rtol=1e-6)
    assert not scaled(np.zeros((2, 3)))[0].any()


def test_two_halves_of_one_domain_have_nothing_beyond_their_classes_and_a_shift_has():
    x, y = features(400, seed=4)
    moved = x + 2 * np.eye(5, dtype=np.float32)[4]
    halves = [Domain(x=t[i::2], y=y[i::2], name=n) for n, t, i in (("a", x, 0), ("b", x, 1), ("c", moved, 1))]
    found = measure_styles(halves)
    assert abs(found.beyond["a", "b"]) < 0.1 * found.beyond["a", "c"]
    assert measure_styles([halves[0], halves[1].replace(y=None)]).beyond == {("a", "b"): None}


# -- labels and probabilities -------------------------------------------------------------------------------


def test_whole_domains_are_paired_where_no_class_is_shared_and_the_result_says_so():
    (x, y), (u, z) = features(9), features(9, seed=1)
    for found in (idd(x, y, u, z + 5), idd(x, None, u, z), idd(x, y, u, z, by_class=False)):
        assert not found.by_class
        assert found.per_class == {}
        assert found.pairs == 81
    p, q = (softmax(t.astype(float), axis=1) for t in (x, u))
    naive = np.mean([js(a, b) for a in p for b in q])
    assert idd(x, None, u, None).value == pytest.approx(naive, rel=1e-5)


def test_classes_of_one_picture_are_left_out_and_named():
    x, y = features(9)
    y[y == 2] = [2, 3, 4]
    assert icv(x, y).skipped == (2, 3, 4)
    with pytest.raises(ValueError, match="at least two pictures"):
        icv(x, np.arange(9))


def test_probabilities_are_taken_as_they_are_if_asked():
    p = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5]])
    assert icv(p, [0, 0], distribution="given").value == pytest.approx(js(p[0], p[1]))
    with pytest.raises(ValueError, match="must be probabilities"):
        icv(2 * p, [0, 0], distribution="given")


def test_bad_input_is_named():
    x, y = features(9)
    with pytest.raises(ValueError, match="labels must be one for each of 9 rows"):
        icv(x, y[:4])
    with pytest.raises(ValueError, match="features must be finite"):
        icv(np.where(x > 0, np.nan, x), y)
    with pytest.raises(ValueError, match="one width"):
        idd(x, y, x[:, :2], y)
    with pytest.raises(ValueError, match="distribution must be"):
        icv(x, y, distribution="raw")
    with pytest.raises(ValueError, match="weighting must be"):
        icv(x, y, weighting="none")
    with pytest.raises(ValueError, match="at least 2 rows"):
        frechet(x[:1], x)


# -- several domains ----------------------------------------------------------------------------------------


def domain(name, seed=0, names=("a", "b", "c"), **changes):
    x, y = features(24, seed=seed)
    return Domain(x=x, y=y, classes=ClassSpace(names=names), name=name).replace(**changes)


def test_classes_are_those_of_the_same_name_whatever_their_order():
    one, other = domain("one"), domain("other")
    turned = other.with_labels(2 - other.labels, ClassSpace(names=("c", "b", "a")))
    expected = measure_styles([one, other]).idd["one", "other"]
    assert measure_styles([one, turned]).idd["one", "other"] == expected


def test_a_column_of_domains_counts_as_several():
    parts = [domain("one"), domain("other", 1), domain("third", 2)]
    together = concatenate(parts)
    assert [part.name for part in separated(together)] == ["one", "other", "third"]
    a, b = measure_styles(parts), measure_styles([together])
    assert a.to_json() == b.to_json()
    assert [*a.idd] == [("one", "other"), ("one", "third"), ("other", "third")]
    table = a.matrix()
    assert np.array_equal(table, table.T)
    assert table[1, 1] == a.icv["other"].value


def test_domains_without_labels_have_no_icv_and_are_paired_whole():
    found = measure_styles([domain("one"), domain("one", 1, y=None, classes=None)])
    assert found.names == ("one (1)", "one (2)")
    assert found.icv["one (2)"] is None
    assert not found.idd["one (1)", "one (2)"].by_class
    assert np.isnan(found.matrix()[1, 1])
    assert found.to_json()["domains"][1]["icv"] is None


def test_domains_that_cannot_be_compared_are_named():
    with pytest.raises(ValueError, match="at least two"):
        measure_styles([domain("one")])
    with pytest.raises(ValueError, match="one has 5, two has 2"):
        measure_styles([domain("one"), domain("two", x=np.zeros((24, 2)))])
    with pytest.raises(ValueError, match="two is empty"):
        measure_styles([domain("one"), domain("two").take([])])
