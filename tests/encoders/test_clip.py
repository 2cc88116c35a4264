"""open_clip models, with an architecture small enough to make here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unseen import encoders
from unseen.data.classes import ClassSpace
from unseen.encoders.clip import photo_of
from unseen.encoders.two_tower import TwoTowerEncoder

from .conftest import pictures

open_clip = pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local checkpoint of a CLIP of 16 dimensions, whose architecture open_clip then knows."""
    folder = tmp_path_factory.mktemp("open_clip")
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (folder / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-clip")
    save_file(model.state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


@pytest.fixture
def encoder(weights: Path, own_cache: Path) -> TwoTowerEncoder:
    made = encoders.get(f"open_clip:tiny-clip/{weights}", precision="fp32")
    assert isinstance(made, TwoTowerEncoder)
    return made


def test_vectors_are_those_of_open_clip(encoder, weights):
    model = open_clip.create_model("tiny-clip", str(weights)).eval()
    config = open_clip.get_model_preprocess_cfg(model)
    transform = open_clip.image_transform(config["size"], is_train=False, mean=config["mean"], std=config["std"])
    from PIL import Image

    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(x)) for x in pictures().x])
        images = model.encode_image(batch, normalize=True)
        texts = model.encode_text(open_clip.get_tokenizer("tiny-clip")(["a cat"]), normalize=True)
    np.testing.assert_allclose(encoder.encode(pictures()).x, images, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_text(["a cat"]), texts, atol=1e-5)
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))


def test_classify_is_the_softmax_of_scaled_cosines(encoder):
    classes = ClassSpace(names=("cat", "dog", "tree"), descriptions=("an animal", "", "a plant"))
    features = encoder.encode(pictures())
    texts = encoder.encode_text(["a photo of a cat, an animal", "a photo of a dog.", "a photo of a tree, a plant"])
    logits = encoder.logit_scale * features.x @ texts.T
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.classify(features, classes), expected, atol=1e-5)


def test_it_comes_back_from_its_folder(encoder, tmp_path):
    record = encoder.to_json()
    assert record["local"]
    assert record["name"] == "open_clip:tiny-clip/weights.safetensors"
    encoder.save_weights(tmp_path / "saved")
    again = encoders.load(record, tmp_path / "saved")
    assert np.array_equal(again.encode(pictures(), cache=False).x, encoder.encode(pictures()).x)


def test_the_towers_have_prints_of_their_own(encoder):
    assert len({encoder.fingerprint, encoder.image.fingerprint, encoder.text.fingerprint}) == 3


def test_wrong_names_say_what_is_missing(weights):
    with pytest.raises(ValueError, match="no architecture 'ViT-Q'"):
        encoders.get("open_clip:ViT-Q/openai")
    with pytest.raises(ValueError, match=r"lacks its weights: a file, or one of.*openai"):
        encoders.get("open_clip:RN50")


@pytest.mark.usefixtures("weights")  # whose architecture is small
@pytest.mark.parametrize("content", [b"hello", b"\x80\x02}q\x00."])
def test_a_file_that_holds_no_weights_of_the_architecture_is_named(tmp_path, content):
    (tmp_path / "other.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.bin is not a file with weights of tiny-clip.*name the architecture"):
        encoders.get(f"open_clip:tiny-clip/{tmp_path / 'other.bin'}")


def test_the_sentence_of_a_class():
    assert photo_of("cat", None) == "a photo of a cat."
    assert photo_of("cat", "an animal") == "a photo of a cat, an animal"
