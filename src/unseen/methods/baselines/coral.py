"""CORAL: give the source the covariance of the target, then train."""

from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import PerDomainMethod, n_classes, table
from unseen.methods.parameters import Positive
from unseen.nn.classifier import Classifier, Standardizer, linear
from unseen.nn.logistic import fit_logistic


class CORAL(PerDomainMethod):
    """Whiten the standardized source, colour it as the target, train logistic regression on it [1].

    Parameters
    ----------
    C : float, > 0
        Inverse strength of the L2 penalty, as in scikit-learn.
    ridge : float, > 0
        What is added to the diagonal of both covariances; 1 in the paper.

    References
    ----------
    [1] Sun, Feng, Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016, algorithm 1.
    """

    card = Card(
        slug="coral",
        cost=1.0,
        title="Return of Frustratingly Easy Domain Adaptation",
        venue="AAAI 2016",
        summary="Give the source the covariance of the target, then train on it.",
        unseen={"domains"},
        protocols={"closed", "partial", "open", "open-partial"},
        presets={"default": {}, "views": {}},
        two_views={"views"},
        baseline=True,
    )

    C: Positive = 1.0
    ridge: Positive = 1.0

    def fit(self, *, source: Domain, target: Domain) -> Self:
        """Fit on the recoloured source."""
        own = Standardizer(source.n_features).measure(table(source))
        theirs = Standardizer(source.n_features).measure(table(target))
        x_s, x_t = own(table(source)), theirs(table(target))
        recolour = power(covariance(x_s, self.ridge), -0.5) @ power(covariance(x_t, self.ridge), 0.5)
        self.network_ = fit_logistic(x_s @ recolour, source.labels, n_classes(source), C=self.C, standardize=False)
        self.source_network_ = recoloured(self.network_, own, recolour)
        self.network_.backbone = theirs
        return self


def recoloured(network: Classifier, own: Standardizer, recolour: Float[Tensor, "d d"]) -> Classifier:
    """The network for source samples: their standardization, then the colours of the target, folded into the head."""
    weight, bias = network.get_parameter("head.weight"), network.get_parameter("head.bias")
    out = linear(weight.shape[1], weight.shape[0])
    out.backbone = own
    with torch.no_grad():
        out.get_parameter("head.weight").copy_(weight @ recolour.T)
        out.get_parameter("head.bias").copy_(bias)
    return out.eval()


def covariance(x: Float[Tensor, "n d"], ridge: float) -> Float[Tensor, "d d"]:
    """Covariance plus `ridge` on the diagonal."""
    centred = x - x.mean(dim=0)
    return centred.T @ centred / max(len(x) - 1, 1) + ridge * torch.eye(x.shape[1])


def power(matrix: Float[Tensor, "d d"], exponent: float) -> Float[Tensor, "d d"]:
    """A real power of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12) ** exponent) @ vectors.T
