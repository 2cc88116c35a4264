"""Entropic transport: marginals, the matching that it tends to, and what it does under permutations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from unseen.data.domain import Domain
from unseen.methods.baselines.ot import OT
from unseen.nn.logistic import fit_logistic
from unseen.nn.transport import sinkhorn


def cost(n, m, seed=0):
    return torch.rand(n, m, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 30))
def test_rows_and_columns_have_equal_weight(n, m, seed):
    plan = sinkhorn(cost(n, m, seed), 0.1, iterations=5000, tolerance=1e-5)
    torch.testing.assert_close(plan.sum(dim=1), torch.full((n,), 1 / n), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(plan.sum(dim=0), torch.full((m,), 1 / m), atol=1e-4, rtol=1e-3)


def test_with_little_regularization_it_is_the_best_matching():
    c = cost(15, 15, 3)
    plan = sinkhorn(c.double(), 1e-3, iterations=20_000, tolerance=1e-8)
    rows, columns = linear_sum_assignment(c.numpy())
    assert plan.argmax(dim=1).tolist() == columns.tolist()
    assert float((plan * c).sum()) == pytest.approx(float(c[rows, columns].mean()), abs=1e-3)


def test_with_much_regularization_everything_goes_everywhere():
    torch.testing.assert_close(sinkhorn(cost(4, 6), 1e4), torch.full((4, 6), 1 / 24), atol=1e-5, rtol=1e-3)


def test_two_by_two_by_hand():
    plan = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double(), 0.5, tolerance=1e-7)
    stay = 0.5 / (1 + np.exp(-2.0))
    torch.testing.assert_close(
        plan, torch.tensor([[stay, 0.5 - stay], [0.5 - stay, stay]], dtype=torch.float64), atol=1e-5, rtol=1e-4
    )


def test_rows_may_weigh_unequally_as_a_general_minimizer_finds():
    from scipy.optimize import minimize

    c, n, m, regularization, relaxation = cost(4, 3, 5).double().numpy(), 4, 3, 0.1, 0.2

    def plan_of(logits):
        free = np.exp(logits.reshape(n, m))
        return free / free.sum(axis=0) / m

    def dear(logits):
        plan = plan_of(logits)
        rows = plan.sum(axis=1)
        return (
            (plan * c).sum()
            + regularization * (plan * np.log(plan)).sum()
            + relaxation * (rows * np.log(rows * n)).sum()
        )

    expected = plan_of(minimize(dear, np.zeros(n * m)).x)
    found = sinkhorn(torch.as_tensor(c), regularization, relaxation=relaxation, tolerance=1e-9, iterations=5000)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(found.sum(dim=1).numpy()) > 0.05
    near = sinkhorn(torch.as_tensor(c), regularization, relaxation=1e6, tolerance=1e-9, iterations=5000)
    torch.testing.assert_close(near, sinkhorn(torch.as_tensor(c), regularization, tolerance=1e-9, iterations=5000))


REGIMES = {
    "easy": ("sinkhorn", 1.0, 0.1, torch.float64),
    "single precision": ("sinkhorn", 1.0, 0.1, torch.float32),
    "more samples on one side": ("sinkhorn", 1.0, 0.05, torch.float64),
    "hard: exp(-cost / regularization) is 0 in double precision": ("sinkhorn_log", 10.0, 1.0, torch.float64),
}


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.filterwarnings("error:Sinkhorn did not converge")
def test_the_plan_is_that_of_pot(regime):
    """Of `ot.sinkhorn`, or of its logarithmic one where that underflows: each entry to a hundredth of 1 / nm."""
    ot = pytest.importorskip("ot", reason="POT is not installed (the extra `ot`)")
    method, stretch, regularization, kind = REGIMES[regime]
    n, m = 24, 40 if regime.startswith("more") else 24
    c = cost(n, m, 4).to(kind) * stretch
    if regime.startswith("hard"):  # samples far from all others
        c[0] += 1000
        c[:, 5] += 1000
        assert not np.exp(-c.numpy() / regularization)[0].any()
    ours = sinkhorn(c, regularization, iterations=5000, tolerance=1e-7 if kind == torch.float64 else 1e-5)
    theirs = ot.sinkhorn(
        np.full(n, 1 / n), np.full(m, 1 / m), c.double().numpy(), regularization, method=method, numItermax=5000,
        stopThr=1e-7,
    )  # fmt: skip
    assert theirs.sum() == pytest.approx(1, abs=1e-6)  # the other one has converged, too
    np.testing.assert_allclose(ours.double().numpy(), theirs, atol=1e-2 / (n * m))


def test_costs_that_are_no_numbers_are_named():
    with pytest.raises(ValueError, match="regularization must be above 0"):
        sinkhorn(cost(2, 2), 0.0)
    with pytest.raises(ValueError, match="relaxation must be above 0"):
        sinkhorn(cost(2, 2), 0.1, relaxation=0.0)
    with pytest.raises(ValueError, match="NaN"):
        sinkhorn(torch.tensor([[0.0, float("nan")]]), 0.1)


def test_ot_finds_the_counterparts_of_a_target_that_is_turned_and_stretched():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 4
    x = rng.normal(size=(4, 10))[y] * 3 + rng.normal(size=(120, 10))
    turn = np.eye(10) + 0.15 * rng.normal(size=(10, 10))
    source = Domain(x=x.astype(np.float32), y=y)
    target = Domain(x=(x @ turn * 5 + 40).astype(np.float32)[::-1].copy(), y=y[::-1].copy())
    method = OT().fit(source=source, target=target.unlabeled())
    assert (method.predict(target) == target.y).mean() > 0.8
    assert (method.source_decision_function(source).argmax(dim=1).numpy() == y).mean() > 0.9


def test_with_relaxed_rows_less_is_carried_to_other_classes():
    y, few = np.arange(40) % 4, np.r_[np.arange(0, 40, 4), 1]  # ten of one class, one of another, none of the rest
    x = torch.as_tensor(np.eye(4)[y] + 0.01 * np.random.default_rng(0).normal(size=(40, 4)))
    costs = 1 - torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(x[few], dim=1).T
    wrong = torch.as_tensor(y[:, None] != y[few])
    carried = [float(sinkhorn(costs, 0.02, relaxation=relaxation)[wrong].sum()) for relaxation in (1000.0, 0.1)]
    assert carried[0] > 0.5
    assert carried[1] < 0.01


def test_ot_relaxes_as_it_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(
        "unseen.methods.baselines.ot.sinkhorn", lambda *given, **more: told.append(more) or sinkhorn(*given, **more)
    )
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    OT(relaxation=0.7).fit(source=Domain(x=x, y=np.arange(20) % 2), target=Domain(x=x))
    assert told == [{"relaxation": 0.7}]


def test_samples_weigh_what_was_transported_of_them_so_that_shares_of_classes_follow():
    rng = np.random.default_rng(0)
    centres = 1.2 * rng.normal(size=(3, 6))
    y, theirs = np.arange(300) % 3, np.repeat([0, 1, 2], [160, 10, 10])
    x, other = (centres[labels] + rng.normal(size=(len(labels), 6)) for labels in (y, theirs))
    source = Domain(x=x.astype(np.float32), y=y)
    target = Domain(x=other.astype(np.float32), y=theirs)
    equal, weighted = (
        (OT(weighted=told).fit(source=source, target=target.unlabeled()).predict(target) == theirs).mean()
        for told in (False, True)
    )
    assert weighted > equal + 0.05


def test_weights_of_samples_are_those_of_samples_that_occur_so_often():
    rng = np.random.default_rng(1)
    x, y = torch.as_tensor(rng.normal(size=(30, 4)), dtype=torch.float32), np.arange(30) % 3
    often = torch.as_tensor(rng.integers(0, 4, size=30), dtype=torch.float32)
    told = fit_logistic(x, y, 3, standardize=False, weights=often)
    many = np.repeat(np.arange(30), often.int().numpy())
    repeated = fit_logistic(x[many], y[many], 3, standardize=False)
    assert torch.allclose(told(x), repeated(x), atol=1e-3)
