"""Small archives that unpack to much are refused before they are unpacked."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat

import unseen
from unseen.data import reading
from unseen.data.loaders.text_graph import read_graph
from unseen.data.series import read_series
from unseen.data.words import read_vectors
from unseen.jobs.pruning.embeddings import read_embeddings

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


@pytest.mark.parametrize("read", [unseen.load, read_graph])
@pytest.mark.parametrize("without", [False, True])
def test_arrays_that_unpack_to_much_together_are_refused(
    without: bool, read: Callable[[Path], Any], unpacked: list[int], tmp_path: Path
) -> None:
    part = np.zeros((4, 2**18 - 100), dtype=np.uint8)  # by itself less than a MB
    there = {"x": part, "x_text": part} | ({"edge_index": part} if read is read_graph else {})
    parts = {f"c{i}": part for i in range(12)} if without else there | dict.fromkeys(("y", "labels", "names"), part)
    np.savez_compressed(tmp_path / "x.npz", **parts)
    with pytest.raises(
        ValueError, match="(no array is called x|must hold x_text)" if without else r"x\.npz.*unpacks to"
    ):
        read(tmp_path / "x.npz")
    assert sum(unpacked) < 2**20 / 2


@pytest.mark.parametrize("name", ["x", "ids"])
def test_embeddings_that_unpack_to_much_are_refused(name: str, unpacked: list[int], tmp_path: Path) -> None:
    arrays = {"x": np.ones((4, 2)), name: np.zeros((LARGE // 8, 2) if name == "x" else LARGE // 4)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=r"x\.npz.*unpacks to"):
        read_embeddings(tmp_path / "x.npz")
    assert sum(unpacked) < 2**20


def test_texts_that_one_long_one_makes_wide_and_arrays_nobody_asks_for_are_no_bombs(tmp_path: Path) -> None:
    texts = np.array(["a cat"] * 4_000 + ["long " * 1_000])
    arrays = {"x": np.ones((4_001, 2)), "text": texts, "zeros": np.zeros(LARGE // 4)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    read = read_embeddings(tmp_path / "x.npz")
    assert read.x.shape == (4_001, 2)
    assert read.texts[0] == "a cat"


def test_an_array_whose_header_tells_more_than_it_has_does_not_read_its_neighbour(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.ones((4, 3), dtype=np.float32))
    lie = content.getvalue().replace(b"(4, 3), }  ", b"(200, 3), }")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", lie)
        archive.writestr("other.npy", bytes(2**14))
    (tmp_path / "x.npy").write_bytes(lie)
    (tmp_path / "text.npy").write_bytes(b"hello, this is a text")
    for file in ("x.npz", "x.npy"):
        with pytest.raises(ValueError, match=rf"{file}.*its header tells an array of 2,400 bytes; it holds 48"):
            read_embeddings(tmp_path / file)
    with pytest.raises(ValueError, match=r"text\.npy is not a table of embeddings") as told:
        read_embeddings(tmp_path / "text.npy")
    assert "pickle" not in str(told.value)


def test_arrays_that_are_not_needed_are_not_unpacked(unpacked: list[int], tmp_path: Path) -> None:
    parts = {f"c{i}": np.zeros(2**20 - 200, dtype=np.uint8) for i in range(12)}
    np.savez_compressed(tmp_path / "x.npz", x=np.ones((4, 2)), **parts)
    assert unseen.load(tmp_path / "x.npz").x.shape == (4, 2)
    assert sum(unpacked) < 2**20


def test_parts_of_a_matlab_file_that_unpack_to_much_together_are_refused(unpacked: list[int], tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {f"x{i}": np.zeros((2, 60_000)) for i in range(12)}, do_compression=True)
    with pytest.raises(ValueError, match=r"x\.mat.*unpacks to"):
        unseen.load(tmp_path / "x.mat")


def test_parts_of_a_saved_graph_that_unpack_to_much_together_are_refused(unpacked: list[int], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "g.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(12):
            archive.writestr(f"g/data/{i}", bytes(2**20))
    with pytest.raises(ValueError, match=r"g\.pt.*unpacks to"):
        read_graph(tmp_path / "g.pt")
    assert not unpacked


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


POOLS: list[pa.MemoryPool] = []  # what was allocated from a pool is freed through it, by tests that come later too


@pytest.fixture
def arrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[pa.MemoryPool]:
    """Counts the bytes that Arrow takes where it is set; a few MB are large."""
    monkeypatch.setattr(reading, "LARGEST_FREE", 2**20)
    before = pa.default_memory_pool()
    POOLS.append(pa.proxy_memory_pool(before))
    yield POOLS[-1]
    pa.set_memory_pool(before)


BOMBS = {
    "one text many times": {"text": pa.array(["x" * 20_000]).take(pa.array([0] * 20_000)), "y": pa.array([0] * 20_000)},
    "one number many times": {"x": pa.array(np.zeros(8_000_000))},
    "one list many times": {"text": pa.array([["x"] * 1000] * 20), "x": pa.array([np.zeros(400_000)] * 20)},
}


@pytest.mark.parametrize("read", [unseen.load, read_series])
@pytest.mark.parametrize("kind", BOMBS)
def test_a_parquet_that_unpacks_to_much_is_refused(
    kind: str, read: Callable[[Path], Any], arrow: pa.MemoryPool, tmp_path: Path
) -> None:
    pq.write_table(pa.table(BOMBS[kind]), tmp_path / "x.parquet", compression="zstd")
    pa.set_memory_pool(arrow)
    with pytest.raises(ValueError, match=r"unpacks to [\d,]+ bytes from [\d,]+, more than 200 times its size"):
        read(tmp_path / "x.parquet")
    assert arrow.max_memory() < 16 * 2**20


def test_a_parquet_is_read_as_pandas_reads_it(tmp_path: Path) -> None:
    n = 25_000  # with three rows each, more than are read at once
    columns = {
        "text": pa.array(["a", None, ""] * n),
        "large": pa.array(["ä", None, "b"] * n, pa.large_string()),
        "kind": pa.array(["p", "q", None] * n).dictionary_encode(),
        "raw": pa.array([b"x", None, b""] * n),
        "list": pa.array([["u"], None, ["v", "w"]] * n),
        "x": pa.array(np.random.default_rng(0).normal(size=3 * n)),
        "x.y": pa.array(["x", "y", None] * n),  # to Parquet a part of x
        "when": pa.array(np.arange(3 * n), pa.timestamp("ms")),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with (tmp_path / "x.parquet").open("rb") as file:
        found = reading.read_parquet(file).to_pandas()
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "x.parquet"))
