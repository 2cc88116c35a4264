"""WebDataset shards: samples are read from the tar files in place; nothing is unpacked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, Skipped
from unseen.data.images import IMAGE_SUFFIXES, decode, verify
from unseen.data.labels import encode_labels
from unseen.data.loaders.common import LABEL_COLUMNS, TEXT_COLUMNS, OnError, inside, settle
from unseen.data.reading import open_file
from unseen.data.sounds import SOUND_SUFFIXES, check_heard, sound_of
from unseen.data.tasks.base import text_array
from unseen.data.typing import Kind
from unseen.files import sentence

MAX_MEMBER = 256 * 2**20
"""Members of a shard that are larger than this are refused."""

ALONE = "a text without a picture or sound"
"""Why a sample is left out that has a text where others have more."""
BROKEN = "broken"
_TEXTS = ("txt", "text", "caption")
_DECODED: Mapping[Kind, Callable[[bytes], Any]] = {"image": decode, "audio": sound_of}
"""How a sample is made of a member, by kind; the first kind that shards have is that of the domain."""


@dataclasses.dataclass(frozen=True)
class Member:
    """Where one file lies inside a shard."""

    shard: str
    name: str
    offset: int
    size: int


def load_shards(
    fs: Any,
    shards: Sequence[str],
    *,
    name: str,
    labels_column: str | None = None,
    text_column: str | None = None,
    classes: ClassSpace | Sequence[str] | None = None,
    on_error: OnError = "skip",
    check: bool = True,
) -> Domain:
    """Load WebDataset tar shards, ``KEY.jpg`` or ``KEY.wav`` beside ``KEY.cls``, ``KEY.txt`` and ``KEY.json``.

    Labels come from ``.cls`` or from the field `labels_column` of ``.json``; texts from ``.txt`` or from the
    field `text_column`. Samples are the pictures if there are any, else the sounds, else the texts; a text without a
    picture or sound is then left out. A key counts within its shard: where an earlier shard has it, too, the id begins
    with the name of the shard. Members with unsafe names, links and devices, and members larger than `MAX_MEMBER` are
    refused.
    """
    samples: dict[str, dict[str, Any]] = {}
    skipped: list[Skipped] = []
    for shard in shards:
        shard_samples: dict[str, dict[str, Any]] = {}
        for key, extension, content in _index(fs, shard, check, skipped):
            sample = shard_samples.setdefault(key, {})
            if extension in sample and extension != BROKEN:
                skipped.append(Skipped(f"{key}.{extension}", "the name stands twice"))
            else:
                sample[extension] = content
        for key, sample in shard_samples.items():
            samples[f"{PurePosixPath(shard).name}/{key}" if key in samples else key] = sample
    kind: Kind = next((kind for kind in _DECODED if any(kind in sample for sample in samples.values())), "text")
    members = {key: sample[kind] for key, sample in samples.items() if kind in sample} if kind in _DECODED else {}
    notes = {key: sample.get("json", {}) for key, sample in samples.items()}
    texts = {key: sample.get("text", _field(notes[key], text_column, TEXT_COLUMNS)) for key, sample in samples.items()}
    spoken = [key for key, text in texts.items() if text is not None]
    keys = list(members) or spoken
    if not keys:
        why = f", the first refused: {skipped[0].where}: {skipped[0].why}" if skipped else ""
        raise ValueError(f"{name}: no picture, sound or text in {len(shards)} shards{why}")
    skipped += [Skipped(key, ALONE) for key in spoken if members and key not in members and BROKEN not in samples[key]]
    settled = settle(skipped, on_error, name)
    y, space = encode_labels(
        (samples[key].get("cls", _field(notes[key], labels_column, LABEL_COLUMNS)) for key in keys), classes
    )
    if labels_column is not None and y is None:
        raise ValueError(f"labels_column {labels_column!r} is in no .json of the shards")
    columns = {}
    if members:
        columns["shard"] = np.array([PurePosixPath(members[key].shard).name for key in keys])
        if any(texts[key] is not None for key in keys):
            columns["text"] = text_array(texts[key] or "" for key in keys)
    return Domain(
        x=_lazy(fs, kind, list(members.values())) if members else text_array(texts[key] for key in keys),
        y=y,
        kind=kind,
        classes=space,
        ids=np.array(keys),
        columns=columns,
        name=name,
        skipped=settled,
    )


def _lazy(fs: Any, kind: Kind, members: Sequence[Member]) -> Lazy:
    """Pictures or sounds inside shards that are read when asked for."""

    def read(member: Member) -> Any:
        try:
            return _DECODED[kind](_content(fs, member))
        except ValueError as error:
            raise ValueError(f"{member.shard}: {member.name}: {error}") from error

    return Lazy(list(members), read, lambda member: hashlib.sha256(_content(fs, member)).hexdigest())


def expand_shards(fs: Any, pattern: str) -> list[str]:
    """Shards that a pattern names (``{000..003}`` counts, ``*`` matches); an error if one is missing."""
    paths = []
    for candidate in _expand_braces(pattern):
        matches = sorted(fs.glob(candidate)) if "*" in candidate or "?" in candidate else [candidate]
        if not matches or not all(fs.exists(path) for path in matches):
            raise FileNotFoundError(f"no shard is called {candidate!r}")
        paths += matches
    return paths


def _expand_braces(pattern: str) -> list[str]:
    match = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    numbers = [f"{i:0{len(first)}d}" for i in range(int(first), int(last) + 1)]
    return [p for number in numbers for p in _expand_braces(pattern[: match.start()] + number + pattern[match.end() :])]


def _index(fs: Any, shard: str, check: bool, skipped: list[Skipped]) -> Iterator[tuple[str, str, Any]]:
    """Key, role (image, audio, text, cls, json) and content or place of every member that is used.

    One that cannot be read is among the skipped, and yields its key as `BROKEN`, if the name is one.
    """
    try:
        with open_file(fs, shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                if info.isdir() or PurePosixPath(info.name).name.startswith("."):
                    continue
                try:
                    entry = _role(archive, info, shard, check)
                except Exception as error:  # a sample that nobody can read is left out and told
                    skipped.append(Skipped(f"{PurePosixPath(shard).name}/{info.name}", sentence(error)))
                    entry = (_key(info.name)[0], BROKEN, None)
                if entry is not None:
                    yield entry
    except (tarfile.TarError, EOFError, ValueError, LookupError, OverflowError) as error:
        raise ValueError(f"{shard} is not an uncompressed tar file that can be read: {sentence(error)}") from error


def _role(archive: tarfile.TarFile, info: tarfile.TarInfo, shard: str, check: bool) -> tuple[str, str, Any] | None:
    path = inside(info.name)
    if not info.isreg() or info.issparse():
        raise ValueError("only plain files are read from shards")
    if info.size > MAX_MEMBER:
        raise ValueError(f"the member has {info.size:,} bytes; at most {MAX_MEMBER:,} are read")
    key, extension = _key(path)
    for role, endings, verified in (("image", IMAGE_SUFFIXES, verify), ("audio", SOUND_SUFFIXES, _verify_sound)):
        if f".{extension.rpartition('.')[2]}" in endings:
            if check:
                verified(_body(archive, info))
            return key, role, Member(shard, info.name, info.offset_data, info.size)
    if extension == "json":
        content = json.loads(_body(archive, info))
        return key, "json", content if isinstance(content, dict) else {}
    if extension in (*_TEXTS, "cls"):
        return key, "cls" if extension == "cls" else "text", _body(archive, info).decode().strip()
    return None


def _key(path: str) -> tuple[str, str]:
    """The key of a member, and all its endings."""
    folder, _, file = path.rpartition("/")
    stem, _, extension = file.partition(".")
    return f"{folder}/{stem}" if folder else stem, extension.lower()


def _verify_sound(content: bytes) -> None:
    check_heard(sound_of(content))


def _body(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(info)
    body = stream.read() if stream is not None else b""
    if len(body) != info.size:
        raise ValueError("the shard is truncated")
    return body


def _content(fs: Any, member: Member) -> bytes:
    with open_file(fs, member.shard) as file:
        file.seek(member.offset)
        return bytes(file.read(member.size))


def _field(note: dict[str, Any], wanted: str | None, usual: Sequence[str]) -> Any:
    names = (wanted,) if wanted else usual
    return next((note[key] for key in names if key in note), None)
