"""Clips as methods take them that train the network which looks at frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from small_towers import saved_towers
from unseen import encoders
from unseen.data.domain import Domain
from unseen.encoders.whole_clips import every_frame, frames_encoder, frames_in, network_of_frames, whole_clips
from unseen.nn.dual_encoder import DualEncoder
from unseen.nn.towers import VisionTower


@pytest.fixture
def towers(tmp_path: Any) -> Any:
    return encoders.get(saved_towers(tmp_path), precision="fp32")


@pytest.fixture
def clips() -> Domain:
    x = np.random.default_rng(0).integers(0, 256, (3, 6, 3, 20, 12), dtype=np.uint8)
    return Domain(x=x, kind="clip", name="clips")


def test_every_frame_is_read_as_the_encoder_takes_pictures(towers: Any, clips: Domain) -> None:
    whole = whole_clips(clips, towers)
    assert whole.x[1].shape == (6, 3, 8, 8)
    preprocess = frames_encoder(towers).frame.preprocess
    assert torch.equal(whole.x[1][4], preprocess([clips.x[1][4].transpose(1, 2, 0)])[0])
    assert frames_in(clips) == frames_in(whole) == 6


def test_batches_of_every_frame_are_the_whole_clips(towers: Any, clips: Domain) -> None:
    every = every_frame(towers, 6)
    assert torch.equal(every.preprocess(list(clips.x)), torch.stack(list(whole_clips(clips, towers).x)))
    assert every.name.endswith("?frames=6&parts=1")


def test_the_network_is_a_copy_that_gives_what_the_encoder_gives(towers: Any, clips: Domain) -> None:
    copied = network_of_frames(towers)
    assert isinstance(copied, DualEncoder)
    network: Any = copied
    assert all(parameter.requires_grad for parameter in network.parameters())  # those of the encoder rest
    whole = whole_clips(clips, towers)
    with torch.no_grad():
        each = network.encode_image(whole.x[0])
    read = every_frame(towers, 6).encode(clips.take(slice(0, 1)), cache=False).x[0]
    assert np.allclose(torch.nn.functional.normalize(each, dim=1).mean(dim=0), read, atol=1e-5)
    network.image.patches.weight.data.zero_()  # of the copy
    assert float(towers.image.frame.module.model.image.patches.weight.abs().sum()) > 0


def test_one_tower_is_a_vision_transformer_of_timm() -> None:
    encoder: Any = encoders.get("frames:timm:test_vit?pretrained=0", precision="fp32")
    tower: Any = network_of_frames(encoder)
    assert isinstance(tower, VisionTower)
    x = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(tower(x), encoder.frame.module(x), atol=1e-4)


def test_a_network_without_layers_of_a_transformer_is_refused_with_a_fix() -> None:
    with pytest.raises(ValueError, match=r"no vision transformer.*frames:open_clip:ViT-B-32"):
        network_of_frames(encoders.get("frames:efficientnet-lite0?size=32"))
    with pytest.raises(ValueError, match="must look at frames of clips"):
        frames_encoder(encoders.get("efficientnet-lite0?size=32"))


def test_pictures_are_no_clips(towers: Any) -> None:
    with pytest.raises(ValueError, match="kind clip"):
        whole_clips(Domain(x=np.zeros((2, 8, 8, 3), np.uint8), kind="image", name="pictures"), towers)
