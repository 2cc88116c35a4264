"""Collections with vectors of known neighbours, and an encoder of a few words and colours."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from unseen.curation.collection import Collection, EncoderRecord, write_record, write_shard

WORDS = ("red", "green", "blue", "dark")


class Colours:
    """Pictures and words by how red, green, blue and dark they are."""

    name, fingerprint, dim = "colours", "cd" * 32, 4

    def encode_text(self, texts: Sequence[str], *, cache: bool = True) -> np.ndarray:
        counts = np.array([[text.lower().split().count(word) for word in WORDS] for text in texts], dtype=np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)

    def encode_image(self, images: Sequence[Any], *, cache: bool = True) -> np.ndarray:
        means = np.array(
            [np.asarray(image.convert("RGB"), dtype=np.float32).mean(axis=(0, 1)) / 255 for image in images]
        )
        full = np.concatenate([means, 1 - means.max(axis=1, keepdims=True)], axis=1)
        return full / np.linalg.norm(full, axis=1, keepdims=True)


NASTY = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def picture(colour: Sequence[int], kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), tuple(int(c) for c in colour)).save(stream, kind)
    return stream.getvalue()


def uid(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def coloured(folder: Path) -> Collection:
    """60 pairs in two shards: reds, greens, blues; near duplicates; one caption is markup; the third unsafe."""
    encoder = Colours()
    write_record(folder, EncoderRecord(encoder.name, encoder.fingerprint, encoder.dim), secret="told to nobody")
    rng = np.random.default_rng(0)
    for shard in range(2):
        rows = np.arange(30) + 30 * shard
        colours = 235 * np.eye(3)[rows % 3] + rng.integers(0, 20, (30, 3))
        pictures = [picture(colour, ("PNG", "JPEG", "WEBP")[row % 3]) for row, colour in zip(rows, colours)]
        images = encoder.encode_image([Image.open(io.BytesIO(one)) for one in pictures])
        texts = [f"{WORDS[row % 3]} number {row}" for row in rows]
        if shard == 0:
            texts[1] = f"green {NASTY}"
            texts[2] = "=cmd()|blue"
        table = pa.table(
            {
                "uid": [uid(row) for row in rows],
                "url": [f"https://example.org/{row}.png" for row in rows],
                "text": texts,
                "language": [("en", "de", None)[row % 3] for row in rows],
                "width": pa.array([40 + row for row in rows], pa.int32()),
                "height": pa.array([30] * 30, pa.int32()),
                "similarity": pa.array(rows / 60, pa.float32()),
                "punsafe": pa.array(
                    [0.9 if row % 10 == 0 else None if row == 5 else 0.1 for row in rows], pa.float32()
                ),
                "aesthetic": pa.array([4.0 + row % 3 for row in rows], pa.float32()),
                "_note": ["private"] * 30,
            }
        )
        write_shard(folder, shard, table, pictures, {"image": images, "text": encoder.encode_text(texts)})
    return Collection.open(folder)


def clustered(folder: Path, n: int, dim: int, shards: int = 2, seed: int = 0) -> Collection:
    """Vectors in groups without pictures of their own: tables and arrays are written as `write_shard` does it."""
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(50, dim))
    write_record(folder, EncoderRecord("toy", "ab" * 32, dim))
    for number, rows in enumerate(np.array_split(np.arange(n), shards)):
        x = centres[rng.integers(0, len(centres), len(rows))] + rng.normal(size=(len(rows), dim))
        place = folder / "shards" / f"{number:05d}"
        place.mkdir(parents=True)
        for side, noise in (("image", 0.0), ("text", 0.3)):
            made = x + noise * rng.normal(size=x.shape)
            np.save(place / f"{side}.npy", (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16))
        table = {"uid": [uid(row) for row in rows], "text": [f"row {row}" for row in rows]}
        pq.write_table(pa.table({**table, "width": pa.array(rows, pa.int32())}), place / "pairs.parquet")
    return Collection.open(folder)


@pytest.fixture
def make() -> Callable[..., Collection]:
    return clustered


@pytest.fixture(scope="session")
def colours_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of colours with both indices and a map."""
    from unseen.curation.concept_map import build_map
    from unseen.curation.index import build_index

    folder = tmp_path_factory.mktemp("colours") / "data"
    collection = coloured(folder)
    for side in ("image", "text"):
        build_index(collection, side)
    build_map(collection)
    return folder


@pytest.fixture
def service(colours_folder: Path) -> Any:
    from unseen.curation.retrieval import RetrievalService

    return RetrievalService.open(colours_folder, encoder=Colours())
