"""Which candidate is chosen, by what can be seen without the exam, and why."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unseen.compare import consensus
from unseen.compare.inputs import Inputs
from unseen.compare.introduction import unlabelled_classes
from unseen.compare.validators import (
    AGREEMENT,
    CLASSWISE,
    CRAFTED,
    EMBEDDED,
    ENSEMBLE,
    HELD_OUT_CLASSES,
    INFORMATION,
    LABELS_RIGHT,
    NEIGHBOURS,
    REVERSE,
    SIDES,
    SOURCE,
    SUPPORT,
    learner_of,
    learns_from_support,
)
from unseen.data.feature_names import listed
from unseen.validation import agreement, ensemble_validation, leave_out, vote, weigh, without_doubt

Cells = Mapping[str, Sequence[Mapping[str, Any]]]
Scores = dict[str, dict[str, list[float]]]

ENOUGH_LABELS = 20
"""Labels of the support from which on they are trusted without embedded validation; see docs/choosing.md."""

SPREADS = {REVERSE: 0.18, NEIGHBOURS: 0.17}
"""How far each reverse validation is off from the accuracy, as measured over 27 families (benchmarks/shifts/study.py):
less of the difference between two candidates (0.09) than of what is common to all of a shift."""

GOOD_ENOUGH = 0.8
"""Mean of source-only's accuracy on held-out source samples and of how sure it is of the target's, from which on
features of a user's own are not adapted without a label: it is as sure of samples that mean the same but whose classes
have other shares, which methods that give each domain its own mean get wrong (docs/choosing.md)."""


BY_NAMES = (
    "propagate-names", "consensus", "self-train-names", "describe-centred:half", "describe", "describe-centred",
    "describe-centred:shares",
)  # fmt: skip
"""Candidates that need names alone, the best first on the mean over twelve families. With any family left out it is the
same one on the others, so that it is chosen there, and not what they agree on (benchmarks/shifts/names.py)."""


BY_LABELS = ("consensus", "prototypes", "linear-probe", "fixmatch")
"""Candidates that learn from one label a class, of which none can be left out to grade them, the best first on the mean
over families (benchmarks/shifts/one_label.py)."""

NAMES_RIGHT = 0.5
"""What learnt from none of these labels is chosen before those if it has more than this share of them right: names are
better then on most other data (docs/choosing.md)."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice without the exam.

    Attributes
    ----------
    name, why : str
    votes : {candidate: vote in [0, 1]}
    validators : {candidate: {validator: a score per seed}}
    by : tuple of str
        The validators that decided.
    alike : bool
        Whether votes are how often a candidate says the same of the target as the chosen one.
    unanimous : float or None
        Share of the target on which all six methods say the same; None where some did not run, or where labels of the
        support overruled them: the estimate was not made for that.
    """

    name: str
    why: str
    votes: dict[str, float]
    validators: Scores
    unanimous: float | None = None
    by: tuple[str, ...] = ()
    alike: bool = False


def choose(cells: Cells, inputs: Inputs, protocol: str = "auto", *, careful: bool | None = None) -> Choice:
    """Choose by what the given data allow.

    Where there is a consensus of unlike methods, or of labels and their neighbours, it is the choice; but with
    features of a user's own (`careful`) doing nothing is, if source-only is `GOOD_ENOUGH` and the support's labels, if
    there are any, say nothing else.

    Without one, and with a source whose classes are all that can be predicted: reverse validation by means or by
    neighbours, whichever learns the source's own classes better, with accuracy on the support where there is one, and
    source-only where nothing is clearly better, or better by one and worse by the other. With classes that have no
    labelled sample: class-wise validation, of the held-out classes alone where `protocol` is "zsl". Else accuracy on
    the support, or, where at most one class has a label that can be left out, whether names alone have its labels
    right. Else information among the candidates that keep nine tenths of the best source validation, else, where there
    is no target, crafted validation of pictures, else source validation.

    `careful` leaves out, of what reverse validation prefers to source-only, whatever is not clearly better by both
    ways, or below it in embedded validation: it harms less often, and gains less. If None, it is so where samples are
    features as the user gave them and fewer than `ENOUGH_LABELS` labels of the support are graded, not where a
    pretrained encoder made them.
    """
    graded = 0 if inputs.support is None else graded_labels(inputs)
    gamble = inputs.encoder is None if careful is None else careful
    if careful is None:
        careful = inputs.encoder is None and graded < ENOUGH_LABELS
    validators = scores(cells)
    means = {key: {v: float(np.mean(values)) for v, values in row.items()} for key, row in validators.items()}
    if inputs.named:
        return _of_names(cells, validators)
    together = next((key for key in cells if family(key) == consensus.SLUG), None)
    if consensus.of_labels_alone(inputs) and len(_several(inputs)) < 2:
        return _of_single_labels(cells, validators, inputs)
    if together is not None and consensus.of_labels_alone(inputs):
        return _of_labels(together, cells, means, validators, inputs)
    if together is not None:
        return _of_consensus(together, cells, means, validators, inputs, careful=gamble)
    back = REVERSE
    if inputs.source is not None and NEIGHBOURS in next(iter(means.values())):
        back = learner_of(inputs.source)
    votes, rules = _vote(means, inputs, protocol, graded, back, careful=careful)
    name = max(votes, key=lambda key: votes[key])
    why = _why(name, votes, means, rules, inputs)
    bold = _vote(means, inputs, protocol, graded, back, careful=False)[0]
    other = max(bold, key=lambda key: bold[key])
    if other != name:
        why += f" Without that care (careful=False) it would be {other}."
    return Choice(name, why, votes, validators, by=tuple(rules))


def _of_names(cells: Cells, validators: Scores) -> Choice:
    """Where names are all that is known: what did best on other data; the consensus tells how far others agree."""
    rank = [next((i for i, known in enumerate(BY_NAMES) if known == key), len(BY_NAMES)) for key in cells]
    name = list(cells)[int(np.argmin(rank))]
    pairs = {tuple(key.split(":")) if ":" in key else (key, "default"): group for key, group in cells.items()}
    agreed = consensus.unanimous(pairs) if consensus.all_heard(pairs) else None  # type: ignore[arg-type]
    why = f"{name} was the only candidate."
    if len(cells) > 1:
        why = (
            f"{name} was chosen: of those that ran, it did best on other kinds of data where names were all that was "
            "known; nothing that is given tells them apart better. No target label was used."
        )
        if min(rank) == len(BY_NAMES):
            why = (
                f"{name} was taken as the first: none of those that ran was tried on other data where names were all "
                "that was known. No target label was used."
            )
    made_for = agreed if name == BY_NAMES[0] else None
    return Choice(name, why, _alike(cells, name), validators, made_for, alike=True)


def _of_single_labels(cells: Cells, validators: Scores, inputs: Inputs) -> Choice:
    """Where at most one class has a second label: certainty would favour what has trained itself, so it has no say.

    All labels grade what learnt from none of them. The best of these is chosen if it has more than `NAMES_RIGHT` of
    them right, or if nothing learnt from labels; else the first of `BY_LABELS`. Votes are how often others say the
    same; the shares of labels right are kept among the validators.
    """
    assert inputs.support is not None
    labels = len(inputs.support)
    learners = [key for key in cells if learns_from_support(family(key))]
    shares = {key: _right_on_support(cells[key], inputs) for key in _in_order(cells, BY_NAMES) if key not in learners}
    right = {key: float(np.mean(values)) for key, values in shares.items()}
    validators = {key: row | ({LABELS_RIGHT: shares[key]} if key in shares else {}) for key, row in validators.items()}
    best = max(right, key=lambda key: right[key], default=None)
    name = best if best is not None and (right[best] > NAMES_RIGHT or not learners) else None
    name = name or _in_order(learners, BY_LABELS)[0]
    alike = "adapted" in cells[name][0]
    votes = _alike(cells, name) if alike else {key: float(key == name) for key in cells}
    if len(cells) == 1:
        return Choice(name, f"{name} was the only candidate.", votes, validators, alike=alike)
    single = f"each class has a single label, so none of the {labels} can be left out to grade what learns from them"
    if several := _several(inputs):
        single = f"only {several[0]} has more than one label, and of other classes none can be left out to grade by"
    hits = "" if best is None else f"{best} has {_count_of(shares[best], labels)} of the {labels} labels right"
    if name == best:
        why = f"{name} was chosen: {hits}, none of which it learnt from."
        why += f" Others learnt from them, and {single}." if learners else ""
    else:
        why = f"{name} was taken as the first: {single}, and none that learns from them was tried on other data."
        if name in BY_LABELS:
            why = f"{name} was chosen: {single}, and on other data it did best of those that learn from them."
        why += f" Of those that do not, {hits}; with more than half it would be chosen." if best else ""
    by = (LABELS_RIGHT,) if right else ()
    return Choice(name, f"{why} {_labels_used(name, inputs)}", votes, validators, by=by, alike=alike)


def _several(inputs: Inputs) -> list[str]:
    """The classes with more than one label in the support: one can be left out to grade what learns from the rest."""
    assert inputs.support is not None
    values, counts = np.unique(inputs.support.labels, return_counts=True)
    return [inputs.classes.names[value] for value in values[counts > 1]]


def _count_of(shares: Sequence[float], labels: int) -> str:
    """How many of the labels shares are, one a seed; their mean where seeds differ."""
    counts = [round(share * labels) for share in shares]
    return f"{counts[0]}" if len(set(counts)) == 1 else f"on the mean {np.mean(counts):.1f}"


def _in_order(keys: Iterable[str], known: Sequence[str]) -> list[str]:
    """The candidates of `known` in its order, then the others in theirs."""
    keys = list(keys)
    return sorted(keys, key=lambda key: known.index(key) if key in known else len(known))


def _right_on_support(group: Sequence[Mapping[str, Any]], inputs: Inputs) -> list[float]:
    """Share of the labels of the support that a candidate predicts, for each seed."""
    assert inputs.support is not None
    predictions = [cell["method"].decision_function(inputs.support).argmax(dim=1).numpy() for cell in group]
    return [float(np.mean(predicted == inputs.support.labels)) for predicted in predictions]


def _labels_used(name: str, inputs: Inputs) -> str:
    """Which labels of the target were used, and for what."""
    if inputs.support is None:
        return "No target label was used."
    if learns_from_support(family(name)):
        return "The support's labels were learnt from; no other label of the target was used."
    return "The support's labels were not learnt from, only graded on; no other label of the target was used."


def _alike(cells: Cells, name: str) -> dict[str, float]:
    """How often each candidate says the same of the target as the one called `name`."""
    same = [
        {key: agreement(group[s]["adapted"]["prediction"], [cells[name][s]["adapted"]["prediction"]])
         for key, group in cells.items()}
        for s in range(len(cells[name]))
    ]  # fmt: skip
    return {key: float(np.mean([row[key] for row in same])) for key in cells}


def _of_consensus(
    together: str, cells: Cells, means: Mapping[str, Mapping[str, float]], validators: Scores, inputs: Inputs, *,
    careful: bool,
) -> Choice:  # fmt: skip
    """The consensus, or source-only where features of a user's own had better be left as they are.

    Votes are how often a candidate says the same as the chosen one.
    """
    at_home, sure = _as_it_is(cells, means)
    stay = careful and (at_home + sure) / 2 >= GOOD_ENOUGH and _labels_agree(together, cells, means, inputs)
    few = consensus.too_few_labels(inputs)
    name = "source-only" if stay else together if few else _by_labels(together, cells, means, inputs)
    votes = _alike(cells, name)
    pairs = {tuple(key.split(":")) if ":" in key else (key, "default"): group for key, group in cells.items()}
    heard = {slug for slug, _ in consensus.members(pairs)}  # type: ignore[arg-type]
    agreed = consensus.unanimous(pairs) or 0.0  # type: ignore[arg-type]
    labels = _labels_used(name, inputs)
    if few and inputs.support is not None:
        labels = (
            f"The support's {len(inputs.support)} labels had no say: with fewer than {consensus.FEWEST_LABELS} in all, "
            "what is chosen without them was as good or better on other data."
        )
    if stay and inputs.support is not None:
        labels = f"It has most of the support's {len(inputs.support)} labels right, too."
    if stay:
        whose = "these are features of your own" if inputs.encoder is None else "care was asked for"
        why = (
            f"source-only was chosen: {whose}, it is right on {100 * at_home:.0f} % of held-out source samples, "
            f"and {100 * sure:.0f} % sure of the target's (from {100 * GOOD_ENOUGH:.0f} % on the mean nothing is "
            f"adapted). Without that care (careful=False) it would be {together}. {labels}"
        )
    elif name != together:
        right = {key: means[key][SUPPORT] for key in (name, together)}
        why = (
            f"{name} was chosen: of {graded_labels(inputs)} labels of the support that it had not learnt from, it has "
            f"{100 * right[name]:.0f} % right, where {together} has {100 * right[together]:.0f} %. {labels}"
        )
    else:
        why = (
            f"{name} was chosen: it learnt what {len(heard)} unlike methods say of the target. They all say the same "
            f"on {100 * agreed:.0f} % of its samples. {labels}"
        )
    made_for = consensus.all_heard(pairs) and name in (together, "source-only")  # type: ignore[arg-type]
    validator = SOURCE if stay else None if few else SUPPORT
    by = (validator,) if validator is not None and validator in means[name] else ()
    return Choice(name, why, votes, validators, agreed if made_for else None, by, alike=True)


def _of_labels(
    together: str, cells: Cells, means: Mapping[str, Mapping[str, float]], validators: Scores, inputs: Inputs
) -> Choice:
    """Where labels of the support are all that there is: the consensus, unless they say that another one is better."""
    assert inputs.support is not None
    name = _by_labels(together, cells, means, inputs)
    right = {key: f"{100 * means[key][SUPPORT]:.0f} %" for key in (name, together)}
    graded = f"of {graded_labels(inputs)} labels of the support that it had not learnt from, it has {right[name]} right"
    if name == together:
        why = (
            f"{name} was chosen: it learnt what logistic regression on the support's {len(inputs.support)} labels and "
            "these labels, spread over neighbours, say together. On other data that was better than any choice by so "
            f"few labels; {graded}, and no other is clearly better."
        )
    else:
        why = f"{name} was chosen: {graded}, where {together} has {right[together]}."
    why = f"{why} {_labels_used(name, inputs)}"
    return Choice(name, why, _alike(cells, name), validators, by=(SUPPORT,), alike=True)


def _as_it_is(cells: Cells, means: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """How often source-only is right on held-out source samples, and how sure of the target's; 0 if it did not run.

    Where no class has a sample to hold out, it is taken to be right as often as it is sure.
    """
    if "source-only" not in cells:
        return 0.0, 0.0
    sure = float(np.mean([float(cell["adapted"]["raw"].max(dim=1).values.mean()) for cell in cells["source-only"]]))
    return means["source-only"].get(SOURCE, sure), sure


def _labels_agree(together: str, cells: Cells, means: Mapping[str, Mapping[str, float]], inputs: Inputs) -> bool:
    """Whether the support's labels, if there are any, say that source-only is good enough, no worse than the rest."""
    if inputs.support is None:
        return True
    right = float(np.mean(_right_on_support(cells["source-only"], inputs)))
    return right >= max(GOOD_ENOUGH, means[together].get(SUPPORT, 0.0))


def _by_labels(together: str, cells: Cells, means: Mapping[str, Mapping[str, float]], inputs: Inputs) -> str:
    """The consensus, unless a candidate is better than it by two standard errors on labels of the support.

    Where classes have no label there, no figure tells that a candidate gets them wrong: one that never predicts any
    of them has no say if the consensus does predict some.
    """
    right = {key: row[SUPPORT] for key, row in means.items() if SUPPORT in row}
    if together not in right:
        return together
    lacking = [inputs.classes.names.index(name) for name in unlabelled_classes(inputs)]
    named = {key: any(np.isin(cell["adapted"]["prediction"], lacking).any() for cell in cells[key]) for key in right}
    right = {key: value for key, value in right.items() if named[key] or not named[together]}
    reached, labels = right[together], graded_labels(inputs)
    error = math.sqrt(max(reached * (1 - reached), 0.25 / labels) / labels)
    best = max(right, key=lambda key: right[key])
    return best if right[best] > reached + 2 * error else together


def scores(cells: Cells) -> Scores:
    """Every validator of every candidate, per seed; those that need all candidates are added to those of the cells."""
    validators: Scores = {
        key: {v: [cell["validators"][v] for cell in group] for v in group[0]["validators"]}
        for key, group in cells.items()
    }
    seeds = len(next(iter(cells.values())))
    if len({family(key) for key in cells}) < 2 or any("adapted" not in group[0] for group in cells.values()):
        return validators
    for seed in range(seeds):
        parts = {key: group[seed]["adapted"] for key, group in cells.items()}
        p = {key: part["raw"] for key, part in parts.items()}
        same = len({q.shape for q in p.values()}) == 1  # a model that is given may know other classes than the source
        together = ensemble_validation(p, {key: family(key) for key in p}) if same else {}
        for key, part in parts.items():
            others = [other["prediction"] for name, other in parts.items() if family(name) != family(key)]
            validators[key].setdefault(AGREEMENT, []).append(agreement(part["prediction"], others))
            if together:
                validators[key].setdefault(ENSEMBLE, []).append(together[key])
    return validators


def family(candidate: str) -> str:
    """The method of a candidate: presets of one method are no independent witnesses."""
    return candidate.partition(":")[0]


def _vote(
    means: Mapping[str, Mapping[str, float]], inputs: Inputs, protocol: str, graded: int, back: str, *, careful: bool
) -> tuple[dict[str, float], dict[str, str]]:
    """Votes, and the validators that decided with the rule of each; `back` is the reverse validation that ranks."""
    have = next(iter(means.values()))
    column = {v: {key: row[v] for key, row in means.items()} for v in have}
    if REVERSE in have and inputs.source is not None:
        other = REVERSE if back == NEIGHBOURS else NEIGHBOURS
        ranked, also = column[back], column[other]
        rules = {back: "by how much of the source a model gets right that learnt only its predictions on the target"}
        if SUPPORT in have:
            ranked, also = (weigh(column[v], column[SUPPORT], graded, SPREADS[v]) for v in (back, other))
            rules[SUPPORT] = f"by {graded} labels of the support"
        keep = also
        if careful and EMBEDDED in have:
            keep = column[EMBEDDED]
            rules[EMBEDDED] = (
                "among those that are no worse than source-only on the source samples that are most like the target's"
            )
        samples = min(len(inputs.source), len(inputs.target)) if inputs.target is not None else len(inputs.source)
        return without_doubt(ranked, samples + graded, keep=keep, also=also if careful else None), rules
    if CLASSWISE in have:
        of = {"zsl": HELD_OUT_CLASSES, "base-to-new": SIDES}.get(protocol, CLASSWISE)
        return vote(column[of]), {of: "by how well it names classes that were held out"}
    if SUPPORT in have:
        return vote(column[SUPPORT]), {SUPPORT: f"by {graded} labels of the support that it had not learnt from"}
    if INFORMATION in have:
        rules = {INFORMATION: "by how sure it is of each sample and how varied over all"}
        if SOURCE in have:
            rules[SOURCE] = "among those that keep nine tenths of the best accuracy on the source"
        return vote(column[INFORMATION], column.get(SOURCE)), rules
    if CRAFTED in have:
        return vote(column[CRAFTED]), {CRAFTED: "by its accuracy on source pictures, changed strongly in ten ways"}
    if SOURCE in have:
        return vote(column[SOURCE]), {SOURCE: "by its accuracy on source samples that were held out"}
    return dict.fromkeys(means, 0.0), {}


def graded_labels(inputs: Inputs) -> int:
    """How many labels of the support are graded."""
    assert inputs.support is not None
    parts = [grade for _, grade in leave_out(inputs.support.labels)]
    return int(np.any(parts, axis=0).sum()) if parts else 0


def _why(
    name: str, votes: Mapping[str, float], means: Mapping[str, Any], rules: Mapping[str, str], inputs: Inputs
) -> str:
    """The choice in a sentence: by which rules, each with its score, and what comes next."""
    if len(votes) == 1:
        return f"{name} was the only candidate."
    if not rules:
        return f"{name} was taken as the first: nothing that is given tells the candidates apart."
    reasons = ", ".join(f"{rule} ({_score(means[name], v)})" for v, rule in rules.items())
    if name == "source-only" and REVERSE in means[name]:
        rest = "no other is better by more than two standard errors"
    elif votes[name] and (tied := [key for key in votes if key != name and votes[key] == votes[name]]):
        has = "has the same score" if len(tied) == 1 else "have the same score"
        rest = f"{listed(tied)} {has}: a tie, of which the first that was fitted is taken"
    else:
        second = sorted(votes, key=lambda key: -votes[key])[1]
        rest = f"next is {second} ({', '.join(_score(means[second], v) for v in rules)})"
    return f"{name} was chosen {reasons}; {rest}. {_labels_used(name, inputs)}"


def _score(scores: Mapping[str, float], validator: str) -> str:
    """A score as the share of samples that it is, if it is one."""
    share = validator != INFORMATION and 0 <= scores[validator] <= 1
    return f"{100 * scores[validator]:.1f} %" if share else f"{scores[validator]:.3f}"
