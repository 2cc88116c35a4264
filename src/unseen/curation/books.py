"""The books at the end of a run: every link that was parsed is kept, dropped for a reason, or waiting."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation.accounting import Accounting, counted, dropped_table
from unseen.curation.attempts import Failure
from unseen.curation.stages import Work, write_table
from unseen.curation.statistics import statistics
from unseen.files import read_object
from unseen.runtime import replacing
from unseen.strict_json import strict_json


def settle(work: Work, failures: Iterable[Failure]) -> Accounting:
    """Count everything, and write ``dropped.parquet``, ``accounting.json`` and ``statistics.json``."""
    plan = read_object(work.folder / "plan.json")
    broken = {failure.number: failure for failure in failures}
    files, lost, kept, waiting = [work.dropped("parse")], [], 0, 0
    for number in work.numbers:
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
    table = pa.concat_tables([dropped_table([]), *map(pq.read_table, files), dropped_table(lost)])
    write_table(table, work.out / "dropped.parquet")
    accounting = Accounting(
        plan["parsed"], kept, dict(counted(table)), waiting, tuple(plan["faults"]), plan.get("of", "links")
    )
    accounting.save(work.out / "accounting.json")
    if (work.out / "collection.json").exists():
        with replacing(work.out / "statistics.json") as temporary:
            temporary.write_text(strict_json(statistics(work.out)) + "\n", encoding="utf-8")
    return accounting


def _left(work: Work, number: int, done: list[str]) -> list[tuple[str, str, str]]:
    """(uid, url, text) of a shard's rows that the stages done so far have not dropped."""
    rows = pq.read_table(work.candidates(number), columns=["uid", "url", "text"]).to_pylist()
    gone = {uid for name in done for uid in pq.read_table(work.dropped(name, number))["uid"].to_pylist()}
    return [(row["uid"], row["url"], row["text"]) for row in rows if row["uid"] not in gone]
