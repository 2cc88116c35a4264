"""What TinyCLIP needs beside the words of `fit`: two towers from which parts can be taken, and pictures with texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.compression.tinyclip.resnets import is_resnet
from unseen.methods.needs import Given, Need
from unseen.nn.dual_encoder import DualEncoder, Letters, dual_encoder
from unseen.nn.towers import PrunableTower, text_tower, vision_tower
from unseen.runtime import reproducible


@dataclasses.dataclass(frozen=True)
class TowersToPrune(Need):
    """A `model` of two towers from which parts can be taken (`unseen.nn.towers`, or an open_clip ResNet)."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("pairs",)

    def lacks(self, given: Given) -> str | None:
        """Return that there are no such towers."""
        if prunable_towers(given.inputs.get("model")):
            return None
        return "makes a two-tower model small: `unseen shrink`, or in Python with unseen.encoders.prunable"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return small towers, and pictures with a text each."""
        if "model" not in inputs:
            return {}
        made: dict[str, Any] = {"model": towers_of_a_moment(), "pairs": pairs_of_a_moment()}
        return made | ({"prompts": ("a drawing of a {}.", "the {}.")} if "prompts" in inputs else {})


def prunable_towers(model: Any) -> bool:
    """Whether these are towers from which parts can be taken."""
    if not isinstance(model, DualEncoder):
        return False
    image = isinstance(model.image, PrunableTower) or is_resnet(model.image)
    return image and isinstance(model.text, PrunableTower)


def towers_of_a_moment(side: int = 8) -> DualEncoder:
    """A transformer of two layers on either side, of no use."""
    with reproducible(13):
        sizes: dict[str, Any] = {"width": 16, "head": 4, "heads": (4, 4), "mlp": (32, 32), "dim": 8}
        image = vision_tower((side, side), (4, 4), **sizes)
        text = text_tower(32, 30, **sizes)
        return dual_encoder(image, text, Letters().to_json(), 20.0).eval()


def pairs_of_a_moment(n: int = 24, side: int = 8) -> Pairs:
    """Pictures of three shades with a text each."""
    rng = np.random.default_rng(14)
    words = ("dark", "grey", "light")
    x = rng.normal(size=(n, 3, side, side)).astype(np.float32) + (np.arange(n) % 3 - 1)[:, None, None, None]
    texts = np.array([f"{words[i % 3]} number {i}" for i in range(n)])
    pictures = Domain(x=x.astype(np.float32), kind="image", name="pictures")
    return Pairs(pictures, Domain(x=texts, kind="text", name="texts"))
