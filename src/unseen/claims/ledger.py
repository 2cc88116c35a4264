"""Rows of a ledger: what an abstract asserts, in our words, with the condition that shows it or the reason why not."""

from __future__ import annotations

import dataclasses
from typing import Literal

from unseen.claims.conditions import Condition

Level = Literal["mechanism", "effect", "paper scale", "not testable"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assertion:
    """One assertion of the paper's abstract, in our own words.

    Attributes
    ----------
    text : str
    level : {"mechanism", "effect", "paper scale", "not testable"}
    experiment : str
        Which experiment of the claim shows it (mechanism and effect).
    holds : Condition, optional
    promised : bool
        Whether `unseen reproduce` fails without it; a mechanism always is. An effect that did not hold stays
        in the ledger with promised=False.
    reason : str
        Why it cannot be tested here, or how to run it at the paper's scale.
    """

    text: str
    level: Level
    experiment: str = ""
    holds: Condition | None = None
    promised: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.level in ("mechanism", "effect") and (self.holds is None or not self.experiment):
            raise ValueError(f"{self.text!r} needs an experiment and a condition")
        if self.level in ("paper scale", "not testable") and not self.reason:
            raise ValueError(f"{self.text!r} needs a reason")

    @property
    def asked(self) -> str:
        """What its condition asks, without any figure that was measured; empty without one."""
        return "" if self.holds is None else self.holds.asked

    @property
    def must_hold(self) -> bool:
        """Whether a run without it is a failure."""
        return self.level == "mechanism" or (self.level == "effect" and self.promised)


def mechanism(experiment: str, holds: Condition, text: str) -> Assertion:
    """The named component does what it is for: must hold."""
    return Assertion(text=text, level="mechanism", experiment=experiment, holds=holds)


def effect(experiment: str, holds: Condition, text: str) -> Assertion:
    """Better than the alternatives, or not, at this scale; shown either way."""
    return Assertion(text=text, level="effect", experiment=experiment, holds=holds)


def promised(experiment: str, holds: Condition, text: str) -> Assertion:
    """An effect that users count on: `unseen reproduce` fails without it."""
    return Assertion(text=text, level="effect", experiment=experiment, holds=holds, promised=True)


def paper_scale(text: str, reason: str) -> Assertion:
    """Needs what is not here; the reason says how to run it where it is."""
    return Assertion(text=text, level="paper scale", reason=reason)


def not_testable(text: str, reason: str) -> Assertion:
    """Nothing that an experiment could show, and why."""
    return Assertion(text=text, level="not testable", reason=reason)
