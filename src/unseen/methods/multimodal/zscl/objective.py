"""The loss of a step: the task, what holds the function, and what holds the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.data.samplers import Pair
from unseen.methods.multimodal.zscl.losses import among_pictures, distill
from unseen.nn.train import Run
from unseen.nn.weight_space import Anchor

SENTENCES = 100
"""Sentences of the corpus that stand beside the classes in the cross entropy, where `negatives` asks for them."""


class Tied(nn.Module):
    """What every step reads and none changes.

    `classes` are the texts of the task's classes, `texts` and `vectors` (M, d) the reference sentences as towers read
    them and as the teacher has them, `beside` texts that stand beside the classes, `old` exemplars of the tasks before:
    samples, labels, and the texts of their task.
    """

    classes: Tensor
    texts: Tensor
    vectors: Tensor
    beside: Tensor | None

    def __init__(
        self,
        classes: Tensor,
        texts: Tensor,
        vectors: Tensor,
        beside: Tensor | None,
        old: Sequence[tuple[Tensor, Tensor, Tensor]],
    ) -> None:
        super().__init__()
        for name, value in {"classes": classes, "texts": texts, "vectors": vectors, "beside": beside}.items():
            self.register_buffer(name, value)
        self.n_old = len(old)
        for i, parts in enumerate(old):
            for key, value in zip("xyt", parts):
                self.register_buffer(f"{key}{i}", value)

    def old(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """The exemplars of an earlier task."""
        x, y, t = (self.get_buffer(f"{key}{i}") for key in "xyt")
        return x, y, t


class Distilled(NamedTuple):
    """The terms in feature space, L_img and L_txt, and the optional ones together."""

    image: Tensor
    text: Tensor
    others: Tensor


class Objective:
    """L = L_ce + distillation (L_img + L_txt) + consolidation L_wc, with what the settings add (steps 1 to 4)."""

    def __init__(self, settings: Any, network: Any, teacher: Any, anchor: Anchor, tied: Tied) -> None:
        self.settings, self.network, self.teacher = settings, network, teacher
        self.anchor, self.tied = anchor, tied

    def __call__(self, batch: Pair, run: Run) -> Tensor:
        """The loss of one step."""
        its, y = self.settings, batch.source.y
        assert y is not None
        ce = self.task(batch.source.x, y, run)
        run.log(ce=ce)
        loss = ce
        if its.distillation or its.feature_weight or its.picture_weight:
            terms = self.distilled(batch.target.x)
            run.log(image=terms.image, text=terms.text)
            loss = loss + its.distillation * (terms.image + terms.text) + terms.others
        if its.consolidation:
            moved = self.anchor(self.network)
            run.log(moved=moved)
            loss = loss + its.consolidation * moved
        if self.tied.n_old:
            loss = loss + self.rehearsed(run)
        return loss

    def task(self, x: Tensor, y: Tensor, run: Run) -> Tensor:
        """L_ce; the classes' texts are encoded by the text tower as it is now (step 1)."""
        texts, y = self._fewer(self.tied.classes, y, run)
        w = self.network.encode_text(texts)
        if self.tied.beside is not None:
            beside = self.tied.beside
            chosen = torch.randperm(len(beside), generator=run.generator)[:SENTENCES].to(beside.device)
            chosen = (
                chosen if self.settings.negatives == "sentences" else torch.arange(len(beside), device=beside.device)
            )
            w = torch.cat([w, self.network.encode_text(beside[chosen])])
        logits = self.scale * self.network.encode_image(x) @ w.T
        return F.cross_entropy(logits, y, label_smoothing=self.settings.label_smoothing)

    def distilled(self, x: Tensor) -> Distilled:
        """L_img and L_txt on a batch of reference pictures, and the optional terms (step 2)."""
        its = self.settings
        with torch.no_grad():
            z0 = self.teacher.encode_image(x)
        z, w0 = self.network.encode_image(x), self.tied.vectors
        teacher, student = self.scale * z0 @ w0.T, self.scale * z @ w0.T
        image = distill(teacher, student, its.temperature)
        if its.text_side == "student":
            student = self.scale * z0 @ self.network.encode_text(self.tied.texts).T
        text = distill(teacher.T, student.T, its.temperature)
        others = z.new_zeros(())
        if its.feature_weight:
            others = others + its.feature_weight * F.mse_loss(z, z0)
        if its.picture_weight:
            others = others + its.picture_weight * among_pictures(z0, z, self.scale, its.temperature)
        return Distilled(image, text, others)

    def rehearsed(self, run: Run) -> Tensor:
        """The cross entropy of some exemplars of one earlier task, drawn in each step."""
        i = int(torch.randint(self.tied.n_old, (), generator=run.generator))
        x, y, texts = self.tied.old(i)
        index = torch.randperm(len(x), generator=run.generator)[: self.settings.batch_size].to(x.device)
        logits = self.scale * self.network.encode_image(x[index]) @ self.network.encode_text(texts).T
        return F.cross_entropy(logits, y[index], label_smoothing=self.settings.label_smoothing)

    @property
    def scale(self) -> Tensor:
        """exp(s), which does not train."""
        return self.network.logit_scale.detach().exp()

    def _fewer(self, texts: Tensor, y: Tensor, run: Run) -> tuple[Tensor, Tensor]:
        """The classes of the batch and others at random, where a step shall not encode all (step 11)."""
        most = self.settings.classes_per_step
        if not most or len(texts) <= most:
            return texts, y
        present = torch.unique(y)
        others = torch.randperm(len(texts), generator=run.generator).to(y.device)
        others = others[~torch.isin(others, present)][: max(most - len(present), 0)]
        kept = torch.sort(torch.cat([present, others])).values
        return texts[kept], torch.searchsorted(kept, y)
