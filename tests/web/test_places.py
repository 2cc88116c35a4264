"""What a run may read: below the named folders only, and what was uploaded, whole and bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from unseen.web import places as module
from unseen.web.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "data" / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "data" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "table.csv").write_text("text,label\n")
    (tmp_path / "data" / "run").mkdir()
    (tmp_path / "data" / "run" / "results.json").write_text("{}")
    return Places([tmp_path / "data"], tmp_path / "runs" / ".web" / "uploads", longest=1000)


def test_what_lies_below_the_roots_may_be_read(places: Places, tmp_path: Path) -> None:
    for text in ("photos", "./photos/", "photos/../photos", str(tmp_path / "data" / "photos"), " photos "):
        assert places.path(text, "data") == str(tmp_path / "data" / "photos")
    assert places.offered() == ["table.csv", "photos", "photos/cat"]


def test_a_relative_place_is_looked_for_in_each_root_in_their_order(places: Places, tmp_path: Path) -> None:
    for name in ("photos", "scans"):
        (tmp_path / "more" / name).mkdir(parents=True)
    two = Places([tmp_path / "data", tmp_path / "more"], places.uploads)
    assert two.path("photos", "data") == str(tmp_path / "data" / "photos")
    assert two.path("scans", "data") == str(tmp_path / "more" / "scans")
    with pytest.raises(ValueError, match=f"there is no 'absent' below {tmp_path}/data or {tmp_path}/more"):
        two.path("absent", "data")
    with pytest.raises(ValueError, match="does not lie below"):
        two.path("../secret", "data")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("../secret", "does not lie below"),
        ("/etc/passwd", "does not lie below"),
        ("~", "does not lie below"),
        ("out", "does not lie below"),  # a link that leads elsewhere
        ("http://169.254.169.254/latest", "is an address"),
        ("zip://::/etc/x.zip", "is an address"),
        ("photos\0", "is an address"),
        ("absent", "there is no 'absent'"),
        ("upload:../../x", "there is no such upload"),
        ("upload:0123456789abcdef/../../../secret", "there is no such upload"),
        ("upload:0123456789abcdef/photos.zip", "is not here any more"),
    ],
)
def test_nothing_else_is_read(places: Places, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        places.path(text, "Your data")


@pytest.mark.parametrize(
    "text", ["x" * 5000, "a/" + "x" * 300, "~nobody-of-that-name/x", "upload:" + "0" * 16 + "/" + "x" * 300]
)
def test_a_name_that_no_system_can_have_is_told(places: Places, text: str) -> None:
    with pytest.raises(ValueError, match="source"):
        places.path(text, "source")


def test_whether_something_outside_exists_is_not_told(places: Places) -> None:
    told = []
    for text in ("../secret", "../absent"):
        with pytest.raises(ValueError, match="does not lie below") as caught:
            places.path(text, "data")
        told.append(str(caught.value).replace(text, ""))
    assert told[0] == told[1]


async def parts(*content: bytes) -> AsyncIterator[bytes]:
    for part in content:
        yield part


def test_an_upload_is_kept_under_its_name_and_named_by_a_form(places: Places) -> None:
    place = asyncio.run(places.receive("C:\\mine\\my photos (2).zip", parts(b"a", b"b"), 0))
    path = Path(places.path(place, "data"))
    assert path.name == "my photos (2).zip"
    assert path.read_bytes() == b"ab"
    assert places.shown(str(path)) == place


@pytest.mark.parametrize(
    "name", ["../../../x.csv", "/etc/cron.d/x.csv", "..\\x.csv", ".x.csv", "x\0.csv", "\n.csv", "‮x.csv"]
)
def test_a_name_is_a_files_and_stays_in_its_folder(places: Places, name: str) -> None:
    path = Path(places.path(asyncio.run(places.receive(name, parts(b"x"), 1)), "data"))
    assert path.parent.parent == places.uploads
    assert path.suffix == ".csv"
    assert path.name[0] not in ". "


@pytest.mark.parametrize(
    ("name", "content", "length", "why"),
    [
        ("x.csv", (b"x" * 600, b"x" * 600), 0, "at most"),
        ("x.csv", (b"x",), 5000, "at most"),
        ("x.csv", (), 0, "is empty"),
        ("x.exe", (b"x",), 1, "upload one of .zip"),
        ("x.tar.gz", (b"x",), 1, "upload one of .zip"),
        ("", (b"x",), 1, "upload one of .zip"),
    ],
)
def test_what_is_refused_leaves_nothing(
    places: Places, name: str, content: tuple[bytes, ...], length: int, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        asyncio.run(places.receive(name, parts(*content), length))
    assert not places.uploads.is_dir() or list(places.uploads.iterdir()) == []


def test_a_full_disk_refuses_before_it_is_full(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE", 2**62)
    with pytest.raises(ValueError, match="room for 0 MB more only"):
        asyncio.run(places.receive("x.csv", parts(b"x"), 1))


def test_old_uploads_go_when_no_run_names_them(places: Places) -> None:
    kept, gone, new = (asyncio.run(places.receive(f"{k}.csv", parts(b"x"), 1)) for k in "abc")
    for place in (kept, gone):
        os.utime(Path(places.path(place, "data")).parent, (5, 5))
    places.sweep({places.path(kept, "data")})
    assert places.path(kept, "data")
    assert places.path(new, "data")
    with pytest.raises(ValueError, match="not here any more"):
        places.path(gone, "data")
