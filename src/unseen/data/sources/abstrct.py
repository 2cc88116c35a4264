"""AbstRCT in several languages: abstracts of clinical trials with claims and premises, read from the user's folder."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.marked import Marks, read_marked
from unseen.data.pairs import Pairs
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.tasks.base import objects
from unseen.runtime import data_folder

CREDIT = (
    "AbstRCT by Mayer, Cabrio and Villata, ECAI 2020, with translations and projections by Yeginbergen and Agerri "
    "(CC BY-NC-SA 4.0, for non-commercial use; it is not in this package)"
)
WHERE = (
    "get the folders EN, ES, FR and IT of https://github.com/hitz-zentroa/multilingual-abstrct and lay them into a "
    "folder abstrct below the one that UNSEEN_DATA names; they are licensed CC BY-NC-SA 4.0, so they are not in this "
    "package"
)
CLASSES = ClassSpace(names=("Claim", "Premise"))
_FOLDERS: Mapping[str, str] = {
    "en": "EN/argument_components/original_data/{topic}_{part}.tsv",
    "es": "ES/deepl/argument_components/manual_revision/es_{topic}_deepl_awesome_{part}.tsv",
    "fr": "FR/nllb/argument_components/manual_revision/fr_{topic}_nllb_awesome_{part}.tsv",
    "it": "IT/nllb/argument_components/manual_revision/it_{topic}_nllb_awesome_{part}.tsv",
}
SPLIT: Mapping[tuple[str, str, str], tuple[int, int]] = {("it", "neoplasm", "train"): (1290, 4405)}
"""Files in which a translation is two sentences where the original is one: number of the first of the two, from 0, and
sentences of the file as it is published. They are joined, so that numbers are those of the original."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "neoplasm": ("train", "dev", "test"),
    "glaucoma": ("test",),
    "mixed": ("test",),
}


def abstrct(
    language: str, topic: str = "neoplasm", part: str = "train", folder: str | os.PathLike[str] | None = None
) -> Domain:
    """Sentences with their claims and premises.

    Parameters
    ----------
    language : {"en", "es", "fr", "it"}
        The original, or a translation whose projected spans people have revised.
    topic : {"neoplasm", "glaucoma", "mixed"}
    part : {"train", "dev", "test"}
        Of glaucoma and mixed there is test alone.
    folder : path, optional
        Where EN, ES, ... lie; `abstrct_folder` if absent.

    Returns
    -------
    Domain
        Texts of the task spans; ids are numbers of sentences, which translations share (two that are one in the
        original are joined, `SPLIT`); what is left out, such as
        lines of invalid UTF-8, stands in `skipped`.

    Raises
    ------
    SourceUnavailable
        If the file is not there; the message says where to get it and under which terms.
    """
    return marks(language, topic, part, folder).domain


def marks(
    language: str, topic: str = "neoplasm", part: str = "train", folder: str | os.PathLike[str] | None = None
) -> Marks:
    """As `abstrct`, with what was counted in the file."""
    if language not in _FOLDERS:
        raise ValueError(f"language must be one of {', '.join(_FOLDERS)}; got {language!r}")
    if topic not in PARTS or part not in PARTS[topic]:
        choices = "; ".join(f"{name}: {', '.join(parts)}" for name, parts in PARTS.items())
        raise ValueError(f"topic and part must be of {choices}; got {topic!r} and {part!r}")
    place = abstrct_folder() if folder is None else Path(folder)
    file = place / _FOLDERS[language].format(topic=topic, part=part)
    if not file.is_file():
        raise SourceUnavailable(f"AbstRCT is not here, there is no file {str(file)!r}: {WHERE}")
    told_by = file.stat()
    return _joined_marks(file.resolve(), (language, topic, part), told_by.st_mtime_ns, told_by.st_size)


def translated(language: str, topic: str, part: str, folder: str | os.PathLike[str] | None = None) -> Pairs:
    """English sentences and their translations, both with their spans; those left out of either file are in neither.

    Raises
    ------
    ValueError
        If one file has more sentences than the other, so that numbers do not tell what belongs together.
    """
    both = [marks(name, topic, part, folder) for name in ("en", language)]
    english, other = (marked.counts["sentences"] + marked.counts["left out"] for marked in both)
    if english != other:
        raise ValueError(
            f"sentences of abstrct {topic} {part} must be as many in both languages to be paired by their numbers; "
            f"en has {english}, {language} has {other}"
        )
    left, right = (marked.domain for marked in both)
    _, a, b = np.intersect1d(np.asarray(left.ids), np.asarray(right.ids), return_indices=True)
    return Pairs(left.take(a), right.take(b))


def abstrct_folder() -> Path:
    """Where the corpus is looked for: ``abstrct`` below `unseen.runtime.data_folder`."""
    return data_folder() / "abstrct"


@functools.lru_cache(maxsize=32)
def _joined_marks(file: Path, of: tuple[str, str, str], changed: int, size: int) -> Marks:
    """A file, read once for as long as it stays as it is; what is split in it is joined."""
    content = read_marked(file, format="conll", classes=CLASSES)
    number, total = SPLIT.get(of, (0, 0))
    if total and content.counts["sentences"] + content.counts["left out"] == total:
        content = _joined(content, number)
    domain = content.domain.replace(name=f"abstrct {' '.join(of)}", credits=(CREDIT,))
    return dataclasses.replace(content, domain=domain)


def _joined(marks: Marks, number: int) -> Marks:
    """The file with sentence `number` and the next as one, and the numbers behind them one lower."""
    domain = marks.domain
    ids = np.asarray(domain.ids).astype(np.int64)
    if not {number, number + 1} <= set(ids.tolist()):
        raise ValueError(f"sentences {number} and {number + 1} are one in the original, and one of them is left out")
    at = int(np.flatnonzero(ids == number)[0])
    first, second = str(domain.x[at]), str(domain.x[at + 1])
    rows = np.concatenate([domain.labels[at], domain.labels[at + 1] + [len(first) + 1, len(first) + 1, 0]])
    kept = np.delete(np.arange(len(ids)), at + 1)
    texts, y = [str(domain.x[i]) for i in kept], [domain.labels[i] for i in kept]
    texts[at], y[at] = f"{first} {second}", rows
    new = np.array([f"{n - (n > number):06d}" for n in ids[kept].tolist()], dtype=np.str_)
    joined = domain.take(kept).replace(x=np.array(texts, dtype=np.str_), y=objects(y), ids=new)
    counts = marks.counts + Counter({"sentences joined as in the original": 1})
    counts["sentences"] -= 1
    return dataclasses.replace(marks, domain=joined, counts=counts)
