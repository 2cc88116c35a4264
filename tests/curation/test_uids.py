"""Uid files in DataComp's format, against its own recipe, and membership against a set."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from unseen.curation.uids import UID, UidSet, format_uids, is_uid, parse_uids, read_uids, write_uids


def uids(n: int, start: int = 0) -> list[str]:
    return [hashlib.md5(str(i).encode()).hexdigest() for i in range(start, start + n)]


def test_a_file_is_what_datacomps_recipe_writes(tmp_path: Path) -> None:
    """int(uid[:16], 16) and int(uid[16:32], 16) in "u8,u8", sorted."""
    names = uids(500)
    assert write_uids(tmp_path / "kept.npy", names) == 500
    expected = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in names], np.dtype("u8,u8"))
    expected.sort()
    found = np.load(tmp_path / "kept.npy")
    assert found.dtype == expected.dtype == UID
    assert found.tobytes() == expected.tobytes()


def test_uids_come_back_and_each_stands_once(tmp_path: Path) -> None:
    names = uids(50)
    assert write_uids(tmp_path / "kept.npy", names + names[:10]) == 50
    assert format_uids(read_uids(tmp_path / "kept.npy")) == sorted(names)
    assert write_uids(tmp_path / "none.npy", []) == 0
    assert len(read_uids(tmp_path / "none.npy")) == 0


def test_membership_is_that_of_a_set(tmp_path: Path) -> None:
    names = uids(3000) + ["0" * 32, "f" * 32, "00000000000000010000000000000000"]
    write_uids(tmp_path / "kept.npy", names)
    kept = UidSet(tmp_path / "kept.npy")
    others = uids(3000, 10_000) + ["0" * 31 + "1", "f" * 31 + "e"]
    asked = [name for pair in zip(names, others) for name in pair]
    assert kept.contains(asked).tolist() == [name in set(names) for name in asked]
    assert (len(kept), names[7] in kept, others[7] in kept, 5 in kept) == (3003, True, False, False)
    assert not UidSet(np.zeros(0, dtype=UID)).contains(names[:3]).any()


def test_what_is_no_uid_is_refused(tmp_path: Path) -> None:
    for bad in ("", "g" * 32, "0" * 31, "0" * 33, "0" * 30 + " 1"):
        assert not is_uid(bad)
        with pytest.raises(ValueError, match="32 hexadecimal digits"):
            parse_uids(["0" * 32, bad])
    with pytest.raises(ValueError, match=r"end in \.npy"):
        write_uids(tmp_path / "kept.txt", [])
    assert list(tmp_path.iterdir()) == []


def test_files_of_another_kind_or_order_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ValueError, match="a uid file holds"):
        read_uids(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", parse_uids(["f" * 32, "0" * 32]))
    with pytest.raises(ValueError, match="not sorted"):
        read_uids(tmp_path / "y.npy")
