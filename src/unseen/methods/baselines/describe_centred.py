"""Zero-shot by description, with the score of each class centred over the pool."""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._names import name_head
from unseen.methods.baselines._network import table
from unseen.methods.baselines.prototypes import CosineHead
from unseen.methods.needs import SharedSpace
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Positive, Unit, Within
from unseen.nn.build import builder
from unseen.nn.mlls import mlls


class DescribeCentred(NetworkMethod):
    """Predict the class whose description lies nearer than it does on the mean over the target [1].

    Some names are near to every sample, as pictures of one style share much that no class has. What is taken from the
    score of class c is its mean over the unlabeled target,

        cos(x, t_c) - strength * mean_i cos(x_i, t_c) + log(share_c) / scale,

    which the fitted model keeps, so that it predicts one sample. Where classes are far from alike in number, the mean
    takes from frequent classes what is theirs: lower `strength`, or estimate the shares.

    Parameters
    ----------
    strength : float in [0, 1]
        0 is `describe`.
    shares : {"uniform", "estimated"}
        "estimated" takes the shares of the classes in the target from the scores, by the EM algorithm [2].
    bound : float, >= 1
        An estimated share is at most so many times the uniform one, and at least the uniform one over it.
    scale : float, > 0
        Multiplies the cosine before the softmax.

    References
    ----------
    [1] Allingham et al., "A Simple Zero-shot Prompt Weighting Technique to Improve Prompt Ensembling in Text-Image
        Models", ICML 2023, section 3.2: the expected score over test images is subtracted.
    [2] Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
        Neural Computation 2002, eq. 2.9.
    """

    card = Card(
        slug="describe-centred",
        cost=0.1,
        title="A Simple Zero-shot Prompt Weighting Technique",
        venue="ICML 2023",
        summary="Compare samples with names, less what each name has in common with all of the target.",
        unseen={"classes", "domains"},
        protocols={"closed", "partial", "zsl", "gzsl"},
        presets={"default": {}, "half": {"strength": 0.5}, "shares": {"shares": "estimated"}},
        left_out=("The weights of prompts: a class has one vector here, the mean of its prompts.",),
        baseline=True,
        needs=(SharedSpace(),),
    )

    strength: Unit = 1.0
    shares: Literal["uniform", "estimated"] = "uniform"
    bound: Annotated[float, Within(1)] = 4.0
    scale: Positive = 100.0

    def fit(self, *, classes: ClassSpace, target: Domain) -> Self:
        """Measure the mean score of each class over the target."""
        head = name_head(classes, 1.0)
        scores = head(table(target))
        offset = self.strength * scores.mean(dim=0)
        if self.shares == "estimated":
            p = torch.softmax(self.scale * (scores - offset), dim=1)
            offset = offset - estimated_shares(p, self.bound).log() / self.scale
        self.network_ = centred_head(head.weight.shape[1], len(classes), self.scale)
        self.network_.weight, self.network_.offset = head.weight, offset
        return self


def estimated_shares(p: Float[Tensor, "m c"], bound: float) -> Float[Tensor, " c"]:
    """Shares of the classes by the EM algorithm, within a factor `bound` of the uniform ones before they sum to 1."""
    n = p.shape[1]
    shares = torch.as_tensor(mlls(p.double().numpy(), np.full(n, 1 / n))).float().clamp(1 / (bound * n), bound / n)
    return shares / shares.sum()


class CentredHead(CosineHead):
    """A `CosineHead` that takes an offset from the cosine of each class."""

    offset: Tensor

    def __init__(self, n_features: int, n_classes: int, scale: float) -> None:
        super().__init__(n_features, n_classes, scale)
        self.register_buffer("offset", torch.zeros(n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return super().forward(x) - self.scale * self.offset


@builder("cosine-centred")
def centred_head(n_features: int, n_classes: int, scale: float) -> CentredHead:
    """A `CentredHead` without names and offsets."""
    return CentredHead(n_features, n_classes, scale)
