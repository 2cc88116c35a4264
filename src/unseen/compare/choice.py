"""Which candidate is chosen, by what can be seen without the exam, and why."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unseen.compare import consensus
from unseen.compare.inputs import Inputs
from unseen.compare.validators import (
    AGREEMENT,
    CLASSWISE,
    CRAFTED,
    EMBEDDED,
    ENSEMBLE,
    HELD_OUT_CLASSES,
    INFORMATION,
    NEIGHBOURS,
    REVERSE,
    SOURCE,
    SUPPORT,
    learner_of,
)
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


def choose(cells: Cells, inputs: Inputs, protocol: str = "auto", *, careful: bool | None = None) -> Choice:
    """Choose by what the given data allow.

    Where there is a consensus of unlike methods, it is the choice; but with features of a user's own (`careful`) doing
    nothing is, if source-only is `GOOD_ENOUGH` and the support's labels, if there are any, say nothing else.

    Without one, and with a source whose classes are all that can be predicted: reverse validation by means or by
    neighbours, whichever learns the source's own classes better, with accuracy on the support where there is one, and
    source-only where nothing is clearly better, or better by one and worse by the other. With classes that have no
    labelled sample: class-wise validation, of the held-out classes alone where `protocol` is "zsl". Else accuracy on
    the support, else information among the candidates that keep nine tenths of the best source validation, else, where
    there is no target, crafted validation of pictures, else source validation.

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
    if together is not None:
        return _of_consensus(together, cells, means, validators, inputs, careful=gamble)
    back = REVERSE
    if inputs.source is not None and NEIGHBOURS in next(iter(means.values())):
        back = learner_of(inputs.source)
    votes, rule, by = _vote(means, inputs, protocol, graded, back, careful=careful)
    name = max(votes, key=lambda key: votes[key])
    why = _why(name, votes, means, rule, by, inputs)
    bold = _vote(means, inputs, protocol, graded, back, careful=False)[0]
    other = max(bold, key=lambda key: bold[key])
    if other != name:
        why += f" Without that care (careful=False) it would be {other}."
    return Choice(name, why, votes, validators, by=by)


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
    return Choice(name, why, _alike(cells, name), validators, made_for)


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
    name = "source-only" if stay else together if few else _by_labels(together, means, inputs)
    votes = _alike(cells, name)
    pairs = {tuple(key.split(":")) if ":" in key else (key, "default"): group for key, group in cells.items()}
    heard = {slug for slug, _ in consensus.members(pairs)}  # type: ignore[arg-type]
    agreed = consensus.unanimous(pairs) or 0.0  # type: ignore[arg-type]
    labels = "No target label was used." if inputs.support is None else "The support's labels were learnt from."
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
    return Choice(name, why, votes, validators, agreed if made_for else None)


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
    labels = inputs.support.labels
    said = [cell["method"].decision_function(inputs.support).argmax(dim=1).numpy() for cell in cells["source-only"]]
    right = float(np.mean([one == labels for one in said]))
    return right >= max(GOOD_ENOUGH, means[together].get(SUPPORT, 0.0))


def _by_labels(together: str, means: Mapping[str, Mapping[str, float]], inputs: Inputs) -> str:
    """The consensus, unless a candidate is better than it by two standard errors on labels of the support."""
    right = {key: row[SUPPORT] for key, row in means.items() if SUPPORT in row}
    if together not in right:
        return together
    reached, labels = right[together], graded_labels(inputs)
    error = math.sqrt(max(reached * (1 - reached), 0.25 / labels) / labels)
    best = max(right, key=lambda key: right[key])
    return best if right[best] > reached + 2 * error else together


def scores(cells: Cells) -> Scores:
    """Every validator of every candidate, per seed; those that need all candidates are added to those of the cells."""
    found: Scores = {
        key: {v: [cell["validators"][v] for cell in group] for v in group[0]["validators"]}
        for key, group in cells.items()
    }
    seeds = len(next(iter(cells.values())))
    if len({family(key) for key in cells}) < 2 or any("adapted" not in group[0] for group in cells.values()):
        return found
    for seed in range(seeds):
        parts = {key: group[seed]["adapted"] for key, group in cells.items()}
        p = {key: part["raw"] for key, part in parts.items()}
        one = len({q.shape for q in p.values()}) == 1  # a model that is given may know other classes than the source
        together = ensemble_validation(p, {key: family(key) for key in p}) if one else {}
        for key, part in parts.items():
            others = [other["prediction"] for name, other in parts.items() if family(name) != family(key)]
            found[key].setdefault(AGREEMENT, []).append(agreement(part["prediction"], others))
            if together:
                found[key].setdefault(ENSEMBLE, []).append(together[key])
    return found


def family(candidate: str) -> str:
    """The method of a candidate: presets of one method are no independent witnesses."""
    return candidate.partition(":")[0]


def _vote(
    means: Mapping[str, Mapping[str, float]], inputs: Inputs, protocol: str, graded: int, back: str, *, careful: bool
) -> tuple[dict[str, float], str, tuple[str, ...]]:
    """Votes, the rule in words, and the validators that decided; `back` is the reverse validation that ranks."""
    have = next(iter(means.values()))
    column = {v: {key: row[v] for key, row in means.items()} for v in have}
    if REVERSE in have and inputs.source is not None:
        other = REVERSE if back == NEIGHBOURS else NEIGHBOURS
        ranked, also, rule, by = (
            column[back],
            column[other],
            "how much of the source its predictions teach back",
            [back],
        )
        if SUPPORT in have:
            ranked, also = (weigh(column[v], column[SUPPORT], graded, SPREADS[v]) for v in (back, other))
            rule += f", and {graded} labels of the support"
            by.append(SUPPORT)
        keep = also
        if careful and EMBEDDED in have:
            keep = column[EMBEDDED]
            rule += ", among those that are not below source-only on samples that are like the target's"
            by.append(EMBEDDED)
        samples = min(len(inputs.source), len(inputs.target)) if inputs.target is not None else len(inputs.source)
        return without_doubt(ranked, samples + graded, keep=keep, also=also if careful else None), rule, tuple(by)
    if CLASSWISE in have:
        of = HELD_OUT_CLASSES if protocol == "zsl" else CLASSWISE
        return vote(column[of]), "how well it names classes that were held out", (of,)
    if SUPPORT in have:
        return vote(column[SUPPORT]), f"{graded} labels of the support that it had not learnt from", (SUPPORT,)
    if INFORMATION in have:
        kept = ", among those that keep nine tenths of the best accuracy on the source" if SOURCE in have else ""
        rule = f"how sure it is of each sample and how varied over all{kept}"
        return vote(column[INFORMATION], column.get(SOURCE)), rule, (INFORMATION, *([SOURCE] if SOURCE in have else []))
    if CRAFTED in have:
        return (
            vote(column[CRAFTED]),
            "its accuracy on source pictures that were changed strongly in ten ways",
            (CRAFTED,),
        )
    if SOURCE in have:
        return vote(column[SOURCE]), "its accuracy on source samples that were held out", (SOURCE,)
    return dict.fromkeys(means, 0.0), "", ()


def graded_labels(inputs: Inputs) -> int:
    """How many labels of the support are graded."""
    assert inputs.support is not None
    parts = [grade for _, grade in leave_out(inputs.support.labels)]
    return int(np.any(parts, axis=0).sum()) if parts else 0


def _why(
    name: str, votes: Mapping[str, float], means: Mapping[str, Any], rule: str, by: Sequence[str], inputs: Inputs
) -> str:
    if len(votes) == 1:
        return f"{name} was the only candidate."
    if not by:
        return f"{name} was taken as the first: nothing that is given tells the candidates apart."
    told = ", ".join(f"{means[name][v]:.3f}" for v in by)
    if name == "source-only" and REVERSE in means[name]:
        rest = "no other is better by more than two standard errors"
    else:
        second = sorted(votes, key=lambda key: -votes[key])[1]
        rest = f"next is {second} ({', '.join(f'{means[second][v]:.3f}' for v in by)})"
    labels = (
        "The support's labels were learnt from; no other label of the target was used."
        if inputs.support is not None
        else "No target label was used."
    )
    return f"{name} was chosen by {rule} ({told}); {rest}. {labels}"
