"""The loss of a step: real features, features of known classes, and features of new ones (steps 5 to 7)."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.methods.multimodal.ogen.generator import ClassStats, FeatureGenerator, Noise
from unseen.methods.multimodal.ogen.teacher import LocalMeanTeacher
from unseen.nn.prompt_learners import ContextLearner, Named
from unseen.nn.prompting import Prompts

REAL, AS_UNKNOWN, KNOWN, NEW = 0.25, 0.25, 0.25, 0.5
"""Weights of l_0 to l_3."""


class Outputs(NamedTuple):
    """What a student, or its teacher, says in a step.

    Attributes
    ----------
    w_b : Tensor
        Text features of base classes.
    real, as_unknown : Tensor (b, C_b)
        Logits of pictures, and of features that were made of their class as if it were unknown.
    known : Tensor (b K, C_b)
        Of features of the K nearest classes of each, made of the picture.
    new : Tensor (b K', C_n) or None
        Of features of the nearest new classes, among new classes alone.
    made, nearest : Tensor (b, d), (b, K, d)
        The features themselves.
    targets : Tensor (b K') or None
        The new classes.
    """

    w_b: Tensor
    real: Tensor
    as_unknown: Tensor
    known: Tensor
    new: Tensor | None
    made: Tensor
    nearest: Tensor
    targets: Tensor | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Of the losses; the defaults are the released ones."""

    real: float = REAL
    as_unknown: float = AS_UNKNOWN
    known: float = KNOWN
    new: float = NEW
    distillation: float = 1.0


class Objective(nn.Module):
    """L = r_1 + r_2 + .25 l_0 + .25 l_1 + .25 l_2 / K + .5 l_3 / K, after epochs of r_1 + r_2 alone.

    Parameters
    ----------
    classes : Named
        Base classes, then new ones, of which there may be none.
    base : int
        How many are base classes.
    stats : ClassStats
        Of base classes.
    neighbours : Tensor (C_b, K)
    weights : Weights
    noise : {"one-sided", "symmetric"}
    """

    mean: Tensor
    deviation: Tensor
    neighbours: Tensor
    start: Tensor
    rest: Tensor
    lengths: Tensor
    written: Tensor

    def __init__(
        self, classes: Named, base: int, stats: ClassStats, neighbours: Tensor, weights: Weights, noise: Noise
    ) -> None:
        super().__init__()
        self.known, self.weights, self.noise = base, weights, noise
        for name, value in {**vars(classes.prompts), "written": classes.written}.items():
            self.register_buffer(name, value, persistent=False)  # they move with the networks, and are read anew
        self.register_buffer("mean", stats.mean)
        self.register_buffer("deviation", stats.deviation)
        self.register_buffer("neighbours", neighbours)

    @property
    def classes(self) -> Named:
        """Base classes, then new ones."""
        return Named(Prompts(self.start, self.rest, self.lengths), self.written)

    @property
    def base(self) -> Named:
        """Base classes."""
        return self.classes.first(self.known)

    @property
    def k(self) -> int:
        """K, the neighbours of a class."""
        return self.neighbours.shape[1]

    def values(self, y: Int[Tensor, " b"], generator: torch.Generator) -> Float[Tensor, "b k d"]:
        """V of the neighbours of each picture's class, with one draw of r."""
        return ClassStats(self.mean, self.deviation).values(self.neighbours[y], generator, self.noise)

    def outputs(
        self, learner: ContextLearner, generator: FeatureGenerator, rows: Tensor, y: Tensor, v: Tensor,
        targets: Tensor | None = None,
    ) -> Outputs:  # fmt: skip
        """What is said of pictures, and of what is made of them; a teacher is asked about the student's `targets`."""
        z = learner.image_features(rows)
        w_b, w_n = learner.text_features(self.classes, rows).tensor_split([self.known], dim=-2)
        own_text, near = _at(w_b, y[:, None]).detach(), _at(w_b, self.neighbours[y]).detach()
        made = generator(own_text, near, v)[:, 0]  # a: as if its class were unknown
        nearest = generator(near, own_text, z[:, None])  # b: its neighbours, made of the picture
        new = None
        if w_n.shape[-2]:  # c: new classes; the gradient goes through their names
            if targets is None:
                products = torch.einsum("bd,bkd->bk", own_text[:, 0], w_n.expand(len(z), *w_n.shape[-2:]))
                targets = products.topk(min(self.k, w_n.shape[-2])).indices
            features = generator(_at(w_n, targets), own_text, z[:, None])
            new = _logits(learner, features, w_n)
        known = _logits(learner, nearest, w_b)
        return Outputs(w_b, learner.logits(z, w_b), learner.logits(made, w_b), known, new, made, nearest, targets)

    def reconstruction(self, said: Outputs, z: Tensor, v: Tensor) -> Tensor:
        """r_1 + r_2: d times the mean squared difference of made features from the picture's, and from V."""
        d = z.shape[1]
        return d * F.mse_loss(said.made, z) + d * F.mse_loss(said.nearest, v)

    def classification(self, learner: ContextLearner, said: Outputs, z: Tensor, y: Tensor) -> Tensor:
        """.25 l_0 + .25 l_1 + .25 l_2 / K + .5 l_3 / K; l_0 is the learner's own loss."""
        weights, k = self.weights, self.k
        total = weights.real * learner.loss(z, y, said.w_b, self.base)
        total = total + weights.as_unknown * F.cross_entropy(said.as_unknown, y)
        total = total + weights.known / k * F.cross_entropy(said.known, self.neighbours[y].flatten())
        if said.new is not None and said.targets is not None:
            total = total + weights.new / k * F.cross_entropy(said.new, said.targets.flatten())
        return total

    def distilled(self, said: Outputs, taught: Outputs) -> Tensor:
        """The mean squared difference of a student's logits from the teacher's, over all four kinds."""
        pairs = [(getattr(said, part), getattr(taught, part)) for part in ("real", "as_unknown", "known", "new")]
        return torch.stack([F.mse_loss(student, teacher) for student, teacher in pairs if student is not None]).sum()

    def forward(
        self, learner: ContextLearner, generator: FeatureGenerator, teacher: LocalMeanTeacher | None, rows: Tensor,
        y: Tensor, random: torch.Generator, *, warm: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """The loss, and its parts, of what the image tower says of pictures."""
        z, v = learner.image_features(rows), self.values(y, random)
        if warm:
            with torch.no_grad():
                w_b = learner.text_features(self.base, rows)
            own_text, near = _at(w_b, y[:, None]), _at(w_b, self.neighbours[y])
            made, nearest = generator(own_text, near, v)[:, 0], generator(near, own_text, z[:, None])
            rebuilt = z.shape[1] * (F.mse_loss(made, z) + F.mse_loss(nearest, v))
            return rebuilt, {"reconstruction": rebuilt}
        outputs = self.outputs(learner, generator, rows, y, v)
        rebuilt, classified = self.reconstruction(outputs, z, v), self.classification(learner, outputs, z, y)
        parts = {"reconstruction": rebuilt, "classification": classified}
        total = rebuilt + classified
        if teacher is not None and teacher.ready and self.weights.distillation:
            nets: Any = teacher.networks
            with torch.no_grad():
                taught = self.outputs(nets[0], nets[1], rows, y, v, outputs.targets)
            parts["distillation"] = self.distilled(outputs, taught)
            total = total + self.weights.distillation * parts["distillation"]
        return total, parts


def _at(w: Float[Tensor, "*b c d"], which: Int[Tensor, "b k"]) -> Float[Tensor, "b k d"]:
    """The text features of some classes for each picture, be they the same for all pictures or its own."""
    return w[which] if w.ndim == 2 else w[torch.arange(len(which), device=which.device)[:, None], which]


def _logits(learner: ContextLearner, made: Float[Tensor, "b k d"], w: Float[Tensor, "*b c d"]) -> Float[Tensor, "bk c"]:
    """s <feature, w_c> of several features of each picture."""
    products = made @ w.T if w.ndim == 2 else torch.einsum("bkd,bcd->bkc", made, w)
    return learner.scale * products.flatten(0, 1)
