"""What fits a method to the labelled samples of an episode, and what it learns from before all episodes."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.simulate.common import lazy_pictures
from unseen.data.simulate.hard import varied
from unseen.methods.base import Method, signatures
from unseen.methods.baselines.linear_probe import LinearProbe
from unseen.methods.listing import check_preset
from unseen.methods.needs import LabeledClasses, Regions, has_regions
from unseen.methods.video.needs import PretrainedVideo
from unseen.methods.vocabulary import signature_of

HANDFUL = frozenset({"support", "model"})
"""Words of `fit` that every episode can give: its labelled samples, and a model to begin with."""
LEARNT_FROM = frozenset({"source", "auxiliary", "target"})
"""Words of what can be learnt from before all episodes: samples that no episode holds."""
COPIES = 2
"""Of each picture of the source, changed at random, for methods that learn from such copies as `auxiliary`."""


def few_shot_methods(*, with_source: bool = False) -> tuple[str, ...]:
    """Slugs of the methods that an episode can fit: they learn from a labelled handful of features, or of clips."""
    words = LEARNT_FROM if with_source else frozenset()
    return tuple(slug for slug in registry.slugs() if words_of(registry.get(slug), words) is not None)


def words_of(cls: type[Method], given: Collection[str]) -> tuple[str, ...] | None:
    """The words of `fit` that are given to it, where `given` of `LEARNT_FROM` is there; None if they are not enough.

    A method that takes a handful in `adapt` learns from a source, once for all episodes. Where it reads clips, that fit
    may ask for a target, and for a handful: labelled samples of the source, since episodes come later.
    """
    card = cls.card
    others = [need for need in card.needs if not isinstance(need, (Regions, PretrainedVideo, LabeledClasses))]
    kinds = {"features", "clip"} & set(card.modalities)
    if cls.fit is Method.fit or card.task != "class" or not kinds or others:
        return None
    if adapts(cls):
        wanted, there = {"source"}, ({*given, "support"} if cls.card.reads_clips else {*given} - {"target"})
    else:
        wanted, there = {"support"}, {*HANDFUL, *({"source"} & set(given))}
    ways = [way.required for way in signatures(cls) if wanted <= set(way.required) <= there]
    return min(ways, key=len) if ways else None


def adapts(cls: type[Method]) -> bool:
    """Whether a method takes the labelled samples of an episode without a fit."""
    adapt = getattr(cls, "adapt", None)
    return adapt is not None and signature_of(inspect.unwrap(adapt)).required == ("support",)


def maker_of(name: str, settings: Mapping[str, Any], given: Collection[str]) -> Callable[[], Method]:
    """What makes the method that is called SLUG, or SLUG:PRESET, with the hyperparameters that it has."""
    slug, _, preset = name.partition(":")
    _check_known(slug, given)
    cls: Any = registry.get(slug)
    if preset:
        check_preset(slug, preset, cls.card.presets)
    if words_of(cls, given) is None:
        if words_of(cls, LEARNT_FROM) is not None:
            alone = words_of(cls, LEARNT_FROM - {"auxiliary"}) is not None
            raise ValueError(
                f"{slug} learns from other classes first: base must be above 0, the share that is set aside"
                f"{', or source given' if alone else ''}"
            )
        raise ValueError(
            f"{slug} does not learn from a handful of labelled samples alone; these do: "
            f"{', '.join(few_shot_methods(with_source=bool(given)))}"
        )
    known = cls().get_params()
    params = {**cls.card.presets.get(preset, {}), **{key: value for key, value in settings.items() if key in known}}
    return lambda: cls(**params)


def _check_known(slug: str, given: Collection[str]) -> None:
    """`ValueError` with the methods that an episode can fit, the nearest first, if none is called `slug`."""
    if slug in (*registry.slugs(), *registry.SYSTEMS):
        return
    slugs = few_shot_methods(with_source=bool(given))
    near = difflib.get_close_matches(slug, slugs, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; of a handful of labelled samples learn: {', '.join(slugs)}"
    raise ValueError(f"no method is called {slug!r}{hint}")


@dataclasses.dataclass(frozen=True)
class Fit:
    """Fits a method to the labelled samples of an episode, or gives them to one that has learnt already.

    Attributes
    ----------
    make : callable
    given : mapping of words of `fit` to Domain
        What no episode holds.
    learnt : Method, optional
        It has learnt from `given`, in so many `seconds`.
    """

    make: Callable[[], Method]
    given: Mapping[str, Domain]
    learnt: Any = None
    seconds: float = 0.0

    def __call__(self, support: Domain) -> Method:
        if self.learnt is not None:
            return self.learnt.adapt(support=support)
        method = self.make()
        inputs: dict[str, Any] = {}
        for word in words_of(type(method), self.given) or ():
            if word == "model":  # the best that the same samples give: what is learnt on top is what counts
                inputs[word] = LinearProbe().fit(support=support).network_
            else:
                inputs[word] = support if word == "support" else self.given[word]
        return method.fit(**inputs)


def fitted(make: Callable[[], Method], learnt_from: Mapping[str, Domain], copies: Domain | None = None) -> Fit:
    """What fits a method to an episode; what learns from a source has done so, once."""
    method = make()
    if not adapts(type(method)):
        return Fit(make, learnt_from)
    inputs = {word: learnt_from[word] for word in inputs_of(method, learnt_from)}
    more = {"auxiliary": copies} if copies is not None and takes_copies(type(method)) else {}
    if "support" in (words_of(type(method), learnt_from) or ()):
        more["support"] = one_of_each(learnt_from["source"])
    began = time.perf_counter()
    learnt = method.fit(**inputs, **more)
    return Fit(make, inputs, learnt, time.perf_counter() - began)


def inputs_of(method: Method, there: Collection[str]) -> tuple[str, ...]:
    """The words of `LEARNT_FROM` that a method learns from before all episodes."""
    return tuple(word for word in words_of(type(method), there) or () if word in LEARNT_FROM and adapts(type(method)))


def one_of_each(source: Domain) -> Domain:
    """The first sample of each class: a handful to be fitted with before there is one that matters."""
    return source.take(np.sort(np.unique(source.labels, return_index=True)[1]))


def takes_copies(cls: type[Method]) -> bool:
    """Whether a method may learn from `auxiliary` data beside a source: changed copies of the source's pictures."""
    return any("auxiliary" in way.optional for way in signatures(cls))


def copies_of(
    source: Domain | None, makers: Mapping[str, Callable[[], Method]], tower: Any, seed: int
) -> Domain | None:
    """Changed copies of the pictures of the source, where a method learns from such."""
    if source is None or source.kind != "image" or not any(takes_copies(type(make())) for make in makers.values()):
        return None
    lazy_pictures("data", source)
    return encoded(varied(source, COPIES, random_state=seed), tower)


def check_regions(makers: Mapping[str, Callable[[], Method]], domain: Domain, tower: Any) -> None:
    """Raise `ValueError` if a method reads regions and there will be none."""
    there = has_regions(domain) or bool(getattr(tower, "n_regions", 0))
    for name, make in makers.items():
        if make().card.needed(Regions) is not None and not there:
            raise ValueError(f'{name} reads maps: give encoder="efficientnet-lite0?layer=5&regions=7", or another')


def check_read(makers: Mapping[str, Callable[[], Method]]) -> None:
    """Raise `ValueError` if no method learns from a source."""
    if not any("source" in (words_of(type(make()), LEARNT_FROM) or ()) for make in makers.values()):
        raise ValueError(f"source is read by none of {', '.join(makers)}: leave it out, or name dafosnet, say")


def check_kind(makers: Mapping[str, Callable[[], Method]], domain: Domain) -> None:
    """Raise `ValueError` if a method learns from clips themselves, and the samples are none."""
    for name, make in makers.items():
        if make().card.reads_clips and domain.kind != "clip":
            raise ValueError(f"data must be videos (kind clip) for {name}; {domain.name} is of kind {domain.kind!r}")


def encoded(domain: Domain, tower: Any) -> Domain:
    features = domain if tower is None else tower.encode(domain)
    if len(features) != len(domain):
        raise ValueError(f"{len(domain) - len(features)} samples of {domain.name} cannot be encoded; take them away")
    return features
