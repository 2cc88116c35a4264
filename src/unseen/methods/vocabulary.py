"""`Card`, what is known of a system before it runs, and the vocabulary of `fit`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks import task_of
from unseen.methods.needs import Need

NeedOf = TypeVar("NeedOf", bound=Need)


@dataclasses.dataclass(frozen=True)
class Word:
    """An input of `fit`: its type, what it is, and whether it carries labels that a user gave for learning."""

    type: type
    sentence: str
    labeled: bool = False


VOCABULARY: Mapping[str, Word] = {
    "source": Word(Domain, "Samples with labels, of a domain that you know.", labeled=True),
    "target": Word(Domain, "Samples of the domain to work on; labels are removed before a method sees them."),
    "support": Word(Domain, "A handful of labelled samples of the target.", labeled=True),
    "auxiliary": Word(Domain, "Other data that may help; labels are kept if it has them."),
    "pairs": Word(Pairs, "Samples of two modalities that belong together."),
    "corpus": Word(Domain, "Texts or samples to search in, without labels."),
    "series": Word(Domain, "Time series to learn from."),
    "space": Word(object, "A search space, such as architectures to rank."),
    "classes": Word(ClassSpace, "The classes: names, descriptions, attributes, distances, which are seen."),
    "prompts": Word(object, "Texts with a place for a class name."),
    "model": Word(nn.Module, "The trained network that is adapted; a method works on a copy."),
    "teachers": Word(Mapping, "Trained networks to learn from, by name."),
    "encoder": Word(object, "A frozen network from samples to features."),
    "writer": Word(object, "A language model that writes texts."),
    "translator": Word(object, "Translates texts between languages."),
    "aligner": Word(object, "Aligns words of two languages."),
    "tagger": Word(object, "Marks spans of a text."),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a system before it runs.

    Attributes
    ----------
    slug, title, venue : str
        Its short name, and the paper's title and place.
    kind : {"method", "pipeline", "study"}
        A class that is fitted; stages over shards on disk; or functions that measure.
    commands : tuple of str
        What of the command line is made of it, as examples: for pipelines and studies.
    official_code : str
        Owner and name of the authors' repository, empty if there is none.
    summary : str
        What it does for a user, in one sentence.
    unseen : set of {"classes", "domains", "modalities", "data"}
        What the model has never seen.
    modalities : set of str
        Kinds of `Domain` it reads.
    reads : mapping of words to sets of str
        Kinds of single words of `fit`, where they are others: a corpus of texts beside pictures.
    protocols : set of str
        Protocols it can be graded by: closed, partial, open, open-partial, zsl, gzsl, quantization, nas,
        forecasting, curation, stream, captioning.
    task : str
        What the labels of samples are (`unseen.data.tasks`); `predict` then gives such labels.
    presets : mapping of name to hyperparameters
        What `compare` tries, at most four, fixed in advance.
    two_views : set of str
        Presets that read both views of pictures: the features of a frozen network, and those that it gives with the
        batch statistics of their domain (`unseen.encoders.views`).
    at_prediction : set of str
        Hyperparameters that `fit` does not read, only what predicts: presets that differ in nothing else share one fit
        in `compare`.
    on_request : set of str
        Presets that `compare` tries only if they are named, such as those of the paper's own size.
    smoke : mapping
        Hyperparameters that make a fit take a moment, for tests.
    parts : tuple of str
        What lives elsewhere, as dotted names.
    left_out : tuple of str
        Steps of the paper that are not here, each with its reason.
    notes : tuple of str
        Where it differs from the official code, and why.
    distributed : bool
        Whether its training may run in several processes.
    baseline : bool
        Whether it is what others are compared with, not one of the 61 systems.
    composed : bool
        Whether it is put together by others (a rule on top of a model) and never run, listed or compared by itself.
    rejects : bool
        Whether `predict` says by itself which samples are of no known class.
    regions : bool
        Whether it reads the features of regions, (n, regions, d): the column `regions` of a domain where there is one,
        else x as one region.
    needs : tuple of Need
        What it needs beside the words of `fit` (`unseen.methods.needs`), such as regions or related classes.
    target_columns : tuple of str
        Columns of `target` that it reads beside the samples; they must be known without labels. All others are removed.
    cost : float
        Seconds of one fit on 1,000 samples of 1,280 features on one core, roughly: what a budget is planned
        with.
    """

    slug: str
    title: str
    venue: str
    kind: Literal["method", "pipeline", "study"] = "method"
    official_code: str = ""
    summary: str = ""
    unseen: frozenset[str] | set[str] = frozenset()
    modalities: frozenset[str] | set[str] = frozenset({"features"})
    reads: Mapping[str, frozenset[str] | set[str]] = dataclasses.field(default_factory=dict)
    protocols: frozenset[str] | set[str] = frozenset({"closed"})
    task: str = "class"
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=lambda: {"default": {}})
    two_views: frozenset[str] | set[str] = frozenset()
    at_prediction: frozenset[str] | set[str] = frozenset()
    on_request: frozenset[str] | set[str] = frozenset()
    smoke: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    commands: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    distributed: bool = False
    baseline: bool = False
    composed: bool = False
    rejects: bool = False
    regions: bool = False
    needs: tuple[Need, ...] = ()
    target_columns: tuple[str, ...] = ()
    cost: float = 1.0

    def __post_init__(self) -> None:
        task_of(self.task)
        if not 1 <= len(self.presets) <= 4:
            raise ValueError(f"presets must be one to four; {self.slug} has {len(self.presets)}")
        if not set(self.two_views) <= set(self.presets):
            raise ValueError(f"two_views must hold presets; {self.slug} has {sorted(self.two_views)}")
        if not set(self.on_request) < set(self.presets):
            raise ValueError(f"on_request must hold some presets, not all; {self.slug} has {sorted(self.on_request)}")

    def needed(self, kind: type[NeedOf]) -> NeedOf | None:
        """The need of that kind, None if there is none."""
        return next((need for need in self.needs if isinstance(need, kind)), None)

    @property
    def reads_clips(self) -> bool:
        """Whether it learns from clips themselves, not from features of them."""
        return "clip" in self.modalities and "features" not in self.modalities

    @property
    def trains(self) -> bool:
        """Whether it trains the `model` that it is given, which moves to another domain."""
        return "domains" in self.unseen


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to call `fit`: the words it needs and the words it can use."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


def signature_of(function: Callable[..., Any]) -> Signature:
    """The words in the arguments of a learning verb."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    required = tuple(p.name for p in parameters if p.default is p.empty)
    return Signature(required, tuple(p.name for p in parameters if p.default is not p.empty))
