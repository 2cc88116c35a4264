"""The service: terms with weights, near duplicates, filters, steering, counts, exports, the map."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.curation import Collection
from unseen.curation.collection import suffix_of
from unseen.curation.concept_map import build_map, layout, read_map
from unseen.curation.export import export_subset, write_uids
from unseen.curation.results import Filters, near_duplicates, steered, unit
from unseen.curation.retrieval import Query, RetrievalService, Term

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")

from .conftest import Colours, coloured, picture


def text(*words: str, **more: Any) -> Query:
    return Query(terms=[Term("text", word) for word in words], **more)


# -- near duplicates -----------------------------------------------------------------------------------------


def test_a_chain_of_near_ones_is_one_group_and_the_first_is_kept() -> None:
    """Unit vectors with cosines .95 and .94735 in a chain, and about .8 between the ends."""
    a, b = np.arccos(0.95), np.arccos(0.94735)
    vectors = np.array([[1, 0], [np.cos(a), np.sin(a)], [np.cos(a + b), np.sin(a + b)]])
    assert vectors[0] @ vectors[2] == pytest.approx(0.8, abs=0.001)
    assert near_duplicates(vectors).tolist() == [0, 0, 0]
    assert near_duplicates(vectors[[0, 2]]).tolist() == [0, 1]
    assert near_duplicates(vectors, 0.949).tolist() == [0, 0, 2]
    assert near_duplicates(np.empty((0, 3))).tolist() == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_groups_are_those_of_a_search_from_each(seed: int, n: int) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 2))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    near = x.astype(np.float32) @ x.astype(np.float32).T > 0.94
    first = [-1] * n
    for start in range(n):
        waiting = [start] if first[start] < 0 else []
        while waiting:
            at = waiting.pop()
            if first[at] < 0:
                first[at] = start
                waiting += np.flatnonzero(near[at]).tolist()
    assert near_duplicates(x).tolist() == first


# -- queries -------------------------------------------------------------------------------------------------


def test_words_find_pictures_and_pictures_find_captions(service: RetrievalService) -> None:
    found = service.search(text("green", k=5, deduplicate=False))
    assert [row % 3 for row in found.rows] == [1] * 5
    assert found.allowed == 60
    similarity = [hit.similarity for hit in found.hits]
    assert similarity == sorted(similarity, reverse=True)
    blue = Term("image", picture((10, 10, 240)))
    hits = service.search(Query(terms=[blue], side="text", k=6, deduplicate=False)).hits
    assert all("blue" in hit.columns["text"] for hit in hits)


def test_a_query_is_the_weighted_sum_of_its_terms(service: RetrievalService) -> None:
    terms = [Term("text", "red", 2), Term("text", "green", -0.5), Term("row", 2), Term("embedding", [0, 0, 0, 3.0])]
    expected = np.array([2, -0.5, 0, 0]) + np.eye(4)[3] + service.indices["image"].vectors.take(np.array([2]))[0]
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(service.vector(Query(terms=terms)), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ([], "terms must hold"),
        ([Term("text", "red"), Term("text", "red", -1)], "cancel each other"),
        ([Term("text", "unknown words")], "has no direction"),
        ([Term("row", 60)], r"a row must lie in \[0, 60\)"),
        ([Term("embedding", [1.0])], "must be 4 numbers"),
        ([Term("embedding", [np.nan] * 4)], "has no direction"),
        ([Term("text", "red", 0)], "weight of a term"),
        ([Term("smell", 1)], "kind of a term"),  # type: ignore[arg-type]
        ([Term("image", b"<svg onload=alert(1)>")], "not a picture"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(service: RetrievalService, terms: list[Term], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        service.search(Query(terms=terms))


def test_near_duplicates_are_grouped_below_the_first_and_not_replaced(service: RetrievalService) -> None:
    found = service.search(text("green", k=10, safe=False))
    assert len(found.hits) == 1
    assert len(found.hits[0].duplicates) == found.removed["duplicates"] == 9
    assert found.rows[0] not in found.hits[0].duplicates
    plain = service.search(text("green", k=10, safe=False, deduplicate=False))
    assert plain.rows == [found.rows[0], *found.hits[0].duplicates]


def test_no_unsafe_result_is_given_and_the_order_stays(service: RetrievalService) -> None:
    everything = service.search(text("red", "green", "blue", k=60, deduplicate=False, safe=False))
    safe = service.search(text("red", "green", "blue", k=60, deduplicate=False))
    unsafe = {row for row in range(60) if row % 10 == 0}
    assert safe.rows == [row for row in everything.rows if row not in unsafe]
    assert safe.removed["unsafe"] == 6


def test_violence_goes_by_two_sentences(colours_folder: Path) -> None:
    service = RetrievalService.open(colours_folder, encoder=Colours())
    service.violence = ("green blue", "red")
    found = service.search(text("red", "green", k=60, deduplicate=False, nonviolent=True, safe=False))
    assert found.removed["violent"] == 20
    assert not [row for row in found.rows if row % 3 == 0]


def test_filters_by_values_and_ranges(service: RetrievalService) -> None:
    filters = Filters({"language": ["de", ""]}, {"width": (50, 60), "similarity": (None, 0.3)})
    expected = [
        row for row in range(60) if row % 3 in (1, 2) and 10 <= row <= 20 and np.float32(row / 60) <= np.float32(0.3)
    ]
    found = service.search(text("red", "green", "blue", k=60, deduplicate=False, safe=False, filters=filters))
    assert sorted(found.rows) == expected
    assert found.allowed == len(expected)
    assert service.search(text("red", filters=Filters({"language": ["xx"]}))).hits == ()
    for wrong in (
        Filters({"nothing": ["a"]}),
        Filters({"width": ["1"]}),
        Filters({"_note": ["private"]}),
        Filters({"text": ["a"]}),
    ):
        with pytest.raises(ValueError, match="no column of words"):
            service.search(text("red", filters=wrong))
    for name in ("language", "offset", "_note"):
        with pytest.raises(ValueError, match="no column of numbers"):
            service.search(text("red", filters=Filters(ranges={name: (0, 1)})))


def test_a_row_without_a_score_passes_no_range(service: RetrievalService) -> None:
    assert not Filters(ranges={"punsafe": (None, None)}).mask(service.columns)[5]


def test_steering_adds_the_direction_of_a_score(service: RetrievalService) -> None:
    ratings = {9: np.array([0.0, 1.0]), 4: np.array([1.0, 0.0])}
    np.testing.assert_allclose(steered(np.array([1.0, 0.0]), ratings, 9, 0.5), np.array([1, 0.5]) / np.sqrt(1.25))
    with pytest.raises(ValueError, match="one that pairs of the collection have: 4, 9; got 7"):
        steered(np.array([1.0, 0.0]), ratings, 7, 0.5)
    with pytest.raises(ValueError, match="has no direction"):
        unit(np.zeros(3), "it")
    assert sorted(service.ratings) == [4, 5, 6]  # reds, greens, blues
    assert service.search(text("red", k=1, safe=False)).rows[0] % 3 == 0
    assert service.search(text("red", k=1, safe=False, aesthetic=(6, 3.0))).rows[0] % 3 == 2


def test_all_above_a_threshold_are_found_nearest_first(service: RetrievalService) -> None:
    similarity, rows = service.above(text("green", safe=False), 0.9)
    x = service.indices["image"].vectors.take(np.arange(60))
    assert sorted(rows) == np.flatnonzero(x[:, 1] >= 0.9).tolist()
    assert (np.diff(similarity) <= 0).all()
    import unseen.curation.retrieval as place

    before, place.EXACT_BELOW = place.EXACT_BELOW, 0
    try:
        assert sorted(service.above(text("green", safe=False), 0.9)[1]) == sorted(rows)
    finally:
        place.EXACT_BELOW = before
    assert not set(service.above(text("red"), 0.9)[1].tolist()) & set(range(0, 60, 10))
    with pytest.raises(ValueError, match="threshold must lie"):
        service.above(text("red"), 2)


def test_candidates_to_label_come_once_each(service: RetrievalService) -> None:
    found = service.candidates(["red", "red green"], 25)
    rows = [row for part in found.values() for row in part]
    assert len(rows) == len(set(rows))
    assert len(found["red"]) >= 1


def test_another_encoder_is_refused(colours_folder: Path) -> None:
    other = Colours()
    other.fingerprint = "00" * 32  # type: ignore[misc]
    with pytest.raises(ValueError, match="find nothing that makes sense"):
        RetrievalService.open(colours_folder, encoder=other)


def test_a_collection_without_an_index_says_how_to_build_one(tmp_path: Path) -> None:
    coloured(tmp_path)
    with pytest.raises(ValueError, match="has no index; build one: unseen explore DATA --build"):
        RetrievalService.open(tmp_path)


# -- counts, exports, map ------------------------------------------------------------------------------------


def test_facets_count_values_and_ranges_of_what_passes(service: RetrievalService) -> None:
    told = service.facets()
    assert told["rows"] == 60
    assert dict(told["words"]["language"]) == {"en": 20, "de": 20, "": 20}
    assert sum(told["numbers"]["width"]["counts"]) == 60
    assert told["numbers"]["punsafe"]["missing"] == 1
    assert not {"text", "uid", "url", "_note", "offset", "height"} & {*told["words"], *told["numbers"]}
    some = service.facets(Filters({"language": ["de"]}))
    assert dict(some["words"]["language"]) == {"en": 0, "de": 20, "": 0}
    assert some["numbers"]["width"]["edges"] == told["numbers"]["width"]["edges"]


def test_exports_hold_the_selection_and_nothing_private(service: RetrievalService, tmp_path: Path) -> None:
    rows = [40, 2, 1, 7]
    table = pq.read_table(
        export_subset(service, rows, tmp_path / "a.parquet", similarity=np.array([0.4, 0.3, 0.2, 0.1]))
    )
    expected = service.collection.table(["uid", "text"]).take(rows)
    assert table["uid"].to_pylist() == expected["uid"].to_pylist()
    assert table["query_similarity"].to_pylist() == [0.4, 0.3, 0.2, 0.1]
    assert not {"_note", "offset", "size"} & set(table.column_names)
    with export_subset(service, rows, tmp_path / "a.csv").open(newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [row["uid"] for row in read] == expected["uid"].to_pylist()
    assert read[1]["text"] == "'=cmd()|blue"  # no formula for a spreadsheet
    uids = np.load(export_subset(service, rows, tmp_path / "a.npy"))
    assert uids.dtype == np.dtype([("f0", "u8"), ("f1", "u8")])
    assert [f"{a:016x}{b:016x}" for a, b in uids.tolist()] == sorted(expected["uid"].to_pylist())
    with tarfile.open(export_subset(service, rows, tmp_path / "a.tar")) as tar:
        names = tar.getnames()
        assert [name.partition(".")[0] for name in names[::3]] == expected["uid"].to_pylist()
        content = tar.extractfile(names[0]).read()  # type: ignore[union-attr]
        assert content == service.picture(40) == service.collection.picture(40)
        assert names[0].endswith(suffix_of(content))
        assert not {"_note", "offset"} & set(json.loads(tar.extractfile(names[2]).read()))  # type: ignore[union-attr]


@pytest.mark.parametrize("rows", [[], [1, 1]])
def test_an_empty_or_repeated_selection_is_refused(service: RetrievalService, tmp_path: Path, rows: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one row, each once"):
        export_subset(service, rows, tmp_path / "a.csv")
    with pytest.raises(ValueError, match="export must name a file that ends in"):
        export_subset(service, [1], tmp_path / "a.exe")
    with pytest.raises(IndexError, match="rows must lie"):
        export_subset(service, [60], tmp_path / "a.csv")
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        write_uids(tmp_path / "a.npy", ["../a"])
    assert not list(tmp_path.iterdir())


def test_the_map_names_groups_by_their_words(colours_folder: Path) -> None:
    collection = Collection.open(colours_folder)
    concepts = build_map(collection, n_concepts=3, seed=1)
    assert sorted(concept.words[0] for concept in concepts) == ["blue", "green", "red"]
    assert [concept.size for concept in concepts] == [20, 20, 20]
    for concept in concepts:
        assert concept.words[0] in collection.table(["text"])["text"][concept.row].as_py()
        assert -1 <= min(concept.x, concept.y) <= max(concept.x, concept.y) <= 1
    again = build_map(collection, n_concepts=3, seed=1)
    assert again == concepts
    assert len(read_map(collection)) == 3
    with pytest.raises(ValueError, match="n_concepts must lie"):
        build_map(collection, n_concepts=61)


def test_a_map_of_other_rows_is_not_shown(tmp_path: Path) -> None:
    collection = coloured(tmp_path)
    with pytest.raises(ValueError, match="there is no map"):
        read_map(collection)


def test_groups_that_are_near_lie_near() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(3, 12), 6, axis=0) + 0.05 * rng.normal(size=(18, 12))
    places = layout(x / np.linalg.norm(x, axis=1, keepdims=True))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    same = np.equal.outer(np.arange(18) // 6, np.arange(18) // 6)
    assert distance[same].mean() < 0.6 * distance[~same].mean()
    assert layout(np.ones((1, 4))).tolist() == [[0, 0]]
    assert layout(np.eye(2, 4)).shape == (2, 2)
