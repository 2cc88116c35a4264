"""The network: regions to the scores of attributes in both pathways, and these to opinions about classes."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.methods.zero_shot.crest.bank import PatternBank, Queries
from unseen.methods.zero_shot.crest.grounding import AttributeGrounding, Attributes, Mapping, Visual, VisualGrounding
from unseen.nn.build import builder
from unseen.nn.classifier import Standardizer
from unseen.nn.evidence import Activation, Opinion, dempster, evidence_behind, evidence_of, indifference, opinion
from unseen.nn.softmax import NEVER

Pathways = Literal["both", "visual", "attribute"]
Fusion = Literal["dempster", "evidence", "logits"]

PROJECTED = 64
"""Values in which images are contrasted."""


class Seen(NamedTuple):
    """What the network sees in a batch; a pathway that is switched off gives None."""

    visual: Visual | None
    attribute: Attributes | None

    @property
    def maps(self) -> Float[Tensor, "b a r"]:
        """Where each attribute was looked for: the visual pathway's attention, if there is one."""
        part = self.visual if self.visual is not None else self.attribute
        assert part is not None
        return part.maps


class Judged(NamedTuple):
    """What is held of some classes.

    Attributes
    ----------
    logits, evidence : mapping of "visual" and "attribute" to Tensor (b, k)
    opinions : mapping of these and "fused" to Opinion
    fused : Tensor (b, k)
        Evidence after fusion; the mean of the logits where there is no evidence.
    """

    logits: dict[str, Tensor]
    evidence: dict[str, Tensor]
    opinions: dict[str, Opinion]
    fused: Tensor


class Resonance(nn.Module):
    """Both pathways over regions, (b, r d) or (b, r, d), up to the score of each class, (b, n_classes).

    A score is the logarithm of the expected probability among the classes in question, alpha_c / S, with `bias` added
    to those that were not seen; other classes score `NEVER`. Without `evidential` it is the log-softmax of the mean of
    the pathways' logits, and opinions are made of entropies.

    Parameters
    ----------
    n_features, n_words, n_attributes, n_classes : int
        Values of a region and of a word vector, attributes, classes.
    width : int
        Values in which regions and attributes meet, d.
    sharpness : float
        Of the visual pathway's attention.
    patterns, nearest, bank_temperature, queries
        Of the `PatternBank`; without patterns there is none.
    """

    words: Tensor
    classes: Tensor
    asked: Tensor
    place: Tensor
    bias: Tensor

    def __init__(
        self, n_features: int, n_words: int, n_attributes: int, n_classes: int, *, width: int, dropout: float,
        sharpness: float, pathways: Pathways, mapping: Mapping, evidential: bool, evidence: Activation, fusion: Fusion,
        patterns: int, nearest: int, bank_temperature: float, queries: Queries,
    ) -> None:  # fmt: skip
        super().__init__()
        self.visual: VisualGrounding | None
        self.attribute: AttributeGrounding | None
        self.n_features = n_features
        self.evidential, self.activation, self.fusion = evidential, evidence, fusion
        self.scale = Standardizer(n_features)
        self.visual, self.attribute = None, None
        if pathways != "attribute":
            self.visual, self.to_visual = (
                VisualGrounding(width, n_words, sharpness),
                _projection(n_features, width, dropout),
            )
        if pathways != "visual":
            self.attribute = AttributeGrounding(width, n_words, mapping)
            self.to_attribute = _projection(n_features, width, dropout)
        with_bank = self.attribute is not None and patterns > 0
        self.bank = PatternBank(patterns, width, nearest, bank_temperature, queries) if with_bank else None
        self.project = nn.Linear(width, PROJECTED)
        self.register_buffer("words", torch.zeros(n_attributes, n_words))
        self.register_buffer("classes", torch.zeros(n_classes, n_attributes))
        self.register_buffer("asked", torch.arange(n_classes))
        self.register_buffer("place", torch.arange(n_classes))
        self.register_buffer("bias", torch.zeros(n_classes))

    def ask(self, asked: Int[Tensor, " k"], bias: Float[Tensor, " k"]) -> None:
        """Judge among these classes, with a bias each."""
        self.asked, self.bias = asked, bias
        place = torch.full((len(self.classes),), len(asked))
        self.place = place.index_copy(0, asked, torch.arange(len(asked)))

    # -- the steps ---------------------------------------------------------------------------------------------

    def see(self, x: Float[Tensor, "b *rd"]) -> Seen:
        """Steps 1 to 3: both pathways."""
        cells = self.scale(x.reshape(-1, self.n_features)).reshape(x.shape[0], -1, self.n_features)
        visual, attribute = None, None
        if self.visual is not None:
            visual = self.visual(self.to_visual(cells), self.words)
        if self.attribute is not None:
            attribute = self.attribute(self.to_attribute(cells), self.words, self.bank)
        return Seen(visual, attribute)

    def queries(self, x: Float[Tensor, "b *rd"]) -> Float[Tensor, "b q d"]:
        """What the bank is asked."""
        attribute = self.see(x).attribute
        assert attribute is not None
        assert attribute.queries is not None
        return attribute.queries

    def judge(self, seen: Seen, asked: Int[Tensor, " k"]) -> Judged:
        """Steps 4 and 8: logits p . z_c of some classes, evidence and opinion of each pathway, and all of it fused."""
        z = self.classes[asked]
        parts = {name: part for name, part in seen._asdict().items() if part is not None}
        logits = {name: part.scores @ z.T for name, part in parts.items()}
        if not self.evidential:
            mean = torch.stack(list(logits.values())).mean(dim=0)
            return Judged(logits, {}, {name: indifference(x) for name, x in {**logits, "fused": mean}.items()}, mean)
        evidence = {name: evidence_of(value, self.activation) for name, value in logits.items()}
        opinions = {name: opinion(value) for name, value in evidence.items()}
        fused = self.fuse(logits, evidence, opinions)
        return Judged(logits, evidence, {**opinions, "fused": opinion(fused)}, fused)

    def fuse(
        self, logits: dict[str, Tensor], evidence: dict[str, Tensor], opinions: dict[str, Opinion]
    ) -> Float[Tensor, "b k"]:
        """g of step 8: the evidence behind both opinions."""
        if len(evidence) == 1:
            return next(iter(evidence.values()))
        if self.fusion == "dempster":
            return evidence_behind(dempster(*opinions.values()))
        if self.fusion == "logits":
            return evidence_of(torch.stack(list(logits.values())).mean(dim=0), self.activation)
        sure = torch.stack([held.belief.sum(dim=1) for held in opinions.values()]).clamp_min(1e-6)[:, :, None]
        return (sure * torch.stack(list(evidence.values()))).sum(dim=0) / sure.sum(dim=0)

    def attributes(self, seen: Seen, judged: Judged) -> Float[Tensor, "b a"]:
        """p of both pathways, (1 - u_v) p_v + (1 - u_a) p_a, at unit length."""
        parts = {name: part for name, part in seen._asdict().items() if part is not None}
        sure = [judged.opinions[name].belief.sum(dim=1, keepdim=True) for name in parts]  # 1 - u, without cancellation
        mixed = [weight * part.scores for weight, part in zip(sure, parts.values())]
        return F.normalize(torch.stack(mixed).sum(dim=0), dim=1)

    def scored(self, judged: Judged) -> Float[Tensor, "b k"]:
        """Log-probabilities (step 11)."""
        if not self.evidential:
            return torch.log_softmax(judged.fused, dim=1)
        alpha = judged.fused + 1
        return (alpha / alpha.sum(dim=1, keepdim=True)).log()

    def forward(self, x: Float[Tensor, "b *rd"]) -> Float[Tensor, "b c"]:
        """Scores of all classes."""
        scores = self.scored(self.judge(self.see(x), self.asked)) + self.bias
        never = torch.full_like(scores[:, :1], NEVER)
        return torch.cat([scores, never], dim=1)[:, self.place]


def _projection(n_features: int, width: int, dropout: float) -> nn.Sequential:
    """Of standardized regions into the d values of a pathway."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(n_features, width))


@builder("crest")
def resonance(
    n_features: int, n_words: int, n_attributes: int, n_classes: int, n_asked: int, width: int, dropout: float,
    sharpness: float, pathways: Pathways, mapping: Mapping, evidential: bool, evidence: Activation, fusion: Fusion,
    patterns: int, nearest: int, bank_temperature: float, queries: Queries,
) -> Resonance:  # fmt: skip
    """A `Resonance` with fresh weights, that judges among the first `n_asked` classes."""
    network = Resonance(
        n_features, n_words, n_attributes, n_classes, width=width, dropout=dropout, sharpness=sharpness,
        pathways=pathways, mapping=mapping, evidential=evidential, evidence=evidence, fusion=fusion, patterns=patterns,
        nearest=nearest, bank_temperature=bank_temperature, queries=queries,
    )  # fmt: skip
    network.ask(torch.arange(n_asked), torch.zeros(n_asked))
    return network
