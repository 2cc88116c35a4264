"""What TinyCLIP needs beside the words of `fit`: two towers from which parts can be taken, and pictures with texts."""

from __future__ import annotations

import dataclasses
from typing import Any

from unseen.methods.compression.tinyclip.resnets import is_resnet
from unseen.methods.needs import Given
from unseen.methods.tower_shrinkers import TowersToShrink
from unseen.nn.dual_encoder import DualEncoder
from unseen.nn.low_rank import is_thinned
from unseen.nn.towers import PrunableTower


@dataclasses.dataclass(frozen=True)
class TowersToPrune(TowersToShrink):
    """A `model` of two towers from which parts can be taken (`unseen.nn.towers`, or an open_clip ResNet)."""

    def lacks(self, given: Given) -> str | None:
        """Return that there are no such towers."""
        return None if prunable_towers(given.inputs.get("model")) else self.reason


def prunable_towers(model: Any) -> bool:
    """Whether these are towers from which parts can be taken."""
    if not isinstance(model, DualEncoder) or is_thinned(model.image) or is_thinned(model.text):
        return False
    image = isinstance(model.image, PrunableTower) or is_resnet(model.image)
    return image and isinstance(model.text, PrunableTower)
