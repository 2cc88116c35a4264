"""Commands to a home that voices of espeak-ng speak, in two halves: of intents and of voices."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen import encoders
from unseen.claims import worlds
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.rows import unit_rows
from unseen.data.sources.commands import CREDIT as TEMPLATES_CREDIT
from unseen.data.sources.commands import commands
from unseen.data.sources.speech import CREDIT as VOICES_CREDIT
from unseen.data.sources.speech import Voice, spoken

EACH, LEARNT, FOLDS = 96, 72, 3
"""Sentences of an intent, how many of them are learnt from, and parts of a half's intents, one unseen in each case."""
TWICE = 2
"""Voices that say a sentence that is learnt from."""
VOICES = {
    "development": (
        ("en-us", "en-gb-scotland+f2", "en-029+m3", "en-us-nyc+f4", "en-gb+m5", "en-gb-x-rp+f1"),
        ("en-gb-x-gbcwmd+m1", "en-us+f5", "en-gb-x-gbclan+m6"),
    ),
    "confirmation": (
        ("en-gb", "en-us+f3", "en-gb-x-gbclan+m2", "en-gb-x-gbcwmd+f1", "en-us-nyc+m7", "en-029+f4"),
        ("en-gb-scotland+m4", "en-gb-x-rp+f5", "en-us+m1"),
    ),
}
"""Who speaks what is learnt from, and who what is asked about."""
FEATURES = "mel?parts=4"
SAID = ("{}.", "please {}.", "a command: {}.")
LICENCES = (TEMPLATES_CREDIT, VOICES_CREDIT)


class World(NamedTuple):
    """What is learnt from, and speech of new sentences by new voices with seen intents and with unseen ones."""

    learn: Pairs
    """Speech with MiniLM's vectors of its sentence."""
    seen: Pairs
    unseen: Pairs
    """With the column ``label``: a number in their classes."""
    seen_classes: ClassSpace
    unseen_classes: ClassSpace


@functools.cache
def world(split: str, fold: int) -> World:
    """A half's commands with every third intent, from `fold` on, unseen."""
    rows = rows_of(split, fold)
    learn, seen, unseen = (_pairs(split, name == "learn", *rows[name]) for name in ("learn", "seen", "unseen"))
    return World(learn, seen, unseen, *(_classes(rows["intents"][of]) for of in ("seen", "unseen")))


def rows_of(split: str, fold: int) -> dict[str, Any]:
    """Where the speech of a world stands in `_spoken`, with labels, by part; and the names of intents."""
    texts = _of_half(split)
    names = worlds.space_of(texts).names
    intents = sorted(set(texts.labels.tolist()), key=lambda k: worlds.hashed(names[k]))
    unseen = intents[fold::FOLDS]
    seen = [k for k in intents if k not in unseen]
    first = np.arange(len(texts)) % EACH < LEARNT
    rows: dict[str, Any] = {}
    for part, chosen, of in (("learn", first, seen), ("seen", ~first, seen), ("unseen", ~first, unseen)):
        row = _spoken(split, part == "learn").columns["row"]
        said = np.flatnonzero((chosen & np.isin(texts.labels, of))[row])
        rows[part] = said, np.array([of.index(k) for k in texts.labels[row[said]].tolist()])
    return rows | {"intents": {"seen": [names[k] for k in seen], "unseen": [names[k] for k in unseen]}}


def data(split: str) -> Iterable[Domain]:
    """What a half's cases read, for a stamp."""
    return (_spoken(split, True), _spoken(split, False))


@functools.cache
def _of_half(split: str) -> Domain:
    """The commands of every other intent by a hash."""
    texts = commands(EACH)
    every = worlds.space_of(texts).names
    names = sorted(every, key=lambda name: worlds.hashed(f"half {name}"))
    half = names[0 if split == "development" else 1 :: 2]
    return texts.take(np.flatnonzero(np.isin(np.array(every)[texts.labels], half)))


@functools.cache
def _spoken(split: str, learnt: bool) -> Domain:
    """Speech of a half with the columns ``row`` (of its texts) and ``label``; each voice says a share of all."""
    texts = _of_half(split)
    voices = [Voice(name, 150 + 12 * k, 40 + 6 * k) for k, name in enumerate(VOICES[split][0 if learnt else 1])]
    rows = np.flatnonzero((np.arange(len(texts)) % EACH < LEARNT) == learnt)
    parts = spoken(texts.x[rows].tolist(), voices)
    row, voice = np.divmod(np.arange(len(parts)), len(voices))
    chosen = np.flatnonzero((voice - row) % len(voices) < (TWICE if learnt else len(voices)))
    return parts.take(chosen).replace(columns={"row": rows[row[chosen]]})


@functools.cache
def _heard(split: str, learnt: bool) -> Domain:
    return encoders.get(FEATURES).encode(_spoken(split, learnt), precision="fp32")


@functools.cache
def _read(split: str) -> NDArray[np.float32]:
    return worlds.minilm(_of_half(split).x)


def _pairs(split: str, learnt: bool, said: NDArray[np.intp], label: NDArray[np.int64]) -> Pairs:
    """Some speech with vectors of its sentences."""
    speech = _heard(split, learnt).take(said)
    rows = speech.columns["row"]
    return Pairs(speech, Domain(x=_read(split)[rows], name="sentences"), columns={"label": label, "row": rows})


def _classes(names: Sequence[str]) -> ClassSpace:
    """Intents with the mean of MiniLM's vectors of their names in some templates."""
    vectors = [worlds.minilm([template.format(name) for name in names]) for template in SAID]
    return ClassSpace(names=tuple(names), embeddings=unit_rows(np.mean(vectors, axis=0)))
