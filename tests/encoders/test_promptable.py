"""Two-tower encoders as networks that are read layer by layer and prompted."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from small_towers import saved_towers
from unseen import encoders
from unseen.encoders.promptable import layer_names, promptable, reading, takes_prompts
from unseen.encoders.trainable import whole_towers
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.nn.build import rebuild, recipe_of
from unseen.nn.low_rank import low_rank
from unseen.nn.prompt_learners import make_learner
from unseen.nn.prompting import CausalText, PooledText

from .conftest import pictures

open_clip = pytest.importorskip("open_clip")

VISION: dict[str, dict[str, Any]] = {
    "prompt-vit": {"image_size": 32, "layers": 3, "width": 64, "patch_size": 16},
    "prompt-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
}
TEXTS = ["a photo of a cat.", "a dog and something else", "x"]


def tiny(name: str, folder: Path) -> TwoTowerEncoder:
    text = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    config = {"embed_dim": 16, "vision_cfg": VISION[name], "text_cfg": text, "quick_gelu": True}
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(0)
    made = encoders.get(f"open_clip:{name}?pretrained=0", precision="fp32")
    assert isinstance(made, TwoTowerEncoder)
    return made


@pytest.fixture(params=["prompt-vit", "prompt-resnet", "lite-clip"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path, own_cache: Path) -> TwoTowerEncoder:
    if request.param != "lite-clip":
        return tiny(request.param, tmp_path)
    shutil.copytree(request.getfixturevalue("lite_clip_kept"), own_cache)
    made = encoders.get("lite-clip", precision="fp32")
    assert isinstance(made, TwoTowerEncoder)
    return made


def test_vectors_are_those_of_the_encoder_and_layers_are_read(encoder):
    towers = promptable(encoder)
    np.testing.assert_allclose(towers.encode_texts(TEXTS), encoder.encode_text(TEXTS), atol=1e-5)
    np.testing.assert_allclose(
        towers.encode_image(encoder.image.preprocess(list(pictures().x))), encoder.encode(pictures()).x, atol=1e-5
    )
    widths = {
        "prompt-vit": (64,) * 3,
        "prompt-resnet": (32, 64, 128, 256),
        "lite-clip": (16, 24, 40, 80, 112, 192, 320),
    }
    assert towers.image.widths == next(value for key, value in widths.items() if key in encoder.name)
    assert isinstance(towers.text, PooledText if encoder.name == "lite-clip" else CausalText)
    assert not any(parameter.requires_grad for parameter in towers.parameters())


def test_rows_are_kept_by_an_encoder_and_read_in_the_place_of_pictures(encoder):
    towers = promptable(encoder)
    rows = reading(towers, encoder).encode(pictures())
    assert rows.kind == "features"
    assert rows.n_features == towers.image.width
    np.testing.assert_allclose(towers.encode_image(torch.as_tensor(rows.x)), encoder.encode(pictures()).x, atol=1e-4)


def test_both_towers_are_built_again_from_their_recipes(encoder):
    towers = promptable(encoder)
    for part in (towers.image, towers.text):
        again = rebuild(recipe_of(part))
        again.load_state_dict(part.state_dict())
        if part is towers.text:
            ids = towers.tokenize(TEXTS)
            torch.testing.assert_close(again.eval().encode_tokens(ids), towers.text.encode_tokens(ids))


def test_a_context_of_words_gives_the_features_of_the_sentence(encoder):
    towers = promptable(encoder)
    words = towers.tokenize(["a photo of a"])[0][1:-1]
    prompts = towers.text.prompts(towers.tokenize(["cat.", "mountain bike."]), len(words), ("cat", "mountain bike"))
    vectors, lengths = prompts.with_context(towers.text.table[words][None])
    expected = towers.encode_texts(["a photo of a cat.", "a photo of a mountain bike."])
    torch.testing.assert_close(towers.text(vectors, lengths), expected, atol=1e-5, rtol=1e-5)


def test_what_has_no_two_towers_is_refused():
    with pytest.raises(TypeError, match="two towers, such as lite-clip"):
        promptable(encoders.get("efficientnet-lite0"))


def test_a_network_without_known_layers_is_refused():
    with pytest.raises(ValueError, match="no layers that are known"):
        layer_names(torch.nn.Sequential(torch.nn.Linear(2, 2)))


def test_the_name_of_a_random_model_holds_no_folder(tmp_path: Path) -> None:
    assert tiny("prompt-vit", tmp_path).name == "open_clip:prompt-vit?pretrained=0"


def test_towers_that_were_shrunk_are_prompted_and_trained_as_others_are(tmp_path):
    made = encoders.get(saved_towers(tmp_path / "small", 32).removeprefix("frames:"), precision="fp32")
    assert isinstance(made, TwoTowerEncoder)
    assert takes_prompts(made)
    towers, whole, samples = promptable(made), whole_towers(made), made.image.preprocess(list(pictures().x))
    long = [*TEXTS, "more than such a tower reads, letter by letter"]
    np.testing.assert_allclose(towers.encode_texts(long), made.encode_text(long), atol=1e-5)
    np.testing.assert_allclose(towers.encode_image(samples), made.encode(pictures()).x, atol=1e-5)
    assert towers.image.widths == (8, 8)
    again = rebuild(recipe_of(towers.text))
    again.load_state_dict(towers.text.state_dict())
    ids = towers.tokenize(TEXTS)
    torch.testing.assert_close(again.eval().encode_tokens(ids), towers.text.encode_tokens(ids))
    words = towers.tokenize(["a big"])[0][1:-1]
    prompts = towers.text.prompts(towers.tokenize([" cat.", " bike."]), len(words), ("cat", "bike"))
    vectors, lengths = prompts.with_context(towers.text.table[words][None])
    expected = towers.encode_texts(["a big cat.", "a big bike."])
    torch.testing.assert_close(towers.text(vectors, lengths), expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(whole.encode_text(whole.tokenize(TEXTS)), made.encode_text(TEXTS), atol=1e-5)
    assert all(parameter.requires_grad for parameter in whole.parameters())
    made.text.module.model.text.tokens = torch.nn.Sequential(made.text.module.model.text.tokens)  # as thin layers are
    assert not takes_prompts(made)
    with pytest.raises(ValueError, match="takes no prompts of vectors"):
        promptable(made)


def test_a_table_of_low_rank_is_prompted_as_the_table_of_its_product_is(tmp_path):
    made = encoders.get(saved_towers(tmp_path / "small", 32).removeprefix("frames:"), precision="fp32")
    assert isinstance(made, TwoTowerEncoder)
    dense = made.text.module.model.text
    thinned = low_rank(copy.deepcopy(dense), {"tokens": 3})
    narrow, wide = thinned.tokens
    with torch.no_grad():
        dense.tokens.weight.copy_(wide(narrow.weight))
    expected = promptable(made)
    made.text.module.model.text = thinned
    assert takes_prompts(made)
    towers = promptable(made)
    np.testing.assert_allclose(towers.encode_texts(TEXTS), expected.encode_texts(TEXTS), atol=1e-6)
    np.testing.assert_allclose(towers.encode_texts(TEXTS), made.encode_text(TEXTS), atol=1e-5)
    prompts = towers.text.prompts(towers.tokenize([" cat.", " bike."]), 2, ("cat", "bike"))
    context = torch.zeros(1, 2, towers.text.table.shape[1], requires_grad=True)
    towers.text(*prompts.with_context(context)).sum().backward()
    assert context.grad is not None
    assert context.grad.abs().min() > 0
    again = rebuild(recipe_of(towers.text))
    again.load_state_dict(towers.text.state_dict())
    ids = towers.tokenize(TEXTS)
    torch.testing.assert_close(again.eval().encode_tokens(ids), towers.text.encode_tokens(ids))
    whole = whole_towers(made)
    whole.encode_text(whole.tokenize(TEXTS)).sum().backward()
    assert all(p.grad is not None for name, p in whole.named_parameters() if ".tokens." in name)
    learner = make_learner("coop", towers, 2, "a photo")
    assert learner.text_features(learner.named(("cat", "bike"))).shape == (2, towers.image.dim)
