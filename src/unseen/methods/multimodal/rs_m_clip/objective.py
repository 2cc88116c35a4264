"""A step: captions against every large crop, and what the crops say against what the average of the student says."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.augment import Crops, MultiCrop
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import tensor
from unseen.methods.multimodal.rs_m_clip.sampler import Drawn
from unseen.nn.averaging import follow
from unseen.nn.bn_statistics import by_batch
from unseen.nn.contrastive import LogitScale, both_ways
from unseen.nn.dual_encoder import trimmed
from unseen.nn.self_distillation import Projector, distillation_loss, moved_centre, output_entropy, warmed
from unseen.nn.train import Run


@dataclasses.dataclass(frozen=True)
class Temperatures:
    """Of student and teacher; the teacher's goes from `begin` to `teacher` in the first `share` of the training."""

    student: float = 0.1
    begin: float = 0.04
    teacher: float = 0.07
    share: float = 0.3

    def of_teacher(self, progress: float) -> float:
        """The teacher's at this point of the training."""
        return warmed(self.begin, self.teacher, progress, self.share)


class SelfDistillation(nn.Module):
    """A teacher that follows the student, both with a projector on the embedding of a picture, and the centre.

    The teacher holds both towers, so that it can be kept as a model; only its picture tower teaches.

    Parameters
    ----------
    student : Module
        Two towers.
    projector : Projector, optional
        The student's; without one the teacher follows and teaches nothing.
    ema_decay, center_momentum : float in [0, 1]
    """

    centre: Tensor

    def __init__(
        self,
        student: nn.Module,
        projector: Projector | None,
        ema_decay: float = 0.996,
        center_momentum: float = 0.9,
        temperatures: Temperatures | None = None,
    ) -> None:
        super().__init__()
        self.ema_decay, self.center_momentum = ema_decay, center_momentum
        self.temperatures = temperatures or Temperatures()
        self.projector = projector
        self.teacher: Any = copy.deepcopy(student).requires_grad_(False).eval()
        self.teacher_projector = None if projector is None else copy.deepcopy(projector).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(0 if projector is None else len(projector.last)))

    @torch.no_grad()
    def teach(self, views: tuple[Tensor, ...]) -> list[Tensor]:
        """The teacher's logits of its views; never a gradient.

        It normalizes by the batch, as the student does, where it has BatchNorm: what the average remembers lags behind
        its weights at first, and all pictures would look alike to it.
        """
        assert self.teacher_projector is not None
        self.teacher.eval()
        with by_batch(self.teacher):
            z = self.teacher.encode_image(torch.cat(views))
        return list(self.teacher_projector(z).chunk(len(views)))

    def loss(self, taught: list[Tensor], embeddings: list[Tensor], progress: float) -> Tensor:
        """L_sd of the student's embeddings of all views, those that the teacher saw first."""
        assert self.projector is not None
        guesses = list(self.projector(torch.cat(embeddings)).split([len(z) for z in embeddings]))
        tau = self.temperatures
        return distillation_loss(taught, guesses, self.centre, tau.of_teacher(progress), tau.student)

    def entropy(self, taught: list[Tensor], progress: float) -> float:
        """Entropy of the mean of the teacher's outputs, as a share of ln K."""
        return output_entropy(torch.cat(taught), self.centre, self.temperatures.of_teacher(progress))

    def recentre(self, taught: list[Tensor]) -> None:
        """c <- m_c c + (1 - m_c) mean of the teacher's logits."""
        self.centre.copy_(moved_centre(self.centre, taught, self.center_momentum))

    def follow(self, student: nn.Module) -> None:
        """theta_t <- m theta_t + (1 - m) theta_s, of towers and projector; m stays the same."""
        follow(self.teacher, student, self.ema_decay)
        if self.projector is not None and self.teacher_projector is not None:
            follow(self.teacher_projector, self.projector, self.ema_decay)


class Objective:
    """L = L_con + lambda L_sd of a batch.

    Parameters
    ----------
    pictures : Domain
        Each picture once.
    tokens : Tensor (n, ...)
        What the text tower reads of each pair.
    crops : MultiCrop, optional
        Views of pictures; without it they are read whole, and there is no L_sd.
    """

    def __init__(
        self,
        student: Any,
        scale: LogitScale,
        distillation: SelfDistillation,
        pictures: Domain,
        tokens: Tensor,
        crops: MultiCrop | None,
        weight: float,
    ) -> None:
        self.student, self.scale, self.distillation = student, scale, distillation
        self.pictures, self.tokens, self.crops, self.weight = pictures, tokens, crops, weight
        self.table = None if isinstance(pictures.x, Lazy) else tensor(pictures)

    def read(self, rows: Tensor) -> Tensor:
        """Pictures of a batch."""
        return tensor(self.pictures, rows.numpy().astype(np.int64)) if self.table is None else self.table[rows]

    def views(self, batch: Drawn, run: Run) -> Crops:
        """The views of a batch: one tensor each, whoever reads it, student, teacher or contrastive loss."""
        x = self.read(batch.picture.cpu()).to(run.device)
        return Crops((x,), ()) if self.crops is None else self.crops(x, run.generator)

    def __call__(self, batch: Drawn, run: Run) -> Tensor:
        views = self.views(batch, run)
        q = self.student.encode_text(trimmed(self.tokens[batch.pair.cpu()]).to(run.device))
        wide = list(self.student.encode_image(torch.cat(views.wide)).chunk(len(views.wide)))
        each = [both_ways(p, q, self.scale()).total / 2 for p in wide]
        contrastive = torch.stack(each).mean()
        run.log(contrastive=contrastive, scale=self.scale())
        if not self.weight or self.crops is None:
            return contrastive
        with by_batch(self.student):  # BatchNorm remembers whole pictures and large crops, which it is asked about
            local = [*self.student.encode_image(torch.cat(views.local)).chunk(len(views.local))] if views.local else []
        taught = self.distillation.teach(views.wide)
        distilled = self.distillation.loss(taught, [*wide, *local], run.progress)
        run.log(distillation=distilled, teacher_entropy=self.distillation.entropy(taught, run.progress))
        self.distillation.recentre(taught)
        return contrastive + self.weight * distilled
