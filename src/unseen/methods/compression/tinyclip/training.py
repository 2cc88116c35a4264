"""The loss of a step in which gates learn beside the student (spec step C7)."""

from __future__ import annotations

from torch import Tensor

from unseen.data.samplers import Batch
from unseen.methods.compression.tinyclip.gates import MaskedDualEncoder
from unseen.nn.affinity import AffinityDistillation, Features, Taught
from unseen.nn.train import Run


class Pruning:
    """The loss of a step in which gates learn: distillation, and how far the sparsity is from its target."""

    def __init__(self, masked: MaskedDualEncoder, taught: Taught, loss: AffinityDistillation) -> None:
        self.masked, self.taught, self.loss = masked, taught, loss

    def __call__(self, batch: Batch, run: Run) -> Tensor:
        """The distillation under gates that are drawn for this step, plus the constraint."""
        gates = self.masked.sampled(run.generator)
        image = self.masked.encode_image(batch.x, gates)
        text = self.masked.encode_text(self.taught.texts(batch.index), gates)
        student = Features(image, text, self.masked.towers.logit_scale.exp())
        terms = self.loss(student, self.taught(batch.x, batch.index), self.taught.labels[batch.index])
        constraint = self.masked.sparsity_loss(run.step)
        run.log(distillation=(terms.i2t + terms.t2i) / 2, constraint=constraint, sparsity=self.masked.sparsity().mean())
        return terms.total + constraint
