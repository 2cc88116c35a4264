"""Translated captions: a corpus in several languages, kept as it grows, with who translated what and what was dropped.

A translator is any function from texts, the language they are in and the language that is asked for to as many texts. A
program of the system does as well (`Command`, `Apertium`).
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks.base import text_array
from unseen.files import about, reads
from unseen.runtime import track

Translator = Callable[[Sequence[str], str, str], Sequence[str]]
"""From texts, their language and another one, to their translations in the same order."""
CACHE = "translations.jsonl"
"""File in the folder of a corpus: a line for every translation that was ever made, dropped ones too."""
AT_ONCE = 64
"""Texts that a translator is given together; what was translated is kept after each such part."""
LANGUAGE, TRANSLATED_BY, TRANSLATION_OF = "language", "translated_by", "translation_of"
"""Columns of pairs: the language of a caption, who translated it ("" of what people wrote), and what from."""

# -- the quality guard -------------------------------------------------------------------------------------

SCRIPTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("ru", "uk", "bg", "mk", "be", "sr", "kk", "mn"), ("CYRILLIC",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("ARABIC",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("DEVANAGARI",)),
    "zh": ("CJK",), "ja": ("CJK", "HIRAGANA", "KATAKANA"), "ko": ("HANGUL", "CJK"), "el": ("GREEK",),
    "he": ("HEBREW",), "bn": ("BENGALI",), "ta": ("TAMIL",), "te": ("TELUGU",), "th": ("THAI",), "ka": ("GEORGIAN",),
    "hy": ("ARMENIAN",), "am": ("ETHIOPIC",), "my": ("MYANMAR",), "km": ("KHMER",), "si": ("SINHALA",),
}  # fmt: skip
"""Scripts of languages, as Unicode's names of letters begin; all others are written in Latin letters."""
TIMES, SHORT = 3, 24
"""A translation has at most so many times the signs of its source; up to so many signs none is too long."""
REASONS = ("empty", "same as the source", "wrong script", "too long", "does not translate back")


def fault_of(source: str, translation: str, language: str) -> str:
    """Why a translation cannot be used, one of `REASONS`; empty if nothing is found.

    Names may stay as they are: a source whose every word with letters begins with a capital, or that has no letters.

    Parameters
    ----------
    source, translation : str
    language : str
        That was asked for, such as ``ko`` or ``pt-br``.
    """
    text = translation.strip()
    if not text:
        return "empty"
    if not _is_name(source):
        if text == source.strip():
            return "same as the source"
        letters = [letter for letter in text if letter.isalpha()]
        if not letters or 2 * sum(map(_written_in(language), letters)) < len(letters):
            return "wrong script"
    if len(text) > max(TIMES * len(source.strip()), SHORT):
        return "too long"
    return ""


def _is_name(text: str) -> bool:
    words = [word for word in text.split() if any(letter.isalpha() for letter in word)]
    return all(next(letter for letter in word if letter.isalpha()).isupper() for word in words)


def _written_in(language: str) -> Callable[[str], bool]:
    scripts = SCRIPTS.get(language.replace("_", "-").split("-")[0].lower(), ("LATIN", "FULLWIDTH LATIN"))
    return lambda letter: unicodedata.name(letter, "").startswith(scripts)


def agreement(text: str, back: str) -> float:
    """How alike a text and what comes back of its translation are, in [0, 1]: Dice of their runs of three letters."""
    first, second = (collections.Counter(_runs(side)) for side in (text, back))
    shared = sum((first & second).values())
    return 2 * shared / max(sum(first.values()) + sum(second.values()), 1)


def _runs(text: str) -> list[str]:
    padded = f"  {' '.join(text.casefold().split())} "
    return [padded[i : i + 3] for i in range(len(padded) - 2)]


# -- the corpus --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Translation:
    """A caption in another language.

    Attributes
    ----------
    caption : int
        Which of the captions it translates.
    language, text, by : str
        `by` is who translated it.
    agreement : float or None
        With what came back of it, if that was asked for.
    fault : str
        Why it is dropped; empty if it is kept.
    """

    caption: int
    language: str
    text: str
    by: str
    agreement: float | None = None
    fault: str = ""


class TranslatedCorpus:
    """Captions with their translations, which are made once, kept in a folder, and go on where they were interrupted.

    Parameters
    ----------
    captions : sequence of str
    translator : callable (texts, source, language) -> texts
        Its attribute `name`, or else its own name, stands for it in the folder and in the columns of `pairs`.
    languages : sequence of str
        Codes to translate into; the source is left out.
    source : str
        The language of the captions.
    folder : path, optional
        Where translations are kept: every text once for a translator and a language, whoever asks for it again.
    least_agreement : float in [0, 1], optional
        Translate back, and drop what agrees less with its source.

    Attributes
    ----------
    made : int
        Texts that the translator was asked for; all others were kept from before.
    """

    def __init__(
        self,
        captions: Sequence[str],
        translator: Translator,
        languages: Sequence[str],
        *,
        source: str = "en",
        folder: str | os.PathLike[str] | None = None,
        least_agreement: float | None = None,
    ) -> None:
        if isinstance(captions, str) or not all(isinstance(text, str) and text.strip() for text in captions):
            raise ValueError("captions must be texts that are not empty, in a list")
        if not callable(translator):
            raise TypeError(f"translator must be a function of texts and two languages; got {translator!r}")
        if least_agreement is not None and not 0 <= least_agreement <= 1:
            raise ValueError(f"least_agreement must lie in [0, 1]; got {least_agreement!r}")
        self.captions, self.translator, self.source = list(captions), translator, source
        self.languages = tuple(dict.fromkeys(language for language in languages if language != source))
        if not self.languages:
            raise ValueError(f"languages must name one other than the source, {source!r}; got {list(languages)}")
        self.least_agreement = least_agreement
        self.by = str(getattr(translator, "name", None) or getattr(translator, "__name__", type(translator).__name__))
        self.file = None if folder is None else Path(folder) / CACHE
        self.made = 0
        self._kept: dict[str, str] = {}
        self.translations: tuple[Translation, ...] = ()

    def translate(self) -> TranslatedCorpus:
        """Translate what is lacking, and look at all of it; what was done before an error stays done.

        Raises
        ------
        ValueError
            If the translator does not give a text for each text.
        """
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        self._kept = {} if self.file is None else kept_in(self.file)
        translations = []
        for language in self.languages:
            there = self._in(language, self.captions, self.source)
            backs: list[str] | None = None
            if self.least_agreement is not None:
                backs = self._in(self.source, [text or "-" for text in there], language)
            for i, (caption, text) in enumerate(zip(self.captions, there)):
                score = None if backs is None else agreement(caption, backs[i])
                fault = fault_of(caption, text, language)
                if not fault and score is not None and score < (self.least_agreement or 0):
                    fault = "does not translate back"
                translations.append(Translation(i, language, text.strip(), self.by, score, fault))
        self.translations = tuple(translations)
        return self

    def counts(self) -> dict[str, dict[str, int]]:
        """Of every language how many translations are kept, and how many were dropped for which reason."""
        counts = {language: {"kept": 0, **dict.fromkeys(REASONS, 0)} for language in self.languages}
        for translation in self.translations:
            counts[translation.language][translation.fault or "kept"] += 1
        return {language: {key: n for key, n in of.items() if n or key == "kept"} for language, of in counts.items()}

    def kept(self, language: str | None = None) -> Iterator[Translation]:
        """The translations that can be used, of one language or of all."""
        return (
            translation
            for translation in self.translations
            if not translation.fault and language in (None, translation.language)
        )

    def pairs(self, pairs: Pairs) -> Pairs:
        """Pairs of pictures and these captions, followed by the same pictures with each translation that is kept.

        See `with_translations`.
        """
        if [str(text) for text in pairs.right.x] != self.captions:
            raise ValueError("pairs must hold the captions of this corpus on their right side, in its order")
        column = pairs.columns.get(LANGUAGE, np.full(len(pairs), self.source))
        pairs = pairs.replace(columns={**pairs.columns, LANGUAGE: column})
        return with_translations(pairs, [(np.arange(len(pairs)), self)])

    # -- one language ----------------------------------------------------------------------------------------

    def _in(self, language: str, texts: Sequence[str], source: str) -> list[str]:
        """Texts in a language, each of which is translated once."""
        lacking = [text for text in dict.fromkeys(texts) if self._key(text, source, language) not in self._kept]
        parts = [lacking[i : i + AT_ONCE] for i in range(0, len(lacking), AT_ONCE)]
        for part in track(parts, f"translating into {language}"):
            translated = self.translator(part, source, language)
            if (
                isinstance(translated, str)
                or len(translated) != len(part)
                or not all(isinstance(text, str) for text in translated)
            ):
                raise ValueError(f"translator must give a text for each of {len(part)}; got {translated!r:.80}")
            self.made += len(part)
            self._keep(part, translated, source, language)
        return [self._kept[self._key(text, source, language)] for text in texts]

    def _keep(self, texts: Sequence[str], made: Sequence[str], source: str, language: str) -> None:
        lines = []
        for text, translation in zip(texts, made):
            key = self._key(text, source, language)
            self._kept[key] = translation
            record = {"key": key, "from": source, "to": language, "by": self.by, "text": text, "is": translation}
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
        if self.file is not None:
            with about(self.file), self.file.open("a", encoding="utf-8") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(file.fileno())

    def _key(self, text: str, source: str, language: str) -> str:
        return hashlib.sha256("\0".join([self.by, source, language, text]).encode()).hexdigest()[:32]


def with_translations(pairs: Pairs, corpora: Sequence[tuple[NDArray[np.integer], TranslatedCorpus]]) -> Pairs:
    """Pairs of pictures and captions, followed by the same pictures with each translation that is kept.

    The columns `language`, `translated_by` and `translation_of` (the id of a pair) say where a caption is from.

    Parameters
    ----------
    pairs : Pairs
        With captions on the right side and a column `language`.
    corpora : sequence of (array, TranslatedCorpus)
        Translations, each with the rows of the pairs whose captions it holds.
    """
    assert pairs.ids is not None
    more = [(int(rows[translation.caption]), translation) for rows, corpus in corpora for translation in corpus.kept()]
    n = len(pairs)
    rows = np.concatenate([np.arange(n), np.array([row for row, _ in more], dtype=np.int64)])
    ids = np.array([*pairs.ids.tolist(), *(f"{pairs.ids[row]}/{translation.language}" for row, translation in more)])
    texts = text_array([*pairs.right.x, *(translation.text for _, translation in more)])
    columns: dict[str, Any] = {
        **{key: column[rows] for key, column in pairs.columns.items()},
        LANGUAGE: np.array([*pairs.columns[LANGUAGE].tolist(), *(translation.language for _, translation in more)]),
        TRANSLATED_BY: np.array([*[""] * n, *(translation.by for _, translation in more)]),
        TRANSLATION_OF: np.array([*[""] * n, *(pairs.ids[row] for row, _ in more)]),
    }
    right = Domain(x=texts, kind="text", ids=ids, name=pairs.right.name, credits=pairs.right.credits)
    return Pairs(repeated(pairs.left, rows, ids), right, ids=ids, columns=columns, name=pairs.name)


def repeated(domain: Domain, rows: NDArray[np.integer], ids: NDArray[np.str_]) -> Domain:
    """Samples at rows that may stand there several times, under ids of their own, without labels."""
    columns = {key: column[rows] for key, column in domain.columns.items()}
    return domain.replace(x=domain.x[rows], y=None, classes=None, ids=ids, columns=columns)


@reads("a file of translations", "remove it, and they are made anew")
def kept_in(file: Path) -> dict[str, str]:
    """Translations that a file holds, by their keys; none if it is not there.

    A last line that a kill cut short is taken away, so that the next one stands alone.
    """
    if not file.exists():
        return {}
    whole, _, cut = file.read_bytes().rpartition(b"\n")
    if cut:
        os.truncate(file, file.stat().st_size - len(cut))
    kept = {}
    for i, line in enumerate(whole.split(b"\n") if whole else ()):
        try:
            record = json.loads(line)
            kept[str(record["key"])] = str(record["is"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{file}: line {i + 1} is no translation that was kept here; remove it") from error
    return kept


# -- programs that translate -------------------------------------------------------------------------------

THREE: Mapping[str, str] = {
    "en": "eng", "pt": "por", "es": "spa", "fr": "fra", "de": "deu", "nl": "nld", "it": "ita", "zh": "zho",
    "ko": "kor", "ru": "rus", "ca": "cat", "gl": "glg", "ro": "ron", "oc": "oci", "eu": "eus", "eo": "epo",
    "sv": "swe", "da": "dan", "nb": "nob", "nn": "nno", "is": "isl", "cy": "cym", "br": "bre", "mk": "mkd",
    "bg": "bul", "sr": "srp", "hr": "hbs", "uk": "ukr", "be": "bel", "pl": "pol", "kk": "kaz", "tt": "tat",
    "ur": "urd", "hi": "hin", "ar": "ara", "mt": "mlt", "af": "afr", "id": "ind", "ms": "msa", "sl": "slv",
}  # fmt: skip
"""Codes of three letters of languages, by those of two."""


class Command:
    """A program as a translator: it reads texts from standard input, a line each, and writes as many lines.

    Parameters
    ----------
    command : str or sequence of str
        With the places {source} and {target} for codes of two letters, {source3} and {target3} of three, such as
        ``"apertium -u {source3}-{target3}"``. No shell reads it.
    name : str, optional
        What stands for it in the columns of a corpus; the command if absent.
    between : str
        What stands between two texts.
    seconds : float
        How long it may take for `AT_ONCE` texts.
    """

    def __init__(
        self, command: str | Sequence[str], *, name: str | None = None, between: str = "\n", seconds: float = 600.0
    ) -> None:
        self.command = shlex.split(command) if isinstance(command, str) else list(command)
        if not self.command:
            raise ValueError("translator: the command is empty")
        if not any("{target" in part for part in self.command):
            raise ValueError(
                f"translator: the command must have a place for the language, {{target}} or {{target3}}; got "
                f"{shlex.join(self.command)!r}"
            )
        if shutil.which(self.command[0]) is None:
            raise ValueError(f"translator: there is no program {self.command[0]!r} that can be run; install it")
        self.name = name or shlex.join(self.command)
        self.between, self.seconds = between, seconds

    def __call__(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """The translations; texts whose lines do not come back one by one are sent alone."""
        lines = self._run(texts, source, target)
        if len(lines) != len(texts):
            lines = [self.between.join(self._run([text], source, target)) for text in texts]
        return [" ".join(text.split()) for text in lines]

    def _run(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        places = {
            "{source}": source, "{target}": target,
            "{source3}": THREE.get(source, source), "{target3}": THREE.get(target, target),
        }  # fmt: skip
        argv = list(self.command)
        for place, value in places.items():
            argv = [part.replace(place, value) for part in argv]
        sent = self.between.join(" ".join(text.split()) for text in texts) + self.between
        try:
            done = subprocess.run(  # noqa: S603 - the user's own program, without a shell
                argv, input=sent, capture_output=True, encoding="utf-8", timeout=self.seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"translator: {shlex.join(argv)} took more than {self.seconds:g} s") from error
        if done.returncode:
            why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise ValueError(f"translator: {shlex.join(argv)} failed: {why[:300]}")
        return done.stdout.rstrip("\n").split(self.between)


class Apertium(Command):
    """Apertium, rules and dictionaries without a network: Debian's `apertium` and a package for each pair of languages.

    Texts are paragraphs of their own, so that words do not move from one into the next; words that it does not know
    stay as they are.
    """

    def __init__(self) -> None:
        if shutil.which("apertium") is None:
            raise ValueError(
                "translator: apertium is not installed: apt-get install apertium apertium-eng-spa (and a package for "
                "each other pair of languages)"
            )
        super().__init__(["apertium", "-u", "{source3}-{target3}"], name="apertium", between="\n\n")


def translator_of(name: str) -> Translator:
    """The translator of a word of the command line: ``apertium``, or a command with places for the languages."""
    return Apertium() if name == "apertium" else Command(name)
