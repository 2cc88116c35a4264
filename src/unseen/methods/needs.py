"""Needs: what a system lacks beside the words of `fit`, in a sentence, and an example that lacks nothing."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.compositions import composed, compositions
from unseen.data.domain import Domain
from unseen.data.ontologies import related

REGIONS = "regions"
"""The column with the features of the regions of each sample, (n, regions, d)."""


def has_regions(domain: Domain) -> bool:
    """Whether samples come with the features of their regions; a column of words with that name is no such thing."""
    return REGIONS in domain.columns and domain.columns[REGIONS].dtype.kind in "fiub"


@runtime_checkable
class Given(Protocol):
    """What a need looks at: the words of `fit` that a user has."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Values by words."""

    @property
    def shared_space(self) -> bool:
        """Whether class embeddings lie in the space of the samples."""


class Need(abc.ABC):
    """Something that a system needs beside the words of its `fit`. Packages of others bring needs of their own."""

    first: ClassVar[bool] = False
    """Whether it is told before the words that are missing."""
    makes: ClassVar[tuple[str, ...]] = ()
    """Words that `example` makes anew, whatever the standard input would be."""

    @abc.abstractmethod
    def lacks(self, given: Given) -> str | None:
        """Return what is missing, in words that go on from "it"; None if nothing is."""

    def check(self, word: str, value: Any) -> None:  # noqa: B027 - most needs refuse nothing in `fit`
        """Raise `ValueError` if an input of `fit` is not what is needed."""

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the words of small inputs that must be others for this need, with their values."""
        return {}


class ClassNeed(Need):
    """A need of what is known of the classes: it lacks nothing where no classes are given."""

    def lacks(self, given: Given) -> str | None:
        """Return what the classes lack."""
        classes = given.inputs.get("classes")
        return self.missing(classes, given) if isinstance(classes, ClassSpace) else None

    @abc.abstractmethod
    def missing(self, classes: ClassSpace, given: Given) -> str | None:
        """Return what these classes lack."""


@dataclasses.dataclass(frozen=True)
class SharedSpace(ClassNeed):
    """Class embeddings among the samples, as a two-tower encoder places them."""

    def missing(self, classes: ClassSpace, given: Given) -> str | None:
        """Return what these classes lack."""
        if given.shared_space and classes.embeddings is not None:
            return None
        return "needs a two-tower encoder, such as lite-clip, that places class names among the samples"


@dataclasses.dataclass(frozen=True)
class Compositions(ClassNeed):
    """Classes that are pairs of an attribute and an object (`unseen.data.compositions`)."""

    def missing(self, classes: ClassSpace, given: Given) -> str | None:
        """Return what these classes lack."""
        return (
            None
            if composed(classes)
            else "needs classes that are pairs: a class file with the columns attribute and object"
        )

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return classes of the same names as pairs of two attributes and three objects, each of them seen."""
        classes = inputs.get("classes")
        if not isinstance(classes, ClassSpace):
            return {}
        pairs = [(("wet", "old")[i % 2], ("dog", "cat", "car")[i % 3]) for i in range(len(classes))]
        return {"classes": compositions(pairs, names=classes.names, seen=classes.seen)}


@dataclasses.dataclass(frozen=True)
class Related(ClassNeed):
    """Classes that carry an ontology, a tree, a graph or attributes (`unseen.data.ontologies.related`)."""

    def missing(self, classes: ClassSpace, given: Given) -> str | None:
        """Return what these classes lack."""
        return (
            None
            if related(classes)
            else "needs classes that are related: --ontology, or parents or attributes in the class file"
        )


@dataclasses.dataclass(frozen=True)
class Regions(Need):
    """Features of regions: a sample as one region is too little to be worth a try."""

    def lacks(self, given: Given) -> str | None:
        """Return what the source lacks."""
        source = given.inputs.get("source")
        if not isinstance(source, Domain) or has_regions(source):
            return None
        return 'needs features of regions: --encoder "efficientnet-lite0?crop=1&layer=4&regions=14"'


@dataclasses.dataclass(frozen=True)
class Domains(Need):
    """A source of at least `n` domains, told apart by its column `domain`."""

    n: int

    def lacks(self, given: Given) -> str | None:
        """Return what the source lacks."""
        source = given.inputs.get("source")
        if not isinstance(source, Domain) or len(source.domains) >= self.n:
            return None
        return f"needs a source of at least {self.n} domains, told apart by a column domain"

    def check(self, word: str, value: Any) -> None:
        """Raise `ValueError` if the source is of fewer domains."""
        if word != "source" or len(value.domains) >= self.n:
            return
        told = (
            f"its column has {', '.join(map(repr, value.domains))}"
            if "domain" in value.columns
            else "it has no such column"
        )
        raise ValueError(
            f"source must be of at least {self.n} domains, told apart by a column `domain` "
            f"(`unseen.data.domain.concatenate` writes one); {told}"
        )

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the source as if it were of `n` domains, each with samples of all classes."""
        source = inputs.get("source")
        if not isinstance(source, Domain):
            return {}
        names = np.array([f"style {i}" for i in range(self.n)])
        turn = np.arange(len(source)) // len(np.unique(source.labels)) % self.n
        return {"source": source.replace(columns={**source.columns, "domain": names[turn]})}


@dataclasses.dataclass(frozen=True)
class TwoTowers(Need):
    """An `encoder` of two towers that are read and prompted inside (`unseen.nn.prompting.PromptableTowers`)."""

    first: ClassVar[bool] = True

    def lacks(self, given: Given) -> str | None:
        """Return that there is no such encoder."""
        if given.inputs.get("encoder") is not None:
            return None
        return "reads and prompts a two-tower model inside: fit it in Python, with unseen.encoders.promptable"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return two small towers with rows as wide as 16 features: two layers, 2 (2 + 4) moments, and 4 dimensions."""
        if "encoder" not in inputs:
            return {}
        from unseen.nn.small_towers import small_towers

        return {"encoder": small_towers()}
