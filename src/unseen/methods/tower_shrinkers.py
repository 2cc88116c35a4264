"""What makes two towers small: a student of fewer parameters that learns to find alike what its teacher finds alike."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.samplers import batches, endless
from unseen.methods.base import Method
from unseen.methods.needs import Given, Need
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit
from unseen.nn.affinity import AffinityDistillation, Distilling, Taught
from unseen.nn.build import n_parameters
from unseen.nn.contrastive import LARGEST
from unseen.nn.dual_encoder import (
    DualEncoder,
    Letters,
    class_vectors,
    dual_encoder,
    in_parts,
    named_classes,
    templates_of,
)
from unseen.nn.schedules import warm_then_cosine
from unseen.nn.towers import text_tower, vision_tower
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

BETAS, EPSILON = (0.9, 0.98), 1e-6
AS_CLASSES = 1000
"""Texts of the pairs that stand for classes where none are named."""


class TowerShrinker(Method):
    """What all methods have that make two towers small; `unseen shrink` takes any subclass, those of plug-ins, too.

    A subclass makes the student in `_shrunk`, and tells in `_report` what is left of each tower.

    Parameters
    ----------
    size : float in (0, 1)
        Share of the teacher's parameters that the student has, at most or about.
    alpha, weight, logit_scale, rows
        Of the loss, see `unseen.nn.affinity.AffinityDistillation`; a scale of 0 is each tower's own.
    steps : int, >= 1
        Of distillation, each on `batch_size` pairs.
    learning_rate, warm_up, weight_decay, clip
        Of AdamW with a cosine; decay spares biases, norms and the scale.

    Attributes
    ----------
    student_ : DualEncoder
    size_ : float
        Share of the teacher's parameters that are left.
    report_ : tuple of dict
        A row for each tower: `side`, `plan` in words, and `parameters` kept and before.
    stages_ : tuple of dict
        Of each stage the share that was asked for and the one that came of it.
    history_ : tuple of dict of arrays
        Of each training, means over tenths of it.
    classes_, vectors_ : ClassSpace, Tensor (k, d)
        The classes that were named, or the first texts of the pairs, and their vectors.
    """

    size: Unit = 0.5
    alpha: Unit = 1.0
    weight: NonNegative = 1.0
    logit_scale: NonNegative = 50.0
    steps: Count = 300
    learning_rate: NonNegative = 1e-3
    warm_up: Natural = 30
    weight_decay: NonNegative = 0.1
    clip: Positive = 5.0
    batch_size: Count = 128
    rows: Count = 4096

    student_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, pairs: Pairs, model: nn.Module, classes: ClassSpace | None = None, prompts: Any = None) -> Self:
        """Make the student.

        Parameters
        ----------
        pairs : Pairs
            Pictures and a text of each, as the towers read them; they need not be what the teacher learnt from.
        model : DualEncoder
            The teacher.
        classes : ClassSpace
            What `predict` tells apart; the first texts of the pairs if absent.
        prompts : sequence of str
            Templates with a place {} for the name of a class.
        """
        templates = templates_of(prompts)
        if not 0 < self.size < 1:
            raise ValueError(f"size must lie in (0, 1): a share of the teacher's parameters; got {self.size!r}")
        self.refuse(model)
        texts = _checked(pairs)
        teacher: Any = copy.deepcopy(model).eval().requires_grad_(False)
        self.history_: tuple[dict[str, NDArray[Any]], ...] = ()
        self.stages_: tuple[dict[str, Any], ...] = ()
        student = self._shrunk(teacher, pairs, texts).eval().requires_grad_(True)
        self.student_ = student
        self.report_ = tuple(self._report(student, teacher))
        self.size_ = n_parameters(student) / n_parameters(teacher)
        named = classes is not None
        self.classes_ = classes or ClassSpace(names=tuple(dict.fromkeys(texts))[:AS_CLASSES])
        self.templates_ = templates if named or prompts is not None else ("{}",)
        self.vectors_ = class_vectors(student.cpu(), self.classes_.names, self.templates_)
        return self

    def refuse(self, model: nn.Module) -> None:
        """Raise `TypeError` where a model cannot be made small by this method.

        And `ValueError` where it cannot be made as small as `size` says, as far as its sizes alone tell: it may have no
        weights yet (`unseen.encoders.prunable.towers_by_size`).
        """
        if not isinstance(model, DualEncoder):
            raise TypeError(f"model must be two towers (`unseen.nn.dual_encoder`); got {type(model).__name__}")

    def work(self, n: int) -> tuple[int, float]:
        """Steps of learning from `n` pairs, and how many pairs the teacher could read in that time, about.

        A step reads its batch by the teacher, and by the student forward and back: three times a forward pass of its
        share of the parameters.
        """
        return self.steps, min(self.batch_size, n) * self.steps * (1 + 3 * self.size)

    def _shrunk(self, teacher: Any, pairs: Pairs, texts: Sequence[str]) -> Any:
        """The student of a teacher, which is a copy that may be kept."""
        raise TypeError(f"{type(self).__name__} makes nothing small")

    def _report(self, student: Any, teacher: Any) -> list[dict[str, Any]]:
        """What is left of each tower."""
        raise TypeError(f"{type(self).__name__} tells nothing")

    # -- learning from the teacher -------------------------------------------------------------------------

    def _taught(self, teacher: Any, texts: Sequence[str]) -> Taught:
        """What the teacher will say of the pairs."""
        labels = torch.as_tensor(np.unique(texts, return_inverse=True)[1])
        return Taught(teacher, teacher.tokenize(texts), int(class_vectors(teacher, ["a"]).shape[1]), labels)

    def _distilled(self, name: str, student: Any, taught: Taught, pairs: Pairs, warm_up: int, rate: float) -> None:
        """Mimic the teacher's affinities, for `steps` steps."""
        adam = self._adam(student, rate)
        student.train().requires_grad_(True)

        def hold(run: Run) -> None:
            self._hold(student)
            if run.step >= self.steps:
                run.stop()

        run = train(
            Distilling(student, taught, self._loss()),
            name=name,
            nets={"student": student, "taught": taught},
            optimizers={"adam": adam},
            schedulers={"rate": warm_then_cosine(adam, self.steps - 1, min(warm_up, self.steps - 1))},
            after_step=hold,
            **self._budget(self.steps, pairs),
        )
        student.eval()
        self._note(run)

    def _loss(self) -> AffinityDistillation:
        return AffinityDistillation(self.alpha, self.weight, self.logit_scale or None, self.rows)

    def _adam(self, towers: nn.Module, rate: float) -> torch.optim.Optimizer:
        """AdamW, whose decay spares biases, norms and the scale."""
        return torch.optim.AdamW(self._groups(towers), lr=rate, betas=BETAS, eps=EPSILON)

    def _groups(self, towers: nn.Module) -> list[dict[str, Any]]:
        groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for name, p in towers.named_parameters():
            if name != "logit_scale" or not self.logit_scale:
                groups[p.ndim < 2].append(p)
        return [{"params": groups[0], "weight_decay": self.weight_decay}, {"params": groups[1], "weight_decay": 0.0}]

    def _hold(self, towers: Any) -> None:
        """The scale is the one that is set, or learns up to CLIP's 100."""
        if self.logit_scale:
            towers.logit_scale.data.fill_(math.log(self.logit_scale))
        else:
            towers.logit_scale.data.clamp_(0, math.log(LARGEST))

    def _budget(self, steps: int, pairs: Pairs) -> dict[str, Any]:
        """Batches without an end, in ten epochs."""
        every = -(-steps // 10)
        stream = batches(pairs.left.unlabeled(), self.batch_size)
        return {
            "batches": lambda run: endless(stream, run),
            "epochs": -(-steps // every),
            "steps_per_epoch": every,
            "clip": self.clip,
        }

    def _note(self, run: Run) -> None:
        keys = run.history[0]
        means = {key: np.array([epoch[key] for epoch in run.history]) for key in keys}
        self.history_ = (*self.history_, means)

    # -- asking --------------------------------------------------------------------------------------------

    def decision_function(
        self, x: Tensor, classes: ClassSpace | None = None, prompts: Sequence[str] | None = None
    ) -> Float[Tensor, "n k"]:
        """s <z, w_k> of named classes; of those that `fit` was given if none are named."""
        student: Any = self.student_
        w = self.vectors_
        if classes is not None or prompts is not None:
            names = (classes or self.classes_).names
            w = class_vectors(student, names, self.templates_ if prompts is None else templates_of(prompts))
        return student.logit_scale.detach().exp() * in_parts(student.encode_image, x) @ w.T

    def network(self) -> nn.Module:
        """The image tower with the vectors of the classes."""
        student: Any = self.student_
        n, dim = self.vectors_.shape
        network = named_classes(copy.deepcopy(student.image), n, dim, float(student.logit_scale.detach().exp()))
        network.weights.copy_(self.vectors_)
        return network


# -- what they need ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TowersToShrink(Need):
    """A `model` of two towers (`unseen.nn.dual_encoder.DualEncoder`), and pictures with texts as `pairs`."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("pairs",)
    reason: ClassVar[str] = "makes a two-tower model small: `unseen shrink`, or in Python with unseen.encoders.prunable"

    def lacks(self, given: Given) -> str | None:
        """Return that there are no such towers."""
        return None if isinstance(given.inputs.get("model"), DualEncoder) else self.reason

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return small towers, and pictures with a text each."""
        if "model" not in inputs:
            return {}
        parts: dict[str, Any] = {"model": towers_of_a_moment(), "pairs": pairs_of_a_moment()}
        return parts | ({"prompts": ("a drawing of a {}.", "the {}.")} if "prompts" in inputs else {})


def towers_of_a_moment(side: int = 8) -> DualEncoder:
    """A transformer of two layers on either side, of no use."""
    with reproducible(13):
        sizes: dict[str, Any] = {"width": 16, "head": 4, "heads": (4, 4), "mlp": (32, 32), "dim": 8}
        image = vision_tower((side, side), (4, 4), **sizes)
        text = text_tower(32, 30, **sizes)
        return dual_encoder(image, text, Letters().to_json(), 20.0).eval()


def pairs_of_a_moment(n: int = 24, side: int = 8) -> Pairs:
    """Pictures of three shades with a text each."""
    rng = np.random.default_rng(14)
    words = ("dark", "grey", "light")
    x = rng.normal(size=(n, 3, side, side)).astype(np.float32) + (np.arange(n) % 3 - 1)[:, None, None, None]
    texts = np.array([f"{words[i % 3]} number {i}" for i in range(n)])
    pictures = Domain(x=x.astype(np.float32), kind="image", name="pictures")
    return Pairs(pictures, Domain(x=texts, kind="text", name="texts"))


def _checked(pairs: Pairs) -> list[str]:
    """The texts of pairs that can be learnt from."""
    if pairs.left.kind != "image" or pairs.right.kind != "text":
        raise ValueError(f"pairs must be of pictures and texts; got {pairs.left.kind} and {pairs.right.kind}")
    texts = [str(text) for text in pairs.right.x]
    empty = [i for i, text in enumerate(texts) if not text.strip()]
    if empty:
        first = str(pairs.ids[empty[0]])  # type: ignore[index]
        raise ValueError(f"pairs must have a text each; {len(empty)} have none, the first is {first!r}")
    if len(set(texts)) < 2:
        raise ValueError(f"pairs must have at least two unlike texts: affinities compare them; got {len(set(texts))}")
    return texts
