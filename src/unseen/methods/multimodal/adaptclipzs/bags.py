"""Bags of sentences, from which one is drawn for each picture (step 3)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from unseen.data.descriptions import Sentences
from unseen.nn.dual_encoder import trimmed


class Bags(nn.Module):
    """The sentences of each class as the text tower reads them, to draw from (step 3)."""

    texts: Tensor
    columns: Tensor
    first: Tensor
    counts: Tensor

    def __init__(self, said: Sentences, classes: int, texts: Tensor) -> None:
        super().__init__()
        counts = np.bincount(said.rows, minlength=classes)
        self.register_buffer("texts", texts)
        self.register_buffer("columns", torch.as_tensor(said.columns))
        self.register_buffer("counts", torch.as_tensor(counts))
        self.register_buffer("first", torch.as_tensor(np.cumsum(counts) - counts))

    def draw(self, y: Int[Tensor, " b"], generator: torch.Generator) -> Tensor:
        """A sentence of the class of each, each of the bag as likely."""
        share = torch.rand(len(y), generator=generator).to(y.device)
        place = (share * self.counts[y]).long().clamp_max(self.counts[y] - 1)
        return trimmed(self.texts[self.columns[self.first[y] + place]])
