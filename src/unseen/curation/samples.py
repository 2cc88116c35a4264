"""Pictures that are there, with their captions: WebDataset shards and folders."""

from __future__ import annotations

import dataclasses
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from unseen.curation.captions import OTHERS, PICTURES, read_captions
from unseen.curation.tables import TEXT_COLUMNS, URL_COLUMNS, first_of, json_row, said
from unseen.curation.units import Found, Note, Source, Unit
from unseen.data.reading import natural_key
from unseen.files import is_hidden, walk
from unseen.methods.curation.laion import parse

SHARDS = (".tar",)
LARGEST_MEMBER = 64 * 2**20
"""Bytes of a file in a shard or folder that are read at most."""

NO_PICTURE, REPEATED_KEY = "a sample without a picture", "key repeated in the shard"
TOO_LARGE, OUTSIDE = "file larger than is read", "no plain file inside the data"
CUT = "cut off by the end of the shard"
NO_CAPTION = "no caption"
TOLD = 5
"""Links of a folder that lead nowhere or round, and that are named."""


@dataclasses.dataclass
class _Sample:
    """What the members of a shard say of one key; `cells` is what its texts and its JSON say."""

    cells: dict[str, Any] = dataclasses.field(default_factory=dict)
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
        fields = json_row(body) if ending == "json" else {"text": body}
        for name, value in (fields or {}).items():
            sample.cells.setdefault(str(name).lower(), value)


def _sample(name: str, sample: _Sample, file: str) -> Found:
    url = said(first_of(sample.cells, URL_COLUMNS))[: parse.MOST]
    url = url if parse.is_address(url) else name[: parse.MOST]
    text = said(first_of(sample.cells, TEXT_COLUMNS))
    caption = parse.clean(text)
    if sample.fault or sample.place is None:
        return Found(_dropped(url, caption, sample.fault or NO_PICTURE))
    return _here(url, text, caption, said(sample.cells.get("license")) or parse.UNKNOWN_LICENSE, file, *sample.place)


def _here(
    url: str, text: str, caption: str, license_: str, file: str, offset: int, size: int, shortest: int = parse.SHORTEST
) -> Found:
    """A picture on disk with its caption."""
    reason = NO_CAPTION if not text.strip() else parse.SHORT_TEXT if len(caption) < shortest else ""
    return Found(parse.Candidate(url, caption, license_, "", reason), file, offset, size)


def _dropped(url: str, text: str, reason: str) -> parse.Candidate:
    return parse.Candidate(url, text, parse.UNKNOWN_LICENSE, "", reason)


def read_pictures(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Pictures below a folder with their captions (`unseen.curation.captions`); links are followed."""
    place = Path(unit.file)
    first = unit.start == 0  # what is wrong with tables and links is told once
    there = walk(place, ignore=is_hidden)
    names = pictures_of(there.files)
    more: dict[str, dict[str, Any]] = {}
    captions = read_captions(place, names, there.files, note if first else lambda _: None, more)
    for name, why in there.refused[:TOLD] if first else ():
        note(f"{name!r} was not read: {why}")
    if first and len(there.refused) > TOLD:
        note(f"{len(there.refused) - TOLD:,} more were not read")
    for name in names[unit.start : unit.stop]:
        file = place / name
        size = file.stat().st_size
        text = captions.get(name, "")
        if size > LARGEST_MEMBER:
            yield Found(_dropped(name, parse.clean(text), TOO_LARGE))
            continue
        entry = _here(name, text, parse.clean(text), parse.UNKNOWN_LICENSE, str(file), 0, size, shortest=1)
        yield entry._replace(more=more.get(name))


def pictures_of(files: Iterable[str]) -> list[str]:
    """Pictures among files, in their order."""
    return sorted((name for name in files if name.lower().endswith((*PICTURES, *OTHERS))), key=natural_key)
