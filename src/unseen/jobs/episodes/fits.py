"""What fits a method to the labelled samples of an episode, and what it learns from before all episodes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.simulate.common import lazy_pictures
from unseen.data.simulate.hard import varied
from unseen.methods.base import Method, signatures
from unseen.methods.baselines.linear_probe import LinearProbe
from unseen.methods.needs import Regions, has_regions
from unseen.methods.vocabulary import signature_of

HANDFUL = {"support", "source", "model"}
"""Words of `fit` that an episode can give: its labelled samples, those of other classes, and a model to begin with."""
COPIES = 2
"""Of each picture of the source, changed at random, for methods that learn from such copies as `auxiliary`."""


def few_shot_methods(*, with_source: bool = False) -> tuple[str, ...]:
    """Slugs of the methods that an episode can fit: they learn from a labelled handful of features."""
    return tuple(slug for slug in registry.slugs() if words_of(registry.get(slug), with_source) is not None)


def words_of(cls: type[Method], with_source: bool) -> tuple[str, ...] | None:
    """The words of `fit` that an episode gives; None if it cannot give what is required.

    A method that takes a handful in `adapt` learns from a source, once for all episodes.
    """
    card = cls.card
    others = [need for need in card.needs if not isinstance(need, Regions)]
    if cls.fit is Method.fit or card.task != "class" or "features" not in card.modalities or others:
        return None
    given = HANDFUL if with_source else HANDFUL - {"source"}
    wanted = {"support"}
    if adapts(cls):
        given, wanted = ({"source", "auxiliary"}, {"source"}) if with_source else (set(), {"source"})
    ways = [way.required for way in signatures(cls) if wanted <= set(way.required) <= given]
    return min(ways, key=len) if ways else None


def adapts(cls: type[Method]) -> bool:
    """Whether a method takes the labelled samples of an episode without a fit."""
    adapt = getattr(cls, "adapt", None)
    return adapt is not None and signature_of(inspect.unwrap(adapt)).required == ("support",)


def maker_of(name: str, settings: Mapping[str, Any], with_source: bool) -> Callable[[], Method]:
    cls: Any = registry.get(name)
    if words_of(cls, with_source) is None:
        if words_of(cls, True) is not None:
            raise ValueError(
                f"{name} learns from other classes first: base must be above 0, the share that is set aside"
            )
        raise ValueError(
            f"{name} does not learn from a handful of labelled features alone; these do: "
            f"{', '.join(few_shot_methods(with_source=with_source))}"
        )
    known = cls().get_params()
    return lambda: cls(**{key: value for key, value in settings.items() if key in known})


@dataclasses.dataclass(frozen=True)
class Fit:
    """Fits a method to the labelled samples of an episode, or gives them to one that has learnt from a source."""

    make: Callable[[], Method]
    source: Domain | None
    learnt: Any = None

    def __call__(self, support: Domain) -> Method:
        if self.learnt is not None:
            return self.learnt.adapt(support=support)
        method = self.make()
        given: dict[str, Any] = {}
        for word in words_of(type(method), self.source is not None) or ():
            if word == "model":  # the best that the same samples give: what is learnt on top is what counts
                given[word] = LinearProbe().fit(support=support).network_
            else:
                given[word] = support if word == "support" else self.source
        return method.fit(**given)


def fitted(make: Callable[[], Method], learnt_from: Mapping[str, Domain], copies: Domain | None = None) -> Fit:
    """What fits a method to an episode; what learns from a source has done so, once."""
    method, source = make(), learnt_from.get("source")
    words = words_of(type(method), source is not None) or ()
    if source is None or not adapts(type(method)):
        return Fit(make, source)
    given = {word: learnt_from[word] for word in words}
    if copies is not None and takes_copies(type(method)):
        given["auxiliary"] = copies
    return Fit(make, source, method.fit(**given))


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
    if not any("source" in (words_of(type(make()), True) or ()) for make in makers.values()):
        raise ValueError(f"source is read by none of {', '.join(makers)}: leave it out, or name dafosnet, say")


def encoded(domain: Domain, tower: Any) -> Domain:
    features = domain if tower is None else tower.encode(domain)
    if len(features) != len(domain):
        raise ValueError(f"{len(domain) - len(features)} samples of {domain.name} cannot be encoded; take them away")
    return features
