"""Source only: what a model does on the target when nothing is done about the shift."""

import copy
from typing import Self, overload

import torch
from torch import nn

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import n_classes, table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Positive
from unseen.nn.logistic import fit_logistic


class SourceOnly(NetworkMethod):
    """Logistic regression on the source, or a model that was trained on it, used on the target as it is.

    The floor that every method must beat.

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

    @overload
    def fit(self, *, source: Domain, model: nn.Module | None = None) -> Self: ...
    @overload
    def fit(self, *, model: nn.Module) -> Self: ...
    def fit(self, *, source: Domain | None = None, model: nn.Module | None = None) -> Self:
        """Fit on labelled features, or take a trained model as it is, if it scores all classes."""
        if model is not None and (source is None or _outputs(model, source) == n_classes(source)):
            self.network_ = copy.deepcopy(model).eval()
            return self
        assert source is not None
        self.network_ = fit_logistic(table(source), source.labels, n_classes(source), C=self.C)
        return self


def _outputs(model: nn.Module, source: Domain) -> int:
    """How many classes a model scores."""
    with torch.no_grad():
        return int(copy.deepcopy(model).eval()(table(source)[:1]).shape[1])
