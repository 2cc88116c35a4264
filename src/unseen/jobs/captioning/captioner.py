"""A fitted captioner with its space of texts and sounds: it reads files, is saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.domain import Skipped
from unseen.data.rows import unit_rows
from unseen.data.sounds import LONGEST, Sound, audible, read_sounds, resampled, wav_bytes, windows
from unseen.data.typing import FloatArray
from unseen.encoders.sound import ClapSpace, SmallSpace, clap
from unseen.files import loads, read_json, sentence
from unseen.methods.sound_captioners import SoundCaptioner
from unseen.nn.state import load_state, save_state, write_folder
from unseen.runtime import track

ABOUT, METHOD, SPACE = "captioner.json", "method", "space"
FORMAT = 1
PLAYED = 10.0
"""Seconds of a sound that the page plays."""
PLAYED_RATE = 16_000
HOME = 0.99
"""Cosine of a caption with itself, at least, in the space that a captioner was made in; precisions differ."""
EMBEDDED = 40
"""Sounds that the page plays; others are told by name."""


@dataclasses.dataclass(frozen=True)
class Heard:
    """What is said of one sound.

    Attributes
    ----------
    name : str
    seconds : float
        Of the file.
    parts : int
        Of ten seconds, whose mean is captioned.
    silent : int
        Parts that are left out, since there is nothing to hear in them.
    caption : str
    events : tuple of (str, float)
        The nearest sound events with their cosines.
    nearest : str
        The caption of the corpus that lies nearest: what a captioner must be better than.
    keywords : str
        The events in a sentence.
    wave : bytes
        The beginning as a WAV file, empty where the page has enough of them.
    """

    name: str
    seconds: float
    parts: int
    caption: str
    events: tuple[tuple[str, float], ...]
    nearest: str
    keywords: str
    wave: bytes = b""
    silent: int = 0


class Captioner:
    """From files of sounds to captions.

    Parameters
    ----------
    method : SoundCaptioner
        Fitted with the text tower of `space`.
    space : ClapSpace or SmallSpace
    told : mapping
        What is known of its training.
    """

    def __init__(self, method: SoundCaptioner, space: ClapSpace | SmallSpace, facts: Mapping[str, Any]) -> None:
        self.method, self.space, self.facts = method, space, dict(facts)

    @property
    def searches(self) -> bool:
        """Whether the nearest caption is the better answer: the decoder is the small one, trained on few texts."""
        return self.facts.get("decoder") == "small"

    def caption(self, sounds: Sequence[str | os.PathLike[str]], *, longest: float = LONGEST) -> list[str]:
        """Captions of files, "" where a file holds nothing that can be captioned."""
        paths = [Path(sound) for sound in sounds]
        heard, _ = self.hear(paths, [str(i) for i in range(len(paths))], longest=longest)
        captions = {sound.name: sound.caption for sound in heard}
        return [captions.get(str(i), "") for i in range(len(paths))]

    def hear(
        self, paths: Sequence[Path], names: Sequence[str], *, longest: float = LONGEST
    ) -> tuple[list[Heard], tuple[Skipped, ...]]:
        """What is said of each file, and what is left out and why."""
        kept, vectors, skipped = self.vectors(paths, names, longest=longest)
        return self._said(kept, vectors), skipped

    def listen(self, sounds: Sequence[Sound]) -> list[Heard]:
        """What is said of sounds of any rate, none of them silent, which are called by their numbers."""
        rate = self.space.rate
        same_rate = [dataclasses.replace(s, wave=resampled(s.wave, s.rate, rate), rate=rate) for s in sounds]
        kept = [self._heard(str(i), sound, beginning=b"") for i, sound in enumerate(same_rate)]
        return self._said(kept, self.space.encode_audio([sound.wave for sound in same_rate]))

    def _said(self, kept: Sequence[Heard], vectors: FloatArray) -> list[Heard]:
        """Sounds with what is said of their vectors."""
        if not kept:
            return []
        x = torch.as_tensor(vectors)
        captions, nearest, keywords = self.method.caption(x), self.method.nearest(x), self.method.keywords(x)
        rows = zip(kept, captions.tolist(), self.method.events(x), nearest.tolist(), keywords.tolist())
        return [
            dataclasses.replace(sound, caption=text, events=events, nearest=near, keywords=words)
            for sound, text, events, near, words in rows
        ]

    def _heard(self, name: str, sound: Sound, *, beginning: bytes) -> Heard:
        """A sound of which nothing is said yet."""
        parts = len(audible(sound.wave, sound.rate, self.space.seconds))
        silent = len(windows(sound.wave, sound.rate, self.space.seconds)) - parts
        return Heard(name, sound.seconds, parts, "", (), "", "", beginning, silent)

    def vectors(
        self, paths: Sequence[Path], names: Sequence[str], *, longest: float = LONGEST
    ) -> tuple[list[Heard], FloatArray, tuple[Skipped, ...]]:
        """Sounds that can be captioned, still without a caption, their vectors (n, d), and what is left out."""
        kept: list[Heard] = []
        vectors: list[FloatArray] = []
        skipped: list[Skipped] = []
        read = read_sounds(track(list(paths), "sounds"), self.space.rate, longest=longest)
        for name, (_, sound, why) in zip(names, read, strict=True):
            if sound is None:
                skipped.append(Skipped(name, why))
                continue
            vectors.append(self.space.encode_audio([sound.wave])[0])
            kept.append(self._heard(name, sound, beginning=_beginning(sound) if len(kept) < EMBEDDED else b""))
        return kept, np.array(vectors, dtype=np.float32), tuple(skipped)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write decoder, prompts, captions and space into a folder, all or nothing."""
        small = isinstance(self.space, SmallSpace)
        about = {"format": FORMAT, "space": "small" if small else self.facts["encoder"], **self.facts}

        def write(place: Path) -> None:
            save_state(place / METHOD, {"method": self.method})
            if isinstance(self.space, SmallSpace):
                self.space.save(place / SPACE)
            (place / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")

        return write_folder(folder, write, also=(SPACE,))

    @classmethod
    @loads("what `unseen caption` wrote")
    def load(cls, folder: str | os.PathLike[str]) -> Captioner:
        """Read what `save` wrote; a CLAP is loaded by its name.

        Raises
        ------
        ValueError
            If the folder holds no captioner, or its CLAP cannot be had.
        """
        place = Path(folder)
        try:
            about = read_json(place / ABOUT)
            if about["format"] != FORMAT:
                raise ValueError(f"it is of format {about['format']!r}")
            method = load_state(place / METHOD)["method"]
            if not isinstance(method, SoundCaptioner) or not isinstance(about["space"], str):
                raise ValueError("it holds another method or no space")
            space: Any = SmallSpace.load(place / SPACE) if about["space"] == "small" else None
        except ImportError:
            raise
        except Exception as error:  # a file that was changed makes whatever it likes of its reader
            reason = sentence(error)
            raise ValueError(f"model: {str(folder)!r} was not written by `unseen caption`: {reason}") from error
        if space is None:
            space = clap(about["space"].removeprefix("clap:"))
        if space.dim != (d := method.support_.shape[1]):
            raise ValueError(f"model: {str(folder)!r} was made in {d} dimensions, not {space.dim}")
        if not _is_home(method, space):
            raise ValueError(
                f"model: {str(folder)!r} was made in another space than what is called {about['space']!r} here: its "
                "captions lie elsewhere; use the encoder that it was made with, or learn again"
            )
        return cls(method, space, {key: value for key, value in about.items() if key not in ("format", "space")})


def _is_home(method: SoundCaptioner, space: ClapSpace | SmallSpace) -> bool:
    """Whether captions that a method learnt from lie in a space where they lay: its name may stand for another one."""
    rows = sorted({0, len(method.captions_) - 1})
    vectors = unit_rows(space.encode_text([str(method.captions_[i]) for i in rows]))
    return bool((np.sum(vectors * method.support_[rows].numpy(), axis=1) > HOME).all())


def _beginning(sound: Sound) -> bytes:
    from unseen.data.sounds import resampled

    wave: NDArray[np.float32] = sound.wave[: round(PLAYED * sound.rate)]
    return wav_bytes(resampled(wave, sound.rate, min(sound.rate, PLAYED_RATE)), min(sound.rate, PLAYED_RATE))
