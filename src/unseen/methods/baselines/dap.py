"""DAP: a classifier per binary attribute; the class whose attributes are likeliest."""

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import NonNegative, Positive
from unseen.nn.build import builder
from unseen.nn.classifier import Standardizer
from unseen.nn.softmax import NEVER
from unseen.nn.unseen_classes import candidates, described


class DAP(NetworkMethod):
    """Predict each binary attribute by itself; the class whose attributes are likeliest together is the class [1].

    Attributes that are not 0 or 1 (embeddings, too) are cut at their mean over the classes. One that all seen classes
    have, or none, cannot be learnt and is left out.

    Parameters
    ----------
    C : float, > 0
        Inverse strength of the L2 penalty of the logistic regressions.
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    handicap : float, >= 0
        Taken from the score of seen classes in GZSL, in nats per attribute (calibrated stacking).

    Attributes
    ----------
    attributes_ : array (m,)
        Columns of the attributes that were learnt.

    References
    ----------
    [1] Lampert, Nickisch, Harmeling, "Attribute-Based Classification for Zero-Shot Visual Object Categorization",
        TPAMI 2014, eq. 3; logistic regressions in the place of calibrated support vector machines.
    """

    card = Card(
        slug="dap",
        cost=3.0,
        title="Attribute-Based Classification for Zero-Shot Visual Object Categorization",
        venue="TPAMI 2014",
        summary="Predict each attribute by itself, take the class whose attributes are likeliest.",
        unseen={"classes"},
        protocols={"zsl", "gzsl"},
        presets={"default": {}, "generalized": {"generalized": True, "handicap": 0.1}},
        notes=("Attributes are predicted by logistic regression; the paper calibrates support vector machines.",),
        baseline=True,
    )

    C: Positive = 0.01
    generalized: bool = False
    handicap: NonNegative = 0.0

    def fit(self, *, source: Domain, classes: ClassSpace) -> Self:
        """Learn the attributes from samples of seen classes."""
        asked, ids = candidates(source, classes, self.generalized), np.arange(len(classes))
        present = np.unique(source.labels)
        has = binary(described(classes))
        learnt = torch.nonzero(has[present].any(dim=0) & ~has[present].all(dim=0)).flatten()
        if len(learnt) == 0:
            raise ValueError("classes must differ in an attribute: every one is the same for all classes of the source")
        has = has[:, learnt]
        network = attribute_network(source.n_features, len(learnt), len(classes))
        x = network.scaler.measure(table(source))(table(source))
        network.weight, network.intercept = logistic_regressions(x, has[source.labels], self.C)
        network.set_classes(has, has[present].float().mean(dim=0))
        seen = torch.as_tensor(np.isin(ids, present))
        network.bias = torch.where(seen, -self.handicap * len(learnt), 0.0)
        network.allowed = torch.as_tensor(np.isin(ids, asked))
        self.attributes_, self.network_ = learnt.numpy(), network
        return self


def binary(attributes: Float[Tensor, "c m"]) -> Bool[Tensor, "c m"]:
    """Attributes that are above their mean over the classes; 0 and 1 stay what they are."""
    return attributes > attributes.mean(dim=0)


def logistic_regressions(
    x: Float[Tensor, "n d"], y: Bool[Tensor, "n m"], C: float
) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
    """Weights and intercepts of m logistic regressions, fitted together.

    Each minimizes ``||w||^2 / 2 + C sum_i log(1 + exp(-(2 y_i - 1) (w x_i + b)))``, as scikit-learn's.
    """
    from scipy.optimize import minimize

    (_, d), m = x.shape, y.shape[1]
    rows = np.c_[x.double().numpy(), np.ones(len(x))]
    truth = y.double().numpy()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(m, d + 1)
        logits = rows @ w.T
        penalized = np.c_[w[:, :d], np.zeros(m)]
        value = 0.5 * (penalized**2).sum() + C * (np.logaddexp(0, logits) - truth * logits).sum()
        return value, (penalized + C * (1 / (1 + np.exp(-logits)) - truth).T @ rows).ravel()

    result = minimize(loss, np.zeros(m * (d + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    w = torch.as_tensor(result.x.reshape(m, d + 1)).float()
    return w[:, :d].contiguous(), w[:, d].contiguous()


class AttributeNetwork(nn.Module):
    """sum_m log p(a_m^c | x) - log p(a_m^c) for every class c, with the a_m predicted by logistic regressions."""

    weight: Tensor
    intercept: Tensor
    signs: Tensor
    offset: Tensor
    bias: Tensor
    allowed: Tensor

    def __init__(self, n_features: int, n_attributes: int, n_classes: int) -> None:
        super().__init__()
        self.scaler = Standardizer(n_features)
        self.register_buffer("weight", torch.zeros(n_attributes, n_features))
        self.register_buffer("intercept", torch.zeros(n_attributes))
        self.register_buffer("signs", torch.zeros(n_classes, n_attributes))
        self.register_buffer("offset", torch.zeros(n_classes))
        self.register_buffer("bias", torch.zeros(n_classes))
        self.register_buffer("allowed", torch.ones(n_classes, dtype=torch.bool))

    def set_classes(self, has: Bool[Tensor, "c m"], prior: Float[Tensor, " m"]) -> None:
        """Take the attributes of the classes, and how often each occurs in the seen ones, in (0, 1)."""
        self.signs = has.float()
        self.offset = (has * prior.log() + ~has * (1 - prior).log()).sum(dim=1)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Log-odds of every class against chance; one that is not in question scores `NEVER`."""
        logits = self.scaler(x) @ self.weight.T + self.intercept
        yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
        scores = yes @ self.signs.T + no @ (1 - self.signs).T - self.offset + self.bias
        return torch.where(self.allowed, scores, torch.full_like(scores, NEVER))


@builder("attributes")
def attribute_network(n_features: int, n_attributes: int, n_classes: int) -> AttributeNetwork:
    """An `AttributeNetwork` that has learnt nothing yet."""
    return AttributeNetwork(n_features, n_attributes, n_classes)
