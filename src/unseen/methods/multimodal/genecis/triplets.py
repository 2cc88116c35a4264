"""Triplets mined from captions: a reference, a condition and a target that share the subject (spec steps 2 to 6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unseen.methods.multimodal.genecis.parser import Relation

TRIES = 100
"""Draws of a target that shares nothing but the subject, before another reference is drawn."""
REJECTIONS = 1000
"""References drawn before a sample is given up: the filter leaves nothing."""
UNKNOWN = -1.0
"""Concreteness of a word that is not in the list."""


class Triplet(NamedTuple):
    """A reference, a target of the same subject and another object, and a distractor with the target's object."""

    reference: Relation
    target: Relation
    distractor: Relation

    @property
    def condition(self) -> str:
        """What turns the reference into the target: relation and object of the target."""
        return self.target.condition


class TripletMiner:
    """Draws triplets from relations; sample i is the same whatever else is drawn.

    Parameters
    ----------
    rows : sequence of Relation
    min_images, min_objects : int
        A subject is a candidate if it occurs in so many samples, with so many unlike objects.
    concreteness : mapping of str to float, optional
        How concrete nouns are, from 1 to 5, such as Brysbaert's ratings; no filter if absent. Plurals count as their
        singular.
    threshold : float
        What the mean over subjects and objects of reference, target and distractor must exceed.

    Raises
    ------
    ValueError
        If no subject is a candidate.
    """

    def __init__(
        self,
        rows: Sequence[Relation],
        min_images: int = 5,
        min_objects: int = 2,
        concreteness: Mapping[str, float] | None = None,
        threshold: float = 4.8,
    ) -> None:
        self.rows = list(rows)
        self.concreteness = None if concreteness is None else _with_plurals(concreteness)
        self.threshold = threshold
        self.of_subject: dict[str, list[int]] = defaultdict(list)
        self.of_both: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.of_object: dict[str, list[int]] = defaultdict(list)
        for i, row in enumerate(self.rows):
            self.of_subject[row.subject].append(i)
            self.of_both[row.subject, row.object].append(i)
            self.of_object[row.object].append(i)
        images = {s: len({self.rows[i].sample for i in places}) for s, places in self.of_subject.items()}
        self.objects = {s: sorted({self.rows[i].object for i in places}) for s, places in self.of_subject.items()}
        self.subjects = [s for s in sorted(images) if images[s] >= min_images and len(self.objects[s]) >= min_objects]
        if not self.subjects:
            raise ValueError(
                f"captions must have a subject in at least {min_images} samples with at least {min_objects} objects; "
                f"of {len(images)} subjects in {len(self.rows)} relations none has"
            )
        counts = np.array([images[s] for s in self.subjects], dtype=np.float64)
        self.probabilities: Float[np.ndarray, " s"] = counts / counts.sum()

    def sample(self, seed: int) -> Triplet:
        """Triplet number `seed`.

        Raises
        ------
        ValueError
            If the filter for concreteness (or the lack of other samples) leaves none in a thousand draws.
        """
        rng = np.random.default_rng(seed)
        for _ in range(REJECTIONS):
            triplet = self._drawn(rng)
            if triplet is not None and self.is_concrete(triplet):
                return triplet
        limit = "" if self.concreteness is None else f"; concreteness must exceed {self.threshold:g}"
        raise ValueError(f"captions: no triplet is found in {REJECTIONS} draws{limit}")

    def is_concrete(self, triplet: Triplet) -> bool:
        """Whether the mean concreteness of its six nouns exceeds the threshold."""
        if self.concreteness is None:
            return True
        nouns = [noun for row in triplet for noun in (row.subject, row.object)]
        return float(np.mean([self.concreteness.get(noun, UNKNOWN) for noun in nouns])) > self.threshold

    def _drawn(self, rng: np.random.Generator) -> Triplet | None:
        subject = self.subjects[int(rng.choice(len(self.subjects), p=self.probabilities))]
        reference = self._row(self.of_subject[subject], rng)
        objects = self.objects[subject]
        for _ in range(TRIES):
            other = objects[int(rng.integers(len(objects)))]
            target = self._row(self.of_both[subject, other], rng)
            if target.object != reference.object and target.sample != reference.sample:
                return Triplet(reference, target, self._row(self.of_object[target.object], rng))
        return None

    def _row(self, places: Sequence[int], rng: np.random.Generator) -> Relation:
        return self.rows[places[int(rng.integers(len(places)))]]


def _with_plurals(words: Mapping[str, float]) -> dict[str, float]:
    """Ratings of nouns and of their plurals, by the rules of English spelling; what is rated itself stays."""
    plurals: dict[str, float] = {}
    for word, value in words.items():
        noun = word.lower()
        ends = ("s", "x", "z", "ch", "sh")
        if noun.endswith("y") and noun[-2:-1] not in ("a", "e", "i", "o", "u", ""):
            plurals[f"{noun[:-1]}ies"] = float(value)
        else:
            plurals[f"{noun}es" if noun.endswith(ends) else f"{noun}s"] = float(value)
    return plurals | {word.lower(): float(value) for word, value in words.items()}
