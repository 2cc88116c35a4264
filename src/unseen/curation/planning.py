"""The plan of a run: each pair and each URL once, then shards in a drawn order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation.accounting import DROPPED, dropped_table
from unseen.curation.stages import CANDIDATES, Job, write_table
from unseen.curation.units import STRETCH
from unseen.methods.curation.laion.bloom import BloomFilter
from unseen.runtime import replacing

SAME_PAIR, SAME_URL = "pair of URL and caption met before", "URL met before"


def plan(job: Job) -> None:
    """Each pair and each URL once, in the order of the input; then the shards, in a drawn order."""
    files = [job.work.parsed(n) for n in range(len(job.source.units))]
    faults = [
        line
        for file in files
        for line in (pq.read_schema(file).metadata or {}).get(b"faults", b"").decode().splitlines()
    ]
    alive = [_column(file, "reason") == "" for file in files]
    bloom = BloomFilter(max(1, sum(int(mask.sum()) for mask in alive)), job.settings.bloom_error)
    met = [
        np.zeros(int(mask.sum()), dtype=bool) if job.source.is_local else _met(bloom, _column(file, "url")[mask])
        for file, mask in zip(files, alive)
    ]  # files of a folder have names of their own, and a filter that may err is not asked
    uids = [_column(file, "uid")[mask].astype("S32") for file, mask in zip(files, alive)]
    first = np.zeros(sum(map(len, uids)), dtype=bool)
    first[np.unique(np.concatenate([np.zeros(0, "S32"), *uids]), return_index=True)[1]] = True
    dropped, kept, at = [dropped_table([])], [], 0
    errs = f"a new URL is taken for an old one with probability {job.settings.bloom_error:g}"
    for file, mask, again in zip(files, alive, met):
        table = pq.read_table(file).replace_schema_metadata(None)
        new = first[at : at + len(again)]
        at += len(again)
        stage_of, reason = (np.array(table[name].to_pylist(), object) for name in ("stage", "reason"))
        detail = np.full(len(table), "", object)
        places = np.flatnonzero(mask)
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
        if "more" not in table.column_names:  # parsed by an earlier version
            table = table.append_column("more", pa.nulls(len(table), pa.string()))
        kept.append(_large(table.drop_columns(["stage", "reason"])).filter(pa.array(reason == "")))
    write_table(pa.concat_tables(dropped), job.work.dropped("parse"))
    small = pa.schema([field for field in CANDIDATES if field.name not in ("stage", "reason")])
    table = pa.concat_tables([_large(small.empty_table()), *kept])
    kept.clear()
    others = _others(table["more"])
    table = table.drop_columns(["more"])
    for name, column in others.items():
        table = table.append_column(name, column)
    small = pa.schema([*(field for field in small if field.name != "more"), *((k, v.type) for k, v in others.items())])
    table = table.take(pa.array(np.random.default_rng(job.settings.seed).permutation(len(table))))
    shards = range(0, len(table), job.settings.shard_size)
    for number, start in enumerate(shards):
        write_table(table.slice(start, job.settings.shard_size).cast(small), job.work.candidates(number))
    with replacing(job.work.folder / "plan.json") as temporary:
        summary = {"parsed": sum(map(len, alive)), "shards": len(shards), "faults": faults}
        summary["of"] = "pictures" if job.source.is_local else "links"
        temporary.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _others(more: pa.ChunkedArray) -> dict[str, pa.Array]:
    """The columns of what tables say beside, of numbers where all that stands in one is a number."""
    rows = [(i, json.loads(line)) for i, line in enumerate(more.to_pylist()) if line]
    columns: dict[str, list[Any]] = {}
    for i, cells in rows:
        for name, value in cells.items():
            columns.setdefault(name, [None] * len(more))[i] = value
    return {name: _typed(column) for name, column in columns.items()}


def _typed(column: list[Any]) -> pa.Array:
    """Whole numbers, numbers, truths or words, whichever all values are; "007" and "nan" are words."""
    there = [value for value in column if value is not None]
    if all(isinstance(value, bool) for value in there):
        return pa.array(column, pa.bool_())
    words = [str(value) for value in there]
    if all(_WHOLE.fullmatch(word) for word in words):
        return pa.array([None if value is None else int(value) for value in column], pa.int64())
    if all(_NUMBER.fullmatch(word) for word in words):
        return pa.array([None if value is None else float(value) for value in column], pa.float64())
    return pa.array([None if value is None else str(value) for value in column], pa.string())


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})?(?:\.[0-9]+|(?<=[0-9])\.?)(?:[eE][+-]?[0-9]{1,2})?")


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
