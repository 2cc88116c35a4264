"""What methods answer when they are asked about samples: a class for each main verb, and a further verb is one more."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.data.tasks import task_of
from unseen.methods.base import UNKNOWN, Method
from unseen.methods.matching.needs import scene_pairs
from unseen.testing.contract import need
from unseen.testing.inputs import WIDTH, Case, domain_of, samples_of

Out = dict[str, NDArray[Any]]


class Answer(abc.ABC):
    """What is asked with one main verb: samples for it, what it gives as arrays, and what must hold of them.

    Attributes
    ----------
    verb : str
        The main verb.
    named : tuple of str
        Words of which an error about samples must have one.
    """

    verb: ClassVar[str]
    named: ClassVar[tuple[str, ...]] = ("x",)

    @classmethod
    def verbs(cls, method: type[Method]) -> tuple[str, ...]:
        """The verbs that an unfitted method must refuse."""
        return (cls.verb,)

    @staticmethod
    def samples(case: Case) -> Any:
        """Twenty samples to ask about: a tensor (20, ...) or an array of texts."""
        x = samples_of(case.kind, 20, seed=9)[0]
        return x if case.kind == "text" else torch.as_tensor(np.stack(list(x)))

    @classmethod
    def ask(cls, method: Any, x: Any) -> Any:
        """The answer itself."""
        return getattr(method, cls.verb)(x)

    @classmethod
    def outputs(cls, method: Any, x: Any) -> Out:
        """All that the method says of samples, as arrays whose first axis is that of the samples."""
        return {cls.verb: plain(cls.ask(method, x))}

    @staticmethod
    def part(x: Any, part: slice) -> Any:
        """Some of the samples."""
        return x[part]

    @staticmethod
    def to_the_bit(case: Case, key: str) -> bool:
        """Whether an output must be equal in every bit when samples come in other batches."""
        return False

    @staticmethod
    @abc.abstractmethod
    def check(case: Case, method: Method, x: Any, out: Out) -> None:
        """`ContractError` unless shapes and ranges are those of the verb."""

    @staticmethod
    def alike(case: Case, x: Any) -> Iterator[tuple[str, Any]]:
        """The same samples, held by something else, and what that is."""
        array = np.asarray(x)
        domain = Domain(x=array, kind=case.kind)  # type: ignore[arg-type]
        lazy = domain.replace(x=Lazy(range(len(x)), lambda i: x[i]))
        others = (array.astype(object),) if case.kind == "text" else (array, x.double(), array.astype(">f8"))
        for same in (*others, x.tolist(), domain, lazy):
            yield type(same).__name__, same

    @classmethod
    def wrong(cls, case: Case) -> Iterator[tuple[str, Any]]:
        """What must be refused as samples, and what that is."""
        for value in _wrong_samples(case.kind, cls.samples(case)):
            yield f"{np.asarray(value).dtype} {np.shape(value)}", value


class Labels(Answer):
    """`predict`, with `decision_function` and `predict_proba` where there are scores."""

    verb = "predict"

    @classmethod
    def verbs(cls, method: type[Method]) -> tuple[str, ...]:
        """The verbs that an unfitted method must refuse."""
        return ("predict", "predict_proba", "decision_function") if decides(method) else ("predict",)

    @classmethod
    def outputs(cls, method: Any, x: Any) -> Out:
        """Labels, and scores with probabilities if there are any."""
        out = super().outputs(method, x)
        if decides(type(method)):
            out["decision_function"] = method.decision_function(x).numpy()
            out["predict_proba"] = method.predict_proba(x).numpy()
        return out

    @staticmethod
    def to_the_bit(case: Case, key: str) -> bool:
        """Classes and texts."""
        return key == "predict" and case.method.card.task in ("class", "text")

    @staticmethod
    def check(case: Case, method: Method, x: Any, out: Out) -> None:
        """Numbers, texts or int64 labels in range, one a sample; scores finite; probabilities sum to 1."""
        labels, task = out["predict"], case.method.card.task
        if task == "value":
            need(labels.dtype == np.float64, f"predict must give float64; got {labels.dtype}")
            need(labels.shape == (len(x),), f"predict must give one number per sample; got shape {labels.shape}")
            need(np.isfinite(labels).all(), "what is predicted must be finite")
        elif task == "text":
            need(labels.dtype.kind == "U", f"predict must give texts; got {labels.dtype}")
            need(labels.shape == (len(x),), f"predict must give one text per sample; got shape {labels.shape}")
        else:
            _check_classes(case, method, x, out)


class Spans(Labels):
    """`predict` where each sample has as many spans as it has: compared as texts."""

    @classmethod
    def outputs(cls, method: Any, x: Any) -> Out:
        """The table of each sample, written out."""
        return {cls.verb: np.array([str(np.asarray(rows).tolist()) for rows in cls.ask(method, x)], dtype=np.str_)}

    @staticmethod
    def to_the_bit(case: Case, key: str) -> bool:
        """Always."""
        return True

    @staticmethod
    def check(case: Case, method: Method, x: Any, out: Out) -> None:
        """Each label is a table of integers (spans, 3): first character, the one behind the last, class."""
        labels = Spans.ask(method, x)
        need(len(labels) == len(x), f"predict must give spans for each sample, {len(x)}; got {len(labels)}")
        for rows, text in zip(labels, x):
            need(rows.dtype == np.int64 and rows.shape[1:] == (3,), "spans must be int64 of shape (spans, 3)")
            need((rows[:, 0] >= 0).all() and (rows[:, 0] < rows[:, 1]).all(), "spans must end behind where they begin")
            need((rows[:, 1] <= len(text)).all() and (rows[:, 2] >= 0).all(), "spans must lie in their texts")


class Forecasts(Answer):
    """`forecast`: what comes after each series."""

    verb = "forecast"

    @staticmethod
    def check(case: Case, method: Method, x: Any, out: Out) -> None:
        """Finite numbers (n, h, c)."""
        need(out["forecast"].ndim == 3 and len(out["forecast"]) == len(x), "forecasts must be of shape (n, h, c)")
        need(np.isfinite(out["forecast"]).all(), "forecasts must be finite")


class Matches(Answer):
    """`match`: which points of two pictures belong together."""

    verb, named = "match", ("pairs", "picture")

    @staticmethod
    def samples(case: Case) -> Pairs:
        """Twenty pairs of pictures."""
        return scene_pairs(20, seed=9)

    @classmethod
    def outputs(cls, method: Any, x: Any) -> Out:
        """All rows below each other, and how many each pair has."""
        matches = method.match(x)
        return {"match": np.concatenate(list(matches)), "counts": np.array([len(rows) for rows in matches])}

    @staticmethod
    def part(x: Any, part: slice) -> Any:
        """Some of the pairs."""
        return x.take(part)

    @staticmethod
    def check(case: Case, method: Method, x: Any, out: Out) -> None:
        """A table of four finite columns for each pair."""
        need(len(out["counts"]) == len(x), "match must give one table for each pair")
        need(out["match"].ndim == 2 and out["match"].shape[1] == 4, "matches must be rows of four numbers")
        need(np.isfinite(out["match"]).all(), "matches must be finite")

    @staticmethod
    def alike(case: Case, x: Any) -> Iterator[tuple[str, Any]]:
        """Bytes, PIL images and numbers from 0 to 1, in an array or read when asked for."""
        from PIL import Image

        read = [list(side.x) for side in (x.left, x.right)]

        def made(change: Any) -> Pairs:
            left, right = (Domain(x=change(side), kind="image") for side in read)
            return Pairs(left, right)

        yield "an array", made(lambda x: x)
        yield "PIL images", made(lambda x: Lazy(range(len(x)), lambda i: Image.fromarray(x[i])))
        yield "tensors", made(lambda x: Lazy(range(len(x)), lambda i: torch.as_tensor(x[i].transpose(2, 0, 1) / 255)))

    @classmethod
    def wrong(cls, case: Case) -> Iterator[tuple[str, Any]]:
        """One picture, no pair, texts, pictures of no numbers, nothing."""
        good = cls.samples(case).take(slice(0, 2))
        empty = Domain(x=Lazy(range(2), lambda i: np.full((3, 40, 40), np.nan)), kind="image")
        yield "one picture", good.left
        yield "no pair", good.take([])
        yield "texts", good.replace(left=Domain(x=np.array(["a", "b"]), kind="text"))
        yield "pictures with nan", good.replace(right=empty)
        yield "None", None


BY_VERB: tuple[type[Answer], ...] = (Forecasts, Matches)
BY_TASK: dict[str, type[Answer]] = {"spans": Spans}


def answer_of(method: type[Method]) -> type[Answer]:
    """What is asked of a method: with the first of these verbs that it has, else `predict`, with labels of its task."""
    answers = (answer for answer in BY_VERB if hasattr(method, answer.verb))
    return next(answers, BY_TASK.get(method.card.task, Labels))


def outputs(method: Method, x: Any) -> Out:
    """What a fitted method says of samples: its labels, and its scores if it gives any; its forecasts; its matches."""
    return answer_of(type(method)).outputs(method, x)


def decides(method: type[Method]) -> bool:
    """Whether it gives scores."""
    return method.decision_function is not Method.decision_function


def plain(labels: Any) -> NDArray[Any]:
    """Labels as one array of numbers: those of a task whose labels are arrays, (n,) objects, as (n, ...)."""
    array = np.asarray(labels)
    return np.stack(list(array)) if array.dtype.hasobject else array


def _check_classes(case: Case, method: Method, x: Any, out: Out) -> None:
    labels = out["predict"]
    need(labels.dtype == np.int64, f"predict must give int64; got {labels.dtype}")
    inner = task_of(case.method.card.task).example(1)[0].ndim if labels.ndim > 1 else 0  # of the label of one sample
    need(
        len(labels) == len(x) and labels.ndim == 1 + inner,
        f"predict must give one label per sample; got shape {labels.shape}",
    )
    need(labels.min() >= UNKNOWN, f"labels must be at least {UNKNOWN} (unknown); got {labels.min()}")
    if "decision_function" in out:
        scores, p = out["decision_function"], out["predict_proba"]
        need(
            scores.ndim == 2 + inner and len(scores) == len(x),
            f"scores must be of shape (n, c{', ...' if inner else ''}); got {scores.shape}",
        )
        need(p.shape == scores.shape, "predict_proba must have the shape of decision_function")
        need(np.isfinite(scores).all(), "scores must be finite")
        need(labels.max() < scores.shape[1], "labels must be columns of the scores")
        need(np.allclose(p.sum(axis=1), 1, atol=1e-5), "probabilities must sum to 1")
    if "transduction_" in method.fitted:
        transduction = vars(method)["transduction_"]
        n = len(domain_of("target", case.kind))
        need(
            transduction.shape == (n,) and transduction.dtype == np.int64,
            "transduction_ must be one int64 per target sample",
        )


def _wrong_samples(kind: str, good: Any) -> Sequence[Any]:
    if kind == "text":
        return (good[:0], np.zeros((3, WIDTH)), np.zeros(3), good[:, None], "one text", None)
    x = good.numpy()
    nan, infinite = x.copy(), x.copy()
    nan[2].flat[1], infinite[2].flat[1] = np.nan, np.inf
    never = (infinite, x[:0], x[0].ravel(), x.astype(str), x.astype(complex), "picture", None)
    if kind == "series":  # a missing value is none that is wrong, and another length or channel is another series
        empty = x.copy()
        empty[2] = np.nan
        return (*never, empty, x[0], x[:, :3])
    if kind == "points":  # fewer points are another cloud
        return (*never, nan, x[0], x[..., :2])
    if kind == "clip":  # fewer frames are another clip, fewer colours are none
        return (*never, nan, x[:, :, :-1])
    wide = () if kind == "image" else (np.pad(x, ((0, 0), (0, 1))),)
    return (*never, nan, x[:, :-1], *wide)
