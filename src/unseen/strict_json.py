"""JSON that every reader takes: a number that is NaN or infinite is null."""

from __future__ import annotations

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


def strict_json(value: Any, default: Callable[[Any], Any]) -> str:
    """A text in lines; `default` makes of what JSON does not have something that it has."""
    return json.dumps(
        nulled(value), indent=1, ensure_ascii=False, allow_nan=False, default=lambda other: nulled(default(other))
    )
