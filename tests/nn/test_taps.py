"""Taps: what layers give, by name, and which layers end a stage."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from unseen.nn.classifier import Classifier, as_classifier, feature_classifier, mlp_classifier
from unseen.nn.convnet import small_convnet
from unseen.nn.taps import stages, tap_shapes, tapped


def test_taps_hold_what_layers_give_and_go_with_the_block() -> None:
    network, x = small_convnet(3, width=4).eval(), torch.rand(2, 3, 16, 16)
    names = ("backbone.3", "bottleneck")
    with tapped(network, names) as found:
        network(x)
        assert set(found) == set(names)
        torch.testing.assert_close(found["bottleneck"], network.embed(x))
        network(x[:1])
        assert len(found["bottleneck"]) == 1
    network(x)
    assert len(found["bottleneck"]) == 1
    assert not any(layer._forward_hooks for layer in network.modules())


def test_stages_of_what_people_use() -> None:
    assert stages(small_convnet(3)) == ("backbone.3", "backbone.7", "backbone.11")
    levels = [f"backbone.layer{i}" for i in range(1, 5)]
    assert stages(as_classifier(torchvision.models.resnet18())) == ("backbone.maxpool", *levels)
    levels = [f"backbone.network.layer{i}" for i in range(1, 5)]
    assert stages(as_classifier(timm.create_model("resnet18"))) == ("backbone.network.maxpool", *levels)
    found = stages(as_classifier(timm.create_model("tf_efficientnet_lite0")))
    assert len(found) == 5
    assert found[-1] == "backbone.network.blocks.6"


def test_stages_of_cached_features_are_the_layers_of_the_bottleneck() -> None:
    assert stages(feature_classifier(6, 3, 8)) == ("bottleneck.0", "bottleneck.1")
    assert stages(mlp_classifier(6, 3, 8)) == ("bottleneck.2",)


def test_blocks_of_a_sequence_are_its_stages() -> None:
    block = lambda: nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
    network = Classifier(nn.Sequential(block(), block(), nn.Flatten()), nn.Identity(), nn.Linear(3, 2))
    assert stages(network) == ("backbone.0", "backbone.1")


def test_shapes_are_of_one_sample_and_modes_stay() -> None:
    network = small_convnet(3, width=4).train()
    shapes = tap_shapes(network, stages(network), torch.rand(5, 3, 16, 16))
    assert list(shapes.values()) == [(4, 8, 8), (8, 4, 4), (16, 2, 2), (32,)]
    assert all(layer.training for layer in network.modules())


def test_layers_that_are_not_there_are_named() -> None:
    with pytest.raises(ValueError, match="it has no 'layer9'"), tapped(small_convnet(3), ("layer9",)):
        pass
    with pytest.raises(ValueError, match="taps must be named"):
        stages(Classifier(nn.Identity(), nn.Identity(), nn.Linear(3, 2)))
