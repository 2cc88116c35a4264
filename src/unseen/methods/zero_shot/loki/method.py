"""Loki: predict classes the model was never trained on, by a Fréchet mean over a label metric."""

import dataclasses
import logging
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import CompleteMetric, EmbeddingMetric, LabelMetric, TreeMetric
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Positive
from unseen.methods.zero_shot.loki.rule import (
    BLOCK,
    DenseCost,
    EmbeddingCost,
    LokiHead,
    dense_cost,
    embedding_module,
    loki_head,
    metric_cost,
    tree_cost,
)
from unseen.nn.calibration import soften

log = logging.getLogger(__name__)


class Loki(Method):
    """Replace the argmax of a classifier by the Fréchet mean of its probabilities [1].

    A model that scores only K of N classes can then predict all N, without training, as long as the classes
    carry a distance: a taxonomy, a graph, or the distance between the vectors of their descriptions.

    Parameters
    ----------
    power : {2, 1}
        2 is the paper's Fréchet mean, 1 the Fréchet median.
    temperature : float, > 0
        Divides the log-probabilities first. An overconfident model turns Loki into argmax: fit it on samples that the
        model did not learn from (`unseen.nn.calibration.fit_temperature`), as `unseen compare` does before the rule. A
        larger one gains more on some data and loses on others.

    References
    ----------
    [1] Roberts et al., "Geometry-Aware Adaptation for Pretrained Models", NeurIPS 2023, eq. 2.

    Examples
    --------
    >>> import numpy as np
    >>> from unseen.data.classes import ClassSpace
    >>> path = ClassSpace(names="abcde", metric=abs(np.subtract.outer(range(5), range(5))), seen=[0, 4])
    >>> Loki().fit(classes=path).predict([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    array([1, 2, 3])
    """

    card = Card(
        slug="loki",
        title="Geometry-Aware Adaptation for Pretrained Models",
        venue="NeurIPS 2023",
        official_code="SprocketLab/loki",
        summary="Predict all classes of a label space from the probabilities of a model that knows a few.",
        unseen={"classes"},
        modalities={"probabilities"},
        protocols={"closed", "zsl", "gzsl"},
        presets={"default": {}, "soft": {"temperature": 2.0}},
        on_request={"soft"},
        parts=(
            "unseen.methods.zero_shot.loki.locus",
            "unseen.methods.zero_shot.loki.sampling",
            "unseen.methods.zero_shot.loki.measures",
            "unseen.nn.calibration",
            "unseen.nn.decoding",
            "unseen.data.label_metrics",
        ),
        notes=(
            "The official code is research scripts without a licence; this is written from the paper.",
            "Large trees and embeddings never form the distances between classes: rerooting and the mean "
            "embedding give the same expected costs.",
            "Costs are summed and compared in float64 (dense, tree, graph), so that equal hop counts tie exactly "
            "and the lowest index wins, as numpy's argmin has it.",
            "With unit vectors the rule is that of ConSE (Norouzi et al., ICLR 2014) over all observed classes: "
            "the class nearest to the mean vector. What Loki adds is any other metric.",
            "The preset soft (temperature 2) runs only where it is named. It was chosen on emoji with one drawing per "
            "class; on other data it gains up to 6 % on argmax and loses up to 14 %, most in trees. compare fits the "
            "temperature of the classifier below on held-out samples of seen classes instead, at least 1: that was "
            "worse than argmax, or than none, on no family of data, and it finds little of what softer ones gain. "
            "Chosen by class-wise validation it was worse than argmax on some (docs/loki_study.py).",
            "The projection estimator of fine-tuning uses the exact Euclidean projection; one path of the "
            "official code puts a softmax in its place.",
            "The minimum cover is given for trees whose nodes are all classes. Where only the leaves are "
            "classes, membership in the locus is decided by linear programs.",
        ),
    )

    power: Literal[2, 1] = 2
    temperature: Positive = 1.0

    cost_: DenseCost | EmbeddingCost = dataclasses.field(init=False)
    metric_: LabelMetric = dataclasses.field(init=False)

    def fit(self, *, classes: ClassSpace) -> Self:
        """Learn where the observed classes, `classes.seen`, lie among all; no samples are needed.

        Columns of probabilities are in the order of `classes.seen`.
        """
        observed, metric = classes.seen, classes.metric
        if len(observed) < 2:
            raise ValueError(f"classes must have at least two seen classes to lie between; got {len(observed)}")
        k, n = len(observed), len(classes)
        if k < n and isinstance(metric, CompleteMetric):
            log.warning("all classes are equally far apart: Loki is argmax and predicts none of the %d others", n - k)
        if isinstance(metric, EmbeddingMetric) and self.power == 2:
            cost = embedding_module(k, n, metric.vectors.shape[1])
            centred = metric.vectors - metric.vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
            cost.vectors, cost.observed = torch.as_tensor(centred), torch.as_tensor(observed)
            self.cost_ = cost
        elif k * n <= BLOCK:
            dense = dense_cost(k, n)
            dense.cost = torch.as_tensor(metric.rows(observed)).double() ** self.power
            self.cost_ = dense
        else:
            self.metric_ = metric
        self.observed_ = observed
        self.n_classes_ = n
        self.n_features_in_ = k
        return self

    def decision_function(self, x: Float[Tensor, "b k"]) -> Float[Tensor, "b n"]:
        """Minus the expected cost of predicting each class, from probabilities of the observed ones."""
        return -self._expected_cost(soften(as_probabilities(x), self.temperature)).float()

    def predict(self, x: Float[Tensor, "b k"]) -> Int64[np.ndarray, "b"]:
        """Index of the predicted class among all classes; ties go to the lowest index."""
        p = soften(as_probabilities(x), self.temperature)
        return torch.cat([self._nearest(piece) for piece in torch.split(p, self._samples_at_once())]).numpy()

    def predict_set(self, x: Any, tolerance: float = 1e-6) -> Bool[np.ndarray, "b n"]:
        """All classes of the Fréchet mean, which is a set: those whose cost is the least one.

        Costs are equal if they differ by at most `tolerance` times the largest cost of the sample.
        """
        cost = -self.decision_function(x)
        least, largest = cost.aminmax(dim=1, keepdim=True)
        return (cost <= least + tolerance * largest).numpy()

    def network(self) -> LokiHead:
        """From probabilities of the observed classes to scores of all, for export."""
        return self.head(logits=False)

    def head(self, *, logits: bool = True) -> LokiHead:
        """What stands behind a model whose outputs are logits (or probabilities) of the observed classes.

        `unseen.methods.zero_shot.loki.rule.on_top(model, loki.head())` is the model with Loki's rule.
        """
        if "cost_" not in self.fitted:
            raise ValueError(
                f"{self.n_features_in_} x {self.n_classes_} costs are too many for one network; "
                "use a metric of embeddings, or predict here"
            )
        return loki_head(self.cost_, self.temperature, logits)

    def _nearest(self, p: Float[Tensor, "b k"]) -> Int64[Tensor, "b"]:
        cost = self.fitted.get("cost_")
        return cost.nearest(p) if isinstance(cost, EmbeddingCost) else self._expected_cost(p).argmin(dim=1)

    def _expected_cost(self, p: Float[Tensor, "b k"]) -> Float[Tensor, "b n"]:
        if "cost_" in self.fitted:
            return self.cost_(p)
        if isinstance(self.metric_, TreeMetric):
            return tree_cost(p, self.metric_, self.observed_, self.power)
        return metric_cost(p, self.metric_, self.observed_, self.power)

    def _samples_at_once(self) -> int:
        cost, metric = self.fitted.get("cost_"), self.fitted.get("metric_")
        if isinstance(cost, EmbeddingCost):
            return max(1, BLOCK // min(self.n_classes_, 4096))  # blocks of classes are the other factor
        if isinstance(metric, TreeMetric):
            return max(1, BLOCK // (3 * len(metric.parents)))  # a mass and two moments per node
        return max(1, 8 * BLOCK // self.n_classes_)  # larger: other distances are computed anew for each piece


def as_probabilities(x: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """`x`, if its rows are probabilities; `ValueError` names the row that is not."""
    total = x.sum(dim=1)
    bad = (x < 0).any(dim=1) | ((total - 1).abs() > 1e-3)
    if bad.any():
        row = int(bad.nonzero()[0, 0])
        raise ValueError(
            f"x must hold probabilities of the observed classes; row {row} sums to {float(total[row]):.4g}, "
            f"its least value is {float(x[row].min()):.4g}. Apply a softmax to logits first"
        )
    return x
