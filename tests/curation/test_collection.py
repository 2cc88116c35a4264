"""A collection: written whole or not at all, one order for table, pictures and embeddings, damage is named."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from unseen.curation import Collection, EncoderRecord, write_shard
from unseen.curation.collection import write_record

ENCODER = EncoderRecord("toy", "ab" * 32, 4)


def picture(shade: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, 0, 0)).save(stream, kind)
    return stream.getvalue()


def made(folder: Path) -> Collection:
    rng = np.random.default_rng(0)
    write_record(folder, ENCODER, crawl="test")
    for number, n in enumerate((3, 2)):
        uids = [f"{number}{i}" for i in range(n)]
        table = pa.table({"uid": uids, "text": [f"ü {uid}" for uid in uids], "punsafe": [0.1] * n})
        vectors = {"image": rng.normal(size=(n, 4)), "text": rng.normal(size=(n, 4))}
        kinds = ("PNG", "JPEG", "WEBP")
        write_shard(folder, number, table, [picture(i, kinds[i]) for i in range(n)], vectors, {"kept": n})
    return Collection.open(folder)


def test_rows_pictures_and_embeddings_have_one_order(tmp_path: Path) -> None:
    collection = made(tmp_path)
    assert len(collection) == 5
    assert collection.encoder == ENCODER
    assert collection.facts["crawl"] == "test"
    table = collection.table()
    assert table["uid"].to_pylist() == ["00", "01", "02", "10", "11"]
    assert table.column_names[:3] == ["uid", "url", "text"]
    assert table["punsafe"].to_pylist() == pytest.approx([0.1] * 5)
    assert [Image.open(io.BytesIO(collection.picture(row))).format for row in range(5)] == [
        "PNG", "JPEG", "WEBP", "PNG", "JPEG",
    ]  # fmt: skip
    vectors = collection.embeddings("image")
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=1e-3)
    assert collection.table(["uid", "nobody"])["nobody"].null_count == 5
    with pytest.raises(IndexError, match="row must lie"):
        collection.picture(5)


def test_a_shard_is_a_plain_webdataset(tmp_path: Path) -> None:
    made(tmp_path)
    with tarfile.open(tmp_path / "shards/00000/images.tar") as tar:
        assert tar.getnames()[:4] == ["00.png", "00.txt", "00.json", "01.jpg"]
        told = json.loads(tar.extractfile("00.json").read())  # type: ignore[union-attr]
        assert told["text"] == tar.extractfile("00.txt").read().decode() == "ü 00"  # type: ignore[union-attr]


def test_the_order_is_that_of_the_uids(tmp_path: Path) -> None:
    before = made(tmp_path).order
    assert before == Collection.open(tmp_path).order
    write_shard(tmp_path, 1, pa.table({"uid": ["11", "10"], "text": ["a", "b"]}), [picture(1)] * 2)
    assert Collection.open(tmp_path).order != before


def test_another_encoder_is_refused() -> None:
    ENCODER.require("ab" * 32, 4)
    with pytest.raises(ValueError, match="embeddings are of toy"):
        ENCODER.require("cd" * 32, 4)


@pytest.mark.parametrize(
    ("table", "pictures", "rows", "told"),
    [
        ({"uid": ["a", "a"], "text": ["", ""]}, 2, 2, "word of its own"),
        ({"uid": ["../a", "b"], "text": ["", ""]}, 2, 2, "word of its own"),
        ({"uid": ["a", "b"], "text": ["", ""]}, 1, 2, "pictures must have a row"),
        ({"uid": ["a", "b"], "text": ["", ""]}, 2, 1, "image must have a row"),
    ],
)
def test_a_wrong_shard_is_refused_and_leaves_nothing(
    tmp_path: Path, table: dict[str, list[str]], pictures: int, rows: int, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        write_shard(tmp_path, 0, pa.table(table), [picture(1)] * pictures, {"image": np.ones((rows, 4))})
    assert not list(tmp_path.rglob("*.parquet"))
    with pytest.raises(ValueError, match="JPEG, PNG or WEBP"):
        write_shard(tmp_path, 0, pa.table({"uid": ["a"], "text": [""]}), [b"<html>"])
    assert not list((tmp_path / "shards").iterdir())


def test_what_is_damaged_or_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no collection"):
        Collection.open(tmp_path)
    collection = made(tmp_path)
    np.save(tmp_path / "shards/00000/image.npy", np.ones((2, 4), np.float16))
    with pytest.raises(ValueError, match="it is damaged"):
        collection.embeddings("image")
    (tmp_path / "shards/00000/image.npy").unlink()
    with pytest.raises(ValueError, match="holds no embeddings"):
        collection.embeddings("image")
    (tmp_path / "collection.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="of format 99"):
        Collection.open(tmp_path)
