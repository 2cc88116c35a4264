"""What was read and what it lacks, in sentences, before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.compare.names import some
from unseen.data.class_gaps import gaps
from unseen.data.labels import measurements
from unseen.report.words import SPACE, columns_told, count, samples

if TYPE_CHECKING:
    from unseen.compare.inputs import Inputs


def what_was_read(
    records: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
    overlap: Mapping[str, tuple[str, ...]],
    *,
    named: bool,
    learnt: int,
    sealed: bool,
    graded: bool = True,
    estimated: bool = True,
) -> list[str]:
    """A line for each role and one of the classes: known before a network reads anything.

    `learnt` is how many labels of the target are learnt from, `sealed` whether labels of it are put away, `graded`
    whether these grade something, `estimated` whether an accuracy can be estimated where nothing does.
    """
    lacks = "" if estimated else "and with these features no estimate"
    if not named and "source" not in records:
        lacks = "and no estimate" + " beyond labels of the support that are left out" * ("support" in records)
    lines = [
        _role_line(role, record, learnt=learnt, sealed=sealed, graded=graded, lacks=lacks).replace(SPACE, " ")
        for role, record in records.items()
    ]
    lines += [line.replace(SPACE, " ") for line in columns_told(records)]
    if named:
        lines.append(f"classes: {some(names, 5)}; their names are compared with the samples (zero-shot)")
    elif overlap and (overlap["source_only"] or overlap["target_only"]):
        sides = [("only in the labelled data", "source_only"), ("only in the target", "target_only")]
        differences = [f"{words}: {some(overlap[side])}" for words, side in sides if overlap[side]]
        lines.append("; ".join([f"classes: {len(overlap['shared'])} in both", *differences]))
    if overlap and overlap["case_variants"]:
        lines.append(f"classes that differ in case only (are they one?): {', '.join(overlap['case_variants'][:5])}")
    return lines


def what_to_mind(inputs: Inputs, *, graded: bool = True) -> list[str]:
    """What was decided on the way, and what to look at before anything is believed; `graded` as in `what_was_read`."""
    lines = [f"classes: {gap}" for gap in gaps(inputs.classes)] if inputs.described else []
    return [*lines, *inputs.notes, *cautions(inputs, graded=graded)]


def _role_line(role: str, record: Mapping[str, Any], *, learnt: int, sealed: bool, graded: bool, lacks: str) -> str:
    """A role with what was read for it, and what becomes of its labels."""
    n, labeled, classes = record["samples"], record["labeled"], len(record["classes"])
    line = f"{role}: {samples(n, record['kind'])}"
    if role != "target":
        if labeled:
            line += f" of {count(classes, 'class', 'classes')}" + (f", {labeled} with labels" if labeled < n else "")
        return line
    if learnt:
        return f"{line}, {learnt} labels to learn from" + (", the others grade" if sealed else "")
    if not graded:
        return line + ("; their labels are not read" if labeled else " without labels")
    if labeled and sealed:
        return f"{line}; their labels ({count(classes, 'class', 'classes')}) are put away, and grade at the end"
    if lacks:
        return f"{line} without labels: there will be no accuracy, {lacks}"
    return f"{line} without labels: there will be an estimate, and no accuracy"


def cautions(inputs: Inputs, *, graded: bool = True) -> list[str]:
    """What is too small, too often the same or too much of one class to say much, in sentences.

    `graded` as in `what_was_read`.
    """
    lines = []
    if inputs.source is not None:
        counts = np.bincount(inputs.source.labels, minlength=len(inputs.classes))
        alone = [inputs.classes.names[c] for c in np.flatnonzero(counts == 1)]
        if alone:
            lines.append(f"classes with a single labelled sample, of which nothing can be held out: {some(alone)}")
    if inputs.target is not None and (few := len(inputs.target)) < SMALL_TARGET:
        aside = "" if inputs.held_out is None else f" beside {len(inputs.held_out)} that are held out"
        lines.append(
            f"the target has {few} {'sample' if few == 1 else 'samples'}{aside}: nothing that needs its neighbours or "
            "shares can be estimated well, and an accuracy on it says little"
        )
    if {"target", "support"} <= inputs.records.keys():
        whole, n = inputs.records["target"]["samples"], len(inputs.target or ()) + len(inputs.held_out or ())
        if n < whole:
            exam = ", and only these are graded" if graded and inputs.exams else ""
            lines.append(
                f"target: {whole - n} of its {whole} samples are in the support and left out; {n} take part{exam}"
            )
    for role, facts in inputs.records.items():
        if role != "target" and (twice := facts["contradictory"]):
            lines.append(
                f"{role}: {count(twice, 'sample is', 'samples are')} there under more than one label; at most one of "
                "them is right, and no method can be right on all"
            )
        if (real := measurements(facts["classes"])) and real not in facts["notes"]:
            lines.append(f"{role}: {real}")
        n, different = facts["samples"], facts["different"]
        if n - different >= max(MANY_COPIES * n, 2):
            lines.append(
                f"{role}: of {n} samples only {different} differ, and one is there {facts['most_copies']} times; each "
                "copy counts, in what is learnt and in every figure"
            )
    classes = inputs.records.get("target", {}).get("classes", ())
    if len(classes) == 1 and len(inputs.classes) > 1:
        lines.append(
            f"all labels of the target are of one class, {next(iter(classes))}: a figure on them says nothing of the "
            "other classes, and a method that takes classes to be as frequent as in the labelled data gets them wrong"
        )
    if lacking := unlabelled_classes(inputs):
        of = len(inputs.classes.seen)
        lines.append(
            f"the support has labels of {of - len(lacking)} of {of} classes, and none of {some(lacking)}: they say "
            "nothing of the others, and what learns from them alone never predicts these"
        )
    if _leaves_names_unread(inputs):
        lines.append("the names of the classes are not read: give classes=... to have them compared with the texts")
    lines += inputs.unread
    return [line.replace(SPACE, " ") for line in lines]


def unlabelled_classes(inputs: Inputs) -> list[str]:
    """Names of known classes that a support, where there is one, has no label of."""
    if inputs.support is None:
        return []
    return [inputs.classes.names[c] for c in np.setdiff1d(inputs.classes.seen, inputs.support.labels)]


def _leaves_names_unread(inputs: Inputs) -> bool:
    """Whether a support of texts has names of classes, and the encoder of texts is not asked to read them."""
    if inputs.support is None or inputs.source is not None or inputs.model is not None or inputs.encoder is None:
        return False
    called = not all(name.isdecimal() for name in inputs.classes.names)  # labels without names are called 0, 1, ...
    return called and inputs.encoder.kind == "text" and not (inputs.described or inputs.shared_space)


SMALL_TARGET = 20
"""Samples of the target below which there are too few of them to say much."""

MANY_COPIES = 0.1
"""Share of samples that are copies of another, from which on it is said."""
