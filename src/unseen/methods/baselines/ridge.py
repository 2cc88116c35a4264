"""Ridge: regress class vectors on features, take the nearest class by cosine."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.methods.base import Card
from unseen.methods.baselines._network import table
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import NonNegative, Positive
from unseen.nn.semantic import ridge
from unseen.nn.semantic_network import centred, normalized, semantic_network
from unseen.nn.unseen_classes import candidates, class_vectors
from unseen.validation.rehearsal import Compared, told_apart

PENALTIES = tuple(10.0 ** (power / 2) for power in range(-10, -1))


class Ridge(NetworkMethod):
    """Map features to the vector of their class by ridge regression; the nearest vector by cosine is the class [1].

    Parameters
    ----------
    penalty : float, > 0, or None
        Of the regression, per sample, for features of unit length; None chooses from 1e-5 to 0.1 by holding out
        seen classes.
    hubs : bool
        Divide the similarities of a class by their norm over the pool, if there is a `target` of more than one
        sample: no class is near to everything [2].
    generalized : bool
        Predict among all classes (GZSL) or among the unseen ones (ZSL).
    handicap : float, >= 0
        Taken from the cosine of seen classes in GZSL (calibrated stacking).
    scale : float, > 0
        Multiplies the cosine before the softmax.

    Attributes
    ----------
    penalty_ : float
        The penalty used.

    References
    ----------
    [1] Palatucci et al., "Zero-shot Learning with Semantic Output Codes", NeurIPS 2009.
    [2] Dinu, Lazaridou, Baroni, "Improving zero-shot learning by mitigating the hubness problem", ICLR 2015 workshop.
    """

    card = Card(
        slug="ridge",
        cost=1.0,
        title="Zero-shot Learning with Semantic Output Codes",
        venue="NeurIPS 2009",
        summary="Regress class vectors on features, take the nearest class by cosine.",
        unseen={"classes"},
        protocols={"zsl", "gzsl"},
        presets={"default": {}, "generalized": {"generalized": True, "handicap": 0.1}},
        smoke={"penalty": 1e-2},
        baseline=True,
    )

    penalty: Positive | None = None
    hubs: bool = True
    generalized: bool = False
    handicap: NonNegative = 0.0
    scale: Positive = 20.0

    def fit(self, *, source: Domain, classes: ClassSpace, target: Domain | None = None) -> Self:
        """Learn from samples of seen classes and a vector per class; `target` is only looked at for hubs."""
        allowed = candidates(source, classes, self.generalized)
        vectors, y = class_vectors(classes), source.labels
        x, centre = centred(normalized(table(source)))
        self.penalty_ = self.penalty or choose_penalty(x, y, vectors, self.random_state)
        weight = ridge(x, vectors[y], self.penalty_)
        network = semantic_network(source.n_features, vectors.shape[1], len(classes), scale=self.scale)
        network.set_map(centre, weight.T, vectors)
        among = np.isin(np.arange(len(classes)), allowed)
        network.allow(torch.as_tensor(among), torch.as_tensor(np.isin(np.arange(len(among)), y)), self.handicap)
        if self.hubs and target is not None:
            network.hold_hubs(network.embed(table(target)))
        self.network_ = network
        return self


def choose_penalty(
    x: Float[Tensor, "n d"], y: Int[np.ndarray, " n"], vectors: Float[Tensor, "c t"], random_state: int = 0
) -> float:
    """The penalty under which held-out seen classes are told apart best, the larger one of equals."""

    def mapped(learn: IntArray, out: IntArray, held: IntArray) -> Compared:
        for penalty in PENALTIES:
            yield x[out].double() @ ridge(x[learn], vectors[y[learn]], penalty), vectors[held].double()

    scores = told_apart(y, mapped, random_state).sum(axis=0)
    return PENALTIES[len(scores) - 1 - int(scores[::-1].argmax())] if scores.any() else 1e-2
