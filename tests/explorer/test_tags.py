"""Tags: saved beside the collection, whole or not at all, and read again; filters, counts, browsing that use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")

from unseen.curation.columns import open_columns, write_columns
from unseen.curation.results import Filters
from unseen.curation.tags import LONGEST, MOST_TAGS, Tags, checked_tag
from unseen.curation.vectors import Vectors

from .conftest import coloured, uid


def tags_of(folder: Path) -> Tags:
    collection = coloured(folder)
    return Tags(collection, open_columns(collection))


def test_tags_are_saved_and_loaded_again(tmp_path: Path) -> None:
    tags = tags_of(tmp_path)
    assert not (tmp_path / "tags.jsonl").exists()
    assert tags.add("sharp", [1, 40]) == 2
    assert tags.add("  wrong   caption ", [40]) == 1
    assert tags.add("sharp", [1]) == 0
    lines = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text().splitlines()]
    assert lines == [{"uid": uid(1), "tags": ["sharp"]}, {"uid": uid(40), "tags": ["sharp", "wrong caption"]}]
    again = Tags(coloured(tmp_path), open_columns(coloured(tmp_path)))
    assert again.names == ("sharp", "wrong caption")
    assert again.of([40, 2, 1]) == [["sharp", "wrong caption"], [], ["sharp"]]
    assert np.flatnonzero(again.mask(["wrong caption"])).tolist() == [40]
    assert np.count_nonzero(again.mask([""])) == 58
    assert not again.mask(["nothing"]).any()
    assert again.counts(np.arange(60) < 30) == [("sharp", 1), ("wrong caption", 0)]
    assert again.first()[[1, 40, 2]].tolist() == [0, 0, -1]
    assert again.remove("sharp", np.ones(60, bool)) == 2
    assert again.remove("wrong caption", [40]) == 1
    assert again.names == ()
    assert (tmp_path / "tags.jsonl").read_text() == ""


def test_what_another_process_writes_is_seen_and_kept(tmp_path: Path) -> None:
    one = tags_of(tmp_path)
    other = Tags(coloured(tmp_path), open_columns(coloured(tmp_path)))
    one.add("a", [1])
    other.add("b", [2])
    assert one.names == other.names == ("a", "b")


def test_tags_of_pairs_that_are_not_here_now_stay_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "tags.jsonl").write_text('{"uid": "elsewhere", "tags": ["kept"]}\n\n')
    tags = tags_of(tmp_path)
    assert tags.names == ()
    tags.add("new", [3])
    assert '{"uid": "elsewhere", "tags": ["kept"]}' in (tmp_path / "tags.jsonl").read_text()


def test_tags_follow_reordered_columns(tmp_path: Path) -> None:
    collection = coloured(tmp_path)
    write_columns(collection, np.random.default_rng(0).permutation(60))
    Tags(collection, open_columns(collection)).add("a", [7, 33])
    said = [json.loads(line)["uid"] for line in (tmp_path / "tags.jsonl").read_text().splitlines()]
    assert said == [uid(7), uid(33)]
    assert np.flatnonzero(Tags(collection, open_columns(collection)).mask(["a"])).tolist() == [7, 33]


@pytest.mark.parametrize("name", ["", "   ", "x" * (LONGEST + 1), "a\x00b", "a\u202eb", 5, None])
def test_a_tag_is_a_few_printable_characters(name: Any) -> None:
    with pytest.raises(ValueError, match=f"a tag must be 1 to {LONGEST} printable characters"):
        checked_tag(name)


def test_wrong_rows_and_too_many_tags_are_refused(tmp_path: Path) -> None:
    tags = tags_of(tmp_path)
    for wrong in ([60], [-1]):
        with pytest.raises(IndexError, match=r"rows must lie in \[0, 60\)"):
            tags.add("a", wrong)
    line = json.dumps({"uid": uid(0), "tags": [f"tag {i}" for i in range(MOST_TAGS)]})
    (tmp_path / "tags.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=f"at most {MOST_TAGS} different tags"):
        tags.add("one more", [1])
    assert (tmp_path / "tags.jsonl").read_text() == line + "\n"


@pytest.mark.parametrize("line", ["{", "[]", '{"uid": "a"}', '{"uid": "a", "tags": [1]}', '{"uid": "a", "tags": [""]}'])
def test_a_damaged_file_is_named_and_never_written_over(tmp_path: Path, line: str) -> None:
    content = '{"uid": "a", "tags": ["b"]}\n' + line + "\n"
    (tmp_path / "tags.jsonl").write_text(content)
    with pytest.raises(ValueError, match=r"tags\.jsonl, line 2, is no tagged pair"):
        tags_of(tmp_path)
    assert (tmp_path / "tags.jsonl").read_text() == content


def test_nothing_changes_if_the_file_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.curation import tags as place

    tags = tags_of(tmp_path)
    tags.add("a", [1])
    before = (tmp_path / "tags.jsonl").read_text()

    def full(file: Any) -> Any:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(place, "replacing", full)
    with pytest.raises(OSError, match="No space left"):
        tags.add("b", [2])
    assert tags.names == ("a",)
    assert (tmp_path / "tags.jsonl").read_text() == before


# -- filters and browsing ------------------------------------------------------------------------------------


def test_browsing_goes_through_what_passes_in_order(service: Any) -> None:
    rows, allowed = service.browse(Filters({"language": ["en"]}), first=2, most=3)
    assert (rows.tolist(), allowed) == ([6, 9, 12], 20)
    rows, allowed = service.browse(Filters(safe=True), most=60)
    assert allowed == 54
    assert not set(rows.tolist()) & set(range(0, 60, 10))
    assert 5 in rows  # without a score
    assert service.browse(sort="width", most=2)[0].tolist() == [59, 58]
    assert service.browse(sort="width", descending=False, most=2)[0].tolist() == [0, 1]
    assert service.browse(sort="punsafe", most=60)[0][-1] == 5  # what has none comes last
    assert service.browse(first=100)[0].tolist() == []
    with pytest.raises(ValueError, match="no column of numbers"):
        service.browse(sort="language")
    within = np.zeros(60, bool)
    within[[4, 50]] = True
    assert service.browse(Filters(among=within))[0].tolist() == [4, 50]


def test_counts_tell_caption_lengths_and_near_duplicates(service: Any) -> None:
    numbers = service.facets()["numbers"]
    assert {"caption_length", "nearest_cosine", "earlier_cosine"} <= set(numbers)
    assert service.columns.numbers("caption_length")[4] == len("green number 4")
    assert "caption_length" not in service.metadata([1])[0]
    earlier, nearest = (service.columns.numbers(f"{name}_cosine") for name in ("earlier", "nearest"))
    assert not (earlier > nearest + 1e-3).any()
    x = service.indices["image"].vectors.take(np.arange(60))
    cosine = x @ x.T - 2 * np.eye(60)
    before = np.where(np.tri(60, k=-1, dtype=bool), cosine, -1).max(axis=1)
    np.testing.assert_allclose(nearest, cosine.max(axis=1), atol=2e-3)  # kept in 16 bits; whatever the groups
    np.testing.assert_allclose(earlier, before, atol=2e-3)
    assert np.flatnonzero(earlier == -1).tolist() == [0]  # nothing stands before the first


def test_what_has_nothing_like_it_before_passes_a_filter_for_copies(service: Any) -> None:
    x = service.indices["image"].vectors.take(np.arange(60))
    like = np.tril(x @ x.T, -1).max(axis=1) > 0.9
    rows, _ = service.browse(Filters(ranges={"earlier_cosine": (None, 0.9)}), most=60)
    assert rows.tolist() == np.flatnonzero(~like).tolist()
    assert service.browse(sort="earlier_cosine", descending=False)[0][0] == 0
    told = service.facets()["numbers"]["earlier_cosine"]
    assert told["missing"] == 0
    assert sum(told["counts"]) == 60
    assert told["edges"][0] == -1
    assert told["edges"][1] > 0


def test_pairs_of_large_collections_are_compared_within_their_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.curation import concept_map

    monkeypatch.setattr(concept_map, "EXACT", 59)
    made = concept_map.build_map(coloured(tmp_path))
    x = Vectors.of(coloured(tmp_path), "image").take(np.arange(60))
    group = made.points["group"]
    cosine = np.where((group[:, None] == group) & ~np.eye(60, dtype=bool), x @ x.T, -1)
    np.testing.assert_allclose(made.points["nearest"], cosine.max(axis=1), atol=2e-3)
    assert np.count_nonzero(made.points["earlier"] == -1) == len(np.unique(group))  # the first of each


def test_columns_of_keys_are_not_counted_by_value(tmp_path: Path) -> None:
    from unseen.curation.results import facets

    collection = coloured(tmp_path)
    columns = open_columns(collection)
    told = facets(columns, Tags(collection, columns))
    assert set(told["words"]) == {"language"}
    assert (told["tags"], told["untagged"]) == ([], 60)
