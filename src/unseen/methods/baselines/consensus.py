"""Consensus: one classifier that says what unlike models agree on."""

import copy
from typing import Annotated, Self, overload

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.methods.base import Card
from unseen.methods.baselines._names import moved, name_head
from unseen.methods.baselines._network import PerDomainMethod, n_classes, table
from unseen.methods.baselines.propagate import spread
from unseen.methods.parameters import Count, Positive, Unit, Within
from unseen.nn.classifier import Classifier, Standardizer
from unseen.nn.logistic import fit_logistic, tuned_penalty

Labelled = tuple[Tensor, IntArray]

OPINIONS = "opinions"
"""The column of the target with what other models think of each sample: probabilities, (m, n_classes)."""

MOST = 2000
"""Samples of the target that few labels spread over and are learnt from, evenly from its order, which content gives:
the fit is made once more without each label that grades it."""


class Consensus(PerDomainMethod):
    """Logistic regression on the source, and on the target with the labels that other models agree on [1].

    It is a choice that need not be made: the mean of unlike models is rarely far below the best of them, and needs no
    label to be found. Both domains are standardized by themselves, and weigh alike. Labels of the support weigh as much
    as either; with them, three learners that read them are heard as often as all others together: logistic regression
    on source and support, on the support alone, and labels of both spread over the neighbours of all samples.

    Where labels of the support are all that there is, none of the others can run. Then the target has the labels of the
    mean of two logistic regressions on the support and of its labels spread over the neighbours of all samples. One
    regression has features divided by moderated deviations; the other, which counts twice, has them as they are, with a
    penalty by cross-validation.

    Where classes have names and no sample has a label, each class lies half way between its name and the mean of the
    target's samples that the others agree to be of it, and the nearest by cosine is predicted.

    Parameters
    ----------
    C : float, > 0
        Inverse strength of the L2 penalty, as in scikit-learn.
    neighbours : int, >= 1
        Of each sample in the graph that labels spread over.
    alpha : float in [0, 1)
        How much a sample of the graph listens to its neighbours.
    anchor : float in [0, 1]
        Where a class without labelled samples lies between the mean of its samples, 0, and its name, 1.
    scale : float, > 0
        Multiplies the cosine with a class before the softmax, where classes lie between names and samples.

    References
    ----------
    [1] Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 5 (ensembles), with hard
        labels.
    """

    card = Card(
        slug="consensus",
        cost=0.5,
        title="Distilling the Knowledge in a Neural Network",
        venue="NeurIPS Workshop 2014",
        summary="Learn what unlike methods say together, by one model.",
        unseen={"domains"},
        protocols={"closed", "partial"},
        presets={"default": {}, "views": {}},
        two_views={"views"},
        target_columns=(OPINIONS,),
        smoke={},
        baseline=True,
        composed=True,
    )

    C: Positive = 0.1
    neighbours: Count = 10
    alpha: Annotated[float, Within(0, 1, open_high=True)] = 0.95

    anchor: Unit = 0.5
    scale: Positive = 100.0

    @overload
    def fit(self, *, source: Domain, target: Domain) -> Self: ...
    @overload
    def fit(self, *, support: Domain, target: Domain, source: Domain | None = None) -> Self: ...
    @overload
    def fit(self, *, classes: ClassSpace, target: Domain) -> Self: ...
    def fit(
        self,
        *,
        target: Domain,
        source: Domain | None = None,
        support: Domain | None = None,
        classes: ClassSpace | None = None,
    ) -> Self:
        """Fit on both domains, or on the target and a few labels, or on the target and names.

        Parameters
        ----------
        target : Domain
            With the column `opinions`, unless a support is all that has labels: probabilities of the seen classes,
            (m, n), of other models or their mean.

        Raises
        ------
        ValueError
            If the target lacks the column, or it is of another shape.
        """
        if source is None and support is not None:
            return self._of_few(support, target)
        if source is None:
            assert classes is not None
            return self._between(classes, target)
        n = n_classes(source)
        opinions = probabilities(target, n)
        source_scaler = Standardizer(source.n_features).measure(table(source))
        target_scaler = Standardizer(source.n_features).measure(table(target))
        x_t, known = target_scaler(table(target)), [(source_scaler(table(source)), source.labels)]
        if support is not None:
            known.append((target_scaler(table(support)), support.labels))
            opinions = self._informed(opinions, x_t, known, n)
        self.network_ = self._learnt([*known, (x_t, opinions.argmax(dim=1).numpy())], n)
        self.source_network_ = copy.deepcopy(self.network_)
        self.network_.backbone, self.source_network_.backbone = target_scaler, source_scaler
        return self

    def _of_few(self, support: Domain, target: Domain) -> Self:
        """What two logistic regressions on a few labels and these labels' neighbours say together, by one model."""
        n, x, y, ask = n_classes(support), table(support), support.labels, table(target)
        if len(ask) > MOST:
            ask = ask[np.linspace(0, len(ask) - 1, MOST).astype(np.int64)]
        both = torch.cat([x, ask])
        middle, scaler = both.mean(dim=0), Standardizer(support.n_features).measure(both)
        penalty = tuned_penalty(x - middle, y)
        probes = [
            (fit_logistic(x, y, n, C=self.C, standardize="moderated"), ask),
            (fit_logistic(x - middle, y, n, C=penalty, standardize=False), ask - middle),
        ]
        with torch.no_grad():
            opinions = [torch.softmax(probe(samples), dim=1) for probe, samples in probes]
        opinions += [opinions[1], spread([(x - middle, y)], ask - middle, n, self.neighbours, self.alpha)]
        agreed = torch.stack(opinions).mean(dim=0).argmax(dim=1).numpy()
        self.network_ = self._learnt([(scaler(ask), agreed), (scaler(x), y)], n)
        self.source_network_ = copy.deepcopy(self.network_)
        self.network_.backbone, self.source_network_.backbone = scaler, scaler
        return self

    def _between(self, classes: ClassSpace, target: Domain) -> Self:
        """Classes between their names and what the others agree to be of them."""
        head = name_head(classes, self.scale)
        labels = classes.seen[probabilities(target, len(classes.seen)).argmax(dim=1).numpy()]
        agreed = F.one_hot(torch.as_tensor(labels), len(classes)).float()
        head.weight = moved(head.weight, F.normalize(table(target), dim=1), agreed, self.anchor)
        self.network_ = self.source_network_ = head
        return self

    def _informed(self, opinions: Tensor, x: Tensor, known: list[Labelled], n: int) -> Tensor:
        """The mean of the opinions and of those that three learners form by what source and support say."""
        predictions = [opinions, spread(known, x, n, self.neighbours, self.alpha)]
        for parts in (known, known[1:]):
            if len(np.unique(np.concatenate([y for _, y in parts]))) > 1:
                with torch.no_grad():
                    predictions.append(torch.softmax(self._learnt(parts, n)(x), dim=1))
        return torch.stack(predictions).mean(dim=0)

    def _learnt(self, parts: list[Labelled], n: int) -> Classifier:
        """Logistic regression on standardized samples; the parts weigh alike, as if each were as many as the first."""
        first = len(parts[0][0])
        return fit_logistic(
            torch.cat([x for x, _ in parts]),
            np.concatenate([y for _, y in parts]),
            n,
            C=self.C,
            standardize=False,
            weights=torch.cat([torch.full((len(x),), first / len(x)) for x, _ in parts]),
        )


def probabilities(target: Domain, n_classes: int) -> Float[Tensor, "m c"]:
    """What other models think of each sample of `target`, checked."""
    column = target.columns.get(OPINIONS)
    if column is None or column.shape != (len(target), n_classes):
        got = "no such column" if column is None else f"one of shape {column.shape}"
        raise ValueError(
            f"target must have the column {OPINIONS!r}, probabilities of shape ({len(target)}, {n_classes}); got {got}"
        )
    return torch.as_tensor(column).float()
