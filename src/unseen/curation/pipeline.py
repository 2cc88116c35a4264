"""`curate`: all stages over all shards, resumable, every drop counted; on Ray with the same bits."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation import stages as work_of
from unseen.curation.accounting import Accounting, counted, dropped_table
from unseen.curation.collection import EncoderRecord, write_record
from unseen.curation.settings import STAGES, Settings
from unseen.curation.sources import Source, open_source
from unseen.curation.stages import Decision, Job, Work, write_table
from unseen.curation.statistics import statistics
from unseen.encoders.base import Encoder
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.methods.curation.laion.bloom import BloomFilter
from unseen.methods.curation.laion.heads import Head
from unseen.methods.curation.laion.language import Detector, stream_of
from unseen.methods.curation.laion.similarity import look_alike, one_of_each, passes, thresholds
from unseen.runtime import replacing, stage
from unseen.runtime import stages as timed
from unseen.scale import Engine, each

log = logging.getLogger(__name__)

ATTEMPTS = 2
"""How often a shard is tried in a run before it is reported."""

SAME_PAIR, SAME_URL = "pair of URL and caption met before", "URL met before"
SAME_PICTURE, NEAR_PICTURE = "the same picture", "nearly the same picture"
BELOW = "similarity below the threshold"


class Failure(NamedTuple):
    """A shard or unit that could not be done, and why."""

    stage: str
    number: int
    error: str


@dataclasses.dataclass(frozen=True)
class Curated:
    """What a run gave.

    Attributes
    ----------
    folder : Path
        The collection.
    accounting : Accounting
    failures : tuple of Failure
        Shards that are counted as dropped now, and done again by the next run.
    seconds : mapping of stage to float
        Of this run.
    """

    folder: Path
    accounting: Accounting
    failures: tuple[Failure, ...]
    seconds: dict[str, float]


def curate(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    encoder: TwoTowerEncoder | None = None,
    multilingual: Encoder | None = None,
    heads: Sequence[Head] = (),
    settings: Settings | None = None,
    stages: Sequence[str] = STAGES,
    engine: Engine | None = None,
    detector: Detector | None = None,
    base_url: str = "",
    cache: bool = False,
) -> Curated:
    """Make a collection of image-text pairs from a crawl, a table, shards or a folder; a killed run goes on.

    Parameters
    ----------
    source : path
        What `open_source` reads.
    out : path
        Folder of the collection. One that was begun with the same input and settings is continued.
    encoder : TwoTowerEncoder, optional
        Needed by the stages ``embed`` and ``select``.
    multilingual : Encoder, optional
        From texts of other languages into the encoder's space (a two-tower encoder's text tower).
    heads : sequence of Head
        Scores to add.
    settings : Settings, optional
    stages : sequence of {"parse", "fetch", "embed", "select"}
        What to run now; what a stage needs must have run before.
    engine : Engine, optional
    detector : Detector, optional
        Of languages; py3langid if absent.
    base_url : str
        See `open_source`.
    cache : bool
        Keep features by content, as encoders do.

    Raises
    ------
    ValueError
        If the folder was begun with other settings or another input, an earlier stage is missing, or a head or text
        encoder does not fit.
    """
    settings = settings or Settings()
    if unknown := [name for name in stages if name not in STAGES] or ([] if stages else ["none"]):
        raise ValueError(f"stages must be some of {', '.join(STAGES)}; got {unknown[0]!r}")
    multilingual = getattr(multilingual, "text", multilingual)
    _check(encoder, multilingual, heads, stages)
    opened = open_source(source, base_url=base_url)
    job = Job(Work(Path(out)), opened, settings, encoder, multilingual, tuple(heads), detector, cache)
    _claim(job, stages)
    failures: list[Failure] = []
    run: dict[str, Callable[[Job, Engine | None], list[Failure]]] = {
        "parse": _parse,
        "fetch": _fetch,
        "embed": _embed,
        "select": _select,
    }
    with timed() as seconds:
        for name in (name for name in STAGES if name in stages):
            with stage(name):
                failures += run[name](job, engine)
    return Curated(job.work.out, _settle(job, failures), tuple(failures), dict(seconds))


def _check(
    encoder: TwoTowerEncoder | None, multilingual: Encoder | None, heads: Sequence[Head], stages: Sequence[str]
) -> None:
    if encoder is None:
        if {"embed", "select"} & set(stages):
            raise ValueError("stages 'embed' and 'select' need an encoder of pictures and texts, such as lite-clip")
        return
    if not isinstance(encoder, TwoTowerEncoder):
        raise ValueError(f"encoder {getattr(encoder, 'name', encoder)!r} must have two towers, such as lite-clip")
    if multilingual is not None and (multilingual.kind != "text" or multilingual.dim != encoder.dim):
        raise ValueError(
            f"the multilingual encoder must take texts into the {encoder.dim} dimensions of {encoder.name!r}; "
            f"{multilingual.name!r} takes {multilingual.kind} into {multilingual.dim}"
        )
    names = [head.column for head in heads]
    if len(set(names)) != len(names):
        raise ValueError(f"heads must have names of their own; got {', '.join(names)}")
    for head in heads:
        head.require(encoder.fingerprint, encoder.dim)


def _claim(job: Job, stages: Sequence[str]) -> None:
    """Compare with what the folder was begun with, and note what this run adds."""
    work, source = job.work, job.source
    units = [[u.label, u.kind, u.start, u.stop, Path(u.file).stat().st_size] for u in source.units]
    own = {"parse": job.settings.digest("parse", units, source.base_url), "fetch": job.settings.digest("fetch")}
    if job.encoder is not None:
        other = "" if job.multilingual is None else job.multilingual.fingerprint
        own["embed"] = job.settings.digest("embed", job.encoder.fingerprint, other)
    file = work.folder / "manifest.json"
    begun = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if not begun and any((work.out / name).exists() for name in ("collection.json", "shards")):
        raise ValueError(f"{work.out} holds a collection without its work folder; name a new folder")
    for name, digest in own.items():
        if begun.get(name, digest) != digest:
            raise ValueError(
                f"{work.out} was begun with another input or other settings of stage {name!r}: say the same again, or "
                "name a new folder (only thresholds, near duplicates, rules and heads may change)"
            )
    work.folder.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        told = {**begun, **{name: own[name] for name in own if name in stages or name in begun}}
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _run(
    name: str, function: Callable[[Job, Any], int], job: Job, items: Sequence[Any], engine: Engine | None
) -> list[Failure]:
    """Do all items; those that fail once more at the end; what fails then."""
    failed: list[tuple[Any, str]] = [(item, "") for item in items]
    for attempt in range(ATTEMPTS):
        if not failed:
            break
        if attempt:
            log.warning("%s: trying %d of %d again", name, len(failed), len(items))
        again = [item for item, _ in failed]
        told = each(_guarded, [(function, item) for item in again], job, engine=engine, label=name)
        failed = [(item, error) for item, error in zip(again, told) if error]
    for item, error in failed:
        log.warning("%s of shard %s failed: %s", name, getattr(item, "number", item), error)
    return [Failure(name, getattr(item, "number", item), error) for item, error in failed]


def _guarded(job: Job, task: tuple[Callable[[Job, Any], int], Any]) -> str:
    """Do one item; what went wrong, or nothing."""
    function, item = task
    try:
        function(job, item)
    except Exception as error:  # a shard's failure is reported, and does not take the others down
        log.debug("a shard failed", exc_info=True)
        return f"{type(error).__name__}: {error}"
    return ""


# -- stages --------------------------------------------------------------------------------------------------


def _parse(job: Job, engine: Engine | None) -> list[Failure]:
    """Parse every unit, then plan the shards: each pair and each URL once, in an order of its own."""
    work = job.work
    if (work.folder / "plan.json").exists():
        return []
    todo = [n for n in range(len(job.source.units)) if not work.parsed(n).exists()]
    failures = _run("parse", work_of.parse_unit, job, todo, engine)
    if failures:
        named = "; ".join(f"{job.source.units[f.number].label}: {f.error}" for f in failures)
        raise RuntimeError(f"the input could not be parsed, so nothing can be counted: {named}")
    _plan(job)
    return []


def _plan(job: Job) -> None:
    tables = [pq.read_table(job.work.parsed(n)) for n in range(len(job.source.units))]
    faults = [line for t in tables for line in (t.schema.metadata or {}).get(b"faults", b"").decode().splitlines()]
    table = pa.concat_tables([t.replace_schema_metadata(None) for t in tables])
    stage_of, reason = np.array(table["stage"].to_pylist(), object), np.array(table["reason"].to_pylist(), object)
    alive = np.flatnonzero(reason == "")
    uids, urls = (np.array(table[key].to_pylist(), object)[alive] for key in ("uid", "url"))
    bloom = BloomFilter(max(1, len(alive)), job.settings.bloom_error)
    met = bloom.add(urls.tolist())
    first = np.zeros(len(alive), dtype=bool)
    first[np.unique(uids.astype(str), return_index=True)[1]] = True
    again = met | ~first
    reason[alive[again]] = np.where(~first[again], SAME_PAIR, SAME_URL)
    stage_of[alive[again]] = "parse"
    out = np.flatnonzero(reason != "")
    columns = [table[key].take(pa.array(out)).to_pylist() for key in ("uid", "url", "text")]
    rows = zip(*columns, stage_of[out].tolist(), reason[out].tolist(), [""] * len(out))
    write_table(dropped_table(rows), job.work.dropped("parse"))
    kept = np.random.default_rng(job.settings.seed).permutation(alive[~again])
    shards = range(0, len(kept), job.settings.shard_size)
    for number, start in enumerate(shards):
        part = table.take(pa.array(kept[start : start + job.settings.shard_size]))
        write_table(part.drop_columns(["stage", "reason"]), job.work.candidates(number))
    with replacing(job.work.folder / "plan.json") as temporary:
        told = {"parsed": len(table), "shards": len(shards), "faults": faults}
        temporary.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _fetch(job: Job, engine: Engine | None) -> list[Failure]:
    _need(job, job.work.folder / "plan.json", "parse")
    todo = [n for n in work_of.numbers(job.work) if not job.work.fetched(n).folder.exists()]
    return _run("fetch", work_of.fetch_shard, job, todo, engine)


def _embed(job: Job, engine: Engine | None) -> list[Failure]:
    _need(job, job.work.folder / "fetched", "fetch", empty=not work_of.numbers(job.work))
    there = [n for n in work_of.numbers(job.work) if job.work.fetched(n).folder.exists()]
    todo = [n for n in there if not job.work.embedded(n).exists()]
    return _run("embed", work_of.embed_shard, job, todo, engine)


def _select(job: Job, engine: Engine | None) -> list[Failure]:
    """Decide over all shards at once, then write each."""
    _need(job, job.work.folder / "embedded", "embed", empty=not work_of.numbers(job.work))
    assert job.encoder is not None
    there = [n for n in work_of.numbers(job.work) if job.work.embedded(n).exists()]
    with stage("decide"):
        decisions, least = _decide(job, there)
    shutil.rmtree(job.work.out / "shards", ignore_errors=True)
    for file in (job.work.folder / "dropped").glob("select-*.parquet"):
        file.unlink()
    record = EncoderRecord(job.encoder.name, job.encoder.fingerprint, job.encoder.dim)
    text = job.multilingual.name if job.multilingual is not None else ""
    told = {"thresholds": least, "heads": {head.column: head.threshold for head in job.heads}}
    write_record(job.work.out, record, multilingual=text, **told)
    return _run("select", work_of.select_shard, job, decisions, engine)


def _decide(job: Job, there: list[int]) -> tuple[list[Decision], dict[str, float]]:
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
    stands = _stand_ins(job, folders, sha, similarity)
    lost = np.flatnonzero(stands != np.arange(len(stands)))
    stage_of[lost], detail[lost] = "duplicates", uid[stands[lost]]
    reason[lost] = np.where(sha[lost] == sha[stands[lost]], SAME_PICTURE, NEAR_PICTURE)
    alive = np.flatnonzero(reason == "")
    _warn(job, language[alive])
    streams = [stream_of(code) for code in language[alive].tolist()]
    least = thresholds(job.settings.threshold, job.settings.target_keep, similarity[alive], streams)
    below = alive[~passes(similarity[alive], streams, least)]
    stage_of[below], reason[below] = "filter", BELOW
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
            "languages their similarity means nothing (--multilingual-encoder)",
            others,
            len(language),
            job.encoder.name if job.encoder else "",
        )


def _stand_ins(job: Job, folders: list[Path], sha: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """The row that stands for each: the best of equal files, then the best that shows the same picture."""
    files, which = np.unique(sha.astype(str), return_inverse=True)
    order = np.lexsort((np.arange(len(sha)), -similarity))
    best = np.empty(len(files), dtype=np.int64)
    best[which[order[::-1]]] = order[::-1]  # the last assignment stays: the best
    stands = best[which]
    if job.settings.near is None or len(best) < 2:
        return stands
    best = np.sort(best)
    vectors = [np.load(folder / "image.npy", mmap_mode="r", allow_pickle=False) for folder in folders]
    looks = [np.load(folder / "looks.npy", mmap_mode="r", allow_pickle=False) for folder in folders]
    starts = np.cumsum([0, *map(len, vectors)])

    def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        found = np.empty(len(one), dtype=bool)
        for k in range(0, len(one), 1024):
            a, b = (_gathered(looks, starts, best[side[k : k + 1024]]) for side in (one, other))
            found[k : k + 1024] = look_alike(a, b)
        return found

    own = _gathered(vectors, starts, best)
    near = one_of_each(own, similarity[best], job.settings.near, alike, seed=job.settings.seed)
    to = np.arange(len(sha))
    to[best] = best[near]
    return to[stands]


def _gathered(parts: list[np.ndarray], starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of arrays that follow each other, in any order."""
    part = np.searchsorted(starts, rows, side="right") - 1
    found = np.empty((len(rows), *parts[0].shape[1:]), parts[0].dtype)
    for k in np.unique(part):
        found[part == k] = parts[k][rows[part == k] - starts[k]]
    return found


def _need(job: Job, place: Path, before: str, *, empty: bool = False) -> None:
    if not (place.exists() or empty):
        raise ValueError(f"{job.work.out} has nothing of stage {before!r} yet; run it first (--stages {before})")


# -- the end -------------------------------------------------------------------------------------------------


def _settle(job: Job, failures: Iterable[Failure]) -> Accounting:
    """Count everything, and write ``dropped.parquet``, ``accounting.json`` and ``statistics.json``."""
    work = job.work
    plan = json.loads((work.folder / "plan.json").read_text(encoding="utf-8"))
    broken = {failure.number: failure for failure in failures}
    files, lost, kept, waiting = [work.dropped("parse")], [], 0, 0
    for number in work_of.numbers(work):
        steps = [
            ("fetch", work.fetched(number).folder),
            ("embed", work.embedded(number)),
            ("select", work.out / "shards" / f"{number:05d}"),
        ]
        done = [name for name, place in steps if place.exists()]
        files += [work.dropped(name, number) for name in done]
        if len(done) == len(steps):
            kept += pq.read_metadata(steps[-1][1] / "pairs.parquet").num_rows
            continue
        left = _left(work, number, done)
        if number in broken:
            failure = broken[number]
            where = {"fetch": "download", "embed": "embed", "select": "filter"}[failure.stage]
            lost += [(*row, where, "its shard failed", failure.error) for row in left]
        else:
            waiting += len(left)
    table = pa.concat_tables([work_of.all_dropped(files), dropped_table(lost)])
    write_table(table, work.out / "dropped.parquet")
    counts: Counter[Any] = counted(table)
    found = Accounting(plan["parsed"], kept, dict(counts), waiting, tuple(plan["faults"]))
    found.save(work.out / "accounting.json")
    if (work.out / "collection.json").exists():
        with replacing(work.out / "statistics.json") as temporary:
            temporary.write_text(
                json.dumps(statistics(work.out), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    return found


def _left(work: Work, number: int, done: list[str]) -> list[tuple[str, str, str]]:
    """(uid, url, text) of a shard's rows that the stages done so far have not dropped."""
    rows = pq.read_table(work.candidates(number), columns=["uid", "url", "text"]).to_pylist()
    gone = {uid for name in done for uid in pq.read_table(work.dropped(name, number))["uid"].to_pylist()}
    return [(row["uid"], row["url"], row["text"]) for row in rows if row["uid"] not in gone]


__all__ = ["ATTEMPTS", "Curated", "Failure", "Settings", "Source", "curate"]
