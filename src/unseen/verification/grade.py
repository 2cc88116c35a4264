"""How often the model is right by a person's answers, with an interval that holds for few answers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from unseen.bundle import Bundle
from unseen.data.domain import Domain

log = logging.getLogger(__name__)

FEWEST = 5
"""A class with fewer answers has no accuracy of its own."""
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Share:
    """A count out of a count, with an interval in [0, 1]."""

    right: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share, in [0, 1]."""
        return self.right / self.of

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({self.right} of {self.of}), {100 * self.low:.1f} to {100 * self.high:.1f} %"

    def to_json(self) -> dict[str, Any]:
        """In plain numbers."""
        return {"right": self.right, "of": self.of, "value": self.value, "interval": [self.low, self.high]}


@dataclasses.dataclass(frozen=True)
class Grade:
    """What the answers say about a model.

    Attributes
    ----------
    accuracy : Share
        Samples whose predicted class is the answer.
    per_class : {class: Share}
        The same for the samples of each class that was answered at least five times.
    none : int
        Answers that were none of these; all count as wrong.
    outside : {name: int}
        Answers that name no class of the model, such as those written into a table; all count as wrong.
    """

    accuracy: Share
    per_class: Mapping[str, Share]
    none: int
    outside: Mapping[str, int]

    def lines(self) -> list[str]:
        """The grade in words, a line each."""
        confidence = f"{100 * CONFIDENCE:.0f} %"
        lines = [f"accuracy: {self.accuracy} ({confidence} interval, exact for a random sample)"]
        lines += [f"  {name}: {share}" for name, share in self.per_class.items()]
        lines.append(f"none of these: {self.none} of {self.accuracy.of}")
        if self.outside:
            lines.append("no class of the model: " + ", ".join(f"{name} ({n})" for name, n in self.outside.items()))
        return lines

    def to_json(self) -> dict[str, Any]:
        """In plain numbers."""
        return {
            "accuracy": self.accuracy.to_json(),
            "per_class": {name: share.to_json() for name, share in self.per_class.items()},
            "none_of_these": self.none,
            "outside": dict(self.outside),
            "confidence": CONFIDENCE,
        }


def clopper_pearson(right: int, of: int, confidence: float = CONFIDENCE) -> Share:
    """A share with its exact binomial interval: at least `confidence` whatever the true share is [1].

    Parameters
    ----------
    right, of : int
        0 <= right <= of, of >= 1.

    References
    ----------
    [1] Clopper & Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial",
        Biometrika 1934.
    """
    from scipy.stats import binomtest

    interval = binomtest(right, of).proportion_ci(confidence, method="exact")
    return Share(right, of, float(interval.low), float(interval.high))


def grade(model: Bundle, target: Domain, answers: Mapping[str, str | None]) -> Grade:
    """Predict the samples that were answered and count how many are right.

    Parameters
    ----------
    model : Bundle
    target : Domain
        Holds every sample that was answered.
    answers : {digest: class name, or None for none of these}
        Names are compared without regard to case where no class is called so.

    Raises
    ------
    ValueError
        If a sample that was answered is not in the target.
    """
    where = {digest: i for i, digest in reversed(list(enumerate(target.digests().tolist())))}
    lost = [digest for digest in answers if digest not in where]
    if lost:
        raise ValueError(
            f"target must hold the samples that were answered; {len(lost)} of {len(answers)} are not in {target.name}"
        )
    part = target.take(np.array([where[digest] for digest in answers], dtype=np.int64))
    predicted = model.predict(part)["class"].tolist()
    names = set(model.classes.names)
    folded = {name.casefold(): name for name in model.classes.names}
    meant = [a if a is None or a in names else folded.get(a.casefold(), a) for a in answers.values()]
    right = np.array([guess == answer for guess, answer in zip(predicted, meant)])
    counts = {name: meant.count(name) for name in dict.fromkeys(meant) if name is not None}
    outside = {name: n for name, n in counts.items() if name not in names}
    if outside:
        log.warning("answers that are no class of the model count as wrong: %s", ", ".join(outside))
    return Grade(
        accuracy=clopper_pearson(int(right.sum()), len(right)),
        per_class={
            name: clopper_pearson(sum(bool(r) for r, m in zip(right, meant) if m == name), n)
            for name, n in sorted(counts.items())
            if n >= FEWEST and name in names
        },
        none=meant.count(None),
        outside=outside,
    )
