"""How often the model is right by a person's answers, with an interval that holds for few answers."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        Samples whose predicted class is the answer. Each counts as often as it was drawn.
    per_class : {class: Share}
        The same for the samples of each class that was answered at least five times.
    none : int
        Answers that were none of these; all count as wrong.
    outside : {name: int}
        Answers that name no class of the model, such as those written into a table; all count as wrong.
    different : int
        Samples that were looked at: copies are looked at once.
    copies : int
        Samples of the target that are copies of others, where the answers do not say how often they were drawn: the
        figures are about the different samples then, and about all otherwise.
    """

    accuracy: Share
    per_class: Mapping[str, Share]
    none: int
    outside: Mapping[str, int]
    different: int
    copies: int = 0

    def lines(self) -> list[str]:
        """The grade in words, a line each."""
        confidence = f"{100 * CONFIDENCE:.0f} %"
        among = " of the different samples" if self.copies else ""
        lines = [f"accuracy: {self.accuracy} ({confidence} interval, exact for a random sample{among})"]
        lines += [f"  {name}: {share}" for name, share in self.per_class.items()]
        lines.append(f"none of these: {self.none} of {self.accuracy.of}")
        if self.outside:
            lines.append("no class of the model: " + ", ".join(f"{name} ({n})" for name, n in self.outside.items()))
        if self.different < self.accuracy.of:
            lines.append(
                f"{self.different} of the {self.accuracy.of} samples are different: copies were asked about once, and "
                "count as often as they were drawn"
            )
        if self.copies:
            lines.append(
                f"the answers do not say how often copies were drawn: {self.copies} samples of the target are copies "
                "of others, and the accuracy over all is another; questions that are written anew count them"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """In plain numbers."""
        return {
            "accuracy": self.accuracy.to_json(),
            "per_class": {name: share.to_json() for name, share in self.per_class.items()},
            "none_of_these": self.none,
            "outside": dict(self.outside),
            "different": self.different,
            "copies_not_counted": self.copies,
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


def grade(
    model: Bundle, target: Domain, answers: Mapping[str, str | None], times: Mapping[str, int] | None = None
) -> Grade:
    """Predict the samples that were answered and count how many are right.

    Parameters
    ----------
    model : Bundle
    target : Domain
        Holds every sample that was answered.
    answers : {digest: class name, or None for none of these}
        Names are compared without regard to case where no class is called so.
    times : {digest: int}, optional
        How many of the rows that were drawn each answer stands for (`Question.times`). Without it each stands for one,
        and the figures are about the different samples of the target.

    Raises
    ------
    ValueError
        If a sample that was answered is not in the target, or not as often as it was drawn.
    """
    digests = target.digests().tolist()
    rows = collections.Counter(digests)
    where = {digest: i for i, digest in reversed(list(enumerate(digests)))}
    lost = [digest for digest in answers if digest not in where]
    if lost:
        raise ValueError(
            f"target must hold the samples that were answered; {len(lost)} of {len(answers)} are not in {target.name}"
        )
    drawn = np.array([1 if times is None else times[digest] for digest in answers], dtype=np.int64)
    for digest, n in zip(answers, drawn.tolist()):
        if n > rows[digest]:
            raise ValueError(
                f"target must hold the rows that were drawn; sample {digest[:12]} was drawn {n} times, and "
                f"{target.name} holds it {rows[digest]} times"
            )
    part = target.take(np.array([where[digest] for digest in answers], dtype=np.int64))
    predicted = model.predict(part)["class"].tolist()
    names = set(model.classes.names)
    folded = {name.casefold(): name for name in model.classes.names}
    meant = [a if a is None or a in names else folded.get(a.casefold(), a) for a in answers.values()]
    right = np.array([guess == answer for guess, answer in zip(predicted, meant)])
    counts = {name: int(drawn[_are(meant, name)].sum()) for name in dict.fromkeys(meant) if name is not None}
    outside = {name: n for name, n in counts.items() if name not in names}
    if outside:
        log.warning("answers that are no class of the model count as wrong: %s", ", ".join(outside))
    return Grade(
        accuracy=clopper_pearson(int(drawn[right].sum()), int(drawn.sum())),
        per_class={
            name: clopper_pearson(int(drawn[right & _are(meant, name)].sum()), n)
            for name, n in sorted(counts.items())
            if n >= FEWEST and name in names
        },
        none=int(drawn[_are(meant, None)].sum()),
        outside=outside,
        different=len(answers),
        copies=len(target) - len(rows) if times is None else 0,
    )


def _are(meant: Sequence[str | None], name: str | None) -> NDArray[np.bool_]:
    return np.array([answer == name for answer in meant], dtype=bool)
