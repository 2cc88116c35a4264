"""From cells to figures: the choice, the grades, what they stand beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.compare.cells import CHECKED, ESTIMATED, PARTS, says_nothing
from unseen.compare.choice import Choice, graded_labels
from unseen.compare.consensus import of_labels_alone
from unseen.compare.estimate import estimate, is_measured
from unseen.compare.inputs import Inputs
from unseen.compare.introduction import cautions, unlabelled_classes
from unseen.compare.new_classes import new_classes
from unseen.compare.validators import SUPPORT, Cell
from unseen.data.class_gaps import gaps
from unseen.data.classes import ClassSpace
from unseen.data.typing import FloatArray, IntArray
from unseen.evaluation import protocols
from unseen.evaluation.drive import Across
from unseen.evaluation.metrics.classification import (
    accuracy,
    chance,
    mean_class_accuracy,
    wilson_interval,
)
from unseen.evaluation.metrics.zero_shot import harmonic_mean
from unseen.evaluation.protocols.base import Protocol
from unseen.methods.base import Method
from unseen.strict_json import nulled

if TYPE_CHECKING:
    from unseen.compare.candidates import Plan

SCHEMA = 1
ALONE = "the saved model"
"""Who is graded beside the candidates."""


def summarize(
    inputs: Inputs, todo: Plan, cells: Mapping[str, list[Cell]], choice: Choice, whole: Cell | None, saved: Cell,
    *, protocol: str, labels: str, seeds: int,
) -> dict[str, Any]:  # fmt: skip
    """Open the exam, after the choice: what stands in `results.json`.

    `whole` is the chosen one fitted again on all, and `saved` what its model says of each sample by itself.
    """
    learnt, labels_a_pool = None if whole is None else inputs.source, "together" in saved.get("adapted", {})
    said = {**cells, **({ALONE: [saved]} if learnt is not None or labels_a_pool else {})}
    grading, graded = Across(partial(Grading.settled, wanted=protocol, inputs=inputs))(inputs.exams, said)
    metrics = {name: {part: figures[name] for part, figures in graded.items()} for name in said}
    rows = [
        _row(key, group, choice.votes[key], choice.validators[key], key == choice.name, metrics[key])
        for key, group in cells.items()
    ]
    return {
        "schema": SCHEMA,
        **situation(inputs, labels),
        "encoder": None if inputs.encoder is None else inputs.encoder.to_json(),
        "overlap": {key: list(value) for key, value in inputs.overlap.items()},
        "gaps": list(gaps(inputs.classes)) if inputs.described else [],
        "notes": list(inputs.notes),
        "cautions": list(filter(None, [*cautions(inputs), todo.unlearnt, _flat(saved, whole, choice, cells)])),
        "leakage": " ".join(leak.summary() for leak in inputs.leakage) or None,
        "protocol": None if grading.protocol is None else _told(grading.protocol, inputs, is_named=protocol != "auto"),
        "seeds": seeds,
        "exam": {
            part: {"samples": exam.graded, "hash": exam.hash[:16], "openings": exam.openings}
            for part, exam in inputs.exams.items()
        },
        "references": _references(grading, rows),
        "candidates": sorted(rows, key=lambda row: (-row["vote"], not row["chosen"])),
        "left_out": todo.left_out,
        "chosen": {
            "name": choice.name,
            "why": choice.why,
            "by": list(choice.by),
            "alike": choice.alike,
            "refitted": None if learnt is None else {"samples": len(learnt), "metrics": metrics[ALONE]},
            "alone": _alone(saved, grading, metrics[ALONE]) if labels_a_pool else None,
        },
        "most_named": _most_named(saved, inputs),
        "new_classes": new_classes(inputs, saved),
        "estimate": expected(inputs, choice),
        "versions": _versions(),
    }


def _flat(saved: Cell, whole: Cell | None, choice: Choice, cells: Mapping[str, list[Cell]]) -> str:
    """What is to be said where probabilities of the saved model say nothing; empty where they do."""
    before = whole or cells[choice.name][0]
    why = CHECKED if saved["temperature"] == before["temperature"] else ESTIMATED
    p = next((saved[part]["p"] for part in PARTS if part in saved), None)
    return says_nothing(saved, p, choice.name, why)


def _most_named(cell: Cell, inputs: Inputs) -> dict[str, Any] | None:
    """The class that the saved model names most often, and on what share of the target."""
    if "adapted" not in cell:
        return None
    predicted = cell["adapted"]["prediction"]
    index, counts = np.unique(predicted[predicted >= 0], return_counts=True)
    if not len(index):
        return None
    most = int(counts.argmax())
    return {"class": inputs.classes.names[index[most]], "share": float(counts[most] / len(predicted))}


def expected(inputs: Inputs, choice: Choice) -> dict[str, Any] | None:
    """What accuracy may be expected of the choice, with its interval; None where nothing says it."""
    if choice.unanimous is None or inputs.target is None:
        return None
    of_target = partial(estimate, choice.unanimous, len(inputs.target), chance=1 / max(len(inputs.classes), 1))
    if inputs.named:
        encoder = None if inputs.encoder is None else inputs.encoder.name
        return of_target(own_features=False, named=True) if is_measured(encoder) else None
    shares = choice.validators[choice.name].get(SUPPORT)
    right = None if shares is None or unlabelled_classes(inputs) else (float(np.mean(shares)), graded_labels(inputs))
    return of_target(own_features=inputs.encoder is None, graded=right)


def may_be_right(inputs: Inputs, choice: Choice) -> float | None:
    """How often the choice may be right: as estimated, or on labels left out where these are all that there is."""
    estimated = expected(inputs, choice)
    if estimated is not None:
        return float(estimated["accuracy"])
    left_out = choice.validators[choice.name].get(SUPPORT) if of_labels_alone(inputs) else None
    return None if left_out is None or unlabelled_classes(inputs) else float(np.mean(left_out))


def situation(inputs: Inputs, labels: str) -> dict[str, Any]:
    """What a run starts from; `unseen.precedents.profile` reads it, with the diagnosis."""
    return {
        "given": dict(inputs.records),
        "classes": list(inputs.classes.names),
        "described": inputs.described,
        "model": inputs.model is not None,
        "labels": labels,
    }


def _told(protocol: Protocol, inputs: Inputs, *, is_named: bool) -> dict[str, str]:
    """What a protocol is called and means; one that was named says how is graded, and nothing of the target."""
    meaning = protocol.told.replace("of the source", "that are named") if inputs.named else protocol.told
    if is_named:
        meaning = f"Graded as if this held, since the protocol was named: {meaning[:1].lower()}{meaning[1:]}"
    return {"name": protocol.name, "told": meaning, "headline": protocol.headline}


@dataclasses.dataclass(frozen=True)
class Grading:
    """How is graded, as the truth of all exams settles it, and what that truth says by itself.

    Attributes
    ----------
    inputs : Inputs
    protocol : Protocol or None
        None without an exam.
    chance : mapping of exam to float
    ceiling : dict or None
    """

    inputs: Inputs
    protocol: Protocol | None = None
    chance: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ceiling: Mapping[str, float] | None = None

    @classmethod
    def settled(cls, truths: Mapping[str, IntArray], *, wanted: str, inputs: Inputs) -> Grading:
        """By the protocol that is wanted, or that these truths ask for."""
        if not truths:
            return cls(inputs)
        if wanted == "auto":
            described = inputs.described and len(inputs.classes.unseen) > 0
            classes = next(iter(inputs.exams.values())).classes
            protocol = protocols.auto(np.concatenate(list(truths.values())), classes, described)
        else:
            protocol = protocols.get(wanted)
        chances = {part: _chance(truth, protocol, inputs.classes) for part, truth in truths.items()}
        return cls(inputs, protocol, chances, _ceiling(inputs, truths["adapted"]) if "adapted" in truths else None)

    def __call__(self, part: str, truth: IntArray, group: Sequence[Cell]) -> dict[str, Any]:
        """The grades of a candidate on an exam, over its seeds."""
        protocol, classes = self.protocol, self.inputs.exams[part].classes
        assert protocol is not None
        kind = "rejecting" if protocol.rejects else "prediction"
        per_seed = [protocol.grade(truth, cell[part][kind], classes, _scores(cell[part], classes)) for cell in group]
        out = {metric: _spread([grades[metric] for grades in per_seed]) for metric in per_seed[0]}
        if "accuracy" in out:
            has = truth >= 0
            right = np.mean([cell[part]["prediction"][has] == truth[has] for cell in group])
            out["accuracy"]["interval"] = list(wilson_interval(float(right), int(has.sum())))
        return out


def _row(
    key: str, group: Sequence[Cell], vote_: float, validators: Mapping[str, list[float]], chosen: bool,
    metrics: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    slug, _, preset = key.partition(":")
    method = group[0]["method"]
    return {
        "name": key,
        "slug": slug,
        "preset": preset or "default",
        "title": method.card.title,
        "summary": method.card.summary,
        "params": method.get_params(),
        "seconds": float(np.mean([cell["seconds"] for cell in group])),
        "temperature": group[0]["temperature"],
        "validators": {v: _spread(values) for v, values in validators.items()},
        "vote": vote_,
        "chosen": chosen,
        "teachers": teachers(method),
        "metrics": metrics,
    }


def teachers(method: Method) -> list[dict[str, Any]]:
    """The models of a zoo that a fitted method has weighed, the most similar to its task first; else none."""
    known = vars(method)
    similarity, weight = known.get("similarities_", {}), known.get("weights_", {})
    order = sorted(similarity, key=lambda name: -similarity[name])
    return [{"name": name, "similarity": similarity[name], "weight": weight[name]} for name in order]


def _alone(saved: Cell, grading: Grading, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """How often the saved model, asked about one sample at a time, says otherwise than a pool was labelled together."""
    adapted = saved["adapted"]
    kind = "rejecting" if grading.protocol is not None and grading.protocol.rejects else "prediction"
    together = adapted["together"][kind]
    return {"differ": int((adapted[kind] != together).sum()), "samples": len(together), "metrics": metrics}


def _scores(cell: Cell, classes: ClassSpace) -> FloatArray | None:
    """Log-probabilities of all classes; None where the exam has classes that no candidate knows of.

    They tell classes apart whose probabilities are all 0, such as those that a candidate never names; cells of older
    runs have probabilities alone.
    """
    log_p = cell["log_p"] if "log_p" in cell else cell["p"].clamp_min(1e-30).log()
    return log_p.numpy() if log_p.shape[1] == len(classes) else None


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, deviation and worst over seeds; None where the figure is not defined."""
    array = np.asarray(values, dtype=float)
    return nulled(
        {
            "mean": float(array.mean()),
            "std": float(array.std(ddof=1)) if len(array) > 1 else 0.0,
            "worst": float(array.min()),
            "per_seed": array.tolist(),
        }
    )


def _references(grading: Grading, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Chance, doing nothing (source-only, or names alone), and the ceiling: supervision by the exam (an oracle)."""
    if grading.protocol is None:
        return {}
    metric = grading.protocol.headline
    slug = "describe" if grading.inputs.named else "source-only"
    floor = next((row for row in rows if row["name"] == slug), None)
    return {
        "metric": metric,
        "chance": grading.chance,
        "source_only": None if floor is None else {p: floor["metrics"][p][metric]["mean"] for p in grading.chance},
        "ceiling": grading.ceiling,
    }


def _chance(truth: IntArray, protocol: Protocol, classes: ClassSpace) -> float:
    """What a uniform guess among the classes that the protocol asks for reaches."""
    if protocol.name == "zsl":
        return 1 / max(len(classes.unseen), 1)
    if protocol.name == "base-to-new":
        return harmonic_mean(1 / max(len(classes.seen), 1), 1 / max(len(classes.unseen), 1))
    return chance(truth[truth >= 0], len(classes))


def _ceiling(inputs: Inputs, truth: IntArray, folds: int = 5) -> dict[str, float] | None:
    """Cross-validated logistic regression on the labels of the exam itself: what supervision would give."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    assert inputs.target is not None
    values, counts = np.unique(truth[truth >= 0], return_counts=True)
    keep = np.isin(truth, values[counts >= folds])
    if len(np.unique(truth[keep])) < 2:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    prediction = cross_val_predict(model, inputs.target.x[keep], truth[keep], cv=split)
    return {
        "accuracy": accuracy(truth[keep], prediction),
        "class_accuracy": mean_class_accuracy(truth[keep], prediction),
        "samples": int(keep.sum()),
    }


def _versions() -> dict[str, str]:
    """Of what the figures depend on."""
    import importlib.metadata
    import platform

    packages = ("torch", "numpy", "scikit-learn", "timm")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
