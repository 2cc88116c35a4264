"""Clips as methods take them that train the network which looks at frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from small_towers import saved_towers
from unseen import encoders
from unseen.data.domain import Domain, Lazy
from unseen.encoders.whole_clips import (
    every_frame,
    frames_encoder,
    frames_in,
    network_of_frames,
    travelling,
    whole_clips,
)
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


def test_batches_of_every_frame_are_the_whole_clips_also_after_saving(
    towers: Any, clips: Domain, tmp_path: Any
) -> None:
    every = every_frame(towers, 6)
    assert torch.equal(every.preprocess(list(clips.x)), torch.stack(list(whole_clips(clips, towers).x)))
    assert every.name.endswith("?frames=6&parts=1")
    every.save_weights(tmp_path / "saved")
    again = encoders.load(every.to_json(), tmp_path / "saved")  # which compares fingerprints
    assert torch.equal(again.preprocess(list(clips.x)), every.preprocess(list(clips.x)))


def test_the_network_is_a_copy_that_gives_what_the_encoder_gives(towers: Any, clips: Domain) -> None:
    copied = network_of_frames(towers)
    assert isinstance(copied, DualEncoder)
    network: Any = copied
    assert all(parameter.requires_grad for parameter in network.parameters())  # those of the encoder rest
    whole = whole_clips(clips, towers)
    with torch.no_grad():
        each = network.encode_image(whole.x[0])
    read = every_frame(towers, 6).encode(clips.take(slice(0, 1)), cache=False).x[0]
    unit = torch.nn.functional.normalize
    assert np.allclose(unit(unit(each, dim=1).mean(dim=0), dim=0), read, atol=1e-5)
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


def test_a_clip_is_cut_once_while_there_is_room(towers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def clip(i: int) -> Any:
        read.append(i)
        return np.full((2, 3, 8, 8), 40 * i, np.uint8)

    domain = Domain(x=Lazy(range(3), clip, str), kind="clip", name="clips")
    monkeypatch.setattr("unseen.encoders.whole_clips.ROOM", 2 * 2 * 3 * 8 * 8)  # two of the three
    whole = whole_clips(domain, towers)
    first, again = ([whole.x[i] for i in range(3)] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert read == [0, 1, 2, 2]
    assert whole.take([2]).x[0].mean() > whole.take([1]).x[0].mean()
    assert whole.digests().tolist() == domain.digests().tolist()


@pytest.mark.parametrize("where", ["file", "memory"])
def test_clips_for_other_processes_are_cut_once_and_tell_no_path(
    towers: Any, clips: Domain, tmp_path: Path, where: str
) -> None:
    cloudpickle = pytest.importorskip("cloudpickle", reason="comes with joblib's loky")
    read: list[str] = []

    def one(path: str) -> Any:
        read.append(path)
        return clips.x[int(path[-1])]

    samples = Lazy([f"secret/{i}" for i in range(3)], one, lambda path: path[-1] * 64)
    domain = Domain(x=samples, kind="clip", name="clips").unlabeled()
    whole = whole_clips(domain, towers)
    file = tmp_path / "cut.npy" if where == "file" else None
    told = travelling(whole, file)
    assert told is not None
    assert read == ["secret/0", "secret/1", "secret/2"]
    packed = cloudpickle.dumps(told.take([2, 0]))
    assert b"secret" not in packed
    there = cloudpickle.loads(packed)
    assert there.digests().tolist() == ["2" * 64, "0" * 64]
    assert torch.equal(there.x[0], whole_clips(clips, towers).x[2])
    if file is not None:
        file.unlink()  # who has begun to read it goes on
    assert all(torch.equal(told.x[i], whole.x[i]) for i in range(3))
    assert len(read) == 3


def test_clips_of_unlike_lengths_and_those_without_room_do_not_travel(
    towers: Any, clips: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unlike = Domain(x=[clips.x[0], clips.x[1][:4]], kind="clip", name="unlike")
    assert travelling(whole_clips(unlike, towers), tmp_path / "a.npy") is None
    assert travelling(clips, tmp_path / "b.npy") is None  # they are not cut
    monkeypatch.setattr("unseen.encoders.whole_clips.ROOM", 1000)
    assert travelling(whole_clips(clips, towers)) is None
    assert "clips of clips take" in caplog.text
    assert "one after the other" in caplog.text
