"""What the captioner needs beside the words of `fit`: a space of texts and sounds, and captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.typing import FloatArray
from unseen.methods.needs import Given, Need
from unseen.nn.small_rankers import hashed

WIDTH = 16


@dataclasses.dataclass(frozen=True)
class AudioTextTowers(Need):
    """An `encoder` that reads texts and sounds into one space (`unseen.nn.protocols.AudioTextSpace`)."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("encoder", "corpus", "pairs", "model")

    def lacks(self, given: Given) -> str | None:
        """Return that there is no such encoder."""
        if given.inputs.get("encoder") is not None:
            return None
        return "captions sounds by a space of texts and sounds: `unseen caption`"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return hashed words as a space, captions of a few scenes, some with sounds, and a decoder of their words."""
        from unseen.nn.captioners import small_decoder, vocabulary
        from unseen.runtime import reproducible

        captions = captions_of_a_moment()
        space = HashedSpace()
        sounds = np.random.default_rng(4).normal(size=(8, WIDTH)) * 0.1 + space.encode_text(captions[:8].tolist())
        names = inputs["classes"].names if isinstance(inputs.get("classes"), ClassSpace) else ("dog", "rain")
        corpus = Domain(x=captions, y=np.zeros(len(captions), dtype=np.int64), kind="text", name="corpus")
        pairs = Pairs(
            Domain(x=sounds.astype(np.float32), name="sounds"), Domain(x=captions[:8], kind="text", name="captions")
        )
        with reproducible(13):
            model = small_decoder(*vocabulary(captions.tolist(), names, least=1), width=16, layers=1, heads=2).eval()
        return {"encoder": space, "corpus": corpus, "pairs": pairs, "model": model}


@dataclasses.dataclass(frozen=True)
class HashedSpace:
    """Hashed words as unit vectors: a space of texts without weights, for tests and examples."""

    name: str = "hashed words"

    def encode_text(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors, (n, 16)."""
        x = hashed([str(text) for text in texts], WIDTH).numpy()
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def encode_audio(self, waves: Sequence[np.ndarray]) -> FloatArray:
        """Unit vectors of the first values of sounds."""
        x = np.stack([np.resize(wave, WIDTH) for wave in waves]) + 1e-3
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def captions_of_a_moment() -> Any:
    """Twenty-four captions that share their words."""
    who, what, where = ("a dog", "a man", "a bird"), ("barks", "speaks"), ("in rain", "near a car", "loudly", "twice")
    return np.array([f"{a} {b} {c}" for a in who for b in what for c in where])
