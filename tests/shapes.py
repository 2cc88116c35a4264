"""The type checker of the test run: beartype, without the annotations that it cannot resolve."""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import re
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype._check.code import codemain

codemain.getrandbits = random.Random(0).getrandbits  # it looks at one random item, by the global generator
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as in PEP 484


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the types of a function's arguments and result, shapes included.

    The checks of a function are made when it is first called: most functions that a test imports it never calls, and
    making all of them took a third of what collecting takes.
    """
    if isinstance(function, type):
        return _beartype(function)
    checked: Callable[..., Any] | None = None

    @functools.wraps(function)
    def at_first_call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        if checked is None:
            checked = _beartype(_resolved(function))
        return checked(*args, **kwargs)

    return at_first_call


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Refusals are those of the library, as for its users: the checker comes before them, names every argument
    whichever is wrong, and looks for the wrong one by checks of each alone, a second where there are many."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def _resolved(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without annotations that cannot be checked.

    `Self`, which beartype knows in decorated classes only, and names that a module imports for type checkers alone.
    """
    names = vars(sys.modules.get(function.__module__, sys))
    function.__annotations__ = {k: value for k, value in function.__annotations__.items() if _resolves(value, names)}
    return function


def _resolves(annotation: Any, names: dict[str, Any]) -> bool:
    if re.search(r"\bSelf\b", str(annotation)):
        return False
    if isinstance(annotation, str):
        try:
            eval(annotation, names)
        except NameError:
            return False
    return True


def _overload(function: Callable[..., Any]) -> Callable[..., Any]:
    """`typing.overload` for functions that `check` has wrapped: told apart by where the plain function stands."""
    plain = inspect.unwrap(function)
    typing._overload_registry[plain.__module__][plain.__qualname__][plain.__code__.co_firstlineno] = function  # type: ignore[attr-defined]
    return typing._overload_dummy  # type: ignore[attr-defined]


typing.overload = _overload
