"""The parts of ParZC's claim that compute: against naive versions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from unseen import claims
from unseen.claims import parzc
from unseen.data.domain import Domain


def test_the_gap_to_tau_is_none_for_a_steep_sigmoid_and_shows_what_is_wrong() -> None:
    rng = np.random.default_rng(0)
    values, scores = rng.integers(0, 5, 20) / 5, rng.normal(size=20)
    signs = [
        np.sign(scores[i] - scores[j]) * np.sign(values[i] - values[j]) for i, j in itertools.combinations(range(20), 2)
    ]
    assert parzc.gap_to_tau(values, scores) < 1e-9
    steep = float(np.mean(signs))
    assert abs(steep) < 1
    assert parzc.gap_to_tau(values, scores * 1e-9) > 0.5 * abs(steep)  # scores too near for this sigmoid


def test_sums_are_one_number_per_proxy() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 12)
    found = parzc.summed(Domain(x=x, y=np.array([0.1, 0.2]), task="value")).x
    assert found.tolist() == [[6, 22, 38], [54, 70, 86]]


def test_a_grade_is_of_the_order_and_of_the_top() -> None:
    values = np.linspace(0.1, 1, 10)
    assert parzc.grade(values, values) == {"tau": pytest.approx(1), "rho": pytest.approx(1), "regret": 0}
    backwards = parzc.grade(-values, values)
    assert backwards["tau"] == pytest.approx(-1)
    assert backwards["regret"] == pytest.approx(0.5)  # the best of the lowest five
    assert parzc.grade(np.zeros(10), values)["tau"] == 0


def test_splits_share_nothing_and_differ_by_seed() -> None:
    whole = Domain(x=np.arange(50)[:, None], y=np.arange(50) / 50, task="value")
    known, rest = parzc.split(whole, 0, 20)
    assert sorted([*known.x.ravel(), *rest.x.ravel()]) == list(range(50))
    assert len(known) == 20
    assert known.x.tolist() != parzc.split(whole, 1, 20)[0].x.tolist()


def test_development_and_confirmation_are_other_data() -> None:
    for experiment in claims.get("parzc").experiments.values():
        assert {case.partition("-")[2] for case in experiment.development} == {"digits"}
        assert {case.partition("-")[2] for case in experiment.confirmation} == {"letters"}
