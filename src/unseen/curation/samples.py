"""Pictures that are there, with their captions: WebDataset shards and folders."""

from __future__ import annotations

import csv
import dataclasses
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from unseen.curation.tables import TEXT_COLUMNS, URL_COLUMNS, first_of, json_row, said
from unseen.curation.units import Found, Note, Source, Unit, files_below
from unseen.data.loaders.common import inside
from unseen.methods.curation.laion import parse

SHARDS = (".tar",)
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
OTHERS = (".jfif", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".svg")
"""Endings of files; `OTHERS` are pictures, too, beside which only JPEG, PNG and WEBP pass the checks."""
METADATA = ("metadata.jsonl", "metadata.csv")
"""Tables of a folder that name its files and captions."""
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "image_path")

LARGEST_MEMBER = 64 * 2**20
"""Bytes of a file in a shard or folder that are read at most."""

NO_PICTURE, REPEATED_KEY = "a sample without a picture", "key repeated in the shard"
TOO_LARGE, OUTSIDE = "file larger than is read", "no plain file inside the data"
CUT = "cut off by the end of the shard"


@dataclasses.dataclass
class _Sample:
    """What the members of a shard say of one key; `told` is what its texts and its JSON say."""

    told: dict[str, Any] = dataclasses.field(default_factory=dict)
    place: tuple[int, int] | None = None
    fault: str = ""
    repeated: int = 0


def read_shard(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Samples of a WebDataset shard, whose pictures stay in it until they are needed."""
    samples: dict[str, _Sample] = {}
    file, place = Path(unit.file), Path(source.path)
    called = file.relative_to(place).as_posix() if place.is_dir() else file.name
    end = file.stat().st_size
    try:
        with tarfile.open(file, mode="r:") as archive:
            for info in archive:
                _member(archive, info, samples, end)
            fault = _at_the_end(file, archive.offset)
    except (tarfile.TarError, EOFError, OSError) as error:
        fault = str(error)
    if fault:
        note(f"{unit.label} is truncated or damaged: {fault}; what comes after was not read")
    for key, sample in samples.items():
        yield _sample(f"{called}/{key}", sample, unit.file)
        for _ in range(sample.repeated):
            yield Found(_dropped(f"{called}/{key}", "", REPEATED_KEY))


def _at_the_end(file: Path, place: int) -> str:
    """What is wrong at the place where no member follows: an archive ends with zeros alone."""
    with file.open("rb") as stream:
        stream.seek(place)
        rest = stream.read(tarfile.BLOCKSIZE)
        if not rest:
            return "the mark of its end is missing"
        while rest:
            if rest.strip(b"\0"):
                return f"there is no member at byte {place:,}, nor the end"
            rest = stream.read(tarfile.RECORDSIZE)
    return ""


def _member(archive: Any, info: Any, samples: dict[str, _Sample], end: int) -> None:
    """Note what a member says of its sample."""
    if info.isdir() or PurePosixPath(info.name).name.startswith("."):
        return
    stem, _, ending = PurePosixPath(info.name).name.partition(".")
    parent = PurePosixPath(info.name).parent.as_posix()
    key, ending = stem if parent == "." else f"{parent}/{stem}", ending.lower()
    sample = samples.setdefault(key, _Sample())
    picture = f".{ending}" in PICTURES
    if not picture and ending not in ("txt", "text", "caption", "json"):
        return
    if not info.isreg() or info.issparse() or ".." in PurePosixPath(info.name).parts:
        sample.fault = OUTSIDE
    elif info.size > LARGEST_MEMBER:
        sample.fault = TOO_LARGE
    elif info.offset_data + info.size > end:
        sample.fault = CUT
    elif picture and sample.place is not None:
        sample.repeated += 1
    elif picture:
        sample.place = (info.offset_data, info.size)
    else:
        body = archive.extractfile(info).read().decode("utf-8", "replace")
        told = json_row(body) if ending == "json" else {"text": body}
        for name, value in (told or {}).items():
            sample.told.setdefault(str(name).lower(), value)


def _sample(name: str, sample: _Sample, file: str) -> Found:
    url = said(first_of(sample.told, URL_COLUMNS))[: parse.MOST]
    url = url if parse.is_address(url) else name[: parse.MOST]
    text = said(first_of(sample.told, TEXT_COLUMNS))
    caption = parse.clean(text)
    if sample.fault or sample.place is None:
        return Found(_dropped(url, caption, sample.fault or NO_PICTURE))
    return _here(url, text, caption, said(sample.told.get("license")) or parse.UNKNOWN_LICENSE, file, *sample.place)


def _here(url: str, text: str, caption: str, license_: str, file: str, offset: int, size: int) -> Found:
    """A picture on disk with its caption."""
    reason = parse.NO_TEXT if not text.strip() else parse.SHORT_TEXT if len(caption) < parse.SHORTEST else ""
    return Found(parse.Candidate(url, caption, license_, "", reason), file, offset, size)


def _dropped(url: str, text: str, reason: str) -> parse.Candidate:
    return parse.Candidate(url, text, parse.UNKNOWN_LICENSE, "", reason)


def read_pictures(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Pictures below a folder, captioned by a ``.txt`` of the same name or by the folder's ``metadata`` table."""
    place = Path(unit.file)
    first = unit.start == 0  # what is wrong with the table is told once
    captions = _captions(place, note if first else lambda _: None)
    files = files_below(place, (*PICTURES, *OTHERS))
    if first and (missing := captions.keys() - {file.relative_to(place).as_posix() for file in files}):
        note(f"{len(missing):,} captions are of files that are not there, such as {min(missing)!r}")
    for file in files[unit.start : unit.stop]:
        name = file.relative_to(place).as_posix()
        if not file.resolve().is_relative_to(place.resolve()):
            yield Found(_dropped(name, "", OUTSIDE))
            continue
        size = file.stat().st_size
        beside = file.with_suffix(".txt")
        text = captions.get(name, "")
        if not text and beside.is_file():
            with beside.open("rb") as stream:
                text = stream.read(8 * parse.MOST).decode("utf-8", "replace")
        if size > LARGEST_MEMBER:
            yield Found(_dropped(name, parse.clean(text), TOO_LARGE))
            continue
        yield _here(name, text, parse.clean(text), parse.UNKNOWN_LICENSE, str(file), 0, size)


def _captions(place: Path, note: Note) -> dict[str, str]:
    """Captions by file name, from ``metadata.jsonl`` or ``metadata.csv``, as Hugging Face writes them."""
    found: dict[str, str] = {}
    for name in METADATA:
        file = place / name
        if not file.is_file():
            continue
        if name.endswith(".jsonl"):
            rows: Iterable[dict[str, Any] | None] = map(json_row, file.read_text("utf-8", "replace").splitlines())
        else:
            rows = csv.DictReader(io.StringIO(file.read_text("utf-8-sig", "replace")))
        for row in rows:
            told = {str(key).lower(): value for key, value in (row or {}).items()}
            target = first_of(told, FILE_COLUMNS)
            if target is None:
                note(f"a line of {name} names no file")
                continue
            try:
                found[inside(str(target))] = said(first_of(told, TEXT_COLUMNS))
            except ValueError as error:
                note(f"{name}: {error}")
    return found
