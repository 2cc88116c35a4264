"""`Tags`: words that people put on pairs, in one plain file beside the collection.

    tags.jsonl      {"uid": "0f3c...", "tags": ["sharp", "wrong caption"]}, a line for every pair that has some

It names pairs by uid, so it outlives indices, and shards that come or go. It is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.curation.collection import Collection
from unseen.curation.columns import Columns
from unseen.curation.vectors import BoolArray
from unseen.data.typing import IntArray
from unseen.runtime import replacing

FILE = "tags.jsonl"
LONGEST, MOST_TAGS = 60, 200
"""Characters of a tag, and how many different ones a collection may have."""


def checked_tag(name: str) -> str:
    """A tag without space around it; `ValueError` if it is none."""
    tag = " ".join(name.split()) if isinstance(name, str) else ""
    if not 1 <= len(tag) <= LONGEST or not tag.isprintable():
        raise ValueError(f"a tag must be 1 to {LONGEST} printable characters; got {name!r}")
    return tag


class Tags:
    """The tags of a collection.

    Parameters
    ----------
    collection : Collection
    columns : Columns
        Its columns, for the uids.

    Raises
    ------
    ValueError
        If the file is damaged; it is never written over then.
    """

    def __init__(self, collection: Collection, columns: Columns) -> None:
        self.file, self._columns = collection.folder / FILE, columns
        self._lock = threading.RLock()
        self._seen: Any = None
        self._rows: dict[str, BoolArray] = {}
        self._elsewhere: dict[str, list[str]] = {}
        self._saved_tags()

    @property
    def names(self) -> tuple[str, ...]:
        """All tags that pairs of the collection have, in alphabetical order."""
        return tuple(sorted(self._saved_tags()))

    def counts(self, within: BoolArray | None = None) -> list[tuple[str, int]]:
        """How many rows `within` have each tag, in alphabetical order."""
        return [
            (tag, int(np.count_nonzero(rows if within is None else rows & within)))
            for tag, rows in sorted(self._saved_tags().items())
        ]

    def mask(self, tags: Sequence[str]) -> BoolArray:
        """Rows that have one of the tags, (n,); "" stands for none at all, and a tag that no row has finds nothing."""
        rows = self._saved_tags()
        some = np.zeros(len(self._columns), bool)
        for tag in tags:
            if tag in rows:
                some |= rows[tag]
            elif tag == "":
                some |= ~np.logical_or.reduce([np.zeros(len(some), bool), *rows.values()])
        return some

    def of(self, rows: Sequence[int] | IntArray) -> list[list[str]]:
        """The tags of each of some rows."""
        at = np.asarray(rows, dtype=np.int64)
        by_row: list[list[str]] = [[] for _ in at]
        for tag, mask in sorted(self._saved_tags().items()):
            for i in np.flatnonzero(mask[at]).tolist():
                by_row[i].append(tag)
        return by_row

    def first(self) -> NDArray[np.int32]:
        """Which tag, counted in alphabetical order, every row has first, (n,); -1 where it has none."""
        first_tags = np.full(len(self._columns), -1, np.int32)
        for number, (_, rows) in reversed(list(enumerate(sorted(self._saved_tags().items())))):
            first_tags[rows] = number
        return first_tags

    def add(self, tag: str, rows: Sequence[int] | IntArray | BoolArray) -> int:
        """Put a tag on rows, and write the file; how many of them did not have it."""
        return self._change(checked_tag(tag), rows, True)

    def remove(self, tag: str, rows: Sequence[int] | IntArray | BoolArray) -> int:
        """Take a tag off rows, and write the file; how many of them had it."""
        return self._change(checked_tag(tag), rows, False)

    def _change(self, tag: str, rows: Any, on: bool) -> int:
        with self._lock, _alone(self.file.parent):
            known = self._saved_tags()
            before = known.get(tag, np.zeros(len(self._columns), bool))
            after = before.copy()
            after[self._checked(rows)] = on
            changed = int(np.count_nonzero(after != before))
            if not changed:
                return 0
            updated = {**known, tag: after}
            if len(updated) > MOST_TAGS:
                raise ValueError(f"a collection has at most {MOST_TAGS} different tags; take one off everywhere first")
            updated = {name: mask for name, mask in updated.items() if mask.any()}
            self._write(updated)
            self._rows, self._seen = updated, _stamp(self.file)
            return changed

    def _checked(self, rows: Any) -> NDArray[Any]:
        at = np.asarray(rows)
        if at.dtype == bool and at.shape == (len(self._columns),):
            return at
        at = at.astype(np.int64).reshape(-1)
        if len(at) and not 0 <= at.min() <= at.max() < len(self._columns):
            raise IndexError(f"rows must lie in [0, {len(self._columns)}); got {at.min()} to {at.max()}")
        return at

    def _saved_tags(self) -> dict[str, BoolArray]:
        """What the file says: read again where another process has written it."""
        with self._lock:
            stamp = _stamp(self.file)
            if stamp == self._seen:
                return self._rows
            saved = _parsed(self.file) if stamp is not None else {}
            uids = self._columns.strings("uid")
            place = pc.index_in(uids, value_set=pa.array(list(saved), uids.type))
            at = pc.fill_null(place, len(saved)).to_numpy()
            names = {tag for tags in saved.values() for tag in tags}
            member = {tag: np.array([*(tag in tags for tags in saved.values()), False]) for tag in names}
            rows = {tag: mask[at] for tag, mask in member.items()}
            present = np.zeros(len(saved) + 1, bool)
            present[at] = True
            self._elsewhere = {uid: tags for (uid, tags), seen in zip(saved.items(), present) if not seen}
            self._rows = {tag: mask for tag, mask in rows.items() if mask.any()}
            self._seen = stamp
            return self._rows

    def _write(self, rows: dict[str, BoolArray]) -> None:
        """Write all tags: of rows in their order, then those of pairs that are not here now."""
        tags = sorted(rows)
        masks = np.stack([rows[tag] for tag in tags], axis=1) if tags else np.zeros((len(self._columns), 0), bool)
        at = np.flatnonzero(masks.any(axis=1))
        sets, which = np.unique(masks[at], axis=0, return_inverse=True)
        texts = [json.dumps([tag for tag, has in zip(tags, mask) if has], ensure_ascii=False) for mask in sets]
        uids = self._columns.strings("uid").take(pa.array(at)).to_pylist()
        done = set()
        with replacing(self.file) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for uid, number in zip(uids, which.reshape(-1).tolist()):
                if uid not in done:  # rows that share a uid share its tags
                    stream.write(f'{{"uid": {json.dumps(uid)}, "tags": {texts[number]}}}\n')
                    done.add(uid)
            for uid, some in self._elsewhere.items():
                stream.write(json.dumps({"uid": uid, "tags": some}, ensure_ascii=False) + "\n")


def _parsed(file: Path) -> dict[str, list[str]]:
    """The tags of every uid; `ValueError` with the line that is wrong."""
    by_uid: dict[str, list[str]] = {}
    with file.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                by_uid[str(record["uid"])] = [checked_tag(tag) for tag in record["tags"]]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"{file.name}, line {number}, is no tagged pair, such as "
                    f'{{"uid": "0f3c", "tags": ["sharp"]}}; mend the line or move the file away'
                ) from error
    if len({tag for tags in by_uid.values() for tag in tags}) > MOST_TAGS:
        raise ValueError(f"{file.name} holds more than {MOST_TAGS} different tags")
    return by_uid


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written; None if there is none."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process changes the tags of the folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
