"""What is frozen of a network, and how it is kept so."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from unseen.nn.classifier import as_classifier, feature_classifier
from unseen.nn.export import export_onnx
from unseen.nn.freezing import frozen, keep_frozen, release
from unseen.nn.state import load_state, save_state
from unseen.testing.inputs import convnet


def partly(network: nn.Module, *parts: str) -> nn.Module:
    """The network with some parts frozen."""
    for part in parts:
        network.get_submodule(part).requires_grad_(False)
    return network


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def train_once(network: nn.Module, x: torch.Tensor) -> None:
    """A step that moves whatever it can reach, weight decay included."""
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.1, weight_decay=0.1)
    network(x).square().mean().backward()
    optimizer.step()


def test_frozen_are_weights_without_a_gradient_beside_weights_with_one() -> None:
    network = convnet()
    assert frozen(network) == []
    assert frozen(network.requires_grad_(False)) == []
    network[8].requires_grad_(True)
    assert len(frozen(network)) == 7
    network.codes = nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False)
    assert len(frozen(network)) == 7


def test_a_network_of_which_no_part_is_frozen_is_itself() -> None:
    for network in (convnet(), convnet().requires_grad_(False)):
        assert keep_frozen(network) is network


def test_neither_training_nor_requires_grad_reaches_what_is_kept() -> None:
    given = partly(convnet(), "0", "1")
    before = state(given)
    network = as_classifier(keep_frozen(given))
    assert equal(state(network.backbone), state(given[:-1]))
    network.requires_grad_(False).requires_grad_(True)  # as a method does around a phase that trains the head alone
    train_once(network, torch.randn(8, 3, 8, 8))
    after = state(network.backbone)
    assert {key[0] for key, value in after.items() if not torch.equal(value, before[key])} == {"3", "4"}
    assert equal(state(given), before)
    assert frozen(given) == [*given[0].parameters(), *given[1].parameters()]
    assert not given[1]._forward_pre_hooks


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_batchnorm_of_which_one_weight_is_frozen_goes_on_counting(part: str) -> None:
    network = convnet()
    getattr(network[1], part).requires_grad_(False)
    kept = keep_frozen(network)
    train_once(kept, torch.randn(8, 3, 8, 8))
    assert torch.equal(getattr(kept[1], part), getattr(network[1], part))
    assert not torch.equal(kept[1].running_mean, network[1].running_mean)


def test_frozen_parts_normalize_in_training_as_in_prediction() -> None:
    network, x = partly(convnet(), "0", "1"), torch.randn(8, 3, 8, 8)
    front = keep_frozen(network)[:2]
    torch.testing.assert_close(front.train()(x), network[:2].eval()(x), rtol=0, atol=0)


def test_a_weight_that_two_layers_share_and_a_parametrized_one_are_kept() -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    tied[1].weight = tied[0].weight
    kept = keep_frozen(partly(tied, "0"))
    train_once(kept, torch.randn(5, 4))
    assert torch.equal(kept[0].weight, tied[0].weight)
    assert torch.equal(kept[1].weight, tied[0].weight)
    assert not torch.equal(kept[1].bias, tied[1].bias)

    normed = partly(feature_classifier(4, 3, 5), "head")
    kept = copy.deepcopy(keep_frozen(normed))
    train_once(kept, torch.randn(5, 4))
    assert equal(state(kept.head), state(normed.head))
    assert not torch.equal(kept.bottleneck[0].weight, normed.bottleneck[0].weight)


def test_a_released_network_is_trained_whole_again_and_a_frozen_one_is_not() -> None:
    network = partly(convnet(), "8")
    release(network)
    assert all(p.requires_grad for p in network.parameters())
    release(network.requires_grad_(False))
    assert not any(p.requires_grad for p in network.parameters())


def test_what_is_kept_is_saved_and_exported_as_any_network(tmp_path: Path) -> None:
    given, x = partly(convnet().eval(), "0", "1"), torch.randn(2, 3, 8, 8)
    network = as_classifier(keep_frozen(given)).eval()
    save_state(tmp_path / "net", {"network": network})
    back = load_state(tmp_path / "net")["network"].eval()
    assert equal(state(back), state(network))
    torch.testing.assert_close(back(x), given(x), rtol=0, atol=0)
    export_onnx(network, x, tmp_path / "net.onnx")
