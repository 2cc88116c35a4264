"""FixMatch: sure predictions on weakly changed samples are the labels of strongly changed ones."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from unseen.data.augment import Augment, blurred_features, crop_and_flip, jittered_crop
from unseen.data.domain import Domain
from unseen.data.samplers import Both, both_batches, tensor
from unseen.methods.base import Card
from unseen.methods.baselines._network import n_classes
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.nn.student import student
from unseen.nn.train import Run, train

EPOCH = 50
"""Steps between two checkpoints."""


class FixMatch(NetworkMethod):
    """Semi-supervised learning by consistency and confidence [1].

    Pictures are changed weakly by a crop and a flip, strongly by a smaller crop, a flip and a change of colours.
    Features are changed weakly by normal noise, strongly by more noise and by putting some of them at their mean.

    Parameters
    ----------
    threshold : float in [0, 1]
        tau: a weakly changed sample counts if its largest probability is at least this.
    weight : float, >= 0
        lambda_u, of the loss on unlabeled samples; 0 is supervised training.
    weak_noise, strong_noise : float, >= 0
        In deviations of a feature over the data.
    strong_drop : float in [0, 1]
        Share of the features at their mean in the strong view.
    steps : int, >= 1
        Of SGD with Nesterov momentum .9 and the rate cos(7 pi k / 16 K).
    batch_size, ratio : int, >= 1
        Labelled samples of a batch, and how many times as many unlabeled ones stand beside them (mu).
    learning_rate : float, > 0
    weight_decay : float, >= 0
        Of SGD.
    width : int, >= 1
        Hidden features of a network that is made here.

    Attributes
    ----------
    network_ : Module
    history_ : dict
        Per 50 steps the mean loss, and the share of unlabeled samples that counted.

    References
    ----------
    [1] Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020.
    """

    card = Card(
        slug="fixmatch",
        cost=4.0,
        title="FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
        venue="NeurIPS 2020",
        official_code="google-research/fixmatch",
        summary="Learn few labels and many unlabeled samples by pseudo-labels that must survive strong changes.",
        unseen={"domains"},
        modalities={"features", "image"},
        protocols={"closed"},
        smoke={"steps": 4, "batch_size": 8, "ratio": 2, "width": 8},
        baseline=True,
        left_out=(
            "RandAugment, CTAugment and Cutout: the strong view of pictures is a crop, a flip and a change of colours.",
            "The moving average of the weights that the authors evaluate.",
        ),
        notes=(
            "Cached features cannot be cropped or recoloured: their views are noise and dropout, which is weaker.",
            "tau is .95 and mu 7 in the paper; mu is 3 here, for small data.",
        ),
    )

    threshold: Unit = 0.95
    weight: NonNegative = 1.0
    weak_noise: NonNegative = 0.1
    strong_noise: NonNegative = 0.2
    strong_drop: Unit = 0.1
    steps: Count = 400
    batch_size: Annotated[int, Within(2)] = 32
    ratio: Count = 3
    learning_rate: Positive = 0.1
    weight_decay: NonNegative = 5e-4
    width: Count = 64

    def fit(self, *, support: Domain, target: Domain, model: nn.Module | None = None) -> Self:
        """Learn the classes of `support` with unlabeled samples of the same domain; the head of a `model` is new."""
        network = student(model, support, target, n_classes(support), self.width).train()
        weak, strong = self._views(support, target)

        def objective(batch: Both, run: Run) -> Tensor:
            labeled, new = batch.labeled, batch.unlabeled.x
            assert labeled.y is not None
            views = [weak(labeled.x, run.generator), weak(new, run.generator), strong(new, run.generator)]
            logits = network(torch.cat(views)).split([len(view) for view in views])
            unlabeled, share = consistency(logits[1], logits[2], self.threshold)
            run.log(counted=share)
            return F.cross_entropy(logits[0], labeled.y) + self.weight * unlabeled

        optimizer = torch.optim.SGD(
            network.parameters(), self.learning_rate, momentum=0.9, weight_decay=self.weight_decay, nesterov=True
        )
        decay = LambdaLR(optimizer, lambda step: math.cos(7 * math.pi * step / (16 * self.steps)))
        run = train(
            objective,
            name="fixmatch",
            nets={"network": network},
            optimizers={"sgd": optimizer},
            schedulers={"cosine": decay},
            batches=both_batches(support, target, self.batch_size, self.ratio, self.steps, EPOCH),
            epochs=math.ceil(self.steps / EPOCH),
            steps_per_epoch=min(EPOCH, self.steps),
        )
        self.history_: Mapping[str, Any] = {key: [row[key] for row in run.history] for key in run.history[0]}
        self.network_ = network.eval()
        return self

    def _views(self, support: Domain, target: Domain) -> tuple[Augment, Augment]:
        """How samples are changed weakly, and strongly."""
        if support.kind == "image":
            return crop_and_flip, jittered_crop
        std, mean = torch.std_mean(torch.cat([tensor(support), tensor(target)]), dim=0, unbiased=False)
        return (
            blurred_features(std, self.weak_noise, 0.0, mean),
            blurred_features(std, self.strong_noise, self.strong_drop, mean),
        )


def consistency(
    weak: Float[Tensor, "b c"], strong: Float[Tensor, "b c"], threshold: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The mean over all samples of [max p >= tau] CE(argmax p, strong), p of the weak view; and the share that count.

    Nothing goes backward through the weak view.
    """
    confidence, labels = torch.softmax(weak.detach(), dim=1).max(dim=1)
    counts = (confidence >= threshold).float()
    losses = F.cross_entropy(strong, labels, reduction="none")
    return (counts * losses).mean(), counts.mean()
