"""The types of hyperparameters: a plain value and its range, checked when a method is made."""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from unseen.files import WrongTypeError


@dataclasses.dataclass(frozen=True)
class Within:
    """A number in [low, high]; `open_low` and `open_high` leave the ends out."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the range."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


Unit = Annotated[float, Within(0, 1)]
Positive = Annotated[float, Within(0, open_low=True)]
NonNegative = Annotated[float, Within(0)]
Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Seed = Annotated[int, Within(0, 2**32 - 1)]


def as_plain(value: Any) -> Any:
    """A number (text, switch) of NumPy as that of Python, which files of settings can hold; others as they are."""
    if isinstance(value, tuple) and any(isinstance(entry, np.generic) for entry in value):
        return tuple(map(as_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def check(name: str, value: Any, hint: Any) -> None:
    """Raise `TypeError` or `ValueError` if `value` is not what the annotation `hint` of parameter `name` says."""
    problem = _problem(value, hint)
    if problem is not None:
        kind, expected = problem
        raise kind(f"{name} must be {expected}; got {value!r}")


def _problem(value: Any, hint: Any) -> tuple[type[Exception], str] | None:
    origin = get_origin(hint)
    if origin is Annotated:
        base, *ranges = get_args(hint)
        problem = _problem(value, base)
        if problem is not None:
            return problem
        for range_ in ranges:
            if isinstance(range_, Within) and not range_.holds(value):
                return ValueError, f"in {range_}"
        return None
    if origin is Literal:
        good = any(type(value) is type(option) and value == option for option in get_args(hint))
        return None if good else (ValueError, f"one of {', '.join(map(repr, get_args(hint)))}")
    if origin in (Union, types.UnionType):
        problems = [_problem(value, option) for option in get_args(hint)]
        return None if None in problems else problems[0]
    if origin is tuple:
        return _tuple_problem(value, get_args(hint))
    if hint in (None, type(None)):
        return None if value is None else (WrongTypeError, "None")
    if hint is float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if good else (WrongTypeError, "a number")
    if hint is int:
        good = isinstance(value, int) and not isinstance(value, bool)
        return None if good else (WrongTypeError, "an integer")
    if hint in (str, bool):
        return None if isinstance(value, hint) else (WrongTypeError, "a string" if hint is str else "True or False")
    raise TypeError(f"a hyperparameter is an int, float, str, bool, None or a tuple of them; got {hint!r}")


def _tuple_problem(value: Any, hints: tuple[Any, ...]) -> tuple[type[Exception], str] | None:
    if not isinstance(value, tuple):
        return WrongTypeError, "a tuple"
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        return ValueError, f"a tuple of {len(hints)}"
    problems = [problem for item, hint in zip(value, hints) if (problem := _problem(item, hint)) is not None]
    return (problems[0][0], f"a tuple, each entry {problems[0][1]}") if problems else None
