"""`Collection`: image-text pairs on disk, in shards whose table, pictures and embeddings have one order.

    collection.json          which encoder made the embeddings, and anything that was said of the whole
    shards/00000/
        pairs.parquet        a row per pair (`COLUMNS`); its order is the order of all that follows
        images.tar           KEY.jpg, KEY.txt, KEY.json of every pair: a plain WebDataset shard
        image.npy text.npy   unit vectors, float16 (n, d), memory-mapped when read
        stats.json           what went in, what was dropped and why

A shard is written into a folder beside it and renamed, so that it is there whole or not at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unseen.data.rows import finite_rows, unit_rows
from unseen.data.typing import FloatArray
from unseen.files import named, read_object
from unseen.runtime import replacing, replacing_folder
from unseen.strict_json import strict_json

FORMAT = 1
Side = Literal["image", "text"]

COLUMNS = pa.schema(
    [
        pa.field("uid", pa.string()),  # MD5 of URL and caption, 32 hexadecimal digits: the key of a pair everywhere
        pa.field("url", pa.string()),
        pa.field("text", pa.string()),
        pa.field("language", pa.string()),  # "en", another code, or "" for unreliable or none
        pa.field("license", pa.string()),  # "?" if the page names none
        pa.field("width", pa.int32()),  # of the picture as it was fetched
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.string()),  # of its bytes as they were fetched
        pa.field("similarity", pa.float32()),  # cosine of picture and caption
        pa.field("offset", pa.int64()),  # where the picture's bytes lie in images.tar
        pa.field("size", pa.int64()),
    ]
)
"""What every pair has; scores (punsafe, pwatermark, toxicity, aesthetic, nsfw, ...) are further columns."""

_TABLE, _PICTURES, _STATS, _RECORD = "pairs.parquet", "images.tar", "stats.json", "collection.json"
_NUMBER = re.compile(r"[0-9]{5,}")


@dataclasses.dataclass(frozen=True)
class EncoderRecord:
    """Which encoder made the embeddings of a collection: name, fingerprint and width."""

    name: str
    fingerprint: str
    dim: int

    def require(self, fingerprint: str, dim: int, *, name: str = "this encoder") -> None:
        """Raise `ValueError` unless an encoder is the one that made the embeddings."""
        if (fingerprint, dim) != (self.fingerprint, self.dim):
            raise ValueError(
                f"the embeddings are of {self.name} ({self.dim} wide, {self.fingerprint[:12]}...); {name} is another "
                f"one ({dim} wide, {fingerprint[:12]}...): its queries would find nothing that makes sense"
            )


@dataclasses.dataclass(frozen=True)
class Shard:
    """One folder of a collection; what is read stays on disk until it is asked for."""

    folder: Path

    @cached_property
    def n(self) -> int:
        """Number of pairs."""
        return pq.read_metadata(self.folder / _TABLE).num_rows

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows, or some of their columns; a column that it lacks is null."""
        have = pq.read_schema(self.folder / _TABLE).names
        wanted = have if columns is None else list(columns)
        table = pq.read_table(self.folder / _TABLE, columns=[name for name in wanted if name in have])
        for name in wanted:
            if name not in have:
                table = table.append_column(name, pa.nulls(self.n))
        return table.select(wanted)

    def embeddings(self, side: Side) -> NDArray[np.float16]:
        """Unit vectors (n, d), mapped from disk; `ValueError` if there are none or they do not fit the table."""
        file = self.folder / f"{side}.npy"
        if not file.exists():
            raise ValueError(f"{self.folder} holds no embeddings of {side}s; embed it first (unseen curate)")
        vectors = np.load(file, mmap_mode="r", allow_pickle=False)
        if vectors.ndim != 2 or len(vectors) != self.n:
            raise ValueError(f"{file} has the shape {vectors.shape}, the table has {self.n} rows: it is damaged")
        return vectors

    def picture(self, offset: int, size: int) -> bytes:
        """The bytes of a picture, by the columns `offset` and `size` of its row."""
        with (self.folder / _PICTURES).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    @property
    def stats(self) -> dict[str, Any]:
        """What went in, what was dropped and why."""
        return read_object(self.folder / _STATS)


@dataclasses.dataclass(frozen=True)
class Collection:
    """Image-text pairs in shards; row r of a collection is counted through its shards in their order.

    Attributes
    ----------
    folder : Path
    shards : tuple of Shard
        In the order of their names; those being written are not seen.
    encoder : EncoderRecord or None
        What made the embeddings.
    facts : mapping
        What else stands in ``collection.json``.
    """

    folder: Path
    shards: tuple[Shard, ...]
    encoder: EncoderRecord | None
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Collection:
        """Open what `write_record` and `write_shard` made; `ValueError` if it is none, or of a later format."""
        folder = Path(folder)
        if not (folder / _RECORD).is_file():
            raise ValueError(f"{folder} is no collection of pairs: it has no {_RECORD} (unseen curate makes one)")
        content = read_object(folder / _RECORD)
        if content.get("format") != FORMAT:
            raise ValueError(f"{folder} is of format {content.get('format')!r}; this version reads {FORMAT}")
        record = content.pop("encoder", None)
        folders = sorted(f for f in (folder / "shards").glob("*") if _NUMBER.fullmatch(f.name) and f.is_dir())
        with named(folder / _RECORD, "the record of a collection"):
            return cls(folder, tuple(Shard(f) for f in folders), EncoderRecord(**record) if record else None, content)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First row of every shard, and the number of rows, (n_shards + 1,)."""
        return np.concatenate([[0], np.cumsum([shard.n for shard in self.shards])]).astype(np.int64)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, or some of their columns, in the order of the embeddings."""
        parts = [shard.table(columns) for shard in self.shards]
        if not parts:
            return COLUMNS.empty_table() if columns is None else COLUMNS.empty_table().select(list(columns))
        return pa.concat_tables(parts, promote_options="permissive")

    def embeddings(self, side: Side) -> FloatArray:
        """All unit vectors, float16 (n, d), copied into memory; of one shard they stay on disk."""
        parts = [shard.embeddings(side) for shard in self.shards]
        if not parts:
            raise ValueError(f"{self.folder} holds no shard yet")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def picture(self, row: int) -> bytes:
        """The bytes of the picture of a row; `IndexError` if there is no such row."""
        if not 0 <= row < len(self):
            raise IndexError(f"row must lie in [0, {len(self)}); got {row}")
        k = int(np.searchsorted(self.starts, row, side="right")) - 1
        places = self.shards[k].table(["offset", "size"])
        at = row - int(self.starts[k])
        return self.shards[k].picture(places["offset"][at].as_py(), places["size"][at].as_py())

    @cached_property
    def order(self) -> str:
        """SHA-256 over the uids in their order: what an index must have been built from."""
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update("".join(shard.table(["uid"])["uid"].to_pylist()).encode())
        return digest.hexdigest()


def write_record(folder: str | os.PathLike[str], encoder: EncoderRecord | None = None, **facts: Any) -> None:
    """Write ``collection.json``, all or nothing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, "encoder": dataclasses.asdict(encoder) if encoder else None, **facts}
    with replacing(folder / _RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_shard(
    folder: str | os.PathLike[str],
    number: int,
    table: pa.Table,
    pictures: Sequence[bytes],
    embeddings: Mapping[Side, FloatArray] | None = None,
    stats: Mapping[str, Any] | None = None,
) -> Shard:
    """Write shard `number` of a collection, all or nothing; one that is there is replaced.

    Parameters
    ----------
    folder : path
        Of the collection.
    number : int, >= 0
    table : pa.Table
        The pairs; `offset` and `size` are found here. A column of `COLUMNS` that it lacks is null.
    pictures : sequence of n bytes
        JPEG, PNG or WEBP, as they shall be kept; each is asked for once.
    embeddings : mapping of "image" and "text" to array (n, d), optional
        Brought to unit length and kept as float16.
    stats : mapping, optional
        For ``stats.json``.

    Raises
    ------
    ValueError
        If lengths differ, a uid is missing, repeated or no plain word, or an embedding is not finite.
    """
    uids = table["uid"].to_pylist()
    lengths: list[tuple[str, int]] = [(side, len(rows)) for side, rows in (embeddings or {}).items()]
    for name, n in [("pictures", len(pictures)), *lengths]:
        if n != len(uids):
            raise ValueError(f"{name} must have a row for each of the {len(uids)} pairs; got {n}")
    if len(set(uids)) != len(uids) or not all(re.fullmatch(r"[\w-]+", uid or "") for uid in uids):
        raise ValueError("uid must be a word of its own for every pair")
    final = Path(folder) / "shards" / f"{number:05d}"
    with replacing_folder(final) as part:
        offsets, sizes = _write_pictures(part / _PICTURES, table, pictures)
        for side, rows in (embeddings or {}).items():
            unit = unit_rows(finite_rows(rows, f"embeddings of {side}"))
            np.save(part / f"{side}.npy", unit.astype(np.float16))
        pq.write_table(_completed(table, offsets, sizes), part / _TABLE)
        (part / _STATS).write_text(strict_json(dict(stats or {})) + "\n", encoding="utf-8")
    return Shard(final)


def _completed(table: pa.Table, offsets: list[int], sizes: list[int]) -> pa.Table:
    """The table with all of `COLUMNS` in front, of their types."""
    rest: dict[str, Any] = {name: table[name] for name in table.column_names}
    rest["offset"], rest["size"] = pa.array(offsets, pa.int64()), pa.array(sizes, pa.int64())
    front: dict[str, Any] = {}
    for field in COLUMNS:
        column = rest.pop(field.name, None)
        front[field.name] = pa.nulls(len(table), field.type) if column is None else column.cast(field.type)
    return pa.table({**front, **rest})


def _write_pictures(file: Path, table: pa.Table, pictures: Sequence[bytes]) -> tuple[list[int], list[int]]:
    """Write the WebDataset shard; where each picture's bytes begin in it, and how many they are."""
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        rows = table.drop_columns([name for name in ("offset", "size") if name in table.column_names])
        for row, picture in zip(rows.to_pylist(), pictures):
            for ending, content in (
                (suffix_of(picture), picture),
                ("txt", (row.get("text") or "").encode()),
                ("json", json.dumps(row, ensure_ascii=False, default=str).encode()),
            ):
                info = tarfile.TarInfo(f"{row['uid']}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    with tarfile.open(file) as tar:
        places = [(info.offset_data, info.size) for info in tar if info.name.rpartition(".")[2] in _KINDS]
    return [offset for offset, _ in places], [size for _, size in places]


_KINDS = ("jpg", "png", "webp")


def suffix_of(picture: bytes) -> str:
    """The ending of a picture by its first bytes: jpg, png or webp; `ValueError` if it is none of them."""
    if picture[:3] == b"\xff\xd8\xff":
        return "jpg"
    if picture[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if picture[:4] == b"RIFF" and picture[8:12] == b"WEBP":
        return "webp"
    raise ValueError(f"a picture must be JPEG, PNG or WEBP; it begins with {picture[:12]!r}")
