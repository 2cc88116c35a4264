"""Step 4 of LAION-5B: which language a caption is in, and which of three streams that routes the pair to."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

Stream = Literal["en", "multi", "nolang"]
STREAMS: tuple[Stream, ...] = ("en", "multi", "nolang")
"""English, another language, unreliable or none: 2.3, 2.2 and 1.2 billion pairs of LAION-5B."""

RELIABLE = 0.5
"""Probability from which py3langid is believed. CLD3's 0.7 is on another scale: chosen on captions of emoji names."""


@runtime_checkable
class Detector(Protocol):
    """From captions to (code, probability); a user's own one goes in its place."""

    def __call__(self, texts: Sequence[str]) -> Sequence[tuple[str, float]]:
        """A language code such as ``en`` or ``sr-Latn``, and how sure it is, in [0, 1]."""
        ...


def py3langid(texts: Sequence[str]) -> list[tuple[str, float]]:
    """Languages by py3langid, 97 of them, offline; `ImportError` if it is missing."""
    identifier = _identifier()
    return [_named(identifier.classify(text)) for text in texts]


def _named(classified: tuple[str | None, float]) -> tuple[str, float]:
    return classified[0] or "", float(classified[1])


@functools.cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise ImportError("telling languages needs py3langid: pip install 'unseen[curate]'") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def languages(texts: Sequence[str], detector: Detector = py3langid, *, reliable: float = RELIABLE) -> list[str]:
    """The language of every caption: ``en``, another code, or "" where the detector is not sure.

    Parameters
    ----------
    texts : sequence of str
    detector : Detector
    reliable : float, in [0, 1]
        Probability below which the answer is "".
    """
    if not 0 <= reliable <= 1:
        raise ValueError(f"reliable must lie in [0, 1]; got {reliable}")
    answers = detector(texts)
    if len(answers) != len(texts):
        raise ValueError(f"the detector must answer for each of {len(texts)} texts; it gave {len(answers)} answers")
    return [code.partition("-")[0].lower() if sure >= reliable else "" for code, sure in answers]


def stream_of(language: str | None) -> Stream:
    """``en``, ``multi`` or ``nolang``."""
    return "nolang" if not language else "en" if language == "en" else "multi"
