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
    by_default: ClassVar[bool] = False
    """Whether it is that of the default settings: it is told of a method that is planned, not of one that is made."""
    makes: ClassVar[tuple[str, ...]] = ()
    """Words that `example` makes anew, whatever the standard input would be."""

    @abc.abstractmethod
    def lacks(self, given: Given) -> str | None:
        """Return what is missing, in words that go on from "it"; None if nothing is."""

    def check(self, word: str, value: Any) -> None:  # noqa: B027 - most needs refuse nothing in `fit`
        """Raise `ValueError` if an input of `fit` is not what is needed."""

    def check_sample(self, word: str, i: int, sample: Any) -> None:  # noqa: B027 - most needs look at no sample
        """Raise `ValueError` if sample `i` is not what is needed; each is read once, whoever looks at it."""

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
    """Class embeddings among the samples, as an encoder of pictures and texts places them, or one of texts."""

    def missing(self, classes: ClassSpace, given: Given) -> str | None:
        """Return what these classes lack."""
        if given.shared_space and classes.embeddings is not None:
            return None
        return (
            "needs class names among the samples: pictures and a two-tower encoder, such as lite-clip, or texts and "
            "the names of their classes"
        )


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
        from unseen.data.ontologies import related

        return (
            None
            if related(classes)
            else "needs classes that are related: an ontology, or parents or attributes in the class file"
        )


@dataclasses.dataclass(frozen=True)
class Regions(Need):
    """Features of regions: a sample as one region is too little to be worth a try."""

    def lacks(self, given: Given) -> str | None:
        """Return what the source lacks."""
        source = given.inputs.get("source")
        if not isinstance(source, Domain) or has_regions(source):
            return None
        return 'needs features of regions: encoder="efficientnet-lite0?crop=1&layer=4&regions=14"'


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
        actual = (
            f"its column has {', '.join(map(repr, value.domains))}"
            if "domain" in value.columns
            else "it has no such column"
        )
        raise ValueError(
            f"source must be of at least {self.n} domains, told apart by a column `domain` "
            f"(`unseen.data.domain.concatenate` writes one); {actual}"
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
class LabeledClasses(Need):
    """At least `n` classes with labelled samples, on all sides together."""

    n: int

    def lacks(self, given: Given) -> str | None:
        """Return that there are fewer."""
        sides = [given.inputs.get(word) for word in ("source", "support", "auxiliary")]
        labels = [side.labels for side in sides if isinstance(side, Domain) and side.y is not None]
        known = [y[y >= 0] for y in labels]
        count = len(np.unique(np.concatenate(known))) if known else self.n
        return None if count >= self.n else f"needs labelled samples of at least {self.n} classes; there are {count}"


@dataclasses.dataclass(frozen=True)
class PixelClasses(Need):
    """Pictures with a class for each pixel (task mask), and a `model` that scores these (`nn.protocols.Segmenter`)."""

    def lacks(self, given: Given) -> str | None:
        """Return that the source has no masks."""
        source = given.inputs.get("source")
        if isinstance(source, Domain) and source.task == "mask":
            return None
        return "needs pictures with a mask each: unseen segment"

    def check_sample(self, word: str, i: int, sample: Any) -> None:
        """Raise `ValueError` if a picture is no colours with values in [0, 1]."""
        from unseen.data.pixels import as_picture

        try:
            picture = as_picture(sample)
        except TypeError as error:
            raise ValueError(f"{word} must hold pictures as numbers; sample {i} is none: {error}") from error
        if picture.ndim != 3 or picture.shape[0] != 3:
            raise ValueError(f"{word} must hold RGB pictures, (3, height, width); sample {i} is {tuple(picture.shape)}")
        low, high = float(picture.min()), float(picture.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"{word} must hold pictures with values in [0, 1]; sample {i} has {low:.3g} to {high:.3g}")

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return twelve pictures with masks, four pictures to adapt to, and a small network of as many classes."""
        from unseen.data.tasks import task_of
        from unseen.data.tasks.base import objects
        from unseen.nn.segmenters import small_unet
        from unseen.runtime import reproducible

        changed: dict[str, Any] = {}
        for word, value in inputs.items():
            if isinstance(value, Domain):
                few = value.take(slice(0, 4 if word == "target" else 12))
                x = np.stack([np.asarray(as_array) for as_array in few.x])
                x = (1 / (1 + np.exp(-x))).astype(np.float32)
                masks = task_of("mask").example(len(few), seed=len(value), n_classes=4)
                y = objects(np.resize(mask, x.shape[2:]) for mask in masks)
                changed[word] = few.replace(x=x, y=y, task="mask")
            elif word == "model":
                with reproducible(5):
                    changed[word] = small_unet(4, width=4, depth=2).eval()
        return changed


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


@dataclasses.dataclass(frozen=True)
class TrainableTowers(Need):
    """A `model` of two towers that are trained and number their own texts (`unseen.nn.dual_encoder.DualEncoder`)."""

    first: ClassVar[bool] = True

    def lacks(self, given: Given) -> str | None:
        """Return that there is no such model."""
        from unseen.nn.protocols import TokenizingTowers

        if isinstance(given.inputs.get("model"), TokenizingTowers):
            return None
        return "goes on with a two-tower model: `unseen continue`, or in Python with unseen.encoders.trainable"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return small towers for the samples that are there, sentences for a corpus, and a template for prompts."""
        source = inputs.get("source")
        if "model" not in inputs or not isinstance(source, Domain):
            return {}
        from unseen.nn.small_towers import small_dual_encoder

        width = 0 if source.kind == "image" else source.n_features
        others: dict[str, Any] = {"model": small_dual_encoder(source.kind, width)}
        if "corpus" in inputs:
            words = np.array([f"a {word} of {n}" for n in range(8) for word in ("red hat", "long way", "calm sea")])
            others["corpus"] = Domain(x=words, kind="text", y=np.zeros(len(words), dtype=np.int64), name="corpus")
        if "prompts" in inputs:
            others["prompts"] = ("a drawing of a {}.", "the {}.")
        return others


@dataclasses.dataclass(frozen=True)
class NamedTowers(Need):
    """An `encoder` of two towers that names can be read by: such as train whole, or such as samples were read by."""

    first: ClassVar[bool] = True

    def lacks(self, given: Given) -> str | None:
        """Return that there is no such encoder."""
        if given.inputs.get("encoder") is not None or getattr(given, "towers", None) is not None:
            return None
        return "needs a two-tower encoder that reads samples and names, such as lite-clip or open_clip:..."

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return small towers for the samples that are there, and sentences of some classes."""
        source = inputs.get("source")
        if "encoder" not in inputs or not isinstance(source, Domain):
            return {}
        from unseen.data.descriptions import DescriptionBank
        from unseen.nn.small_towers import small_dual_encoder

        width = 0 if source.kind == "image" else source.n_features
        others: dict[str, Any] = {"encoder": small_dual_encoder(source.kind, width)}
        if "prompts" in inputs:
            others["prompts"] = DescriptionBank({"bell": ["it rings", "it hangs"], "drum": "it is loud; it is round"})
        return others


@dataclasses.dataclass(frozen=True)
class PromptedTowers(NamedTowers):
    """An `encoder` of two frozen towers whose texts take prompts of vectors (`nn.prompting.PromptableTowers`)."""

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return two small towers, and a list of words."""
        if "encoder" not in inputs:
            return {}
        from unseen.nn.small_towers import small_towers

        others: dict[str, Any] = {"encoder": small_towers()}
        if "corpus" in inputs:
            words = np.array(["red hat", "long way", "calm sea", "fan", "old tree"])
            others["corpus"] = Domain(x=words, kind="text", y=np.zeros(len(words), dtype=np.int64), name="words")
        return others
