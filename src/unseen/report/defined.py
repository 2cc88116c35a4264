"""Figures that are not defined on a target: a metric of two kinds of samples where one kind is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

NEEDS = {
    "h_score": {"unknown_accuracy": "of an unknown class", "known_accuracy": "of a known class"},
    "h": {
        "u": "of a class without labels", "new": "of a class without labels",
        "s": "of a class with labels", "base": "of a class with labels",
    },
    "class_accuracy": {"class_accuracy": "of a class without labels"},
}  # fmt: skip
"""By metric, the figures that it is made of, and which samples each needs."""
ON = {
    "known_accuracy": "On known classes (each counts alike)",
    "unknown_accuracy": "On samples of unknown classes",
    "s": "On classes with labels (each counts alike)",
    "base": "On classes with labels, told among themselves",
    "u": "On classes without labels (each counts alike)",
    "new": "On classes without labels, told among themselves",
}


def is_defined(value: float | None) -> TypeGuard[float]:
    """Whether a figure is one; results hold null where it is not, and those of earlier versions NaN."""
    return value is not None and math.isfinite(value)


def why_undefined(metric: str, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a metric has no value, as the end of a sentence."""
    parts = NEEDS.get(metric, {})
    missing = [kind for part, kind in parts.items() if part in metrics and not is_defined(metrics[part]["mean"])]
    return f"no sample that grades is {missing[0]}" if missing else "the samples that grade do not give it"


def defined_part(metric: str, metrics: Mapping[str, Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]] | None:
    """What a metric without a value is made of and has one: where it was measured, in words, and its spread."""
    for part in NEEDS.get(metric, {}):
        if part != metric and part in metrics and is_defined(metrics[part]["mean"]):
            return ON[part], metrics[part]
    return None
