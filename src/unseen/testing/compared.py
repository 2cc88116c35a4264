"""What is compared before and after: inputs, random states, what a method has learnt and says."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks import task_of
from unseen.methods.base import Method
from unseen.nn.state import digest
from unseen.testing.inputs import matches


def snapshot(value: Any) -> Any:
    """Everything about an input that a fit could change, as plain values."""
    if isinstance(value, Domain):
        x = np.stack([np.asarray(sample) for sample in value.x]).tobytes()
        columns = {key: column.tolist() for key, column in value.columns.items()}
        y = None if value.y is None else [task_of(value.task).digest(label) for label in value.y]
        return x, y, np.asarray(value.ids).tolist(), columns, value.kind
    if isinstance(value, Pairs):
        return snapshot(value.left), snapshot(value.right), {key: list(map(str, c)) for key, c in value.columns.items()}
    if isinstance(value, ClassSpace):
        return (
            value.names,
            value.descriptions,
            value.seen.tolist(),
            None if value.embeddings is None else value.embeddings.tobytes(),
            value.distance.tobytes(),
        )
    if isinstance(value, nn.Module):
        state = {key: tensor.numpy().tobytes() for key, tensor in value.state_dict().items()}
        modes = [module.training for module in value.modules()]
        gradients = [(p.requires_grad, p.grad is None) for p in value.parameters()]
        return (
            state,
            modes,
            gradients,
            sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in value.modules()),
        )
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    return value


def random_states() -> tuple[Any, ...]:
    """The global random states of torch, NumPy and Python."""
    numpy = np.random.get_state(legacy=False)["state"]
    return torch.get_rng_state().tolist(), numpy["key"].tolist(), numpy["pos"], random.getstate()


def learnt(method: Method) -> str:
    """A hash of all that a method has learnt, up to the order of what it says of the target's samples."""
    return digest({key: value for key, value in method.fitted.items() if key not in method.of_target})


def forecasts(method: type[Method]) -> bool:
    """Whether it says what comes after samples, not of which class they are."""
    return hasattr(method, "forecast")


def plain(labels: Any, task: str = "class") -> Any:
    """Labels as one array: those of a task whose labels are arrays, (n,) objects, as numbers (n, ...).

    Spans, of which every sample has as many as it has, become texts, (n,).
    """
    if task == "spans":
        return np.array([str(np.asarray(rows).tolist()) for rows in labels], dtype=np.str_)
    array = np.asarray(labels)
    return np.stack(list(array)) if array.dtype.hasobject else array


def outputs(method: Method, x: Any) -> dict[str, Any]:
    """What a fitted method says of samples: its labels, and its scores if it gives any; or its forecasts."""
    if forecasts(type(method)):
        return {"forecast": method.forecast(x)}  # type: ignore[attr-defined]
    if matches(type(method)):
        found = method.match(x)  # type: ignore[attr-defined]
        return {"match": np.concatenate(list(found)), "counts": np.array([len(rows) for rows in found])}
    out = {"predict": plain(method.predict(x), method.card.task)}
    if type(method).decision_function is not Method.decision_function:
        out["decision_function"] = method.decision_function(x).numpy()
        out["predict_proba"] = method.predict_proba(x).numpy()
    return out
