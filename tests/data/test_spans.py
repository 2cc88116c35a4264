"""Files cut between two records, and the bytes between two cuts."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data import spans as module
from unseen.data.spans import opened, spans, text_lines

CELLS = st.text(st.sampled_from('ab ,"\n\r\té'), max_size=8)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of some bytes are cut, too, and read in blocks that end anywhere."""
    monkeypatch.setattr(module, "LEAST", 1)
    monkeypatch.setattr(module, "BLOCK", 7)


def parts(path: Path, n: int, quoted: bool = False) -> list[bytes]:
    found = list(spans(path, n, quoted=quoted))
    assert found[0][0] == 0
    assert found[-1][1] == path.stat().st_size
    assert all(a[1] == b[0] for a, b in zip(found, found[1:]))
    read = []
    for span in found:
        with opened(path, span) as file:
            read.append(file.read())
    assert b"".join(read) == path.read_bytes()
    return read


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=30), st.integers(1, 9), st.booleans(), st.booleans())
def test_a_cut_of_csv_never_lies_in_a_cell(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], n: int, every: bool, marked: bool
) -> None:
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator="\r\n" if every else "\n", quoting=quoting).writerows(rows)
    path = tmp_path_factory.mktemp("spans") / "a.csv"
    path.write_bytes(("\ufeff" * marked + text.getvalue()).encode())
    whole = list(csv.reader(io.StringIO(text.getvalue(), newline="")))
    found = [row for part in parts(path, n, quoted=True)
             for row in csv.reader(io.StringIO(part.decode("utf-8-sig"), newline=""))]  # fmt: skip
    assert found == whole


def test_csv_is_cut_as_often_as_asked_and_not_behind_a_quote_out_of_place(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    row = b'1,"a ""dog"",\nand a cat"\n'
    path.write_bytes(row * 100)
    assert [len(part) // len(row) for part in parts(path, 4, quoted=True)] == [26, 25, 25, 24]
    path.write_bytes(row * 60 + b'2,a 5" disk\n' + row * 40)
    assert [part.count(b"\n") // 2 for part in parts(path, 4, quoted=True)] == [26, 25, 49]


@given(st.lists(st.binary(max_size=9), max_size=20), st.integers(1, 9))
@settings(deadline=None)
def test_lines_are_those_of_the_whole(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], n: int) -> None:
    path = tmp_path_factory.mktemp("spans") / "a.txt"
    path.write_bytes(b"\n".join(lines))
    with path.open(encoding="utf-8", errors="replace") as file:
        whole = list(file)
    assert [line for span in spans(path, n) for line in text_lines(path, span)] == whole


def test_small_files_are_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST", 100)
    (tmp_path / "a.txt").write_text("a\n" * 110)
    assert len(list(spans(tmp_path / "a.txt", 8))) == 2
    (tmp_path / "b.txt").write_text("")
    assert list(spans(tmp_path / "b.txt", 8)) == [(0, 0)]


def test_a_byte_order_mark_is_no_letter_of_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes("\ufeffcat\r\ndog\r\n".encode())
    assert list(text_lines(file)) == ["cat\n", "dog\n"]
    assert list(text_lines(file, newline="")) == ["cat\r\n", "dog\r\n"]
    assert list(text_lines(file, (8, 13))) == ["dog\n"]
