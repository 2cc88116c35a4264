"""Self-train names: class vectors that begin at the names and move to the samples that they attract."""

from typing import Self

import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.baselines._names import assigned, moved, name_head
from unseen.methods.baselines._network import table
from unseen.methods.needs import SharedSpace
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, Positive, Unit


class SelfTrainNames(NetworkMethod):
    """Class vectors move, round by round, from the names towards the samples that they are assigned [1].

    A round assigns the samples of the unlabeled target by a softmax of their cosines with the class vectors, and puts
    each vector between its name and the mean of what it was assigned: soft k-means on the sphere, anchored at names.

    Parameters
    ----------
    rounds : int, >= 1
        How often samples are assigned and the vectors move.
    anchor : float in [0, 1]
        Where a class lies between the mean of its samples, 0, and its name, 1.
    sharpness : float, > 0
        Of the softmax, over the deviation of the cosines.
    scale : float, > 0
        Multiplies the cosine before the softmax of a prediction.

    References
    ----------
    [1] Fu, Hospedales, Xiang, Gong, "Transductive Multi-view Zero-Shot Learning", TPAMI 2015, section 3.3: the
        self-training of prototypes, there in one step to the nearest samples.
    """

    card = Card(
        slug="self-train-names",
        cost=0.2,
        title="Transductive Multi-view Zero-Shot Learning",
        venue="TPAMI 2015",
        summary="Move class vectors from their names to the target's samples that they attract, round by round.",
        unseen={"classes", "domains"},
        protocols={"closed", "partial", "zsl", "gzsl"},
        left_out=("Several views and the hypergraph: tmv-hlp has them.",),
        smoke={"rounds": 2},
        baseline=True,
        needs=(SharedSpace(),),
    )

    rounds: Count = 10
    anchor: Unit = 0.5
    sharpness: Positive = 3.0
    scale: Positive = 100.0

    def fit(self, *, classes: ClassSpace, target: Domain) -> Self:
        """Move the class vectors to the target."""
        head = name_head(classes, self.scale)
        x, names = F.normalize(table(target), dim=1), head.weight
        for _ in range(self.rounds):
            head.weight = moved(names, x, assigned(x @ head.weight.T, self.sharpness), self.anchor)
        self.network_ = head
        return self
