"""Linear probe: logistic regression on a handful of labels."""

from typing import Self

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import n_classes, table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Positive
from unseen.nn.logistic import fit_logistic


class LinearProbe(NetworkMethod):
    """Logistic regression on the few labelled samples of the target [1], features divided by moderated deviations [2].

    Parameters
    ----------
    C : float, > 0
        Inverse strength of the L2 penalty, as in scikit-learn.

    References
    ----------
    [1] Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, 3.2.
    [2] `unseen.nn.logistic.moderated_deviations`.
    """

    card = Card(
        slug="linear-probe",
        cost=0.3,
        title="Linear probe",
        venue="",
        summary="Logistic regression on the few labelled target samples.",
        unseen={"domains", "classes"},
        protocols={"closed", "partial"},
        baseline=True,
    )

    C: Positive = 0.1

    def fit(self, *, support: Domain) -> Self:
        """Fit on the labelled handful."""
        self.network_ = fit_logistic(
            table(support), support.labels, n_classes(support), C=self.C, standardize="moderated"
        )
        return self
