"""What labels are expected to buy: the same number of labels, chosen in the same way, on the source."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from unseen import methods
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.labeling.typiclust import typiclust

LEARNERS = ("prototypes", "linear-probe")
_SEEDS = 5
_SAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Gain:
    """Accuracies on the source, in [0, 1], after learning from `budget` of its own labels; means over draws.

    Attributes
    ----------
    proposed, random : {learner: accuracy}
        From samples chosen as they are proposed, and from as many random ones.
    """

    budget: int
    proposed: dict[str, float]
    random: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """In plain numbers."""
        return dataclasses.asdict(self)

    def sentence(self) -> str:
        """The estimate with its basis."""
        shares = "; ".join(
            f"{slug} {100 * self.proposed[slug]:.0f} % ({100 * self.random[slug]:.0f} % with random ones)"
            for slug in self.proposed
        )
        return (
            f"As an estimate, {self.budget} labels chosen so buy: {shares}. Its basis is the source, where labels are "
            "known; it holds as far as the classes of the target group as those of the source do."
        )


def expected_gain(source: Domain, budget: int, *, seed: int = 0) -> Gain | None:
    """Learn from `budget` samples of the source, chosen by TypiClust or at random, and grade on its others.

    Parameters
    ----------
    source : Domain
        Features with labels. Of more than 2,000 samples, that many are drawn.
    budget : int, >= 2

    Returns
    -------
    Gain or None
        None if the source is not at least twice as large as the budget.
    """
    rng = np.random.default_rng(seed)
    source = source.take(rng.permutation(len(source))[:_SAMPLES])
    if budget < 2 or len(source) < 2 * budget:
        return None
    scores: dict[str, dict[str, list[float]]] = {how: {slug: [] for slug in LEARNERS} for how in ("proposed", "random")}
    for draw in range(_SEEDS):
        picks = {
            "proposed": typiclust(source.x, budget, seed=seed + draw).positions,
            "random": rng.permutation(len(source))[:budget],
        }
        for how, index in picks.items():
            for slug in LEARNERS:
                scores[how][slug].append(accuracy(slug, source, index))
    mean = {how: {slug: float(np.mean(values)) for slug, values in row.items()} for how, row in scores.items()}
    return Gain(budget, mean["proposed"], mean["random"])


def accuracy(slug: str, domain: Domain, index: IntArray) -> float:
    """Accuracy, in [0, 1], of a method that learns from the samples at `index`, on all others."""
    support, rest = domain.take(index), domain.take(np.setdiff1d(np.arange(len(domain)), index))
    if len(np.unique(support.labels)) < 2:  # one class is known, and all are called so
        return float((rest.labels == support.labels[0]).mean())
    method = methods.get(slug)().fit(support=support)
    return float((method.predict(rest.unlabeled()) == rest.labels).mean())
