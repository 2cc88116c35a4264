"""The losses of a step: distilling a student, and learning its gates beside (spec steps A and C7)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unseen.data.samplers import Batch
from unseen.methods.compression.tinyclip.affinity import AffinityDistillation, Features
from unseen.methods.compression.tinyclip.gates import MaskedDualEncoder
from unseen.nn.train import Run


class Taught(nn.Module):
    """What the frozen teacher says of each pair, which it reads once: pictures do not change from step to step.

    Parameters
    ----------
    teacher : nn.Module
        Two towers, at rest.
    tokens : Tensor (n, t)
        The texts of all pairs.
    dim : int
        Width of the teacher's space.
    labels : Tensor (n,)
        Which text each is, one number for equal ones.
    """

    tokens: Tensor
    labels: Tensor
    image: Tensor
    text: Tensor
    known: Tensor

    def __init__(self, teacher: Any, tokens: Tensor, dim: int, labels: Tensor) -> None:
        super().__init__()
        self.teacher = teacher.eval().requires_grad_(False)
        self.register_buffer("tokens", tokens)
        self.register_buffer("labels", labels)
        for name in ("image", "text"):
            self.register_buffer(name, torch.zeros(len(tokens), dim))
        self.register_buffer("known", torch.zeros(len(tokens), dtype=torch.bool))

    def texts(self, index: Tensor) -> Tensor:
        """The texts of a batch, no longer than the longest of them."""
        own = self.tokens[index]
        return own[:, : int((own >= 0).sum(dim=1).max())] if own.ndim == 2 and not own.is_floating_point() else own

    @torch.no_grad()
    def forward(self, x: Tensor, index: Tensor) -> Features:
        """The teacher's vectors of a batch of pairs."""
        new = ~self.known[index]
        if bool(new.any()):
            at = index[new]
            self.image[at] = self.teacher.encode_image(x[new]).float()
            self.text[at] = self.teacher.encode_text(self.texts(at)).float()
            self.known[at] = True
        return Features(self.image[index], self.text[index], self.teacher.logit_scale.exp())


class Distilling:
    """The loss of a step of a student without gates."""

    def __init__(self, student: Any, taught: Taught, loss: AffinityDistillation) -> None:
        self.student, self.taught, self.loss = student, taught, loss

    def __call__(self, batch: Batch, run: Run) -> Tensor:
        """total = alpha w L_distill + (1 - alpha) w L_CLIP."""
        image = self.student.encode_image(batch.x)
        text = self.student.encode_text(self.taught.texts(batch.index))
        own, large = Features(image, text, self.student.logit_scale.exp()), self.taught(batch.x, batch.index)
        found = self.loss(own, large, self.taught.labels[batch.index])
        run.log(distillation=(found.i2t + found.t2i) / 2)
        return found.total


class Pruning:
    """The loss of a step in which gates learn: distillation, and how far the sparsity is from its target."""

    def __init__(self, masked: MaskedDualEncoder, taught: Taught, loss: AffinityDistillation) -> None:
        self.masked, self.taught, self.loss = masked, taught, loss

    def __call__(self, batch: Batch, run: Run) -> Tensor:
        """The distillation under gates that are drawn for this step, plus the constraint."""
        gates = self.masked.sampled(run.generator)
        image = self.masked.encode_image(batch.x, gates)
        text = self.masked.encode_text(self.taught.texts(batch.index), gates)
        own = Features(image, text, self.masked.towers.logit_scale.exp())
        found = self.loss(own, self.taught(batch.x, batch.index), self.taught.labels[batch.index])
        constraint = self.masked.sparsity_loss(run.step)
        run.log(distillation=(found.i2t + found.t2i) / 2, constraint=constraint, sparsity=self.masked.sparsity().mean())
        return found.total + constraint
