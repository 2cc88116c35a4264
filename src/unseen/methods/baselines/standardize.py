"""Per-domain standardization: the cheapest adaptation that works."""

import copy
from typing import Self

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import PerDomainMethod, n_classes, table
from unseen.methods.parameters import Positive
from unseen.nn.classifier import Standardizer
from unseen.nn.logistic import fit_logistic


class Standardize(PerDomainMethod):
    """Logistic regression on features that each domain standardizes with its own mean and deviation [1].

    Parameters
    ----------
    C : float, > 0
        Inverse strength of the L2 penalty, as in scikit-learn.

    References
    ----------
    [1] Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation", 2016 (AdaBN), on cached features.
    """

    card = Card(
        slug="standardize",
        cost=0.3,
        title="Revisiting Batch Normalization for Practical Domain Adaptation",
        venue="ICLR Workshop 2017",
        summary="Give each domain its own mean and deviation, then train on the source.",
        unseen={"domains"},
        protocols={"closed", "partial", "open", "open-partial"},
        presets={"default": {}, "views": {}},
        two_views={"views"},
        baseline=True,
    )

    C: Positive = 1.0

    def fit(self, *, source: Domain, target: Domain) -> Self:
        """Fit on the standardized source; the network then standardizes by the target."""
        self.source_network_ = fit_logistic(table(source), source.labels, n_classes(source), C=self.C)
        self.network_ = copy.deepcopy(self.source_network_)
        self.network_.backbone = Standardizer(target.n_features).measure(table(target))
        return self
