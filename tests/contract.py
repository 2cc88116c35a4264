"""The checks that every method goes through, and the small inputs that they are made with."""

from __future__ import annotations

import copy
import dataclasses
import functools
import random
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.methods import METHODS, get
from unseen.methods.base import Method, Signature, signatures
from unseen.methods.parameters import Within
from unseen.nn.build import builder
from unseen.nn.classifier import feature_classifier, train_source
from unseen.nn.state import digest
from unseen.runtime import reproducible

N_CLASSES, N_SEEN, WIDTH, SIDE = 6, 4, 16, 8
NAMES = ("anchor", "bell", "crown", "drum", "eagle", "fan")


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to call one method: its slug, the words given, and what the samples are."""

    slug: str
    words: tuple[str, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.slug}({', '.join(self.words)}; {self.kind})"

    @property
    def method(self) -> type[Method]:
        """The class."""
        return get(self.slug)

    def make(self) -> Method:
        """An unfitted method that is quick to fit."""
        return self.method(**self.method.card.smoke)

    def inputs(self, **changes: Any) -> dict[str, Any]:
        """What `fit` gets, made anew; `changes` replace single words."""
        return {word: value_of(word, self.kind) for word in self.words} | changes

    def samples(self) -> Tensor:
        """Samples to predict, (20, ...)."""
        return torch.as_tensor(np.stack(list(samples_of(self.kind, 20, seed=9)[0])))


def missing() -> dict[str, str]:
    """Slugs of methods whose module cannot be imported yet, each with the reason."""
    out = {}
    for slug in METHODS:
        try:
            get(slug)
        except ImportError as error:
            out[slug] = str(error)
    return out


def cases() -> Iterator[Case]:
    """All ways to call all methods: each signature with its required words, and with the optional ones."""
    for slug in METHODS:
        if slug in missing():
            continue
        cls = get(slug)
        for signature in signatures(cls) if "fit" in vars(cls) else ():
            for words in dict.fromkeys([signature.required, signature.required + signature.optional]):
                yield from (Case(slug, words, kind) for kind in _kinds(cls, signature))


def _kinds(cls: type[Method], signature: Signature) -> list[str]:
    known = [kind for kind in ("features", "probabilities", "image") if kind in cls.card.modalities]
    return known if "model" in signature.required else known[:1]


# -- inputs ------------------------------------------------------------------------------------------------


def samples_of(kind: str, n: int, seed: int) -> tuple[Any, np.ndarray]:
    """Samples around one centre per seen class, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % N_SEEN
    shape = {"features": (WIDTH,), "probabilities": (N_SEEN,), "image": (3, SIDE, SIDE)}[kind]
    centres = np.random.default_rng(1).normal(size=(N_SEEN, *shape))
    x = (1.5 * centres[y] + rng.normal(size=(n, *shape)) + 0.1 * seed).astype(np.float32)
    if kind == "probabilities":
        x = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    return x, y


def domain_of(word: str, kind: str) -> Domain:
    """A labelled domain for a word of `fit`."""
    n, seed = {"source": (60, 2), "target": (57, 3), "support": (13, 4)}.get(word, (31, 5))
    x, y = samples_of(kind, n, seed)
    if kind == "image":
        x = Lazy(range(n), functools.partial(_picture, x))
    ids = np.array([f"{word}/{NAMES[label]}/{i}.png" for i, label in enumerate(y)])
    columns = {"domain": np.repeat("photo", n), "file": ids}
    return Domain(x=x, y=y, kind=kind, classes=class_space().take(range(N_SEEN)), ids=ids, columns=columns, name=word)


def _picture(x: np.ndarray, i: int) -> Tensor:
    return torch.as_tensor(x[i])


def class_space() -> ClassSpace:
    """Six classes, of which four are seen, with all that can be said of classes."""
    rng = np.random.default_rng(7)
    centres = np.random.default_rng(1).normal(size=(N_SEEN, WIDTH))
    embeddings = np.vstack([centres, rng.normal(size=(N_CLASSES - N_SEEN, WIDTH))])
    return ClassSpace(
        names=NAMES,
        descriptions=tuple(f"a drawing of a {name}" for name in NAMES),
        embeddings=embeddings,
        seen=range(N_SEEN),
    )


@builder("contract-convnet")
def convnet(width: int = 6, classes: int = N_SEEN) -> nn.Sequential:
    """A small convolutional network with BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


@functools.cache
def _model(kind: str) -> nn.Module:
    with reproducible(11):
        if kind == "image":
            network = convnet().train()
            x = torch.as_tensor(samples_of(kind, 60, 2)[0])
            with torch.no_grad():
                for _ in range(20):
                    network(x)
            return network.eval()
        width = N_SEEN if kind == "probabilities" else WIDTH
        return train_source(feature_classifier(width, N_SEEN, 8), domain_of("source", kind), epochs=3, batch_size=16)


def value_of(word: str, kind: str) -> Any:
    """A small input for a word of the vocabulary."""
    if word == "model":
        return copy.deepcopy(_model(kind))
    if word == "classes":
        return class_space()
    return domain_of(word, kind)


# -- what is compared --------------------------------------------------------------------------------------


def snapshot(value: Any) -> Any:
    """Everything about an input that a fit could change, as plain values."""
    if isinstance(value, Domain):
        x = np.stack([np.asarray(sample) for sample in value.x]).tobytes()
        columns = {key: column.tolist() for key, column in value.columns.items()}
        return x, None if value.y is None else value.y.tolist(), value.ids.tolist(), columns, value.kind
    if isinstance(value, ClassSpace):
        return (
            value.names,
            value.descriptions,
            value.seen.tolist(),
            value.embeddings.tobytes(),
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
    return value


def random_states() -> tuple[Any, ...]:
    """The global random states of torch, NumPy and Python."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def learnt(method: Method) -> str:
    """A hash of all that a method has learnt, up to the order of its transduction."""
    return digest({key: value for key, value in method.fitted.items() if key != "transduction_"})


def outputs(method: Method, x: Any) -> dict[str, Any]:
    """What a fitted method says of samples: its labels, and its scores if it gives any."""
    out = {"predict": method.predict(x)}
    if type(method).decision_function is not Method.decision_function:
        out["decision_function"] = method.decision_function(x).numpy()
        out["predict_proba"] = method.predict_proba(x).numpy()
    return out


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
    for word in case.words:
        good = value_of(word, case.kind)
        yield word, "of another type", np.zeros((3, WIDTH))
        if isinstance(good, Domain):
            yield from ((word, what, value) for what, value in _bad_domains(word, good))
        elif isinstance(good, nn.Module):
            for number in (float("nan"), float("inf")):
                broken = copy.deepcopy(good)
                next(broken.parameters()).data.view(-1)[0] = number
                yield word, f"weights with {number}", broken
            if case.kind == "features" and "target" in case.words:
                yield word, "of another width", feature_classifier(WIDTH + 3, N_SEEN, 8)


def _bad_domains(word: str, good: Domain) -> Iterator[tuple[str, Domain]]:
    yield "empty", good.take([])
    yield "of kind text", Domain(x=np.array(["a"] * len(good)), kind="text", y=good.y, classes=good.classes)
    if isinstance(good.x, np.ndarray):
        for number in (np.nan, np.inf, -np.inf):
            x = good.x.copy()
            x[3, 1] = number
            yield f"with {number}", good.replace(x=x)
        yield "of strings", good.replace(x=good.x.astype(str))
        yield "of complex numbers", good.replace(x=good.x.astype(complex))
    if word in ("source", "support"):
        yield "without labels", good.replace(y=None)
        yield "with a missing label", good.replace(y=np.r_[-1, good.y[1:]])
        yield "of one class", good.replace(y=np.zeros_like(good.y))


def widened(good: Domain) -> Domain:
    """The same samples with three more features."""
    return good.replace(x=np.pad(good.x, ((0, 0), (0, 3))))


def without(classes: ClassSpace, *keys: str) -> ClassSpace:
    """Classes of which less is known."""
    return ClassSpace(**{"names": classes.names, "seen": classes.seen, **_known(classes, keys)})


def _known(classes: ClassSpace, keys: tuple[str, ...]) -> Mapping[str, Any]:
    kept = {key: getattr(classes, key) for key in ("descriptions", "embeddings")}
    return {key: value for key, value in kept.items() if key not in keys}
