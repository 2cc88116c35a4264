"""Which pairs are kept, for a loader: uid files in DataComp's format, and whether a key stands in one."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from unseen.runtime import replacing

UID = np.dtype([("f0", "u8"), ("f1", "u8")])
"""A uid of 128 bits: the first 16 of its 32 hexadecimal digits, and the last 16."""

_BLOCK = 1 << 20


def write_uids(file: str | os.PathLike[str], uids: Iterable[str]) -> int:
    """Write uids as DataComp's tools read them (its resharder, its baselines): sorted, each once; returns how many.

    Parameters
    ----------
    file : path
        Ends in .npy; written all or nothing.
    uids : iterable of str
        Each of 32 hexadecimal digits.

    Raises
    ------
    ValueError
        If a uid is none, or the file does not end in .npy.
    """
    file = Path(file)
    if file.suffix != ".npy":
        raise ValueError(f"file must end in .npy; got {str(file)!r}")
    table = _sorted(parse_uids(list(uids)))
    with replacing(file) as temporary:
        np.save(temporary, table)
    return len(table)


def read_uids(file: str | os.PathLike[str]) -> NDArray[np.void]:
    """The uids of a file, mapped from disk, (n,) of `UID`; `ValueError` if it is no such file or is not sorted."""
    table = np.load(file, mmap_mode="r", allow_pickle=False)
    if table.dtype != UID or table.ndim != 1:
        raise ValueError(f"{file} holds {table.dtype} of shape {table.shape}; a uid file holds {UID} of shape (n,)")
    for start in range(0, len(table), _BLOCK):
        part = np.asarray(table[max(start - 1, 0) : start + _BLOCK])
        first, last = part["f0"], part["f1"]
        if ((first[1:] > first[:-1]) | ((first[1:] == first[:-1]) & (last[1:] > last[:-1]))).all():
            continue
        raise ValueError(f"{file} is not sorted, or a uid stands twice in it; write it with write_uids")
    return table


def parse_uids(uids: Sequence[str]) -> NDArray[np.void]:
    """Uids of 32 hexadecimal digits as pairs of 64-bit numbers, (n,) of `UID`; `ValueError` names one that is none."""
    try:
        packed = bytes.fromhex("".join(uids))
    except (ValueError, TypeError):
        packed = b""
    if len(packed) != 16 * len(uids) or any(len(uid) != 32 for uid in uids):
        bad = next(uid for uid in uids if not is_uid(uid))
        raise ValueError(f"a uid must have 32 hexadecimal digits; got {bad!r}")
    halves = np.frombuffer(packed, dtype=">u8").reshape(-1, 2).astype("u8")
    table = np.empty(len(uids), dtype=UID)
    table["f0"], table["f1"] = halves[:, 0], halves[:, 1]
    return table


def format_uids(table: NDArray[np.void]) -> list[str]:
    """Pairs of numbers as 32 hexadecimal digits."""
    return [f"{first:016x}{last:016x}" for first, last in table.tolist()]


def is_uid(text: object) -> bool:
    """Whether it is 32 hexadecimal digits."""
    return isinstance(text, str) and len(text) == 32 and all(c in "0123456789abcdefABCDEF" for c in text)


def _sorted(table: NDArray[np.void]) -> NDArray[np.void]:
    """Rising, each once."""
    table = table[np.lexsort((table["f1"], table["f0"]))]
    if len(table) < 2:
        return table
    new = (table["f0"][1:] != table["f0"][:-1]) | (table["f1"][1:] != table["f1"][:-1])
    return table[np.r_[True, new]]


class UidSet:
    """Whether a uid is in a file, in constant time and without reading the file into memory.

    The first 16 bits of a uid name one of 65,536 stretches of the sorted file, as the first level of a prefix tree
    does; inside it a few steps of bisection are left. 512 KB are kept in memory for a file of any length.

    Parameters
    ----------
    uids : path, or array (n,) of `UID`
        A file of `write_uids`, or its content, sorted.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "kept.npy")
    >>> write_uids(file, ["00000000000000000000000000000001"])
    1
    >>> "00000000000000000000000000000001" in UidSet(file), "00000000000000000000000000000002" in UidSet(file)
    (True, False)
    """

    def __init__(self, uids: str | os.PathLike[str] | NDArray[np.void]) -> None:
        self.table = uids if isinstance(uids, np.ndarray) else read_uids(uids)
        self._rows = np.asarray(self.table)  # the same memory; a row of it is had faster than of a mapping

    @cached_property
    def _starts(self) -> Int[np.ndarray, " p"]:
        """Where each prefix begins, (65537,)."""
        counts = np.zeros(2**16, dtype=np.int64)
        for start in range(0, len(self.table), _BLOCK):
            first = np.asarray(self.table[start : start + _BLOCK]["f0"])
            counts += np.bincount((first >> np.uint64(48)).astype(np.int64), minlength=2**16)
        return np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, uid: object) -> bool:
        if not isinstance(uid, str) or not is_uid(uid):
            return False
        wanted = (int(uid[:16], 16), int(uid[16:], 16))
        prefix = wanted[0] >> 48
        low, high = int(self._starts[prefix]), int(self._starts[prefix + 1])
        at = bisect.bisect_left(self._rows, wanted, low, high, key=lambda row: row.item())
        return at < high and self._rows[at].item() == wanted

    def contains(self, uids: Sequence[str]) -> Bool[np.ndarray, " n"]:
        """Whether each of many uids is there, (n,)."""
        wanted = parse_uids(uids)
        prefix = (wanted["f0"] >> np.uint64(48)).astype(np.int64)
        low, high = self._starts[prefix].copy(), self._starts[prefix + 1].copy()
        first, last = self.table["f0"], self.table["f1"]
        while (open_ := low < high).any():
            middle = np.where(open_, (low + high) // 2, 0)
            less = (first[middle] < wanted["f0"]) | ((first[middle] == wanted["f0"]) & (last[middle] < wanted["f1"]))
            low = np.where(open_ & less, middle + 1, low)
            high = np.where(open_ & ~less, middle, high)
        place = np.minimum(low, len(self.table) - 1)
        inside = low < len(self.table)
        return inside & (first[place] == wanted["f0"]) & (last[place] == wanted["f1"]) if len(self.table) else inside
