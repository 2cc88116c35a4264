"""Networks that give every pixel a class: sizes, cuts, what is refused, and that they are built again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from unseen.nn.protocols import Segmenter
from unseen.nn.segmenters import (
    SegmentationNetwork,
    as_segmenter,
    n_outputs,
    segformer,
    segmenter,
    small_unet,
    torchvision_segmenter,
)
from unseen.nn.state import load_state, save_state
from unseen.runtime import reproducible


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (8, 8), (5, 90)])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_unet_scores_every_pixel_of_pictures_of_any_size(size: tuple[int, int], stride: int) -> None:
    network = small_unet(4, width=4, depth=3, stride=stride).eval()
    x = torch.rand(2, 3, *size)
    assert network(x).shape == (2, 4, *size)
    assert network.embed(x).shape == (2, 4, -(-size[0] // stride), -(-size[1] // stride))
    assert isinstance(network, Segmenter)


def test_its_default_has_half_a_million_weights() -> None:
    assert 0.2e6 < sum(p.numel() for p in small_unet(6).parameters()) < 0.6e6
    assert n_outputs(small_unet(6)) == 6


def test_a_network_comes_back_as_it_was(tmp_path: Path) -> None:
    network = small_unet(3, width=4, depth=2).eval()
    save_state(tmp_path / "n", {"network": network})
    back = load_state(tmp_path / "n")["network"].eval()
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(back(x), network(x))


def test_one_of_torchvision_is_the_same_function_cut_before_its_classifier() -> None:
    with reproducible(0):
        cut = torchvision_segmenter("fcn_resnet50", 3).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        z = cut.embed(x)
        assert cut.head.weight.shape[:2] == (3, z.shape[1])
        torch.testing.assert_close(cut(x), cut.scores(z, (32, 32)))
    assert isinstance(cut.shallow, nn.BatchNorm2d)
    with pytest.raises(
        ValueError, match=r"network must be one of small-unet, segformer, deeplabv3_.*, fcn_.*; got 'resnet18'"
    ):
        segmenter("resnet18", 3)
    with pytest.raises(ValueError, match="got 'lraspp_mobilenet_v3_large'"):
        segmenter("lraspp_mobilenet_v3_large", 3)


def test_segformer_is_cut_before_its_classifier() -> None:
    network = segformer(3, hidden_sizes=(8, 16, 20, 32), depths=(1, 1, 1, 1), decoder=16).eval()
    x = torch.rand(1, 3, 64, 64)
    assert network.embed(x).shape == (1, 16, 16, 16)
    assert network(x).shape == (1, 3, 64, 64)


def test_a_copy_is_trained_and_what_is_no_segmenter_is_refused() -> None:
    network = small_unet(3, width=4, depth=2)
    network.requires_grad_(False)
    copy = as_segmenter(network)
    assert copy is not network
    assert all(p.requires_grad for p in copy.parameters())
    assert not any(p.requires_grad for p in network.parameters())
    with pytest.raises(TypeError, match="model must have `embed`"):
        as_segmenter(nn.Linear(2, 2))


def test_pictures_are_normalized_where_a_network_was_made_for_it() -> None:
    body = nn.Sequential(nn.Identity())
    network = SegmentationNetwork(body, nn.Identity(), body[0], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert torch.allclose(network.embed(torch.full((1, 3, 2, 2), 0.75)), torch.ones(1, 3, 2, 2))
