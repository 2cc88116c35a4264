"""Step 4 of LAION-5B: which language a caption is in, and which of three streams that routes the pair to."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

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
    """Languages by py3langid, 97 of them, offline; `ImportError` if it is missing.

    A few words alone could be of many languages ("a blue triangle" is English with .23 and Danish with .13), so how
    frequent each is among the texts is estimated with them, by expectation maximisation: of captions that are nearly
    all English, a short one is English, too. A text that has next to nothing of a language stays uncertain.
    """
    identifier = _identifier()
    names = identifier.labels
    some = _probabilities(identifier, texts[:: -(-len(texts) // _SOME) or 1])
    frequency = _frequencies(some)
    answers: list[tuple[str, float]] = []
    for start in range(0, len(texts), _SOME):
        few = len(some) == len(texts)
        alone = some if few else _probabilities(identifier, texts[start : start + _SOME])
        among = _among(alone, frequency)
        best = among.argmax(axis=1)
        rows = np.arange(len(best))
        sure = np.where(alone[rows, best] >= _LEAST, among[rows, best], 0.0)
        answers += [(_NONE.get(names[k], names[k]), float(p)) for k, p in zip(best.tolist(), sure.tolist())]
    return answers


_SOME = 10_000
"""Texts of which the frequencies are estimated, and that are asked for at once."""
_LEAST = 0.05
"""Probability of a language by a text alone below which no frequency makes it likely; of 97 equal ones each has .01."""
_NONE = {"zxx": ""}


def _probabilities(identifier: Any, texts: Sequence[str]) -> NDArray[np.float64]:
    """What each text alone says of every language, (n, 97)."""
    probabilities = np.empty((len(texts), len(identifier.labels)))
    for row, text in zip(probabilities, texts):
        ranked = dict(identifier.rank(text))
        row[:] = [ranked[name] for name in identifier.labels]
    return probabilities


def _frequencies(alone: NDArray[np.float64]) -> NDArray[np.float64]:
    """How frequent every language is, (97,); one more text of each is assumed, so few texts say little."""
    frequency = np.full(alone.shape[1], 1 / alone.shape[1])
    for _ in range(30):
        counts = _among(alone, frequency).sum(axis=0) + 1
        frequency = counts / counts.sum()
    return frequency


def _among(alone: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of the languages of texts among others with these frequencies, (n, 97)."""
    joint = alone * frequency
    return joint / joint.sum(axis=1, keepdims=True)


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
