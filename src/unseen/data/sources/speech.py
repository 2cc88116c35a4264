"""Speech: sentences spoken by the voices of espeak-ng, a program of others that is asked and not linked (GPL)."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import shutil
import subprocess
from collections.abc import Sequence

import numpy as np

from unseen.data.domain import Domain, Lazy
from unseen.data.sounds import Sound, sound_of
from unseen.files import SourceUnavailable

CREDIT = "Speech synthesized by espeak-ng (GPL-3; a program of its own)"
HOW = "the voices of espeak-ng are no part of this library (GPL): on Debian and Ubuntu `apt-get install espeak-ng`"
SPEEDS, PITCHES = (80, 450), (0, 99)
"""Words a minute and pitches that the program takes."""
SECONDS = 60
"""After which one sentence is given up."""


@dataclasses.dataclass(frozen=True)
class Voice:
    """A voice of espeak-ng: its language, with a variant behind a plus, and how it speaks.

    Parameters
    ----------
    name : str
        Such as ``en-us``, ``en-gb-scotland+f3``, ``en-029+m2``.
    speed : int
        Words a minute, in `SPEEDS`.
    pitch : int
        In `PITCHES`.
    """

    name: str
    speed: int = 175
    pitch: int = 50

    def __post_init__(self) -> None:
        for key, (low, high) in (("speed", SPEEDS), ("pitch", PITCHES)):
            value = getattr(self, key)
            if not low <= value <= high:
                raise ValueError(f"{key} of a voice must lie in [{low}, {high}]; got {value}")

    def __str__(self) -> str:
        return f"{self.name} {self.speed} {self.pitch}"


def spoken(sentences: Sequence[str], voices: Sequence[Voice]) -> Domain:
    """Every sentence by every voice, the voices of a sentence one after another; spoken when it is read.

    The same version of the program says the same bits each time (its option -D: breath is noise). Its waves are not
    kept, as features of them are (`Encoder.encode`): a sentence takes some hundredths of a second.

    Parameters
    ----------
    sentences : sequence of str
    voices : sequence of Voice

    Returns
    -------
    Domain
        Of kind ``audio``, (len(sentences) * len(voices),), with the columns ``sentence`` and ``voice``.

    Raises
    ------
    SourceUnavailable
        If espeak-ng is not installed.
    ValueError
        If it has no such voice, or a sentence is empty.
    """
    empty = [i for i, sentence in enumerate(sentences) if not sentence.strip()]
    if empty or not len(sentences) or not len(voices):
        raise ValueError(f"sentences and voices must not be empty; sentence {empty[0]} is" if empty else
                         f"sentences and voices must not be empty; got {len(sentences)} and {len(voices)}")  # fmt: skip
    version, known = _version(), _voices()
    for voice in voices:
        language, plus, variant = voice.name.partition("+")
        if language not in known["languages"] or (plus and variant not in known["variants"]):
            raise ValueError(
                f"voices: espeak-ng has no {voice.name!r}; its help says how it lists languages and variants"
            )
    items = [(sentence, voice) for sentence in sentences for voice in voices]
    return Domain(
        x=Lazy(items, _said, lambda item: hashlib.sha256(f"{version}\n{item[1]}\n{item[0]}".encode()).hexdigest()),
        kind="audio",
        columns={
            "sentence": np.array([sentence for sentence, _ in items], dtype=np.str_),
            "voice": np.array([str(voice) for _, voice in items], dtype=np.str_),
        },
        name="spoken sentences",
        credits=(CREDIT,),
    )


def _said(item: tuple[str, Voice]) -> Sound:
    sentence, voice = item
    order = ["-D", "-v", voice.name, "-s", str(voice.speed), "-p", str(voice.pitch), "--stdin", "--stdout"]
    return sound_of(_asked(order, sentence))


def _asked(arguments: Sequence[str], given: str = "") -> bytes:
    """What the program writes."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise SourceUnavailable(f"there is no program espeak-ng; {HOW}")
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            [program, *arguments], input=given.encode(), capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"espeak-ng did not end in {SECONDS} seconds") from error
    if done.returncode:
        message = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise OSError(f"espeak-ng failed: {message or 'it says nothing'}")
    return done.stdout


@functools.cache
def _version() -> str:
    """The program's version, without where its data lies."""
    return _asked(["--version"]).decode(errors="replace").partition("Data at")[0].strip()


@functools.cache
def _voices() -> dict[str, frozenset[str]]:
    """Languages and variants; the program itself takes another voice without a word where it lacks one."""
    languages = [line.split()[1] for line in _asked(["--voices"]).decode(errors="replace").splitlines()[1:]]
    words = _asked(["--voices=variant"]).decode(errors="replace").split()
    variants = [word.removeprefix("!v/") for word in words if word.startswith("!v/")]
    return {"languages": frozenset(languages), "variants": frozenset(variants)}
