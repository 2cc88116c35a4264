"""`curate`: all stages over all shards, resumable, every drop counted; on Ray with the same bits."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation import stages as work_of
from unseen.curation.accounting import DROPPED, Accounting, counted, dropped_table
from unseen.curation.collection import COLUMNS, EncoderRecord, write_record
from unseen.curation.settings import STAGES, Settings
from unseen.curation.sources import STRETCH, Source, open_source
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
    place = Path(out).absolute()
    if Path(opened.path).is_dir() and place.resolve().is_relative_to(Path(opened.path).resolve()):
        raise ValueError(
            f"the collection {str(out)!r} must not lie inside its input {str(source)!r}: name a folder beside"
        )
    job = Job(Work(place), opened, settings, encoder, multilingual, tuple(heads), detector, cache)
    _claim(job, stages)
    _tidy(job.work)
    failures: list[Failure] = []
    run: dict[str, Callable[[Job, Engine | None], list[Failure]]] = {
        "parse": _parse,
        "fetch": _fetch,
        "embed": _embed,
        "select": _select,
    }
    with timed() as seconds:
        for name in (name for name in STAGES if name in stages):
            try:
                with stage(name):
                    failures += run[name](job, engine)
            except _Full as full:
                failures += full.failures
                break
            if failures and not (job.work.folder / {"fetch": "fetched", "embed": "embedded"}.get(name, "")).exists():
                break  # all shards failed: there is nothing to go on with, and the books say so
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
    taken = {*COLUMNS.names, "page", "nsfw", "row", "stage", "reason"}
    if wrong := [head.name for head in heads if head.column in taken]:
        raise ValueError(f"a head must not be named {wrong[0]!r}: that is another column of the collection")
    for head in heads:
        head.require(encoder.fingerprint, encoder.dim)


def _claim(job: Job, stages: Sequence[str]) -> None:
    """Compare with what the folder was begun with, and note what this run adds."""
    work, source = job.work, job.source
    units = [[u.label, u.kind, u.start, u.stop] for u in source.units]
    own = {
        "parse": job.settings.digest("parse", units, source.base_url, source.digest),
        "fetch": job.settings.digest("fetch"),
    }
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


def _tidy(work: Work) -> None:
    """Remove what a killed run left half-written, and put back what it had moved aside."""
    places = [work.out / "shards", work.folder, work.folder / "fetched" / "shards"]
    places += [work.folder / name for name in ("parsed", "candidates", "embedded", "dropped")]
    for place in places:
        for part in place.glob(".*"):
            if _PART.fullmatch(part.name):
                shutil.rmtree(part) if part.is_dir() else part.unlink()
    shutil.rmtree(work.selecting.out, ignore_errors=True)
    if (work.folder / "replaced").exists():
        if (work.out / "shards").exists():
            shutil.rmtree(work.folder / "replaced")
        else:
            (work.folder / "replaced").rename(work.out / "shards")


_PART = re.compile(r"\.(?:[0-9]{5,}\.(?:partial-)?[0-9a-f]{8}|[0-9a-f]{8}\..+)")


class _Full(Exception):  # noqa: N818 - it ends the run early, with its books
    def __init__(self, failures: list[Failure]) -> None:
        super().__init__("the disk is full")
        self.failures = failures


class _Told(NamedTuple):
    """What went wrong with an item, or nothing; whether the disk is full."""

    error: str
    full: bool = False


def _run(
    name: str, function: Callable[[Job, Any], int], job: Job, items: Sequence[Any], engine: Engine | None
) -> list[Failure]:
    """Do all items; those that fail once more at the end; what fails then. A full disk ends it at once."""
    failed: list[tuple[Any, str]] = [(item, "") for item in items]
    full = False
    for attempt in range(ATTEMPTS):
        if not failed or full:
            break
        if attempt:
            log.warning("%s: trying %d of %d again", name, len(failed), len(items))
        again = [item for item, _ in failed]
        failed = []
        for item, told in zip(again, _each(name, function, job, again, engine)):
            if told.error:
                failed.append((item, told.error))
            if told.full:
                full = True
                break
    failures = [Failure(name, getattr(item, "number", item), error) for item, error in failed]
    for failure in failures:
        log.warning("%s of shard %s failed: %s", name, failure.number, failure.error)
    if full:
        raise _Full(failures)
    return failures


def _each(
    name: str, function: Callable[[Job, Any], int], job: Job, items: Sequence[Any], engine: Engine | None
) -> Iterator[_Told]:
    """What became of every item; if a worker of Ray is lost for good, that is told of it and of all after it."""
    done = 0
    try:
        for told in each(_guarded, [(function, item) for item in items], job, engine=engine, label=name):
            done += 1
            yield told
    except Exception as error:
        if engine is None or engine.name != "ray" or not type(error).__module__.startswith("ray."):
            raise
        for _ in items[done:]:
            yield _Told(f"a worker of Ray was lost: {type(error).__name__}: {error}".splitlines()[0])


def _guarded(job: Job, task: tuple[Callable[[Job, Any], int], Any]) -> _Told:
    """Do one item; what went wrong, or nothing."""
    function, item = task
    try:
        function(job, item)
    except Exception as error:  # a shard's failure is reported, and does not take the others down
        log.debug("a shard failed", exc_info=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _Told(f"the disk is full, so the run stopped here: {error}", full=True)
        return _Told(f"{type(error).__name__}: {error}")
    return _Told("")


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
    """Each pair and each URL once, in the order of the input; then the shards, in a drawn order."""
    files = [job.work.parsed(n) for n in range(len(job.source.units))]
    faults = [
        line
        for file in files
        for line in (pq.read_schema(file).metadata or {}).get(b"faults", b"").decode().splitlines()
    ]
    alive = [_column(file, "reason") == "" for file in files]
    bloom = BloomFilter(max(1, sum(int(own.sum()) for own in alive)), job.settings.bloom_error)
    met = [_met(bloom, _column(file, "url")[own]) for file, own in zip(files, alive)]
    uids = [_column(file, "uid")[own].astype("S32") for file, own in zip(files, alive)]
    first = np.zeros(sum(map(len, uids)), dtype=bool)
    first[np.unique(np.concatenate([np.zeros(0, "S32"), *uids]), return_index=True)[1]] = True
    dropped, kept, at = [dropped_table([])], [], 0
    errs = f"a new URL is taken for an old one with probability {job.settings.bloom_error:g}"
    for file, own, again in zip(files, alive, met):
        table = pq.read_table(file).replace_schema_metadata(None)
        new = first[at : at + len(again)]
        at += len(again)
        stage_of, reason = (np.array(table[name].to_pylist(), object) for name in ("stage", "reason"))
        detail = np.full(len(table), "", object)
        places = np.flatnonzero(own)
        out = places[again | ~new]
        stage_of[out] = "parse"
        reason[places[~new]] = SAME_PAIR
        reason[places[again & new]], detail[places[again & new]] = SAME_URL, errs
        lost = np.flatnonzero(reason != "")
        columns = {name: table[name].take(pa.array(lost)) for name in ("uid", "url", "text")}
        columns |= {
            name: pa.array(array[lost].tolist(), pa.string())
            for name, array in (("stage", stage_of), ("reason", reason), ("detail", detail))
        }
        dropped.append(pa.table(columns, schema=DROPPED))
        kept.append(_large(table.drop_columns(["stage", "reason"])).filter(pa.array(reason == "")))
    write_table(pa.concat_tables(dropped), job.work.dropped("parse"))
    small = pa.schema([field for field in work_of.CANDIDATES if field.name not in ("stage", "reason")])
    table = pa.concat_tables([_large(small.empty_table()), *kept])
    kept.clear()
    table = table.take(pa.array(np.random.default_rng(job.settings.seed).permutation(len(table))))
    shards = range(0, len(table), job.settings.shard_size)
    for number, start in enumerate(shards):
        write_table(table.slice(start, job.settings.shard_size).cast(small), job.work.candidates(number))
    with replacing(job.work.folder / "plan.json") as temporary:
        told = {"parsed": sum(map(len, alive)), "shards": len(shards), "faults": faults}
        temporary.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _column(file: Path, name: str) -> np.ndarray:
    return pq.read_table(file, columns=[name])[name].to_numpy()


def _met(bloom: BloomFilter, urls: np.ndarray) -> np.ndarray:
    """Which URLs were met before, some at a time."""
    parts = [bloom.add(urls[i : i + STRETCH].tolist()) for i in range(0, len(urls), STRETCH)]
    return np.concatenate([np.zeros(0, dtype=bool), *parts])


def _large(table: pa.Table) -> pa.Table:
    """The table with texts of which a column may hold more than 2 GiB."""
    fields = [f.with_type(pa.large_string()) if pa.types.is_string(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


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
    record = EncoderRecord(job.encoder.name, job.encoder.fingerprint, job.encoder.dim)
    other = job.multilingual
    text = "" if other is None else {"name": other.name, "fingerprint": other.fingerprint}
    told = {"thresholds": least, "heads": {head.column: head.threshold for head in job.heads}}
    beside = job.work.selecting
    shutil.rmtree(beside.out, ignore_errors=True)
    before = (job.work.out / "shards").exists()
    failures: list[Failure] = []
    full: _Full | None = None
    try:
        write_record(beside.out, record, multilingual=text, **told)
        failures = _run("select", work_of.select_shard, job, decisions, engine)
    except _Full as error:
        failures, full = error.failures, error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = _Full([Failure("select", 0, f"the disk is full, so the run stopped here: {error}")])
        failures = full.failures
    if not failures or not before:
        _swap(job.work)
    else:
        log.warning("the collection stays as it was before: select could not be finished")
        shutil.rmtree(beside.out, ignore_errors=True)
    if full is not None:
        raise full
    return failures


def _swap(work: Work) -> None:
    """Let what `select` wrote beside the collection take its place."""
    beside, old = work.selecting, work.folder / "replaced"
    (beside.out / "shards").mkdir(parents=True, exist_ok=True)
    if (work.out / "shards").exists():
        (work.out / "shards").rename(old)
    (beside.out / "shards").rename(work.out / "shards")
    if (beside.out / "collection.json").exists():
        (beside.out / "collection.json").replace(work.out / "collection.json")
    for file in (work.folder / "dropped").glob("select-*.parquet"):
        file.unlink()
    for file in (beside.folder / "dropped").glob("select-*.parquet"):
        file.replace(work.folder / "dropped" / file.name)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(beside.out)


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
    file, stands = _stand_ins(job, folders, sha, similarity)
    lost = np.flatnonzero(stands != np.arange(len(stands)))
    stage_of[lost], detail[lost] = "duplicates", uid[stands[lost]]
    reason[lost] = np.where(file[lost] != lost, SAME_PICTURE, NEAR_PICTURE)
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


def _stand_ins(job: Job, folders: list[Path], sha: np.ndarray, similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every row the best of the rows with its file, and of these the best that shows the same picture."""
    files, which = np.unique(sha.astype(str), return_inverse=True)
    order = np.lexsort((np.arange(len(sha)), -similarity))
    best = np.empty(len(files), dtype=np.int64)
    best[which[order[::-1]]] = order[::-1]  # the last assignment stays: the best
    file = best[which]
    if job.settings.near is None or len(best) < 2:
        return file, file
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
    return file, to[file]


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
