"""Thin layers: what they lose is the variance that they leave out, and nothing of the same rank loses less."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unseen.nn.build import builder, n_parameters, rebuild, recipe_of
from unseen.nn.low_rank import allotted, filled, floor, is_thinned, low_rank, measured, thinnable, whole


@builder("test-low-rank")
def network(into: int = 6, out: int = 9) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, out), nn.GELU(), nn.Linear(out, into, bias=False))


def read(net: nn.Module, *parts: Tensor) -> Iterator[None]:
    for part in parts:
        net(part)
        yield


def thinned_like(net: nn.Module, ranks: dict[str, int], *parts: Tensor) -> nn.Module:
    known = measured(net, read(net, *parts))
    small = low_rank(copy.deepcopy(net), ranks)
    filled(small, net, known, ranks)
    return small


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(200, 6) @ torch.randn(6, 6) + 5


@pytest.mark.parametrize(("into", "out"), [(6, 9), (9, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_loss_of_a_linear_layer_is_the_variance_that_is_left_out(into: int, out: int, bias: bool) -> None:
    torch.manual_seed(1)
    x = torch.randn(300, into) @ torch.randn(into, into) + 3
    net = nn.Sequential(nn.Linear(into, out, bias=bias))
    known = measured(net, read(net, x[:100], x[100:]))["0"]
    for rank in range(1, min(into, out) + 1):
        small = thinned_like(net, {"0": rank}, x[:100], x[100:])
        loss = (small(x) - net(x)).square().sum(dim=1).mean()
        torch.testing.assert_close(float(loss), float(known.variances[rank:].sum()), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(small(x).mean(dim=0), net(x).mean(dim=0), rtol=1e-4, atol=1e-3)


def test_no_other_product_of_that_rank_loses_less(x: Tensor) -> None:
    net = nn.Sequential(nn.Linear(6, 9))
    y = net(x)
    best = (thinned_like(net, {"0": 2}, x)(x) - y).square().sum(dim=1).mean()
    u, s, v = torch.linalg.svd(net[0].weight)
    by_weights = x @ (u[:, :2] * s[:2] @ v[:2]).T
    by_weights = by_weights - by_weights.mean(dim=0) + y.mean(dim=0)
    assert best < (by_weights - y).square().sum(dim=1).mean()
    rng = torch.Generator().manual_seed(2)
    for _ in range(20):
        p = torch.linalg.qr(torch.randn(9, 2, generator=rng))[0]
        other = (y - y.mean(dim=0)) @ p @ p.T + y.mean(dim=0)
        assert best <= (other - y).square().sum(dim=1).mean() + 1e-4


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_keeps_the_channels_that_vary(bias: bool) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=bias))
    x = torch.randn(10, 3, 9, 9)
    known = measured(net, read(net, x))["0"]
    for rank in (2, 8):
        small = thinned_like(net, {"0": rank}, x)
        loss = (small(x) - net(x)).square().sum(dim=1).mean()
        torch.testing.assert_close(float(loss), float(known.variances[rank:].sum()), rtol=1e-3, atol=1e-5)


def test_a_table_is_thinned_by_how_often_its_rows_are_read() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Embedding(12, 5))
    often = torch.zeros(1000, dtype=torch.int64) + torch.arange(1000) % 3
    small = thinned_like(net, {"0": 2}, often)
    lost = (small(torch.arange(12)) - net(torch.arange(12))).square().sum(dim=1)
    assert lost[:3].max() < 0.05 * lost[3:].mean()
    exact = thinned_like(net, {"0": 5}, often)
    torch.testing.assert_close(exact(often), net(often), rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 50), share=st.floats(0.35, 1.0))
@settings(max_examples=20, deadline=None)
def test_ranks_keep_to_the_budget_and_a_larger_one_takes_no_rank_away(seed: int, share: float) -> None:
    torch.manual_seed(seed)
    net = network(16, 24)
    known = measured(net, read(net, torch.randn(64, 16)))
    full = sum(whole(net, name) for name in known)
    rest = n_parameters(net) - full
    least = sum(floor(net, name, own) for name, own in known.items())
    most = max(int(share * full), least)
    ranks = allotted(net, known, most)
    small = low_rank(copy.deepcopy(net), ranks)
    assert n_parameters(small) <= most + rest
    more = allotted(net, known, most + 100)
    assert all(more.get(name, 10**9) >= rank for name, rank in ranks.items())
    assert allotted(net, known, full) == {}


def test_attention_that_reads_its_weights_itself_stays_whole() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    net = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2), "layer": layer, "head": nn.Linear(8, 3)})
    assert set(thinnable(net)) == {"head"}
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1))
    assert set(thinnable(grouped)) == {"1"}


def test_what_is_never_read_stays_whole(x: Tensor) -> None:
    net = nn.ModuleDict({"read": nn.Linear(6, 9), "other": nn.Linear(6, 9)})
    known = measured(net, (None for _ in [net["read"](x)]))
    assert set(known) == set() or set(known) == {"read"}

    def run() -> Iterator[None]:
        net["read"](x)
        yield

    assert set(measured(net, run())) == {"read"}
    assert not net["read"]._forward_hooks


def test_a_thin_network_is_built_again_from_its_recipe(x: Tensor) -> None:
    net: Any = network()
    small: Any = thinned_like(net, {"0": 3}, x)
    assert is_thinned(small)
    assert not is_thinned(net)
    again = rebuild(recipe_of(small))
    again.load_state_dict(small.state_dict())
    np.testing.assert_array_equal(again(x).detach(), small(x).detach())
    twice: Any = low_rank(copy.deepcopy(small), {"0.1": 2})
    assert twice(x).shape == net(x).shape
    assert n_parameters(rebuild(recipe_of(twice))) == n_parameters(twice)
