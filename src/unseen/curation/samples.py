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
"""Endings of files."""
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
    end = Path(unit.file).stat().st_size
    try:
        with tarfile.open(unit.file, mode="r:") as archive:
            for info in archive:
                _member(archive, info, samples, end)
    except (tarfile.TarError, EOFError, OSError) as error:
        note(f"{unit.label} is truncated or damaged: {error}; what comes after was not read")
    for key, sample in samples.items():
        yield _sample(f"{Path(unit.file).name}/{key}", sample, unit.file)
        for _ in range(sample.repeated):
            yield Found(_dropped(f"{Path(unit.file).name}/{key}", "", REPEATED_KEY))


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
    captions = _captions(place, note)
    for file in files_below(place, PICTURES)[unit.start : unit.stop]:
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
