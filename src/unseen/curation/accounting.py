"""Every pair that is dropped, with its stage and reason; kept and dropped add up to what was parsed."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pyarrow as pa

from unseen.files import named, read_object
from unseen.runtime import replacing
from unseen.strict_json import strict_json

STAGES = ("parse", "language", "download", "checks", "embed", "duplicates", "filter", "safety")
"""In their order; every drop belongs to one."""

DROPPED = pa.schema([(name, pa.string()) for name in ("uid", "url", "text", "stage", "reason", "detail")])
"""A row per pair that was dropped."""


@dataclasses.dataclass(frozen=True)
class Accounting:
    """What became of the links.

    Attributes
    ----------
    parsed : int
        Image links, rows or pictures that were found.
    kept : int
    dropped : mapping of (stage, reason) to int
    waiting : int
        Links of shards that have not been done: none once everything ran.
    faults : tuple of str
        What of the input could not be read, and so could not be counted.
    what : {"links", "pictures"}
        What is counted: image links of the web, or pictures of a folder.
    """

    parsed: int
    kept: int
    dropped: Mapping[tuple[str, str], int]
    waiting: int = 0
    faults: tuple[str, ...] = ()
    what: Literal["links", "pictures"] = "links"

    def __post_init__(self) -> None:
        total = self.kept + sum(self.dropped.values()) + self.waiting
        if total != self.parsed:
            raise ValueError(
                f"{self.parsed:,} {self.what} were parsed, but {self.kept:,} kept, "
                f"{sum(self.dropped.values()):,} dropped "
                f"and {self.waiting:,} waiting make {total:,}: a pair was lost or counted twice"
            )

    def rows(self) -> list[tuple[str, str, int]]:
        """(stage, reason, count), stage by stage, the most frequent reason first."""
        order = {stage: i for i, stage in enumerate(STAGES)}
        items = sorted(
            self.dropped.items(), key=lambda item: (order.get(item[0][0], len(STAGES)), -item[1], item[0][1])
        )
        return [(stage, reason, count) for (stage, reason), count in items]

    def of(self, stage: str) -> dict[str, int]:
        """Counts of a stage by reason."""
        return {reason: count for name, reason, count in self.rows() if name == stage}

    def lines(self) -> list[str]:
        """The table as text."""
        rows = [
            (self.what if self.what == "pictures" else "parsed", "", self.parsed),
            *((s, r, -n) for s, r, n in self.rows()),
        ]
        rows += [("waiting", "shards that are not done", -self.waiting)] if self.waiting else []
        rows.append(("kept", "", self.kept))
        width = max(len(reason) for _, reason, _ in rows) + 2
        lines = [f"{stage:<12}{reason:<{width}}{count:>12,}" for stage, reason, count in rows]
        return [*lines, *(f"not read: {fault}" for fault in self.faults)]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [{"stage": stage, "reason": reason, "count": count} for stage, reason, count in self.rows()]
        return {
            "parsed": self.parsed,
            "kept": self.kept,
            "dropped": rows,
            "waiting": self.waiting,
            "faults": list(self.faults),
            "of": self.what,
        }

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write JSON, all or nothing."""
        with replacing(file) as temporary:
            temporary.write_text(strict_json(self.to_json()) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> Accounting:
        """Read what `save` wrote; `ValueError` if it does not add up."""
        record = read_object(file)
        with named(file, "the count of a collection"):
            dropped = {(row["stage"], row["reason"]): int(row["count"]) for row in record["dropped"]}
            return cls(
                record["parsed"],
                record["kept"],
                dropped,
                record["waiting"],
                tuple(record["faults"]),
                record.get("of", "links"),
            )


def dropped_table(rows: Iterable[tuple[str, str, str, str, str, str]]) -> pa.Table:
    """A table of drops from (uid, url, text, stage, reason, detail)."""
    columns = list(zip(*rows)) or [()] * len(DROPPED)
    arrays = [pa.array(list(map(_storable, column)), pa.string()) for column in columns]
    return pa.Table.from_arrays(arrays, schema=DROPPED)


def _storable(text: str) -> str:
    """Text without lone surrogates, which no file holds."""
    return text.encode("utf-8", "replace").decode("utf-8")


def counted(table: pa.Table) -> Counter[tuple[str, str]]:
    """How often each (stage, reason) stands in a table of drops."""
    groups = table.select(["stage", "reason"]).group_by(["stage", "reason"]).aggregate([([], "count_all")])
    return Counter({(row["stage"], row["reason"]): row["count_all"] for row in groups.to_pylist()})
