"""CORAL: give the source the covariance of the target, then train."""

from typing import NamedTuple, Self

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
        source_scaler = Standardizer(source.n_features).measure(table(source))
        target_scaler = Standardizer(source.n_features).measure(table(target))
        x_s, x_t = source_scaler(table(source)), target_scaler(table(target))
        white, colour = covariance(x_s, self.ridge), covariance(x_t, self.ridge)
        looks_alike = colour.power(white.power(x_s, -0.5), 0.5)
        self.network_ = fit_logistic(looks_alike, source.labels, n_classes(source), C=self.C, standardize=False)
        self.source_network_ = recoloured(self.network_, source_scaler, white, colour)
        self.network_.backbone = target_scaler
        return self


class Covariance(NamedTuple):
    """A covariance plus `ridge` on the diagonal, by its principal directions: (d, r) with their variances, (r,).

    With fewer samples than features there are as many as samples; along all others there is `ridge` alone. So no d x d
    matrix is made, and a power costs what the data are large.
    """

    directions: Float[Tensor, "d r"]
    variances: Float[Tensor, " r"]
    ridge: float

    def power(self, x: Float[Tensor, "n d"], exponent: float) -> Float[Tensor, "n d"]:
        """Rows times a real power of the matrix."""
        rest = self.ridge**exponent
        along = (self.variances + self.ridge) ** exponent - rest
        return rest * x + (x @ self.directions) * along @ self.directions.T


def covariance(x: Float[Tensor, "n d"], ridge: float) -> Covariance:
    """Of the rows of `x`."""
    centred = (x - x.mean(dim=0)) / max(len(x) - 1, 1) ** 0.5
    if len(x) < x.shape[1]:
        _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
        return Covariance(directions.T, lengths.square(), ridge)
    variances, vectors = torch.linalg.eigh(centred.T @ centred)
    return Covariance(vectors, variances.clamp_min(0), ridge)


def recoloured(network: Classifier, scaler: Standardizer, white: Covariance, colour: Covariance) -> Classifier:
    """The network for source samples: their standardization, then the colours of the target, folded into the head."""
    weight, bias = network.get_parameter("head.weight"), network.get_parameter("head.bias")
    out = linear(weight.shape[1], weight.shape[0])
    out.backbone = scaler
    with torch.no_grad():
        out.get_parameter("head.weight").copy_(white.power(colour.power(weight, 0.5), -0.5))
        out.get_parameter("head.bias").copy_(bias)
    return out.eval()
