"""Step 10 of LAION-5B: a coarse tag from zero-shot prompts, and rules that drop a pair altogether.

The lists are the user's. LAION's own stand in its repositories; none is carried here.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.rows import unit_rows
from unseen.data.typing import FloatArray
from unseen.files import read_json, reads

Tag = Literal["UNLIKELY", "UNSURE", "NSFW"]
TAGS: tuple[Tag, ...] = ("UNLIKELY", "UNSURE", "NSFW")
SCALE = 100.0
"""Factor of the cosine before the softmax. It leaves the order of prompts, and so tags and drops, as they are."""

EmbedText = Callable[[Sequence[str]], FloatArray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """A list of neutral prompts followed by a list of flagged ones, and what becomes of a picture near the latter.

    Parameters
    ----------
    name : str
        What reports call it.
    neutral, flagged : tuple of str
        Prompts; the two nearest to a picture are looked at.
    action : {"tag", "drop"}
        ``tag`` says UNLIKELY, UNSURE or NSFW; ``drop`` drops the pair if `hits` of the two nearest are flagged, or
        its caption has one of `keywords`.
    keywords : tuple of str
        Whole words, in any case.
    hits : {1, 2}
        Flagged prompts among the two nearest from which ``drop`` acts.
    only_tagged : bool
        ``drop`` looks only at pairs whose tag is not UNLIKELY.
    """

    name: str
    neutral: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    action: Literal["tag", "drop"] = "tag"
    keywords: tuple[str, ...] = ()
    hits: int = 1
    only_tagged: bool = True

    def __post_init__(self) -> None:
        if self.action not in ("tag", "drop"):
            raise ValueError(f"rule {self.name!r}: action must be 'tag' or 'drop'; got {self.action!r}")
        if self.hits not in (1, 2):
            raise ValueError(f"rule {self.name!r}: hits must be 1 or 2; got {self.hits}")
        if self.action == "tag" and self.keywords:
            raise ValueError(f"rule {self.name!r}: keywords are for action 'drop'")
        if not self.flagged and not self.keywords:
            raise ValueError(f"rule {self.name!r} must have flagged prompts or keywords")
        if self.flagged and len(self.neutral) + len(self.flagged) < 2:
            raise ValueError(f"rule {self.name!r} must have at least two prompts")


class Judged(NamedTuple):
    """Tags, (n,), and why pairs are dropped, (n,), "" for those that are not."""

    tags: list[Tag]
    dropped: list[str]


def top_two(images: FloatArray, prompts: FloatArray) -> NDArray[np.int64]:
    """Positions of the two prompts nearest to each picture, (n, 2), by softmax of 100 times the cosine."""
    order = np.argsort(-(unit_rows(images) @ unit_rows(prompts).T) * SCALE, axis=1, kind="stable")
    return order[:, :2]


def tag(flagged: int) -> Tag:
    """UNLIKELY if none of the two nearest prompts is flagged, NSFW if both are, else UNSURE."""
    return TAGS[flagged]


def judge(rules: Sequence[Rule], images: FloatArray, captions: Sequence[str], embed: EmbedText) -> Judged:
    """Apply rules in their order.

    Parameters
    ----------
    rules : sequence of Rule
        At most one with action ``tag``; without one every tag is UNLIKELY.
    images : array (n, d)
    captions : sequence of n str
    embed : callable
        From prompts to vectors of the space of `images`.
    """
    if sum(rule.action == "tag" for rule in rules) > 1:
        raise ValueError("rules may hold one rule with action 'tag'")
    n = len(captions)
    tags: list[Tag] = [TAGS[0]] * n
    dropped = [""] * n
    for rule in sorted(rules, key=lambda rule: rule.action != "tag"):
        counts = _flagged(rule, images, embed) if n and rule.flagged else np.zeros(n, dtype=np.int64)
        if rule.action == "tag":
            tags = [tag(int(count)) for count in counts]
            continue
        pattern = _pattern(rule.keywords)
        for i, caption in enumerate(captions):
            if dropped[i] or (rule.only_tagged and tags[i] == TAGS[0]):
                continue
            if (rule.flagged and counts[i] >= rule.hits) or (pattern is not None and pattern.search(caption)):
                dropped[i] = f"rule {rule.name}"
    return Judged(tags, dropped)


@reads("a file of rules", "write a list of objects with the fields of a rule")
def read_rules(file: str | os.PathLike[str]) -> tuple[Rule, ...]:
    """Rules from a JSON file, a list of objects with the fields of `Rule`; `ValueError` says what is wrong."""
    rules: Any = read_json(file)
    names = {field.name for field in dataclasses.fields(Rule)}
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) and set(rule) <= names for rule in rules):
        raise ValueError(f"{file} must hold a list of objects with {', '.join(sorted(names))}")
    for rule in rules:
        for name in ("neutral", "flagged", "keywords"):
            words = rule.get(name, [])
            if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
                raise ValueError(f"{file}, rule {rule.get('name')!r}: {name} must be a list of texts; got {words!r}")
    fields: list[dict[str, Any]] = [
        {k: tuple(v) if isinstance(v, list) else v for k, v in rule.items()} for rule in rules
    ]
    return tuple(Rule(**rule) for rule in fields)


def _flagged(rule: Rule, images: FloatArray, embed: EmbedText) -> NDArray[np.int64]:
    nearest = top_two(images, embed([*rule.neutral, *rule.flagged]))
    return (nearest >= len(rule.neutral)).sum(axis=1)


def _pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE) if words else None
