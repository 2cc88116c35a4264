"""`curate`: all stages over all shards, resumable, every drop counted; on Ray with the same bits."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen.curation import stages as work_of
from unseen.curation.accounting import Accounting
from unseen.curation.attempts import DiskFull, Failure, is_full, run_each, told_if_full
from unseen.curation.books import settle
from unseen.curation.collection import COLUMNS, EncoderRecord, write_record
from unseen.curation.deciding import decide
from unseen.curation.planning import plan
from unseen.curation.settings import STAGES, Settings
from unseen.curation.sources import open_source
from unseen.curation.stages import Job, Work
from unseen.curation.units import Source
from unseen.encoders.base import Encoder
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.files import read_object, refuse_lost
from unseen.methods.curation.laion.heads import Head
from unseen.methods.curation.laion.language import Detector
from unseen.runtime import replacing, stage
from unseen.runtime import stages as timed
from unseen.scale import Engine

log = logging.getLogger(__name__)

WRITTEN = ("accounting.json", "dropped.parquet", "index", "report.html", "statistics.json")
"""What stands in the folder of a collection beside its record, its shards and the work folder."""


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
    source: str | os.PathLike[str] | Source,
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
    source : path or Source
        What `open_source` reads, or gave.
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
        See `open_source`; of a path.
    cache : bool
        Keep features by content, as encoders do.

    Raises
    ------
    ValueError
        If the folder was begun with other settings or another input, an earlier stage is missing, or a head or text
        encoder does not fit.
    FileExistsError
        If the folder holds files of something else that would be lost.
    """
    settings = settings or Settings()
    if unknown := [name for name in stages if name not in STAGES] or ([] if stages else ["none"]):
        raise ValueError(f"stages must be some of {', '.join(STAGES)}; got {unknown[0]!r}")
    multilingual = getattr(multilingual, "text", multilingual)
    _check(encoder, multilingual, heads, stages)
    check_out(out)
    opened = open_source(source, base_url=base_url)
    place = Path(out).absolute()
    if Path(opened.path).is_dir() and place.resolve().is_relative_to(Path(opened.path).resolve()):
        raise ValueError(
            f"the collection {str(out)!r} must not lie inside its input {opened.path!r}: name a folder beside"
        )
    settings = settings.for_input(is_local=opened.is_local)
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
            except DiskFull as full:
                failures += full.failures
                break
            if failures and not (job.work.folder / {"fetch": "fetched", "embed": "embedded"}.get(name, "")).exists():
                break  # all shards failed: there is nothing to go on with, and the books say so
    with told_if_full("the books of this run"):
        accounting = settle(job.work, failures)
    return Curated(job.work.out, accounting, tuple(failures), dict(seconds))


def check_out(out: str | os.PathLike[str]) -> None:
    """Refuse a folder, before any work, that does not hold a collection that was begun here and would lose files.

    Raises
    ------
    ValueError
        If it holds a collection without its work folder.
    FileExistsError
        If it holds other files of the names that are written here (`WRITTEN`).
    """
    place = Path(out)
    mark = "work/manifest.json"
    if not (place / mark).exists() and any((place / name).exists() for name in ("collection.json", "shards")):
        raise ValueError(f"{place} holds a collection without its work folder; name a new folder")
    refuse_lost(place, WRITTEN, mark)


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
    digests = {
        "parse": job.settings.digest("parse", units, source.base_url, source.digest),
        "fetch": job.settings.digest("fetch"),
    }
    if job.encoder is not None:
        other = "" if job.multilingual is None else job.multilingual.fingerprint
        digests["embed"] = job.settings.digest("embed", job.encoder.fingerprint, other)
    file = work.folder / "manifest.json"
    begun = read_object(file) if file.exists() else {}
    before = {"fetch": job.settings.digest_with_pace()}
    settings = json.loads(json.dumps({name: job.settings.told(name) for name in digests}))
    for name, digest in digests.items():
        if begun.get(name, digest) not in (digest, before.get(name)):
            old = "" if "settings" in begun else "; one of an earlier version goes on once at its own pace first"
            raise ValueError(
                f"{work.out} was begun with {_differing(name, begun, settings[name])}: say the same again, or "
                "name a new folder (only thresholds, near duplicates, rules, heads and the pace of "
                f"downloads may change{old})"
            )
    work.folder.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        claimed = [name for name in digests if name in stages or name in begun]
        manifest = {**begun, **{name: digests[name] for name in claimed}}
        manifest["settings"] = {**begun.get("settings", {}), **{name: settings[name] for name in claimed}}
        temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _differing(stage: str, begun: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs in a stage from what a folder was begun with, each setting with both values."""
    old = begun.get("settings", {}).get(stage)
    if old is None:  # of a run from before settings were kept
        return f"another input or other settings of stage {stage!r}"
    changes = [
        f"{key} {_said(old.get(key))}, not {_said(value)}" for key, value in new.items() if old.get(key) != value
    ]
    return "; ".join(changes) or ("another encoder" if stage == "embed" else "another input")


def _said(value: Any) -> str:
    """A setting as people write it."""
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


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


_PART = re.compile(r"\.(?:.+\.(?:partial|old)-[0-9a-f]{8}|[0-9]{5,}\.[0-9a-f]{8}|[0-9a-f]{8}\..+)")


# -- stages --------------------------------------------------------------------------------------------------


def _parse(job: Job, engine: Engine | None) -> list[Failure]:
    """Parse every unit, then plan the shards: each pair and each URL once, in an order of its own."""
    work = job.work
    if (work.folder / "plan.json").exists():
        return []
    todo = [n for n in range(len(job.source.units)) if not work.parsed(n).exists()]
    try:
        failures = run_each("parse", work_of.parse_unit, job.without_encoder, todo, engine)
    except DiskFull as full:  # there is no plan yet, and so there are no books
        failures = full.failures
    if failures:
        named = "; ".join(f"{job.source.units[f.number].label}: {f.error}" for f in failures)
        kind = ValueError if all(f.wrong for f in failures) else RuntimeError
        raise kind(f"the input could not be parsed, so nothing can be counted: {named}")
    with told_if_full("the plan"):
        plan(job)
    return []


def _fetch(job: Job, engine: Engine | None) -> list[Failure]:
    _need(job, job.work.folder / "plan.json", "parse")
    todo = [n for n in job.work.numbers if not job.work.fetched(n).folder.exists()]
    return run_each("fetch", work_of.fetch_shard, job.without_encoder, todo, engine)


def _embed(job: Job, engine: Engine | None) -> list[Failure]:
    _need(job, job.work.folder / "fetched", "fetch", empty=not job.work.numbers)
    there = [n for n in job.work.numbers if job.work.fetched(n).folder.exists()]
    todo = [n for n in there if not job.work.embedded(n).exists()]
    return run_each("embed", work_of.embed_shard, job, todo, engine)


def _select(job: Job, engine: Engine | None) -> list[Failure]:
    """Decide over all shards at once, then write each."""
    _need(job, job.work.folder / "embedded", "embed", empty=not job.work.numbers)
    assert job.encoder is not None
    there = [n for n in job.work.numbers if job.work.embedded(n).exists()]
    with stage("decide"):
        decisions, least = decide(job, there)
    record = EncoderRecord(job.encoder.name, job.encoder.fingerprint, job.encoder.dim)
    other = job.multilingual
    text = "" if other is None else {"name": other.name, "fingerprint": other.fingerprint}
    extra = {"thresholds": least, "heads": {head.column: head.threshold for head in job.heads}}
    beside = job.work.selecting
    shutil.rmtree(beside.out, ignore_errors=True)
    before = (job.work.out / "shards").exists()
    failures: list[Failure] = []
    full: DiskFull | None = None
    try:
        write_record(beside.out, record, multilingual=text, **extra)
        lean = job if job.settings.rules else job.without_encoder  # the rules alone embed: their prompts
        failures = run_each("select", work_of.select_shard, lean, decisions, engine)
    except DiskFull as error:
        failures, full = error.failures, error
    except OSError as error:
        if not is_full(error):
            raise
        full = DiskFull([Failure("select", 0, f"the disk is full, so the run stopped here: {error}")])
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


def _need(job: Job, place: Path, before: str, *, empty: bool = False) -> None:
    if not (place.exists() or empty):
        raise ValueError(f"{job.work.out} has nothing of stage {before!r} yet; run it first (stages={before})")
