"""Propagate names: what class names say of the target spreads over the graph of its samples."""

import dataclasses
from typing import Annotated, Self

import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.methods.base import Card
from unseen.methods.baselines._names import assigned, moved, name_head
from unseen.methods.baselines._network import table
from unseen.methods.baselines.propagate import over_neighbours
from unseen.methods.needs import SharedSpace
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, Positive, Unit, Within


class PropagateNames(NetworkMethod):
    """Zero-shot probabilities of the unlabeled target spread over the neighbours of each sample [1, 2].

    Names are right more often than not where samples lie thickly, and neighbours carry that to where they are not. Each
    sample begins with the softmax of its cosines with the names; what a class has in all is first divided by its share
    to the power of `balance`, so that a name that is near to everything does not flood the graph. Each name is then
    moved half of the way to the mean of the samples that it got: `predict` takes the nearest, one sample at a time;
    `transduction_` is what the graph says.

    Parameters
    ----------
    neighbours : int, >= 1
        Of each sample in the graph, by cosine.
    alpha : float in [0, 1)
        How much a sample of the graph listens to its neighbours.
    balance : float in [0, 1]
        1 lets all classes weigh alike, as if the target held as many samples of each; 0 lets each weigh what it has.
    sharpness : float, > 0
        Of the softmax, over the deviation of the cosines.
    anchor : float in [0, 1]
        Where a class lies between the mean of its samples, 0, and its name, 1.
    scale : float, > 0
        Multiplies the cosine before the softmax of a prediction.

    References
    ----------
    [1] Zhou, Bousquet, Lal, Weston, Scholkopf, "Learning with Local and Global Consistency", NeurIPS 2003.
    [2] Stojnic, Kalantidis, Tolias, "Label Propagation for Zero-shot Classification with Vision-Language Models",
        CVPR 2024, for the idea; there, names are nodes of the graph.
    """

    card = Card(
        slug="propagate-names",
        cost=0.3,
        title="Label Propagation for Zero-shot Classification with Vision-Language Models",
        venue="CVPR 2024",
        official_code="vladan-stojnic/ZLaP",
        summary="Spread what class names say of the target over the neighbours of its samples.",
        unseen={"classes", "domains"},
        protocols={"closed", "partial", "zsl", "gzsl"},
        left_out=(
            "Names as nodes, with neighbours of their own among the samples: samples begin with their softmax instead.",
        ),
        baseline=True,
        needs=(SharedSpace(),),
    )

    neighbours: Count = 10
    alpha: Annotated[float, Within(0, 1, open_high=True)] = 0.9
    balance: Unit = 0.75
    sharpness: Positive = 3.0
    anchor: Unit = 0.5
    scale: Positive = 100.0

    transduction_: IntArray = dataclasses.field(init=False)

    def fit(self, *, classes: ClassSpace, target: Domain) -> Self:
        """Spread over the target what the names say of it."""
        head = name_head(classes, self.scale)
        x, names = F.normalize(table(target), dim=1), head.weight
        p = assigned(x @ names.T, self.sharpness)
        p = p / p.mean(dim=0).clamp_min(1e-9) ** self.balance
        labels = over_neighbours(x, p.double().numpy(), self.neighbours, self.alpha).argmax(dim=1)
        head.weight = moved(names, x, F.one_hot(labels, len(classes)).float(), self.anchor)
        self.network_, self.transduction_ = head, labels.numpy()
        return self
