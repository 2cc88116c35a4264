"""Words of captions: in lower case, without punctuation, as tools that grade captions compare them."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable

import regex

from unseen.data.words import RUN

_WORD = regex.compile(rf"{RUN}(?:['’-]{RUN})*")
_CLITIC = re.compile(r"(?:n't|'(?:s|re|ve|ll|d|m))$")

_FUNCTION_WORDS = """
a an the this that these those some any each other another one two three several many few more most all both of in
on at by for to from with without into onto over under up down out off as and or but then than so while when where
before after during until again also very it its he she they them their his her we you i there here is are was were
be been being am do does did done has have had having will would can could may might something someone followed
following follow follows along nearby background distance front close away around near through across against
between within continuously repeatedly occasionally briefly loudly softly quietly slowly quickly loud quiet soft
sound sounds noise noises audio heard hear made make makes making
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that name no event: a caption without them is a list of what sounds."""


def caption_words(text: str) -> list[str]:
    """The words of a text in lower case; "dog's" are two, as the Penn Treebank has them, and punctuation is none."""
    words: list[str] = []
    for word in _WORD.findall(text.lower().replace("’", "'")):
        clitic = _CLITIC.search(word)
        words += [word] if clitic is None else [part for part in (word[: clitic.start()], clitic.group()) if part]
    return words


def event_words(text: str) -> frozenset[str]:
    """Stems of the words that tell what sounds: verbs and nouns, which are all that are no function words."""
    return frozenset(stem(word) for word in caption_words(text) if word not in FUNCTION_WORDS and word[0] != "'")


def stem(word: str) -> str:
    """A word without the ending of a plural, a participle or a past: "barks", "barking" and "barked" are "bark"."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            if ending in ("ing", "ed") and word[-1] == word[-2] and word[-1] not in "aeiouls":
                word = word[:-1]  # running
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def counted(texts: Iterable[str]) -> dict[str, int]:
    """How often each word occurs, the most frequent first, then by the alphabet."""
    counts = collections.Counter(word for text in texts for word in caption_words(text))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
