"""The curriculum: its batches and views, its loss, its two schedules, and what names classes at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from unseen.data.clip_augment import flip, jitter, resized_crop
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import Batch, endless
from unseen.data.segments import clip_batches, in_a_row
from unseen.nn.classifier import Classifier, linear
from unseen.nn.logistic import fit_logistic
from unseen.nn.video_mae import VideoEncoder

Views = Literal["strong-weak", "weak-weak", "none"]
LamSchedule = Literal["constant", "arctan", "zero"]
SMALLEST = 0.2
"""Of the entropy of what the teacher says on the mean, as a share of ln K: below it has collapsed."""
NEVER = -1e30
"""The bias of a class without a sample: squared distances may be large."""


# -- schedules ---------------------------------------------------------------------------------------------


def lam(progress: float, schedule: LamSchedule) -> float:
    """Weight of the consistency when the share `progress` of all epochs is done: .05 atan(10 (p - .05)) / (pi/2) + .05,
    or 1, as the released code has it, or 0."""
    if schedule == "arctan":
        return 0.05 * math.atan(10 * (progress - 0.05)) / (math.pi / 2) + 0.05
    return 1.0 if schedule == "constant" else 0.0


def head_share(progress: float) -> float:
    """Share of its rate that the classifier has left: (atan(-100 (p - .05)) / (pi/2) + 1) / 2, from .94 to .003."""
    return (math.atan(-100 * (progress - 0.05)) / (math.pi / 2) + 1) / 2


def head_decay(optimizer: Optimizer, epochs: int, steps_per_epoch: int, on: bool) -> LambdaLR:
    """The encoder's group keeps its rate; that of the classifier, the second, decays from epoch to epoch if `on`."""

    def head(step: int) -> float:
        return head_share(step // steps_per_epoch / epochs) if on else 1.0

    return LambdaLR(optimizer, [lambda step: 1.0, head])


# -- the network -------------------------------------------------------------------------------------------


class Student(nn.Module):
    """An encoder and a line to the classes of the source."""

    def __init__(self, encoder: VideoEncoder, classes: int) -> None:
        super().__init__()
        self.encoder, self.classifier = encoder, nn.Linear(encoder.width, classes)

    def forward(self, clips: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b k"]:
        """Logits of the source's classes."""
        return self.classifier(self.encoder(clips))


def rates(student: Student, encoder: float, head: float) -> list[dict[str, Any]]:
    """Two groups of an optimizer: the encoder's parameters, and those of the classifier alone."""
    return [
        {"params": list(student.encoder.parameters()), "lr": encoder},
        {"params": list(student.classifier.parameters()), "lr": head},
    ]


def soft_labels(teacher: Float[Tensor, "b k"], tau: float) -> Float[Tensor, "b k"]:
    """q = softmax(teacher / tau), without a gradient: a target clip in terms of the source's classes."""
    return torch.softmax(teacher.detach() / tau, dim=1)


def consistency(student: Float[Tensor, "b k"], q: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """L_con = - mean over clips of sum_k q_k log softmax(student)_k."""
    return -(q * torch.log_softmax(student, dim=1)).sum(dim=1).mean()


# -- batches and views -------------------------------------------------------------------------------------


class Both(NamedTuple):
    """Labelled clips of the source beside clips of the target; None where no consistency is asked for."""

    source: Batch
    target: Tensor | None


def clip_windows(domain: Domain, size: int, frames: int) -> Callable[[Any], Iterator[Batch]]:
    """What `nn.train.train` reads: shuffled batches of `frames` frames in a row, from a random start in each clip."""
    return lambda run: clip_batches(in_a_row(domain, frames, run.generator), size)(run)


def both_windows(source: Domain, target: Domain | None, size: int, frames: int) -> Callable[[Any], Iterator[Both]]:
    """One pass over the source, beside it the target over and over."""
    first = clip_windows(source, size, frames)
    if target is None:
        return lambda run: (Both(batch, None) for batch in first(run))
    other = clip_windows(target, size, frames)
    return lambda run: (Both(*pair) for pair in zip(first(run), (batch.x for batch in endless(other, run))))


def together(*domains: Domain) -> Domain:
    """The clips of several domains without their labels, each read when its turn comes."""
    places = [(which, i) for which, domain in enumerate(domains) for i in range(len(domain))]
    return Domain(x=Lazy(places, lambda place: domains[place[0]].x[place[1]]), kind="clip", name="clips")


def view(
    x: Float[Tensor, "b t c h w"],
    generator: torch.Generator,
    *,
    strong: bool,
    mirrored: float,
    scale: tuple[float, float],
) -> Float[Tensor, "b t c h w"]:
    """A random view, the same change in all frames of a clip: a crop, perhaps mirrored; if strong, in other colours."""
    x = flip(resized_crop(x, generator, scale), generator, mirrored)
    return jitter(x, generator, strength=0.4, grey=0.2, share=0.8, hue=0.1) if strong else x


# -- what names classes from a handful ---------------------------------------------------------------------


def regression(x: Float[Tensor, "n d"], y: Int[np.ndarray, " n"], n_classes: int, C: float) -> Classifier:
    """Multinomial logistic regression on features as they are: newton-cg, penalty L2, at most 1,000 iterations."""
    return fit_logistic(x, y, n_classes, C=C, max_iter=1000, standardize=False, solver="newton-cg")


def nearest_mean(x: Float[Tensor, "n d"], y: Int[np.ndarray, " n"], n_classes: int) -> Classifier:
    """Minus half the squared distance to the mean of each class, as a line: <x, m> - |m|^2 / 2."""
    network, labels = linear(x.shape[1], n_classes), torch.as_tensor(y)
    head = network.head
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(NEVER)
        for k in torch.unique(labels).tolist():
            mean = x[labels == k].mean(dim=0)
            head.weight[k], head.bias[k] = mean, -mean.square().sum() / 2
    return network.eval()


def entropy_share(q: Sequence[Tensor]) -> float:
    """Entropy of the mean of what the teacher said, as a share of ln K: 0 where all is one class."""
    mean = torch.stack([part.mean(dim=0) for part in q]).mean(dim=0)
    return float(torch.special.entr(mean).sum() / math.log(max(len(mean), 2)))
