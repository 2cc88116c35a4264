"""Runs of the app: results as `unseen compare` writes them, with names that are markup."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NASTY = "<img src=x onerror=alert(1)>"


def spread(mean: float, seeds: int = 2) -> dict[str, Any]:
    return {"mean": mean, "std": 0.01, "worst": mean - 0.01, "per_seed": [mean] * seeds}


def made(**changes: Any) -> dict[str, Any]:
    """A run of two candidates with an exam."""
    rows = [
        {
            "name": name,
            "vote": vote,
            "chosen": vote == 1,
            "seconds": 1.5,
            "metrics": {"adapted": {"accuracy": spread(a)}},
        }
        for name, vote, a in (("coral", 1.0, 0.6), (NASTY, 0.5, 0.4))
    ]
    told = {"name": "photos", "samples": 9}
    return {
        "schema": 1, "given": {"source": told, "target": told}, "encoder": None, "classes": ["ant", NASTY],
        "overlap": {}, "leakage": None, "protocol": {"name": "closed", "told": "", "headline": "accuracy"},
        "labels": "exam", "seeds": 2, "exam": {"adapted": {"samples": 9, "hash": "aa", "openings": 1}},
        "references": {"metric": "accuracy", "chance": {"adapted": 0.5}, "source_only": None, "ceiling": None},
        "candidates": rows, "left_out": {}, "chosen": {"name": "coral", "why": "It was the best."},
        "config": {"data": {"source": "s" * 16, "target": "t" * 16}},
    } | changes  # fmt: skip


@pytest.fixture(scope="session")
def results() -> Callable[..., dict[str, Any]]:
    """Makes what stands in `results.json`."""
    return made
