"""What is wrong with a request, in plain words, from what pydantic found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from unseen.serving.limits import MOST_NUMBER

FIELD = "samples"
"""What holds the samples: a member of JSON, or the field of a form with pictures or videos as files."""


FILE = {"image": "a picture", "clip": "a video", "audio": "a sound"}


def sentence(error: Mapping[str, Any], sample: str = "") -> str:
    """A sentence without a stop, such as "sample 0 must have 8 numbers; it has 3".

    Parameters
    ----------
    error : mapping
        One of the errors of pydantic: `type`, `loc`, `msg`, `ctx` and `input`.
    sample : str
        Kind of a sample, where the request holds some.
    """
    place, kind, message = [part for part in error["loc"] if part not in ("body", "query")], error["type"], error["msg"]
    limits = error.get("ctx") or {}
    numbers = len(place) == 2
    if kind in ("too_short", "too_long"):
        wanted, got = limits["min_length" if kind == "too_short" else "max_length"], limits["actual_length"]
        bound = "" if numbers else "at least " if kind == "too_short" else "at most "
        return f"{_named(place)} must have {bound}{_counted(wanted, numbers)}; it has {got}"
    words = {
        "json_invalid": _no_json(message),
        "missing": "must be given",
        "extra_forbidden": f"is no field; there is {FIELD} alone",
        "list_type": f"must be a list{' of numbers' if numbers else ''}",
        "float_type": _not_a_float(error.get("input")),
        "finite_number": "must be a finite number",
        "string_type": f"must be base64 of {FILE[sample]}" if numbers and sample in FILE else "must be a text",
        "value_error": str(limits.get("error", "")),
        "string_too_short": "must not be empty",
        "string_too_long": f"must have at most {limits.get('max_length', 0):,} characters",
        "greater_than_equal": f"must be at least {limits.get('ge', 0):g}",
        "less_than_equal": f"must be at most {limits.get('le', 0):g}",
        "int_parsing": "must be a whole number",
        "bool_parsing": "must be true or false",
    }
    words |= dict.fromkeys(("model_type", "model_attributes_type"), f'must be an object such as {{"{FIELD}": [...]}}')
    return f"{_named(place)} {words[kind]}" if kind in words else f"{_named(place)}: {message}"


def _named(place: Sequence[int | str]) -> str:
    """What stands at a place of a request."""
    if not place:
        return "the body"
    if place[0] != FIELD or len(place) == 1:
        return str(place[0])
    return f"sample {place[1]}" if len(place) == 2 else f"number {place[2]} of sample {place[1]}"


def _not_a_float(given: Any) -> str:
    """What is wrong with what could not be made a float: an integer has more digits than one has."""
    if isinstance(given, int) and not isinstance(given, bool):
        return f"must be at most {MOST_NUMBER:g}" if given > 0 else f"must be at least {-MOST_NUMBER:g}"
    return "must be a number"


def _no_json(message: str) -> str:
    if "out of range" in message:  # an integer of thousands of digits
        return f"must hold numbers from {-MOST_NUMBER:g} to {MOST_NUMBER:g}; one is beyond"
    return f"must be JSON{_where(message)}"


def _counted(n: int, numbers: bool) -> str:
    return f"{n} {'number' if numbers else 'sample'}{'' if n == 1 else 's'}"


def _where(message: str) -> str:
    """The place at which JSON ends to be any, where the message has one."""
    match = re.search(r"line \d+ column \d+", message)
    return f"; it is not from {match[0]} on" if match else ""
