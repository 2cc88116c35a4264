"""Which method is chosen without a label of the target, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SOURCE_ONLY = "source-only"
MARGIN = 0.01
"""A method must beat doing nothing by so much, on pictures in the look of the target, to be chosen."""


def scored_on(apart: bool, taken: bool) -> str:
    """Which labelled pictures scores are on, in words.

    Parameters
    ----------
    apart : bool
        Whether they were held out of training.
    taken : bool
        Whether the network was there and its training is not known.
    """
    if taken:
        return "labelled pictures that it may have been trained on"
    return (
        "held-out labelled pictures" if apart else "the labelled pictures that it was trained on, too few to hold out"
    )


def choose(table: Sequence[Mapping[str, Any]]) -> str:
    """The arm with the best mIoU on held-out pictures in the look of the target, if it beats doing nothing."""
    best = max(table, key=lambda row: row["look"])
    nothing = next((row for row in table if row["method"] == SOURCE_ONLY), None)
    if nothing is not None and best["look"] < nothing["look"] + MARGIN:
        return SOURCE_ONLY
    return str(best["method"])


def why(
    table: Sequence[Mapping[str, Any]],
    chosen: str,
    together: float,
    shots: int,
    graded: bool,
    where: str,
    held_out: bool,
) -> tuple[str, ...]:
    """Why a method was chosen, and what that is worth, in sentences.

    Parameters
    ----------
    table : list of dict
    chosen : str
    together : float
        Share of the pixels of the target that all call the same.
    shots : int
    graded : bool
        Whether masks of the target were opened.
    where : str
        On which labelled pictures it has its score, in words.
    held_out : bool
        Whether those that graded were not adapted to.
    """
    rows = {row["method"]: row for row in table}
    row = rows[chosen]
    lines = [f"{chosen} has {row['look']:.3f} mIoU on {where}, given the look of the target"]
    if SOURCE_ONLY in rows and chosen != SOURCE_ONLY:
        lines[0] += f"; the unadapted network has {rows[SOURCE_ONLY]['look']:.3f}"
    elif chosen == SOURCE_ONLY and len(table) > 1:
        lines[0] += f"; none of the others is better by more than {MARGIN:g}, so nothing is adapted"
    lines.append(
        f"that look is imitated by statistics of {shots} picture{'s' if shots > 1 else ''}: it says nothing of other "
        "shapes, drawings or scenes, so the score is no estimate of how good the masks are; methods that train on "
        "such imitations (fda) are favoured by it"
    )
    if len(table) > 1:
        lines.append(f"all {len(table)} methods call {together:.0%} of the target's pixels the same")
    if graded:
        best = max(table, key=lambda row: row["graded"]["mIoU"])
        lines.append(
            ("masks of the pictures that were not adapted to" if held_out else "masks of the target, adapted to itself")
            + f", opened afterwards, give {chosen} {row['graded']['mIoU']:.3f} mIoU"
            + (_better(best, chosen) if len(table) > 1 else "")
        )
    else:
        lines.append("no mask of the target was given: label five of its pictures to know how good these are")
    return tuple(lines)


def _better(best: Mapping[str, Any], chosen: str) -> str:
    """What the best of all methods has, beside what was chosen."""
    return "; no other has more" if best["method"] == chosen else f"; {best['method']} has {best['graded']['mIoU']:.3f}"
