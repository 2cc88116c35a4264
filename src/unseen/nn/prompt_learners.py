"""Learners of prompts for two frozen towers: CoOp, CoCoOp, KgCoOp and PromptSRC as one protocol.

A prompt is [SOS][context][name.][EOS]; the context is what learns, the towers rest. The learners differ in whether each
picture moves the context, and in what holds the texts to those of a hand-written prompt:

    CoOp [1]        one context for all
    CoCoOp [2]      each picture adds a vector to it
    KgCoOp [3]      + weight (1 - cos) between learnt and hand-written texts
    PromptSRC [4]   + L1 between these, a divergence between their predictions, and a mean of contexts over training

References
----------
[1] Zhou, Yang, Loy, Liu, "Learning to Prompt for Vision-Language Models", IJCV 2022.
[2] Zhou, Yang, Loy, Liu, "Conditional Prompt Learning for Vision-Language Models", CVPR 2022.
[3] Yao, Zhang, Xu, "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", CVPR 2023.
[4] Khattak et al., "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", ICCV 2023.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.prompting import PromptableText, PromptableTowers, Prompts
from unseen.nn.softmax import NEVER

Kind = Literal["coop", "cocoop", "kgcoop", "promptsrc"]

TEMPLATES = ("a photo of a {}.", "a picture of the {}.", "a drawing of a {}.", "an image of one {}.", "{}.")
"""Sentences whose mean is what a hand-written prompt says, for PromptSRC (its textual diversity)."""
AT_ONCE = 2048
"""Prompts that the text tower reads together when nothing is learnt."""
TEXT_L1, DIVERGENCE = 25.0, 1.0
PEAK, SPREAD = 0.75, 0.05
"""Where the contexts of PromptSRC count most, and how far around it, as shares of all epochs."""


@dataclasses.dataclass(frozen=True)
class Named:
    """Classes as a learner reads them: their names as prompts, and what a hand-written prompt says of each, (K, d)."""

    prompts: Prompts
    written: Tensor

    def __len__(self) -> int:
        return len(self.prompts)

    def first(self, n: int) -> Named:
        """The first n of them."""
        prompts = self.prompts
        return Named(Prompts(prompts.start, prompts.rest[:n], prompts.lengths[:n]), self.written[:n])

    def to(self, device: torch.device) -> Named:
        """The same on a device."""
        if self.written.device == device:
            return self
        prompts = Prompts(*(value.to(device) for value in vars(self.prompts).values()))
        return Named(prompts, self.written.to(device))


class _Frozen:
    """Towers that a learner reads and nobody trains, saves or copies; `home` is the device where they were found."""

    def __init__(self, towers: PromptableTowers) -> None:
        self.towers = towers
        self.home = towers.logit_scale.device

    def __deepcopy__(self, memo: dict[int, Any]) -> _Frozen:
        return self


class ContextLearner(nn.Module):
    """CoOp: vectors before the name, the same for all classes and pictures.

    Parameters
    ----------
    towers : PromptableTowers
        They are read, not copied; they are no part of what is saved.
    n_context : int, >= 1
        Vectors of the context.
    words : str
        What it says at first: its last words stand last, what is missing before them is zero.
    """

    conditional = False
    """Whether each picture has text features of its own."""

    def __init__(self, towers: PromptableTowers, n_context: int = 4, words: str = "a photo of a") -> None:
        super().__init__()
        self.frozen = _Frozen(towers)
        self.n_context = n_context
        start = torch.zeros(n_context, int(towers.text.table.shape[1]))
        if words:
            said = towers.text.table.detach()[torch.as_tensor(towers.tokenize([words])[0][1:-1])].cpu()[-n_context:]
            if len(said):
                start[-len(said) :] = said
        self.context = nn.Parameter(start)

    @property
    def towers(self) -> PromptableTowers:
        """The frozen towers, on the device of the context: they are no module of this one, and do not move with it."""
        towers = self.frozen.towers
        if towers.logit_scale.device != self.context.device:
            towers.to(self.context.device)
        return towers

    def release(self) -> None:
        """Put the towers back on the device where they were found."""
        self.frozen.towers.to(self.frozen.home)

    @property
    def scale(self) -> float:
        """Factor of the cosine."""
        return float(self.towers.logit_scale.detach().exp())

    @torch.no_grad()
    def named(self, names: Sequence[str], templates: Sequence[str] = TEMPLATES[:1]) -> Named:
        """Names of classes, ready to be read.

        Raises
        ------
        ValueError
            If one is too long for what the text tower reads, beside the context.
        """
        readable = [name.replace("_", " ") for name in names]
        prompts = self.towers.text.prompts(
            self.towers.tokenize([f"{name}." for name in readable]), self.n_context, names
        )
        said = [
            torch.cat([self.towers.encode_texts([t.replace("{}", name) for name in readable[i : i + AT_ONCE]])
                       for i in range(0, len(readable), AT_ONCE)])
            for t in templates
        ]  # fmt: skip
        written = F.normalize(torch.stack(said).mean(dim=0), dim=1)
        device = self.context.device
        return Named(Prompts(*(value.to(device) for value in vars(prompts).values())), written.to(device))

    def image_features(self, x: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures, or of rows that were read before."""
        return self.towers.encode_image(x)

    def contexts(self, z: Float[Tensor, "b d"] | None = None) -> Float[Tensor, "#b n w"]:
        """The context of each picture, or one for all."""
        return self.context[None]

    def text_features(self, classes: Named, z: Float[Tensor, "b d"] | None = None) -> Float[Tensor, "*b k d"]:
        """Text features of classes, (K, d); of each picture, (B, K, d), if the learner is conditional."""
        contexts, classes = self.contexts(z), classes.to(self.context.device)
        vectors, lengths = classes.prompts.with_context(contexts)
        found = self.towers.text(vectors, lengths)
        return found.unflatten(0, (len(contexts), len(classes))) if self.conditional else found

    def logits(self, z: Float[Tensor, "b d"], w: Float[Tensor, "*b k d"]) -> Float[Tensor, "b k"]:
        """s <z, w_k>."""
        return self.scale * (z @ w.T if w.ndim == 2 else torch.einsum("bd,bkd->bk", z, w))

    def loss(
        self, z: Float[Tensor, "b d"], y: Int[Tensor, " b"], w: Float[Tensor, "*b k d"], classes: Named
    ) -> Float[Tensor, ""]:
        """What is minimized on labelled pictures: cross entropy, and what holds the texts."""
        return F.cross_entropy(self.logits(z, w), y) + self.penalty(z, w, classes)

    def penalty(self, z: Tensor, w: Tensor, classes: Named) -> Tensor:
        """What holds the text features of classes to hand-written ones."""
        return z.new_zeros(())


class ConditionalLearner(ContextLearner):
    """CoCoOp: a small network makes a vector of each picture, which is added to all vectors of the context."""

    conditional = True

    def __init__(self, towers: PromptableTowers, n_context: int = 4, words: str = "a photo of a") -> None:
        super().__init__(towers, n_context, words)
        dim, width = towers.image.dim, self.context.shape[1]
        self.meta = _meta(dim, width)

    def contexts(self, z: Tensor | None = None) -> Tensor:
        """The context of each picture."""
        if z is None:
            raise ValueError("z must be given: each picture has a context of its own")
        return self.context + self.meta(z)[:, None]


class GuidedLearner(ContextLearner):
    """KgCoOp: learnt texts stay near hand-written ones.

    Parameters
    ----------
    weight : float, >= 0
        Of the mean of 1 - cos.
    """

    def __init__(
        self, towers: PromptableTowers, n_context: int = 4, words: str = "a photo of a", weight: float = 8.0
    ) -> None:
        super().__init__(towers, n_context, words)
        self.weight = weight

    def penalty(self, z: Tensor, w: Tensor, classes: Named) -> Tensor:
        """weight * mean_k (1 - cos(w_k, written_k))."""
        return self.weight * (1 - (w * classes.written.to(w)).sum(dim=1)).mean()


class RegulatedLearner(ContextLearner):
    """PromptSRC on the text side: agreement with hand-written texts, and a mean of contexts over training.

    Hand-written texts are means over `TEMPLATES`. `remember` is called after each epoch with its share of training;
    what `settle` leaves is the mean of contexts with Gaussian weights around `PEAK`.
    """

    total: Tensor
    mass: Tensor

    def __init__(self, towers: PromptableTowers, n_context: int = 4, words: str = "a photo of a") -> None:
        super().__init__(towers, n_context, words)
        self.register_buffer("total", torch.zeros_like(self.context))
        self.register_buffer("mass", torch.zeros(()))

    def named(self, names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Named:
        """Names of classes, with several hand-written prompts of each."""
        return super().named(names, templates)

    def penalty(self, z: Tensor, w: Tensor, classes: Named) -> Tensor:
        """25 times the mean absolute difference of texts, and KL of predictions, a mean over all entries."""
        written = classes.written.to(w)
        text = F.l1_loss(w, written)
        now, before = (F.log_softmax(self.logits(z, v), dim=1) for v in (w, written))
        divergence = F.kl_div(now, before, reduction="sum", log_target=True) / now.numel()
        return TEXT_L1 * text + DIVERGENCE * divergence

    @torch.no_grad()
    def remember(self, share: float) -> None:
        """Count the context in as it is after this share of training, in [0, 1]."""
        weight = math.exp(-((share - PEAK) ** 2) / (2 * SPREAD**2))
        self.total += weight * self.context
        self.mass += weight

    @torch.no_grad()
    def settle(self) -> None:
        """Take the mean of the contexts that were remembered; the last one stays where they count for nothing."""
        if float(self.mass) > 0:
            self.context.copy_(self.total / self.mass)


LEARNERS: dict[str, type[ContextLearner]] = {
    "coop": ContextLearner,
    "cocoop": ConditionalLearner,
    "kgcoop": GuidedLearner,
    "promptsrc": RegulatedLearner,
}


def make_learner(
    kind: Kind, towers: PromptableTowers, n_context: int = 4, words: str = "a photo of a"
) -> ContextLearner:
    """A learner by the name that the literature has for it."""
    return LEARNERS[kind](towers, n_context, words)


def _meta(dim: int, width: int) -> nn.Sequential:
    """CoCoOp's small network, with a sixteenth of the width between its layers."""
    return nn.Sequential(nn.Linear(dim, max(1, dim // 16)), nn.ReLU(), nn.Linear(max(1, dim // 16), width))


# -- what predicts -------------------------------------------------------------------------------------------


class PromptedClasses(nn.Module):
    """From pictures, or rows read before, to s <z, w_k> + offset_k, with text features that are the same for all."""

    weights: Tensor
    offset: Tensor

    def __init__(self, image: nn.Module, classes: int, dim: int, scale: float) -> None:
        super().__init__()
        self.image, self.scale = image, scale
        self.register_buffer("weights", torch.zeros(classes, dim))
        self.register_buffer("offset", torch.zeros(classes))

    def forward(self, x: Tensor) -> Float[Tensor, "b k"]:
        """Scores of the classes."""
        z = self.image.read(x).embedding  # type: ignore[operator]
        return (self.scale * z @ self.weights.T + self.offset).clamp_min(NEVER)


@builder("prompted-classes")
def prompted_classes(image: nn.Module, classes: int, dim: int, scale: float) -> PromptedClasses:
    """`PromptedClasses` without their vectors."""
    return PromptedClasses(image, classes, dim, scale)


class ConditionalClasses(nn.Module):
    """The same with text features of each picture: the text tower is read for every one."""

    start: Tensor
    rest: Tensor
    lengths: Tensor
    context: Tensor
    offset: Tensor

    def __init__(
        self, image: nn.Module, text: PromptableText, classes: int, length: int, n_context: int, scale: float
    ) -> None:
        super().__init__()
        width, dim = int(text.table.shape[1]), int(image.dim)  # type: ignore[arg-type]
        self.image, self.text, self.scale, self.meta = image, text, scale, _meta(dim, width)
        self.register_buffer("start", torch.zeros(width))
        self.register_buffer("rest", torch.zeros(classes, length, width))
        self.register_buffer("lengths", torch.ones(classes, dtype=torch.int64))
        self.register_buffer("context", torch.zeros(n_context, width))
        self.register_buffer("offset", torch.zeros(classes))

    def forward(self, x: Tensor) -> Float[Tensor, "b k"]:
        """Scores of the classes."""
        z = self.image.read(x).embedding  # type: ignore[operator]
        prompts = Prompts(self.start, self.rest, self.lengths)
        found = []
        for part in torch.split(z, max(1, AT_ONCE // len(prompts))):
            vectors, lengths = prompts.with_context(self.context + self.meta(part)[:, None])
            w = self.text(vectors, lengths).unflatten(0, (len(part), len(prompts)))
            found.append(self.scale * torch.einsum("bd,bkd->bk", part, w))
        return (torch.cat(found) + self.offset).clamp_min(NEVER)


@builder("conditional-classes")
def conditional_classes(
    image: nn.Module, text: nn.Module, classes: int, length: int, n_context: int, scale: float
) -> ConditionalClasses:
    """`ConditionalClasses` with fresh weights."""
    return ConditionalClasses(image, text, classes, length, n_context, scale)  # type: ignore[arg-type]
