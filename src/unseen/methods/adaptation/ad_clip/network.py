"""The frozen towers with the learned projectors between them: text features of each image's own prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.layer_statistics import Reading, RowReader, standardization
from unseen.nn.prompting import PromptableText, Prompts
from unseen.nn.style_projectors import ContentProjector, DomainProjector, StyleMapper, StylePool

AT_ONCE = 2048
"""Prompts that the text tower reads together when nothing is learned."""

Context = Literal["image", "static", "words"]
Inference = Literal["mapped", "stored"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """What is between the towers; see `ADCLIP`, and `classes`, `length` of the table of class names.

    `n_context` is the number of tokens before a name.
    """

    classes: int
    length: int
    n_context: int
    logit_scale: float
    context: Context
    source_style: bool
    target_style: bool
    content: bool
    content_tokens: int
    shared_decoder: bool
    style_pool: StylePool
    last: bool
    hidden: int
    mapper_hidden: int


class Tokens(NamedTuple):
    """What an image says in a prompt: its style tokens (b, L, D_t) and its content tokens (b, M, D_t)."""

    style: Tensor
    content: Tensor


class PromptedTowers(nn.Module):
    """From images, or rows read before, to scores of the K classes under prompts of each image.

    What the layers say is standardized by `centre` and `spread`, per channel; what the projectors say is added to
    `initial`, the vectors of the words that a context starts from, times `unit`, the root mean square of word vectors.

    Parameters
    ----------
    image : RowReader
    text : PromptableText
    design : Design
    """

    start: Tensor
    rest: Tensor
    lengths: Tensor
    stored: Tensor
    centre: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, image: RowReader, text: PromptableText, design: Design) -> None:
        super().__init__()
        self.image, self.text, self.design = image, text, design
        self.inference: Inference = "mapped"
        width = int(text.table.shape[1])
        widths = image.widths[-1:] if design.last else image.widths
        self.domain_projector = DomainProjector(widths, width, design.hidden, design.style_pool)
        self.content_projector = ContentProjector(
            widths, width, design.content_tokens, shared_decoder=design.shared_decoder
        )
        self.style_mapper = StyleMapper(widths, width, design.mapper_hidden)
        self.initial = nn.Parameter(torch.zeros(design.n_context, width))
        self.register_buffer("unit", text.table.detach().square().mean().sqrt())
        self.register_buffer("centre", torch.zeros(image.width))
        self.register_buffer("spread", torch.ones(image.width))
        self.register_buffer("stored", torch.zeros(len(widths), width))
        self.register_buffer("start", torch.zeros(width))
        self.register_buffer("rest", torch.zeros(design.classes, design.length, width))
        self.register_buffer("lengths", torch.ones(design.classes, dtype=torch.int64))
        self.requires_grad_(False).eval()

    def name(self, prompts: Prompts) -> None:
        """Take the prompts of the classes."""
        for key, value in vars(prompts).items():
            getattr(self, key).copy_(value)

    def standardize(self, rows: Float[Tensor, "n w"]) -> None:
        """From now on, mean and deviation of every channel are 0 and 1 on average over these images; not embeddings."""
        for name, value in zip(("centre", "spread"), standardization(rows, self.image.dim)):
            getattr(self, name).copy_(value)

    def learnable(self) -> list[nn.Parameter]:
        """What training changes: the projectors, or the static context; nothing of the towers."""
        if self.design.context == "static":
            return [self.initial]
        projectors = (self.domain_projector, self.content_projector, self.style_mapper)
        return [parameter for projector in projectors for parameter in projector.parameters()]

    # -- what an image says -----------------------------------------------------------------------------------

    def read(self, x: Tensor) -> Reading:
        """Step 1: the standardized statistics of the layers, which no gradient passes."""
        rows = x if x.ndim == 2 else self.image(x)
        reading = self.image.read((rows - self.centre) / self.spread)
        return Reading(reading.means[-1:], reading.stds[-1:], reading.embedding) if self.design.last else reading

    def tokens(self, reading: Reading) -> Tokens:
        """Steps 2 and 3: S(x) and C(x)."""
        return Tokens(self.domain_projector(reading.means, reading.stds), self.content_projector(reading.means))

    def mapped(self, reading: Reading) -> Float[Tensor, "b l d"]:
        """Step 5: P_smn(x), in the place of a source image's style."""
        return self.style_mapper(reading.means, reading.stds)

    # -- prompts ----------------------------------------------------------------------------------------------

    def joined(self, source: Tensor, target: Tensor, content: Tensor) -> Float[Tensor, "b n d"]:
        """Step 4: [source style tokens][target style tokens][content tokens], without what is switched off."""
        wanted = (self.design.source_style, self.design.target_style, self.design.content)
        tokens = torch.cat([part for part, there in zip((source, target, content), wanted) if there], dim=1)
        return self.initial + self.unit * tokens

    def features(self, context: Float[Tensor, "b n d"], classes: Tensor | None = None) -> Float[Tensor, "b k f"]:
        """Text features of all classes, or of some, under each context."""
        rest, lengths = (self.rest, self.lengths) if classes is None else (self.rest[classes], self.lengths[classes])
        vectors, n = Prompts(self.start, rest, lengths).with_context(context)
        return self.text(vectors, n).unflatten(0, (len(context), len(rest)))

    def scores(self, embedding: Float[Tensor, "b f"], text: Float[Tensor, "#b k f"]) -> Float[Tensor, "b k"]:
        """s <f(x), t_k>, with the towers' own s (CLIP's is 100)."""
        return self.design.logit_scale * (embedding[:, None] * text).sum(dim=2)

    def context_of(self, reading: Reading) -> Float[Tensor, "b n d"]:
        """Step 7: the context of images of the target without a source image; of one image if all share it."""
        if self.design.context != "image":
            return self.initial[None]
        tokens = self.tokens(reading)
        source = self.mapped(reading) if self.inference == "mapped" else self.stored.expand_as(tokens.style)
        return self.joined(source, tokens.style, tokens.content)

    def forward(self, x: Tensor) -> Float[Tensor, "b k"]:
        """Scores of all classes, (b, K)."""
        reading = self.read(x)
        rows = max(1, AT_ONCE // len(self.rest))
        text = torch.cat([self.features(part) for part in torch.split(self.context_of(reading), rows)])
        return self.scores(reading.embedding, text)


@builder("ad-clip")
def prompted_towers(image: nn.Module, text: nn.Module, design: Mapping[str, Any]) -> PromptedTowers:
    """`PromptedTowers` with fresh projectors and without prompts."""
    return PromptedTowers(image, text, Design(**design))  # type: ignore[arg-type]
