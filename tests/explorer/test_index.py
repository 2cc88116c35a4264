"""Indices: chosen by the table of the spec, right against exact search, and refused where they do not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unseen.curation import Collection, EncoderRecord
from unseen.curation.collection import write_record
from unseen.curation.columns import open_columns, write_columns
from unseen.curation.index import add_to_index, build_index, choose_index, open_index
from unseen.curation.index_choice import clusters_of, parse_memory
from unseen.curation.index_training import balanced_rotation, training_size
from unseen.curation.vectors import Vectors

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")
Make = Callable[..., Collection]

MEMORIES = {"HNSW32": "1GB", "IVF512,Flat": "6MB", "OPQ16_64,IVF512,PQ16x8": "1MB"}
"""Memory that gives each kind of index over 20,000 x 64."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    from .conftest import clustered

    return clustered(tmp_path_factory.mktemp("large"), 20_000, 64)


# -- the choice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "dim", "memory", "key"),
    [
        (500, 384, "1GB", "Flat"),
        (999, 384, "1GB", "Flat"),
        (1_000, 384, "1GB", "HNSW15"),
        (5_000, 384, "1GB", "HNSW15"),
        (20_000, 384, "1GB", "HNSW32"),
        (20_000, 384, "32MB", "HNSW8"),
        (20_000, 384, "31.8MB", "IVF512,Flat"),
    ],
)
def test_the_table_of_choices(n: int, dim: int, memory: str, key: str) -> None:
    assert choose_index(n, dim, memory).key == key


def test_at_31_mb_the_graph_and_the_lists_are_refused_and_the_vectors_compressed() -> None:
    n, dim, memory = 20_000, 384, 31_000_000
    assert int((memory / (4 * n) - dim) / 2) == 1  # links of a node, fewer than 8
    assert 4 * n * dim + 8 * n + 4 * 512 * dim == pytest.approx(31.7e6, rel=0.01)
    chosen = choose_index(n, dim, memory)
    assert chosen.family == "pq"
    assert chosen.memory <= memory
    assert chosen.clusters == 512


def test_a_mapped_index_is_no_graph() -> None:
    assert choose_index(20_000, 384, "1GB", memory_mapped=True).key == "IVF512,Flat"


@pytest.mark.parametrize(
    ("n", "clusters"), [(20_000, 512), (999_999, 4_096), (1_000_000, 16_384), (10**7, 65_536), (3 * 10**8, 2**17)]
)
def test_numbers_of_clusters(n: int, clusters: int) -> None:
    assert clusters_of(n) == clusters


def test_too_little_memory_says_how_much_is_needed() -> None:
    with pytest.raises(ValueError, match="memory must be at least 17MB for 1,000,000 vectors"):
        choose_index(1_000_000, 4, "1MB")
    for wrong in ("much", "-1GB", "0", "1XB"):
        with pytest.raises(ValueError, match="memory must be a size"):
            parse_memory(wrong)
    assert (parse_memory("31 MB"), parse_memory("2GiB"), parse_memory(7)) == (31_000_000, 2**31, 7)


def test_training_takes_31_to_100_vectors_of_a_cluster() -> None:
    assert training_size(10**9, 512) == 51_200
    assert training_size(10**9, 65_536) == 31 * 65_536
    assert training_size(5_000, 512) == 5_000


# -- what is built -------------------------------------------------------------------------------------------


def test_exact_search_finds_everything(make: Make, tmp_path: Path) -> None:
    collection = make(tmp_path, 800, 16)
    record = build_index(collection)
    assert (record.key, record.recall, record.reconstruction_error) == (
        "Flat",
        {"same": 1.0, "other": 1.0, "alone": 1.0},
        0.0,
    )
    x = np.concatenate([np.asarray(shard.embeddings("image"), dtype=np.float32) for shard in collection.shards])
    queries = np.random.default_rng(1).normal(size=(7, 16)).astype(np.float32)
    expected = np.argsort(-queries @ x.T, axis=1)[:, :5]
    similarity, rows = open_index(collection).search(queries, 5)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(similarity, np.take_along_axis(queries @ x.T, expected, axis=1), rtol=1e-5)


@pytest.mark.parametrize("key", MEMORIES)
def test_recall_is_at_least_nine_tenths_on_20_000_vectors(large: Collection, key: str) -> None:
    record = build_index(large, memory=MEMORIES[key])
    assert record.key == key
    assert record.memory <= parse_memory(MEMORIES[key])
    assert min(record.recall["same"], record.recall["other"]) >= 0.9
    assert (record.reconstruction_error > 0) == ("PQ" in key)
    index = open_index(large)
    rng = np.random.default_rng(3)
    queries = index.vectors.take(rng.choice(20_000, 100)) + 0.02 * rng.normal(size=(100, 64))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    _, found = index.search(queries, 10)
    _, exact = index.vectors.exact(queries, 10)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist())]) >= 9
    within = np.arange(20_000) % 5 == 0
    for size in (10, 50_000):  # by lists or the graph, then one by one
        import unseen.curation.index_file as place

        before, place.FEW = place.FEW, size
        try:
            similarity, rows = index.search(queries, 10, within=within)
        finally:
            place.FEW = before
        assert (rows[rows >= 0] % 5 == 0).all()
        exact = index.vectors.exact(queries, 10, within=within)[1]
        assert np.mean([len(set(a) & set(b)) for a, b in zip(rows.tolist(), exact.tolist())]) >= 8
        assert (np.diff(similarity, axis=1) <= 1e-6).all()


def test_exact_search_through_shards_equals_that_of_numpy(make: Make, tmp_path: Path) -> None:
    vectors = Vectors.of(make(tmp_path, 301, 8, 3), "image")
    x = np.concatenate([np.asarray(part, dtype=np.float32) for part in vectors.parts])
    rows = np.array([300, 0, 150, 0, 99, 101])
    np.testing.assert_array_equal(vectors.take(rows), x[rows])
    within = np.arange(301) % 2 == 0
    similarity, found = vectors.above(x[4], 0.5, within=within)
    expected = [row for row in np.argsort(-(x @ x[4])) if row % 2 == 0 and x[row] @ x[4] >= 0.5]
    assert found.tolist() == expected
    assert similarity[0] == pytest.approx(1, abs=1e-3)
    empty = vectors.exact(x[:1], 3, within=np.zeros(301, bool))
    assert empty[1].tolist() == [[-1, -1, -1]]


def test_the_rotation_is_orthogonal_and_balances_what_slices_carry() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2_000, 8)) * [9, 8, 7, 6, 1, 1, 1, 1]).astype(np.float32)
    rotation = balanced_rotation(x, 4, 8)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(8), atol=1e-5)
    carried = ((x @ rotation.T) ** 2).mean(axis=0).reshape(4, 2)
    assert (carried.max(axis=1) > 30).all()  # each slice has one of the four strong directions


def test_a_seed_gives_equal_indices(make: Make, tmp_path: Path) -> None:
    collection = make(tmp_path, 12_000, 16)
    files = []
    for _ in range(2):
        build_index(collection, memory="0.9MB", latency=1.0)
        files.append((tmp_path / "index/image.faiss").read_bytes())
    assert files[0] == files[1]


# -- what does not fit ---------------------------------------------------------------------------------------


def test_another_encoder_width_number_or_order_is_refused(make: Make, tmp_path: Path) -> None:
    collection = make(tmp_path, 400, 8)
    with pytest.raises(ValueError, match=r"has no index of images; build it: unseen index"):
        open_index(collection)
    build_index(collection)
    open_index(collection)
    for changes, told in (
        ({"encoder": EncoderRecord("other", "ef" * 32, 8)}, r"is of the encoder toy .* the collection is of other"),
        ({"encoder": None}, "the collection is of nobody"),
        ({"shards": collection.shards[:1]}, "the index has 400 rows, the collection 200"),
        ({"shards": collection.shards[::-1]}, "another order"),
    ):
        with pytest.raises(ValueError, match=told):
            open_index(dataclasses.replace(collection, **changes))
    file = tmp_path / "index/image.json"
    record = json.loads(file.read_text())
    for changes, told in (({"dim": 9}, "9 wide"), ({"format": 99}, "of format 99")):
        file.write_text(json.dumps(record | changes))
        with pytest.raises(ValueError, match=told):
            open_index(collection)
    file.write_text(json.dumps(record))
    (tmp_path / "index/image.faiss").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="is damaged; build it again"):
        open_index(collection)


def test_a_query_of_another_width_or_without_numbers_is_refused(make: Make, tmp_path: Path) -> None:
    collection = make(tmp_path, 60, 8)
    build_index(collection)
    index = open_index(collection)
    for wrong in (np.ones((1, 7)), np.ones(8), np.full((1, 8), np.nan)):
        with pytest.raises(ValueError, match="queries must be finite, of shape"):
            index.search(wrong, 3)
    index.require(EncoderRecord("toy", "ab" * 32, 8))
    with pytest.raises(ValueError, match="find nothing that makes sense"):
        index.require(EncoderRecord("toy", "ef" * 32, 8))
    with pytest.raises(ValueError, match="side must be"):
        build_index(collection, "sound")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="recall must lie"):
        build_index(collection, recall=2)


def test_new_shards_are_added_and_nothing_else(make: Make, tmp_path: Path) -> None:
    whole = make(tmp_path, 12_000, 16, 3)
    part = dataclasses.replace(whole, shards=whole.shards[:2])
    build_index(part, memory="0.9MB")
    with pytest.raises(ValueError, match="there is nothing to add"):
        add_to_index(part)
    with pytest.raises(
        ValueError, match=r"has 8,000 rows, the collection 12,000; unseen index DATA --side image --add"
    ):
        open_index(whole)
    record = add_to_index(whole)
    assert record.rows == 12_000
    assert record.recall["same"] >= 0.9
    index = open_index(whole)
    last = index.vectors.take(np.arange(11_990, 12_000))
    assert (index.search(last, 1)[1][:, 0] == np.arange(11_990, 12_000)).all()
    with pytest.raises(ValueError, match="are not the first shards"):
        add_to_index(dataclasses.replace(whole, shards=(*whole.shards[::-1], whole.shards[0])))


def test_a_failure_while_writing_leaves_what_was_there(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faiss

    collection = make(tmp_path, 60, 8)
    before = build_index(collection)

    def full(index: Any, file: str) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(faiss, "write_index", full)
    with pytest.raises(OSError, match="no space"):
        build_index(collection, seed=1)
    monkeypatch.undo()
    assert open_index(collection).record == before
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["image.faiss", "image.json"]


# -- the order of what is said of pairs ----------------------------------------------------------------------


def test_columns_in_the_order_of_lists_say_the_same_of_every_row(make: Make, tmp_path: Path) -> None:
    collection = make(tmp_path, 12_000, 16, 3)
    build_index(collection, memory="1.3MB", memory_mapped=True)
    index = open_index(collection)
    assert index.record.family == "ivf"
    plain = open_columns(collection)
    rows = np.array([11_999, 0, 5_000, 7])
    before, width = plain.take(rows), plain.numbers("width").copy()
    rank = index.ranks()
    assert sorted(rank) == list(range(12_000))
    write_columns(collection, rank)
    after = open_columns(collection)
    assert after.take(rows) == before
    assert after.batches[0]["width"][0].as_py() == int(np.argmin(rank))
    np.testing.assert_array_equal(after.numbers("width"), width)
    near = np.sort(rank[index.search(index.vectors.take(rows[:1]), 20)[1][0]])
    assert np.median(np.diff(near)) < 100  # neighbours stand together


def test_an_index_without_lists_gives_no_order(make: Make, tmp_path: Path) -> None:
    collection = make(tmp_path, 60, 8)
    build_index(collection)
    with pytest.raises(ValueError, match="only an index with lists"):
        open_index(collection).ranks()


def test_columns_are_made_anew_after_the_collection_changed(make: Make, tmp_path: Path) -> None:
    collection = make(tmp_path, 60, 8)
    assert len(open_columns(dataclasses.replace(collection, shards=collection.shards[:1]))) == 30
    assert len(open_columns(collection)) == 60
    with pytest.raises(IndexError, match=r"rows must lie in \[0, 60\)"):
        open_columns(collection).take([60])
    write_record(tmp_path, None)
    assert Collection.open(tmp_path).encoder is None
