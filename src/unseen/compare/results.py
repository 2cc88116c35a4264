"""From cells to figures: the choice, the grades, what they stand beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.compare.cells import Cell
from unseen.compare.inputs import Inputs
from unseen.data.classes import ClassSpace
from unseen.data.typing import IntArray
from unseen.evaluation import protocols
from unseen.evaluation.metrics.classification import (
    accuracy,
    bootstrap_interval,
    chance,
    mean_class_accuracy,
)
from unseen.evaluation.protocols.base import Protocol
from unseen.validation import vote

if TYPE_CHECKING:
    from unseen.compare.job import Plan

SCHEMA = 1


def summarize(
    inputs: Inputs, todo: Plan, cells: Mapping[str, list[Cell]], *, protocol: str, labels: str, seeds: int
) -> dict[str, Any]:
    """Choose first, then open the exam: what stands in `results.json`."""
    votes, validators = _choose(cells)
    chosen = max(votes, key=lambda key: votes[key])
    truths = {part: exam.open() for part, exam in inputs.exams.items()}
    graded = _protocol(protocol, truths, inputs)
    rows = [
        _row(key, seeds_cells, votes[key], validators[key], key == chosen, truths, graded, inputs)
        for key, seeds_cells in cells.items()
    ]
    return {
        "schema": SCHEMA,
        "given": dict(inputs.told),
        "encoder": None if inputs.encoder is None else inputs.encoder.to_json(),
        "classes": list(inputs.classes.names),
        "overlap": {key: list(value) for key, value in inputs.overlap.items()},
        "leakage": " ".join(leak.summary() for leak in inputs.leakage) or None,
        "protocol": None if graded is None else {"name": graded.name, "told": graded.told, "headline": graded.headline},
        "labels": labels,
        "seeds": seeds,
        "exam": {
            part: {"samples": len(exam), "hash": exam.hash[:16], "openings": exam.openings}
            for part, exam in inputs.exams.items()
        },
        "references": _references(inputs, truths, rows, graded),
        "candidates": sorted(rows, key=lambda row: -row["vote"]),
        "left_out": todo.left_out,
        "chosen": {"name": chosen, "why": _why(chosen, votes, validators, seeds, inputs.support is not None)},
        "versions": _versions(),
    }


def _choose(cells: Mapping[str, list[Cell]]) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    """The vote of every candidate from the mean of each validator over seeds, and these scores."""
    validators = {
        key: {v: [cell["validators"][v] for cell in group] for v in group[0]["validators"]}
        for key, group in cells.items()
    }
    means = {key: {v: float(np.mean(values)) for v, values in row.items()} for key, row in validators.items()}
    have = next(iter(means.values()))
    ranked = next((v for v in ("information maximization", "source validation") if v in have), None)
    if ranked is None:
        return dict.fromkeys(cells, 0.0), validators
    source = {key: row["source validation"] for key, row in means.items()} if "source validation" in have else None
    return vote({key: row[ranked] for key, row in means.items()}, source), validators


def _why(chosen: str, votes: Mapping[str, float], validators: Mapping[str, Any], seeds: int, supported: bool) -> str:
    if len(votes) == 1:
        return f"{chosen} was the only candidate."
    told = ", ".join(f"{v} {np.mean(values):.3f}" for v, values in validators[chosen].items())
    second = sorted(votes, key=lambda key: -votes[key])[1]
    labels = (
        "The support's labels were learned from; no sealed label was used."
        if supported
        else "No target label was used."
    )
    return (
        f"Of the candidates that keep nine tenths of the best source validation, {chosen} has the largest information "
        f"({told}; mean of {seeds} seeds); next is {second}. {labels}"
    )


def _protocol(wanted: str, truths: Mapping[str, IntArray], inputs: Inputs) -> Protocol | None:
    if not truths:
        return None
    if wanted != "auto":
        return protocols.get(wanted)
    together = np.concatenate(list(truths.values()))
    described = inputs.described and len(inputs.classes.unseen) > 0
    classes = next(iter(inputs.exams.values())).classes
    return protocols.auto(together, classes, described)


def _row(
    key: str, group: Sequence[Cell], vote_: float, validators: Mapping[str, list[float]], chosen: bool,
    truths: Mapping[str, IntArray], protocol: Protocol | None, inputs: Inputs,
) -> dict[str, Any]:  # fmt: skip
    slug, _, preset = key.partition(":")
    method = group[0]["method"]
    return {
        "name": key,
        "slug": slug,
        "preset": preset or "default",
        "title": method.card.title,
        "params": method.get_params(),
        "seconds": float(np.mean([cell["seconds"] for cell in group])),
        "temperature": group[0]["temperature"],
        "validators": {v: _spread(values) for v, values in validators.items()},
        "vote": vote_,
        "chosen": chosen,
        "metrics": {part: _grades(group, part, truth, protocol, inputs) for part, truth in truths.items() if protocol},
    }


def _grades(
    group: Sequence[Cell], part: str, truth: IntArray, protocol: Protocol | None, inputs: Inputs
) -> dict[str, Any]:
    assert protocol is not None
    kind = "rejecting" if protocol.rejects else "prediction"
    per_seed = [protocol.grade(truth, cell[part][kind], inputs.exams[part].classes) for cell in group]
    out = {metric: _spread([grades[metric] for grades in per_seed]) for metric in per_seed[0]}
    if "accuracy" in out:
        has = truth >= 0
        right = np.mean([cell[part]["prediction"][has] == truth[has] for cell in group], axis=0)
        out["accuracy"]["interval"] = list(bootstrap_interval(right))
    return out


def _spread(values: Sequence[float]) -> dict[str, Any]:
    array = np.asarray(values, dtype=float)
    return {
        "mean": float(array.mean()),
        "std": float(array.std(ddof=1)) if len(array) > 1 else 0.0,
        "worst": float(array.min()),
        "per_seed": array.tolist(),
    }


def _references(
    inputs: Inputs, truths: Mapping[str, IntArray], rows: Sequence[dict[str, Any]], protocol: Protocol | None
) -> dict[str, Any]:
    """Chance, source only, and the ceiling: supervised on the target's own labels (an oracle)."""
    if not truths or protocol is None:
        return {}
    metric = protocol.headline
    floor = next((row for row in rows if row["slug"] == "source-only"), None)
    return {
        "metric": metric,
        "chance": {part: _chance(truth, protocol, inputs.classes) for part, truth in truths.items()},
        "source_only": None if floor is None else {p: floor["metrics"][p][metric]["mean"] for p in truths},
        "ceiling": _ceiling(inputs, truths["adapted"]) if "adapted" in truths else None,
    }


def _chance(truth: IntArray, protocol: Protocol, classes: ClassSpace) -> float:
    """Accuracy of a uniform guess among the classes that the protocol asks for."""
    if protocol.name == "zsl":
        return 1 / max(len(classes.unseen), 1)
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
