"""The type checker of the test run: beartype, without the annotations that it cannot resolve.

What a check looks at is the types of arguments and results, and of arrays the type of the numbers and the shape. So of
calls that are alike in these the first one is checked and the others are known to pass: a quarter to a third of the
time that the contract of methods with networks took.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import re
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import numpy as np
import torch
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


_jaxtyped = jaxtyping.jaxtyped


def once(function: Any = None, *, typechecker: Any) -> Any:
    """What stands for `jaxtyping.jaxtyped`: calls of other kinds than before are checked, and the others made."""
    if function is None:
        return functools.partial(once, typechecker=typechecker)
    if not isinstance(function, types.FunctionType):
        return _jaxtyped(function, typechecker=typechecker)
    given = threading.local()  # a result that is to be checked without another call

    @functools.wraps(function)
    def called_or_given(*args: Any, **kwargs: Any) -> Any:
        if getattr(given, "results", None):
            return given.results.pop()
        return function(*args, **kwargs)

    # jaxtyping looks names of annotations up where the function stands
    here = called_or_given
    stands = types.FunctionType(here.__code__, function.__globals__, function.__name__, None, here.__closure__)
    checked = _jaxtyped(functools.wraps(function)(stands), typechecker=typechecker)
    passed: dict[Any, set[Any]] = {}

    @functools.wraps(function)
    def at_call(*args: Any, **kwargs: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable or torch.compiler.is_dynamo_compiling():  # it cannot trace the checker
            return function(*args, **kwargs)
        try:
            kind = (*map(kind_of, args), *kwargs, *map(kind_of, kwargs.values()))
            known = passed.get(kind)
        except TypeError:  # of sizes that are symbols while a network is traced
            return checked(*args, **kwargs)
        if known is None:
            result = checked(*args, **kwargs)
            passed[kind] = {_or_none(result)} - {None}
            return result
        result = function(*args, **kwargs)
        answered = _or_none(result)
        if answered not in known:
            given.results = [result]
            try:
                checked(*args, **kwargs)
            finally:
                given.results = []
            known |= {answered} - {None}
        return result

    return at_call


def _or_none(result: Any) -> Any:
    """The kind of a result; None if it cannot be told, so that it is checked each time."""
    try:
        kind = kind_of(result)
        hash(kind)
    except TypeError:
        return None
    return kind


def kind_of(value: Any) -> Any:
    """What the checker sees of a value: equal for values that pass the same checks."""
    kind = type(value)
    if kind is torch.Tensor or kind is torch.nn.Parameter or kind is np.ndarray:
        return kind, value.dtype, value.shape
    if kind is str or kind is bool or (kind is int and -20 < value < 20):
        return kind, value  # it may be of a Literal
    if kind is tuple or kind is list:
        return kind, len(value), *map(kind_of, value[:8])
    if kind is dict:
        return kind, *((kind_of(key), kind_of(item)) for key, item in list(value.items())[:8])
    if kind is set or kind is frozenset:
        return kind, frozenset(map(kind_of, list(value)[:8]))
    if isinstance(value, type):
        return value
    if isinstance(value, torch.Tensor):
        raise TypeError("a tensor of a trace, or another that tells of its sizes in its own way")
    return kind


jaxtyping.jaxtyped = once


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
