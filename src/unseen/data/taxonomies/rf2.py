"""SNOMED CT, or any terminology, in Release Format 2: the snapshot files of a release folder."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from unseen.data.taxonomies.base import Taxonomy, build
from unseen.files import reads

if TYPE_CHECKING:
    import pandas as pd

IS_A = "116680003"
FULL_NAME, SYNONYM = "900000000000003001", "900000000000013009"


@reads("a release in RF2", "get it anew")
def rf2(folder: str | os.PathLike[str], *, language: str = "en") -> Taxonomy:
    """Read active concepts, is-a relationships and descriptions of the snapshot below a folder.

    Names are the fully specified ones; they count as phrases without the tag in parentheses at their end.

    Parameters
    ----------
    folder : path
        Of a release, or of its ``Snapshot``: ``sct2_Concept_Snapshot_*.txt``, ``sct2_Description_Snapshot-*.txt``
        (or ``-en_*``) and ``sct2_Relationship_Snapshot_*.txt`` are looked for below it.
    language : str
        Of the descriptions, by their `languageCode`.

    Raises
    ------
    FileNotFoundError
        If one of the three is missing; which one is told.
    ValueError
        If a file lacks a column, or no concept is active.
    """
    root = Path(folder).expanduser()
    concepts = _active_rows(root, "Concept", ["id"])["id"].drop_duplicates()
    active = set(concepts)
    links = _active_rows(root, "Relationship", ["sourceId", "destinationId", "typeId"])
    links = links[links.typeId == IS_A]
    held = links.sourceId.isin(active) & links.destinationId.isin(active)
    texts = _active_rows(root, "Description", ["conceptId", "languageCode", "typeId", "term"])
    texts = texts[texts.conceptId.isin(active) & (texts.languageCode == language)]
    above: dict[str, list[str]] = {concept: [] for concept in concepts}
    for child, parent in zip(links.sourceId[held], links.destinationId[held]):
        above[child].append(parent)
    names = dict(zip(concepts, concepts))
    names |= _first(texts[texts.typeId == SYNONYM]) | _first(texts[texts.typeId == FULL_NAME])
    place = {concept: i for i, concept in enumerate(above)}
    phrases = [
        (place[concept], re.sub(r"\s*\([^()]*\)$", "", term) if kind == FULL_NAME else term)
        for concept, kind, term in zip(texts.conceptId, texts.typeId, texts.term)
        if kind in (FULL_NAME, SYNONYM)
    ]
    lost = int((~held).sum())
    return build(
        list(above),
        [dict.fromkeys(parents) for parents in above.values()],
        [names[concept] for concept in above],
        phrases,
        name=root.name,
        notes=(f"{lost} is-a links of inactive concepts are left out",) if lost else (),
    )


def _first(texts: pd.DataFrame) -> dict[str, str]:
    """The first term of each concept."""
    once = texts.drop_duplicates("conceptId")
    return dict(zip(once.conceptId, once.term))


def _active_rows(root: Path, what: str, columns: list[str]) -> pd.DataFrame:
    """The active rows of a snapshot file; several (one per language) are read one after the other."""
    import pandas as pd

    files = sorted(root.rglob(f"*sct2_{what}_Snapshot*.txt"))
    if not files:
        raise FileNotFoundError(f"folder: there is no sct2_{what}_Snapshot*.txt below {str(root)!r}")
    frames = []
    for file in files:
        try:
            frame = pd.read_csv(
                file, sep="\t", dtype=str, usecols=[*columns, "active"], quoting=csv.QUOTE_NONE, keep_default_na=False
            )
        except ValueError as error:
            raise ValueError(f"{file.name} is no {what} file of RF2: {error}") from error
        frames.append(frame[frame.active == "1"][columns])
    return pd.concat(frames, ignore_index=True)
