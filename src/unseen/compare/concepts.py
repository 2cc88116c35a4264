"""`unseen concepts`: will zero-shot work for these classes? Their frequency in the captions, and what follows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.compare.captions import Captions, read_concepts, read_tags
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.images import decode
from unseen.data.typing import IntArray
from unseen.methods.curation.concept_frequency import (
    ConceptIndex,
    Curve,
    Intervals,
    LogLinearFit,
    LongTail,
    LongTailSet,
    Misalignment,
    TagTable,
    bootstrap,
    build_long_tail_set,
    count_concepts,
    fit_log_linear,
    joint_counts,
    learn_curve,
    lemmas_of,
    long_tail_report,
    misaligned_samples,
    misalignment,
    permutation_p,
    rare_concepts,
)
from unseen.methods.curation.concept_frequency.published import corpus_size, published_curve

if TYPE_CHECKING:
    import pandas as pd

    from unseen.encoders.two_tower import TwoTowerEncoder

THRESHOLDS = (0.5, 0.6, 0.7)
SHOWN = 6
"""Misaligned samples that the report shows."""
TOO_FEW = 5
BESIDES = "something else"
"""What a picture may show beside all concepts, for an encoder that must share out its probability."""
PICTURES = 512


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """One model under one style of prompts: its fit, where there are scores enough, and its curve.

    Attributes
    ----------
    model, prompts : str
    fit : LogLinearFit or None
    spread : Intervals or None
    shuffled : float or None
        How often shuffled scores correlate as well, of 1.
    curve : Curve or None
        What predicts.
    counts, scores : arrays
        The points of the fit.
    why : str
        Why there is no fit, or where the curve is from.
    """

    model: str
    prompts: str
    fit: LogLinearFit | None
    spread: Intervals | None
    shuffled: float | None
    curve: Curve | None
    counts: NDArray[Any]
    scores: NDArray[Any]
    why: str = ""

    @property
    def name(self) -> str:
        """Model and prompts, as far as they have names."""
        return ", ".join(part for part in (self.model, self.prompts) if part) or "your scores"


@dataclasses.dataclass(frozen=True, eq=False)
class Concepts:
    """What `analyse` found.

    Attributes
    ----------
    table : DataFrame
        A row per concept and group: concept, text, per_million, and image, joint with pictures; model, prompts, score,
        predicted, low, high, times_ten (the score that ten times the data would add) where they can be had.
    groups : tuple of Group
    n : int
        Captions.
    search : str
        text or joint: which counts the fits take.
    tail : LongTail
    misaligned : Misalignment or None
    examples : list of dict
        Misaligned samples: row, caption, said, shown, and picture (bytes) if there is one.
    thresholds : mapping of float to int
        Tags at other thresholds.
    told : dict
        What else the report says.
    """

    table: pd.DataFrame
    groups: tuple[Group, ...]
    n: int
    search: str
    tail: LongTail
    misaligned: Misalignment | None
    examples: list[dict[str, Any]]
    thresholds: dict[float, int]
    told: dict[str, Any]
    concepts: tuple[str, ...]
    counts: IntArray


def analyse(
    captions: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    concepts: str | os.PathLike[str],
    column: str | None = None,
    score: str | None = None,
    lemmas: str = "rules",
    phrases: bool = False,
    tags: str | os.PathLike[str] | None = None,
    encoder: TwoTowerEncoder | None = None,
    threshold: float = 0.7,
    level: float = 0.9,
    like: str | None = None,
    scale: float | None = None,
    processes: int = 1,
    seed: int = 0,
) -> Concepts:
    """Count concepts in captions (and pictures), fit scores against counts, and predict those that are not known.

    Parameters
    ----------
    captions : path
        See `captions.Captions`.
    images : path, optional
        Folder of the captions' pictures; those of a collection are known.
    concepts : path
        See `captions.read_concepts`.
    column, score : str, optional
        Columns of the captions and of the scores.
    lemmas : {"rules", "simplemma", "spacy", "none"}
    phrases : bool
        Count concepts whose words follow each other, not just those whose words all occur.
    tags : path, optional
        Tags of the pictures by any tagger, in place of an encoder's; see `captions.read_tags`.
    encoder : TwoTowerEncoder, optional
        Tags the pictures.
    threshold : float in (0, 1]
        Probability from which on a picture is tagged.
    level : float in (0, 1)
        Of the intervals.
    like : str, optional
        A published curve that predicts where no scores are given; see `published_curves`.
    scale : float, optional
        How many times larger the corpus is than these captions; with `like` the size of its corpus over them if absent,
        else 1.
    processes : int, >= 1
    seed : int

    Raises
    ------
    ValueError
        If something of this does not fit; the message says what.
    """
    known = read_concepts(concepts, score)
    names = tuple(dict.fromkeys(known.concept))
    if empty := [name for name in names if not lemmas_of(name, "none")]:
        raise ValueError(f"concepts must hold words; {empty[0]!r} holds none")
    if not 0 < level < 1 or not 0 < threshold <= 1:
        raise ValueError(f"level must lie in (0, 1) and threshold in (0, 1]; got {level} and {threshold}")
    if scale is not None and not scale >= 1:
        raise ValueError(f"scale must be at least 1; got {scale}")
    source = Captions(Path(captions), column)
    pictured = images is not None or tags is not None or (source.path.is_dir() and encoder is not None)
    if pictured and tags is None and encoder is None:
        raise ValueError("pictures need an --encoder (two towers, such as lite-clip) or --tags of your own tagger")
    if like is not None:
        published_curve(like)  # a wrong name is told before any work
    match = "phrase" if phrases else "words"
    index = None
    if pictured or phrases:
        index = ConceptIndex.from_captions(source, lemmas=lemmas, concepts=names, phrases=phrases, processes=processes)
        counts, n = index.counts(names, match), index.n  # type: ignore[arg-type]
    else:
        counted = count_concepts(source, names, lemmas=lemmas, processes=processes)
        counts, n = counted.counts, counted.n
    if not n:
        raise ValueError(f"CAPTIONS must hold at least one caption; {source.path} holds none")
    columns: dict[str, Any] = {"concept": names, "text": counts, "per_million": 1e6 * counts / n}
    misaligned, examples, thresholds, search = None, [], {}, "text"
    if pictured:
        assert index is not None
        found, pictures = _tagged(source, images, tags, encoder, names, n)
        image = found.at(threshold, lemmas=lemmas)
        columns["image"] = image.counts(names)
        counts = columns["joint"] = joint_counts(index, image, names, match)  # type: ignore[arg-type]
        misaligned, search = misalignment(index, image, names), "joint"
        examples = _examples(source, index, image, names, pictures)
        every = sorted({*THRESHOLDS, threshold})
        thresholds = {one: len(found.at(one, lemmas=lemmas).samples) for one in every if one >= found.floor}
    factor = scale or (max(corpus_size(like) / n, 1.0) if like else 1.0)
    place = {name: i for i, name in enumerate(names)}
    bounds = _bounds(known)
    groups, rows = [], []
    for (model, prompts), own in known.groupby(["model", "prompts"], sort=False):
        at = own.concept.map(place).to_numpy()
        group = _group(str(model), str(prompts), counts[at] * factor, own.score.to_numpy(float), bounds, level, seed)
        if group.curve is None and like is not None:
            told = f"curve of {like}, counts times {factor:,.3g}"
            group = dataclasses.replace(group, curve=published_curve(like), why=told)
        groups.append(group)
        rows.append(
            _predicted(
                own, {key: np.asarray(value)[at] for key, value in columns.items()}, counts[at] * factor, group, level
            )
        )
    import pandas as pd

    return Concepts(
        table=pd.concat(rows, ignore_index=True),
        groups=tuple(groups),
        n=n,
        search=search,
        tail=long_tail_report(counts, n),
        misaligned=misaligned,
        examples=examples,
        thresholds=thresholds,
        told={
            "lemmas": lemmas, "match": match, "threshold": threshold, "level": level, "scale": factor,
            "like": like or "", "score": known.attrs["score"] or "accuracy", "captions": source.path.name,
        },
        concepts=names,
        counts=counts,
    )  # fmt: skip


def _bounds(known: pd.DataFrame) -> tuple[float, float]:
    """What a score can be: a share, a percentage, or anything."""
    values = known.score.dropna()
    name = known.attrs["score"]
    if not name.startswith(("accuracy", "recall")) or (len(values) and (values.min() < 0 or values.max() > 100)):
        return -np.inf, np.inf
    return 0.0, 1.0 if len(values) and values.max() <= 1 else 100.0


def _group(
    model: str,
    prompts: str,
    counts: NDArray[Any],
    scores: NDArray[Any],
    bounds: tuple[float, float],
    level: float,
    seed: int,
) -> Group:
    some = np.isfinite(scores)
    x, y = counts[some], scores[some]
    empty = Group(model, prompts, None, None, None, None, x, y)
    if len(x) < TOO_FEW:
        return dataclasses.replace(empty, why=f"{len(x)} concepts have a score; a fit needs {TOO_FEW}")
    if np.ptp(np.maximum(x, 1)) == 0:
        return dataclasses.replace(empty, why="all concepts with a score are as frequent as each other")
    curve = learn_curve(x, y, low=bounds[0], high=bounds[1], level=level, seed=seed)
    fit, spread = fit_log_linear(x, y), bootstrap(x, y, seed=seed)
    shuffled = permutation_p(x, y, seed=seed) if np.isfinite(fit.r) else None
    return Group(model, prompts, fit, spread, shuffled, curve, x, y)


def _predicted(
    own: pd.DataFrame, columns: dict[str, Any], counts: NDArray[Any], group: Group, level: float
) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(columns)
    for name in ("model", "prompts"):
        if (own[name] != "").any():
            table[name] = own[name].to_numpy()
    if own.score.notna().any():
        table["score"] = own.score.to_numpy()
    if group.curve is not None:
        table["predicted"], table["low"], table["high"] = group.curve.predict(counts, level)
        more = group.curve.predict(10 * np.maximum(counts, 1), level)[0]
        table["times_ten"] = more - table.predicted
    return table


# -- pictures ----------------------------------------------------------------------------------------------


def tag_images(images: Domain, concepts: Sequence[str], encoder: TwoTowerEncoder, floor: float = 0.3) -> TagTable:
    """Tag pictures by a two-tower encoder: the probability of each concept beside all others and `BESIDES`.

    Parameters
    ----------
    images : Domain of kind image
    concepts : sequence of C str
    encoder : TwoTowerEncoder
    floor : float
        Smaller probabilities are not kept.
    """
    features = encoder.encode(images).x
    return tag_features(features, concepts, encoder, floor)


def tag_features(features: Any, concepts: Sequence[str], encoder: TwoTowerEncoder, floor: float = 0.3) -> TagTable:
    """`tag_images` of pictures that are embedded already, (n, d)."""
    readable = list(dict.fromkeys(concept.replace("_", " ") for concept in concepts))
    place = [readable.index(concept.replace("_", " ")) for concept in concepts]
    space = encoder.embed(ClassSpace(names=(*readable, BESIDES) if BESIDES not in readable else tuple(readable)))
    parts = []
    for first in range(0, len(features), PICTURES):
        own = encoder.classify(np.asarray(features[first : first + PICTURES], dtype=np.float32), space)
        parts.append(TagTable.from_probabilities(own[:, place], concepts, floor))
    return (
        TagTable.joined(parts) if parts else TagTable.from_probabilities(np.zeros((0, len(concepts))), concepts, floor)
    )


def _tagged(
    source: Captions, images: Any, tags: Any, encoder: Any, names: tuple[str, ...], n: int
) -> tuple[TagTable, dict[int, Any]]:
    """Tags of the captions' pictures, and how to read the picture of a row."""
    keys = source.keys()
    collection = source.collection
    if tags is not None:
        shown = {} if images is None else _by_row(_load_pictures(images), keys, n)
        return read_tags(tags, names, keys, n), shown
    if collection is not None and images is None:
        record = collection.encoder
        shown = {i: (collection, i) for i in range(n)}
        if record is not None and (record.fingerprint, record.dim) == (encoder.fingerprint, encoder.dim):
            return tag_features(collection.embeddings("image"), names, encoder), shown
        domain = Domain(x=Lazy(range(n), lambda i: decode(collection.picture(i))), kind="image", name="pictures")
        return tag_images(domain, names, encoder), shown
    domain = _load_pictures(images)
    shown = _by_row(domain, keys, n)
    found = tag_images(domain, names, encoder)
    rows = np.full(len(domain), -1)
    for row, (_, i) in shown.items():
        rows[i] = row
    kept = rows[found.rows] >= 0
    moved = (rows[found.rows][kept], found.columns[kept], found.values[kept])
    return TagTable(names, n, *moved, floor=found.floor), shown


def _load_pictures(images: Any) -> Domain:
    from unseen.data.loaders import load

    domain = load(images)
    if domain.kind != "image":
        raise ValueError(f"IMAGES must hold pictures; {images} holds {domain.kind}")
    return domain


def _by_row(domain: Domain, keys: list[str] | None, n: int) -> dict[int, Any]:
    """Which picture belongs to which row of the captions: by its name, or by its place where captions have no keys."""
    if keys is None:
        if len(domain) != n:
            raise ValueError(
                f"IMAGES must hold a picture for every caption, in the order of their names, where captions have no "
                f"column that names them; got {len(domain)} pictures and {n} captions"
            )
        return {i: (domain, i) for i in range(n)}
    assert domain.ids is not None
    place = {str(id_): i for i, id_ in enumerate(domain.ids)}
    place |= {Path(id_).name: i for id_, i in place.items()} | {Path(id_).stem: i for id_, i in place.items()}
    ways = ((lambda key: key), (lambda key: Path(key).name), (lambda key: Path(key).stem))
    found = {row: place[way(key)] for row, key in enumerate(keys) for way in ways if way(key) in place}
    if not found:
        raise ValueError(
            f"no picture of IMAGES is named by the captions; they say {keys[0]!r}, a picture is {domain.ids[0]!r}"
        )
    return {row: (domain, i) for row, i in found.items()}


def _examples(
    source: Captions, index: ConceptIndex, image: ConceptIndex, names: Sequence[str], pictures: dict[int, Any]
) -> list[dict[str, Any]]:
    """A few misaligned samples, evenly from all."""
    rows = misaligned_samples(index, image, names)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))] if len(rows) else rows
    if not len(rows):
        return []
    wanted, texts, start = set(rows.tolist()), {}, 0
    for piece in source:
        for row in [row for row in wanted if start <= row < start + len(piece)]:
            texts[row] = piece[row - start].as_py() or ""
        start += len(piece)
    out = []
    for row in rows.tolist():
        said = [name for name in names if row in index.ids(name)][:4]
        shown = [name for name in names if row in image.ids(name)][:4]
        out.append(
            {
                "row": row,
                "caption": texts[row][:300],
                "said": said,
                "shown": shown,
                "picture": _thumbnail(pictures.get(row)),
            }
        )
    return out


def _thumbnail(where: Any) -> bytes | None:
    from unseen.data.images import thumbnail

    if where is None:
        return None
    home, i = where
    return thumbnail(decode(home.picture(i)) if not isinstance(home, Domain) else home.x[i])


# -- a long-tailed test set --------------------------------------------------------------------------------


def long_tail_set(
    found: Concepts,
    candidates: str | os.PathLike[str],
    *,
    rarest: int = 290,
    per_class: int = 450,
    bits: int = 10,
    encoder: TwoTowerEncoder | None = None,
    outlier_below: float = 0.0,
    seed: int = 0,
) -> LongTailSet:
    """Clean and balance a user's candidates for the rarest concepts, in the manner of Let it Wag!

    Parameters
    ----------
    found : Concepts
    candidates : path
        Folder of class folders that are called as concepts are.
    rarest, per_class, bits : int
        Concepts, pictures of each, and bits in which a near duplicate differs at most.
    encoder : TwoTowerEncoder, optional
        Says what is an outlier: a picture whose own class has a probability below `outlier_below`.
    """
    pictures = _load_pictures(candidates)
    if pictures.classes is None or pictures.y is None:
        raise ValueError(f"--candidates must be a folder of class folders; {candidates} has none")
    own = {" ".join(lemmas_of(name)): name for name in pictures.classes.names}
    order = rare_concepts(found.concepts, found.counts)
    rare = [own[key] for i in order if (key := " ".join(lemmas_of(found.concepts[i]))) in own][:rarest]
    if not rare:
        raise ValueError(
            f"no folder of --candidates is called as a concept that occurs; they are {', '.join(list(own)[:5])}"
        )
    probability = None
    if encoder is not None and outlier_below > 0:
        every = encoder.classify(encoder.encode(pictures), pictures.classes)
        probability = every[np.arange(len(pictures)), np.maximum(pictures.y, 0)]
    return build_long_tail_set(
        pictures, per_class, bits, rare=tuple(dict.fromkeys(rare)), own_probability=probability,
        outlier_below=outlier_below, seed=seed,
    )  # fmt: skip
