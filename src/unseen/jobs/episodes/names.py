"""What the figures of episodes are called, and the line about classes that are in none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unseen.evaluation.episodes import Episodes

NAMES = {
    "accuracy": "accuracy",
    "auroc": "AUROC known",
    "open_accuracy": "open accuracy",
    "unknown_accuracy": "unknown rejected",
}


def few_line(too_few: Mapping[str, int], protocol: Episodes) -> str:
    """Which classes no episode asks to name, and why, in a line."""
    single = len(too_few) == 1
    named = ", ".join(f"{name} ({n})" for name, n in too_few.items())
    return (
        f"{len(too_few)} {'class has' if single else 'classes have'} fewer than the {max(protocol.shots)} + "
        f"{protocol.queries} samples of an episode, and {'takes' if single else 'take'} part in none: {named}"
    )
