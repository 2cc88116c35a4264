"""What a generator is told of a class: the vectors of an ontology, or another matrix in their place (step 9)."""

import dataclasses
import zlib
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.ontologies import derived, texts_of
from unseen.methods.base import Method
from unseen.methods.parameters import Count, NonNegative, Positive
from unseen.methods.zero_shot.ontozsl.encoder import OntologyEncoder, settings_of
from unseen.nn.text_vectors import text_vectors, word_vectors
from unseen.nn.unseen_classes import described

Condition = Literal["structure+text", "structure", "text", "words", "attributes", "random"]
OF_ONTOLOGY = ("structure+text", "structure", "text")


class Conditioned(Method):
    """A method with an `OntologyEncoder` and the switch of what conditions the generator."""

    condition: Condition = "structure+text"
    balanced: bool = True
    dim: Count = 128
    gamma: Positive = 6.0
    negatives: Count = 32
    temperature: NonNegative = 1.0
    structure_steps: Count = 1500
    structure_batch_size: Count = 128
    structure_learning_rate: Positive = 1e-2
    weighting: Literal["mean", "tfidf"] = "mean"
    margin: NonNegative = 10.0
    text_epochs: Count = 50
    text_batch_size: Count = 100
    text_learning_rate: Positive = 1e-3

    centre_: Tensor = dataclasses.field(init=False)
    corpus_: tuple[str, ...] = dataclasses.field(init=False)
    concepts_: tuple[str, ...] = dataclasses.field(init=False)
    vectors_: Tensor = dataclasses.field(init=False)

    def _learn_conditions(self, source: Domain, classes: ClassSpace, words: Any) -> Float[Tensor, "c a"]:
        """The condition of every class; the encoder of an ontology is trained, and its vectors are kept."""
        if self.condition in OF_ONTOLOGY:
            ontology = derived(classes)
            encoder = OntologyEncoder(**settings_of(self), text_aware=self.condition != "structure")
            encoder.fit(ontology, words)
            part: Any = self.condition
            self.concepts_ = encoder.concepts_
            self.vectors_ = encoder.transform(encoder.concepts_, part)
        if self.condition == "words":
            self.corpus_ = texts_of(classes)
        a = self._unscaled(classes, words)
        self.centre_ = torch.zeros(a.shape[1])
        if self.balanced:
            seen = torch.as_tensor(np.unique(source.labels))
            self.centre_ = a[seen].double().mean(dim=0).float()
        return self._conditions(classes, words)

    def _conditions(self, classes: ClassSpace, words: Any) -> Float[Tensor, "c a"]:
        """The condition of every class: if `balanced`, less the mean of the seen, at length sqrt(a), that of noise."""
        a = self._unscaled(classes, words)
        if a.shape[1] != len(self.centre_):
            raise ValueError(f"classes must be told by {len(self.centre_)} values each; got {a.shape[1]}")
        if not self.balanced:
            return a
        a = a - self.centre_
        same = torch.nonzero(a.norm(dim=1) < 1e-6 * self.centre_.norm()).flatten().tolist()
        if same:
            detail = f"what is said of {classes.names[same[0]]!r} is the mean of all seen ones"
            raise ValueError(f"classes must be told apart: {detail}; balanced=False takes vectors as they are")
        return a.shape[1] ** 0.5 * F.normalize(a, dim=1)

    def _unscaled(self, classes: ClassSpace, words: Any) -> Float[Tensor, "c a"]:
        """Vectors as they are; none is 0."""
        a = self._vectors(classes, words)
        empty = torch.nonzero(a.norm(dim=1) == 0).flatten().tolist()
        if empty:
            detail = f"nothing is known of {classes.names[empty[0]]!r} (condition={self.condition!r})"
            raise ValueError(f"classes must say something of every class; {detail}")
        return a

    def _vectors(self, classes: ClassSpace, words: Any) -> Float[Tensor, "c a"]:
        if self.condition in OF_ONTOLOGY:
            return self._learnt(classes)
        if self.condition == "words":
            return text_vectors(texts_of(classes), word_vectors(words), self.weighting, self.corpus_).vectors
        if self.condition == "attributes":
            return described(classes)
        width = 2 * self.dim
        seeds = [[self.random_state, zlib.crc32(name.encode())] for name in classes.names]
        rows = [np.random.default_rng(entropy).normal(size=width) for entropy in seeds]
        return torch.as_tensor(np.stack(rows), dtype=torch.float32)

    def _learnt(self, classes: ClassSpace) -> Float[Tensor, "c a"]:
        """The vectors of the concepts of some classes; each must have been learnt."""
        place = {name: i for i, name in enumerate(self.concepts_)}
        names = concept_names(classes)
        lost = [label for label, name in zip(classes.names, names) if name not in place]
        if lost:
            raise ValueError(
                f"classes must be concepts of the ontology that was learnt; {lost[0]!r} is none of its {len(place)}: "
                "fit anew with an ontology that has it"
            )
        return self.vectors_[torch.as_tensor([place[name] for name in names])]


def concept_names(classes: ClassSpace) -> tuple[str, ...]:
    """The concept of each class, by name."""
    ontology = classes.ontology
    return classes.names if ontology is None else tuple(ontology.concepts[i] for i in ontology.nodes)


def check_conditions(classes: ClassSpace, condition: Condition) -> None:
    """Refuse classes of which nothing is known, before work."""
    if condition in OF_ONTOLOGY:
        derived(classes)
    elif condition == "attributes":
        described(classes)
