"""Features on disk: by content, safe against damage and neighbours."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unseen.data.domain import Domain, Lazy
from unseen.encoders import cache
from unseen.encoders.cache import FeatureStore

from .conftest import pictures, tiny


def digests(n: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, start + n)]


class Counted:
    """Picture files that count how often one is decoded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.reads = folder, 0
        for i in range(6):
            self.write(i, i)

    def write(self, i: int, seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.folder / f"{i}.png")

    def domain(self) -> Domain:
        def read(path: Path) -> Image.Image:
            self.reads += 1
            return Image.open(path).convert("RGB")

        files = sorted(self.folder.glob("*.png"))
        lazy = Lazy(files, read, lambda path: hashlib.sha256(path.read_bytes()).hexdigest())
        return Domain(x=lazy, kind="image")


def shards(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


def test_what_was_encoded_is_not_read_again(own_cache, tmp_path):
    files, encoder = Counted(tmp_path), tiny()
    first = encoder.encode(files.domain()).x
    assert files.reads == 6
    assert np.array_equal(tiny().encode(files.domain()).x, first)
    assert files.reads == 6


def test_changing_one_file_encodes_one_file(own_cache, tmp_path):
    files = Counted(tmp_path)
    before = tiny().encode(files.domain()).x
    files.write(2, seed=99)
    files.reads = 0
    after = tiny().encode(files.domain()).x
    assert files.reads == 1
    assert [i for i in range(6) if not np.array_equal(before[i], after[i])] == [2]


def test_equal_content_is_encoded_once(own_cache, tmp_path):
    files = Counted(tmp_path)
    files.write(5, seed=0)
    features = tiny().encode(files.domain()).x
    assert files.reads == 5
    assert np.array_equal(features[0], features[5])


def test_without_cache_nothing_is_written(own_cache):
    tiny().encode(pictures(), cache=False)
    assert not own_cache.exists()


def test_a_path_is_taken_instead_of_the_users_folder(own_cache, tmp_path):
    tiny().encode(pictures(), cache=tmp_path / "mine")
    assert shards(tmp_path / "mine")
    assert not own_cache.exists()


def test_encoders_and_precisions_do_not_share(own_cache):
    for encoder, precision in ((tiny(), "fp32"), (tiny(), "bf16"), (tiny(seed=1), "fp32")):
        expected = encoder.encode(pictures(), precision=precision, cache=False).x
        assert np.array_equal(encoder.encode(pictures(), precision=precision).x, expected)
    assert len(shards(own_cache)) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped bit", "emptied", "no safetensors"])
def test_damaged_shards_are_encoded_again(own_cache, damage):
    expected = tiny().encode(pictures()).x
    (shard,) = shards(own_cache)
    content = bytearray(shard.read_bytes())
    if damage == "flipped bit":
        content[-3] ^= 1
    shard.write_bytes({"cut": content[:-7], "emptied": b"", "no safetensors": b"\xff" * 64}.get(damage, content))
    assert np.array_equal(tiny().encode(pictures()).x, expected)
    assert len(shards(own_cache)) == 1


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        features = tiny().encode(pictures(), cache=tmp_path / "file")
    assert np.isfinite(features.x).all()
    assert "were not kept" in caplog.text


def test_writers_at_once_lose_nothing(tmp_path):
    parts = [(digests(5, 5 * k), np.full((5, 3), k, dtype=np.float32)) for k in range(80)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: FeatureStore(tmp_path).add(*part), parts))
    known, features = FeatureStore(tmp_path).find(digests(400))
    assert known.all()
    assert np.array_equal(features[:, 0], np.repeat(np.arange(80), 5))
    assert not list(tmp_path.glob(".*"))


def test_many_small_shards_become_one(tmp_path):
    store = FeatureStore(tmp_path)
    for i in range(cache.MANY_SHARDS + 1):
        store.add(digests(1, i), np.array([[i, -i]], dtype=np.float32))
    assert len(shards(tmp_path)) == 1
    asked = digests(3, cache.MANY_SHARDS)
    known, features = store.find(asked)
    assert known.tolist() == [True, False, False]
    assert features.tolist() == [[cache.MANY_SHARDS, -cache.MANY_SHARDS]]


def test_large_shards_are_not_read_again_when_small_ones_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SMALL_SHARD", 3)
    store, read = FeatureStore(tmp_path), []
    store.add(digests(5), np.zeros((5, 2), dtype=np.float32))
    (large,) = shards(tmp_path)
    own = cache._read_shard
    monkeypatch.setattr(cache, "_read_shard", lambda path, wanted=None: read.append(path) or own(path, wanted))
    for i in range(3 * cache.MANY_SHARDS):
        store.add(digests(1, 100 + i), np.ones((1, 2), dtype=np.float32))
    assert large not in read
    assert len(read) <= 3 * (cache.MANY_SHARDS + 1)
    assert store.find(digests(3 * cache.MANY_SHARDS, 100))[0].all()


def test_features_come_in_the_order_asked(tmp_path):
    store, keys = FeatureStore(tmp_path), digests(6)
    store.add(keys[3:], np.arange(3, 6, dtype=np.float32)[:, None])
    store.add(keys[:3], np.arange(3, dtype=np.float32)[:, None])
    order = [4, 0, 5, 2]
    assert store.find([keys[i] for i in order])[1].ravel().tolist() == order


def test_half_written_files_are_removed(tmp_path):
    def fail() -> None:
        with cache.written(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
