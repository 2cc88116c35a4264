"""What a run of the pipeline is told, and which of it each stage depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from unseen.curation.fetch import Politeness
from unseen.methods.curation.laion.accept import LEAST_BYTES, Acceptance
from unseen.methods.curation.laion.language import RELIABLE
from unseen.methods.curation.laion.safety import Rule

STAGES = ("parse", "fetch", "embed", "select")
"""What runs by itself, in this order."""


PACE = ("timeout", "at_once", "per_host", "delay", "retries")
"""How fast and how patiently pictures are fetched: a run that was begun may go on with another pace."""


def usual_near(encoder: str) -> float:
    """The cosine from which pixels are compared where none is said, by the encoder's name.

    By lite-clip, which places pictures by the names of what they may show, a copy of half the size lies at 0.9 to its
    picture in half the cases only, and at 0.5 in 98 of 100; the pixels, which decide, take none for another.
    """
    return 0.5 if encoder.partition("?")[0] == "lite-clip" else 0.9


BLURRED = ("lite-clip", "efficientnet-lite0")
"""Encoders by whose cosines copies of a picture and other pictures cannot be told apart."""


def tells_copies(encoder: str) -> bool:
    """Whether cosines of an encoder, by its name, tell a copy of a picture from another picture.

    By lite-clip altered copies lie at .66 to .98 to their picture, the nearest other picture at .87 to .99, and thin
    drawings of two things at 1.
    """
    return encoder.partition("?")[0] not in BLURRED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How pairs are curated.

    Parameters
    ----------
    shard_size : int, >= 1
        Candidates of a shard: what is fetched, embedded and lost together. LAION takes 10,000.
    languages : tuple of str
        Codes such as ``en``, and ``none`` for captions of no language; empty keeps all.
    reliable : float, in [0, 1]
        Probability from which a language is believed.
    bloom_error : float, in (0, 1)
        Share of new URLs that are taken for old ones, once all are in the filter.
    seed : int
        Of the order in which candidates are fetched.
    polite : Politeness
    acceptance : Acceptance
        Without `min_bytes` pictures of a folder may be as small as they are.
    near : "usual" or float in (0, 1], optional
        Cosine of two pictures from which their pixels are compared: "usual" is that of the encoder (`usual_near`),
        None finds equal files only.
    threshold : str, float or mapping, optional
        Least cosine of picture and caption: a preset, a number, or one for each stream; ``laion-5b`` if neither this
        nor `target_keep` is given.
    target_keep : float or mapping, optional
        In place of `threshold`: the share to keep, or one for each stream (``en``, ``multi``, ``nolang``).
    rules : tuple of Rule
        Zero-shot safety.
    """

    shard_size: int = 1000
    languages: tuple[str, ...] = ()
    reliable: float = RELIABLE
    bloom_error: float = 1e-3
    seed: int = 0
    polite: Politeness = dataclasses.field(default_factory=Politeness)
    acceptance: Acceptance = dataclasses.field(default_factory=Acceptance)
    near: float | Literal["usual"] | None = "usual"
    threshold: str | float | Mapping[str, float] | None = None
    target_keep: float | Mapping[str, float] | None = None
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"shard_size must be at least 1; got {self.shard_size}")
        if self.near not in (None, "usual") and (isinstance(self.near, str) or not 0 < self.near <= 1):
            raise ValueError(f'near must be "usual" or lie in (0, 1]; got {self.near!r}')
        if not 0 <= self.reliable <= 1:
            raise ValueError(f"reliable must lie in [0, 1]; got {self.reliable}")
        if not 0 < self.bloom_error < 1:
            raise ValueError(f"bloom_error must lie in (0, 1); got {self.bloom_error}")
        if self.target_keep is None and self.threshold is None:
            object.__setattr__(self, "threshold", "laion-5b")
        from unseen.methods.curation.laion.similarity import thresholds

        import numpy as np  # isort: skip

        thresholds(self.threshold, self.target_keep, np.zeros(0, dtype=np.float32), [])  # says what is wrong

    def for_input(self, *, is_local: bool) -> Settings:
        """With the least bytes of a picture, where they are left open: none for a folder of one's own."""
        if self.acceptance.min_bytes is not None:
            return self
        acceptance = dataclasses.replace(self.acceptance, min_bytes=0 if is_local else LEAST_BYTES)
        return dataclasses.replace(self, acceptance=acceptance)

    def told(self, stage: str) -> dict[str, Any]:
        """The settings that the files of a stage depend on, by their names."""
        if stage == "parse":
            names = ("shard_size", "languages", "reliable", "bloom_error", "seed")
            return {name: getattr(self, name) for name in names}
        if stage == "fetch":
            polite = {name: value for name, value in dataclasses.asdict(self.polite).items() if name not in PACE}
            return {**polite, **dataclasses.asdict(self.acceptance)}
        return {}

    def digest(self, stage: str, *more: Any) -> str:
        """What the files of a stage depend on, as a hash."""
        settings: Any = self.told(stage)
        return _hash([settings if stage == "fetch" else list(settings.values()), *more])

    def digest_with_pace(self) -> str:
        """The digest of the stage ``fetch`` as runs have it that were begun when `PACE` counted."""
        return _hash([[dataclasses.asdict(self.polite), dataclasses.asdict(self.acceptance)]])


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
