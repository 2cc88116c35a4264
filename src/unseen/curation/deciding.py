"""What is kept, over all shards at once: each picture once, then the pairs above the threshold of their stream."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from unseen.curation.settings import usual_near
from unseen.curation.stages import Decision, Job
from unseen.methods.curation.laion.language import stream_of
from unseen.methods.curation.laion.similarity import (
    LOOK,
    keeps,
    look_alike,
    one_of_each,
    outlines,
    outlines_alike,
)

log = logging.getLogger(__name__)

SAME_PICTURE, NEAR_PICTURE = "the same picture", "nearly the same picture"
BELOW, LESS = "similarity below the threshold", "picture and caption less alike than in the share to keep"


def decide(job: Job, there: list[int]) -> tuple[list[Decision], dict[str, float]]:
    """Each picture once, then the threshold of its stream: what becomes of every embedded row."""
    folders = [job.work.embedded(n) for n in there]
    tables = [pq.read_table(folder / "similarity.parquet") for folder in folders]
    sizes = [len(table) for table in tables]
    reason = np.full(sum(sizes), "", object)
    stage_of, detail = reason.copy(), reason.copy()
    similarity = np.concatenate([np.zeros(0, np.float32), *(t["similarity"].to_numpy() for t in tables)])
    uid, sha, language = (
        np.array([value for t in tables for value in t[key].to_pylist()], object)
        for key in ("uid", "sha256", "language")
    )
    file, stands = _stand_ins(job, folders, sha, similarity)
    lost = np.flatnonzero(stands != np.arange(len(stands)))
    stage_of[lost], detail[lost] = "duplicates", uid[stands[lost]]
    reason[lost] = np.where(file[lost] != lost, SAME_PICTURE, NEAR_PICTURE)
    alive = np.flatnonzero(reason == "")
    _warn(job, language[alive])
    streams = [stream_of(code) for code in language[alive].tolist()]
    kept, least = keeps(job.settings.threshold, job.settings.target_keep, similarity[alive], streams)
    below = alive[~kept]
    stage_of[below], reason[below] = "filter", BELOW if job.settings.target_keep is None else LESS
    detail[below] = [f"{value:.4f}" for value in similarity[below].tolist()]
    cuts = np.cumsum([0, *sizes])
    parts = [
        Decision(n, *(tuple(array[a:b].tolist()) for array in (stage_of, reason, detail)))
        for n, a, b in zip(there, cuts, cuts[1:])
    ]
    return parts, least


def _warn(job: Job, language: np.ndarray) -> None:
    """Say that captions of other languages are read by a text encoder that may not know them."""
    others = sum(code not in ("", "en") for code in language.tolist())
    if others and job.multilingual is None:
        log.warning(
            "%d of %d captions are not English and were read by the text encoder of %r: unless it knows their "
            "languages their similarity means nothing (`multilingual_encoder`)",
            others,
            len(language),
            job.encoder.name if job.encoder else "",
        )


def _stand_ins(job: Job, folders: list[Path], sha: np.ndarray, similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every row the best of the rows with its file, and of these the best that shows the same picture."""
    files, which = np.unique(sha.astype(str), return_inverse=True)
    order = np.lexsort((np.arange(len(sha)), -similarity))
    best = np.empty(len(files), dtype=np.int64)
    best[which[order[::-1]]] = order[::-1]  # the last assignment stays: the best
    file = best[which]
    within = job.settings.near
    if within is None or len(best) < 2:
        return file, file
    if within == "usual":
        within = usual_near(job.encoder.name if job.encoder else "")
    best = np.sort(best)
    vectors = [np.load(folder / "image.npy", mmap_mode="r", allow_pickle=False) for folder in folders]
    looks = [np.load(folder / "looks.npy", mmap_mode="r", allow_pickle=False) for folder in folders]
    looks = [part if part.shape[1] == LOOK else _of_before(part) for part in looks]
    starts = np.cumsum([0, *map(len, vectors)])
    outline = np.concatenate([outlines(part) for part in looks])[best]

    def alike(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        same = np.empty(len(left), dtype=bool)
        for k in range(0, len(left), 1024):
            block = slice(k, k + 1024)
            same[block] = outlines_alike(outline[left[block]], outline[right[block]])
            close = k + np.flatnonzero(same[block])
            a, b = (_gathered(looks, starts, best[side[close]]) for side in (left, right))
            same[close] = look_alike(a, b)
        return same

    chosen = _gathered(vectors, starts, best)
    near = one_of_each(chosen, similarity[best], within, alike, seed=job.settings.seed)
    to = np.arange(len(sha))
    to[best] = best[near]
    return file, to[file]


def _of_before(looks: np.ndarray) -> np.ndarray:
    """Looks that were kept before they ended in the shorter side: they count as those of large pictures."""
    return np.pad(looks, ((0, 0), (0, LOOK - looks.shape[1])), constant_values=255)


def _gathered(parts: list[np.ndarray], starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of arrays that follow each other, in any order."""
    part = np.searchsorted(starts, rows, side="right") - 1
    gathered = np.empty((len(rows), *parts[0].shape[1:]), parts[0].dtype)
    for k in np.unique(part):
        gathered[part == k] = parts[k][rows[part == k] - starts[k]]
    return gathered
