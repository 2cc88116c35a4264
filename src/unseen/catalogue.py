"""The cards: list, search, filter; what fits what a user has, and what can be made of it."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

import torch

from unseen import methods
from unseen.arguments import TEXT, check_arguments
from unseen.data.classes import ClassSpace, realign
from unseen.data.domain import Domain
from unseen.data.kinds import samples_of
from unseen.methods.base import VOCABULARY, Card, Method, Signature, signatures
from unseen.methods.listing import COMPOSED, DEFAULT, check_preset
from unseen.methods.needs import NamedTowers
from unseen.methods.parameters import as_plain

if TYPE_CHECKING:
    from unseen.nn.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the catalogue: a system that is built, or one that is planned."""

    slug: str
    title: str
    venue: str
    room: str
    summary: str
    built: bool
    card: Card | None = None
    baseline: bool = False

    @property
    def needs(self) -> tuple[Signature, ...]:
        """What `fit` needs; empty for a planned system, and for one that is not fitted."""
        return signatures(methods.get(self.slug)) if self.built and self.slug not in methods.SYSTEMS else ()


@functools.cache
def entries(*, planned: bool = True) -> tuple[Entry, ...]:
    """All systems, built ones first."""
    every = (*methods.slugs(), *methods.SYSTEMS)
    built = [_built(slug) for slug in every if not methods.card(slug).composed]
    if not planned:
        return tuple(built)
    text = resources.files("unseen.methods").joinpath("systems.json").read_text(encoding="utf-8")
    have = {entry.slug for entry in built}
    rest = [Entry(**row, built=False) for row in json.loads(text) if row["slug"] not in have]
    return tuple(built + rest)


def _built(slug: str) -> Entry:
    home, card = methods.home(slug), methods.card(slug)
    place = home.__module__ if isinstance(home, type) else home.__name__
    room = place.split(".")[2] if place.count(".") > 2 else "baselines"
    return Entry(slug, card.title, card.venue, room, card.summary, True, card, card.baseline)


def listing() -> list[dict[str, Any]]:
    """The built systems of this package as lines of a list (`unseen.methods.listing`), which is kept as a file."""
    composed = [slug for slug in methods.METHODS if methods.card(slug).composed]
    hidden = [
        {"slug": slug, "title": "", "venue": "", "room": "", "summary": "", "kind": COMPOSED, **_presets(slug)}
        for slug in composed
    ]
    return hidden + [
        {
            "slug": entry.slug,
            "title": entry.title,
            "venue": entry.venue,
            "room": entry.room,
            "summary": entry.summary,
            "kind": methods.card(entry.slug).kind,
            "needs": [list(way.required) for way in entry.needs],
            **_presets(entry.slug),
        }
        for entry in entries(planned=False)
        if entry.slug in methods.METHODS or entry.slug in methods.SYSTEMS
    ]


def _presets(slug: str) -> dict[str, list[str]]:
    """The presets of a method as a line of the list has them: nothing where there is the default alone."""
    presets = list(methods.card(slug).presets)
    return {} if presets == [DEFAULT] else {"presets": presets}


def search(text: str = "", given: Iterable[str] | None = None) -> tuple[Entry, ...]:
    """Entries whose slug, title, summary or room hold every word of `text`, and that `given` words are enough for."""
    check_arguments({"text": TEXT}, {"text": text}, "search")
    words = text.casefold().split()
    matching = [
        entry
        for entry in entries()
        if all(word in f"{entry.slug} {entry.title} {entry.summary} {entry.room}".casefold() for word in words)
    ]
    if given is not None:
        have = set(given)
        for word in have - set(VOCABULARY):
            raise ValueError(f"given must hold words of fit ({', '.join(VOCABULARY)}); got {word!r}")
        have |= _derivable(have)
        matching = [entry for entry in matching if any(set(way.required) <= have for way in entry.needs)]
    return tuple(matching)


def _derivable(have: set[str]) -> set[str]:
    return {"model"} if "source" in have else set()


# -- what can be made of what is given ---------------------------------------------------------------------


@dataclasses.dataclass
class Given:
    """What a user has, by words of `fit`; what is missing and can be made is made once.

    Parameters
    ----------
    inputs : mapping of words to Domain, ClassSpace or Module
    kind : str
        The kind of samples that methods will see.
    brought : str
        The kind of samples as they were brought, where methods see features of them.
    shared_space : bool
        Whether class embeddings lie in the space of the samples (a two-tower encoder).
    seed : int
        Seed of the source model that is trained where a method adapts a model and none was given.
    two_views : bool
        Whether pictures can be seen with the batch statistics of their domain, too.
    towers : callable, optional
        Gives the two towers that samples were read by, for methods that read or prompt texts by them.
    """

    inputs: Mapping[str, Any]
    kind: str = "features"
    brought: str = ""
    shared_space: bool = False
    seed: int = 0
    two_views: bool = False
    towers: Callable[[], Any] | None = None
    _model: Any = dataclasses.field(default=None, init=False)

    @property
    def named(self) -> bool:
        """Whether classes are given by names among the samples of a target, and no sample has a label."""
        have = {word for word, value in self.inputs.items() if value is not None}
        classes = self.inputs.get("classes")
        known = isinstance(classes, ClassSpace) and classes.embeddings is not None
        return self.shared_space and known and "target" in have and not have & {"source", "support", "model"}

    def _have(self, card: Card) -> set[str]:
        """The words that are given, or can be made of what is."""
        have = {word for word, value in self.inputs.items() if value is not None}
        if self.towers is not None and card.needed(NamedTowers) is not None:
            have.add("encoder")
        return have | _derivable(have) | ({"model"} if self.named else set())

    @property
    def task(self) -> str:
        """What labels are, by the first domain that has some."""
        domains = [value for value in self.inputs.values() if isinstance(value, Domain)]
        return next((domain.task for domain in domains if domain.y is not None), "class")

    def why_not(self, method: type[Method], *, made: bool = False) -> str | None:
        """Why `method` cannot run on this, in words; None if it can.

        `made` leaves out what other settings than the default ones may not need: `fit` tells it.
        """
        card = method.card
        if card.task != self.task:
            ask = f" ({card.commands[0]})" if card.commands else ""
            return f"is for another task, {card.task}{ask}"
        if self._on_probabilities(method):
            if "classes" not in self.inputs or "source" not in self.inputs:
                return "predicts by how near classes are to each other (as in a tree): it needs source and classes"
        elif self.kind not in card.modalities:
            if card.reads_clips and self.brought == "clip":
                return BY_NAME
            given = self.kind if self.brought in card.modalities else self.brought or self.kind
            read, brought = (" or ".join(map(samples_of, kinds)) for kinds in (sorted(card.modalities), [given]))
            return f"reads {read}, not {brought}"
        have = self._have(card)
        if lacking := self._lacking(card, made, first=True):
            return lacking
        missing = [sorted(set(way.required) - have) for way in signatures(method)]
        if all(missing):
            fewest = min(missing, key=len)
            return f"needs {' and '.join(fewest)}"
        return self._lacking(card, made, first=False) or self._classes_problem(method)

    def _lacking(self, card: Card, made: bool, *, first: bool) -> str | None:
        """What the first need of a card lacks, of those that are told before missing words or after them."""
        reasons = (need.lacks(self) for need in card.needs if need.first == first and not (made and need.by_default))
        return next((lacking for lacking in reasons if lacking is not None), None)

    def pointless(self, method: type[Method]) -> str | None:
        """Why `method` need not be tried where some classes have no labelled sample: it cannot predict those.

        Source-only is tried all the same: it is what others stand beside.
        """
        classes = self.inputs.get("classes")
        if not isinstance(classes, ClassSpace) or not len(classes.unseen) or method.card.slug == "source-only":
            return None
        known = {"zsl", "gzsl"} & set(method.card.protocols)
        return None if known else "predicts classes with labelled samples only"

    def _classes_problem(self, method: type[Method]) -> str | None:
        wants = all("classes" in way.required for way in signatures(method))
        classes = self.inputs.get("classes")
        if not wants or not isinstance(classes, ClassSpace):
            return None
        if "zsl" in method.card.protocols and "closed" not in method.card.protocols and not len(classes.unseen):
            return "is for classes without labelled samples; all classes have some"
        return None

    @staticmethod
    def _on_probabilities(method: type[Method]) -> bool:
        return set(method.card.modalities) == {"probabilities"}

    def fit(self, method: Method) -> Method:
        """Fit `method` on the words that it asks for; a rule over probabilities is put on top of source-only.

        Raises
        ------
        ValueError
            If what is given is not enough; it says what is missing.
        """
        if why := self.why_not(type(method), made=True):
            raise ValueError(f"{method.card.slug} cannot run here: it {why}")
        if self._on_probabilities(type(method)):
            return self._fit_rule(method)
        words = self._words(type(method))
        fresh = {"model": new_model(self["source"], self.seed)} if self._begins_anew(words) else {}
        return method.fit(**fresh, **{word: self[word] for word in words if word not in fresh})

    def _begins_anew(self, words: Iterable[str]) -> bool:
        """Whether a method trains on the source itself, and the user has no model for it to begin with."""
        return {"source", "model"} <= set(words) <= {"source", "model", "teachers"} and self.inputs.get("model") is None

    def _fit_rule(self, rule: Method) -> Method:
        """The rule on a classifier of the seen classes, whose probabilities fit samples held out of the source."""
        from unseen.methods.chain import chain, held_out_temperature

        seed, slug = rule.random_state, "source-only" if self.inputs.get("target") is None else "standardize"
        classes, source = self["classes"], self["source"]
        seen = classes.take(classes.seen)
        source = source.with_labels(realign(source.labels, source.classes or classes, seen), seen)

        def fit(part: Domain) -> Method:
            return dataclasses.replace(self, inputs={**self.inputs, "source": part}).fit(make(slug, seed=seed))

        return chain(fit(source), rule.fit(classes=classes), held_out_temperature(fit, source, seed))

    def _words(self, method: type[Method]) -> list[str]:
        have = self._have(method.card)
        ways = [way for way in signatures(method) if set(way.required) <= have]
        way = max(ways, key=lambda way: ("support" in way.required, len(way.required)))
        extra = [word for word in way.optional if self.inputs.get(word) is not None]
        return [*way.required, *extra]

    def __getitem__(self, word: str) -> Any:
        if self.inputs.get(word) is not None:
            return self.inputs[word]
        if word == "encoder" and self.towers is not None:
            return self.towers()
        if word == "model":
            if self._model is None:
                learned = named_samples(self) if self.named else self.inputs["source"]
                self._model = source_model(learned, self.seed)
            return self._model
        raise KeyError(word)


def named_samples(given: Given) -> Domain:
    """The target with the labels that spread over it from the names of the classes: what a model is trained on where no
    sample has a label."""
    classes, target = given["classes"], given["target"]
    labels = make("propagate-names", seed=given.seed).fit(classes=classes, target=target).predict(target)
    return target.replace(y=labels, classes=classes)


def new_model(source: Domain, seed: int = 0) -> torch.nn.Module:
    """A classifier in SHOT's three parts that has learnt nothing yet: what training on labelled features begins with.

    One that is trained already fits the source, and what comes after hardly moves it: on emoji styles never seen,
    sharpness-aware training from there lost 3 to 9 points.
    """
    from unseen.runtime import reproducible

    with reproducible(seed):
        return _untrained(source)


def source_model(source: Domain, seed: int = 0, **settings: Any) -> torch.nn.Module:
    """A classifier in SHOT's three parts, trained on labelled features: what is adapted if no model is given."""
    from unseen.nn.classifier import train_source
    from unseen.runtime import reproducible

    with reproducible(seed):
        return train_source(_untrained(source), source, **settings)


def _untrained(source: Domain) -> Classifier:
    from unseen.nn.classifier import feature_classifier

    n_classes = len(source.classes) if source.classes is not None else int(source.labels.max()) + 1
    return feature_classifier(source.n_features, n_classes)


def candidates(given: Given, wanted: Iterable[str] | None = None) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """What runs on `given`: (slug, preset) pairs, and why the others do not.

    `wanted` names slugs, or slug:preset; all that fit if None. A wanted method that cannot run is a `ValueError`.
    """
    pairs: list[tuple[str, str]] = []
    left_out: dict[str, str] = {}
    if wanted is None:
        for slug in methods.slugs():
            method = methods.get(slug)
            if not _compared(method.card):
                continue
            reason = given.why_not(method) or given.pointless(method)
            if reason is None:
                pairs += [(slug, preset) for preset in _tried(method.card, given)]
                left_out |= {f"{slug}:{preset}": BY_NAME for preset in sorted(method.card.on_request)}
            else:
                left_out[slug] = reason
        return pairs, left_out
    for name in wanted:
        slug, _, preset = name.partition(":")
        method = methods.get(slug)
        reason = given.why_not(method)
        if reason is not None:
            raise ValueError(f"{slug} cannot run here: it {reason}")
        if preset:
            check_preset(slug, preset, method.card.presets)
        if preset in method.card.two_views and not given.two_views:
            raise ValueError(f"{name} cannot run here: {VIEWS}")
        pairs += [(slug, preset)] if preset else [(slug, p) for p in _tried(method.card, given)]
    return pairs, left_out


BY_NAME = "runs only on request: name it to run it"


VIEWS = "both views need a source and a target of pictures, and an encoder with BatchNorm layers"


def _tried(card: Card, given: Given) -> list[str]:
    """The presets that run where none is named."""
    lacking = frozenset() if given.two_views else card.two_views
    return [preset for preset in card.presets if preset not in card.on_request and preset not in lacking]


def _compared(card: Card) -> bool:
    """Whether `compare` runs it: not what others are put together from, nor what makes a model smaller, chooses data or
    gives numbers."""
    return not card.composed and not {"quantization", "curation"} & set(card.protocols) and card.task == "class"


def make(slug: str, preset: str = "default", seed: int = 0, **settings: Any) -> Method:
    """An unfitted method with the hyperparameters of a preset."""
    method = methods.get(slug)
    check_preset(slug, preset, method.card.presets)
    known = method().get_params()
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"settings: {slug} has no {key!r}{hint or '.'} It has {', '.join(known)}")
    named = {key: as_plain(value) for key, value in settings.items()}
    return method(**{**method.card.presets[preset], **named, "random_state": as_plain(seed)})


def sharing(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The different (slug, preset) pairs in groups of which one fit serves all: but for what predictions read alike.

    A rule over probabilities, which is put on top of another method, stays by itself.
    """
    groups: dict[Any, list[tuple[str, str]]] = {}
    for slug, preset in dict.fromkeys(pairs):
        method = methods.get(slug)
        late = set() if Given._on_probabilities(method) else method.card.at_prediction
        params = {k: v for k, v in method(**method.card.presets[preset]).get_params().items() if k not in late}
        views = preset in method.card.two_views
        groups.setdefault((slug, repr(params), views) if late else (slug, preset), []).append((slug, preset))
    return tuple(map(tuple, groups.values()))


def predicting_as(fitted: Method, method: Method) -> Method:
    """What `fitted` has learnt, shared and not copied, with the hyperparameters of `method` at prediction."""
    late = fitted.card.at_prediction
    shared = copy.copy(fitted)
    return shared.set_params(**{key: value for key, value in method.get_params().items() if key in late})


def cost(slug: str, preset: str = "default") -> float:
    """Seconds that a fit takes per 1,000 samples, from the card."""
    return methods.get(slug).card.cost


def describe(slug: str) -> dict[str, Any]:
    """Everything that the card and the class (or module) of a system say, as JSON-able data."""
    home, card = methods.home(slug), methods.card(slug)
    ways = signatures(home) if isinstance(home, type) else ()
    words = sorted({word for way in ways for word in (*way.required, *way.optional)})
    return {
        "slug": slug,
        "title": card.title,
        "venue": card.venue,
        "summary": card.summary,
        "official_code": card.official_code,
        "kind": card.kind,
        "unseen": sorted(card.unseen),
        "modalities": sorted(card.modalities),
        "protocols": sorted(card.protocols),
        "needs": [dataclasses.asdict(way) for way in ways],
        "words": {word: VOCABULARY[word].sentence for word in words if word in VOCABULARY},
        "parameters": home().get_params() if isinstance(home, type) else {},
        "presets": {name: dict(settings) for name, settings in card.presets.items()},
        "commands": list(card.commands),
        "parts": list(card.parts),
        "notes": list(card.notes),
        "left_out": list(card.left_out),
        "documentation": inspect.getdoc(home) or "",
    }


def recommend(given: Given) -> list[dict[str, Any]]:
    """Every method with whether it fits `given` and why: systems before baselines, fitting ones first.

    `unseen.recommend` says which of them to try first.
    """
    rows = []
    for slug in methods.slugs():
        card = methods.get(slug).card
        if not _compared(card):
            continue
        reason = given.why_not(methods.get(slug)) or given.pointless(methods.get(slug))
        rows.append({"slug": slug, "fits": reason is None, "why": reason or card.summary, "baseline": card.baseline})
    return sorted(rows, key=lambda row: (not row["fits"], row["baseline"]))
