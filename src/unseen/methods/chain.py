"""A chain: probabilities of one method, decided by the rule of another."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from unseen.data.typing import IntArray
from unseen.methods.base import Card, Method
from unseen.nn.build import builder


class Chain(Method):
    """Put a rule over probabilities (such as Loki) on top of a fitted method. Make it with `chain`."""

    card = Card(
        slug="chain",
        title="A method and a rule over its probabilities",
        venue="",
        summary="Probabilities of one method, decided by the rule of another.",
        modalities={"features", "image"},
        protocols={"closed", "partial", "zsl", "gzsl"},
        baseline=True,
        composed=True,
    )

    def __repr__(self) -> str:
        return f"{self.base_!r} | {self.rule_!r}" if self.fitted else super().__repr__()

    def _set(self, base: Method, rule: Method) -> Self:
        self.base_, self.rule_ = base, rule
        if hasattr(base, "n_features_in_"):
            self.n_features_in_ = base.n_features_in_
        return self

    @property
    def reads_regions(self) -> bool:
        """Whether the method below reads the features of regions."""
        return "base_" in vars(self) and self.base_.reads_regions

    def decision_function(self, x: Tensor) -> Tensor:
        """Scores of the rule, (n, N)."""
        return self.rule_.decision_function(self.base_.predict_proba(x))

    def predict(self, x: Tensor) -> IntArray:
        """The rule's own decision, (n,)."""
        return self.rule_.predict(self.base_.predict_proba(x))

    def network(self) -> nn.Module:
        """Both in one module, from samples to scores."""
        return chained(self.base_.network(), self.rule_.network())


class Chained(nn.Module):
    """logits of `base`, softmax, scores of `rule`."""

    def __init__(self, base: nn.Module, rule: nn.Module) -> None:
        super().__init__()
        self.base, self.rule = base, rule

    def forward(self, x: Tensor) -> Tensor:
        """Scores, (b, N)."""
        return self.rule(torch.softmax(self.base(x), dim=1))


@builder("chained")
def chained(base: nn.Module, rule: nn.Module) -> Chained:
    """A `Chained` network."""
    return Chained(base, rule)


def chain(base: Method, rule: Method) -> Chain:
    """Join two fitted methods.

    Raises
    ------
    ValueError
        If one of them is not fitted.
    """
    for method in (base, rule):
        if not method.fitted:
            raise ValueError(f"{type(method).__name__} must be fitted before it is chained")
    return Chain()._set(base, rule)
