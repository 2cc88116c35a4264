"""What GeneCIS needs beside the words of `fit`: two towers, and pictures with captions of related things."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.typing import Kind
from unseen.methods.needs import Given, Need
from unseen.nn.dual_encoder import DualEncoder


@dataclasses.dataclass(frozen=True)
class ComposedTowers(Need):
    """A `model` of two towers (`unseen.nn.dual_encoder.DualEncoder`) that number their own texts."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("pairs", "auxiliary")

    def lacks(self, given: Given) -> str | None:
        """Return that there is no such model."""
        if isinstance(given.inputs.get("model"), DualEncoder):
            return None
        return "composes pictures with texts by a two-tower model: `unseen find`, or in Python with a DualEncoder"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return small towers of pictures or features, captions that share subjects, and how concrete words are."""
        from unseen.nn.small_towers import small_dual_encoder

        if "model" not in inputs:
            return {}
        pictures = isinstance(inputs["model"], nn.Module) and any(
            isinstance(layer, nn.Conv2d) for layer in inputs["model"].modules()
        )
        x, captions = scenes_of_a_moment(shape=(3, 8, 8) if pictures else (16,))
        kind: Kind = "image" if pictures else "features"
        none = np.zeros(len(x), dtype=np.int64)
        pairs = Pairs(Domain(x=x, kind=kind, name="pictures"), Domain(x=captions, kind="text", name="captions"))
        words = np.array(["dog", "cat", "grass", "sofa", "box", "idea"])
        ratings = Domain(
            x=words, y=none[:6], kind="text", name="words", columns={"concreteness": np.array([5.0, 5, 5, 5, 5, 1.5])}
        )
        model = small_dual_encoder(kind, 0 if pictures else 16)
        return {"model": model, "pairs": pairs, "auxiliary": ratings, "corpus": pairs.left.replace(y=none)}


def scenes_of_a_moment(n: int = 24, shape: tuple[int, ...] = (16,)) -> tuple[Any, Any]:
    """Features and captions of a dog or a cat somewhere."""
    rng = np.random.default_rng(15)
    subjects, places = ("dog", "cat"), ("in grass", "on sofa", "in box")
    s, p = np.arange(n) % 2, np.arange(n) // 2 % 3
    centres = rng.normal(size=(5, *shape))
    x = centres[s] + centres[2 + p] + 0.1 * rng.normal(size=(n, *shape))
    return x.astype(np.float32), np.array([f"a {subjects[i]} {places[j]}" for i, j in zip(s, p)])
