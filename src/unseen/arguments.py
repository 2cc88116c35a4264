"""Whether arguments are what they are said to be, before any work: a function has a table of checks by argument."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from numbers import Integral, Real
from typing import Any

LONGEST = 60
"""Letters of a value that an error repeats."""


@dataclasses.dataclass(frozen=True)
class Check:
    """What an argument must be, in words, and how it is told: by its type, and by its value.

    Attributes
    ----------
    expected : str
    fits : callable
        Whether a value has the type.
    lies : callable
        Whether a value of that type lies in the range.
    advice : callable
        What to do with a value of another type; it ends the message.
    """

    expected: str
    fits: Callable[[Any], bool]
    lies: Callable[[Any], bool] = lambda value: True
    advice: Callable[[Any], str] = lambda value: ""

    def or_none(self) -> Check:
        """The same, where the argument may be absent."""
        return Check(
            f"{self.expected}, or None",
            lambda value: value is None or self.fits(value),
            lambda value: value is None or self.lies(value),
            self.advice,
        )


def is_path(value: Any) -> bool:
    """Whether it names a place; what stands there is another question."""
    return isinstance(value, (str, os.PathLike))


def is_frame(value: Any) -> bool:
    """Whether it is a data frame; pandas is not imported for it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def way_out(value: Any) -> str:
    """How to give samples that are held by something else, to end a message with; nothing is imported for it."""
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(value).__mro__}
    if any(kind.startswith("datasets.") and "Dataset" in kind.rpartition(".")[2] for kind in kinds):
        return (
            ": its .save_to_disk(folder) writes what unseen.load(folder) reads; .to_pandas() is enough without pictures"
        )
    if any(kind.startswith("scipy.sparse.") for kind in kinds):
        return ": .toarray() makes an array of it"
    if any(kind.startswith(("torch.utils.data.", "torchvision.datasets.")) for kind in kinds):
        return ": stack its samples, as torch.stack([sample for sample, _ in dataset]) does, and give their labels as y"
    if isinstance(value, Iterator):
        return ": list(...) keeps what it gives"
    return ""


def are_texts(value: Any) -> bool:
    """Whether it is a list (tuple, set, ...) of texts, and no single text."""
    return not isinstance(value, str) and isinstance(value, Collection) and all(isinstance(text, str) for text in value)


def is_number(value: Any) -> bool:
    """Whether it is a real number; True and False are none."""
    return isinstance(value, Real) and not is_switch(value)


def is_switch(value: Any) -> bool:
    """Whether it is True or False."""
    return isinstance(value, bool) or type(value).__name__ == "bool"  # that of numpy, which is not imported for it


def whole(least: int) -> Check:
    """A whole number from `least` on."""
    return Check(
        f"a whole number, at least {least}",
        lambda value: isinstance(value, Integral) and not is_switch(value),
        lambda value: value >= least,
    )


SWITCH = Check("True or False", is_switch)
TEXT = Check("a text", lambda value: isinstance(value, str))
TEXTS = Check("a list of texts", are_texts)
PATH = Check("a path", is_path)
SETTINGS = Check("a mapping of names to values", lambda value: isinstance(value, Mapping) and are_texts(value.keys()))


def check_arguments(checks: Mapping[str, Check], values: Mapping[str, Any], of: str) -> None:
    """Refuse, of the arguments of a function, the first that is not what its check says.

    Parameters
    ----------
    checks : mapping of argument to Check
    values : mapping of argument to value
    of : str
        What the function is called.

    Raises
    ------
    TypeError
        If a value is of another type, or the function has no such argument; the nearest is given.
    ValueError
        If a value is out of range.
    """
    for name, value in values.items():
        if name not in checks:
            near = difflib.get_close_matches(name, checks, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(checks)}"
            raise TypeError(f"{of} has no argument {name}, got {name}={_shown(value)}; {hint}")
        check = checks[name]
        if not check.fits(value):
            raise TypeError(f"{name} must be {check.expected}; got {_shown(value)}{check.advice(value)}")
        if not check.lies(value):
            raise ValueError(f"{name} must be {check.expected}; got {_shown(value)}")


def _shown(value: Any) -> str:
    """A value in a line, and what it is where that is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({type(value).__name__})"
