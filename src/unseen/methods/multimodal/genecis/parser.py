"""Captions as scene graphs: who stands in which relation to what (spec step 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from unseen.data.pairs import Pairs


class Relation(NamedTuple):
    """An edge of the scene graph of the caption of one sample: subject, relation, object; heads of noun phrases."""

    sample: int
    subject: str
    relation: str
    object: str

    @property
    def condition(self) -> str:
        """The text that asks for it: relation and object."""
        return f"{self.relation} {self.object}"


@runtime_checkable
class SceneGraphParser(Protocol):
    """From a caption to its edges; any other parser (spaCy's, a language model's) may take its place."""

    def __call__(self, caption: str) -> Iterable[tuple[str, str, str]]:
        """Subject, relation, object of each edge."""
        ...


RELATIONS = (
    "in front of", "on top of", "next to", "close to", "out of", "made of", "full of", "on", "in", "with", "at",
    "under", "beside", "behind", "near", "by", "over", "above", "below", "beneath", "inside", "outside", "against",
    "among",
    "around", "between", "through", "across", "along", "of", "for", "from", "into", "onto", "wearing", "holding",
    "riding", "eating", "carrying", "using", "driving", "flying", "watching", "playing", "without", "to",
)  # fmt: skip
"""Prepositions and participles that join two noun phrases; longer ones go before."""
_ARTICLES = "a an the this that these those its his her their some two three four five several many"
_VERBS = """is are was were be being been has have sits sitting stands standing lies lying hangs hanging parked walking
running looking laying located placed seen"""
ARTICLES, VERBS = frozenset(_ARTICLES.split()), frozenset(_VERBS.split())
"""Words between a noun and a preposition that say nothing by themselves."""
SHOWING = frozenset({"photo", "photos", "photograph", "photographs", "picture", "pictures", "image", "images"})
"""What is of something without being in the picture: the subject is what it is of."""
BREAKS = frozenset({"and", "while", "who", "which", "as", "but", "or"})


class PatternParser:
    """ "noun relation noun" by patterns: of each noun phrase the last word counts.

    "A dog on the red sofa next to a cat, and a bird" has the edges dog on sofa, and dog next to cat: the subject of a
    chain stays its first noun. "A photo of" is passed over. It knows English prepositions and some participles; nothing
    is learnt. Other heads stay ("a group of people on grass" is of a group), and the last word of a phrase counts
    whether it is a noun or not.
    """

    def __init__(self, relations: Sequence[str] = RELATIONS) -> None:
        longest = sorted(relations, key=lambda words: (-len(words.split()), words))
        self.relations = tuple(tuple(words.split()) for words in longest)

    def __call__(self, caption: str) -> list[tuple[str, str, str]]:
        """The edges of a caption, in its order."""
        edges: list[tuple[str, str, str]] = []
        for part in re.split(r"[.;,:!?()\n]+", caption.lower()):
            words = re.findall(r"[^\W\d_][\w'-]*", part)
            edges += self._of_part(words)
        return edges

    def _of_part(self, words: list[str]) -> list[tuple[str, str, str]]:
        edges, subject, relation, phrase, i = [], "", "", list[str](), 0
        while i <= len(words):
            matched = self._at(words, i)
            ends = i == len(words) or words[i] in BREAKS or bool(matched)
            if not ends:
                if words[i] not in ARTICLES and words[i] not in VERBS:
                    phrase.append(words[i])
                i += 1
                continue
            noun = phrase[-1] if phrase else ""
            if noun in SHOWING and matched == ("of",) and not relation:
                phrase, subject, i = [], "", i + 1
                continue
            if relation and subject and noun:
                edges.append((subject, relation, noun))
            elif noun and not relation:
                subject = noun
            phrase = []
            if matched:
                relation, i = " ".join(matched), i + len(matched)
            else:
                subject, relation, i = "", "", i + 1
        return edges

    def _at(self, words: list[str], i: int) -> tuple[str, ...]:
        return next((relation for relation in self.relations if tuple(words[i : i + len(relation)]) == relation), ())


def relations_of(captions: Iterable[str], parser: SceneGraphParser | None = None) -> list[Relation]:
    """The edges of all captions, with the number of the caption."""
    parse = parser or PatternParser()
    return [Relation(i, *edge) for i, caption in enumerate(captions) for edge in parse(caption)]


def rows_of(pairs: Pairs, captions: Sequence[str], parser: SceneGraphParser | None = None) -> list[Relation]:
    """Relations of the captions, or those that stand ready in columns."""
    names = ("subject", "relation", "object")
    columns = [column for name in names if (column := pairs.called(name)) is not None]
    if len(columns) == len(names):
        table = [[_word(value) for value in pairs.columns[column]] for column in columns]
        ready = [Relation(i, *row) for i, row in enumerate(zip(*table)) if all(row)]
        if not ready:
            raise ValueError("pairs: no row has all of subject, relation and object")
        return ready
    rows = relations_of(captions, parser)
    if not rows:
        raise ValueError("pairs: no caption has two nouns with a relation between them, such as 'a dog on grass'")
    return rows


def _word(value: Any) -> str:
    """A value of a table; empty where there is none."""
    text = str(value).strip()
    return "" if value is None or text.lower() in ("nan", "none", "<na>") else text
