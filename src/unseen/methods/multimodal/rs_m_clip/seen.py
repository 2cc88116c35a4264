"""The pairs as they are learnt from, by picture, and what a collapse shows in."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.augment import MultiCrop
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import tensor
from unseen.methods.multimodal.rs_m_clip.objective import SelfDistillation
from unseen.nn.collapse import effective_rank, mean_cosine
from unseen.nn.dual_encoder import in_parts
from unseen.nn.self_distillation import certainty, outputs, share_of_largest

log = logging.getLogger(__name__)

ANSWERS = 1000
"""Distinct captions, the first, that stand for classes where none are named."""
ASKED = 2000
"""Pictures, the first, that validation and the monitors look at."""
TAUGHT = 1000
"""Pictures, the first, whose large crops the teacher is asked about in the end."""
COLLAPSED, LEAST_ENTROPY, LEAST_CERTAINTY = 0.95, 0.5, 0.02
"""A collapse is told of a mean cosine of two pictures above the first; of a teacher whose mean output has less than the
second of ln K (of ln n, of fewer crops than outputs); and of one that is less certain than the third."""


class Seen(NamedTuple):
    """Captions with the numbers of their pictures, each of which is there once."""

    pictures: Domain
    texts: NDArray[Any]
    number: NDArray[np.int64]
    language: NDArray[Any]

    @property
    def width(self) -> int:
        """Numbers per sample of features; 0 of pictures."""
        x = self.pictures.x
        return 0 if isinstance(x, Lazy) or x.ndim != 2 else int(x.shape[1])

    def of(self, pictures: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Of the captions of some pictures their number among these, and their language."""
        rows = np.isin(self.number, pictures)
        return np.searchsorted(pictures, self.number[rows]), self.language[rows]

    def answers(self, source: str) -> ClassSpace:
        """Distinct captions in the source language, or in any if there is none, as classes."""
        rows = self.language == source
        texts = dict.fromkeys(str(text).strip() for text in (self.texts[rows] if rows.any() else self.texts))
        return ClassSpace(names=tuple(texts)[:ANSWERS])

    def embedded(self, towers: Any, pictures: NDArray[np.int64]) -> Tensor:
        """Unit vectors of some pictures, read a few at a time."""
        parts = [pictures[i : i + 256] for i in range(0, len(pictures), 256)]
        with torch.no_grad():
            return torch.cat([towers.encode_image(tensor(self.pictures, part)) for part in parts])

    def encoded(
        self, towers: Any, tokens: Tensor, pictures: NDArray[np.int64]
    ) -> tuple[Tensor, dict[str, tuple[NDArray[Any], NDArray[Any]]]]:
        """Unit vectors of some pictures, and by language those of their captions with their places among these."""
        z = self.embedded(towers, pictures)
        number, language = self.of(pictures)
        q = in_parts(
            towers.encode_text, tokens[torch.as_tensor(np.flatnonzero(np.isin(self.number, pictures)))]
        ).numpy()
        return z, {str(name): (q[language == name], number[language == name]) for name in np.unique(language)}


@torch.no_grad()
def watched(network: Any, seen: Seen, tokens: Tensor, rows: NDArray[np.int64]) -> dict[str, float]:
    """What a collapse shows in, of some pictures and their captions, and a warning where it does."""
    rows = rows[:ASKED]
    z, captions = seen.encoded(network, tokens, rows)
    texts = torch.as_tensor(np.concatenate([vectors for vectors, _ in captions.values()]))
    monitors: dict[str, float] = {}
    for side, vectors in (("image", z), ("text", texts)):
        monitors[f"mean_cosine_{side}"] = mean_cosine(vectors)
        monitors[f"effective_rank_{side}"] = effective_rank(vectors)
        monitors[f"std_{side}"] = float(vectors.std(dim=0).mean()) if len(vectors) > 1 else 0.0
    if monitors["mean_cosine_image"] > COLLAPSED:
        log.warning("pictures have collapsed: two have a mean cosine of %.3f", monitors["mean_cosine_image"])
    return monitors


@torch.no_grad()
def taught(
    distillation: SelfDistillation, seen: Seen, rows: NDArray[np.int64], crops: MultiCrop, size: int
) -> dict[str, float]:
    """What a collapse of the teacher shows in, as it taught: of large crops, in batches, and a warning where it does.

    A teacher that says one thing of all pictures has no entropy, one that says everything of each of them no certainty:
    the entropy of the mean output alone is largest then.
    """
    rows = rows[:TAUGHT]
    generator = torch.Generator()  # its own seed, always the same crops
    wide = dataclasses.replace(crops, n_local=0)
    total, certain, n = torch.zeros(len(distillation.centre)), 0.0, 0
    distillation.cpu()
    for part in np.array_split(rows, -(-len(rows) // size)):
        logits = torch.cat(distillation.teach(wide(tensor(seen.pictures, part), generator).wide))
        arguments = (logits, distillation.centre, distillation.temperatures.teacher)
        total += outputs(*arguments).sum(dim=0)
        certain += certainty(*arguments) * len(logits)
        n += len(logits)
    monitors = {"teacher_entropy": share_of_largest(total / n), "teacher_certainty": certain / n}
    if monitors["teacher_entropy"] < LEAST_ENTROPY * min(math.log(n) / math.log(max(len(total), 2)), 1.0):
        log.warning(
            "the teacher says nearly one thing of all pictures: its mean output has %.2f of the largest entropy",
            monitors["teacher_entropy"],
        )
    if monitors["teacher_certainty"] < LEAST_CERTAINTY:
        log.warning(
            "the teacher says nearly nothing of any picture: its outputs are alike, its certainty is %.3f",
            monitors["teacher_certainty"],
        )
    return monitors
