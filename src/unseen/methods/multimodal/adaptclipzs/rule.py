"""The test rule: what all sentences of a class say of a picture together (step 8)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.softmax import NEVER

Pool = Literal["mean_prob", "mean_logit", "mean_embedding"]


def mean_probability(logits: Float[Tensor, "n e"], rows: Int[Tensor, " e"], classes: int) -> Float[Tensor, "n k"]:
    """The logarithm of the mean of each class's entries of exp(logits); `NEVER` of a class without any.

    Parameters
    ----------
    logits : Tensor (n, e)
        log p of sentences, by class; a sentence of two classes stands twice.
    rows : Tensor (e,)
        The class of each.
    """
    where = rows.expand(len(logits), -1)
    top = logits.new_full((len(logits), classes), -torch.inf).scatter_reduce(1, where, logits, "amax")
    shifted = (logits - top.gather(1, where)).exp()
    total = logits.new_zeros(len(logits), classes).index_add(1, rows, shifted)
    counts = torch.bincount(rows, minlength=classes)
    log_mean = top + total.log() - counts.clamp_min(1).log()
    return torch.where(counts > 0, log_mean, NEVER).clamp_min(NEVER)


def mean_of(values: Float[Tensor, "n e"], rows: Int[Tensor, " e"], classes: int) -> Float[Tensor, "n k"]:
    """The mean of each class's entries; `NEVER` of a class without any."""
    counts = torch.bincount(rows, minlength=classes)
    total = values.new_zeros(len(values), classes).index_add(1, rows, values)
    return torch.where(counts > 0, total / counts.clamp_min(1), NEVER)


def pooled(
    z: Float[Tensor, "n d"],
    vectors: Float[Tensor, "m d"],
    rows: Int[Tensor, " e"],
    columns: Int[Tensor, " e"],
    classes: int,
    scale: float,
    pool: Pool = "mean_prob",
) -> Float[Tensor, "n k"]:
    """Scores of classes whose sentences these are; their softmax are the probabilities.

    Parameters
    ----------
    z, vectors : Tensor
        Unit vectors of pictures, and of all different sentences of all candidates.
    rows, columns : Tensor (e,)
        Class `rows[i]` has sentence `columns[i]`.
    pool : {"mean_prob", "mean_logit", "mean_embedding"}
        A softmax over all sentences, then the mean probability of each class's (the paper's); the mean of logits; or
        the logit of the mean vector.
    """
    if pool == "mean_embedding":
        means = mean_of(vectors[columns].T.contiguous(), rows, classes).T
        present = torch.bincount(rows, minlength=classes) > 0
        return torch.where(present, scale * z @ F.normalize(means, dim=1).T, NEVER)
    logits = scale * z @ vectors.T
    if pool == "mean_logit":
        return mean_of(logits[:, columns], rows, classes)
    return mean_probability(F.log_softmax(logits, dim=1)[:, columns], rows, classes)


class SentenceClasses(nn.Module):
    """An image tower with the vectors of sentences: from pictures to scores of the classes that they are of.

    Parameters
    ----------
    image : nn.Module
    vectors : Tensor (m, d)
    rows, columns : Tensor (e,)
    offset : Tensor (k,)
        Added to the scores.
    """

    vectors: Tensor
    rows: Tensor
    columns: Tensor
    offset: Tensor

    def __init__(self, image: nn.Module, tensors: tuple[Tensor, ...], scale: float, pool: Pool) -> None:
        super().__init__()
        self.image, self.scale, self.pool = image, scale, pool
        for name, value in zip(("vectors", "rows", "columns", "offset"), tensors):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Float[Tensor, "b k"]:
        """Scores of the classes."""
        z = F.normalize(self.image(x), dim=1)
        scores = pooled(z, self.vectors, self.rows, self.columns, len(self.offset), self.scale, self.pool)
        return (scores + self.offset).clamp_min(NEVER)


@builder("sentence-classes")
def sentence_classes(
    image: nn.Module, sentences: int, entries: int, classes: int, dim: int, scale: float, pool: Pool = "mean_prob"
) -> SentenceClasses:
    """A `SentenceClasses` without its vectors."""
    empty = torch.zeros(entries, dtype=torch.int64)
    tensors = (torch.zeros(sentences, dim), empty, empty.clone(), torch.zeros(classes))
    return SentenceClasses(image, tensors, scale, pool)
