"""JSON that every reader takes: a number that is NaN or infinite is null."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Any


def nulled(value: Any) -> Any:
    """The same lists and mappings with None for numbers that are NaN or infinite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: nulled(inner) for key, inner in value.items()}
    return [nulled(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def strict_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """A text in lines; `default` makes of what JSON does not have something that it has, else it is a `TypeError`.

    Letters stand as they are, unless one is half of a character, as in a file's name that is no UTF-8.
    """
    made = None if default is None else lambda other: nulled(default(other))
    written = functools.partial(json.dumps, nulled(value), indent=1, allow_nan=False, default=made)
    text: str = written(ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return str(written())
    return text


def positive(about: dict[str, Any], key: str, least: float = 0.0) -> float:
    """A number above 0, or of at least `least`, in `bundle.json`; `ValueError` if it is none."""
    value: Any = about.get(key)
    if type(value) not in (int, float) or not 0 < max(value, least) == value < math.inf:
        kind = f"number of at least {least:g}" if least else "positive number"
        raise ValueError(f"bundle.json: {key} must be a {kind} that is finite; got {value!r}")
    return float(value)


def texts(about: dict[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts in `bundle.json`; `ValueError` if it is none."""
    value = about.get(key)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"bundle.json: {key} must be a list of texts; got {str(value)[:50]!r}")
    return tuple(value)
