"""The Jensen-Shannon divergence, by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from unseen.nn.divergences import divergence, exact_kl, js, kl

P, Q = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.5, 2.0]]), torch.tensor([[0.4, 0.1, 0.5], [1.0, 0.5, 2.0]])
rows = st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3)


def test_the_worked_value() -> None:
    torch.testing.assert_close(js(P, Q), torch.tensor([0.032663, 0.0]), atol=1e-6, rtol=0)
    assert float(divergence(P, Q, "js")) == pytest.approx(0.016331, abs=1e-6)


@given(rows, rows)
def test_it_is_symmetric_bounded_0_for_equal_rows_and_what_scipy_says(a: list[float], b: list[float]) -> None:
    p, q = torch.tensor([a]), torch.tensor([b])
    found = float(js(p, q))
    assert -1e-6 <= found <= math.log(2) + 1e-6
    assert found == pytest.approx(float(js(q, p)), abs=1e-6)
    assert float(js(p, p)) == pytest.approx(0, abs=1e-6)
    double = [x.double().softmax(dim=1).numpy()[0] for x in (p, q)]
    theirs = jensenshannon(*double)
    assert found == pytest.approx(0.0 if math.isnan(theirs) else theirs**2, abs=1e-5)  # the root of -1e-17 is nan there


def test_it_is_ln_2_where_nothing_is_shared() -> None:
    a = torch.tensor([[90.0, 0, 0]])
    assert float(js(a, a.roll(1, 1))) == pytest.approx(math.log(2), abs=1e-6)


def test_the_exact_divergence_is_in_doubles_and_a_mean_over_what_is_in_between() -> None:
    a, b = torch.randn(4, 3, 5), torch.randn(4, 3, 5)
    p, q = a.double().softmax(dim=-1), b.double().softmax(dim=-1)
    expected = (p * (p / q).log()).sum(dim=-1).mean(dim=1)
    torch.testing.assert_close(exact_kl(a, b), expected, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(kl(a, b).mean(dim=1), expected.float(), atol=1e-5, rtol=1e-5)
    assert kl(a, b).dtype == torch.float32
