"""ClassMix self-training: half of the classes of a labelled picture on an unlabeled one, a teacher for the rest."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Self

import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.pixels import mask_batches, pictures
from unseen.data.samplers import Batch
from unseen.methods.base import Card
from unseen.methods.needs import PixelClasses
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.methods.segmenting import SegmentingMethod, check_crop, checked_model
from unseen.nn.averaging import follow, rising_momentum
from unseen.nn.pixel_mix import class_mix, pseudo_labels, random_crops
from unseen.nn.segmenters import pixel_loss
from unseen.nn.train import Run, train


class ClassMix(SegmentingMethod):
    """Cross-domain mixed sampling: train on labelled pictures and on mixtures with the target's [1, 2].

    Parameters
    ----------
    confidence : float in [0, 1]
        Probability from which a pixel of the teacher's is sure; all of a picture weigh by the share of sure ones.
    teacher_momentum : float in [0, 1]
        What stays of the teacher at each step; less at first.
    weight : float, >= 0
        Of the loss on mixed pictures.
    steps : int
        Of training, each on a batch of labelled pictures.
    batch_size : int
    learning_rate : float, > 0
        Of Adam.
    crop : int, optional
        Side of random squares of the source; whole pictures, all of one size, if absent.

    References
    ----------
    [1] Olsson, Tranheden, Pinto, Svensson, "ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised
        Learning", WACV 2021.
    [2] Tranheden, Olsson, Pinto, Svensson, "DACS: Domain Adaptation via Cross-domain Mixed Sampling", WACV 2021.
    """

    card = Card(
        slug="classmix",
        title="DACS: Domain Adaptation via Cross-domain Mixed Sampling",
        venue="WACV 2021",
        official_code="vikolss/DACS",
        summary="Train a segmentation network on mixtures of labelled pictures and unlabeled ones of the target.",
        unseen={"domains"},
        modalities={"image"},
        protocols=set(),
        task="mask",
        smoke={"steps": 3, "batch_size": 4},
        needs=(PixelClasses(),),
        baseline=True,
        left_out=("Changes of colour and blur of mixed pictures.",),
        cost=40.0,
    )

    confidence: Unit = 0.9
    teacher_momentum: Unit = 0.99
    weight: NonNegative = 1.0
    steps: Count = 200
    batch_size: Annotated[int, Within(2)] = 8
    learning_rate: Positive = 5e-4
    crop: Annotated[int, Within(8)] | None = None

    def fit(self, *, source: Domain, target: Domain, model: nn.Module) -> Self:
        """Train a copy of `model` further on the labelled source and on mixtures with the unlabeled target."""
        student = checked_model(model, source).train()
        check_crop(source, self.crop)
        teacher = copy.deepcopy(student).requires_grad_(False).eval()
        shots = pictures(target)

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            size = (int(batch.x.shape[-2]), int(batch.x.shape[-1]))
            new = random_crops([shot.to(batch.x) for shot in shots], len(batch.x), size, run.generator)
            y, weight = pseudo_labels(teacher(new), self.confidence, per_picture=True)
            x, y, weight, _ = class_mix(batch.x, batch.y, new, y, weight, run.generator)
            loss = pixel_loss(student(batch.x), batch.y)
            return loss + self.weight * pixel_loss(student(x), y, weight)

        train(
            objective,
            name="classmix",
            nets={"student": student, "teacher": teacher},
            optimizers={"adam": torch.optim.Adam(student.parameters(), self.learning_rate)},
            batches=mask_batches(source, self.batch_size, crop=self.crop, total=self.steps),
            epochs=math.ceil(self.steps / 25),
            steps_per_epoch=min(25, self.steps),
            after_step=lambda run: follow(teacher, student, rising_momentum(self.teacher_momentum, run.step)),
        )
        self.network_ = teacher.requires_grad_(True).eval()
        return self
