"""FDA: train a segmentation network on labelled pictures whose slowest waves have the amplitudes of the target's."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.pixels import mask_batches, pictures
from unseen.data.samplers import Batch
from unseen.methods.base import Card
from unseen.methods.needs import PixelClasses
from unseen.methods.parameters import Count, NonNegative, Positive, Within
from unseen.methods.segmenting import SegmentingMethod, check_crop, checked_model
from unseen.nn.pixel_mix import random_crops
from unseen.nn.segmenters import pixel_loss
from unseen.nn.style import match_statistics
from unseen.nn.train import Run, train


class FDA(SegmentingMethod):
    """Fourier domain adaptation: labelled pictures in the look of the target, and sure pixels of the target [1].

    Parameters
    ----------
    space : {"fourier", "lab", "rgb"}
        Whose statistics are taken over: amplitudes of the slowest waves, or mean and deviation of the channels in a
        colour space.
    window : float in [0, .5]
        Waves that are exchanged, as a share of the shorter side (beta).
    entropy_weight : float, >= 0
        Weight of the robust entropy of target pixels, (H^2 + .001^2)^eta with eta 2.
    steps : int
        Of training, each on a batch of labelled pictures.
    batch_size : int
    learning_rate : float, > 0
        Of Adam.
    crop : int, optional
        Side of random squares of the source; whole pictures, all of one size, if absent.

    References
    ----------
    [1] Yang, Soatto, "FDA: Fourier Domain Adaptation for Semantic Segmentation", CVPR 2020, eq. 3-6.
    """

    card = Card(
        slug="fda",
        title="FDA: Fourier Domain Adaptation for Semantic Segmentation",
        venue="CVPR 2020",
        official_code="YanchaoYang/FDA",
        summary="Train a segmentation network further on labelled pictures in the look of the target.",
        unseen={"domains"},
        modalities={"image"},
        protocols=set(),
        task="mask",
        presets={"default": {}, "colours": {"space": "lab"}},
        smoke={"steps": 3, "batch_size": 4},
        needs=(PixelClasses(),),
        baseline=True,
        left_out=("Networks for several windows whose mean gives pseudo-labels (multi-band transfer).",),
        cost=30.0,
    )

    space: Literal["fourier", "lab", "rgb"] = "fourier"
    window: Annotated[float, Within(0, 0.5)] = 0.01
    entropy_weight: NonNegative = 0.005
    steps: Count = 200
    batch_size: Annotated[int, Within(2)] = 8
    learning_rate: Positive = 5e-4
    crop: Annotated[int, Within(8)] | None = None

    def fit(self, *, source: Domain, target: Domain, model: nn.Module) -> Self:
        """Train a copy of `model` further on the labelled source in the look of the unlabeled target."""
        network = checked_model(model, source).train()
        check_crop(source, self.crop)
        shots = pictures(target)

        def objective(batch: Batch, run: Run) -> Tensor:
            assert batch.y is not None
            which = int(torch.randint(len(shots), (1,), generator=run.generator))
            x = match_statistics(batch.x, shots[which].to(batch.x), self.space, window=self.window)
            loss = pixel_loss(network(x), batch.y)
            if not self.entropy_weight:
                return loss
            size = (int(x.shape[-2]), int(x.shape[-1]))
            new = random_crops([shot.to(x) for shot in shots], len(x), size, run.generator)
            return loss + self.entropy_weight * robust_entropy(network(new))

        train(
            objective,
            name="fda",
            nets={"network": network},
            optimizers={"adam": torch.optim.Adam(network.parameters(), self.learning_rate)},
            batches=mask_batches(source, self.batch_size, crop=self.crop, total=self.steps),
            epochs=math.ceil(self.steps / 25),
            steps_per_epoch=min(25, self.steps),
        )
        self.network_ = network.eval()
        return self


def robust_entropy(logits: Tensor, eta: float = 2.0) -> Tensor:
    """The mean over pixels of (H^2 + .001^2)^eta, H in shares of log C: sure pixels count little (eq. 5)."""
    log_p = torch.log_softmax(logits, dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1) / math.log(max(logits.shape[1], 2))
    return ((entropy**2 + 1e-6) ** eta).mean()
