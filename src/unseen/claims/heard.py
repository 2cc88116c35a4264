"""Sounds that people captioned, simulated by what another of them said: vectors of AudioCaps' sibling captions.

No network of sounds and texts is in a package. A sound's vector is that of one caption of it, moved by an offset that
is the same for all and by noise of its own; its references are the other captions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from unseen.claims import worlds
from unseen.data.caption_words import caption_words
from unseen.data.domain import Domain
from unseen.data.rows import unit_rows
from unseen.data.sources.audiocaps import audiocaps
from unseen.data.typing import FloatArray

OFFSET = 0.5
"""Length of what sets sounds apart from texts, where unit vectors are 1 long."""
NOISE = 0.05
"""Of every coordinate, of 384."""
LEARNT = 2000
"""Captions to learn from."""
BLOCKS = (1, 2, 3)
ASKED = {"development": 100, "confirmation": 300}
"""Sounds of a block that are captioned: of AudioCaps' val in development, of its test in confirmation."""
PAIRED = len(BLOCKS) * ASKED["development"]
"""The sounds of val from this one on are learnt from with their captions, by arms that do. Others, which learn from
`MANY` texts, are asked about them."""
MANY = 12_000
"""Captions that `unseen caption` learns from by default."""
_LIVING = """
man men woman women people person boy girl child children baby kid kids male female adult crowd audience voice speak
speaks speaking talk talks talking speech conversation laugh laughs laughing sing sings singing cry cries crying
shout shouts shouting yell yells yelling cheer cheers cheering applause snore snores snoring sneeze sneezes sneezing
cough burp burps burping breathe breathing whistles dog dogs cat cats bird birds pigeon pigeons duck ducks chicken
rooster goat goats sheep horse horses cow pig frog frogs insect insects bee bees animal animals bark barks barking
chirp chirps chirping meow meows meowing quack quacks growl growls growling howl snake owl crickets puppy whimper
whimpers whimpering oinks oinking baa baas bleat bleats bleating neigh crow crows crowing
"""
LIVING = frozenset(_LIVING.split())
"""Words of people and animals: captions with one are the one half of the topics, all others the other."""

Half = Literal["living", "things"]


@dataclasses.dataclass(frozen=True)
class SiblingSpace:
    """MiniLM's vectors of texts; the vectors of sounds are simulated, and no wave is ever read."""

    name: str = "minilm"

    def encode_text(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors, (n, 384)."""
        return unit_rows(worlds.minilm([str(text) for text in texts]))

    def encode_audio(self, waves: Sequence[np.ndarray]) -> FloatArray:
        """There are no sounds here."""
        raise ValueError("the sounds of this space are simulated: use `Clips.sounds`")


@dataclasses.dataclass(frozen=True)
class Clips:
    """Sounds with five captions each: what one says, (n,), and the others as lines of references, (n,)."""

    said: Any
    references: Any
    halves: Any

    def sounds(self, seed: int, stream: int = 0) -> FloatArray:
        """Simulated vectors of the sounds, (n, 384), of unit length; the noise of every stream is another."""
        return as_sounds(SiblingSpace().encode_text(self.said.tolist()), seed, stream)

    def take(self, index: Any) -> Clips:
        """Some of them."""
        return Clips(self.said[index], self.references[index], self.halves[index])


def as_sounds(e: FloatArray, seed: int, stream: int) -> FloatArray:
    """What is heard instead of vectors of captions, as all claims simulate it."""
    return heard(e, seed, OFFSET, NOISE, stream)


def heard(e: FloatArray, seed: int, offset: float, noise: float, stream: int = 0) -> FloatArray:
    """Vectors of texts as if they were of sounds: one offset for all, and noise."""
    rng = np.random.default_rng([seed, 17, stream])
    direction = np.random.default_rng(5).normal(size=e.shape[1])
    x = e + offset * direction / np.linalg.norm(direction) + noise * rng.normal(size=e.shape)
    return unit_rows(x)


@functools.cache
def clips(split: Literal["val", "test"]) -> Clips:
    """All sounds of a split with five captions, in an order by a hash."""
    domain = audiocaps(split)
    rows: dict[int, list[str]] = {}
    for clip, text in zip(domain.columns["clip"].tolist(), domain.x.tolist()):
        rows.setdefault(clip, []).append(text)
    kept = sorted((texts for texts in rows.values() if len(texts) == 5), key=lambda texts: worlds.hashed(texts[0]))
    return Clips(
        np.array([texts[0] for texts in kept]),
        np.array(["\n".join(texts[1:]) for texts in kept]),
        np.array([_of_most([half_of(text) for text in texts]) for texts in kept]),
    )


def asked(split: str, block: int, half: Half | None = None) -> Clips:
    """One of three blocks of sounds that share none; of those of a half, as many as fit."""
    pool = clips("val").take(slice(0, PAIRED)) if split == "development" else clips("test")
    if half is not None:
        pool = pool.take(np.flatnonzero(pool.halves == half))
    size = min(ASKED[split], len(pool.said) // len(BLOCKS))
    return pool.take(slice((block - 1) * size, block * size))


def asked_of_many(split: str, block: int) -> Clips:
    """A block of sounds for captioners of `MANY` texts: those of development, or such as were never asked about."""
    if split == "development":
        return asked(split, block)
    pool = clips("val").take(slice(PAIRED, None))
    size = len(pool.said) // len(BLOCKS)
    return pool.take(slice((block - 1) * size, block * size))


def paired(half: Half | None = None) -> Clips:
    """Sounds to learn from with their captions, the same in both splits; as many of each half."""
    pool = clips("val").take(slice(PAIRED, None))
    if half is None:
        return pool
    fewest = min(int((pool.halves == name).sum()) for name in ("living", "things"))
    return pool.take(np.flatnonzero(pool.halves == half)[:fewest])


@functools.cache
def corpus(split: str, half: Half | None = None, n: int = LEARNT) -> Domain:
    """Captions to learn from: every second of AudioCaps' training captions by a hash, the others in confirmation."""
    domain = audiocaps("train")
    order = sorted(range(len(domain)), key=lambda i: worlds.hashed(domain.x[i]))
    rows = order[: len(order) // 2] if split == "development" else order[len(order) // 2 :]
    rows = rows[:n]
    if half is not None:
        rows = [i for i in rows if half_of(domain.x[i]) == half]
    return domain.take(rows).replace(name=f"audiocaps {split}")


def half_of(text: str) -> Half:
    """Whether a caption names people or animals, or things alone."""
    return "living" if LIVING & set(caption_words(text)) else "things"


def _of_most(halves: Sequence[Half]) -> Half:
    return "living" if halves.count("living") * 2 > len(halves) else "things"
