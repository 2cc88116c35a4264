"""Two towers of a moment: what methods that prompt such models are tried on."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence

from torch import nn

from unseen.nn.build import builder
from unseen.nn.dual_encoder import DualEncoder, Letters, dual_encoder, perceptron, token_text
from unseen.nn.layer_statistics import layer_reader
from unseen.nn.prompting import PromptableTowers, pooled_text
from unseen.runtime import reproducible


@builder("contract-two-layers")
def two_layers() -> nn.Sequential:
    """Two convolutions and an embedding of 4."""
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@functools.cache
def _towers() -> PromptableTowers:
    with reproducible(11):
        image = layer_reader(two_layers(), ("0", "1"), (2, 4), 4)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        limits = {"vocab_size": 32, "max_position_embeddings": 32}
        text = pooled_text({"model_type": "bert", **sizes, **limits}, dim=4)
    return PromptableTowers(image, text, 20.0, _numbered)


def small_towers() -> PromptableTowers:
    """Two towers whose rows have 16 features: two layers, 2 (2 + 4) moments, and an embedding of 4."""
    return copy.deepcopy(_towers())


@functools.cache
def _encoder(kind: str, width: int) -> DualEncoder:
    with reproducible(12):
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        limits = {"vocab_size": 32, "max_position_embeddings": 32}
        text = token_text(pooled_text({"model_type": "bert", **sizes, **limits}, dim=4))
        image = two_layers() if kind == "image" else perceptron((width, 8, 4))
        return dual_encoder(image, text, Letters().to_json(), 20.0).eval()


def small_dual_encoder(kind: str = "features", width: int = 16) -> DualEncoder:
    """Two towers that are trained whole: of pictures, or of features of some width."""
    return copy.deepcopy(_encoder(kind, width))


def _numbered(texts: Sequence[str]) -> list[list[int]]:
    """Begin, a number for every letter, end."""
    return [[30, *(ord(letter) % 30 for letter in text), 31] for text in texts]
