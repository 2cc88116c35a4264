"""`Method` and `Card`: the contract of everything that learns or predicts, and the vocabulary of `fit`."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, dataclass_transform, get_overloads, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.methods.parameters import check
from unseen.nn.state import load_state, save_state
from unseen.runtime import reproducible

UNKNOWN = -1
"""What `predict` says of a sample that belongs to none of the classes."""


class NotFittedError(ValueError, AttributeError):
    """A method was asked for a prediction before it was fitted."""


# -- the vocabulary of fit ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Word:
    """An input of `fit`: its type, what it is, and whether it carries the labels that a user gave for learning."""

    type: type
    sentence: str
    labeled: bool = False


VOCABULARY: Mapping[str, Word] = {
    "source": Word(Domain, "Labelled samples of the domain that the user knows.", labeled=True),
    "target": Word(Domain, "Samples of the domain to work on; their labels are removed before a method sees them."),
    "support": Word(Domain, "A handful of labelled samples of the target.", labeled=True),
    "auxiliary": Word(Domain, "Other data that may help; labels are kept if it has them."),
    "pairs": Word(Pairs, "Samples of two modalities that belong together."),
    "corpus": Word(Domain, "Texts or samples to search in, without labels."),
    "series": Word(Domain, "Time series to learn from."),
    "space": Word(object, "A search space, such as architectures to rank."),
    "classes": Word(ClassSpace, "The classes: names, descriptions, attributes, distances, and which are seen."),
    "prompts": Word(object, "Texts with a place for a class name."),
    "model": Word(nn.Module, "The trained network that is adapted; a method works on a copy."),
    "teachers": Word(object, "Trained networks to learn from."),
    "encoder": Word(object, "A frozen network from samples to features."),
    "writer": Word(object, "A language model that writes texts."),
    "translator": Word(object, "Translates texts between languages."),
    "aligner": Word(object, "Aligns words of two languages."),
    "tagger": Word(object, "Marks spans of a text."),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a system before it runs.

    Attributes
    ----------
    slug, title, venue : str
        Its short name, and the paper's title and place.
    kind : {"method", "pipeline", "study"}
    official_code : str
        Owner and name of the authors' repository, empty if there is none.
    summary : str
        What it does for a user, in one sentence.
    unseen : set of {"classes", "domains", "modalities", "data"}
        What the model has never seen.
    modalities : set of str
        Kinds of `Domain` it reads.
    protocols : set of str
        Protocols it can be graded by: closed, partial, open, open-partial, zsl, gzsl, quantization.
    presets : mapping of name to hyperparameters
        What `compare` tries, at most four, fixed in advance.
    smoke : mapping
        Hyperparameters that make a fit take a moment, for tests.
    parts : tuple of str
        What lives elsewhere, as dotted names.
    left_out : tuple of str
        Steps of the paper that are not here, each with its reason.
    notes : tuple of str
        Where it differs from the official code, and why.
    distributed : bool
        Whether its training may run in several processes.
    baseline : bool
        Whether it is what others are compared with, not one of the 61 systems.
    """

    slug: str
    title: str
    venue: str
    kind: Literal["method", "pipeline", "study"] = "method"
    official_code: str = ""
    summary: str = ""
    unseen: frozenset[str] | set[str] = frozenset()
    modalities: frozenset[str] | set[str] = frozenset({"features"})
    protocols: frozenset[str] | set[str] = frozenset({"closed"})
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=lambda: {"default": {}})
    smoke: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parts: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    distributed: bool = False
    baseline: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.presets) <= 4:
            raise ValueError(f"presets must be one to four; {self.slug} has {len(self.presets)}")


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to call `fit`: the words it needs and the words it can use."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


# -- Method ------------------------------------------------------------------------------------------------

_LEARNING = ("fit", "adapt", "partial_fit")
_OUTPUT = ("predict", "predict_proba", "decision_function", "transform")


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Method:
    """One published system that learns or predicts.

    A subclass lists its hyperparameters as annotated fields (`rho: Unit = 0.75`; learnt attributes that want an
    annotation are `dataclasses.field(init=False)`), says what it learns from in
    the keyword arguments of `fit`, whose names are words of `VOCABULARY`, and what it gives in a verb such as
    `predict`. What it has learnt stands in attributes that end in an underscore.

    `fit`, `adapt` and `partial_fit` are wrapped once, here: inputs are checked, labels are removed from
    `target` (whose samples come in an order that depends on their content alone), old fitted state is
    cleared, random numbers and threads are fixed and put back.

    Parameters
    ----------
    random_state : int
        Seed of everything random in `fit`.
    """

    card: ClassVar[Card]

    random_state: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for verb in _LEARNING:
            if verb in cls.__dict__:
                setattr(cls, verb, _learning(cls.__dict__[verb]))
        for verb in _OUTPUT:
            if verb in cls.__dict__:
                setattr(cls, verb, _giving(cls.__dict__[verb]))
        dataclasses.dataclass(kw_only=True, repr=False, eq=False)(cls)

    def __post_init__(self) -> None:
        self._check_params()

    def __repr__(self) -> str:
        defaults = {f.name: f.default for f in _params(type(self))}
        changed = {k: v for k, v in self.get_params().items() if v != defaults[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    # -- scikit-learn's contract for parameters ----------------------------------------------------------

    def _check_params(self) -> None:
        for name, hint in _hints(type(self)).items():
            check(name, getattr(self, name), hint)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return {field.name: getattr(self, field.name) for field in _params(type(self))}

    def set_params(self, **params: Any) -> Self:
        """Change hyperparameters; all are checked before any is changed."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}")
            check(name, value, _hints(type(self))[name])
        for name, value in params.items():
            setattr(self, name, value)
        return self

    # -- what a method is asked ---------------------------------------------------------------------------

    def fit(self, **inputs: Any) -> Self:
        """Learn from the inputs that the subclass names."""
        raise TypeError(f"{type(self).__name__} has no fit")

    def decision_function(self, x: Any) -> Tensor:
        """Scores of shape (n, n_classes); larger is better."""
        raise TypeError(f"{type(self).__name__} gives no scores")

    def predict_proba(self, x: Any) -> Tensor:
        """Probabilities of shape (n, n_classes), rows sum to 1."""
        return torch.softmax(self.decision_function(x), dim=1)

    def predict(self, x: Any) -> NDArray[np.int64]:
        """Index of the predicted class of every sample, (n,); `UNKNOWN` for none of them."""
        return self.decision_function(x).argmax(dim=1).numpy()

    def network(self) -> nn.Module:
        """What `decision_function` computes, as one module from inputs to scores, for export."""
        raise TypeError(f"{type(self).__name__} cannot be written as one network")

    @property
    def fitted(self) -> dict[str, Any]:
        """All that was learnt: attributes that end in an underscore."""
        return {k: v for k, v in vars(self).items() if k.endswith("_") and not k.startswith("_")}

    # -- saving --------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write hyperparameters and fitted state to `folder` as JSON and safetensors, all or nothing."""
        save_state(folder, {"method": self.card.slug, "params": self.get_params(), "fitted": self.fitted})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a method that `save` wrote; `ValueError` if it is damaged or of another class."""
        return cls._from_state(load_state(folder))

    @classmethod
    def _from_state(cls, value: Any) -> Self:
        if not isinstance(value, dict) or set(value) != {"method", "params", "fitted"}:
            raise ValueError("this is not a saved method")
        if value["method"] != cls.card.slug:
            raise ValueError(f"this is a saved {value['method']!r}, not {cls.card.slug!r}")
        method = cls(**value["params"])
        vars(method).update({k: v for k, v in value["fitted"].items() if k.endswith("_") and not k.startswith("_")})
        return method


def clone(method: Method) -> Method:
    """Return an unfitted method with the same hyperparameters."""
    return type(method)(**method.get_params())


def signatures(cls: type[Method]) -> tuple[Signature, ...]:
    """The ways to call `fit`, one per overload, in words of the vocabulary."""
    plain = inspect.unwrap(cls.fit)
    return tuple(_signature(f) for f in (get_overloads(plain) or [plain]))


def _signature(function: Callable[..., Any]) -> Signature:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    required = tuple(p.name for p in parameters if p.default is p.empty)
    return Signature(required, tuple(p.name for p in parameters if p.default is not p.empty))


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in _params(cls)}


def _params(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    """The hyperparameters: fields that the constructor takes."""
    return tuple(field for field in dataclasses.fields(cls) if field.init)


# -- the wrappers ------------------------------------------------------------------------------------------


def _learning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a learning verb: check, hide labels, clear, seed, run, restore."""

    @functools.wraps(function)
    def wrapper(self: Method, **inputs: Any) -> Method:
        if vars(self).get("_learns"):  # a subclass calls the verb of its base class
            return function(self, **inputs)
        verb = function.__name__
        _check_words(type(self).__name__, verb, function, inputs)
        prepared, order = _prepare(inputs, self.card)
        learner = copy.deepcopy(self) if verb == "adapt" else self
        if verb == "fit":
            for name in learner.fitted:
                delattr(learner, name)
        elif verb == "adapt":
            _require_fitted(learner)
        width = _width(prepared)
        if width is not None:
            learner.n_features_in_ = width
        learner._learns = True
        try:
            with reproducible(learner.random_state):
                result = function(learner, **prepared)
        except BaseException:
            if verb == "fit":
                for name in learner.fitted:
                    delattr(learner, name)
            raise
        finally:
            del learner._learns
        labels = vars(learner).get("transduction_")
        if order is not None and labels is not None:
            learner.transduction_ = np.empty_like(labels)
            learner.transduction_[order] = labels
        return result

    return wrapper


def _giving(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an output verb: check that the method is fitted and the samples fit, make tensors of arrays."""

    @functools.wraps(function)
    def wrapper(self: Method, x: Any, *args: Any, **kwargs: Any) -> Any:
        _require_fitted(self)
        with torch.no_grad():
            return function(self, as_input(x, vars(self).get("n_features_in_")), *args, **kwargs)

    return wrapper


def _require_fitted(method: Method) -> None:
    if not method.fitted:
        raise NotFittedError(f"this {type(method).__name__} has not been fitted; call fit first")


def as_input(x: Any, width: int | None = None) -> Tensor:
    """`x` (a `Domain`, array, tensor or nested list) as a float tensor, checked to be finite and of `width`."""
    if isinstance(x, Domain):
        x = x.x
    if isinstance(x, Lazy):
        x = torch.stack([torch.as_tensor(value) for value in x]) if len(x) else torch.empty(0)
    tensor = x if isinstance(x, Tensor) else torch.as_tensor(_numeric("x", np.asarray(x)))
    if not tensor.is_floating_point():
        tensor = tensor.float()
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    if tensor.ndim < 2 or len(tensor) == 0:
        raise ValueError(f"x must hold at least one sample, of shape (n, ...); got {tuple(tensor.shape)}")
    if width is not None and (tensor.ndim != 2 or tensor.shape[1] != width):
        raise ValueError(f"x must be of shape (n, {width}), as in fit; got {tuple(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"x must be finite; {int((~torch.isfinite(tensor)).sum())} values are NaN or infinite")
    return tensor


def _check_words(owner: str, verb: str, function: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    ways = [_signature(f) for f in (get_overloads(function) or [function])]
    known = {word for way in ways for word in (*way.required, *way.optional)}
    for name in inputs:
        if name not in known:
            raise TypeError(f"{owner}.{verb} takes {', '.join(sorted(known))}; it does not take {name!r}")
    given = {name for name, value in inputs.items() if value is not None}
    if not any(given >= set(way.required) for way in ways):
        missing = min((sorted(set(way.required) - given) for way in ways), key=len)
        told = "; ".join(f"{word}: {VOCABULARY[word].sentence}" for word in missing)
        raise TypeError(f"{owner}.{verb} needs {', '.join(missing)} ({told})")


def _prepare(inputs: Mapping[str, Any], card: Card) -> tuple[dict[str, Any], NDArray[np.intp] | None]:
    """The inputs as `fit` may see them, and the order in which it sees the target."""
    prepared: dict[str, Any] = {}
    order = None
    for name, value in inputs.items():
        if value is None:
            continue
        word = VOCABULARY[name]
        if not isinstance(value, word.type):
            raise TypeError(f"{name} must be a {word.type.__name__}; got {type(value).__name__}. {word.sentence}")
        if isinstance(value, Domain):
            _check_domain(name, value, word, card)
        if isinstance(value, nn.Module):
            _check_network(name, value)
        if name == "target":
            order = value.canonical_order()
            value = value.unlabeled().take(order)
        prepared[name] = value
    _check_together(prepared)
    return prepared, order


def _check_domain(name: str, domain: Domain, word: Word, card: Card) -> None:
    if len(domain) == 0:
        raise ValueError(f"{name} must hold at least one sample; it is empty")
    if domain.kind not in card.modalities:
        raise ValueError(f"{name} must be of kind {' or '.join(sorted(card.modalities))}; got {domain.kind!r}")
    if word.labeled:
        domain.labels  # noqa: B018 - raises if labels are missing
    if isinstance(domain.x, np.ndarray) and domain.kind != "text":
        _numeric(name, domain.x)
        if not np.isfinite(domain.x).all():
            bad = int(np.argwhere(~np.isfinite(domain.x))[0][0])
            raise ValueError(f"{name} must be finite; sample {domain.ids[bad]!r} holds NaN or infinity")  # type: ignore[index]


def _numeric(name: str, x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold numbers; got {x.dtype}")
    return x


def _check_network(name: str, network: nn.Module) -> None:
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} must have finite weights; {key} holds NaN or infinity")


def _check_together(inputs: Mapping[str, Any]) -> None:
    widths = {k: v.n_features for k, v in inputs.items() if isinstance(v, Domain) and _is_table(v)}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{name} has {width}" for name, width in widths.items())
        raise ValueError(f"all inputs must have the same number of features; {told}")
    classes = inputs.get("classes")
    for name, domain in inputs.items():
        if classes is None or not isinstance(domain, Domain) or domain.y is None or domain.task != "class":
            continue
        if domain.y.max(initial=-1) >= len(classes):
            raise ValueError(f"{name} has label {domain.y.max()}, but classes has {len(classes)} classes")
        if domain.classes is not None and domain.classes.names != classes.names[: len(domain.classes)]:
            raise ValueError(f"the classes of {name} are not the first of classes; align them with `classes.join`")


def _is_table(domain: Domain) -> bool:
    return isinstance(domain.x, np.ndarray) and domain.x.ndim == 2


def _width(inputs: Mapping[str, Any]) -> int | None:
    return next((v.n_features for v in inputs.values() if isinstance(v, Domain) and _is_table(v)), None)


dataclasses.dataclass(kw_only=True, repr=False, eq=False)(Method)
