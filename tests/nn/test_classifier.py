"""Classifiers in three parts."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from unseen.data.domain import Domain, Lazy
from unseen.nn.build import builder
from unseen.nn.classifier import (
    Classifier,
    Standardizer,
    as_classifier,
    evaluating,
    feature_classifier,
    linear,
    outputs,
    sgd,
    split,
    train_source,
)
from unseen.runtime import reproducible


@builder("test-plain")
def plain(d: int = 4, c: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, c))


def blobs(n: int = 60, d: int = 4, classes: int = 3) -> Domain:
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    return Domain(x=(rng.normal(size=(n, d)) + 4 * rng.normal(size=(classes, d))[y]).astype(np.float32), y=y)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (feature_classifier(4, 3, 5), (2, 4)),
        (linear(4, 3), (2, 4)),
        (plain(), (2, 4)),
        (timm.create_model("resnet10t", num_classes=3), (2, 3, 32, 32)),
        (timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=32), (2, 3, 32, 32)),
        (torchvision.models.resnet18(num_classes=3), (2, 3, 32, 32)),
        (torchvision.models.squeezenet1_0, None),
        (torchvision.models.mobilenet_v3_small(num_classes=3), (2, 3, 32, 32)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_split_network_gives_the_logits_of_the_whole(network: nn.Module, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        with pytest.raises(TypeError, match="SqueezeNet is not a classifier that can be split"):
            as_classifier(network())
        return
    x = torch.randn(shape)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    parts = as_classifier(network.eval())
    with torch.no_grad():
        assert torch.allclose(parts.eval()(x), network(x), atol=1e-5)
        assert torch.allclose(parts.head(parts.embed(x)), parts(x))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_frozen_network_is_copied_trainable_and_stays_frozen() -> None:
    network = plain().eval().requires_grad_(False)
    copy = as_classifier(network)
    assert all(p.requires_grad for p in copy.parameters())
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training


def test_splitting_what_has_no_linear_end_is_told() -> None:
    with pytest.raises(TypeError, match="Sequential is not a classifier that can be split"):
        split(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))


def test_a_feature_that_is_constant_up_to_rounding_keeps_deviation_one() -> None:
    x = torch.randn(60, 4) * torch.tensor([1.0, 0.0, 0.0, 1e-9]) + torch.tensor([5.0, 1000.1, 0.0, 0.0])
    standardizer = Standardizer(4).measure(x)
    assert standardizer.std[1:3].tolist() == [1.0, 1.0]
    z = standardizer(x)
    assert z[:, 0].std(unbiased=False).item() == pytest.approx(1, abs=1e-4)
    assert z[:, 3].std(unbiased=False).item() == pytest.approx(1, abs=1e-4)  # small is not constant
    assert z[:, 1:3].abs().max() < 1e-3


def test_a_nearly_dead_feature_is_divided_by_a_share_of_the_usual_deviation() -> None:
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 3.0, 4.0, 1e-5])
    plain, floored = Standardizer(5).measure(x), Standardizer(5).measure(x, floor=0.05)
    torch.testing.assert_close(floored.std[:4], plain.std[:4])
    torch.testing.assert_close(floored.std[4], 0.05 * plain.std.median())


def test_outputs_are_those_of_eval_mode_and_leave_every_mode_as_it_was() -> None:
    network = feature_classifier(4, 3, 5).train()
    network.bottleneck[1].eval()  # a frozen BatchNorm inside a network in training
    state = {key: value.clone() for key, value in network.state_dict().items()}
    z, logits = outputs(network, blobs(), size=7)
    assert [m.training for m in (network, network.bottleneck[0], network.bottleneck[1])] == [
        True,
        True,
        False,
    ]
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    with torch.no_grad(), evaluating(network):
        x = torch.as_tensor(blobs().x)
        assert torch.allclose(z, network.embed(x), atol=1e-6)
        assert torch.allclose(logits, network(x), atol=1e-6)
    assert logits.requires_grad is False


def test_outputs_read_lazy_samples() -> None:
    whole = blobs()
    lazy = whole.replace(x=Lazy(range(len(whole)), lambda i: whole.x[i]))
    network = linear(4, 3)
    assert torch.equal(outputs(network, lazy)[1], outputs(network, whole)[1])


def test_a_source_is_learnt_to_identical_bits() -> None:
    states = []
    for _ in range(2):
        with reproducible(3):
            network = train_source(feature_classifier(4, 3, 8), blobs(), epochs=10, batch_size=20)
        states.append(network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    predicted = outputs(network, blobs())[1].argmax(dim=1).numpy()
    assert (predicted == blobs().y).mean() > 0.9
    assert not network.training


def test_labels_are_checked_before_training() -> None:
    with pytest.raises(ValueError, match="source has label 3; the network has outputs for 3 classes"):
        train_source(feature_classifier(4, 3), blobs(classes=4))
    with pytest.raises(ValueError, match="no label"):
        train_source(feature_classifier(4, 3), blobs().replace(y=np.r_[-1, np.zeros(59, int)]))


def test_sgd_trains_the_backbone_at_a_tenth_of_the_rate() -> None:
    network = Classifier(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    assert [g["lr"] for g in sgd(network, 0.1, train_head=True).param_groups] == pytest.approx([0.01, 0.1, 0.1])
    assert len(sgd(network, 0.1, train_head=False).param_groups) == 2
    with pytest.raises(ValueError, match="nothing to train"):
        sgd(linear(4, 3), 0.1, train_head=False)
