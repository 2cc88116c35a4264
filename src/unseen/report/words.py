"""Figures in words: what the page and the terminal both say about a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from unseen.data.feature_names import listed
from unseen.data.kinds import KINDS
from unseen.report.defined import defined_part, is_defined, why_undefined

Results = Mapping[str, Any]

SCHEMA = 1
"""The version of `results.json` that is read."""

METRICS = {
    "accuracy": "accuracy",
    "class_accuracy": "per-class mean",
    "h_score": "H-score",
    "known_accuracy": "known classes",
    "unknown_accuracy": "unknown found",
    "s": "seen (S)",
    "u": "unseen (U)",
    "base": "base (with labels)",
    "new": "new (without)",
    "h": "H",
}
MEANINGS = {
    "accuracy": "Accuracy is the share of samples predicted right.",
    "class_accuracy": "The per-class mean is the accuracy of each class, averaged over classes of any size alike.",
    "h_score": "The H-score is the harmonic mean of two: the accuracy on known classes, averaged over classes, and the "
    "share of samples of unknown classes that were recognized as unknown.",
    "h": "H is the harmonic mean of S and U, the per-class mean accuracies on classes with and without labels.",
    "base to new": "H is the harmonic mean of base and new, the accuracies on classes with and without labels, each "
    "told among themselves.",
}
SCORES = {
    "source validation": "right on source samples held out",
    "support validation": "right on labels of the support held out",
    "embedded validation": "right on source samples held out that are like the target's (an estimate: it may exceed 1)",
    "reverse validation": "source learnt back from the predictions, by class means",
    "reverse validation by neighbours": "source learnt back from the predictions, by neighbours",
    "class-wise validation": "right on classes held out and on others (harmonic mean)",
    "accuracy of held-out classes": "right on classes held out",
    "class-wise validation on each side": "right on classes held out and on others, each among its own (harmonic mean)",
    "crafted validation": "right on strongly changed copies of source pictures",
    "labels right": "right on labels of the support, of those that learnt from none",
    "agreement": "says what other methods say",
    "ensemble validation": "says what all say together",
    "certainty": "how sure it is (0: certain)",
    "information maximization": "sure of each, varied over all",
    "neighbourhood density": "neighbours predicted alike",
}
"""What scores that need no label of the target measure, by the names that they have in `results.json`."""
SPACE = "\N{NO-BREAK SPACE}"
HARM = 0.01
"""More than this below source-only, as a share, counts as harm."""


def check(results: Results) -> None:
    """Raise `ValueError` unless `results` has the schema that this version reads."""
    if isinstance(results, Mapping) and "schema" not in results:
        raise ValueError("results must be those of `unseen compare`; these are of another command, or damaged")
    schema = results.get("schema") if isinstance(results, Mapping) else None
    if schema != SCHEMA:
        raise ValueError(
            f"results must have schema {SCHEMA}, which this version of unseen reads; got schema {schema!r}"
        )


# -- figures -------------------------------------------------------------------------------------------------


def number(value: float | None, digits: int = 3) -> str:
    """A decimal number; a dash for none, NaN and infinity."""
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else "–"


def share(value: float | None) -> str:
    """A share in [0, 1] in per cent, without the sign."""
    return number(None if value is None else 100 * value, 1)


def percent(value: float | None) -> str:
    """A share in [0, 1] in per cent, with the sign."""
    return f"{share(value)}{SPACE}%"


def points(value: float) -> str:
    """A difference of two shares, without its sign, in percentage points."""
    return f"{share(abs(value))}{SPACE}points"


def seconds(value: float) -> str:
    """A duration in the units that people use."""
    if value < 60:
        return f"{value:.{2 if value < 1 else 1 if value < 10 else 0}f}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest:02d}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"


def deviation(spread: Mapping[str, Any], digits: int = 1, factor: float = 100) -> str:
    """The standard deviation over seeds; nothing for one seed, or where all give the same."""
    if not is_defined(spread["std"]):
        return ""
    text = number(factor * spread["std"], digits)
    return f"±{SPACE}{text}" if len(spread["per_seed"]) > 1 and float(text) > 0 else ""


def count(n: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun, as in `1 seed` and `2 seeds`."""
    return f"{n:,}{SPACE}{noun if n == 1 else plural or noun + 's'}"


def samples(n: int, kind: str) -> str:
    """A number of samples of a kind, as in `185 pictures`."""
    return count(n, *KINDS.get(kind, ("sample", "samples")))


def score_label(name: str) -> str:
    """What tables and sentences call a score that needs no label of the target."""
    return SCORES.get(name, name)


# -- what a run says -----------------------------------------------------------------------------------------


def chosen_row(results: Results) -> Mapping[str, Any]:
    """The candidate that was chosen."""
    return next(row for row in results["candidates"] if row["chosen"])


def deciding(results: Results) -> list[str]:
    """Scores by which the chosen candidate was chosen, with the accuracy on held-out source samples and the agreement
    with others: a first look."""
    have = list(dict.fromkeys(v for row in [chosen_row(results), *results["candidates"]] for v in row["validators"]))
    named = [v for v in have if v in results["chosen"].get("by", ()) or v in ("source validation", "agreement")]
    return named or have


def score_told(results: Results) -> str:
    """What the score without labels is, and which of the other scores decided; runs of before it was kept say less."""
    chosen = results["chosen"]
    by = [score_label(v) for v in chosen.get("by", ())]
    went = f"What decided: {', '.join(by)}." if by else "None of these scores decided; the sentence above says why."
    if chosen.get("alike"):
        same = "is how much of the target a candidate says the same of as what was chosen: it did not decide"
        return f"The score without labels {same}. {went}"
    back = any(v.startswith("reverse validation") for v in chosen.get("by", ()))
    least = f", and one that is not clearly better than {nothing(results)} has 0" if back or "by" not in chosen else ""
    ranks = "The score without labels ranks the candidates, up to 1, by what the sentence above names"
    return f"{ranks}{least}.{f' {went}' if 'by' in chosen else ''}"


def what(row: Mapping[str, Any]) -> str:
    """What a candidate does, as the end of a sentence that begins with its name; empty if that is not known."""
    sentence = str(row.get("summary", "")).rstrip(".")
    sentence = sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence
    if sentence and row.get("preset") == "views":
        sentence += "; pictures are read twice, once with the statistics of their own domain"
    return sentence


def metric_label(metric: str) -> str:
    """What tables call a metric."""
    return METRICS.get(metric, metric.replace("_", " "))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The chosen candidate beside what it must be seen beside; shares in [0, 1], None where there is none.

    Attributes
    ----------
    metric : str
        The headline metric of the protocol.
    spread : mapping
        Of the chosen candidate on the samples that methods adapted to.
    chance, floor, ceiling : float or None
        A uniform guess; doing nothing (`nothing`: source-only, or names alone); a model that learnt the target's own
        labels.
    best : mapping
        The candidate that is best by the target's own labels, which nobody has when choosing.
    """

    metric: str
    samples: int
    spread: Mapping[str, Any]
    chance: float | None
    floor: float | None
    ceiling: float | None
    best: Mapping[str, Any]
    nothing: str = "source-only"

    @property
    def gain(self) -> float | None:
        """Chosen minus doing nothing."""
        return None if self.floor is None or not self.is_defined else self.spread["mean"] - self.floor

    @property
    def is_defined(self) -> bool:
        """Whether the metric has a value on this target."""
        return is_defined(self.spread["mean"])

    @property
    def regret(self) -> float:
        """The best candidate by the exam minus the chosen one."""
        return self.best["metrics"]["adapted"][self.metric]["mean"] - self.spread["mean"]


def verdict(results: Results) -> Verdict | None:
    """The figures of the choice on the exam; None without one."""
    if not results["exam"]:
        return None
    references = results["references"]
    metric = references["metric"]
    rows = [row for row in results["candidates"] if is_defined(row["metrics"]["adapted"][metric]["mean"])]
    chosen = chosen_row(results)
    comparable = metric in ("accuracy", "class_accuracy", "h")
    return Verdict(
        metric=metric,
        samples=results["exam"]["adapted"]["samples"],
        spread=chosen["metrics"]["adapted"][metric],
        chance=references["chance"]["adapted"] if comparable else None,
        floor=(references["source_only"] or {}).get("adapted"),
        ceiling=(references["ceiling"] or {}).get(metric),
        best=max(rows, key=lambda row: row["metrics"]["adapted"][metric]["mean"], default=chosen),
        nothing=nothing(results),
    )


def nothing(results: Results) -> str:
    """The candidate that does nothing about the target: source-only, or describe where only names are known."""
    return "describe" if by_names(results) else "source-only"


def by_names(results: Results) -> bool:
    """Whether there was nothing to learn from but names: no sample with a label, and no model."""
    learnt = {"source", "support"} & set(results["given"]) or results.get("model")
    return not learnt and results["labels"] == "exam"


def headline(results: Results) -> str:
    """One sentence: what was chosen, and what it reaches."""
    name, among = results["chosen"]["name"], len(results["candidates"])
    graded = verdict(results)
    if graded is None and results.get("estimate"):
        estimate = results["estimate"]
        low, high = estimate["interval"]
        guess = 1 / max(len(results["classes"]), 1)
        about = (
            f"{percent(estimate['accuracy'])} of the target, between {percent(low)} and {percent(high)}"
            if estimate["accuracy"] > 0
            else f"less than {percent(high)} of the target"
        )
        line = (
            f"{name} was chosen from {count(among, 'candidate')}; it may be right on {about}, and guessing on "
            f"{percent(guess)}: an estimate, without a label to grade it by."
        )
        if _is_near_guessing(estimate["interval"], guess):
            line += " That is hardly better than guessing: look at it with `unseen verify` before you use it."
        return line
    if graded is None:
        target = results["given"].get("target")
        why = "no data of yours was given" if target is None else "no label of the target is left"
        if target is not None and not target.get("labeled", 1):
            why = "the target has no label"
        return f"{name} was chosen from {count(among, 'candidate')}; {why} to grade it by."
    if not graded.is_defined:
        return f"{name} was chosen from {count(among, 'candidate')}; {_undefined(graded, results)}"
    figure = _figure(graded.spread)
    rest = f", beside {percent(graded.chance)} by guessing" if graded.chance is not None else ""
    if graded.floor is not None and name != graded.nothing:
        rest = f", beside {percent(graded.floor)} {_doing(graded.nothing)}"
    return f"{name} {_reaches(figure, graded.metric)}{rest}; {count(graded.samples, 'sample')} of it were graded."


def _figure(spread: Mapping[str, Any]) -> str:
    """A share in per cent, with its deviation."""
    return " ".join(filter(None, (share(spread["mean"]), deviation(spread)))) + f"{SPACE}%"


def _undefined(graded: Verdict, results: Results) -> str:
    """That the metric of the protocol has no value here, why, and what can be told instead."""
    metrics = chosen_row(results)["metrics"]["adapted"]
    protocol = f" of the protocol {results['protocol']['name']}" if results.get("protocol") else ""
    label = metric_label(graded.metric)
    line = f"the {label}{protocol} is not defined on this target: {why_undefined(graded.metric, metrics)}."
    if part := defined_part(graded.metric, metrics):
        line += f" {part[0]} it is right on {_figure(part[1])}; {count(graded.samples, 'sample')} were graded."
    return line


def _is_near_guessing(interval: Sequence[float], guess: float) -> bool:
    """Whether more than half of an interval is at most half as much again as guessing, and a fifth of the way to 1."""
    low, high = interval
    return low + high < 2 * min(1.5 * guess, guess + 0.2 * (1 - guess))


def _reaches(figure: str, metric: str) -> str:
    """A figure of the target in a sentence."""
    if metric == "accuracy":
        return f"is right on {figure} of the target"
    if metric == "class_accuracy":
        return f"is right on {figure} of the target (each class counts alike)"
    return f"reaches {figure} {metric_label(metric)} on the target"


def beside(results: Results) -> list[str]:
    """The sentences that the headline must not be read without."""
    graded = verdict(results)
    if graded is None:
        return [line for line in (_estimate(results), _alone(graded, results), flat(results)) if line]
    parts = [
        f"{percent(graded.chance)} by guessing" if graded.chance is not None else None,
        f"{percent(graded.floor)} {_doing(graded.nothing)} ({graded.nothing})" if is_defined(graded.floor) else None,
        f"{percent(graded.ceiling)} for {_TAUGHT}" if graded.ceiling else None,
    ]
    figures = ", ".join(part for part in parts if part)
    lines = [f"Beside it: {figures}."] if figures else []
    if graded.chance is None and graded.is_defined:
        lines.append(_not_comparable(graded, results["references"]["ceiling"]))
    lines.append(_change(graded, results["chosen"]["name"]))
    lines.append(_refitted(graded, results["chosen"].get("refitted")))
    lines.append(_alone(graded, results))
    lines.append(_regret(graded, results))
    lines.append(flat(results))
    return [line for line in lines if line]


_TAUGHT = "a plain model that learnt the target's own labels"


def _refitted(graded: Verdict, whole: Mapping[str, Any] | None) -> str:
    """What the saved model reaches, where it has learnt from all of the source."""
    if whole is None or not graded.is_defined:
        return ""
    reached = whole["metrics"]["adapted"][graded.metric]["mean"]
    return (
        f"The saved model, fitted once more on all {count(whole['samples'], 'source sample')} (candidates learn from "
        f"four fifths of them), reaches {percent(reached)}."
    )


def _alone(graded: Verdict | None, results: Results) -> str:
    """On how many samples the saved model, asked about one at a time, differs from the labels of all together."""
    alone = results["chosen"].get("alone")
    if not alone or not alone["differ"]:
        return ""
    line = (
        f"{results['chosen']['name']} labels the target's samples together; the saved model is asked about each by "
        f"itself and says otherwise of {alone['differ']} of {alone['samples']}"
    )
    if graded is None or not graded.is_defined or results["chosen"].get("refitted"):
        return f"{line}."
    return f"{line}: it reaches {percent(alone['metrics']['adapted'][graded.metric]['mean'])}."


FLAT = 0.5
"""Share of the samples above which one of at least `FLAT_CLASSES` classes is told to be named too often, perhaps."""
FLAT_CLASSES = 4


def flat(results: Results) -> str:
    """That one class of several is named for most samples; empty where it is not so."""
    most, n = results.get("most_named"), len(results["classes"])
    if most is None or most["share"] <= FLAT or n < FLAT_CLASSES:
        return ""
    return (
        f"{percent(most['share'])} of the samples are called {most['class']!r}, of {n} classes: unless most of them "
        "are that, what was given does not tell the classes apart; a few labels do (`unseen label` says which samples)."
    )


VERIFY = "`unseen verify` measures the accuracy by a few answers of yours."


def _estimate(results: Results) -> str:
    """What an accuracy without labels rests on."""
    estimate = results.get("estimate")
    if estimate is None:
        kept = chosen_row(results).get("validators", {}).get("support validation")
        known = kept and f"labels of the support that it had not learnt from alone tell ({percent(kept['mean'])} right)"
        return f"How often it is right is not known, and {known or 'nothing here tells'}: {VERIFY}"
    rests = f"unlike methods all say the same on {percent(estimate['unanimous'])} of the samples"
    if estimate["labels"]:
        rests += f", and it names {count(estimate['labels'], 'labelled sample')} that it had not seen as it should"
    return (
        f"The estimate rests on this: {rests}. On kinds of data that had no part in making the rule, such an interval "
        f"held the accuracy in {round(100 * estimate['coverage']['measured'])} of 100 cases. It takes every sample to "
        f"be of a known class. {VERIFY}"
    )


def _not_comparable(graded: Verdict, ceiling: Mapping[str, float] | None) -> str:
    line = f"Guessing has no {metric_label(graded.metric)} to compare with"
    if graded.ceiling is None and ceiling and "accuracy" in ceiling:
        line += f"; {_TAUGHT} is right on {percent(ceiling['accuracy'])}"
    return f"{line}."


def _change(graded: Verdict, name: str) -> str:
    if graded.gain is None or name == graded.nothing:
        return ""
    side = "above" if graded.gain >= 0 else "below"
    harm = " Adapting did harm here." if graded.gain < -HARM else ""
    floor = "names alone" if graded.nothing == "describe" else "doing nothing"
    return f"The choice is {points(graded.gain)} {side} {floor} ({graded.nothing}).{harm}"


def _doing(nothing: str) -> str:
    return "by names alone" if nothing == "describe" else "without adaptation"


def _regret(graded: Verdict, results: Results) -> str:
    if len(results["candidates"]) == 1 or not graded.is_defined:
        return ""
    shown = "support" in results["given"] or results["labels"] != "exam"  # other labels of the target were seen
    labels = "the labels that grade" if shown else "the target's labels"
    start = f"The choice from {len(results['candidates'])} candidates did not see {labels}"
    if round(100 * graded.regret, 1) <= 0:  # as it is written
        return f"{start}; now that they are opened, no other candidate is better."
    return f"{start}; now that they are opened, {graded.best['name']} turns out {points(graded.regret)} better."


# -- for the terminal ----------------------------------------------------------------------------------------


def summary(results: Results) -> list[str]:
    """The answer in three lines for the terminal: what it reaches, why it was chosen, what to know beside.

    Harm, samples that stand on both sides, and what was given that makes figures say less are lines of their own.

    Parameters
    ----------
    results : mapping
        What stands in `results.json`.

    Raises
    ------
    ValueError
        If its schema is not one that this version reads.
    """
    check(results)
    graded = verdict(results)
    row = chosen_row(results)
    does = what(row) if row.get("slug", "consensus") != "consensus" else ""  # whose reason says what it does
    lines = [headline(results), results["chosen"]["why"] + (f" What it does: {does}." if does else "")]
    if graded is None:
        lines.append(VERIFY if results.get("estimate") else _estimate(results))
        lines.append(_alone(graded, results))
    else:
        whole = _refitted(graded, results["chosen"].get("refitted"))
        last = [whole, _alone(graded, results), _regret(graded, results)]
        lines.append(" ".join(part for part in last if part))
        if graded.gain is not None and graded.gain < -HARM and results["chosen"]["name"] != graded.nothing:
            lines.append(_change(graded, results["chosen"]["name"]))
    lines.append(flat(results))
    if results["leakage"] and results["leakage"].startswith("Leakage"):
        lines.append(results["leakage"])
    lines += cautions(results)
    return [line.replace(SPACE, " ") for line in lines if line]


def cautions(results: Results) -> list[str]:
    """What was given that makes figures say less, as sentences; runs of before this was kept have none."""
    return [f"Mind: {line}." for line in results.get("cautions", [])]


def details(results: Results) -> list[str]:
    """What the report says beside the answer, in lines for a terminal that was asked for all of it."""
    check(results)
    lines = []
    if diagnosis := results.get("diagnosis"):
        lines += ["What differs between source and target:"]
        lines += [f"  {row['about']}: {row['value']}. {row['meaning']}" for row in diagnosis["lines"]]
    if results["left_out"]:
        lines += ["What did not run, and why:", *(f"  {name}: {why}" for name, why in results["left_out"].items())]
    lines += [line for line in beside(results) if line not in summary(results)]
    for part, exam in results["exam"].items():
        times = count(exam["openings"], "time")
        lines.append(f"The labels of {count(exam['samples'], 'sample')} ({part}) have graded {times} so far.")
    return [line.replace(SPACE, " ") for line in lines]


def columns_told(given: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Which columns of tables are features, once, and what else was decided as they were read, in sentences."""
    lines: list[str] = []
    for role, record in given.items():
        if (names := record.get("features")) and not lines:
            lines.append(f"columns: {count(len(names), 'feature')}: {listed(names)}")
        lines += [f"{role}: {note}" for note in record.get("notes", ())]
    return lines
