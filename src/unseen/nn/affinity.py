"""Affinity mimicking: image-text affinities of small towers follow those of large ones, which read each pair once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.samplers import Batch
from unseen.nn.contrastive import affinities, contrastive, contrastive_in_parts
from unseen.nn.train import Run


class Features(NamedTuple):
    """Unit vectors of pictures and of their texts, row by row, and the factor of their cosines."""

    image: Float[Tensor, "n d"]
    text: Float[Tensor, "n d"]
    scale: Float[Tensor, ""] | float


class Losses(NamedTuple):
    """total = alpha w (i2t + t2i) / 2 + (1 - alpha) w hard."""

    total: Tensor
    i2t: Tensor
    t2i: Tensor
    hard: Tensor


class AffinityDistillation(nn.Module):
    """Cross entropies of the student's affinities against the teacher's, both ways [1].

        A_I2T[i, j] = softmax_j(s <I_i, T_j>),    L_I2T = -mean_i sum_j A^teacher log A^student,

    and the same from texts to pictures. Only the n x n affinities are compared: the two spaces may be of unlike widths.

    Parameters
    ----------
    alpha : float in [0, 1]
        Share of the affinities; the rest is CLIP's loss.
    weight : float, >= 0
        w, of all of it.
    logit_scale : float > 0, optional
        Factor of the cosines of both; their own if absent.
    rows : int, >= 1
        Rows of the n x n matrices that are held together; more are worked on in parts.

    References
    ----------
    [1] Wu et al., "TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance", ICCV 2023, eq. 1 to 4.
    """

    def __init__(
        self, alpha: float = 1.0, weight: float = 1.0, logit_scale: float | None = 50.0, rows: int = 4096
    ) -> None:
        super().__init__()
        self.alpha, self.weight, self.logit_scale, self.rows = alpha, weight, logit_scale, rows

    def forward(self, student: Features, teacher: Features, labels: Int[Tensor, " n"] | None = None) -> Losses:
        """The losses of a batch; nothing flows into the teacher.

        Parameters
        ----------
        student, teacher : Features
        labels : Tensor (n,), optional
            Pairs of one label are all right answers of CLIP's loss; one right answer each if absent.
        """
        image, text = (side.detach() for side in teacher[:2])
        s = student.scale if self.logit_scale is None else self.logit_scale
        t = torch.as_tensor(teacher.scale).detach() if self.logit_scale is None else self.logit_scale
        i2t = self._mimicked(student.image, student.text, s, t * image, text)
        t2i = self._mimicked(student.text, student.image, s, t * text, image)
        if self.alpha < 1:
            same = None if labels is None else (lambda at: (labels[at, None] == labels[None]).float())
            hard = (
                contrastive_in_parts(student.image, student.text, s, same, self.rows)
                + contrastive_in_parts(student.text, student.image, s, same, self.rows)
            ) / 2
        else:
            hard = i2t.new_zeros(())
        soft = (i2t + t2i) / 2
        return Losses(self.weight * (self.alpha * soft + (1 - self.alpha) * hard), i2t, t2i, hard)

    def _mimicked(self, p: Tensor, q: Tensor, scale: Tensor | float, a: Tensor, b: Tensor) -> Tensor:
        if len(p) <= self.rows:
            return contrastive(scale * p @ q.T, affinities(a @ b.T))
        return contrastive_in_parts(p, q, scale, lambda at: affinities(a[at] @ b.T), self.rows)


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
        tokens = self.tokens[index]
        return (
            tokens[:, : int((tokens >= 0).sum(dim=1).max())]
            if tokens.ndim == 2 and not tokens.is_floating_point()
            else tokens
        )

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

    def losses(self, batch: Batch) -> Losses:
        """Those of one batch of pairs."""
        image = self.student.encode_image(batch.x)
        text = self.student.encode_text(self.taught.texts(batch.index))
        small, large = Features(image, text, self.student.logit_scale.exp()), self.taught(batch.x, batch.index)
        return self.loss(small, large, self.taught.labels[batch.index])

    def __call__(self, batch: Batch, run: Run) -> Tensor:
        """total = alpha w L_distill + (1 - alpha) w L_CLIP."""
        losses = self.losses(batch)
        run.log(distillation=(losses.i2t + losses.t2i) / 2)
        return losses.total
