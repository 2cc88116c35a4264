"""Spaces of texts and sounds: a tiny CLAP of random weights through its files, and a small space of tones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.data.domain import Domain
from unseen.data.rows import unit_rows
from unseen.encoders.sound import (
    BANDS,
    RATE,
    ClapSpace,
    SmallSpace,
    _mapped,
    clap,
    folds_of,
    log_mel_statistics,
    mean_of_parts,
)
from unseen.encoders.unread import unread
from unseen.nn.protocols import AudioTextSpace


def tiny_clap(folder: Path) -> Path:
    """A CLAP of random weights with all its files, as they are had from the hub."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "this", "is", "a", "sound", "of", "dog", "rain", "man", "speaks"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    config = ClapConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 40, "pad_token_id": 1, "projection_dim": 8,
        },
        audio_config={
            "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 32,
            "num_mel_bins": 64, "spec_size": 256, "patch_size": 4, "patch_stride": [4, 4], "window_size": 8,
            "projection_dim": 8, "enable_fusion": False, "num_hidden_layers": 2,
        },
        projection_dim=8,
    )  # fmt: skip
    torch.manual_seed(3)
    ClapModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc", max_length_s=10).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> ClapSpace:
    return clap(str(tiny_clap(tmp_path_factory.mktemp("clap"))))


def wave(seconds: float, hertz: float = 440, rate: int = 48_000) -> Any:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_a_clap_is_read_by_its_name_and_gives_unit_vectors(space: ClapSpace) -> None:
    assert isinstance(space, AudioTextSpace)
    assert (space.rate, space.dim) == (48_000, 8)
    texts = space.encode_text(["this is a sound of a dog", "rain"])
    sounds = space.encode_audio([wave(1.0), wave(0.3, 900)])
    for x in (texts, sounds):
        assert x.shape == (2, 8)
        assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
        assert not np.array_equal(x[0], x[1])  # weights of no training tell little
    assert "CLAP model of 8 dimensions" in space.about


def test_it_gives_what_transformers_gives(space: ClapSpace) -> None:
    told = space.tokenizer(["rain", "a dog speaks"], padding=True, return_tensors="pt")
    with torch.no_grad():
        said: Any = space.model.get_text_features(input_ids=told["input_ids"], attention_mask=told["attention_mask"])
    expected = said if isinstance(said, torch.Tensor) else said.pooler_output
    assert np.allclose(space.encode_text(["rain", "a dog speaks"]), unit_rows(expected.numpy()), atol=1e-5)


def test_a_clap_is_frozen_and_one_sound_gives_one_vector(space: ClapSpace) -> None:
    assert not any(p.requires_grad for p in space.model.parameters())
    x = space.encode_audio([wave(2.0), wave(1.0, 200)])
    assert np.allclose(x[0], space.encode_audio([wave(2.0)])[0], atol=1e-5)


def test_a_sound_of_more_than_ten_seconds_is_the_mean_of_its_parts(space: ClapSpace) -> None:
    long = np.concatenate([wave(10.0), wave(3.0, 900)])
    parts = space.encode_audio([wave(10.0), wave(3.0, 900)])
    assert np.allclose(space.encode_audio([long])[0], unit_rows(parts.mean(axis=0)[None])[0], atol=1e-5)


def test_a_folder_that_holds_no_clap_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"encoder: .* is no CLAP model that can be had"):
        clap(str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no folder '\./nowhere'"):
        clap("./nowhere")


# -- the small space -----------------------------------------------------------------------------------------


class Words:
    """An encoder of texts: hashed words."""

    name = "words"

    def encode(self, domain: Domain) -> Domain:
        from unseen.nn.small_rankers import hashed

        return domain.replace(x=unit_rows(hashed(domain.x.tolist(), 24).numpy()), kind="features")


def kinds(seed: int, each: int = 6) -> tuple[list[Any], list[str]]:
    """Tones low and high, noise, and clicks, with their captions."""
    rng = np.random.default_rng(seed)
    waves, said = [], []
    for _ in range(each):
        t = np.arange(RATE) / RATE
        clicks = (np.arange(RATE) % int(rng.integers(1500, 2500)) < 40) * 0.8
        for own, text in (
            (0.4 * np.sin(2 * np.pi * rng.uniform(90, 140) * t), "a low hum"),
            (0.4 * np.sin(2 * np.pi * rng.uniform(2500, 3500) * t), "a shrill whistle"),
            (0.3 * rng.normal(size=RATE), "hissing steam"),
            (clicks + 0.01 * rng.normal(size=RATE), "a clock ticks"),
        ):
            waves.append(own.astype(np.float32))
            said.append(text)
    return waves, said


def test_a_small_space_finds_the_captions_of_sounds_it_had_not_heard_and_says_how_often() -> None:
    space = SmallSpace.learn(*kinds(0), Words())
    waves, said = kinds(1, each=2)
    texts = sorted(set(said))
    found = (space.encode_audio(waves) @ space.encode_text(texts).T).argmax(axis=1)
    assert np.mean([texts[i] == text for i, text in zip(found, said)]) > 0.8
    assert space.learnt["sounds"] == 24
    assert space.learnt["captions"] == 4
    assert "a small space, not a CLAP" in space.about
    assert "24 sounds with 4 captions" in space.about
    assert isinstance(space, AudioTextSpace)


def test_pairs_that_share_a_file_or_a_caption_are_in_one_fold() -> None:
    files = ["a", "a", "b", "c", "d", "e"]
    fold = folds_of(files, ["x", "y", "y", "z", "v", "v"])
    assert fold[0] == fold[1] == fold[2]  # a and b by the caption y
    assert fold[4] == fold[5]
    assert len({fold[0], fold[3], fold[4]}) == 3
    assert len(set(folds_of([str(i) for i in range(40)], [str(i) for i in range(40)]))) == 5
    with pytest.raises(ValueError, match="share no file and no caption"):
        folds_of(["a", "b"], ["x", "x"])


def test_too_few_sounds_are_refused() -> None:
    waves, said = kinds(0, each=2)
    with pytest.raises(ValueError, match="at least 10 sounds with a caption each; got 8"):
        SmallSpace.learn(waves, said, Words())


def test_captions_and_files_that_are_not_as_many_as_sounds_are_named() -> None:
    waves, said = kinds(0, each=3)
    with pytest.raises(ValueError, match="captions must be one for each of the 12 waves; got 11"):
        SmallSpace.learn(waves, said[:-1], Words())
    with pytest.raises(ValueError, match="files must be one for each of the 12 waves; got 3"):
        SmallSpace.learn(waves, said, Words(), files=["a", "b", "c"])


def test_a_small_space_is_saved_and_the_same_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen import encoders

    monkeypatch.setattr(encoders, "get", lambda name: {"words": Words()}[name])
    space = SmallSpace.learn(*kinds(0, each=3), Words())
    space.save(tmp_path / "s")
    back = SmallSpace.load(tmp_path / "s")
    waves = kinds(2, each=1)[0]
    assert np.array_equal(back.encode_audio(waves), space.encode_audio(waves))
    assert back.about == space.about


def test_statistics_tell_a_low_tone_from_a_high_one_and_not_how_loud_it_is() -> None:
    low, high = (log_mel_statistics(wave(0.5, hertz, RATE)) for hertz in (100, 4000))
    assert low.shape == (4 * BANDS,)
    assert int(low[:BANDS].argmax()) < int(high[:BANDS].argmax())
    assert np.allclose(low, log_mel_statistics(0.5 * wave(0.5, 100, RATE)), atol=1e-3)
    assert np.isfinite(log_mel_statistics(wave(0.005, 100, RATE))).all()  # shorter than a frame


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_ridge_is_the_solution_of_its_normal_equations(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    w = _mapped(x, y, 2.0)
    assert np.allclose(x.T @ (x @ w - y) + 2.0 * w, 0, atol=1e-9)


def test_the_mean_of_parts_is_that_of_each_sound() -> None:
    x = unit_rows(np.random.default_rng(0).normal(size=(5, 4)))
    found = mean_of_parts(x, [2, 1, 2])
    expected: Sequence[Any] = [x[:2].mean(axis=0), x[2], x[3:].mean(axis=0)]
    assert np.allclose(found, unit_rows(np.stack(expected)), atol=1e-6)


def test_captions_that_a_clap_does_not_read_are_counted(space: ClapSpace) -> None:
    told = unread(space, ["a dog speaks", "rain " * 60, "ድመት"], space.name)
    assert (told.n, told.cut, told.unspelt, told.example) == (3, 1, 1, "ድመት")
