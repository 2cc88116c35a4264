"""Dropout from bytes: its share, its mean, and nothing in eval mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unseen.nn.dropout import Dropout, set_dropout


@pytest.mark.parametrize("p", [0.1, 0.2, 0.7])
def test_the_share_and_the_mean_are_those_of_dropout(p: float) -> None:
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(200_001))
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.006)  # 1/512 and 3 deviations
    assert y.mean().item() == pytest.approx(1, abs=0.02)
    assert len(y.unique()) == 2


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(2**17)) > 0).float()
    for lag in (1, 7, 8, 64):
        assert abs(torch.corrcoef(torch.stack([kept[:-lag], kept[lag:]]))[0, 1].item()) < 0.015


def test_eval_mode_and_no_share_change_nothing() -> None:
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    with pytest.raises(ValueError, match="p must lie"):
        Dropout(1.5)


def test_the_gradient_goes_where_the_values_go() -> None:
    x = torch.ones(5, 3, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_no_layer_of_a_network_drops_any_more() -> None:
    """Torch's layers, ours, and the weights inside attention."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.4, batch_first=True)
    network = nn.Sequential(nn.Linear(4, 8), Dropout(0.5), layer, nn.Dropout(0.9)).train()
    x = torch.randn(5, 3, 4)
    torch.manual_seed(0)
    assert not torch.equal(network(x), network(x))
    set_dropout(network, 0.0)
    assert torch.equal(network(x), network(x))
    set_dropout(network, 0.25)
    assert network[1].dropped == 64
