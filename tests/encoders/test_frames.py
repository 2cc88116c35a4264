"""Clips by their frames: means of parts, two towers, saved with what they are made of."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from unseen import encoders, methods
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.encoders import TwoTowerEncoder
from unseen.encoders.frames import pooled

SMALL = "frames:efficientnet-lite0?size=32&frames=4"


def clips(n=3, t=4):
    return np.random.default_rng(0).integers(0, 255, (n, t, 3, 40, 48), dtype=np.uint8)


def domain(x):
    return Domain(x=x, kind="clip", name="clips")


def test_one_part_is_the_mean_of_the_frames_and_four_are_the_frames_themselves():
    x = clips()
    pictures = Domain(x=x.reshape(12, 3, 40, 48).transpose(0, 2, 3, 1), kind="image")
    each = (
        encoders.get("efficientnet-lite0?size=32", precision="fp32").encode(pictures, cache=False).x.reshape(3, 4, -1)
    )
    mean = encoders.get(SMALL + "&parts=1", precision="fp32").encode(domain(x), cache=False).x
    all_ = encoders.get(SMALL + "&parts=4", precision="fp32").encode(domain(x), cache=False).x
    assert np.allclose(mean, each.mean(axis=1), atol=1e-4)
    assert np.allclose(all_, each.reshape(3, -1), atol=1e-4)


def test_the_mean_is_blind_to_the_order_of_frames_and_two_parts_are_not():
    x = clips()
    for parts, same in ((1, True), (2, False)):
        encoder = encoders.get(f"{SMALL}&parts={parts}", precision="fp32")
        forth, back = (encoder.encode(domain(y), cache=False).x for y in (x, x[:, ::-1].copy()))
        assert np.allclose(forth, back, atol=1e-4) == same


def test_the_network_gives_what_encode_gives():
    encoder = encoders.get(SMALL, precision="fp32")
    x = clips()
    with torch.no_grad():
        own = encoder.module(encoder.preprocess(list(x)))
    assert encoder.dim == own.shape[1] == 2560
    assert np.allclose(own.numpy(), encoder.encode(domain(x), cache=False).x, atol=1e-3)


def test_names_lie_among_clips_where_the_pictures_encoder_has_two_towers():
    encoder = encoders.get("frames:lite-clip?size=32&frames=2")
    assert isinstance(encoder, TwoTowerEncoder)
    assert encoder.kinds == ("clip", "text")
    assert encoders.describe("frames:lite-clip")["kinds"] == ("clip", "text")
    found = encoder.encode(domain(clips()), cache=False).x
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
    assert encoder.classify(found, ClassSpace(names=("dog", "car"))).shape == (3, 2)
    with pytest.raises(ValueError, match="parts must be 1"):
        encoders.get("frames:lite-clip?parts=2")


def test_a_saved_encoder_is_built_again_from_its_folder(tmp_path):
    for name in (SMALL, "frames:lite-clip?size=32&frames=2"):
        encoder = encoders.get(name, precision="fp32")
        encoder.save_weights(tmp_path / name[7:11])
        again = encoders.load(encoder.to_json(), tmp_path / name[7:11])
        assert again.fingerprint == encoder.fingerprint


def test_no_folder_of_a_local_file_is_in_the_name(tmp_path):
    import timm
    from safetensors.torch import save_model

    save_model(timm.create_model("resnet10t", pretrained=False), str(tmp_path / "mine.safetensors"))
    encoder = encoders.get(f"frames:timm:resnet10t@{tmp_path}/mine.safetensors?frames=2&size=32")
    assert encoder.name == "frames:timm:resnet10t@mine.safetensors?size=32&frames=2"
    assert encoder.local
    encoder.save_weights(tmp_path / "saved")
    assert encoders.load(encoder.to_json(), tmp_path / "saved").fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("frames:minilm", "encoder of pictures"),
        ("frames:efficientnet-lite0?frames=4&parts=3", "parts must divide frames"),
        ("frames:nothing", "is no encoder"),
        ("frames", "behind the colon"),
    ],
)
def test_what_cannot_be_is_named(name, told):
    with pytest.raises(ValueError, match=told):
        encoders.get(name)


def test_a_clip_must_hold_bytes_or_values_up_to_one():
    with pytest.raises(ValueError, match=r"floats in \[0, 1\]"):
        encoders.get(SMALL).encode(domain(clips().astype(np.float32)), cache=False)


def test_an_encoder_of_pictures_tells_how_it_reads_clips():
    with pytest.raises(ValueError, match=r"takes pictures.*'frames:efficientnet-lite0\?size=32'"):
        encoders.get("efficientnet-lite0?size=32").encode(domain(clips()), cache=False)


def test_parts_are_means_of_consecutive_frames():
    each = torch.arange(8.0).view(1, 8, 1)
    assert pooled(each, 2).tolist() == [[1.5, 5.5]]
    assert pooled(each, 8).tolist() == [list(range(8))]


def picture_by(how, path, side):
    """A frame as `docs/carry.md` prepares a picture; after it was made as small as `side`."""
    picture = Image.open(path).convert(how["colours"])
    least = min(picture.size)
    if least > side:
        picture = picture.resize([round(n * side / least) for n in picture.size], Image.Resampling.BILINEAR)
    height, width = how["size"]
    picture = picture.resize((width, height), Image.Resampling[how["interpolation"].upper()])  # mode squash
    x = np.asarray(picture, dtype=np.float32) / 255
    return ((x - how["mean"]) / how["std"]).transpose(2, 0, 1)


@pytest.mark.parametrize(("frames", "n"), [(4, 21), (8, 40), (24, 48)])
def test_frames_taken_by_the_metadata_alone_give_what_predict_gives(tmp_path, frames, n):
    encoder = encoders.get(f"frames:pixels?size=8&mode=squash&frames={frames}&parts=2", precision="fp32")
    rng = np.random.default_rng(frames)
    classes = ClassSpace(names=("a", "b"))
    source = Domain(x=rng.uniform(size=(20, encoder.dim)).astype(np.float32), y=np.arange(20) % 2, classes=classes)
    bundle = Bundle(method=methods.get("source-only")().fit(source=source), classes=classes, encoder=encoder)
    told = {key: json.loads(value) for key, value in bundle.onnx_metadata().items() if key != "method"}
    how = told["preprocess"]
    folder = tmp_path / "clip"
    folder.mkdir()
    for i in range(n):
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(folder / f"frame_{i:04d}.png")
    files = sorted(folder.iterdir())
    taken = [files[int((i + 0.5) * n / how["middles"])] for i in how["chosen"]]
    x = np.stack([picture_by(how["frame"], path, how["side"]) for path in taken])[None].astype(np.float32)
    with torch.no_grad():
        found = bundle.network()(torch.from_numpy(x)).numpy()
    assert len(taken) == how["frames"] == frames
    assert np.allclose(found, bundle.predict_proba(load(tmp_path)), atol=1e-4)
