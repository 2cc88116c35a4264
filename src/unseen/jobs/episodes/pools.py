"""The samples of a run as methods read them: features, or clips as networks take them; and what no episode holds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from unseen.data.classes import join, realign
from unseen.data.damage import undamaged
from unseen.data.domain import Domain, Lazy, concatenate
from unseen.data.segments import ready
from unseen.data.simulate.common import lazy_pictures
from unseen.data.simulate.hard import harder
from unseen.encoders.whole_clips import whole_clips
from unseen.evaluation.episodes import Episode, Episodes, disjoint_classes, disjoint_samples
from unseen.jobs.episodes.fits import Fit, check_kind, check_read, fitted, inputs_of
from unseen.methods.base import Method
from unseen.runtime import track

UNLABELLED = 0.5
"""Share of the samples of each class that no episode holds, where a method learns from unlabelled ones."""
ROOM = 2 << 30
"""Bytes of ready clips that are held in memory; more are read whenever they are asked for."""

Makers = Mapping[str, Callable[[], Method]]
Form = Callable[[Domain], Domain]


@dataclasses.dataclass(frozen=True)
class Pool:
    """All samples of a run in one form.

    Attributes
    ----------
    everything, asked : Domain
        What episodes are drawn from, and the same as it is asked about.
    set_aside : Domain, optional
        Labelled samples of the classes that no episode is of.
    source : Domain, optional
        Labelled samples of another domain.
    target : Domain, optional
        Samples without labels that no episode holds.
    """

    everything: Domain
    asked: Domain
    set_aside: Domain | None = None
    source: Domain | None = None
    target: Domain | None = None

    def brought(self, form: Form, words: Collection[str]) -> Pool:
        """The same in another form; of the source and the target what `words` name."""

        def bring(domain: Domain | None) -> Domain | None:
            return None if domain is None else form(domain)

        everything = form(self.everything)
        return Pool(
            everything,
            everything if self.asked is self.everything else form(self.asked),
            bring(self.set_aside),
            bring(self.source) if "source" in words else None,
            bring(self.target) if "target" in words else None,
        )

    def learnt_from(self) -> Mapping[str, Domain]:
        """What methods can learn from before all episodes, by words of `fit`."""
        source = self.set_aside if self.source is None else self.source
        inputs = {"source": source, "auxiliary": self.set_aside, "target": self.target}
        return {word: value for word, value in inputs.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Given:
    """Where samples come from, which shares of classes and samples no episode holds, and how hard what is asked is."""

    data: Any
    source: Any
    unknown_data: Any
    base: float
    share: float
    hard: str
    severity: int
    on_error: str


@dataclasses.dataclass(frozen=True)
class SamplesRead:
    """What was read, and the episodes.

    Attributes
    ----------
    raw : Pool
        All samples, as they were read.
    domain, novel : Domain
        The data, and of these what episodes are drawn from.
    spare : Domain, optional
        Samples of the classes of `novel` that no episode holds.
    unknown : list of int, optional
        Labels of the classes that alone are unknown in episodes.
    drawn : list of Episode
    lost : list of (role, place, reason)
        Samples that could not be read.
    given : Given
        The same that was asked for, as it was read.
    """

    raw: Pool
    domain: Domain
    novel: Domain
    spare: Domain | None
    unknown: list[int] | None
    drawn: list[Episode]
    lost: list[tuple[str, str, str]]
    given: Given


def samples_read(
    given: Given, protocol: Episodes, makers: Makers, there: Collection[str], say: Callable[[str], None]
) -> SamplesRead:
    """Read all samples and part them; `ValueError`, before any encoding, where methods or episodes cannot have them."""
    lost: list[tuple[str, str, str]] = []
    domain = _labelled_samples(given.data, given.on_error, "data", lost)
    given = dataclasses.replace(given, data=domain)
    check_kind(makers, domain)
    if given.hard:
        lazy_pictures("data", domain)
    set_aside, novel = disjoint_classes(domain, given.base, protocol.seed) if given.base else (None, domain)
    spare, novel = disjoint_samples(novel, given.share, protocol.seed) if given.share else (None, novel)
    everything, unknown = novel, None
    if given.unknown_data is not None:
        outside = _labelled_samples(given.unknown_data, given.on_error, "unknown_data", lost)
        given = dataclasses.replace(given, unknown_data=outside)
        everything, unknown = _with_outsiders(novel, outside, domain)
    drawn = _drawn(protocol, everything, unknown, given, set_aside)
    source = None
    if given.source is not None:
        source = _labelled_samples(given.source, given.on_error, "source", lost)
        given = dataclasses.replace(given, source=source)
        source = _without(source, everything, say)
        _check_alike("source", source, novel)
        check_read(makers)
    asked = harder(everything, given.hard, given.severity, random_state=protocol.seed) if given.hard else everything
    target = without_labels([spare, None if source is None else set_aside], domain.name)
    raw = Pool(everything, asked, set_aside, source, target)
    check_enough(makers, raw, there)
    return SamplesRead(raw, domain, novel, spare, unknown, drawn, lost, given)


def without_damaged(samples: SamplesRead, protocol: Episodes, makers: Makers, there: Collection[str]) -> SamplesRead:
    """The same of clips that can be decoded alone, which is looked at when nothing else is refused any more."""
    given = samples.given
    parts = {"data": given.data, "source": given.source, "unknown_data": given.unknown_data}
    on_error: Any = given.on_error
    whole: dict[str, Any] = {role: None if part is None else undamaged(part, on_error) for role, part in parts.items()}
    if all(whole[role] is part for role, part in parts.items()):
        return samples
    return samples_read(dataclasses.replace(given, **whole), protocol, makers, there, lambda line: None)


def _labelled_samples(data: Any, on_error: str, role: str, lost: list[tuple[str, str, str]]) -> Domain:
    """Labelled samples; those that could not be read are added to `lost`."""
    from unseen.data.loaders import samples_of

    try:
        domain = samples_of(data, on_error=on_error)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{role}: {error}") from error
    if domain.task != "class" or domain.y is None or domain.classes is None:
        raise ValueError(f"{role} must have a class for each sample, such as class folders; {domain.name} has none")
    lost += unread(role, domain)
    return domain.take(domain.labeled).replace(skipped=domain.skipped)


def _drawn(
    protocol: Episodes, domain: Domain, pool: Sequence[int] | None, given: Given, set_aside: Domain | None
) -> list[Episode]:
    """The episodes; why there are none says that some classes or samples are kept out of them."""
    try:
        return protocol.draw(domain.labels, pool=pool)
    except ValueError as error:
        why = str(error)
        if given.share and "samples of each" in why:
            why += f"; a share of {given.share:g} of each class is in no episode (unlabelled)"
        if set_aside is not None and set_aside.classes is not None:
            why += f"; {len(set_aside.classes)} classes are set aside, a share of {given.base:g} (base)"
        raise ValueError(why) from error


def _with_outsiders(novel: Domain, outside: Domain, data: Domain) -> tuple[Domain, list[int]]:
    """The samples with those of further classes, and the labels of these; no class may be in both."""
    assert novel.classes is not None
    assert outside.classes is not None
    assert data.classes is not None
    both = sorted(set(data.classes.names) & set(outside.classes.take(np.unique(outside.labels)).names))
    if both:
        raise ValueError(
            f"unknown_data must hold no class of data; both have {', '.join(map(repr, both[:3]))}"
            f"{f' and {len(both) - 3} more' if len(both) > 3 else ''}: a class cannot be known and unknown at once"
        )
    _check_alike("unknown_data", outside, novel)
    space = join(novel.classes, outside.classes)
    y = realign(outside.labels, outside.classes, space)
    parts = [novel.replace(classes=space), outside.replace(y=y, classes=space)]
    return concatenate([part.replace(columns={}) for part in parts], name=novel.name), np.unique(y).tolist()


def _check_alike(word: str, other: Domain, data: Domain) -> None:
    """Raise `ValueError` if samples are of another kind than those of data, or have other features."""
    if other.kind != data.kind:
        raise ValueError(f"{word} must be of kind {data.kind!r}, as data; got {other.kind!r}")
    if data.kind == "features" and other.n_features != data.n_features:
        raise ValueError(f"{word} must have {data.n_features} features, as data; got {other.n_features}")


def _without(source: Domain, asked: Domain, say: Callable[[str], None]) -> Domain:
    """A source without the classes that are asked about."""
    assert source.classes is not None
    assert asked.classes is not None
    known = np.isin(np.array(source.classes.names), asked.classes.take(np.unique(asked.labels)).names)
    kept = source.take(~known[source.labels])
    if known.any():
        say(f"{int(known.sum())} classes of {source.name} are those of episodes, and left out of the source")
    if not len(kept):
        raise ValueError(f"source must have classes that no episode is of; all of {source.name} are")
    return kept


def without_labels(parts: Sequence[Domain | None], name: str) -> Domain | None:
    """The samples of several parts, without labels; None if there are none."""
    there = [part.unlabeled(()) for part in parts if part is not None and len(part)]
    return concatenate(there, name=name).replace(columns={}) if there else None


def clips_for(tower: Any, side: int | None) -> Form:
    """What makes clips ready for networks: as the encoder takes pictures, or squares of so many pixels."""
    if side is None:
        return functools.partial(whole_clips, encoder=tower)  # which stay in memory, cut
    return functools.partial(_squares, side=side)


def _squares(domain: Domain, side: int) -> Domain:
    if not isinstance(domain.x, Lazy):  # clips may be of unlike lengths
        domain = domain.replace(x=Lazy(range(len(domain)), domain.x.__getitem__))
    return held(ready(domain, (side, side), mean=(0.5,) * 3, std=(0.5,) * 3))


def held(clips: Domain) -> Domain:
    """Clips in memory, if there is room for them all: those of episodes are asked for hundreds of times."""
    first = torch.as_tensor(clips.x[0])
    if first.numel() * first.element_size() * len(clips) > ROOM:
        return clips
    read = [torch.as_tensor(clips.x[i]) for i in track(range(len(clips)), f"reading the clips of {clips.name}")]
    if any(clip.shape != first.shape for clip in read):  # of unlike lengths: methods cut them
        return clips
    return clips.replace(x=torch.stack(read))


def told_of(fit: Fit, pool: Pool) -> str:
    """What a method has learnt from before all episodes, in words; empty if from nothing."""
    if fit.learnt is None:
        return ""
    parts = []
    for word, domain in fit.given.items():
        n = len(domain)
        if word == "target":
            parts.append(f"{n} of {domain.name} without labels, which no episode holds")
        elif word == "auxiliary" or pool.source is None:
            parts.append(f"{n} labelled samples of classes that are set aside")
        else:
            parts.append(f"{n} labelled samples of {domain.name} ({len(set(domain.labels.tolist()))} classes)")
    return ", and ".join(dict.fromkeys(parts))


def unread(role: str, domain: Domain) -> list[tuple[str, str, str]]:
    """Role, place and reason of each sample that could not be read, without the folders of this machine."""
    return [
        (role, PurePath(skipped.where).name if PurePath(skipped.where).is_absolute() else skipped.where, skipped.why)
        for skipped in domain.skipped
    ]


def share_without_labels(unlabelled: float | None, makers: Makers, there: Collection[str], *, others: bool) -> float:
    """The share of samples that no episode holds; `others` says whether there are more without a label."""
    if unlabelled is not None and not 0 <= unlabelled < 1:
        raise ValueError(f"unlabelled must lie in [0, 1); got {unlabelled}")
    reading = [name for name, make in makers.items() if "target" in inputs_of(make(), there)]
    if reading and unlabelled == 0 and not others:
        raise ValueError(
            f"unlabelled must be above 0 for {reading[0]}, which learns from samples that no episode holds; got 0"
        )
    return (UNLABELLED if reading else 0.0) if unlabelled is None else unlabelled


def words_learnt_from(makers: Makers, there: Collection[str]) -> set[str]:
    """The words of `fit` that some method learns from before all episodes."""
    return {word for make in makers.values() for word in inputs_of(make(), there)}


def check_enough(makers: Makers, pool: Pool, there: Collection[str]) -> None:
    """Raise `ValueError` if a method that reads clips has no unlabelled ones, or a source of one class."""
    inputs = pool.learnt_from()
    for name, make in makers.items():
        method = make()
        words = inputs_of(method, there) if method.card.reads_clips else ()
        if "target" in words and "target" not in inputs:
            raise ValueError(f"unlabelled must be so large that it leaves {name} a sample; no class has so many")
        classes = len(np.unique(inputs["source"].labels)) if "source" in words else 2
        if classes < 2:
            raise ValueError(f"source must have two classes at least that no episode is of, for {name}; got {classes}")


def learnt_fit(
    name: str, make: Callable[[], Method], pool: Pool, copies: Domain | None, say: Callable[[str], None]
) -> Fit:
    """What fits a method to an episode; one that learns before all episodes says from what."""
    there = pool.learnt_from()
    method = make()
    if method.card.reads_clips and inputs_of(method, there):
        size = " x ".join(str(n) for n in np.shape(pool.everything.x[0])[2:])
        others = ", ".join(f"{name}:{preset}" for preset in sorted(method.card.on_request))
        say(
            f"{name} learns once, before all episodes, from clips of {size} pixels"
            f"{f'; its default is of the size of its paper, others are {others}' if others and ':' not in name else ''}"
        )
    fit = fitted(make, there, copies)
    if learnt_from := told_of(fit, pool):
        say(f"{name} has learnt from {learnt_from}: {fit.seconds:.0f} s")
    return fit
