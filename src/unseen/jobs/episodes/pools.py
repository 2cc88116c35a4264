"""The samples of a run as methods read them: features, or clips as networks take them; and what no episode holds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from unseen.data.domain import Domain, Lazy, concatenate
from unseen.data.segments import ready
from unseen.encoders.whole_clips import whole_clips
from unseen.jobs.episodes.fits import Fit, fitted, inputs_of
from unseen.methods.base import Method
from unseen.runtime import track

UNLABELLED = 0.5
"""Share of the samples of each class that no episode holds, where a method learns from unlabelled ones."""
ROOM = 2 << 30
"""Bytes of ready clips that are held in memory; more are read whenever they are asked for."""

Makers = Mapping[str, Callable[[], Method]]


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

    def brought(self, form: Callable[[Domain], Domain], words: Collection[str]) -> Pool:
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
        given = {"source": source, "auxiliary": self.set_aside, "target": self.target}
        return {word: value for word, value in given.items() if value is not None}


def without_labels(parts: Sequence[Domain | None], name: str) -> Domain | None:
    """The samples of several parts, without labels; None if there are none."""
    there = [part.unlabeled(()) for part in parts if part is not None and len(part)]
    return concatenate(there, name=name).replace(columns={}) if there else None


def clips_for(tower: Any, side: int | None) -> Callable[[Domain], Domain]:
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
        (role, PurePath(one.where).name if PurePath(one.where).is_absolute() else one.where, one.why)
        for one in domain.skipped
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
    given = pool.learnt_from()
    for name, make in makers.items():
        method = make()
        words = inputs_of(method, there) if method.card.reads_clips else ()
        if "target" in words and "target" not in given:
            raise ValueError(f"unlabelled must be so large that it leaves {name} a sample; no class has so many")
        classes = len(np.unique(given["source"].labels)) if "source" in words else 2
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
    if what := told_of(fit, pool):
        say(f"{name} has learnt from {what}: {fit.seconds:.0f} s")
    return fit
