"""What episodes of two domains need of the samples, told before anything is fitted."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from unseen.data.domain import Domain
from unseen.methods.few_shot.dafosnet.episodes import joint_labels, largest_way
from unseen.methods.needs import Given, LabeledClasses

NAMED = 4
"""Classes that are named; others are counted."""


@dataclasses.dataclass(frozen=True)
class DrawableEpisodes(LabeledClasses):
    """Labelled classes, with so many samples that episodes can be drawn from the source, or it and the support."""

    shots: tuple[int, int]
    queries: int
    by_default: ClassVar[bool] = True

    def lacks(self, given: Given) -> str | None:
        """Return that there are fewer classes, or which of them have too few samples."""
        if fewer := super().lacks(given):
            return fewer
        source, support, auxiliary = (given.inputs.get(word) for word in ("source", "support", "auxiliary"))
        if auxiliary is not None or not isinstance(source, Domain) or not isinstance(support, Domain):
            return None
        if source.y is None or support.y is None:
            return None
        queries = (self.queries, self.queries)
        if any(largest_way(*joint_labels(source, other), self.shots, queries) >= 2 for other in (source, support)):
            return None
        return f"needs {of_the_source(source, self.shots[0] + self.queries)}"


def of_the_source(source: Domain, least: int) -> str:
    """Of which source episodes can always be drawn, and what this one has instead, which has too little."""
    present, counts = np.unique(source.labels[source.labels >= 0], return_counts=True)
    names = [str(c) if source.classes is None else source.classes.names[c] for c in present.tolist()]
    poor = [f"{n} of {name}" for name, n in zip(names, counts.tolist()) if n < least]
    more = f" and too few of {len(poor) - NAMED} others" if len(poor) > NAMED else ""
    shortfall = f", but only {', '.join(poor[:NAMED])}{more}" if poor else ""
    return f"a source of four classes with {least} samples each to learn from; it has {len(names)} classes{shortfall}"
