"""What is read: crawls, pages, tables, shards, folders; damage is named, and what can be counted is."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import json
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unseen.curation import crawls, samples, tables, units
from unseen.curation.captions import read_captions
from unseen.curation.sources import open_source, read_unit
from unseen.curation.units import Found
from unseen.data import reading, spans
from unseen.jobs.concepts.captions import Captions
from unseen.methods.curation.laion import accept, parse
from unseen.scale.apart import Apart


def read(path: Path, **more: str) -> tuple[list[Found], list[str]]:
    source = open_source(path, **more)
    notes: list[str] = []
    return [one for unit in source.units for one in read_unit(source, unit, notes.append)], notes


def reasons(found: list[Found]) -> list[str]:
    return [one.candidate.reason for one in found]


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(stream, "PNG")
    return stream.getvalue()


def shard(file: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_tables_of_urls_and_captions(tmp_path: Path, suffix: str) -> None:
    rows = [{"URL": f"http://x.org/{i}.jpg", "TEXT": f"a caption, {i}", "LICENSE": "CC0"} for i in range(3)]
    file = tmp_path / f"links{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        sign = "\t" if suffix == ".tsv" else ","
        lines = [["URL", "TEXT", "LICENSE"], *([r["URL"], f'"{r["TEXT"]}"', r["LICENSE"]] for r in rows)]
        file.write_text("\n".join(sign.join(line) for line in lines))
    found, notes = read(file)
    assert [(f.candidate.url, f.candidate.text, f.candidate.license) for f in found] == [
        (row["URL"], row["TEXT"], "CC0") for row in rows
    ]
    assert notes == []


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    good = json.dumps({"url": "http://x.org/a.jpg", "caption": "a caption"})
    (tmp_path / "links.jsonl").write_text(f"{good}\n{{broken\n[1, 2]\n\n{good}\n")
    assert reasons(read(tmp_path / "links.jsonl")[0]) == ["", tables.BAD_LINE, tables.BAD_LINE, ""]
    (tmp_path / "links.csv").write_text("url,text\nhttp://x.org/a.jpg,a caption\nonly-one-cell\na,b,c,d\n")
    assert reasons(read(tmp_path / "links.csv")[0]) == ["", tables.BAD_LINE, tables.BAD_LINE]


def test_captions_of_a_megabyte_controls_and_right_to_left_marks_are_tamed(tmp_path: Path) -> None:
    rows = [
        {"url": f"http://x.org/{i}.jpg", "text": t}
        for i, t in enumerate(["x" * 2**20, "ab\x00c\u202edef", "\ud800" * 9])
    ]
    (tmp_path / "links.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = [one.candidate for one in read(tmp_path / "links.jsonl")[0]]
    assert [len(one.text) for one in found][:2] == [2000, 6]
    assert found[1].text == "abcdef"


def test_a_table_without_its_columns_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "links.csv").write_text("address,words\na,b\n")
    with pytest.raises(ValueError, match="column of URLs"):
        read(tmp_path / "links.csv")
    (tmp_path / "captions.csv").write_text("image,caption\na.png,a dog\n")
    with pytest.raises(ValueError, match="names pictures of this machine: give the folder that holds them"):
        open_source(tmp_path / "captions.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="nothing to curate"):
        open_source(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_source(tmp_path / "nowhere")


def test_a_damaged_parquet_file_is_noted(tmp_path: Path) -> None:
    file = tmp_path / "links.parquet"
    pq.write_table(pa.table({"url": ["http://x.org/a.jpg"], "text": ["a caption"]}), file)
    file.write_bytes(file.read_bytes()[:-30])
    found, notes = read(file)
    assert found == []
    assert "damaged" in notes[0]


def test_parquet_rows_are_split_and_none_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "STRETCH", 7)
    urls = [f"http://x.org/{i}.jpg" for i in range(20)]
    pq.write_table(pa.table({"url": urls, "text": ["a caption"] * 20}), tmp_path / "a.parquet", row_group_size=6)
    assert len(open_source(tmp_path).units) == 3
    assert [one.candidate.url for one in read(tmp_path)[0]] == urls


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_large_tables_are_cut_between_rows_and_give_the_links_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(spans, "LEAST", 1)
    sign = "\t" if suffix == ".tsv" else ","
    rows = [
        {"url": f"http://x.org/{i}.jpg", "text": f'a "caption"{sign} in\r\ntwo lines, {i}' if i % 3 else f"grüße {i}"}
        for i in range(300)
    ]
    file = tmp_path / f"links{suffix}"
    if suffix == ".jsonl":
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows) + "{broken\n"
    else:
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, delimiter=sign)
        writer.writerows([["url", "text"], *(row.values() for row in rows), ["a cell alone"]])
        text = stream.getvalue()
    file.write_bytes(("\ufeff" + text).encode())
    whole = read(file)
    assert len(open_source(file).units) == 1
    assert reasons(whole[0]) == [""] * 300 + [tables.BAD_LINE]
    monkeypatch.setattr(tables, "SPAN", 500)
    assert len(open_source(file).units) > 20
    found, notes = read(file)
    assert [one.candidate[:2] for one in found[:-1]] == [one.candidate[:2] for one in whole[0][:-1]]
    assert reasons(found)[-1] == tables.BAD_LINE
    assert notes == []


def test_shards_give_pictures_in_place_and_name_what_is_wrong(tmp_path: Path) -> None:
    file = shard(
        tmp_path / "00000.tar",
        [
            ("a.png", png()), ("a.txt", b"a fine caption"), ("a.json", b'{"url": "http://x.org/a.png"}'),
            ("b.png", png()), ("b.json", b'{"caption": "from the JSON"}'),
            ("c.txt", b"a text alone"), ("d.png", png()), ("a.png", png()), ("../e.png", png()), ("f.cls", b"3"),
        ],
    )  # fmt: skip
    found, notes = read(file)
    told = {one.candidate.url: one.candidate.reason for one in found}
    assert told == {
        "http://x.org/a.png": "", "00000.tar/b": "", "00000.tar/c": samples.NO_PICTURE,
        "00000.tar/d": samples.NO_CAPTION, "00000.tar/a": samples.REPEATED_KEY, "00000.tar/../e": samples.OUTSIDE,
        "00000.tar/f": samples.NO_PICTURE,
    }  # fmt: skip
    first = found[0]
    assert file.read_bytes()[first.offset : first.offset + first.size] == png()
    assert notes == []


def test_a_truncated_shard_keeps_what_is_whole_and_says_so(tmp_path: Path) -> None:
    members = [
        (f"{i}.{end}", body) for i in range(4) for end, body in (("txt", b"a caption"), ("png", png() + bytes(4000)))
    ]
    file = shard(tmp_path / "00000.tar", members)
    with tarfile.open(file) as archive:
        last = next(info for info in archive if info.name == "2.png")
    file.write_bytes(file.read_bytes()[: last.offset_data + 100])
    found, notes = read(file)
    assert reasons(found) == ["", "", samples.CUT]
    assert "truncated" in notes[0]


@pytest.mark.parametrize("damage", ["between members", "in a header", "a header", "appended"])
def test_a_shard_that_does_not_end_as_one_does_is_told(tmp_path: Path, damage: str) -> None:
    members = [(f"{i}.{end}", body) for i in range(3) for end, body in (("png", png()), ("txt", b"a caption"))]
    file = shard(tmp_path / "00000.tar", members)
    with tarfile.open(file) as archive:
        place = next(info for info in archive if info.name == "2.png").offset
    content = file.read_bytes()
    file.write_bytes(
        {
            "between members": content[:place],
            "in a header": content[: place + 100],
            "a header": content[:place] + b"\xff" * 512 + content[place + 512 :],
            "appended": content + content,
        }[damage]
    )
    found, notes = read(file)
    assert reasons(found) == [""] * (3 if damage == "appended" else 2)
    assert len(notes) == 1
    assert "truncated or damaged" in notes[0]


def test_shards_of_one_name_in_two_folders_have_keys_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shard(tmp_path / folder / "00000.tar", [("1.png", png()), ("1.txt", b"a caption")])
    assert [one.candidate.url for one in read(tmp_path)[0]] == ["a/00000.tar/1", "b/00000.tar/1"]


def test_folders_of_pictures_take_captions_beside_or_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png", "sub/c.png", "d.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "a.txt").write_text("beside the picture")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "sub/c.png", "text": "from the table"}\nnonsense\n')
    (tmp_path / "away.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "away.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "round").symlink_to(".")
    found, notes = read(tmp_path)
    told = {one.candidate.url: (one.candidate.text, one.candidate.reason) for one in found}
    assert told == {
        "a.png": ("beside the picture", ""), "away.png": ("beside the picture", ""), "b.png": ("", samples.NO_CAPTION),
        "d.png": ("", samples.NO_CAPTION), "sub/c.png": ("from the table", ""),
    }  # fmt: skip
    assert notes == ["a line of metadata.jsonl names no file"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", "file,caption\na.png,a red square\nsub/b.png,another one\n"),
        ("captions.csv", "a.png;a red square\nb.png;another one\n"),
        ("Captions.CSV", "\ufeffImage;Text;photographer\na;a red square;me\nb.png;another one;you\n"),
        ("captions.tsv", "id\tcaption\na\ta red square\nb\tanother one\n"),
        (
            "captions.jsonl",
            '{"image": "./a.png", "caption": "a red square"}\n{"image": "b.png", "text": "another one"}\n',
        ),
        ("anything.csv", "image|caption\na.png|a red square\na.png|a second one\nb.png|another one\n"),
    ],
)
def test_tables_of_captions_as_people_write_them(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "sub").mkdir()
    for file in ("a.png", "sub/b.png"):
        (tmp_path / file).write_bytes(png())
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "numbers.csv").write_text("width,height\n3,4\n")
    found, notes = read(tmp_path)
    assert [one.candidate[:2] for one in found] == [("a.png", "a red square"), ("sub/b.png", "another one")]
    assert "numbers.csv was not read" in " ".join(notes)
    assert any("further ones" in note for note in notes) == ("second" in text)


def test_captions_that_are_not_utf8_are_refused_or_named(tmp_path: Path) -> None:
    """Letters stood as replacement characters in the captions, without a word."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png())
    (tmp_path / "a.txt").write_text("a caf\u00e9", encoding="latin-1")
    (tmp_path / "b.txt").write_text("caf\u00e9 " * 5000, encoding="utf-8")  # cut in the middle of a letter
    found, notes = read(tmp_path)
    assert [one.candidate.reason for one in found] == [samples.NO_CAPTION, ""]
    assert "\ufffd" not in found[1].candidate.text
    assert notes == ["1 texts were not read, as they are not UTF-8, such as 'a.txt': save them as UTF-8"]
    (tmp_path / "b.txt").unlink()
    with pytest.raises(ValueError, match=r"2 pictures and no captions \(1 texts were not read, as they are not UTF-8"):
        open_source(tmp_path)
    for name, text in (("c.csv", "file,caption\na.png,caf\u00e9\n"), ("c.jsonl", '{"file": "a", "text": "\u00e9"}')):
        (tmp_path / name).write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match=rf"{name} cannot be read: it is not UTF-8 text: .*; save it as UTF-8"):
            open_source(tmp_path)
        (tmp_path / name).write_text(text, encoding="utf-16")
        with pytest.raises(ValueError, match=rf"no captions \({name} was not read: it is UTF-16; save it as UTF-8"):
            open_source(tmp_path)
        (tmp_path / name).unlink()


def test_a_caption_with_a_comma_and_no_quotes_is_not_cut(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(png())
    (tmp_path / "captions.csv").write_text('file,caption\na.png,a cat, asleep\nb.png,"a dog, awake"\nc.png,a cow,,\n')
    found, notes = read(tmp_path)
    assert [one.candidate.text for one in found] == ["", "a dog, awake", "a cow"]
    assert notes == [
        "1 lines of captions.csv were not read, as they have more cells than the first, such as that of 'a.png': put "
        "quotes around captions that hold a ','"
    ]


def test_captions_are_found_whatever_machine_wrote_the_names(tmp_path: Path) -> None:
    """Large letters of endings, whole paths, letters in two parts as macOS has them."""
    for name in ("A.JPG", "B.png", "cafe\u0301.png", "d.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "A.TXT").write_text("beside it")
    rows = ["b.PNG,of another machine", "caf\u00e9.png,in one part", f"{tmp_path}/d.png,a whole path"]
    (tmp_path / "captions.csv").write_text("\n".join(["file,caption", *rows]), encoding="utf-8")
    found, notes = read(tmp_path)
    assert {one.candidate.url[0]: one.candidate.text for one in found} == {
        "A": "beside it", "B": "of another machine", "c": "in one part", "d": "a whole path",
    }  # fmt: skip
    assert notes == []


def test_a_source_says_how_much_there_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png())
    (tmp_path / "a.txt").write_text("a caption")
    assert open_source(tmp_path).contents == "2 pictures, 1 of them with a caption"
    (tmp_path / "b.txt").write_text("a caption")
    assert open_source(tmp_path).contents == "2 pictures, each with a caption"
    (tmp_path / "shards").mkdir()
    shard(tmp_path / "shards" / "0.tar", [("1.png", png()), ("1.txt", b"a caption")])
    assert open_source(tmp_path / "shards").contents == "1 .tar shard"
    opened = open_source(tmp_path / "shards" / "0.tar")
    assert open_source(opened) is opened


def test_a_folder_of_captions_without_its_pictures_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("file,caption\na.png,x\n")
    with pytest.raises(ValueError, match=r"no pictures; captions.csv names 1 file, 'a.png', that is not there: "):
        open_source(tmp_path)
    (tmp_path / "captions.csv").write_text("file,caption\na.png,x\nb.png,y\n")
    with pytest.raises(ValueError, match=r"names 2 files, such as 'a.png', none of which is there: "):
        open_source(tmp_path)
    (tmp_path / "captions.csv").write_text("file,caption\n")
    with pytest.raises(ValueError, match=r"and captions.csv names none"):
        open_source(tmp_path)


def test_other_columns_of_a_table_with_captions_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").write_bytes(png())
    (tmp_path / "captions.csv").write_text("file,caption,Split,uid,_x,score\na.png,x,test,1,2,0.5\nb.png,y,,1,2,3\n")
    found, notes = read(tmp_path)
    assert [entry.more for entry in found] == [{"Split": "test", "score": "0.5"}, {"score": "3"}]
    assert notes == ["the columns uid of captions.csv: pairs have their own of these names"]
    (tmp_path / "captions.csv").unlink()
    line = {"file_name": "a.png", "text": "x", "name": "a", "n": 3, "ok": True, "box": [1], "odd": "\ud800"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    found, notes = read(tmp_path)
    assert found[0].more == {"name": "a", "n": 3, "ok": True, "odd": "?"}
    assert found[1].more is None
    (tmp_path / "metadata.jsonl").unlink()
    table = pa.table({"file": ["a.png"], "caption": ["x"], "bytes": [b"123"], "score": [float("nan")], "kind": ["k"]})
    pq.write_table(table, tmp_path / "m.parquet")
    assert read(tmp_path)[0][0].more == {"kind": "k"}


def test_hidden_pictures_are_no_pictures(tmp_path: Path) -> None:
    """They were counted as pictures, and stood in the place of the last ones."""
    (tmp_path / ".trash").mkdir()
    for name in ("a", "b", "c", ".hidden", ".trash/d"):
        (tmp_path / f"{name}.png").write_bytes(png())
        (tmp_path / f"{name}.txt").write_text(f"a picture called {name}")
    assert [one.candidate.url for one in read(tmp_path)[0]] == ["a.png", "b.png", "c.png"]
    assert Captions(tmp_path).keys() == ["a.png", "b.png", "c.png"]
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").unlink()
    with pytest.raises(ValueError, match="holds 3 pictures and no captions"):
        open_source(tmp_path)


def test_a_table_in_a_folder_below_names_its_own_neighbours(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png())
        (tmp_path / name / "captions.csv").write_text(f"file,caption\n1.png,one of the {name}\n")
    assert [one.candidate.text for one in read(tmp_path)[0]] == ["one of the cats", "one of the dogs"]


def test_pictures_without_a_caption_are_refused_with_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    with pytest.raises(ValueError, match=r"1 pictures and no captions: put NAME\.txt beside each"):
        open_source(tmp_path)
    (tmp_path / "captions.csv").write_text("filename,title\na.png,a caption\n")
    with pytest.raises(ValueError, match=r"of files beside one of captions, but filename, title\): put NAME"):
        open_source(tmp_path)
    (tmp_path / "captions.csv").unlink()
    (tmp_path / "links.csv").write_text("url,caption\nhttp://x.org/a.jpg,a caption\n")
    with pytest.raises(ValueError, match=r"1 pictures .* and 1 tables"):
        open_source(tmp_path)


def test_pictures_of_other_formats_and_captions_of_no_picture_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    Image.new("RGB", (9, 7)).save(tmp_path / "b.gif")
    lines = [{"file_name": name, "text": f"a caption of {name}"} for name in ("a.png", "b.gif", "gone.png")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found, notes = read(tmp_path)
    assert [one.candidate.url for one in found] == ["a.png", "b.gif"]
    assert accept.look((tmp_path / "b.gif").read_bytes(), accept.Acceptance(min_bytes=0)).reason == accept.FORMAT
    assert notes == ["1 captions are of files that are not there, such as 'gone.png'"]


def test_texts_beside_no_picture_are_counted(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.png").write_bytes(png())
    for name in ("sub/a.txt", "a.txt", "sub/alone.txt"):
        (tmp_path / name).write_text("a caption")
    found, notes = read(tmp_path)
    assert [one.candidate.url for one in found] == ["sub/a.png"]
    assert notes == ["2 texts have no picture of their name beside them, such as 'a.txt'"]


def test_pages_are_resolved_against_the_place_they_were_at(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "p.html").write_text('<img src="a.jpg" alt="a caption here">')
    found, _ = read(tmp_path, base_url="http://x.org/site")
    assert found[0].candidate.url == "http://x.org/site/dir/a.jpg"
    assert reasons(read(tmp_path)[0]) == [parse.BAD_URL]


def warc(file: Path, pages: list[tuple[str, bytes]], more: bytes = b"") -> Path:
    with file.open("wb") as stream:
        for url, html in pages:
            http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n" + more + b"\r\n" + html
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
                f"WARC-Record-ID: <urn:uuid:0>\r\nContent-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(http)}\r\n\r\n"
            )
            stream.write(gzip.compress(head.encode() + http + b"\r\n\r\n", mtime=0))
    return file


PAGES = [(f"http://x.org/{i}/p.html", f'<img src="a.jpg" alt="the caption {i}">'.encode() * 3) for i in range(3)]


def test_crawls_are_read_record_by_record(tmp_path: Path) -> None:
    found, notes = read(warc(tmp_path / "a.warc.gz", PAGES))
    assert [one.candidate.url for one in found if not one.candidate.reason] == [
        f"http://x.org/{i}/a.jpg" for i in range(3)
    ]
    assert reasons(found).count(parse.REPEATED) == 6
    assert notes == []


def test_pages_of_other_encodings_give_their_links_or_are_counted(tmp_path: Path) -> None:
    """A crawl whose headers say UTF-8 of all pages; a folder, whose files have no headers."""
    html = '<img src="http://x.org/a.jpg" alt="the caption">'
    contents = {
        "le": f"\ufeff{html}".encode("utf-16-le"),
        "be": f"\ufeff{html}".encode("utf-16-be"),
        "lost": html.encode("utf-16-le"),
    }
    crawl = warc(tmp_path / "a.warc.gz", [(f"http://x.org/{name}", content) for name, content in contents.items()])
    place = tmp_path / "pages"
    place.mkdir()
    for name, content in contents.items():
        (place / f"{name}.html").write_bytes(content)
    expected = [("http://x.org/a.jpg", ""), ("http://x.org/a.jpg", "")]
    for path, lost in ((crawl, "http://x.org/lost"), (place, "lost.html")):
        found, notes = read(path)
        told = sorted((one.candidate.url, one.candidate.reason) for one in found)
        assert told == sorted([*expected, (lost, parse.UNDECODED)])
        assert notes == []


def test_a_truncated_crawl_keeps_what_is_whole_and_says_so(tmp_path: Path) -> None:
    file = warc(tmp_path / "a.warc.gz", PAGES)
    file.write_bytes(file.read_bytes()[:-60])
    found, notes = read(file)
    assert {one.candidate.page for one in found} >= {"http://x.org/0/p.html", "http://x.org/1/p.html"}
    assert len(notes) == 1
    assert "a.warc.gz" in notes[0]


def test_a_page_that_is_cut_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [*PAGES, ("http://x.org/long/p.html", PAGES[0][1] * 9)]
    monkeypatch.setattr(crawls, "LARGEST_PAGE", len(PAGES[0][1]))
    found, notes = read(warc(tmp_path / "a.warc.gz", pages))
    assert len(found) == 12
    assert [note.partition(" ")[0] for note in notes] == ["http://x.org/long/p.html"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "br", "gzip, which it is not"])
@pytest.mark.parametrize("chunked", [False, True])
def test_packed_pages_are_read_as_far_as_a_page_goes(
    encoding: str, chunked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = PAGES[0][1]
    long = html + b" " * 2**20
    pack: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
    pack["raw deflate"] = lambda content: zlib.compress(content)[2:-4]
    if encoding == "br":
        brotli = pytest.importorskip("brotli", minversion="1.2")
        pack["br"] = brotli.compress
    body = pack.get(encoding, bytes)(long)
    more = f"Content-Encoding: {encoding.partition(',')[0].removeprefix('raw ')}\r\n".encode()
    if chunked:
        more += b"Transfer-Encoding: chunked\r\n"
        halves = (body[:9], body[9:])
        body = b"".join(f"{len(half):x}\r\n".encode() + half + b"\r\n" for half in halves) + b"0\r\n\r\n"
    monkeypatch.setattr(crawls, "LARGEST_PAGE", 2**16)
    found, notes = read(warc(tmp_path / "a.warc.gz", [("http://x.org/0/p.html", body)], more))
    assert [one.candidate.url for one in found if not one.candidate.reason] == ["http://x.org/0/a.jpg"]
    assert [note.partition(" ")[0] for note in notes] == ["http://x.org/0/p.html"]


def test_a_chunk_that_tells_gigabytes_takes_no_more_than_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawls, "LARGEST_PAGE", 2**16)
    taken: list[int] = []
    unpack = crawls._unpacked
    monkeypatch.setattr(crawls, "_unpacked", lambda packed, start: taken.append(len(packed)) or unpack(packed, start))
    body = b"7fffffff\r\n" + gzip.compress(b"x") + bytes(2**20)
    more = b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
    read(warc(tmp_path / "a.warc.gz", [("http://x.org/0/p.html", body)], more))
    assert len(taken) == 1
    assert taken[0] <= 2**16


@pytest.mark.parametrize(
    "content",
    [
        b"WARC/1.0\r\nX: " + b"a" * 2**18 + b"\r\n\r\n",
        b"WARC/1.0\r\n" + b"X: a\r\n" * 2**14 + b"\r\n",
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://x.org/0\r\nContent-Type: application/http\r\n"
        b"Content-Length: 300000\r\n\r\nHTTP/1.1 200 OK\r\nX: " + b"a" * 2**18 + b"\r\n\r\n",
    ],
    ids=["one line", "many lines", "a line of HTTP"],
)
def test_a_record_whose_head_has_no_end_is_told(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawls, "LARGEST_HEAD", 2**16)
    for file, body in (("a.warc.gz", gzip.compress(content)), ("a.warc", content)):
        (tmp_path / file).write_bytes(body)
        found, (note,) = read(tmp_path / file)
        assert found == []
        assert f"{file} ends in the middle or is damaged: the head of a record has more than 65,536 bytes" in note


def test_a_crawl_that_unpacks_to_much_is_read_up_to_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST_FREE", 2**20)
    pages = [PAGES[0], ("http://x.org/1/p.html", bytes(2**22)), PAGES[2]]
    found, (note,) = read(warc(tmp_path / "a.warc.gz", pages))
    assert {one.candidate.page for one in found} == {PAGES[0][0]}
    assert "unpacks to" in note


def test_a_length_of_thousands_of_digits_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.warc"
    file.write_bytes(wat_record(b"{}").replace(b"Content-Length: 2", b"Content-Length: " + b"9" * 5000))
    _, notes = read(file)
    assert "ends in the middle of a record" in notes[-1]


def test_wat_files_are_read(tmp_path: Path) -> None:
    links = [{"path": "IMG@/src", "url": "a.jpg", "alt": "a caption here"}]
    record = {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": {"Links": links}}}}}
    body = json.dumps(record).encode()
    head = (
        "WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://x.org/d/p.html\r\n"
        "WARC-Date: 2026-01-01T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:0>\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    (tmp_path / "a.warc.wat.gz").write_bytes(gzip.compress(head.encode() + body + b"\r\n\r\n"))
    (found,), notes = read(tmp_path)
    assert (found.candidate.url, notes) == ("http://x.org/d/a.jpg", [])


def test_a_page_whose_charset_decodes_nothing_and_a_bad_record_cost_themselves_only(tmp_path: Path) -> None:
    """The second of four pages names the charset "undefined"; the second of three records of a WAT is no JSON."""
    pages = [*PAGES, ("http://x.org/3/p.html", PAGES[0][1])]
    pages[1] = (pages[1][0], b"<meta charset=undefined>" + pages[1][1])
    found, notes = read(warc(tmp_path / "a.warc.gz", pages))
    assert len([one for one in found if not one.candidate.reason]) == 4
    assert notes == []
    place = tmp_path / "wat"
    place.mkdir()
    links = {"Links": [{"path": "IMG@/src", "url": "a.jpg", "alt": "a caption here"}]}
    bodies = [b"{broken", *(
        json.dumps({"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": told}}}}).encode()
        for told in ({"Links": None}, "x", links)
    )]  # fmt: skip
    (place / "a.wat").write_bytes(b"".join(map(wat_record, bodies)))
    found, notes = read(place)
    assert [one.candidate.url for one in found] == ["http://x.org/d/a.jpg"]
    assert len(notes) == 1
    assert "JSONDecodeError" in notes[0]


def wat_record(body: bytes) -> bytes:
    head = (
        "WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://x.org/d/p.html\r\n"
        "WARC-Date: 2026-01-01T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:0>\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def test_a_folder_goes_on_behind_a_page_that_breaks_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(15):
        (tmp_path / f"{i}.html").write_text(f"<img src=http://x.org/{i}.jpg alt='a caption'>")
    real = parse.parse_page

    def broken(page: parse.Page) -> list[parse.Candidate]:
        if b"/14.jpg" not in page.html:
            raise RecursionError("too deep")
        return real(page)

    monkeypatch.setattr(parse, "parse_page", broken)
    found, notes = read(tmp_path)
    assert [one.candidate.url for one in found] == ["http://x.org/14.jpg"]
    assert len(notes) == crawls.NOTES + 1
    assert "4 more" in notes[-1]


def test_what_the_json_of_a_sample_says_stays_what_it_says(tmp_path: Path) -> None:
    told = {"place": "Paris", "fault": "x", "repeated": 1000, "caption": ["", "a nice caption"]}
    members = []
    for key, url in (("a", "javascript:alert(1)"), ("b", "http://x.org/b.png"), ("c", 7)):
        members += [(f"{key}.json", json.dumps({**told, "url": url}).encode()), (f"{key}.png", png())]
    found, _ = read(shard(tmp_path / "0.tar", members))
    assert reasons(found) == [""] * 3
    assert [one.candidate.url for one in found] == ["0.tar/a", "http://x.org/b.png", "0.tar/c"]
    assert {one.candidate.text for one in found} == {"a nice caption"}


def test_a_folder_of_several_kinds_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.txt").write_text("a caption here")
    (tmp_path / "index.html").write_text("<p>gallery</p>")
    with pytest.raises(ValueError, match=r"1 HTML pages \(such as index.html\) and 1 pictures"):
        open_source(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "index.html").unlink()
    shard(tmp_path / "0.tar", [("a.png", png())])
    (tmp_path / "0.parquet").write_bytes(b"as img2dataset leaves it")
    assert [unit.kind for unit in open_source(tmp_path).units] == ["shard"]
    (tmp_path / "b.jsonl").write_text('{"url": "http://x.org/a.jpg", "text": "a caption"}')
    with pytest.raises(ValueError, match=r"shards .* and 1 tables"):
        open_source(tmp_path)


def test_a_quote_that_is_never_closed_costs_its_own_line(tmp_path: Path) -> None:
    rows = [f"http://x.org/{i}.jpg,a caption {i}" for i in range(5)]
    rows[1] = 'http://x.org/1.jpg,"an open quote'
    rows[3] = 'http://x.org/3.jpg,"a caption\nof ""two"" lines"'
    file = tmp_path / "links.csv"
    file.write_text("url,text\n" + "\n".join(rows[:1] + rows[2:] + rows[1:2] + rows[:1]))
    found, _ = read(file)
    assert reasons(found) == ["", "", "", "", tables.BAD_LINE, ""]
    assert found[2].candidate.text == 'a caption of "two" lines'


def test_lists_of_captions_give_their_first(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"url": "http://x.org/1.jpg", "text": ["one caption", "two"]}\n')
    assert read(tmp_path / "a.jsonl")[0][0].candidate.text == "one caption"


def test_a_change_of_any_file_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.txt").write_text("a caption here")
    first = open_source(tmp_path).digest
    assert open_source(tmp_path).digest == first
    (tmp_path / "a.txt").write_text("another words.")
    assert open_source(tmp_path).digest != first


def test_paths_do_not_depend_on_where_the_process_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(png())
    (tmp_path / "pictures" / "a.txt").write_text("cat")
    monkeypatch.chdir(tmp_path)
    found, _ = read(Path("pictures"))
    assert Path(found[0].file).is_absolute()


def test_hidden_files_are_no_pictures(tmp_path):
    from unseen.curation.units import files_below

    for name in ("a.png", "._a.png", ".trash/b.png", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.relative_to(tmp_path).as_posix() for file in files_below(tmp_path, (".png",))] == [
        "a.png",
        "sub/c.png",
    ]


def test_decimal_commas_of_a_table_with_captions_are_read_as_in_other_tables(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").write_bytes(png())
    rows = ["a.png;x, y;0,5;1.234,5;2,5 kg;0,1,2", "b.png;3,5;-2;1.000;;"]
    (tmp_path / "captions.csv").write_text("\n".join(["file;caption;score;views;weight;code", *rows]))
    found, _ = read(tmp_path)
    assert [entry.more for entry in found] == [
        {"score": "0.5", "views": "1234.5", "weight": "2,5 kg", "code": "0,1,2"}, {"score": "-2", "views": "1000"},
    ]  # fmt: skip
    assert [entry.candidate.text for entry in found] == ["x, y", "3,5"]  # a caption is a caption
    (tmp_path / "captions.csv").write_text("file,caption,score\na.png,x,1.234\n")
    assert read(tmp_path)[0][0].more == {"score": "1.234"}


def test_a_name_in_other_capitals_that_two_pictures_have_is_of_neither(tmp_path: Path) -> None:
    for name in ("x/A.jpg", "y/a.jpg", "z/B.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "captions.csv").write_text("file,caption\nq/A.JPG,first\nq/b.JPG,second\n")
    said: list[str] = []
    pictures = ["x/A.jpg", "y/a.jpg", "z/B.jpg"]
    captions = read_captions(tmp_path, pictures, [*pictures, "captions.csv"], said.append)
    assert captions == {"z/B.jpg": "second"}
    assert any("q/A.JPG" in line for line in said)


HOSTILE = {
    "in each other": b"<div>" * 50_000,
    "attributes": ('<a b=">" ' + " ".join(f"b{i}" for i in range(100_000)) + ">").encode(),
    "copies without end": "".join(f"<font color={i}><p>" for i in range(50_000)).encode(),
    "copies, few bytes, none of them a tag's": b"<meta charset=cp037>"
    + "".join(f"<font color={i}><p>" for i in range(6_000)).encode("cp037"),
}


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_a_page_that_takes_a_parser_too_much_is_one_dropped_link_and_others_are_read(
    html: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the limits of `unseen curate` these take 10 s of a processor, or 1 GiB."""
    monkeypatch.setattr(crawls, "Apart", functools.partial(Apart, seconds=0.3, memory=2**28))
    image = b"<img src=http://a.example/b.jpg alt='a good picture'>"
    for name, page in {"a": image, "b": html, "c": image + b"<p>text</p>" * 40_000}.items():
        (tmp_path / f"{name}.html").write_bytes(page)
    found, notes = read(tmp_path, base_url="http://e.example/")
    assert reasons(found) == ["", parse.ENDLESS, ""]
    assert (found[1].candidate.url, notes) == ("http://e.example/b.html", [])


def test_a_package_that_large_pages_need_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)
    (tmp_path / "a.html").write_text("<p>text</p>" * 40_000)
    with pytest.raises(ImportError, match=r"unseen\[curate\]"):
        read(tmp_path, base_url="http://e.example/")
