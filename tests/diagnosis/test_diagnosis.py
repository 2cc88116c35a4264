"""The estimators of a diagnosis on domains whose answer is known, and what their figures are read as."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.duplicates import leakage
from unseen.diagnosis import diagnose, measure, reading
from unseen.diagnosis.bbse import bbse
from unseen.diagnosis.calibration import bias_corrected
from unseen.diagnosis.components import reduced
from unseen.diagnosis.consistency import class_consistency
from unseen.diagnosis.discrepancy import mmd
from unseen.diagnosis.domain_classifier import auc, domain_auc
from unseen.diagnosis.geometry import distances
from unseen.diagnosis.label_shift import label_shift, total_variation
from unseen.nn.mlls import mlls


def blobs(shares, n, seed=0, spread=1.0, shift=0.0, width=12, distance=4.0):
    """n samples of Gaussian classes at the corners of a simplex, with these shares."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(shares), size=n, p=np.asarray(shares) / np.sum(shares))
    x = distance * np.eye(width)[y] + spread * rng.standard_normal((n, width)) + shift
    return x.astype(np.float32), y


def domain(shares=(1, 1, 1), n=300, **options):
    x, y = blobs(shares, n, **options)
    return Domain(x=x, y=y, classes=ClassSpace(names=tuple("abcdef"[: len(shares)])))


def test_components_are_made_once_and_change_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = domain(n=60, width=200), domain(n=50, seed=1, width=200)
    plain = measure(source, target)
    made: list[int] = []

    def counted(a: np.ndarray, b: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        made.append(seed)
        return reduced(a, b, seed=seed)

    for function in (measure, label_shift):
        monkeypatch.setattr(sys.modules[function.__module__], "reduced", counted)
    assert measure(source, target).to_json() == plain.to_json()
    assert made == [0]


# -- domain classifier -------------------------------------------------------------------------------------


def test_samples_of_one_domain_cannot_be_told_apart():
    found = [domain_auc(blobs((1, 1), 300, 2 * s)[0], blobs((1, 1), 300, 2 * s + 1)[0]).auc for s in range(5)]
    assert abs(np.mean(found) - 0.5) < 0.05


def test_a_large_shift_is_told_apart_always():
    assert domain_auc(blobs((1, 1), 200)[0], blobs((1, 1), 200, 1, shift=5)[0]).auc > 0.999


def test_a_domain_beside_itself_is_one_domain_because_equal_rows_share_a_fold():
    x = blobs((1, 1), 200)[0]
    assert domain_auc(x, x).auc == pytest.approx(0.5, abs=1e-6)


def test_more_features_than_samples_give_no_false_alarm():
    rng = np.random.default_rng(0)
    found = [domain_auc(rng.normal(size=(60, 400)), rng.normal(size=(60, 400))).auc for _ in range(8)]
    assert abs(np.mean(found) - 0.5) < 0.08


def test_auc_is_the_share_of_ordered_pairs():
    score, side = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 1, 0, 1])
    pairs = [(p > q) + 0.5 * (p == q) for p in score[side == 1] for q in score[side == 0]]
    assert auc(score, side) == np.mean(pairs)


@pytest.mark.parametrize("other", [np.zeros((9, 3)), np.zeros((3, 2))])
def test_sides_that_do_not_fit_are_named(other):
    with pytest.raises(ValueError, match="a and b must"):
        domain_auc(np.zeros((9, 2)), other)


# -- label shift -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.1), (0.05, 0.05, 0.9), (0.5, 0.5, 0.0)])
def test_a_known_label_shift_is_recovered_and_is_all_that_differs(shares):
    a, y = blobs((1, 1, 1), 600, distance=2.5)
    b, truth = blobs(shares, 600, 1, distance=2.5)
    found = label_shift(a, y, b, 3)
    real = np.bincount(truth, minlength=3) / 600
    assert total_variation(found.mlls, real) < 0.05
    assert total_variation(found.bbse, real) < 0.05
    assert found.distance > found.chance + 0.1
    assert found.remaining < 0.57


def test_without_a_shift_the_shares_stay_within_chance():
    found = label_shift(*blobs((1, 1, 1), 500), blobs((1, 1, 1), 500, 1)[0], 3)
    assert found.distance < found.chance + 0.05
    assert found.chance < 0.12


def test_a_shift_of_the_domain_does_not_pass_for_one_of_shares():
    found = label_shift(*blobs((1, 1, 1), 300), blobs((1, 1, 1), 300, 1, shift=np.linspace(-2, 2, 12))[0], 3)
    assert found.remaining > 0.9


def test_few_samples_with_many_features_keep_their_shares_within_reason():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 6
    a, b = (Domain(x=(10 * np.eye(400)[y] + rng.standard_normal((60, 400))).astype(np.float32), y=y) for _ in range(2))
    found = measure(a, b).to_json()["label_shift"]
    assert found["total_variation"]["mlls"] < 0.25
    assert found["chance"] < 0.4  # a uniform guess at the classes of 48 samples gives 0.14 in the mean


def test_a_shift_of_few_samples_with_many_features_is_not_explained_by_shares():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 6
    a, b = ((10 * np.eye(400)[y] + rng.standard_normal((60, 400))).astype(np.float32) for _ in range(2))
    assert label_shift(a, y, b + 3 * (np.arange(400) % 2).astype(np.float32), 6).remaining > 0.9


def test_one_class_has_no_shares_to_shift():
    assert label_shift(blobs((1,), 50)[0], np.zeros(50, dtype=int), blobs((1,), 50)[0], 2) is None


def test_bbse_solves_the_confusion_equations_exactly_on_exact_input():
    confusion = np.array([[0.8, 0.1], [0.2, 0.9]])
    p, y = confusion.T, np.array([0, 1])
    target = np.tile(confusion @ [0.25, 0.75], (7, 1))
    np.testing.assert_allclose(bbse(p, y, target), [0.25, 0.75], atol=1e-12)


def test_mlls_of_certain_probabilities_counts_them():
    p = np.eye(3)[[0, 0, 0, 1]]
    np.testing.assert_allclose(mlls(p, np.full(3, 1 / 3)), [0.75, 0.25, 0.0], atol=1e-6)


def test_mlls_reaches_the_largest_likelihood():
    rng = np.random.default_rng(0)
    p, prior = rng.dirichlet([1, 1], 200), np.array([0.4, 0.6])
    grid = np.linspace(0.001, 0.999, 999)
    likelihood = [np.log(p @ (np.array([q, 1 - q]) / prior)).sum() for q in grid]
    assert mlls(p, prior)[0] == pytest.approx(grid[np.argmax(likelihood)], abs=2e-3)


def test_calibration_makes_the_mean_probability_of_each_class_its_share():
    rng = np.random.default_rng(0)
    y = rng.choice(3, 2000, p=[0.6, 0.3, 0.1])
    z = 3 * (np.eye(3)[y] + 0.7 * rng.standard_normal((2000, 3))) + [0.0, 2.0, -1.0]
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    before = np.exp(log_p).mean(axis=0)
    after, same = bias_corrected(log_p, y, log_p)
    shares = np.bincount(y) / 2000
    assert np.abs(after.mean(axis=0) - shares).max() < 0.01 < np.abs(before - shares).max()
    np.testing.assert_array_equal(after, same)


# -- distances and neighbours ------------------------------------------------------------------------------


def test_mmd_is_nought_for_one_domain_and_grows_with_the_shift():
    a = blobs((1, 1), 300)[0]
    found = [mmd(a, blobs((1, 1), 300, 1, shift=s)[0]) for s in (0.0, 0.5, 1.0, 3.0)]
    assert abs(found[0]) < 0.01
    assert found == sorted(found)
    assert found[-1] <= 2


def test_mmd_is_that_of_a_second_slow_formula():
    a, b = blobs((1, 1), 30)[0].astype(float), blobs((1, 1), 20, 1, shift=1)[0].astype(float)
    both = np.concatenate([a, b])
    squares = ((both[:, None] - both) ** 2).sum(axis=2)
    k = np.exp(-squares / np.median(squares[np.triu_indices(50, 1)]))
    same = [k[i, j] for i in range(30) for j in range(30) if i != j]
    other = [k[i, j] for i in range(30, 50) for j in range(30, 50) if i != j]
    assert mmd(a, b) == pytest.approx(np.mean(same) + np.mean(other) - 2 * k[:30, 30:].mean(), rel=1e-6)


def test_distances_do_not_change_under_rotation_scale_common_shift_and_order():
    (a, y), b = blobs((1, 1, 1), 120), blobs((1, 1, 1), 90, 1, shift=1)[0]
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))[0]
    order = np.random.default_rng(3).permutation(120)
    c, d = (5 * z @ turn + 9 for z in (a, b))
    assert mmd(c[order], d) == pytest.approx(mmd(a, b), rel=1e-4)
    turned, straight = distances(c[order], y[order], d), distances(a, y, b)
    assert turned == pytest.approx(straight, rel=1e-3)


def test_distances_are_in_units_of_the_spread_within_a_class():
    a, y = blobs((1, 1), 4000, distance=6)
    b = blobs((1, 1), 4000, 1, distance=6, shift=1)[0]
    found = distances(a, y, b)
    within = np.sqrt(12)  # unit variance in 12 dimensions
    assert found["between_domains"] == pytest.approx(np.sqrt(12) / within, rel=0.05)
    assert found["between_classes"] == pytest.approx(6 * np.sqrt(2) / within, rel=0.05)


def test_neighbours_agree_in_one_domain_and_less_between_the_classes():
    a, y = blobs((1, 1, 1), 300, distance=8)
    same = class_consistency(a, y, blobs((1, 1, 1), 300, 1, distance=8)[0])
    assert same["target"] > 0.97
    assert same["source"] > 0.97
    between = class_consistency(a, y, blobs((1, 1, 1), 300, 1, distance=0.1)[0])
    assert between["target"] < 0.75


def test_alignment_wins_back_what_a_common_shift_lost():
    a, y = blobs((1, 1, 1), 300, distance=4)
    b = blobs((1, 1, 1), 300, 1, distance=4, shift=np.linspace(-6, 6, 12))[0]
    found = class_consistency(a, y, b)
    assert found["aligned"] == pytest.approx(found["source"], abs=0.03)


# -- the whole ---------------------------------------------------------------------------------------------


def test_the_diagnosis_of_one_domain_finds_nothing():
    found = measure(domain(seed=0), domain(seed=1))
    told = {line.about: line.meaning for line in found.lines}
    assert len(told) == len(found.lines) == 5
    assert "little to adapt" in told["source and target told apart"]
    assert told["class shares that differ"].startswith("No sign")
    assert told["samples on both sides"].startswith("No sample")


def test_labels_and_order_of_the_target_change_nothing():
    source, target = domain(), domain(seed=1, shift=0.5)
    a = measure(source, target).to_json()
    turned = target.take(np.random.default_rng(0).permutation(len(target)))
    assert a == measure(source, turned.unlabeled()).to_json() == measure(source, turned).to_json()
    assert json.loads(json.dumps(a, allow_nan=False)) == a


def test_copies_on_both_sides_are_counted_once():
    source, target = domain(), domain(seed=1)
    mixed = target.replace(x=np.vstack([source.x[:5], target.x[5:]]))
    found = measure(source, mixed, leakage=[leakage(source, mixed)] * 2)
    assert found.duplicates == {"equal": 5, "near": 0, "of": 300}
    assert "Leave them out" in found.lines[-1].meaning


def test_too_few_samples_are_named_or_left_alone():
    class Inputs:
        source, target, held_out, leakage = domain(), domain(n=10), None, ()

    assert diagnose(Inputs()) is None
    with pytest.raises(ValueError, match="target must have at least 20 samples"):
        measure(domain(), domain(n=10))
    with pytest.raises(ValueError, match="one width"):
        measure(domain(), domain(width=13))


def test_classes_with_one_sample_each_are_read_without_nan():
    source = Domain(x=blobs((1,), 30)[0], y=np.arange(30))
    found = measure(source, domain()).to_json()
    assert found["label_shift"] is None
    json.dumps(found, allow_nan=False)


def test_sentences_turn_at_their_thresholds():
    def domains(value):
        return reading._domains(value).meaning

    assert domains(reading.SAME - 1e-9) != domains(reading.SAME) != domains(reading.APART)

    def shift(remaining):
        found = {"mlls": 0.5, "bbse": 0.5}
        return reading._shares({"total_variation": found, "chance": 0.05, "remaining_auc": remaining})

    assert len(shift(reading.EXPLAINED - 1e-9)) == 1
    assert shift(reading.EXPLAINED) == []
