"""Source only: what a model does on the target when nothing is done about the shift."""

from typing import Self

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import n_classes, table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Positive
from unseen.nn.logistic import fit_logistic


class SourceOnly(NetworkMethod):
    """Logistic regression on the source, used on the target as it is: the floor that every method must beat.

    Parameters
    ----------
    C : float, > 0
        Inverse strength of the L2 penalty, as in scikit-learn.
    """

    card = Card(
        slug="source-only",
        cost=0.5,
        title="Source only",
        venue="",
        summary="Train on the source, predict the target, adapt nothing.",
        protocols={"closed", "partial", "open", "open-partial"},
        baseline=True,
    )

    C: Positive = 1.0

    def fit(self, *, source: Domain) -> Self:
        """Fit on labelled features."""
        self.network_ = fit_logistic(table(source), source.labels, n_classes(source), C=self.C)
        return self
