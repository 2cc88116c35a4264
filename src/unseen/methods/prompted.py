"""What methods share that learn a prompt for two frozen towers from pictures of seen classes."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.augment import random_flip, random_resized_crop
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import batches
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, Natural, NonNegative, Positive
from unseen.nn.prompt_learners import (
    ContextLearner,
    Kind,
    Named,
    RegulatedLearner,
    StyledLearner,
    conditional_classes,
    make_learner,
    prompted_classes,
)
from unseen.nn.prompting import PromptableTowers
from unseen.nn.softmax import NEVER
from unseen.nn.unseen_classes import seen_classes

MOMENTUM, DECAY = 0.9, 5e-4
"""Of SGD."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learnt from: few samples of base classes, with labels from 0, and the numbers of these among all."""

    source: Domain
    base: np.ndarray
    learner: ContextLearner


class PromptedMethod(NetworkMethod):
    """A prompt learner on few pictures of seen classes; which one, and what stands beside it, subclasses say.

    Attributes
    ----------
    network_ : Module
        From pictures, or rows read before, to scores of `classes_`.
    classes_ : ClassSpace
    seen_ : Tensor (k,)
        Whether a class was learnt from.
    learnt_ : dict of str to Tensor
        What the learner has learnt: the context, and for CoCoOp a small network.
    """

    learner: Kind = "coop"
    n_context: Count = 4
    words: str = "a photo of a"
    generalized: bool = False
    handicap: NonNegative = 0.0
    shots: Natural = 16
    learning_rate: Positive = 2e-3
    epochs: Natural = 50
    batch_size: Count = 32

    def _task(self, source: Domain, classes: ClassSpace, encoder: Any) -> Task:
        """Few samples, and the learner as it begins."""
        if not isinstance(encoder, PromptableTowers):
            expected = (
                "PromptableTowers, such as unseen.encoders.trainable.shared_space(encoder) makes of a two-tower one"
            )
            raise TypeError(f"encoder must be {expected}; got {type(encoder).__name__}")
        if source.kind == "features" and source.n_features != encoder.image.width:
            raise ValueError(
                f"source must hold features of the encoder, of width {encoder.image.width}; it has {source.n_features}"
            )
        base = seen_classes(source, classes)
        few = _few(source, self.shots, self.random_state)
        few = few.replace(y=np.searchsorted(base, few.labels), classes=classes.take(base))
        learner = make_learner(self.learner, encoder, self.n_context, self.words)
        learner.named(classes.names)  # a name that is too long is told before work
        if isinstance(learner, StyledLearner):
            learner.standardize(_rows(learner, few))
        return Task(few, base, learner)

    def _settle(self, task: Task, classes: ClassSpace) -> Self:
        """What predicts: the learner's prompts of all classes, and nothing else of training."""
        learner = task.learner.cpu()
        if isinstance(learner, RegulatedLearner):
            learner.settle()
        self.classes_ = classes
        self.seen_ = torch.as_tensor(np.isin(np.arange(len(classes)), task.base))
        self.learnt_ = {name: value.detach().clone() for name, value in learner.state_dict().items()}
        self.network_ = predicting(learner, learner.named(classes.names))
        return self

    def with_classes(self, classes: ClassSpace, encoder: PromptableTowers) -> Self:
        """A fitted copy that predicts other classes: their names in the prompt that was learnt, by the same towers."""
        learner = make_learner(self.learner, encoder, self.n_context, self.words)
        learner.load_state_dict(self.learnt_)
        known = {name for name, seen in zip(self.classes_.names, self.seen_.tolist()) if seen}
        other = copy.copy(self)
        other.classes_ = classes
        other.seen_ = torch.tensor([name in known for name in classes.names])
        other.network_ = predicting(learner, learner.named(classes.names))
        return other

    def _offset(self) -> Float[Tensor, " k"]:
        """What is added to scores: classes that are no candidates, and the handicap of seen ones (see `handicap`)."""
        unseen = torch.ones_like(self.seen_).index_fill(0, torch.as_tensor(self.classes_.seen), False)
        if bool(unseen.any()) and not self.generalized:
            return torch.where(unseen, 0.0, NEVER)
        return torch.where(self.seen_, -self.handicap if self.generalized else 0.0, 0.0)

    def decision_function(self, x: Tensor) -> Float[Tensor, "n k"]:
        """Scores of the classes, (n, K)."""
        return (super().decision_function(x) + self._offset()).clamp_min(NEVER)

    def network(self) -> nn.Module:
        """The fitted network, with the offsets of classes."""
        network: Any = copy.deepcopy(self.network_)
        network.offset = self._offset()
        return network


def predicting(learner: ContextLearner, named: Named) -> nn.Module:
    """What predicts with a learner's prompts of classes."""
    towers = learner.towers
    image = towers.image
    if not learner.conditional:
        network: Any = prompted_classes(image, len(named), image.dim, learner.scale)
        with torch.no_grad():
            network.weights = learner.text_features(named).cpu()
    else:
        rest = named.prompts.rest
        kind = "ad-clip" if isinstance(learner, StyledLearner) else "cocoop"
        network = conditional_classes(
            image, towers.text, len(rest), rest.shape[1], learner.n_context, learner.scale, kind
        )
        network.text.load_state_dict(towers.text.state_dict())
        network.meta.load_state_dict(learner.meta.state_dict())  # type: ignore[union-attr]
        network.context = learner.context.detach().clone()
        for key, value in vars(named.prompts).items():
            setattr(network, key, value.cpu().clone())
    network.image.load_state_dict(image.state_dict())
    learner.release()
    return network.requires_grad_(False).cpu().eval()


@torch.no_grad()
def _rows(learner: ContextLearner, source: Domain) -> Tensor:
    """What the image tower says of all samples."""
    whole = batches(source, 256, shuffle=False, drop_last=False)
    return torch.cat([learner.rows(batch.x) for batch in whole(None)])


def views(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random resized crops and flips."""
    return random_flip(random_resized_crop(x, generator, scale=(0.08, 1.0)), generator)


def _few(source: Domain, shots: int, seed: int) -> Domain:
    """At most `shots` samples of each class; all with 0."""
    if not shots:
        return source
    order = np.random.default_rng(seed).permutation(len(source))
    kept = [order[source.labels[order] == label][:shots] for label in np.unique(source.labels)]
    return source.take(np.sort(np.concatenate(kept)))
