"""Output verbs: what a method gives and how it reads samples, said where the verb stands."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

Reads = Literal["card", "text", "doubles", "pairs", "pictures", "clips", "subgraphs", "series"]


@dataclasses.dataclass(frozen=True)
class Verb:
    """What a verb gives, in the field's word for it, and how its first argument is read.

    `reads` is ``"card"`` (numbers, texts or features of regions, as the card says), ``"text"``,
    ``"pairs"`` (`Pairs` of pictures), ``"pictures"`` (a list of tensors (c, h, w), whose sizes may differ),
    ``"clips"`` (a `Domain` of clips), ``"subgraphs"`` (`unseen.data.text_graphs.GraphBatch`), ``"series"`` (a
    `Domain` of series or an array, which the verb itself checks), or ``"doubles"``: numbers of which those in double
    precision stay so, as they may exceed what single precision holds.
    """

    gives: str
    reads: Reads = "card"


def gives(what: str, *, reads: Reads = "card") -> Callable[[F], F]:
    """Declare an output verb.

    `Method` wraps what is declared, once: it checks that the method is fitted and the samples fit, and makes tensors
    (or texts) of them. A subclass that overrides a verb need not declare it again.

    Parameters
    ----------
    what : str
        ``"classes"``, ``"scores"``, ``"probabilities"``, ``"features"``, ``"ranking"``, ``"maps"``, ...
    reads : str
        How samples are read, see `Verb`.
    """

    def declare(function: F) -> F:
        function.__verb__ = Verb(what, reads)  # type: ignore[attr-defined]
        return function

    return declare


def verb_of(cls: type, name: str) -> Verb | None:
    """How `name` is declared by a class or by the nearest of its bases that says so; None if it is no output verb."""
    for base in cls.__mro__:
        declared: Verb | None = getattr(base.__dict__.get(name), "__verb__", None)
        if declared is not None:
            return declared
    return None


def verbs_of(cls: type) -> dict[str, Verb]:
    """All output verbs of a class by name, those of its bases too."""
    verbs = {name: verb_of(cls, name) for name, _ in inspect.getmembers(cls, inspect.isfunction)}
    return {name: verb for name, verb in verbs.items() if verb is not None}
