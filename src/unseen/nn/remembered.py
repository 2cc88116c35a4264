"""Results that are kept for the time of a job, by the content of what they were computed from."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from unseen.nn.state import digest

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclasses.dataclass
class Memory:
    """The results of the last `size` different calls of `remembered` functions."""

    size: int = 32
    results: collections.OrderedDict[str, Any] = dataclasses.field(default_factory=collections.OrderedDict)


_memory: contextvars.ContextVar[Memory | None] = contextvars.ContextVar("unseen_memory", default=None)


@contextlib.contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Keep results of `remembered` functions in `memory` for the block, and take them from there."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def remembered(function: Callable[P, Result]) -> Callable[P, Result]:
    """Within `remembering`, what was computed from arguments of the same content is not computed again.

    For functions of tensors, arrays and plain values whose result depends on nothing else, is small and is not changed
    by who gets it, and that leave the random numbers of the caller alone. Elsewhere every call is computed.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Result:
        memory = _memory.get()
        if memory is None:
            return function(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        key = digest((function.__module__, function.__qualname__, bound.arguments))
        if key not in memory.results:
            memory.results[key] = function(*args, **kwargs)
            while len(memory.results) > memory.size:
                memory.results.popitem(last=False)
        memory.results.move_to_end(key)
        result: Result = memory.results[key]
        return result

    return wrapper
