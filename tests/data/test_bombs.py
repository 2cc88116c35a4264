"""Small archives that unpack to much are refused before they are unpacked."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unseen
from unseen.data import reading
from unseen.data.words import read_vectors

LARGE = 64 * 2**20


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that were unpacked, of archives in which a few MB are large."""
    seen: list[int] = []
    real = zipfile.ZipExtFile._read1

    def counted(self: zipfile.ZipExtFile, n: int) -> bytes:
        found = real(self, n)
        seen.append(len(found))
        return found

    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", counted)
    monkeypatch.setattr(reading, "LARGEST_FREE", 2**20, raising=False)
    return seen


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"nothing"])
def test_a_picture_in_a_zip_that_unpacks_to_much_is_left_out(head: bytes, unpacked: list[int], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "fine.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "fine.png", "a/fine.png")
        archive.writestr("a/bomb.png", head + bytes(LARGE))
    found = unseen.load(tmp_path / "x.zip")
    assert [(skipped.where, "unpacks to" in skipped.why) for skipped in found.skipped] == [("bomb.png", True)]
    assert sum(unpacked) < 2**20


@pytest.mark.parametrize("name", ["x", "y", "other"])
def test_an_array_that_unpacks_to_much_is_refused(name: str, unpacked: list[int], tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", **{"x": np.ones((4, 2)), name: np.zeros(LARGE, dtype=np.uint8)})
    with pytest.raises(ValueError, match=r"x\.npz.*unpacks to"):
        unseen.load(tmp_path / "x.npz")
    assert sum(unpacked) < 2**20


def test_a_table_in_a_zip_that_unpacks_to_much_is_refused(unpacked: list[int], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", b"a,b\n" + b"1,2\n" * (LARGE // 4))
    with pytest.raises(ValueError, match=r"t\.csv.*unpacks to"):
        unseen.load(f"zip://t.csv::{tmp_path / 'x.zip'}")
    assert sum(unpacked) < 2**20


def test_a_line_of_word_vectors_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress(b"word " + b"0 " * LARGE))
    with pytest.raises(ValueError, match=r"v\.txt\.gz.*a line has more than"):
        read_vectors(tmp_path / "v.txt.gz")


def test_what_is_packed_well_is_still_read(unpacked: list[int], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", "a,b,label\n" + "1,2,x\n3,4,y\n" * 1000)
    assert len(unseen.load(f"zip://t.csv::{tmp_path / 'x.zip'}")) == 2000
