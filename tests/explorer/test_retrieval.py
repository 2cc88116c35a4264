"""The service: terms with weights, near duplicates, filters, steering, counts, exports, the map."""

from __future__ import annotations

import csv
import dataclasses
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
from unseen.curation.concept_map import build_map, read_map
from unseen.curation.export import export_subset, write_uids
from unseen.curation.plane import lay_out
from unseen.curation.results import Filters, near_duplicates, steered, unit
from unseen.curation.retrieval import Query, RetrievalService, Term
from unseen.curation.vectors import Vectors

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


def test_a_change_is_added_to_what_is_shown_or_goes_through_the_combiner(colours_folder: Path) -> None:
    red = [Term("row", 0)]
    plain = RetrievalService.open(colours_folder, encoder=Colours())
    shown, green = plain.vector(Query(terms=red)), Colours().encode_text(["green"])[0]
    assert plain.vector(Query(terms=red, change="green")) == pytest.approx(unit(shown + green, "both"), abs=1e-6)
    assert np.array_equal(plain.vector(Query(terms=red, change=" ")), shown)
    told: list[Any] = []

    def compose(x: Any, t: Any) -> Any:
        told.append((x, t))
        return 3 * t

    service = RetrievalService.open(colours_folder, encoder=Colours(), compose=compose)
    assert service.vector(Query(terms=red, change="green")) == pytest.approx(green, abs=1e-6)
    assert told[0][0] == pytest.approx(shown)
    found = service.search(Query(terms=red, change="green", k=5, deduplicate=False))
    assert [row % 3 for row in found.rows] == [1] * 5
    itself = Query(terms=[Term("row", 3)], k=60, deduplicate=False, safe=False)
    assert plain.search(itself).rows[0] == 3
    changed = dataclasses.replace(itself, change="red")
    assert sorted({*range(60)} - {*plain.search(changed).rows}) == [3]
    assert sorted({*range(60)} - {*plain.above(changed, -1.0)[1].tolist()}) == [3]


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


def test_by_lite_clip_equal_files_alone_are_grouped(
    colours_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cosines of two drawings can be 1: .94 hid them as near duplicates."""
    import shutil

    import pyarrow as pa
    from typer.testing import CliRunner

    from unseen.cli import app
    from unseen.curation.collection import EncoderRecord, write_record
    from unseen.curation.index import build_index

    folder = shutil.copytree(colours_folder, tmp_path / "data")
    write_record(folder, EncoderRecord("lite-clip", Colours.fingerprint, Colours.dim))
    file = folder / "shards" / "00000" / "pairs.parquet"
    table = pq.read_table(file)
    sha = [f"{row:064x}" for row in range(30)]
    sha[4] = sha[1]  # the picture of another pair, once more
    at = table.schema.get_field_index("sha256")
    pq.write_table(table.set_column(at, "sha256", pa.array(sha)), file)
    shutil.rmtree(folder / "index")
    for side in ("image", "text"):
        build_index(Collection.open(folder), side)
    named = type("Named", (Colours,), {"name": "lite-clip"})()
    service = RetrievalService.open(folder, encoder=named)
    assert service.by_file
    found = service.search(text("green", k=60, safe=False))
    assert found.removed["duplicates"] == 1
    assert [{hit.row, *hit.duplicates} for hit in found.hits if hit.duplicates] == [{1, 4}]
    assert (
        service.search(text("green", k=60, safe=False, near=0.94)).removed["duplicates"] > 40
    )  # where it is asked for
    assert service.search(Query(terms=[Term("row", 1)], side="text", k=9, safe=False)).removed["duplicates"] > 0
    monkeypatch.setattr(RetrievalService, "open", lambda *_, **__: service)
    assert Collection.open(folder).encoder.name == "lite-clip"
    told = CliRunner().invoke(app, ["explore", str(folder), "--query", "green", "--k", "60"])
    assert "1 of the same file as one shown" in told.stderr


def test_no_unsafe_result_is_given_and_the_order_stays(service: RetrievalService) -> None:
    everything = service.search(text("red", "green", "blue", k=60, deduplicate=False, safe=False))
    safe = service.search(text("red", "green", "blue", k=60, deduplicate=False))
    unsafe = {row for row in range(60) if row % 10 == 0}
    assert safe.rows == [row for row in everything.rows if row not in unsafe]
    assert safe.removed["unsafe"] == 6


def test_nothing_unsafe_stands_below_a_hit_or_takes_a_safe_one_with_it(service: RetrievalService) -> None:
    unsafe = {row for row in range(60) if row % 10 == 0}
    found = service.search(text("red", k=60))
    shown = [row for hit in found.hits for row in (hit.row, *hit.duplicates)]
    assert not set(shown) & unsafe
    assert len(shown) == len(set(shown))
    assert len(shown) + found.removed["unsafe"] == 60
    assert found.removed["unsafe"] == 6
    assert found.removed["duplicates"] == sum(len(hit.duplicates) for hit in found.hits)


def test_of_duplicates_the_first_safe_one_stands_for_the_others(colours_folder: Path) -> None:
    service = RetrievalService.open(colours_folder, encoder=Colours())
    blues = [row for row in range(60) if row % 3 == 2]
    assert {row for row in blues if row % 10 == 0} == {20, 50}
    for nonviolent in (False, True):
        service.violence = ("green blue", "red")
        found = service.search(text("blue", k=60, nonviolent=nonviolent))
        shown = {row for hit in found.hits for row in (hit.row, *hit.duplicates)}
        assert {row for row in blues if row not in (20, 50)} <= shown
        assert len(shown) + found.removed["unsafe"] + found.removed.get("violent", 0) == 60
        assert nonviolent == bool(found.removed.get("violent"))


def test_the_number_of_results_has_an_end(service: RetrievalService) -> None:
    for k in (0, 10_001):
        with pytest.raises(ValueError, match="k must lie in"):
            service.search(text("red", k=k))


def test_many_equal_results_are_grouped_in_little_memory() -> None:
    import tracemalloc

    x = np.ones((6_000, 2), np.float32) / np.sqrt(2)
    x[3_000:] = [1, 0]
    tracemalloc.start()
    first = near_duplicates(x)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted(set(first.tolist())) == [0, 3_000]
    assert most < 200e6  # all pairs at once are 36 million, of 16 bytes each


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
    for name, said in (
        ("width", "width=LEAST:GREATEST, with"),
        ("nothing", "=LEAST:GREATEST, with one end or both: .*width"),
    ):
        with pytest.raises(ValueError, match=f"those of numbers take a range, .*{said}"):
            service.search(text("red", filters=Filters({name: ["3"]})))
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
    drawn = build_map(collection, n_concepts=3, seed=1)
    concepts = drawn.concepts
    assert sorted(concept.words[0] for concept in concepts) == ["blue", "green", "red"]
    assert [concept.size for concept in concepts] == [20, 20, 20]
    for concept in concepts:
        assert concept.words[0] in collection.table(["text"])["text"][concept.row].as_py()
        assert -1 <= min(concept.x, concept.y) <= max(concept.x, concept.y) <= 1
    again = build_map(collection, n_concepts=3, seed=1)
    assert again.concepts == concepts
    assert again.points.tobytes() == drawn.points.tobytes()
    read = read_map(collection)
    assert read.concepts == concepts
    assert read.points.tobytes() == drawn.points.tobytes()
    with pytest.raises(ValueError, match="n_concepts must lie"):
        build_map(collection, n_concepts=61)


def test_function_words_name_no_group() -> None:
    from collections import Counter

    from unseen.curation.concept_map import _bag, _frequent

    bags = [_bag(text) for text in ("The cat of the house", "Die Katze und der Hund", "cats are on http www", None)]
    assert bags == [{"cat", "house"}, {"katze", "hund"}, {"cats"}, set()]
    assert _frequent([{"cat", "house"}, {"cats", "cat"}], Counter({"cat": 1, "house": 1, "cats": 1}), 3) == (
        "cat",
        "house",
    )


def test_a_damaged_map_is_named(tmp_path: Path) -> None:
    collection = coloured(tmp_path)
    build_map(collection)
    file = tmp_path / "index" / "points.npy"
    np.save(file, np.zeros(59))
    with pytest.raises(ValueError, match=r"points\.npy is damaged or of other rows"):
        read_map(collection)
    file.write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"points\.npy"):
        read_map(collection)


def test_pairs_beyond_the_sample_lie_between_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.curation import plane

    monkeypatch.setattr(plane, "LAID_OUT", 90)
    rng = np.random.default_rng(0)
    group = np.arange(300) % 3
    x = np.eye(3, 8)[group] + 0.05 * rng.normal(size=(300, 8))
    places = lay_out(Vectors([x[:170] / np.linalg.norm(x[:170], axis=1, keepdims=True), x[170:]]))
    assert places.shape == (300, 2)
    assert np.isfinite(places).all()
    assert np.abs(places).max() <= 1
    middles = np.array([np.median(places[group == one], axis=0) for one in range(3)])
    nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.98


def test_a_map_of_other_rows_is_not_shown(tmp_path: Path) -> None:
    collection = coloured(tmp_path)
    with pytest.raises(ValueError, match="there is no map"):
        read_map(collection)


def test_groups_that_are_near_lie_near() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(3, 12), 6, axis=0) + 0.05 * rng.normal(size=(18, 12))
    places = lay_out(Vectors([x / np.linalg.norm(x, axis=1, keepdims=True)]))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    same = np.equal.outer(np.arange(18) // 6, np.arange(18) // 6)
    assert distance[same].mean() < 0.6 * distance[~same].mean()
    assert lay_out(Vectors([np.ones((1, 4))])).tolist() == [[0, 0]]
    assert lay_out(Vectors([np.eye(2, 4)])).shape == (2, 2)
    assert np.isfinite(lay_out(Vectors([np.ones((12, 4))]))).all()  # all are the same


# -- what a collection can lack ------------------------------------------------------------------------------


def test_without_its_encoder_rows_and_filters_can_be_searched(
    colours_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen import encoders

    def away(name: str, **_: Any) -> Any:
        raise ConnectionError(f"no way to https://example.org/{name}")

    monkeypatch.setattr(encoders, "get", away)
    service = RetrievalService.open(colours_folder)
    service.warm()
    assert service.encoders.reason is not None
    assert "cannot be loaded here (ConnectionError)" in service.encoders.reason
    assert len(service.search(Query(terms=[Term("row", 3)], k=5, safe=False, deduplicate=False)).hits) == 5
    with pytest.raises(ValueError, match=r"the encoder colours cannot be loaded here"):
        service.search(text("red"))


class Tower:
    """Words of other languages as those of colours."""

    name, fingerprint, dim, kind = "german", "ef" * 32, 4, "text"

    def encode(self, domain: Any, *, cache: bool = True) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(x=np.tile(np.eye(4, dtype=np.float32)[2], (len(domain.x), 1)))


@pytest.mark.parametrize(
    ("told", "works"),
    [
        ("german", True),
        ({"name": "german", "fingerprint": "ef" * 32}, True),
        ({"name": "german", "fingerprint": "00" * 32}, False),
        ("away", False),
    ],
)
def test_words_go_through_the_tower_of_their_language(
    colours_folder: Path, monkeypatch: pytest.MonkeyPatch, told: Any, works: bool
) -> None:
    pytest.importorskip("py3langid", reason="languages need `pip install unseen[curate]`")
    import dataclasses

    from unseen import encoders
    from unseen.curation.retrieval_encoders import QueryEncoders

    def get(name: str, **_: Any) -> Any:
        if name == "german":
            return Tower()
        raise OSError(name)

    monkeypatch.setattr(encoders, "get", get)
    collection = dataclasses.replace(Collection.open(colours_folder), facts={"multilingual": told})
    both = QueryEncoders(collection, Colours())
    both.warm()
    assert (both.other_reason is None) == works
    english, german = both.text(["the red and the green house is red", "das blaue Haus steht am Rand der Straße, red"])
    assert english.argmax() == 0
    assert german.argmax() == (2 if works else 0)


def test_an_index_that_does_not_fit_leaves_the_other(tmp_path: Path) -> None:
    from unseen.curation.index import build_index

    collection = coloured(tmp_path)
    for side in ("image", "text"):
        build_index(collection, side)
    file = tmp_path / "index" / "text.json"
    file.write_text(file.read_text().replace(collection.order, "0" * 64))
    service = RetrievalService.open(tmp_path, encoder=Colours())
    assert list(service.indices) == ["image"]
    assert "another order" in service.stale["text"]
    (tmp_path / "index" / "image.json").unlink()
    with pytest.raises(ValueError, match="another order"):
        RetrievalService.open(tmp_path, encoder=Colours())


def odd(folder: Path, **columns: Any) -> Collection:
    """The collection of colours with further columns, and other values of its own."""
    import pyarrow as pa

    collection = coloured(folder)
    for number, shard in enumerate(collection.shards):
        table = shard.table()
        for name, values in columns.items():
            values = values[30 * number : 30 * number + 30]
            at = table.column_names.index(name) if name in table.column_names else len(table.column_names)
            table = table.remove_column(at) if name in table.column_names else table
            table = table.add_column(at, name, pa.array(values) if isinstance(values, list) else values)
        pq.write_table(table, shard.folder / "pairs.parquet")
    return Collection.open(folder)


def test_columns_of_any_kind_do_not_stop_it(tmp_path: Path) -> None:
    import pyarrow as pa

    from unseen.curation.index import build_index
    from unseen.explorer.messages import plain

    build_index(
        odd(
            tmp_path / "data",
            tags=[["a", "b"]] * 60,
            place=[{"x": 1}] * 60,
            raw=[b"\xff\x00"] * 60,
            score=[float("inf"), 1.0, 2.0] * 20,
            kind=pa.array(["x", "y"] * 30).dictionary_encode(),
            number=[2**40 + i for i in range(60)],
        )
    )
    service = RetrievalService.open(tmp_path / "data", encoder=Colours())
    told = service.facets()
    assert dict(told["words"]["kind"]) == {"x": 30, "y": 30}
    assert told["numbers"]["score"]["missing"] == 20
    assert not {"tags", "place", "raw"} & set(told["words"])
    hit = service.search(text("red", k=1, safe=False)).hits[0]
    assert (hit.columns["tags"], hit.columns["place"], hit.columns["raw"]) == (["a", "b"], {"x": 1}, b"\xff\x00")
    json.dumps(plain(hit.columns), allow_nan=False)
    within = Filters(ranges={"number": (2**40 + 7, 2**40 + 7)}).mask(service.columns)
    assert np.flatnonzero(within).tolist() == [7]
    for ending in ("parquet", "csv", "npy", "tar"):
        assert export_subset(service, [5, 1], tmp_path / f"a.{ending}").stat().st_size


def test_an_export_has_the_types_of_the_collection(service: RetrievalService, tmp_path: Path) -> None:
    schema = pq.read_schema(service.collection.shards[0].folder / "pairs.parquet")
    made = pq.read_table(export_subset(service, [3, 59], tmp_path / "a.parquet"))
    assert {field.name: field.type for field in made.schema} == {
        field.name: field.type for field in schema if field.name not in ("_note", "offset", "size")
    }


def test_an_export_goes_block_by_block(
    service: RetrievalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.curation import export

    rows = np.random.default_rng(0).permutation(60)
    whole = pq.read_table(export_subset(service, rows, tmp_path / "a.parquet", similarity=rows / 60))
    monkeypatch.setattr(export, "BLOCK", 7)
    again = pq.read_table(export_subset(service, rows, tmp_path / "b.parquet", similarity=rows / 60))
    assert again.equals(whole)
    assert whole["width"].to_pylist() == (40 + rows).tolist()
    with tarfile.open(export_subset(service, rows, tmp_path / "b.tar")) as tar:
        assert len(tar.getnames()) == 180
    with export_subset(service, rows, tmp_path / "b.csv").open(newline="") as stream:
        assert [row["uid"] for row in csv.DictReader(stream)] == whole["uid"].to_pylist()


def test_a_uid_that_is_a_path_names_no_file(tmp_path: Path) -> None:
    from unseen.curation.index import build_index

    uids = [f"{i:032x}" for i in range(60)]
    uids[4], uids[9] = "../../evil", uids[8]
    build_index(odd(tmp_path / "data", uid=uids))
    service = RetrievalService.open(tmp_path / "data", encoder=Colours())
    with pytest.raises(ValueError, match="the uid of row 4 is no plain word"):
        export_subset(service, [3, 4], tmp_path / "a.tar")
    for ending in ("tar", "npy"):
        with pytest.raises(ValueError, match="rows 8 and 9 have the same uid"):
            export_subset(service, [8, 9], tmp_path / f"a.{ending}")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data"]
    assert len(pq.read_table(export_subset(service, [4, 8, 9], tmp_path / "a.parquet"))) == 3


def test_columns_stay_reordered_when_scores_are_added(tmp_path: Path) -> None:
    import os

    from unseen.curation.columns import is_reordered, open_columns, write_columns

    collection = coloured(tmp_path)
    rank = np.random.default_rng(0).permutation(60)
    write_columns(collection, rank)
    assert is_reordered(collection)
    odd(tmp_path, later=[float(i) for i in range(60)])
    file = collection.shards[0].folder / "pairs.parquet"
    os.utime(file, ns=(2**62, 2**62))
    columns = open_columns(Collection.open(tmp_path))
    assert columns.rank is not None
    assert columns.numbers("later").tolist() == list(range(60))
    assert columns.rank.tolist() == rank.tolist()


def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.curation import columns as place
    from unseen.curation.index import build_index

    build_index(coloured(tmp_path))

    def closed(file: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(place, "replacing", closed)
    service = RetrievalService.open(tmp_path, encoder=Colours())
    assert service.search(text("red", k=1, safe=False)).hits[0].columns["text"].startswith("red")
    assert service.facets()["rows"] == 60
    assert not list((tmp_path / "index").glob("columns*"))
