"""What is done to a unit or a shard, anywhere: parse, fetch, embed, select; its files are whole or not there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unseen.curation.accounting import dropped_table
from unseen.curation.collection import Shard, write_shard
from unseen.curation.fetch import Fetched, fetch_each
from unseen.curation.settings import Settings
from unseen.curation.sources import read_unit
from unseen.curation.units import Found, Source
from unseen.data.domain import Domain, Lazy
from unseen.data.images import decode
from unseen.data.rows import unit_rows
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.methods.curation.laion import accept, parse, safety
from unseen.methods.curation.laion.heads import Head
from unseen.methods.curation.laion.language import Detector, languages, stream_of
from unseen.methods.curation.laion.similarity import LOOK, cosine, look_of
from unseen.nn.state import write_folder
from unseen.runtime import replacing

OTHER_LANGUAGE = "a language that is not wanted"
UNREADABLE = "picture on disk that cannot be read"

CANDIDATES = pa.schema(
    [
        *((name, pa.string()) for name in ("uid", "url", "text", "language", "license", "page", "file")),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("more", pa.string()),
    ]
)
"""A row per link of a unit; `file`, `offset` and `size` say where its picture is if it is on disk.

`more` is JSON of what a table says beside; the plan makes columns of it (`unseen.curation.planning`).
"""


@dataclasses.dataclass(frozen=True)
class Work:
    """Where everything lies below the folder of a collection."""

    out: Path

    @property
    def folder(self) -> Path:
        """Of what is kept between stages."""
        return self.out / "work"

    @property
    def numbers(self) -> list[int]:
        """Shards that the plan holds."""
        return sorted(int(file.stem) for file in (self.folder / "candidates").glob("[0-9]*.parquet"))

    def parsed(self, number: int) -> Path:
        """Links of a unit."""
        return self.folder / "parsed" / f"{number:05d}.parquet"

    def candidates(self, number: int) -> Path:
        """What a shard is to fetch."""
        return self.folder / "candidates" / f"{number:05d}.parquet"

    def fetched(self, number: int) -> Shard:
        """Pictures of a shard."""
        return Shard(self.folder / "fetched" / "shards" / f"{number:05d}")

    def embedded(self, number: int) -> Path:
        """Embeddings of a shard."""
        return self.folder / "embedded" / f"{number:05d}"

    @property
    def selecting(self) -> Work:
        """Where `select` writes before its files take the place of those that are there."""
        return Work(self.folder / "selecting")

    def dropped(self, stage: str, number: int = 0) -> Path:
        """What a stage dropped of a shard."""
        return self.folder / "dropped" / f"{stage}-{number:05d}.parquet"


class Job(NamedTuple):
    """What every shard needs to know."""

    work: Work
    source: Source
    settings: Settings
    encoder: TwoTowerEncoder | None = None
    multilingual: Any = None
    heads: tuple[Head, ...] = ()
    detector: Detector | None = None
    cache: bool = False

    @property
    def without_encoder(self) -> Job:
        """The job as stages see it that embed nothing: a network need not travel to their workers."""
        return self._replace(encoder=None, multilingual=None)


def write_table(table: pa.Table, file: Path) -> None:
    """Write Parquet, all or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        pq.write_table(table, temporary)


# -- parse ---------------------------------------------------------------------------------------------------


def parse_unit(job: Job, number: int) -> int:
    """Steps 1-4 of a unit of the input; the number of its links."""
    faults: list[str] = []
    links = list(read_unit(job.source, job.source.units[number], faults.append))
    table = _candidates(links, job)
    table = table.replace_schema_metadata({"faults": "\n".join(faults)})
    write_table(table, job.work.parsed(number))
    return len(table)


def _candidates(entries: Sequence[Found], job: Job) -> pa.Table:
    links = [entry.candidate for entry in entries]
    urls = [_plain(link.url) for link in links]
    kept = [i for i, link in enumerate(links) if not link.reason]
    detector = {} if job.detector is None else {"detector": job.detector}
    spoken = languages([links[i].text for i in kept], reliable=job.settings.reliable, **detector)
    language, stage, reason = [""] * len(links), [""] * len(links), [link.reason for link in links]
    wanted = {"" if code == "none" else code for code in job.settings.languages}
    for i, code in zip(kept, spoken):
        language[i] = code
        if wanted and code not in wanted:
            stage[i], reason[i] = "language", OTHER_LANGUAGE
    columns = {
        "uid": [parse.uid(url, link.text) for url, link in zip(urls, links)],
        "url": urls,
        "text": [_plain(link.text) for link in links],
        "language": language,
        "license": [_plain(link.license) for link in links],
        "page": [_plain(link.page) for link in links],
        "file": [entry.file for entry in entries],
        "offset": [entry.offset for entry in entries],
        "size": [entry.size for entry in entries],
        "stage": [step or ("parse" if why else "") for step, why in zip(stage, reason)],
        "reason": reason,
        "more": [json.dumps(entry.more) if entry.more else None for entry in entries],
    }
    return pa.table(columns, schema=CANDIDATES)


def _plain(text: str) -> str:
    """Text without lone surrogates, which no file holds."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


# -- fetch ---------------------------------------------------------------------------------------------------


def fetch_shard(job: Job, number: int) -> int:
    """Steps 6-8 of a shard: download, check, keep; the number of pictures."""
    table = pq.read_table(job.work.candidates(number))
    rows = table.to_pylist()
    others = [field for field in table.schema if field.name not in CANDIDATES.names]
    with tempfile.TemporaryFile(dir=job.work.folder) as file:
        spool = _Spool(file)

        def take(row: Mapping[str, Any], got: Fetched) -> dict[str, Any] | tuple[str, ...]:
            if got.reason:
                return _drop(row, "download", got.reason, got.detail)
            looked = accept.look(got.content, job.settings.acceptance)
            if looked.reason:
                return _drop(row, "checks", looked.reason, looked.detail)
            try:
                place = spool.put(accept.kept(got.content, job.settings.acceptance))
            except ValueError as error:
                return _drop(row, "checks", accept.RESIZE, str(error))
            digest = hashlib.sha256(got.content).hexdigest()
            named = ("uid", "url", "text", "language", "license", "page", *(field.name for field in others))
            fields = {key: row[key] for key in named}
            return {**fields, "width": looked.width, "height": looked.height, "sha256": digest, "place": place}

        far = [i for i, row in enumerate(rows) if not row["file"]]
        urls = [rows[i]["url"] for i in far]
        results = fetch_each(urls, lambda k, got: take(rows[far[k]], got), job.settings.polite) if far else []
        by_row = dict(zip(far, results))
        every = [by_row[i] if i in by_row else take(row, _fetched(row)) for i, row in enumerate(rows)]
        taken = [result for result in every if isinstance(result, dict)]
        dropped: list[Any] = [result for result in every if not isinstance(result, dict)]
        pictures = _Lazily([result.pop("place") for result in taken], lambda place: spool.get(*place))
        write_table(dropped_table(dropped), job.work.dropped("fetch", number))
        write_shard(
            job.work.folder / "fetched", number, _rows_table(taken, others), pictures, stats={"dropped": len(dropped)}
        )
    return len(taken)


class _Spool:
    """Pictures on disk until their shard is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.end = file, 0

    def put(self, content: bytes) -> tuple[int, int]:
        self.file.seek(self.end)
        self.file.write(content)
        place = (self.end, len(content))
        self.end += len(content)
        return place

    def get(self, offset: int, size: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(size)


class _Lazily(Sequence[bytes]):
    """Pictures that are read when they are asked for."""

    def __init__(self, places: Sequence[Any], read: Callable[[Any], bytes]) -> None:
        self.places, self.read = places, read

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: Any) -> Any:
        return self.read(self.places[i])


_FETCHED = pa.schema(
    [
        *((name, pa.string()) for name in ("uid", "url", "text", "language", "license", "page", "sha256")),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)


def _rows_table(rows: list[dict[str, Any]], others: Sequence[pa.Field]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([*_FETCHED, *others]))


def _fetched(row: Mapping[str, Any]) -> Fetched:
    try:
        with Path(row["file"]).open("rb") as file:
            file.seek(row["offset"])
            content = file.read(row["size"])
    except OSError as error:
        return Fetched(b"", UNREADABLE, error.strerror or str(error))
    return Fetched(content) if len(content) == row["size"] else Fetched(b"", UNREADABLE, "it ends too early")


def _drop(row: Mapping[str, Any], stage: str, reason: str, detail: str = "") -> tuple[str, str, str, str, str, str]:
    return row["uid"], row["url"], row["text"], stage, reason, detail


# -- embed ---------------------------------------------------------------------------------------------------


def embed_shard(job: Job, number: int) -> int:
    """Step 9's two embeddings and their cosine, for a shard; the number of pictures that could be decoded."""
    assert job.encoder is not None
    shard = job.work.fetched(number)
    table = shard.table(["uid", "url", "text", "language", "sha256", "offset", "size"])
    rows = table.to_pylist()
    reader = _Reader(shard, rows, job.settings.acceptance)
    image = job.encoder.encode_image(reader.domain(), cache=job.cache) if rows else _none(job.encoder)
    reader.finish()
    good = [i for i in range(len(rows)) if i not in reader.damaged]
    image = unit_rows(image[good]).astype(np.float16)
    text = unit_rows(_texts(job, [rows[i] for i in good])).astype(np.float16)
    similarity = cosine(image.astype(np.float32), text.astype(np.float32))
    dropped = [_drop(rows[i], "embed", accept.DAMAGED, why) for i, why in sorted(reader.damaged.items())]
    write_table(dropped_table(dropped), job.work.dropped("embed", number))
    kept = table.select(["uid", "language", "sha256"]).take(pa.array(good, pa.int64()))
    kept = kept.append_column("row", pa.array(good, pa.int64())).append_column("similarity", pa.array(similarity))
    looks = np.frombuffer(b"".join(reader.looks[i] for i in good), dtype=np.uint8).reshape(len(good), LOOK)

    def write(folder: Path) -> None:
        for name, array in (("image", image), ("text", text), ("looks", looks)):
            np.save(folder / f"{name}.npy", array)
        pq.write_table(kept, folder / "similarity.parquet")

    write_folder(job.work.embedded(number), write)
    return len(good)


class _Reader:
    """Decodes each picture once, as the encoder asks for it; one that is damaged is white, and noted."""

    def __init__(self, shard: Shard, rows: Sequence[Mapping[str, Any]], acceptance: accept.Acceptance) -> None:
        self.shard, self.rows, self.acceptance = shard, rows, acceptance
        self.damaged: dict[int, str] = {}
        self.looks: dict[int, bytes] = {}

    def __call__(self, i: int) -> Any:
        from PIL import Image

        row = self.rows[i]
        try:
            image = decode(self.shard.picture(row["offset"], row["size"]), max_pixels=self.acceptance.max_pixels)
        except ValueError as error:
            self.damaged[i] = str(error)
            return Image.new("RGB", (8, 8), "white")
        self.looks[i] = look_of(image)
        return image

    def domain(self) -> Domain:
        """The pictures, read when asked for."""
        x = Lazy(range(len(self.rows)), self, self.digest)
        return Domain(x=x, kind="image", name=f"shard {self.shard.folder.name}")

    def digest(self, i: int) -> str:
        """SHA-256 of a picture's bytes as they are kept, by which features are cached."""
        row = self.rows[i]
        if self.acceptance.resize == "no":
            return str(row["sha256"])
        return hashlib.sha256(self.shard.picture(row["offset"], row["size"])).hexdigest()

    def finish(self) -> None:
        """Look at those that the encoder did not ask for, because it knew them."""
        for i in range(len(self.rows)):
            if i not in self.looks and i not in self.damaged:
                self(i)


def _texts(job: Job, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.floating[Any]]:
    """Embeddings of captions: English ones by the encoder, others by the multilingual one if there is one."""
    assert job.encoder is not None
    if job.multilingual is None:
        return job.encoder.encode_text([row["text"] for row in rows], cache=job.cache) if rows else _none(job.encoder)
    vectors = np.zeros((len(rows), job.encoder.dim), dtype=np.float32)
    english = np.array([stream_of(row["language"]) == "en" for row in rows], dtype=bool)
    for mask, tower in ((english, job.encoder.text), (~english, job.multilingual)):
        if mask.any():
            texts = [rows[i]["text"] for i in np.flatnonzero(mask).tolist()]
            vectors[mask] = tower.encode(Domain(x=texts, kind="text", name="captions"), cache=job.cache).x
    return vectors


def _none(encoder: TwoTowerEncoder) -> NDArray[np.float32]:
    return np.zeros((0, encoder.dim), dtype=np.float32)


# -- select --------------------------------------------------------------------------------------------------


class Decision(NamedTuple):
    """For the embedded rows of a shard: why each is dropped ("" for those to keep), its stage, and a detail."""

    number: int
    stage: tuple[str, ...]
    reason: tuple[str, ...]
    detail: tuple[str, ...]


def select_shard(job: Job, decision: Decision) -> int:
    """Write what is kept of a shard with its scores; the number of pairs."""
    number = decision.number
    shard, folder = job.work.fetched(number), job.work.embedded(number)
    table = pq.read_table(folder / "similarity.parquet")
    image, text = (np.load(folder / f"{side}.npy", allow_pickle=False) for side in ("image", "text"))
    pairs = shard.table().take(table["row"])
    rows = pairs.to_pylist()
    stage, reason, detail = list(decision.stage), list(decision.reason), list(decision.detail)
    alive = np.array([i for i, why in enumerate(reason) if not why], dtype=np.int64)
    tags = _judge(job, alive, image, rows, stage, reason)
    kept = np.array([i for i, why in enumerate(reason) if not why], dtype=np.int64)
    dropped = [_drop(row, *outcome) for row, *outcome in zip(rows, stage, reason, detail) if outcome[1]]
    write_table(dropped_table(dropped), job.work.selecting.dropped("select", number))
    scores_of = {"similarity", *(head.column for head in job.heads)}  # a head counts before a column of the input
    out = pairs.take(pa.array(kept, pa.int64()))
    out = out.drop_columns([name for name in out.column_names if name in scores_of])
    out = out.append_column("similarity", table["similarity"].take(pa.array(kept, pa.int64())))
    if job.settings.rules:
        out = out.append_column("nsfw", pa.array([tags[i] for i in kept.tolist()], pa.string()))
    for head in job.heads:
        scores = head.score((image if head.side == "image" else text)[kept])
        out = out.append_column(head.column, pa.array(scores, pa.float32()))
    pictures = _Lazily(kept.tolist(), lambda i: shard.picture(rows[i]["offset"], rows[i]["size"]))
    stats = {"embedded": len(rows), "kept": len(kept)}
    write_shard(job.work.selecting.out, number, out, pictures, {"image": image[kept], "text": text[kept]}, stats)
    return len(kept)


def _judge(
    job: Job,
    alive: NDArray[np.int64],
    image: NDArray[np.float16],
    rows: Sequence[Mapping[str, Any]],
    stage: list[str],
    reason: list[str],
) -> dict[int, str]:
    """Apply the safety rules to rows that are still there; their tags."""
    if not job.settings.rules or not len(alive):
        return {}
    assert job.encoder is not None
    encoder = job.encoder
    captions = [rows[i]["text"] for i in alive.tolist()]
    judged = safety.judge(job.settings.rules, image[alive], captions, lambda texts: encoder.encode_text(list(texts)))
    for i, why in zip(alive.tolist(), judged.dropped):
        if why:
            stage[i], reason[i] = "safety", why
    return dict(zip(alive.tolist(), judged.tags))
