"""OT: carry each source sample to the target samples that it is transported to, then train on it there."""

import copy
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._network import PerDomainMethod, n_classes, table
from unseen.methods.parameters import Positive, Within
from unseen.nn.classifier import Standardizer
from unseen.nn.logistic import fit_logistic
from unseen.nn.transport import sinkhorn


class OT(PerDomainMethod):
    """Optimal transport of the standardized source onto the standardized target, by cosine distance [1].

    Where the target holds about the same things in another style, each source sample finds its counterparts. Every
    target sample is explained, but a source sample may weigh more or less than others [2]: what the target does
    not hold need not be carried to other classes. A sample then weighs in training what of it was transported, so that
    the classes have the shares that the target seems to give them.

    Parameters
    ----------
    regularization : float, > 0
        Of the transport, in cosine distance: the smaller, the fewer target samples each source sample goes to.
    relaxation : float, > 0
        How dear it is, in cosine distance, that source samples weigh unequally. The larger, the more classes are taken
        to have equal shares in both domains; 1,000 is as good as [1].
    weighted : bool
        Whether samples weigh in training what was transported of them, or all the same.
    C : float, > 0
        Weight of the mean loss of the logistic regression against its L2 penalty.
    most : int, >= 2
        Samples of each domain, drawn at random, between which the plan is made.

    References
    ----------
    [1] Courty, Flamary, Tuia, Rakotomamonjy, "Optimal Transport for Domain Adaptation", TPAMI 2017, section 4: the
        barycentric map, here between domains that are each standardized by themselves.
    [2] Chizat, Peyre, Schmitzer, Vialard, "Scaling Algorithms for Unbalanced Optimal Transport Problems", Mathematics
        of Computation 2018.
    """

    card = Card(
        slug="ot",
        cost=2.0,
        title="Optimal Transport for Domain Adaptation",
        venue="TPAMI 2017",
        summary="Carry the source onto the target by optimal transport, then train on it.",
        unseen={"domains"},
        protocols={"closed", "partial"},
        smoke={"most": 50},
        presets={"default": {}, "views": {}, "equal": {"weighted": False}},
        two_views={"views"},
        on_request={"equal"},
        baseline=True,
    )

    regularization: Positive = 0.02
    relaxation: Positive = 0.1
    weighted: bool = True
    C: Positive = 3.0
    most: Annotated[int, Within(2)] = 4000

    def fit(self, *, source: Domain, target: Domain) -> Self:
        """Fit on the transported source; the network then standardizes by the target."""
        source_scaler = Standardizer(source.n_features).measure(table(source))
        target_scaler = Standardizer(source.n_features).measure(table(target))
        drawn = [_drawn(domain, self.most) for domain in (source, target)]
        x_s, x_t = source_scaler(table(source)[drawn[0]]), target_scaler(table(target)[drawn[1]])
        cost = 1 - F.normalize(x_s, dim=1) @ F.normalize(x_t, dim=1).T
        plan = sinkhorn(cost, self.regularization, relaxation=self.relaxation)
        mass = plan.sum(dim=1)
        carried = plan / mass[:, None].clamp_min(1e-30) @ x_t
        y = source.labels[drawn[0].numpy()]
        weights = mass * len(y) if self.weighted else None
        self.network_ = fit_logistic(
            carried, y, n_classes(source), C=self.C / len(y), standardize=False, weights=weights
        )
        self.source_network_ = copy.deepcopy(self.network_)
        self.network_.backbone, self.source_network_.backbone = target_scaler, source_scaler
        return self


def _drawn(domain: Domain, most: int) -> Tensor:
    """Positions of at most `most` samples, in order."""
    n = len(domain)
    return torch.arange(n) if n <= most else torch.randperm(n)[:most].sort().values
