"""A chain: probabilities of one method, decided by the rule of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import hold_out
from unseen.data.typing import IntArray
from unseen.methods.base import Card, Method
from unseen.nn.build import builder
from unseen.nn.calibration import fit_temperature

HELD_OUT = 0.2
"""Share of each class that a temperature is fitted on."""


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

    def _set(self, base: Method, rule: Method, temperature: float) -> Self:
        self.base_, self.rule_, self.temperature_ = base, rule, temperature
        for name in ("n_features_in_", "feature_names_in_"):
            if name in vars(base):
                setattr(self, name, vars(base)[name])
        if "classes_" in vars(rule):
            self.classes_ = vars(rule)["classes_"]
        return self

    @property
    def reads_regions(self) -> bool:
        """Whether the method below reads the features of regions."""
        return "base_" in vars(self) and self.base_.reads_regions

    def decision_function(self, x: Tensor) -> Tensor:
        """Scores of the rule, (n, N)."""
        return self.rule_.decision_function(self._probabilities(self.base_.decision_function(x)))

    def source_decision_function(self, x: Tensor) -> Tensor:
        """Scores of the rule for samples like those that the method below learnt from, (n, N)."""
        return self.rule_.decision_function(self._probabilities(self.base_.source_decision_function(x)))

    def predict(self, x: Tensor) -> IntArray:
        """The rule's own decision, (n,)."""
        return self.rule_.predict(self._probabilities(self.base_.decision_function(x)))

    def network(self) -> nn.Module:
        """Both in one module, from samples to scores."""
        return chained(self.base_.network(), self.rule_.network(), self._temperature)

    @property
    def _temperature(self) -> float:
        return vars(self).get("temperature_", 1.0)  # chains that were saved before there was one

    def _probabilities(self, scores: Tensor) -> Tensor:
        return torch.softmax(scores / self._temperature, dim=1)


class Chained(nn.Module):
    """logits of `base` over a temperature, softmax, scores of `rule`."""

    def __init__(self, base: nn.Module, rule: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.base, self.rule, self.temperature = base, rule, temperature

    def forward(self, x: Tensor) -> Tensor:
        """Scores, (b, N)."""
        return self.rule(torch.softmax(self.base(x) / self.temperature, dim=1))


@builder("chained")
def chained(base: nn.Module, rule: nn.Module, temperature: float = 1.0) -> Chained:
    """A `Chained` network."""
    return Chained(base, rule, temperature)


def chain(base: Method, rule: Method, temperature: float = 1.0) -> Chain:
    """Join two fitted methods.

    Parameters
    ----------
    base, rule : Method
    temperature : float, > 0
        Divides the scores of `base` before they become probabilities; see `held_out_temperature`.

    Raises
    ------
    ValueError
        If one of them is not fitted, or the temperature is not positive.
    """
    for method in (base, rule):
        if not method.fitted:
            raise ValueError(f"{type(method).__name__} must be fitted before it is chained")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be positive; got {temperature}")
    return Chain()._set(base, rule, float(temperature))


def held_out_temperature(fit: Callable[[Domain], Method], source: Domain, seed: int = 0) -> float:
    """The temperature that makes a method's probabilities fit labelled samples that it did not learn from.

    A fifth of each class is held out from one more fit. It is at least 1: nothing says that a model is less sure of
    itself than it may be where samples come from elsewhere. It is 1 where no class has a sample to spare.

    Parameters
    ----------
    fit : callable of Domain to Method
        Fits the method on part of the source.
    source : Domain
        Labelled.
    seed : int
        Of what is held out.
    """
    learned, held = hold_out(source.labels, HELD_OUT, seed)
    if not held.any():
        return 1.0
    check = source.take(held)
    return max(1.0, fit_temperature(fit(source.take(learned)).source_decision_function(check), check.labels))
