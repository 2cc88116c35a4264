"""ConSE: the class vectors of the seen classes that a sample resembles, mixed by their probabilities."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, NonNegative, Positive
from unseen.nn.build import builder
from unseen.nn.logistic import fit_logistic
from unseen.nn.semantic import cosines
from unseen.nn.softmax import NEVER
from unseen.nn.unseen_classes import candidates, class_vectors


class ConSE(NetworkMethod):
    """Mix the vectors of the likeliest seen classes; the class whose vector is nearest to the mixture is predicted [1].

    Parameters
    ----------
    top : int
        How many seen classes are mixed, T.
    C : float, > 0
        Inverse strength of the L2 penalty of the classifier of seen classes.
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    handicap : float, >= 0
        Taken from the cosine of seen classes in GZSL (calibrated stacking).
    scale : float, > 0
        Multiplies the cosine before the softmax.

    References
    ----------
    [1] Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014, eq. 3 and 4.
    """

    card = Card(
        slug="conse",
        cost=3.0,
        title="Zero-Shot Learning by Convex Combination of Semantic Embeddings",
        venue="ICLR 2014",
        summary="Mix the vectors of the likeliest seen classes, take the nearest class.",
        unseen={"classes"},
        protocols={"zsl", "gzsl"},
        presets={"default": {}, "generalized": {"generalized": True, "handicap": 0.5}},
        baseline=True,
    )

    top: Count = 10
    C: Positive = 1.0
    generalized: bool = False
    handicap: NonNegative = 0.0
    scale: Positive = 20.0

    def fit(self, *, source: Domain, classes: ClassSpace) -> Self:
        """Train the classifier of seen classes; the vectors are taken as they are."""
        allowed = candidates(source, classes, self.generalized)
        vectors, ids = class_vectors(classes), np.arange(len(classes))
        classifier = fit_logistic(table(source), source.labels, len(classes), C=self.C)
        network = convex_combination(classifier, len(classes), vectors.shape[1], self.top, self.scale)
        bias = torch.where(torch.as_tensor(np.isin(ids, source.labels)), -self.handicap, 0.0)
        network.vectors, network.bias = vectors, bias
        network.allowed = torch.as_tensor(np.isin(ids, allowed))
        self.network_ = network
        return self


class ConvexCombination(nn.Module):
    """f(x) = sum of p_c s_c over the `top` likeliest classes, over the sum of these p; scores are its cosines."""

    vectors: Float[Tensor, "c t"]
    allowed: Bool[Tensor, " c"]
    bias: Float[Tensor, " c"]

    def __init__(self, classifier: nn.Module, n_classes: int, width: int, top: int, scale: float) -> None:
        super().__init__()
        self.classifier, self.top, self.scale = classifier, top, scale
        self.register_buffer("vectors", torch.zeros(n_classes, width))
        self.register_buffer("allowed", torch.ones(n_classes, dtype=torch.bool))
        self.register_buffer("bias", torch.zeros(n_classes))

    def embed(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n t"]:
        """The mixture of each sample."""
        p = torch.softmax(self.classifier(x), dim=1)
        p, likeliest = p.topk(min(self.top, p.shape[1]), dim=1)
        return (p[:, :, None] * self.vectors[likeliest]).sum(dim=1) / p.sum(dim=1, keepdim=True)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Scaled cosines; a class that is not in question scores `NEVER`."""
        scores = self.scale * (cosines(self.embed(x), self.vectors) + self.bias)
        return torch.where(self.allowed, scores, torch.full_like(scores, NEVER))


@builder("convex-combination")
def convex_combination(
    classifier: nn.Module, n_classes: int, width: int, top: int = 10, scale: float = 20.0
) -> ConvexCombination:
    """A `ConvexCombination` around a trained classifier, without vectors."""
    return ConvexCombination(classifier, n_classes, width, top, scale)
