"""What a method must refuse: values of hyperparameters, inputs of `fit`, samples."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.tasks import task_of
from unseen.data.tasks.base import objects
from unseen.methods.parameters import Within
from unseen.nn.classifier import feature_classifier
from unseen.testing.inputs import N_SEEN, WIDTH, Case


def bad_values(hint: Any) -> Iterator[Any]:
    """Values that a hyperparameter of type `hint` must refuse."""
    yield object()
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        yield from bad_values(next(a for a in arguments if a is not type(None)))
    elif origin is Annotated:
        yield from bad_values(arguments[0])
        for bounds in arguments[1:]:
            if isinstance(bounds, Within):
                whole = arguments[0] is int
                yield from () if whole else (float("nan"), float("inf"))
                if np.isfinite(bounds.low):
                    low = int(bounds.low) if whole else bounds.low
                    yield low if bounds.open_low else low - 1
                if np.isfinite(bounds.high):
                    high = int(bounds.high) if whole else bounds.high
                    yield high if bounds.open_high else high + 1
    elif origin is Literal:
        yield "no such choice"
    elif origin is tuple:
        yield [1]
    elif hint is bool:
        yield 1
    elif hint is int:
        yield from (1.5, True, "1")
    elif hint is float:
        yield from ("1", True)


def bad_inputs(case: Case) -> Iterator[tuple[str, str, Any]]:
    """A word of `fit`, what is wrong, and a value that is wrong in this way."""
    inputs = case.inputs()
    for word in case.words:
        good = inputs[word]
        yield word, "of another type", np.zeros((3, WIDTH))
        if isinstance(good, Domain):
            yield from ((word, problem, value) for problem, value in _bad_domains(word, good))
        elif isinstance(good, Mapping):
            yield word, "empty", {}
            yield word, "of numbers", {"a": 1.0}
            yield word, "of another width", {**good, "wide": feature_classifier(WIDTH + 3, N_SEEN, 8)}
            sick = copy.deepcopy(dict(good))
            next(next(iter(sick.values())).parameters()).data.view(-1)[0] = float("nan")
            yield word, "weights with nan", sick
        elif isinstance(good, nn.Module):
            for number in (float("nan"), float("inf")):
                broken = copy.deepcopy(good)
                next(broken.parameters()).data.view(-1)[0] = number
                yield word, f"weights with {number}", broken
            if case.kind == "features" and "target" in case.words:
                yield word, "of another width", feature_classifier(WIDTH + 3, N_SEEN, 8)


def _bad_domains(word: str, good: Domain) -> Iterator[tuple[str, Domain]]:
    yield "empty", good.take([])
    if good.kind == "text":
        numbers = np.zeros((len(good), WIDTH))
        yield "of kind features", Domain(x=numbers, y=good.y, classes=good.classes, task=good.task)
    else:
        yield "of kind text", good.replace(x=np.array(["a"] * len(good)), kind="text")
    if isinstance(good.x, np.ndarray) and good.kind != "text":
        for number in (np.nan, np.inf, -np.inf):
            x = good.x.copy()
            x[3, 1] = number
            yield f"with {number}", good.replace(x=x)
    if word in ("source", "support") and good.y is not None:
        yield "without labels", good.replace(y=None)
        task = task_of(good.task)
        yield "with a missing label", good.replace(y=task.join([task.hidden(1), good.y[1:]]))
        if good.task == "spans":
            yield "without any span", good.replace(y=objects(np.zeros((0, 3), dtype=np.int64) for _ in good.y))
        else:
            yield "of one class", good.replace(y=good.y * 0)


def widened(good: Domain) -> Domain:
    """The same samples with three more features."""
    return good.replace(x=np.pad(good.x, ((0, 0), (0, 3))))


def without(classes: ClassSpace, *keys: str) -> ClassSpace:
    """Classes of which less is known."""
    return ClassSpace(**{"names": classes.names, "seen": classes.seen, **_known(classes, keys)})


def _known(classes: ClassSpace, keys: tuple[str, ...]) -> Mapping[str, Any]:
    kept = {key: getattr(classes, key) for key in ("descriptions", "embeddings")}
    return {key: value for key, value in kept.items() if key not in keys}
