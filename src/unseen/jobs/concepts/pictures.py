"""Pictures beside captions for `unseen concepts`: which is whose, what an encoder sees in them, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.images import decode
from unseen.data.typing import FloatArray
from unseen.jobs.concepts.captions import Captions, Places, read_tags
from unseen.methods.curation.concept_frequency import ConceptIndex, TagTable, misaligned_samples
from unseen.methods.curation.concept_frequency.index import Match, within

if TYPE_CHECKING:
    from unseen.encoders.two_tower import TwoTowerEncoder

SHOWN = 6
"""Misaligned samples that the report shows."""
FLOOR = 0.3
"""Smaller probabilities are not kept, unless the threshold is."""
NEUTRAL = ("something else", "a thing", "a picture")
"""What a picture may show in the place of a concept."""
PICTURES = 512


def tag_images(images: Domain, concepts: Sequence[str], encoder: TwoTowerEncoder, floor: float = FLOOR) -> TagTable:
    """Tag pictures by a two-tower encoder: of every concept the probability beside `NEUTRAL` words.

    It is a decision per concept: synonyms and parts of each other do not take probability from one another.

    Parameters
    ----------
    images : Domain of kind image
    concepts : sequence of C str
    encoder : TwoTowerEncoder
    floor : float
        Smaller probabilities are not kept.
    """
    return tag_features(encoder.encode(images).x, concepts, encoder, floor)


def tag_features(features: Any, concepts: Sequence[str], encoder: TwoTowerEncoder, floor: float = FLOOR) -> TagTable:
    """`tag_images` of pictures that are embedded already, (n, d)."""
    readable = list(dict.fromkeys(concept.replace("_", " ") for concept in concepts))
    number = {name: i for i, name in enumerate(readable)}
    place = [number[concept.replace("_", " ")] for concept in concepts]
    neutral = [word for word in NEUTRAL if word not in number]
    space = encoder.embed(ClassSpace(names=(*readable, *neutral)))
    parts = []
    for first in range(0, len(features), PICTURES):
        every = encoder.classify(np.asarray(features[first : first + PICTURES], dtype=np.float32), space)
        parts.append(TagTable.from_probabilities(beside(every, place, len(readable)), concepts, floor))
    if not parts:
        return TagTable.from_probabilities(np.zeros((0, len(concepts))), concepts, floor)
    return TagTable.joined(parts)


def beside(every: FloatArray, place: Sequence[int], first: int) -> FloatArray:
    """Softmax of each concept against the neutral words alone, from that over all; neutral ones begin at `first`."""
    table = np.asarray(every, dtype=np.float64)
    concept, neutral = table[:, list(place)], table[:, first:].sum(axis=1, keepdims=True)
    return concept / np.maximum(concept + neutral, 1e-300)


def tagged(
    source: Captions,
    images: Any,
    tags: Any,
    encoder: Any,
    names: tuple[str, ...],
    n: int,
    lemmas: str,
    threshold: float,
) -> tuple[TagTable, dict[int, Any], int]:
    """Tags of the captions' pictures, how to read the picture of a row, and rows of `tags` that are no concept's."""
    floor = min(FLOOR, threshold)
    keys = source.keys()
    collection = source.collection
    if tags is not None:
        shown = {} if images is None else by_row(load_pictures(images), keys, n)
        table, lost = read_tags(tags, names, keys, n, lemmas)
        return table, shown, lost
    if collection is not None and images is None:
        record = collection.encoder
        shown = {i: (collection, i) for i in range(n)}
        if record is not None and (record.fingerprint, record.dim) == (encoder.fingerprint, encoder.dim):
            return tag_features(collection.embeddings("image"), names, encoder, floor), shown, 0
        domain = Domain(x=Lazy(range(n), lambda i: decode(collection.picture(i))), kind="image", name="pictures")
        return tag_images(domain, names, encoder, floor), shown, 0
    domain = load_pictures(images)
    shown = by_row(domain, keys, n)
    table = tag_images(domain, names, encoder, floor)
    rows = np.full(len(domain), -1)
    for row, (_, i) in shown.items():
        rows[i] = row
    kept = rows[table.rows] >= 0
    moved = (rows[table.rows][kept], table.columns[kept], table.values[kept])
    return TagTable(names, n, *moved, floor=table.floor), shown, 0


def load_pictures(images: Any, what: str = "IMAGES") -> Domain:
    """Pictures of a folder; those that cannot be read are left out and listed in `Domain.skipped`."""
    from unseen.data.loaders import load

    domain = load(images)
    if domain.kind != "image":
        raise ValueError(f"{what} must hold pictures; {images} holds {domain.kind}")
    return domain


def by_row(domain: Domain, keys: list[str] | None, n: int) -> dict[int, Any]:
    """Which picture belongs to which row of the captions: by its name, or by its place where captions have no keys."""
    if keys is None:
        if len(domain) != n:
            raise ValueError(
                f"IMAGES must hold a picture for every caption, in the order of their names, where captions have no "
                f"column that names them; got {len(domain)} pictures and {n} captions"
            )
        return {i: (domain, i) for i in range(n)}
    assert domain.ids is not None
    places = Places([str(id_) for id_ in domain.ids], "IMAGES")
    matched = {row: i for row, key in enumerate(keys) if (i := places.find(key)) is not None}
    if not matched:
        raise ValueError(
            f"no picture of IMAGES is named by the captions; they say {keys[0]!r}, a picture is {domain.ids[0]!r}"
        )
    return {row: (domain, i) for row, i in matched.items()}


def examples(
    source: Captions, index: ConceptIndex, image: ConceptIndex, names: Sequence[str], pictures: dict[int, Any],
    match: Match,
) -> list[dict[str, Any]]:  # fmt: skip
    """A few misaligned samples, evenly from all."""
    rows = misaligned_samples(index, image, names, match)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))] if len(rows) else rows
    texts, start = {}, 0
    for piece in source if len(rows) else ():
        for row in rows[(rows >= start) & (rows < start + len(piece))].tolist():
            texts[row] = piece[row - start].as_py() or ""
        start += len(piece)
        if len(texts) == len(rows):
            break
    said: dict[int, list[str]] = {row: [] for row in rows.tolist()}
    shown: dict[int, list[str]] = {row: [] for row in rows.tolist()}
    for name in names if len(rows) else ():
        for ids, listed in ((index.ids(name, match), said), (image.ids(name), shown)):
            for row in rows[within(rows, ids)].tolist():
                listed[row].append(name)
    return [
        {"row": row, "caption": texts[row][:300], "said": said[row][:4], "shown": shown[row][:4],
         "picture": _thumbnail(pictures.get(row))}
        for row in rows.tolist()
    ]  # fmt: skip


def _thumbnail(where: Any) -> bytes | None:
    from unseen.data.images import thumbnail

    if where is None:
        return None
    home, i = where
    return thumbnail(decode(home.picture(i)) if not isinstance(home, Domain) else home.x[i])
