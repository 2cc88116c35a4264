"""What a run of the pipeline is told, and which of it each stage depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from unseen.curation.fetch import Politeness
from unseen.methods.curation.laion.accept import LEAST_BYTES, Acceptance
from unseen.methods.curation.laion.language import RELIABLE
from unseen.methods.curation.laion.safety import Rule

STAGES = ("parse", "fetch", "embed", "select")
"""What runs by itself, in this order."""


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
    near : float in (0, 1], optional
        Cosine of two pictures from which their pixels are compared; None finds equal files only.
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
    near: float | None = 0.9
    threshold: str | float | Mapping[str, float] | None = None
    target_keep: float | Mapping[str, float] | None = None
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"shard_size must be at least 1; got {self.shard_size}")
        if self.near is not None and not 0 < self.near <= 1:
            raise ValueError(f"near must lie in (0, 1]; got {self.near}")
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

    def digest(self, stage: str, *more: Any) -> str:
        """What the files of a stage depend on, as a hash."""
        told: dict[str, Any] = {
            "parse": [self.shard_size, self.languages, self.reliable, self.bloom_error, self.seed],
            "fetch": [dataclasses.asdict(self.polite), dataclasses.asdict(self.acceptance)],
            "embed": [],
        }
        return hashlib.sha256(json.dumps([told[stage], *more], sort_keys=True).encode()).hexdigest()
