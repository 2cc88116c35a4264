"""`Profile`: what a comparison looks like before any method has run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

MISMATCH = 2.0
"""What a word that only one of two profiles has counts, and another kind of samples, where figures differ by 1."""


WORDS = {"classes": "descriptions of classes", "unseen": "classes without samples", "support": "a few target labels"}
KINDS = {"image": "pictures", "text": "texts", "features": "vectors", "audio": "sounds", "clip": "videos"}
SHIFT = {
    "separability": "told apart",
    "consistency": "neighbours of one class",
    "aligned": "these after aligning",
    "gap": "distance over that of classes",
}
"""Figures of `Profile.shift`, as a sentence calls them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """What is given, how much of it, and how far source and target are apart. No label of the target is read.

    Attributes
    ----------
    words : tuple of str
        What is given, by words of `fit`; ``"unseen"`` stands for classes without a labelled sample.
    kind : str
        Of the samples as they were brought: image, text, features, ...
    classes : int or None
        That can be predicted.
    labels : float or None
        Labelled samples per class that has some, the support included.
    target : int or None
        Samples of the target.
    shift : mapping
        Figures of `unseen diagnose` that compare across data: ``separability``, 0 where no classifier tells the domains
        apart and 1 where one always does; ``gap``, the distance of the domains in units of that between classes;
        ``consistency`` and ``aligned``, how far neighbours in the source agree on target samples, in parts of what they
        do on the source. Empty where there is nothing to diagnose.
    """

    words: tuple[str, ...]
    kind: str
    classes: int | None
    labels: float | None
    target: int | None
    shift: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """What is compared: sizes that are known by their logarithms to base 2, shift as it is."""
        sizes = {"classes": self.classes, "labels": self.labels, "target": self.target}
        known = {key: value for key, value in sizes.items() if value is not None}
        return {key: math.log2(1 + value) for key, value in known.items()} | dict(self.shift)

    def distance(self, other: Profile, scale: Mapping[str, float]) -> float:
        """How unlike another profile is, at least 0.

        The mean over the figures that both have, in units of `scale`, and `MISMATCH` for each word that only one has
        and for another kind.
        """
        mine, others = self.figures(), other.figures()
        shared = [key for key in mine if key in others]
        apart = sum(abs(mine[key] - others[key]) / scale.get(key, 1.0) for key in shared) / max(len(shared), 1)
        return apart + MISMATCH * (len(set(self.words) ^ set(other.words)) + (self.kind != other.kind))

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to four digits."""
        shift = {key: float(f"{value:.4g}") for key, value in self.shift.items()}
        return {**dataclasses.asdict(self), "words": list(self.words), "shift": shift}

    def sentence(self) -> str:
        """The profile in a line."""
        parts = [
            f"{' and '.join(WORDS.get(word, word) for word in self.words)} of {KINDS.get(self.kind, self.kind)}",
            None if self.classes is None else f"{self.classes} classes",
            _about(self.labels, "labelled sample") + " each" if self.labels else None,
            _about(self.target, "target sample") if self.target else None,
        ]
        shift = [f"{SHIFT.get(key, key)} {value:.2f}" for key, value in self.shift.items()]
        return ", ".join([*(part for part in parts if part), *shift])


def _about(n: float, noun: str) -> str:
    whole = max(round(n), 1)
    return f"{'' if n == whole else 'about '}{whole} {noun}{'' if whole == 1 else 's'}"


def profile(results: Mapping[str, Any]) -> Profile:
    """The profile of a run, from what stands in `results.json`, or of inputs that have not run.

    Parameters
    ----------
    results : mapping
        With ``given`` (by role: samples, kind, labelled samples by class), ``classes``, ``described``, ``model`` and
        ``diagnosis`` (or None), as `unseen compare` writes them.
    """
    given, learned = results["given"], _learned(results)
    words = [word for word in ("source", "target", "support") if word in given]
    if results.get("labels", "exam") != "exam" and "support" not in words:
        words.append("support")
    if results.get("described"):
        words.append("classes")
    if results.get("described") and len(learned) < len(results["classes"]):
        words.append("unseen")
    if results.get("model"):
        words.append("model")
    return Profile(
        words=tuple(words),
        kind=next(iter(given.values()))["kind"],
        classes=len(results["classes"]),
        labels=sum(learned.values()) / max(len(learned), 1),
        target=given.get("target", {"samples": 0})["samples"],
        shift=_shift(results.get("diagnosis")),
    )


def _learned(results: Mapping[str, Any]) -> dict[str, float]:
    """Labelled samples that are learnt from, by class; of a target whose labels are split, that share of them."""
    labels = results.get("labels", "exam")
    share = 0.0 if labels == "exam" else 1.0 if labels == "support" else float(labels.partition(":")[2])
    counts: dict[str, float] = {}
    for role, given in results["given"].items():
        weight = share if role == "target" else 1.0
        for name, n in given["classes"].items() if weight else ():
            counts[name] = counts.get(name, 0) + weight * n
    return counts


def _shift(diagnosis: Mapping[str, Any] | None) -> dict[str, float]:
    if diagnosis is None:
        return {}
    distance, consistency = diagnosis["distance"], diagnosis["consistency"]
    figures = {
        "separability": abs(2 * diagnosis["domain_classifier"]["auc"] - 1),
        "consistency": consistency["target"] / consistency["source"],
        "aligned": consistency["aligned"] / consistency["source"],
    }
    if distance["between_domains"] is not None and distance["between_classes"]:
        figures["gap"] = distance["between_domains"] / distance["between_classes"]
    return figures
