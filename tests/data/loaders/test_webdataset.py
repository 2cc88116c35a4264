"""WebDataset shards, honest and hostile."""

import io
import json
import tarfile

import fsspec
import numpy as np
import pytest
from PIL import Image

from unseen.data.loaders import load, webdataset


def png(colour) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(out, "PNG")
    return out.getvalue()


def write(path, members):
    with tarfile.open(path, "w") as archive:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))


@pytest.fixture
def shards(tmp_path):
    colours = ["red", "lime", "blue", "red"]
    for shard in range(2):
        members = []
        for i in range(2):
            key = 2 * shard + i
            members += [(f"{key:04d}.png", png(colours[key])), (f"{key:04d}.cls", str(key % 3).encode())]
            members += [(f"{key:04d}.txt", f"number {key}".encode())]
        write(tmp_path / f"s-{shard:03d}.tar", members)
    return tmp_path


@pytest.mark.parametrize("which", ["", "s-{000..001}.tar", "s-*.tar"])
def test_shards_are_read_in_place(shards, which):
    domain = load(shards / which if which else shards)
    assert domain.kind == "image"
    assert domain.ids.tolist() == ["0000", "0001", "0002", "0003"]
    assert domain.y.tolist() == [0, 1, 2, 0]
    assert domain.x[2].getpixel((0, 0)) == (0, 0, 255)
    assert domain.columns["text"].tolist()[3] == "number 3"
    assert domain.columns["shard"].tolist() == ["s-000.tar"] * 2 + ["s-001.tar"] * 2
    assert domain.x.digest(0) == domain.x.digest(3) != domain.x.digest(1)
    assert sorted(path.name for path in shards.iterdir()) == ["s-000.tar", "s-001.tar"]


def test_a_text_without_a_picture_is_left_out_and_named_once(tmp_path):
    members = [("a.png", png("red")), ("a.txt", b"red"), ("b.png", b"none"), ("b.txt", b"blue"), ("c.txt", b"alone")]
    write(tmp_path / "s.tar", members)
    domain = load(tmp_path / "s.tar")
    assert domain.ids.tolist() == ["a"]
    assert [skipped.where for skipped in domain.skipped] == ["s.tar/b.png", "c"]
    assert domain.skipped[1].why == webdataset.ALONE


def test_one_shard_and_a_missing_one(shards):
    assert len(load(shards / "s-000.tar")) == 2
    with pytest.raises(FileNotFoundError, match=r"s-002\.tar"):
        load(shards / "s-{000..002}.tar")


def test_labels_and_texts_from_json(tmp_path):
    notes = [{"label": "a", "size": "big", "caption": "x"}, {"size": "small"}]
    write(
        tmp_path / "j.tar",
        [(f"{i}.json", json.dumps(note).encode()) for i, note in enumerate(notes)]
        + [(f"{i}.jpg", png("red")) for i in range(2)],
    )
    domain = load(tmp_path / "j.tar")
    assert domain.y.tolist() == [0, -1]
    assert domain.columns["text"].tolist() == ["x", ""]
    assert load(tmp_path / "j.tar", labels_column="size").classes.names == ("big", "small")
    with pytest.raises(ValueError, match="labels_column 'colour'"):
        load(tmp_path / "j.tar", labels_column="colour")


def test_shards_of_texts(tmp_path):
    write(tmp_path / "t.tar", [("a.txt", b"one"), ("b.txt", b"two"), ("b.cls", b"9")])
    domain = load(tmp_path / "t.tar")
    assert domain.kind == "text"
    assert domain.x.tolist() == ["one", "two"]
    assert domain.y.tolist() == [-1, 0]


def test_unsafe_members_are_refused_and_nothing_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "MAX_MEMBER", 10_000)
    folder = tmp_path / "in"
    folder.mkdir()
    with tarfile.open(folder / "evil.tar", "w") as archive:
        for name, body in (
            ("../up.png", png("red")),
            ("/abs.png", png("red")),
            ("huge.png", bytes(20_000)),
            ("broken.png", b"bad"),
            ("fine.png", png("red")),
            ("fine.png", png("red")),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    domain = load(folder / "evil.tar")
    assert domain.ids.tolist() == ["fine"]
    reasons = {entry.where.removeprefix("evil.tar/"): entry.why for entry in domain.skipped}
    assert "leads out" in reasons["../up.png"]
    assert "is absolute" in reasons["/abs.png"]
    assert "20,000 bytes" in reasons["huge.png"]
    assert "plain files" in reasons["link.png"]
    assert "twice" in reasons["fine.image"]
    assert len(reasons) == 6
    with pytest.raises(ValueError, match="6 unreadable"):
        load(folder / "evil.tar", on_error="fail")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "evil.tar"]


def test_what_is_no_plain_tar_is_refused(tmp_path):
    (tmp_path / "n.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match="not an uncompressed tar"):
        load(tmp_path / "n.tar")
    write(tmp_path / "cut.tar", [("a.png", np.random.default_rng(0).bytes(5000))])
    (tmp_path / "cut.tar").write_bytes((tmp_path / "cut.tar").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cut\.tar|truncated|no picture"):
        load(tmp_path / "cut.tar")


def test_memory_urls(shards):
    memory = fsspec.filesystem("memory")
    for shard in ("s-000.tar", "s-001.tar"):
        memory.pipe(f"/wds/{shard}", (shards / shard).read_bytes())
    domain = load("memory://wds/s-{000..001}.tar")
    assert domain.y.tolist() == [0, 1, 2, 0]
    assert domain.x[1].getpixel((0, 0)) == (0, 255, 0)


def test_the_webdataset_library_writes_what_we_read(tmp_path):
    wds = pytest.importorskip("webdataset")
    with wds.TarWriter(str(tmp_path / "w.tar")) as sink:
        for i in range(3):
            sink.write({"__key__": f"k{i}", "png": Image.new("RGB", (4, 4), "red"), "cls": i, "json": {"n": i}})
    domain = load(tmp_path / "w.tar")
    assert domain.y.tolist() == [0, 1, 2]
    assert domain.ids.tolist() == ["k0", "k1", "k2"]


def test_a_key_that_another_shard_has_too_is_another_sample(tmp_path):
    write(tmp_path / "s-0.tar", [("0.png", png("red")), ("1.png", png("lime")), ("1.txt", b"green")])
    write(tmp_path / "s-1.tar", [("0.png", png("blue")), ("0.txt", b"blue"), ("2.png", png("red"))])
    domain = load(tmp_path)
    assert domain.ids.tolist() == ["0", "1", "s-1.tar/0", "2"]
    assert domain.columns["text"].tolist() == ["", "green", "blue", ""]  # that of 1's was taken for 0's
    assert domain.x[2].getpixel((0, 0)) == (0, 0, 255)
    assert not domain.skipped
