"""Centre: a method of another package; `pip install ./examples/unseen-centre`, and `unseen methods` lists it."""

from typing import Self

import torch
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.base import Card, Method
from unseen.nn.logistic import fit_logistic


class Centre(Method):
    """Move the mean of the target onto that of the source, then predict as on the source."""

    card = Card(
        slug="centre",
        title="Centre",
        venue="",
        summary="Move the mean of the target onto that of the source.",
        unseen={"domains"},
        protocols={"closed", "partial", "open", "open-partial"},
        cost=0.5,
    )

    def fit(self, *, source: Domain, target: Domain) -> Self:
        """Learn a classifier of the source and the way from the target to it."""
        n_classes = len(source.classes) if source.classes is not None else int(source.labels.max()) + 1
        x = torch.as_tensor(source.x).float()
        self.network_ = fit_logistic(x, source.labels, n_classes)
        self.shift_ = x.mean(dim=0) - torch.as_tensor(target.x).float().mean(dim=0)
        return self

    def decision_function(self, x: Tensor) -> Tensor:
        """Scores of target samples, (n, c)."""
        return self.network_(x + self.shift_)

    def source_decision_function(self, x: Tensor) -> Tensor:
        """Scores of source samples, (n, c)."""
        return self.network_(x)
