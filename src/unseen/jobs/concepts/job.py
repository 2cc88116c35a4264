"""`unseen concepts`: will zero-shot work for these classes? Their frequency in the captions, and what follows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import IntArray
from unseen.jobs.concepts.captions import Captions, read_concepts
from unseen.jobs.concepts.pictures import examples as examples_of
from unseen.jobs.concepts.pictures import tagged
from unseen.methods.curation.concept_frequency import (
    ConceptIndex,
    Curve,
    Intervals,
    LogLinearFit,
    LongTail,
    Misalignment,
    bootstrap,
    count_concepts,
    count_interval,
    fit_log_linear,
    joint_counts,
    learn_curve,
    lemmas_of,
    long_tail_report,
    misalignment,
    permutation_p,
)
from unseen.methods.curation.concept_frequency.index import Match
from unseen.methods.curation.concept_frequency.published import corpus_size, published_curve, published_curves

if TYPE_CHECKING:
    import pandas as pd

    from unseen.encoders.two_tower import TwoTowerEncoder
    from unseen.scale import Engine

THRESHOLDS = (0.5, 0.6, 0.7)
TOO_FEW = 5
SHARED = ("accuracy", "recall")
"""Beginnings of the names of scores that are shares or percentages."""


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
    scale : float
        What counts were multiplied by.
    sampled : bool
        Whether the curve takes counts of a whole corpus, of which the captions are a sample.
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
    scale: float = 1.0
    sampled: bool = False

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
        Captions that say something.
    search : str
        text or joint: which counts the fits take.
    tail : LongTail
    misaligned : Misalignment or None
    examples : list of dict
        Misaligned samples: row, caption, said, shown, and picture (bytes) if there is one.
    thresholds : mapping of float to int
        Tags at other thresholds.
    facts : dict
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
    facts: dict[str, Any]
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
    engine: Engine | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
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
        How many times larger the corpus is than these captions. If absent, it is 1 for fits of own scores, and for
        `like` the size of its corpus over these captions.
    processes : int, >= 1
        That read captions, each its own shares of them.
    engine : Engine, optional
        Ray, in their place; every machine must find the captions under the same path.
    seed : int
    say : callable, optional
        Takes a line of what was read: of the concepts before captions are counted, of these before pictures are tagged.

    Raises
    ------
    ValueError
        If something of this does not fit; the message says what.
    """
    check_settings(level, threshold, scale)
    known = read_concepts(concepts, score)
    names = tuple(dict.fromkeys(known.concept))
    if wordless := [name for name in names if not lemmas_of(name, "none")]:
        raise ValueError(f"concepts must hold words; {wordless[0]!r} holds none")
    shares = in_percent(known)
    source = Captions(Path(captions), column)
    if source.beside and images is None and encoder is not None:
        images = captions
    pictured = images is not None or tags is not None or (source.path.is_dir() and encoder is not None)
    if pictured and tags is None and encoder is None:
        raise ValueError("pictures need an `encoder` of two towers, such as lite-clip, or `tags` of your own tagger")
    if like is not None:
        _check_like(like, "joint" if pictured else "text", phrases, known)
    with_score = known.concept[known.score.notna()].nunique()
    say(f"concepts: {len(names):,}" + (f", {with_score:,} of them with {known.attrs['score']}" if with_score else ""))
    match: Match = "phrase" if phrases else "words"
    index = None
    if pictured or phrases:
        index = ConceptIndex.from_captions(
            source, lemmas=lemmas, concepts=names, phrases=phrases, processes=processes, engine=engine
        )
        counts, n = index.counts(names, match), index.n
    else:
        counted = count_concepts(source, names, lemmas=lemmas, processes=processes, engine=engine)
        counts, n = counted.counts, counted.n
    skipped, blank = list(source.bad), sum(source.empty)
    worded = n - blank
    if not worded:
        why = f": {len(skipped)} rows cannot be read, the first: {skipped[0]}" if skipped else ""
        why = f": {blank:,} are empty{why.replace(':', ', and', 1)}" if blank else why
        raise ValueError(f"CAPTIONS must hold at least one caption; {source.path} holds none{why}")
    besides = f", beside {blank:,} empty one{'' if blank == 1 else 's'}" if blank else ""
    besides += f", and {len(skipped):,} rows that cannot be read" if skipped else ""
    say(f"captions: {worded:,}{besides}")
    columns: dict[str, Any] = {"concept": names, "text": counts, "per_million": 1e6 * counts / worded}
    misaligned, examples, thresholds, search, lost = None, [], {}, "text", 0
    if pictured:
        assert index is not None
        tag_table, pictures, lost = tagged(source, images, tags, encoder, names, n, lemmas, threshold)
        image = tag_table.at(threshold, lemmas=lemmas)
        columns["image"] = image.counts(names)
        counts = columns["joint"] = joint_counts(index, image, names, match)
        misaligned, search = misalignment(index, image, names, match), "joint"
        examples = examples_of(source, index, image, names, pictures, match)
        every = sorted({*THRESHOLDS, threshold})
        thresholds = {
            least: len(tag_table.at(least, lemmas=lemmas).samples) for least in every if least >= tag_table.floor
        }
    place = {name: i for i, name in enumerate(names)}
    bounds = _bounds(known)
    groups, rows = [], []
    for (model, prompts), scored in known.groupby(["model", "prompts"], sort=False):
        at = scored.concept.map(place).to_numpy()
        group = _group(
            str(model), str(prompts), counts[at] * (scale or 1), scored.score.to_numpy(float), bounds, level, seed
        )
        if group.curve is None and like is not None:
            factor = scale or max(corpus_size(like) / worded, 1.0)
            origin = f"curve of {like}, counts times {factor:,.3g}"
            group = dataclasses.replace(group, curve=published_curve(like), why=origin, sampled=factor > 1)
            group = dataclasses.replace(group, scale=factor, counts=counts[at][np.isfinite(scored.score)] * factor)
        else:
            group = dataclasses.replace(group, scale=scale or 1.0)
        groups.append(group)
        rows.append(
            _predicted(scored, {key: np.asarray(value)[at] for key, value in columns.items()}, counts[at], group, level)
        )
    import pandas as pd

    return Concepts(
        table=pd.concat(rows, ignore_index=True),
        groups=tuple(groups),
        n=worded,
        search=search,
        tail=long_tail_report(counts, worded),
        misaligned=misaligned,
        examples=examples,
        thresholds=thresholds,
        facts={
            "lemmas": lemmas, "match": match, "threshold": threshold, "level": level,
            "scale": max(group.scale for group in groups), "skipped": len(skipped),
            "skipped_first": skipped[0] if skipped else "", "empty": blank, "tags_left_out": lost, "shares": shares,
            "like": like or "", "score": known.attrs["score"] or "accuracy", "captions": source.path.name,
        },
        concepts=names,
        counts=counts,
    )  # fmt: skip


def check_settings(level: float, threshold: float, scale: float | None) -> None:
    """Refuse what `analyse` would, before an encoder is loaded."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1]; got {threshold}")
    if scale is not None and not (scale >= 1 and np.isfinite(scale)):
        raise ValueError(f"scale must be finite and at least 1; got {scale}")


def in_percent(known: pd.DataFrame) -> bool:
    """Turn accuracies and recalls that are shares (none above 1) into percent, in place; whether they were.

    Raises
    ------
    ValueError
        If some models' scores look like shares and others' like percent.
    """
    scores, name = known.score, known.attrs["score"]
    if not name.startswith(SHARED) or not scores.notna().any() or scores.min() < 0:
        return False
    if scores.max() <= 1:
        known["score"] = 100 * scores
        return True
    highest = known.groupby(["model", "prompts"]).score.agg(["max", "count"])
    low = highest[(highest["count"] >= TOO_FEW) & (highest["max"] <= 1)]
    if len(low):
        model = ", ".join(part for part in low.index[0] if part)
        raise ValueError(
            f"concepts: {name} of {model} is at most {low['max'].iloc[0]:g}, as a share is, that of others up to "
            f"{scores.max():g}, as percent are; give all in percent"
        )
    return False


def _check_like(like: str, counted: str, phrases: bool, known: pd.DataFrame) -> None:
    """Refuse, before any work, a curve that does not take what is counted."""
    published_curve(like)
    search = like.rpartition("/")[2]
    if search != counted:
        same = [name for name in published_curves() if name == f"{like.rpartition('/')[0]}/{counted}"]
        hint = f"take {same[0]}" if same else "take a curve of another corpus"
        raise ValueError(f"like={like} takes {search} counts; these captions give {counted} counts: {hint}")
    if phrases:
        raise ValueError("like takes counts of captions that hold all words in any place; leave out `phrases`")
    name = known.attrs["score"]
    if known.score.notna().any() and not name.startswith("accuracy"):
        raise ValueError(f"like predicts accuracy, in percent; `concepts` has {name}: leave out one of them")


def _bounds(known: pd.DataFrame) -> tuple[float, float]:
    """What a score can be: a percentage, or anything."""
    values, name = known.score.dropna(), known.attrs["score"]
    if not name.startswith(SHARED) or (len(values) and (values.min() < 0 or values.max() > 100)):
        return -np.inf, np.inf
    return 0.0, 100.0


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
    scored: pd.DataFrame, columns: dict[str, Any], counts: NDArray[Any], group: Group, level: float
) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(columns)
    for name in ("model", "prompts"):
        if (scored[name] != "").any():
            table[name] = scored[name].to_numpy()
    if scored.score.notna().any():
        table["score"] = scored.score.to_numpy()
    if group.curve is not None:
        own_counts = counts * group.scale
        if group.sampled:
            least, most = (group.scale * end for end in count_interval(counts, level))
            prediction = group.curve.predict_within(least, own_counts, most, level)
        else:
            prediction = group.curve.predict(own_counts, level)
        table["predicted"], table["low"], table["high"] = prediction
        more = group.curve.predict(10 * np.maximum(own_counts, 1), level)[0]
        table["times_ten"] = more - table.predicted
    return table
