"""What the figures of a diagnosis mean for the choice of a method; every threshold stands here, once.

A sentence that says what methods gained is one that held on the pairs of the benchmark that it is printed for,
whichever family of them is left out (docs/trust.md has the table, a test compares them). Nothing else confirms it yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

SAME = 0.6
"""AUC of the domain classifier below which both sides count as one domain."""
APART = 0.9
"""AUC from which nearly every sample betrays its domain."""
EXPLAINED = 0.65
"""AUC below which the domains look alike once the source has the estimated class shares."""
SHIFTED = 0.05
"""Total variation above chance from which class shares count as different."""
FAR = 0.5
"""Distance between domains, as a share of the distance between classes, from which the shift of the mean is large."""
WON_BACK = 0.03
"""Gain in class consistency by alignment that counts, as a share of the source's own."""
LOST = 0.05
"""Loss in class consistency that counts, as a share of the source's own."""


class Line(NamedTuple):
    """A figure: what it is of, its value in words, and what it means."""

    about: str
    value: str
    meaning: str


def read(figures: Mapping[str, Any]) -> tuple[Line, ...]:
    """A line for each figure of `Diagnosis.to_json` that can be relied on, in the order in which they help.

    Class shares are told where the source, given them, looks like the target: elsewhere they cannot be relied on.
    """
    return (
        _domains(figures["domain_classifier"]["auc"]),
        *_shares(figures["label_shift"]),
        _distances(figures["distance"]),
        _consistency(figures["consistency"]),
        _duplicates(figures["duplicates"]),
    )


def _domains(auc: float) -> Line:
    if auc < SAME:
        meaning = "Nothing tells source and target apart: there is little to adapt, doing nothing is hard to beat."
    elif auc < APART:
        meaning = (
            "They differ in part. On pairs like this no single method gained in the mean of unlike data: let `unseen "
            "compare` choose."
        )
    else:
        meaning = (
            "Nearly every sample shows which side it is of. That alone does not say how much accuracy is lost; on "
            "pairs like this methods that use samples of the target gained more often than they lost."
        )
    return Line("source and target told apart", f"{auc:.2f} (0.5: a guess, 1: always)", meaning)


def shares_count(shift: Mapping[str, Any] | None) -> bool:
    """Whether estimated class shares can be relied on: the source, drawn anew with them, looks like the target."""
    return shift is not None and shift["remaining_auc"] < EXPLAINED


def _shares(shift: Mapping[str, Any] | None) -> list[Line]:
    if shift is None or not shares_count(shift):
        return []
    totals, chance = shift["total_variation"], shift["chance"]
    value = (
        f"{100 * totals['mlls']:.0f} % by one estimate, {100 * totals['bbse']:.0f} % by another (by chance alone: "
        f"{100 * chance:.0f} %)"
    )
    if min(totals["mlls"], totals["bbse"]) > chance + SHIFTED:
        meaning = (
            "Classes have other shares in the target, and with these shares the two look alike: methods that push "
            "towards equal shares (shot) can do harm."
        )
    else:
        meaning = "No sign that classes have other shares in the target than in the source."
    return [Line("class shares that differ", value, meaning)]


def _distances(distance: Mapping[str, float | None]) -> Line:
    domains, classes = distance["between_domains"], distance["between_classes"]
    about, mmd = "distance, in widths of a class", f"MMD {distance['mmd']:.3f}"
    if domains is None or classes is None:
        return Line(about, mmd, "No two classes have a width to compare with.")
    if domains >= FAR * classes:
        meaning = (
            "The average moves by more than half of what tells classes apart: on pairs like this aligning it "
            "(standardize, coral) gained in the mean."
        )
    else:
        meaning = "The average moves little beside what tells classes apart: aligning it alone will not do much."
    return Line(about, f"{domains:.2f} between source and target, {classes:.2f} between classes ({mmd})", meaning)


def _consistency(consistency: Mapping[str, float]) -> Line:
    value = (
        f"{100 * consistency['target']:.0f} % in the target, {100 * consistency['aligned']:.0f} % after aligning it, "
        f"{100 * consistency['source']:.0f} % in the source"
    )
    target, aligned = consistency["target"] / consistency["source"], consistency["aligned"] / consistency["source"]
    if aligned - target > WON_BACK:
        meaning = (
            "Aligning averages and widths wins some back: on pairs like this standardize and coral gained in the mean."
        )
    elif 1 - max(target, aligned) > LOST:
        meaning = (
            "Target samples fall between the classes of the source, and alignment does not mend it: let `unseen "
            "compare` choose, and give a few labels."
        )
    else:
        meaning = (
            "Target samples fall into the neighbourhoods of single classes, as samples of the source do: there is "
            "little for aligning to win."
        )
    return Line("neighbours of one class", value, meaning)


def _duplicates(duplicates: Mapping[str, int]) -> Line:
    value = f"{duplicates['equal']} equal, {duplicates['near']} nearly equal of {duplicates['of']}"
    if duplicates["equal"] + duplicates["near"]:
        return Line("samples on both sides", value, "Leave them out of one side: scores on them say nothing.")
    return Line("samples on both sides", value, "No sample of the target was found in the labelled data.")
