"""`Method`: the contract of everything that learns or predicts."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform, get_overloads, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.files import loads
from unseen.methods.checks import (
    as_clips,
    as_input,
    as_learnt,
    as_pairs,
    as_pictures,
    as_regions,
    as_subgraphs,
    as_texts,
    check_words,
    in_one_order,
    is_table,
    prepare,
    space_of,
    width_of,
)
from unseen.methods.lookup import class_of
from unseen.methods.parameters import Seed, as_plain, check
from unseen.methods.verbs import Verb, gives, verb_of
from unseen.methods.vocabulary import VOCABULARY, Card, Signature, Word, signature_of
from unseen.nn import parallel
from unseen.nn.freezing import release
from unseen.nn.state import digest, load_state, register_codec, save_state
from unseen.runtime import current, identified, reproducible

__all__ = [
    "UNKNOWN",
    "VOCABULARY",
    "Card",
    "Method",
    "NotFittedError",
    "Signature",
    "Word",
    "as_input",
    "clone",
    "signatures",
]

UNKNOWN = -1
"""What `predict` says of a sample that belongs to none of the classes."""


class NotFittedError(ValueError, AttributeError):
    """A method was asked for a prediction before it was fitted."""


class UnknownParameterError(TypeError, ValueError):
    """A method has no hyperparameter of this name; the message names those that it has."""


# -- Method ------------------------------------------------------------------------------------------------

_LEARNING = ("fit", "adapt", "partial_fit")


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Method:
    """One published system that learns or predicts.

    A subclass lists its hyperparameters as annotated fields (`rho: Unit = 0.75`; learnt attributes that want
    an annotation are `dataclasses.field(init=False)`), says what it learns from in the keyword arguments of
    `fit`, whose names are words of `VOCABULARY`, and what it gives in a verb such as `predict`. What it has
    learnt stands in attributes that end in an underscore.

    `fit`, `adapt` and `partial_fit` are wrapped once, here: inputs are checked, features of tables are matched by
    their names, where these have some (`feature_names_in_`; so do verbs), labels are removed from
    `target` (whose samples come in an order that depends on their content alone), old fitted state is
    cleared, random numbers and threads are fixed and put back, and what was learnt is brought to the CPU.
    `partial_fit`, the next task of a stream, clears nothing: it adds to a copy of what was learnt, which takes the
    place of the old once it is done, so that a task that fails changes nothing. What is declared by
    `unseen.methods.verbs.gives` is wrapped, too: it wants a fitted method, and samples that fit.
    `classes_` is the `ClassSpace` (names, and which are seen) whose indices `predict` gives, where inputs named them:
    `unseen.data.labels.names_of(method.predict(x), method.classes_)` are names.

    Parameters
    ----------
    random_state : int in [0, 2**32)
        Seed of everything random in `fit`.
    """

    card: ClassVar[Card]
    of_target: ClassVar[tuple[str, ...]] = ("transduction_",)
    """Learnt attributes with an entry for each sample of the target: they follow the order that the user gave."""

    random_state: Seed = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for verb in _LEARNING:
            if verb in cls.__dict__:
                setattr(cls, verb, _learning(cls.__dict__[verb]))
        for name, function in list(vars(cls).items()):
            declared = verb_of(cls, name) if inspect.isfunction(function) else None
            if declared is not None:
                setattr(cls, name, _giving(function, declared))
        if "network" in cls.__dict__:
            cls.network = _exporting(cls.__dict__["network"])  # type: ignore[method-assign]
        dataclasses.dataclass(kw_only=True, repr=False, eq=False)(cls)

    def __new__(cls, *_: Any, **params: Any) -> Self:
        known = [field.name for field in _params(cls)]
        for name in params:
            if name not in known:
                slug = cls.card.slug if hasattr(cls, "card") else cls.__name__
                raise UnknownParameterError(f"{slug} has no parameter {name!r}; it has {', '.join(known)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        self._check_params()

    def __repr__(self) -> str:
        defaults = {f.name: f.default for f in _params(type(self))}
        changed = {k: v for k, v in self.get_params().items() if v != defaults[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    if not TYPE_CHECKING:  # a type checker would take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            """Say that a method is not fitted, where something learnt is asked for that is not there."""
            declared = getattr(type(self), name, None)
            if isinstance(declared, property):  # it has raised an AttributeError of its own
                return declared.__get__(self)
            if name.endswith("_") and not name.startswith("_"):
                _require_fitted(self)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- scikit-learn's contract for parameters ----------------------------------------------------------

    def _check_params(self) -> None:
        for name, hint in _hints(type(self)).items():  # type: ignore[arg-type]
            value = as_plain(getattr(self, name))
            check(name, value, hint)
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return {field.name: getattr(self, field.name) for field in _params(type(self))}

    def set_params(self, **params: Any) -> Self:
        """Change hyperparameters; all are checked before any is changed."""
        known = self.get_params()
        for name in params:
            if name not in known:
                names = ", ".join(known)
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {names}")
        changed = type(self)(**known | params)
        for name in params:
            setattr(self, name, getattr(changed, name))
        return self

    def check_network(self, model: Any) -> None:
        """Raise `ValueError` or `TypeError` where these settings do not fit the `model` of `fit`, before any work.

        By default nothing is asked of it.
        """

    def expected_seconds(self, words: Mapping[str, Any]) -> float | None:
        """About how long `fit` takes on one core with these inputs; None where the card's cost is all that is known."""
        return None

    # -- what a method is asked ---------------------------------------------------------------------------

    def fit(self, **inputs: Any) -> Self:
        """Learn from the inputs that the subclass names."""
        raise TypeError(f"{type(self).__name__} has no fit")

    @gives("scores")
    def decision_function(self, x: Any) -> Tensor:
        """Scores of shape (n, n_classes); larger is better."""
        raise TypeError(f"{type(self).__name__} gives no scores")

    @gives("scores")
    def source_decision_function(self, x: Any) -> Tensor:
        """Scores of samples of the source: as `decision_function`, unless the method treats each domain by itself."""
        return self.decision_function(x)

    @gives("probabilities")
    def predict_proba(self, x: Any) -> Tensor:
        """Probabilities of shape (n, n_classes), rows sum to 1."""
        return torch.softmax(self.decision_function(x), dim=1)

    @gives("classes")
    def predict(self, x: Any) -> NDArray[np.int64]:
        """Index of the predicted class of every sample in `classes_`, (n,); `UNKNOWN` for none of them."""
        return self.decision_function(x).argmax(dim=1).numpy()

    def network(self) -> nn.Module:
        """What `decision_function` computes, as one module from inputs to scores, for export."""
        raise TypeError(f"{type(self).__name__} cannot be written as one network")

    @property
    def reads_regions(self) -> bool:
        """Whether output verbs read the features of regions, where samples have some."""
        return self.card.regions

    @property
    def fitted(self) -> dict[str, Any]:
        """All that was learnt: attributes that end in an underscore."""
        return _learnt(vars(self))

    # -- saving --------------------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write hyperparameters and fitted state to `folder` as JSON and safetensors, all or nothing."""
        save_state(folder, {"method": self.card.slug, "params": self.get_params(), "fitted": self.fitted})

    @classmethod
    @loads("a saved method")
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a method that `save` wrote; `ValueError` if it is damaged or of another class. `Method` reads any."""
        return cls._from_state(load_state(folder))

    @classmethod
    def _from_state(cls, value: Any) -> Self:
        if not isinstance(value, dict) or set(value) != {"method", "params", "fitted"}:
            raise ValueError("this is not a saved method")
        if not hasattr(cls, "card"):  # `Method` itself, or a base class of some
            saved = class_of(value["method"])
            if not issubclass(saved, cls):
                raise ValueError(f"this is a saved {value['method']!r}, which is no {cls.__name__}")
            return saved._from_state(value)
        if value["method"] != cls.card.slug:
            raise ValueError(f"this is a saved {value['method']!r}, not {cls.card.slug!r}")
        try:
            method = cls(**value["params"])
        except TypeError as error:
            raise ValueError(f"this is a saved {cls.card.slug!r} of another version: {error}") from error
        vars(method).update(_learnt(value["fitted"]))
        return method


def _learnt(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k.endswith("_") and not k.startswith("_")}


def clone(method: Method) -> Method:
    """Return an unfitted method with the same hyperparameters."""
    return type(method)(**method.get_params())


def signatures(cls: type[Method]) -> tuple[Signature, ...]:
    """The ways to call `fit`, one per overload, in words of the vocabulary."""
    plain = inspect.unwrap(cls.fit)
    return tuple(signature_of(f) for f in (get_overloads(plain) or [plain]))


def fit_words(cls: type[Method]) -> frozenset[str]:
    """All words that `fit` reads in one way or another."""
    return frozenset(word for way in signatures(cls) for word in (*way.required, *way.optional))


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
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
        if parallel.world() > 1 and not self.card.distributed:
            raise ValueError(
                f"{self.card.slug} trains in one process; {parallel.world()} are at work. Run seeds and candidates as "
                "jobs of their own (engine=ray)"
            )
        self._check_params()
        check_words(type(self).__name__, verb, function, inputs)
        inputs, names = in_one_order(inputs, vars(self).get("feature_names_in_", ()) if verb != "fit" else ())
        prepared, order = prepare(inputs, self.card)
        learner: Any = self if verb == "fit" else copy.deepcopy(self)
        if verb == "fit":
            for name in learner.fitted:
                delattr(learner, name)
        elif verb == "adapt":
            _require_fitted(learner)
        width = width_of(prepared)
        if verb == "partial_fit":
            _check_width(learner, prepared, width)
        if width is not None:
            vars(learner)["n_features_in_"] = width
        classes = vars(learner).get("classes_")
        vars(learner)["_learns"] = True
        try:
            # learning needs gradients, also where the caller has switched them off
            with (
                torch.inference_mode(False),
                identified(_work(learner, verb, prepared)),
                reproducible(learner.random_state),
            ):
                result = function(learner, **prepared)
        except BaseException:
            if verb == "fit":
                for name in learner.fitted:
                    delattr(learner, name)
            raise
        finally:
            del vars(learner)["_learns"]
        if names and len(names) == vars(learner).get("n_features_in_"):
            vars(learner)["feature_names_in_"] = names
        space = space_of(prepared) if verb != "partial_fit" else None
        if space is not None and vars(learner).get("classes_") is classes:  # the method has told none of its own
            vars(learner)["classes_"] = space
        _settle(learner)
        if order is not None:
            for name in learner.of_target:
                if name in vars(learner):
                    vars(learner)[name] = vars(learner)[name][np.argsort(order)]
        if verb != "partial_fit":
            return result
        for name in set(self.fitted) - set(learner.fitted):
            delattr(self, name)
        vars(self).update(learner.fitted)  # all of it at once: a task that fails leaves what was learnt before
        return self

    return wrapper


def _check_width(learner: Method, prepared: Mapping[str, Any], width: int | None) -> None:
    """The next task of a stream has samples as wide as those of the tasks before."""
    before = vars(learner).get("n_features_in_")
    if width is None or before is None or width == before:
        return
    word = next(k for k, v in prepared.items() if isinstance(v, Domain) and is_table(v))
    raise ValueError(f"{word} must have {before} features, as the tasks before; got {width}")


def _settle(learner: Method) -> None:
    """Bring what was learnt to where it predicts: networks to eval mode, everything to the CPU.

    What a method froze for its own training, such as a head, the next one may train.
    """
    for name, value in learner.fitted.items():
        if isinstance(value, nn.Module):
            value.cpu().eval()
            if learner.card.trains:
                release(value)
        elif isinstance(value, Tensor):
            setattr(learner, name, value.cpu())


def _work(learner: Method, verb: str, prepared: Mapping[str, Any]) -> str:
    """A hash of the method and its inputs, to which checkpoints belong; empty if none are kept."""
    if current().folder is None:
        return ""
    inputs = {name: _content(value) for name, value in prepared.items()}
    state = {} if verb == "fit" else learner.fitted
    return digest((learner.card.slug, verb, learner.get_params(), state, inputs))


def _content(value: Any) -> Any:
    """What of an input makes a difference to what is learnt from it, in a form that can be hashed."""
    if isinstance(value, Domain):
        return value.digests(), value.y, value.columns, value.classes
    if isinstance(value, Pairs):
        return _content(value.left), _content(value.right), value.columns
    if isinstance(value, nn.Module):
        return value.state_dict(), [name for name, _ in value.named_parameters()]  # frozen weights are buffers
    if isinstance(value, Mapping):
        return {key: _content(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_content(item) for item in value]
    return value if isinstance(value, (ClassSpace, str, int, float)) else type(value).__name__


def _exporting(function: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Wrap `network`: check that the method is fitted; what it gives is in eval mode."""

    @functools.wraps(function)
    def wrapper(self: Method) -> nn.Module:
        _require_fitted(self)
        return function(self).eval()

    return wrapper


def _giving(function: Callable[..., Any], verb: Verb) -> Callable[..., Any]:
    """Wrap an output verb: check that the method is fitted and the samples fit; make tensors of them, or texts."""

    @functools.wraps(function)
    def wrapper(self: Method, x: Any, *args: Any, **kwargs: Any) -> Any:
        _require_fitted(self)
        width = vars(self).get("n_features_in_")
        x = as_learnt(x, vars(self).get("feature_names_in_", ()))
        if verb.reads == "text" or set(self.card.modalities) == {"text"}:
            samples: Any = as_texts(x)
        elif verb.reads == "pairs":
            samples = as_pairs(x)
        elif verb.reads == "pictures":
            samples = as_pictures(x)
        elif verb.reads == "clips":
            samples = as_clips(x)
        elif verb.reads == "subgraphs":
            samples = as_subgraphs(x, width)
        elif verb.reads == "series":
            samples = x
        elif self.reads_regions:
            samples = as_regions(x, width)
        else:
            samples = as_input(x, width, doubles=verb.reads == "doubles")
        try:
            with torch.no_grad():
                return function(self, samples, *args, **kwargs)
        except RuntimeError as error:  # what torch raises where shapes do not fit
            shape = f"x of shape {tuple(samples.shape)}" if hasattr(samples, "shape") else f"x, {len(samples)} samples,"
            raise ValueError(f"{shape} cannot be read by this {type(self).__name__}: {error}") from error

    return wrapper


def _require_fitted(method: Method) -> None:
    if not method.fitted:
        raise NotFittedError(f"this {type(method).__name__} has not been fitted; call fit first")


dataclasses.dataclass(kw_only=True, repr=False, eq=False)(Method)


def _method_from(fields: dict[str, Any]) -> Method:
    return class_of(fields["method"])._from_state(fields)


register_codec(
    "method",
    Method,
    lambda method: {"method": method.card.slug, "params": method.get_params(), "fitted": method.fitted},
    _method_from,
)
