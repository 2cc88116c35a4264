"""Learners of prompts for two frozen towers: CoOp, CoCoOp, KgCoOp, PromptSRC and AD-CLIP as one protocol.

A prompt is [SOS][context][name.][EOS]; the context is what learns, the towers rest. The learners differ in whether each
picture moves the context, and in what holds the texts to those of a hand-written prompt:

    CoOp [1]        one context for all
    CoCoOp [2]      each picture adds a vector to it
    KgCoOp [3]      + weight (1 - cos) between learnt and hand-written texts
    PromptSRC [4]   + L1 between these, a divergence between their predictions, and a mean of contexts over training
    AD-CLIP [5]     each picture's style and content, layer by layer, make the context

References
----------
[1] Zhou, Yang, Loy, Liu, "Learning to Prompt for Vision-Language Models", IJCV 2022.
[2] Zhou, Yang, Loy, Liu, "Conditional Prompt Learning for Vision-Language Models", CVPR 2022.
[3] Yao, Zhang, Xu, "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", CVPR 2023.
[4] Khattak et al., "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", ICCV 2023.
[5] Singha, Pal, Jha, Banerjee, "AD-CLIP: Adapting Domains in Prompt Space Using CLIP", ICCV 2023 Workshops.
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
from unseen.nn.layer_statistics import Reading, pack, standardization, unpack
from unseen.nn.prompting import PromptableText, PromptableTowers, Prompts
from unseen.nn.softmax import NEVER
from unseen.nn.style_projectors import ContentProjector, DomainProjector

Kind = Literal["coop", "cocoop", "kgcoop", "promptsrc", "ad-clip"]

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
        vectors = [
            torch.cat([self.towers.encode_texts([t.replace("{}", name) for name in readable[i : i + AT_ONCE]])
                       for i in range(0, len(readable), AT_ONCE)])
            for t in templates
        ]  # fmt: skip
        written = F.normalize(torch.stack(vectors).mean(dim=0), dim=1)
        device = self.context.device
        return Named(Prompts(*(value.to(device) for value in vars(prompts).values())), written.to(device))

    def rows(self, x: Tensor) -> Float[Tensor, "b r"]:
        """What the image tower says of pictures, a row each; rows that were read before are as they are."""
        return x if x.ndim == 2 else self.towers.image(x)

    def image_features(self, x: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures, or of rows that were read before."""
        return self.towers.encode_image(x)

    def standardize(self, rows: Float[Tensor, "n r"]) -> None:
        """Take the scale of what the image tower says from all that is learnt from; most learners need none."""

    def contexts(self, rows: Float[Tensor, "b r"] | None = None) -> Float[Tensor, "#b n w"]:
        """The context of each picture, or one for all."""
        return self.context[None]

    def text_features(self, classes: Named, rows: Float[Tensor, "b r"] | None = None) -> Float[Tensor, "*b k d"]:
        """Text features of classes, (K, d); of each picture, (B, K, d), if the learner is conditional."""
        contexts, classes = self.contexts(rows), classes.to(self.context.device)
        vectors, lengths = classes.prompts.with_context(contexts)
        features = self.towers.text(vectors, lengths)
        return features.unflatten(0, (len(contexts), len(classes))) if self.conditional else features

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
        self.meta: nn.Module = MetaNet(towers.image.dim, self.context.shape[1])

    def contexts(self, rows: Tensor | None = None) -> Tensor:
        """The context of each picture."""
        if rows is None:
            raise ValueError("rows must be given: each picture has a context of its own")
        return self.context + self.meta(self.towers.image.read(rows))


class StyledLearner(ConditionalLearner):
    """AD-CLIP's prompts where there is one domain: a token for the style of each layer, and tokens of the content.

    They are added to the words, which do not learn; only the projectors do. What AD-CLIP has besides, a source's style
    beside a target's, needs pictures of two domains.

    Parameters
    ----------
    towers : PromptableTowers
        Whose image tower is read layer by layer (`unseen.encoders.promptable`).
    n_context : int, >= 1
        Tokens of the content; the context has one more for each layer.
    words : str

    Raises
    ------
    ValueError
        If the image tower has no layers to read, as one of features alone.
    """

    def __init__(self, towers: PromptableTowers, n_context: int = 4, words: str = "a photo of a") -> None:
        widths = towers.image.widths
        if not widths:
            raise ValueError(
                "learner 'ad-clip' reads the layers of the image tower, and this encoder gives its last features only; "
                "make it by unseen.encoders.promptable.promptable(encoder), and give pictures or its rows"
            )
        super().__init__(towers, len(widths) + n_context, words)
        self.context.requires_grad_(False)
        self.meta = StyleAndContent(widths, towers.image.dim, self.context.shape[1], n_context)
        self.meta.unit.copy_(towers.text.table.detach().square().mean().sqrt())

    def standardize(self, rows: Tensor) -> None:
        """From now on, mean and deviation of every channel are 0 and 1 on average over these pictures."""
        assert isinstance(self.meta, StyleAndContent)
        for name, value in zip(("centre", "spread"), standardization(rows, self.towers.image.dim)):
            getattr(self.meta, name).copy_(value)


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
    "ad-clip": StyledLearner,
}


def make_learner(
    kind: Kind, towers: PromptableTowers, n_context: int = 4, words: str = "a photo of a"
) -> ContextLearner:
    """A learner by the name that the literature has for it."""
    return LEARNERS[kind](towers, n_context, words)


# -- what a picture adds to its context ------------------------------------------------------------------------


class MetaNet(nn.Sequential):
    """CoCoOp's small network of the embedding, with a sixteenth of the width between its layers."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__(nn.Linear(dim, max(1, dim // 16)), nn.ReLU(), nn.Linear(max(1, dim // 16), width))

    def forward(self, reading: Reading) -> Float[Tensor, "b 1 w"]:
        """One vector of each picture, for all places of the context."""
        x = reading.embedding
        for layer in self:
            x = layer(x)
        return x[:, None]


class StyleAndContent(nn.Module):
    """AD-CLIP's tokens of a picture, [style of each layer][content], times the root mean square of word vectors.

    Parameters
    ----------
    widths : sequence of int
        Channels of the layers.
    dim : int
        Of the embedding, which stands behind them in a row.
    width : int
        Of tokens of the text tower.
    tokens : int, >= 1
        Of the content.
    """

    centre: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, widths: Sequence[int], dim: int, width: int, tokens: int) -> None:
        super().__init__()
        self.style = DomainProjector(widths, width)
        self.content = ContentProjector(widths, width, tokens)
        self.register_buffer("centre", torch.zeros(2 * sum(widths) + dim))
        self.register_buffer("spread", torch.ones(2 * sum(widths) + dim))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, reading: Reading) -> Float[Tensor, "b n w"]:
        """A vector of each picture for every place of the context."""
        widths, dim = [mu.shape[1] for mu in reading.means], reading.embedding.shape[1]
        scaled = unpack((pack(reading) - self.centre) / self.spread, widths, dim)
        return self.unit * torch.cat([self.style(scaled.means, scaled.stds), self.content(scaled.means)], dim=1)


def _meta(kind: str, image: Any, width: int, n_context: int) -> nn.Module:
    """The network of a conditional learner, without what it has learnt."""
    if kind == "ad-clip":
        return StyleAndContent(image.widths, image.dim, width, n_context - len(image.widths))
    return MetaNet(image.dim, width)


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
        self, image: nn.Module, text: PromptableText, classes: int, length: int, n_context: int, scale: float,
        kind: str = "cocoop",
    ) -> None:  # fmt: skip
        super().__init__()
        width = int(text.table.shape[1])
        self.image, self.text, self.scale, self.meta = image, text, scale, _meta(kind, image, width, n_context)
        self.register_buffer("start", torch.zeros(width))
        self.register_buffer("rest", torch.zeros(classes, length, width))
        self.register_buffer("lengths", torch.ones(classes, dtype=torch.int64))
        self.register_buffer("context", torch.zeros(n_context, width))
        self.register_buffer("offset", torch.zeros(classes))

    def forward(self, x: Tensor) -> Float[Tensor, "b k"]:
        """Scores of the classes."""
        reading: Reading = self.image.read(x)  # type: ignore[operator]
        contexts = self.context + self.meta(reading)
        prompts = Prompts(self.start, self.rest, self.lengths)
        at_once = max(1, AT_ONCE // len(prompts))
        scores = []
        for z, context in zip(torch.split(reading.embedding, at_once), torch.split(contexts, at_once)):
            vectors, lengths = prompts.with_context(context)
            w = self.text(vectors, lengths).unflatten(0, (len(z), len(prompts)))
            scores.append(self.scale * torch.einsum("bd,bkd->bk", z, w))
        return (torch.cat(scores) + self.offset).clamp_min(NEVER)


@builder("conditional-classes")
def conditional_classes(
    image: nn.Module, text: nn.Module, classes: int, length: int, n_context: int, scale: float, kind: str = "cocoop"
) -> ConditionalClasses:
    """`ConditionalClasses` with fresh weights, of "cocoop" or "ad-clip"."""
    return ConditionalClasses(image, text, classes, length, n_context, scale, kind)  # type: ignore[arg-type]
