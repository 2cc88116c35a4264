"""What learns a stream of tasks with two towers: any class with a name can be asked about, learnt or not."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace, join
from unseen.data.domain import Domain
from unseen.methods.base import Method
from unseen.nn.dual_encoder import in_parts, named_classes, sentence, templates_of
from unseen.nn.protocols import TokenizingTowers


class TowerStream(Method):
    """What all methods have that learn one task after another with two towers; `unseen continue` takes any subclass.

    A subclass learns in `_learn`, and may keep something of the task in `_keep`.

    Attributes
    ----------
    network_ : Module
        The two towers.
    classes_ : ClassSpace
        All classes learnt so far, in the order of the tasks.
    tasks_ : tuple of dict
        `classes` and `templates` of each task.
    vectors_ : Tensor (K, d)
        Of `classes_`: the mean over templates of the unit vectors of their texts, of unit length.
    """

    reads_references: ClassVar[bool] = True
    """Whether `auxiliary` and `corpus` make a difference."""

    network_: nn.Module = dataclasses.field(init=False)

    # -- learning ------------------------------------------------------------------------------------------

    def fit(
        self,
        *,
        source: Domain,
        model: nn.Module,
        classes: ClassSpace | None = None,
        auxiliary: Domain | None = None,
        corpus: Domain | None = None,
        prompts: Any = None,
    ) -> Self:
        """Begin a stream with the first task; see `partial_fit`."""
        return self.partial_fit(
            source=source, model=model, classes=classes, auxiliary=auxiliary, corpus=corpus, prompts=prompts
        )

    def partial_fit(
        self,
        *,
        source: Domain,
        model: nn.Module | None = None,
        classes: ClassSpace | None = None,
        auxiliary: Domain | None = None,
        corpus: Domain | None = None,
        prompts: Any = None,
    ) -> Self:
        """Learn the next task of the stream.

        Parameters
        ----------
        source : Domain
            Labelled pictures of the task, or features that the image tower reads.
        model : Module
            The two towers, for the first task; a copy of them is trained.
        classes : ClassSpace
            The task's classes, whose first are those of `source`; those of `source` if absent.
        auxiliary : Domain
            Reference pictures, which need no labels.
        corpus : Domain
            Reference sentences, which belong to no picture.
        prompts : sequence of str
            Templates with a place {} for the name of a class; "a photo of a {}." if absent.
        """
        before = dict(self.fitted)
        begun = "network_" in before
        network = self._begin(model) if not begun else self._go_on(model)
        space, templates = _named(source, classes), templates_of(prompts)
        task = {"classes": space.names, "templates": templates}
        self.network_ = self._learn(network, source, task, auxiliary, corpus).eval()
        self.tasks_: tuple[dict[str, Any], ...] = (*before.get("tasks_", ()), task)
        self.classes_: ClassSpace = join(before["classes_"], _plain(space)) if begun else _plain(space)
        self.vectors_ = self._vectors(self.classes_)
        self._keep(source)
        return self

    def _learn(
        self, network: Any, source: Domain, task: dict[str, Any], auxiliary: Domain | None, corpus: Domain | None
    ) -> nn.Module:
        """Learn the task, and return the towers that come of it; they may be those that are given."""
        return network

    def _keep(self, source: Domain) -> None:
        """Keep something of a task that was learnt."""

    def _begin(self, model: nn.Module | None) -> nn.Module:
        """A copy of the towers."""
        if model is None:
            raise ValueError("model is needed for the first task of a stream: two towers, as unseen.encoders.trainable "
                             "makes them; got none")  # fmt: skip
        if not isinstance(model, TokenizingTowers):
            expected = "two towers with encode_image, encode_text, logit_scale and tokenize"
            raise TypeError(f"model must be {expected}, such as a DualEncoder; got {type(model).__name__}")
        return copy.deepcopy(model)

    def _go_on(self, model: nn.Module | None) -> nn.Module:
        if model is not None:
            raise ValueError(
                f"model is for the first task of a stream; this one goes on with what {len(self.tasks_)} made of it"
            )
        return copy.deepcopy(self.network_)

    # -- asking --------------------------------------------------------------------------------------------

    def decision_function(
        self, x: Tensor, classes: ClassSpace | None = None, prompts: Sequence[str] | None = None
    ) -> Float[Tensor, "n k"]:
        """s <z, w_k> of the classes asked about, (n, k); of all classes that were learnt if none are named.

        Parameters
        ----------
        x : Tensor
        classes : ClassSpace, optional
            Any classes with names: those of one task, or such as no task had.
        prompts : sequence of str, optional
            Templates; those of the class's own task if absent, of the last task for a class that none had.
        """
        network: Any = self.network_
        w = self.vectors_ if classes is None and prompts is None else self._vectors(classes or self.classes_, prompts)
        return network.logit_scale.detach().exp() * in_parts(network.encode_image, x) @ w.T

    def predict_proba(
        self, x: Tensor, classes: ClassSpace | None = None, prompts: Sequence[str] | None = None
    ) -> Float[Tensor, "n k"]:
        """Probabilities of the classes asked about, (n, k)."""
        return torch.softmax(self.decision_function(x, classes, prompts), dim=1)

    def predict(
        self, x: Tensor, classes: ClassSpace | None = None, prompts: Sequence[str] | None = None
    ) -> NDArray[np.int64]:
        """Index of the likeliest of the classes asked about, (n,)."""
        return self.decision_function(x, classes, prompts).argmax(dim=1).numpy()

    def network(self) -> nn.Module:
        """The image tower with the vectors of all classes that were learnt."""
        network: Any = self.network_
        scale = float(network.logit_scale.detach().exp())
        n, dim = self.vectors_.shape
        module = named_classes(copy.deepcopy(network.image), n, dim, scale)
        module.weights.copy_(self.vectors_)
        return module

    @torch.no_grad()
    def _vectors(self, classes: ClassSpace, prompts: Sequence[str] | None = None) -> Float[Tensor, "k d"]:
        """The mean over templates of the unit vectors of each class's texts, of unit length."""
        network: Any = self.network_
        common = None if prompts is None else templates_of(prompts)
        each = [common or self._template_of(name) for name in classes.names]
        texts = [sentence(template, name) for name, templates in zip(classes.names, each) for template in templates]
        vectors = in_parts(network.encode_text, network.tokenize(texts))
        means = [part.mean(dim=0) for part in torch.split(vectors, [len(templates) for templates in each])]
        return F.normalize(torch.stack(means), dim=1)

    def _template_of(self, name: str) -> tuple[str, ...]:
        """The templates of the last task that has a class of this name, else of the last task."""
        templates = [task["templates"] for task in self.tasks_ if name in task["classes"]]
        return (templates or [self.tasks_[-1]["templates"]])[-1]


# -- words -------------------------------------------------------------------------------------------------


def _named(source: Domain, classes: ClassSpace | None) -> ClassSpace:
    """The task's classes, with names."""
    space = source.classes if classes is None else classes
    if space is None:
        raise ValueError("source must have named classes, or classes must be given; prompts are made of their names")
    return space


def _plain(classes: ClassSpace) -> ClassSpace:
    """The names alone: what tasks say of their classes beyond them differs."""
    return ClassSpace(names=classes.names)
