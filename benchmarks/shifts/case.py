"""What a case of the benchmark is, and how its sides are cut: by content, so that a case is the same everywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

FEWEST, MOST = 40, 4000
"""Samples that a side of a case may have."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A labelled domain and another one whose labels are the exam.

    Parameters
    ----------
    family : str
        Which kind of shift it is: a rule is judged on families that it was not made on.
    source, target : Domain
        Both labelled, over one class space whose `seen` classes are those of the source. The column `item` says what a
        sample shows; a loaded case has features in `x` and, for encoded pictures, a second view of them in the column
        `view`.
    tags : tuple of str
        What the samples are ("pictures", "pixels", "table", "words", "sentences", "sound") and what is special:
        "counterparts" (the same items on both sides, otherwise no item is on both), "small", "unbalanced", "partial"
        (the target lacks classes), "open" (the source lacks classes).
    variant : str
        Tells it from another case of the same two domains.
    """

    family: str
    source: Domain
    target: Domain
    tags: tuple[str, ...] = ()
    variant: str = ""

    @property
    def name(self) -> str:
        """One name for each case, fit for a file."""
        parts = (self.family, self.source.name, self.target.name, self.variant)
        return "--".join(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts if part)

    @property
    def shared(self) -> NDArray[np.bool_]:
        """Which target samples are of a class that the source has, (n,)."""
        return np.isin(self.target.labels, np.unique(self.source.labels))

    def check(self) -> None:
        """Raise `ValueError` unless sizes, labels, classes and items are as `Case` says."""
        classes, other = self.source.classes, self.target.classes
        if classes is None or other is None or classes.names != other.names:
            raise ValueError(f"{self.name}: source and target must share one class space")
        present = np.unique(self.source.labels)
        if present.tolist() != sorted(classes.seen.tolist()) or len(present) < 2:
            raise ValueError(f"{self.name}: the classes that are seen must be those of the source, two at least")
        for domain in (self.source, self.target):
            if not FEWEST <= len(domain) <= MOST:
                raise ValueError(f"{self.name}: {domain.name} has {len(domain)} samples, not {FEWEST} to {MOST:,}")
        lacking = set(present.tolist()) - set(np.unique(self.target.labels).tolist())
        if bool(lacking) != ("partial" in self.tags) or bool((~self.shared).any()) != ("open" in self.tags):
            raise ValueError(f"{self.name}: the tags {self.tags} do not say which classes a side lacks")
        both = np.intersect1d(self.source.digests(), self.target.digests())
        if "counterparts" not in self.tags:
            both = np.union1d(both, np.intersect1d(self.source.columns["item"], self.target.columns["item"]))
        if len(both):
            raise ValueError(f"{self.name}: {len(both)} items are on both sides, such as {both[0]}")


# -- cutting -----------------------------------------------------------------------------------------------


def itemized(domain: Domain, items: Iterable[str] | None = None) -> Domain:
    """The domain with what its samples show as its column `item`: names that are given, else their content."""
    names = domain.digests() if items is None else np.array(list(items), dtype=np.str_)
    return domain.replace(columns={**domain.columns, "item": names})


def hashes(items: Iterable[str], salt: str = "") -> NDArray[np.uint64]:
    """A number for each item that its name alone decides, (n,)."""
    digests = (hashlib.sha256(f"{salt}{item}".encode()).digest()[:8] for item in items)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)


def thinned(domain: Domain, each: int | Sequence[int], salt: str = "") -> Domain:
    """At most `each` samples of a class (a number, or one for each class), chosen by the hash of their items."""
    assert domain.classes is not None
    most = np.broadcast_to(each, len(domain.classes))
    rank = np.empty(len(domain), dtype=np.int64)
    order = np.argsort(hashes(domain.columns["item"].tolist(), salt), kind="stable")
    for label in range(len(domain.classes)):
        members = order[domain.labels[order] == label]
        rank[members] = np.arange(len(members))
    return domain.take(rank < most[domain.labels])


def side(domain: Domain, which: int, salt: str = "") -> Domain:
    """Of the items the one half (0) or the other (1), by their hash."""
    return domain.take(hashes(domain.columns["item"].tolist(), f"side {salt}") % 2 == which)


def classed(domain: Domain, labels: Sequence[str], names: Sequence[str]) -> Domain:
    """The samples whose label is one of `names`, which become the classes."""
    kept = np.isin(np.asarray(labels), names)
    y = np.array([names.index(label) for label in np.asarray(labels)[kept].tolist()], dtype=np.int64)
    return domain.take(kept).with_labels(y, ClassSpace(names=tuple(names)))


def common_classes(domains: Sequence[Domain], fewest: int) -> list[Domain]:
    """The domains on the classes, by name, of which each of them has at least `fewest` samples."""
    counts = []
    for domain in domains:
        assert domain.classes is not None
        labels = np.array(domain.classes.names)[domain.labels]
        counts.append({name: int((labels == name).sum()) for name in domain.classes.names})
    names = [name for name in counts[0] if all(count.get(name, 0) >= fewest for count in counts)]
    return [
        classed(domain, [domain.classes.names[label] for label in domain.labels], names)  # type: ignore[union-attr]
        for domain in domains
    ]


def apart(source: Domain, target: Domain) -> Domain:
    """The target without samples whose content the source has, too."""
    return target.take(~np.isin(target.digests(), source.digests()))


# -- variants ----------------------------------------------------------------------------------------------


def small(case: Case, *, source: int | None = None, target: int | None = None) -> Case:
    """The case with few samples of a class on one side or on both."""
    return varied(
        case,
        "small",
        case.source if source is None else thinned(case.source, source, "small"),
        case.target if target is None else thinned(case.target, target, "small"),
    )


def unbalanced(case: Case, ratio: float = 10) -> Case:
    """The target with ever fewer samples of later classes, of the last one `ratio` times fewer than of the first."""
    counts = np.bincount(case.target.labels, minlength=len(case.target.classes or ()))
    shares = ratio ** -np.linspace(0, 1, len(counts))
    return varied(
        case, "unbalanced", case.source, thinned(case.target, np.ceil(counts * shares).astype(int).tolist(), "rare")
    )


def partial(case: Case, share: float = 0.5) -> Case:
    """The target without its last classes."""
    kept = max(2, round(share * len(case.source.classes or ())))
    return varied(case, "partial", case.source, case.target.take(case.target.labels < kept))


def opened(case: Case, share: float = 0.7) -> Case:
    """The source without the last classes, which the target keeps."""
    assert case.source.classes is not None
    known = max(2, round(share * len(case.source.classes)))
    space = case.source.classes.replace(seen=np.arange(known))
    return varied(
        case,
        "open",
        case.source.take(case.source.labels < known).replace(classes=space),
        case.target.replace(classes=space),
    )


def varied(case: Case, tag: str, source: Domain, target: Domain) -> Case:
    """The case with other sides and one more tag."""
    return dataclasses.replace(case, source=source, target=target, tags=(*case.tags, tag), variant=tag)
