"""`unseen concepts` inside: rows, names and tags as people have them, curves that fit what was counted, test sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unseen.jobs.concepts import job as job
from unseen.jobs.concepts import page as report
from unseen.jobs.concepts.captions import Captions, Places, places_of, read_concepts, read_tags
from unseen.jobs.concepts.pictures import beside, examples
from unseen.jobs.concepts.tail import _folder_of
from unseen.methods.curation.concept_frequency import ConceptIndex, published_curve

TEXT_CURVE, JOINT_CURVE = "laion400m/ViT-B-16/text", "laion400m/ViT-B-16/joint"


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """8, 4, 2, 1 and 0 captions of five concepts."""
    names = ["dog"] * 8 + ["cat"] * 4 + ["lamp"] * 2 + ["okapi"]
    (tmp_path / "captions.txt").write_text("\n".join(f"a {name}" for name in names))
    (tmp_path / "concepts.txt").write_text("dog\ncat\nlamp\nokapi\nviolin\n")
    return tmp_path


def analysed(folder: Path, concepts: str = "concepts.txt", **options: Any) -> job.Concepts:
    return job.analyse(folder / "captions.txt", concepts=folder / concepts, **options)


# -- curves and scales -------------------------------------------------------------------------------------


def test_a_sample_of_captions_widens_the_intervals_of_a_published_curve(captions: Path) -> None:
    sampled = analysed(captions, like=TEXT_CURVE, scale=1000).table.set_index("concept")
    curve = published_curve(TEXT_CURVE)
    middle, low, high = curve.predict(np.array([1000]))
    assert sampled.predicted["okapi"] == pytest.approx(middle[0])
    assert sampled.low["okapi"] < low[0]
    assert sampled.high["okapi"] > high[0]
    unseen = sampled.loc["violin"]
    assert unseen.high >= curve.predict(np.array([2990]))[2][0] - 1e-6  # a concept without a hit may occur 3 times
    whole = analysed(captions, like=TEXT_CURVE, scale=1).table.set_index("concept")
    assert whole.high["violin"] == pytest.approx(curve.predict(np.array([0]))[2][0])


def test_a_curve_of_another_search_is_refused(captions: Path) -> None:
    with pytest.raises(ValueError, match=f"takes joint counts; these captions give text counts: take {TEXT_CURVE}"):
        analysed(captions, like=JOINT_CURVE)
    with pytest.raises(ValueError, match="leave out `phrases`"):
        analysed(captions, like=TEXT_CURVE, phrases=True)
    tags = captions / "tags.csv"
    tags.write_text("sample,concept\n0,dog\n")
    with pytest.raises(ValueError, match="takes text counts"):
        analysed(captions, like=TEXT_CURVE, tags=tags)
    table = captions / "clip.csv"
    table.write_text("concept,clip score\ndog,0.3\n")
    with pytest.raises(ValueError, match=r"^like predicts accuracy"):
        analysed(captions, "clip.csv", like=TEXT_CURVE, score="clip score")


def test_own_scores_are_fitted_to_the_counts_as_they_are(captions: Path) -> None:
    rows = [f"{name},{80 - 10 * i}" for i, name in enumerate(("dog", "cat", "lamp", "okapi", "violin"))]
    (captions / "own.csv").write_text("\n".join(["concept,accuracy", *rows, "zebra,"]))
    found = analysed(captions, "own.csv", like=TEXT_CURVE)
    assert found.groups[0].counts.tolist() == [8, 4, 2, 1, 0]
    assert found.facts["scale"] == 1
    assert any("by the counts as they are" in line for line in report.sentences(found))
    scaled = analysed(captions, "own.csv", scale=100)
    assert scaled.groups[0].counts.tolist() == [800, 400, 200, 100, 0]


def test_shares_are_told_in_percent_and_a_mixture_is_refused(captions: Path) -> None:
    names = ("dog", "cat", "lamp", "okapi", "violin")
    rows = [("A", name, 0.8 - 0.1 * i) for i, name in enumerate(names)]
    frame = pd.DataFrame(rows, columns=["model", "concept", "accuracy"])
    frame.to_csv(captions / "shares.csv", index=False)
    found = analysed(captions, "shares.csv")
    assert found.table.score.tolist() == pytest.approx([80, 70, 60, 50, 40])
    assert found.table.predicted.max() > 1
    assert any("as shares" in line for line in report.sentences(found))
    frame.assign(accuracy=frame.accuracy * 100).to_csv(captions / "percent.csv", index=False)
    assert analysed(captions, "percent.csv").table.score.tolist() == pytest.approx(found.table.score.tolist())
    mixed = pd.concat([frame, frame.assign(model="B", accuracy=frame.accuracy * 100)])
    mixed.to_csv(captions / "mixed.csv", index=False)
    with pytest.raises(ValueError, match=r"accuracy of A is at most 0\.8, as a share is"):
        analysed(captions, "mixed.csv")


@pytest.mark.parametrize("scale", [float("inf"), float("nan"), 0.5])
def test_a_scale_is_finite(captions: Path, scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be finite"):
        analysed(captions, scale=scale)


def test_prompts_are_labelled_and_the_rarest_by_the_search_in_use_come_first(captions: Path) -> None:
    names = ("dog", "cat", "lamp", "okapi", "violin")
    rows = [(p, n, 50 + i + 10 * (p == "plain")) for p in ("plain", "ensemble") for i, n in enumerate(names)]
    pd.DataFrame(rows, columns=["prompts", "concept", "accuracy"]).to_csv(captions / "p.csv", index=False)
    (captions / "tags.csv").write_text("sample,concept\n8,cat\n12,lamps\n13,Lamp\n")
    found = analysed(captions, "p.csv", tags=captions / "tags.csv")
    shown = report.lines(found, 20)
    assert "prompts" in shown[0]
    assert "ensemble" in "\n".join(shown[1:11])
    assert [line.split()[0] for line in shown[1:11]][-4:] == ["cat", "cat", "lamp", "lamp"]  # joint 1 and 2


# -- names, rows and tags ----------------------------------------------------------------------------------


def test_names_are_found_exactly_first_and_doubtful_ones_are_refused() -> None:
    places = Places(["a/1.png", "b/1.png", "1", "c/2.jpg"], "IMAGES")
    assert places.find("a/1.png") == 0
    assert places.find("1") == 2
    assert places.find("2") == places.find("x/2.jpg") == 3
    assert places.find("9") is None
    with pytest.raises(ValueError, match="names several of IMAGES"):
        places.find("1.png")
    assert places_of(["b/1.png", "1"], ["a/1.png", "b/1.png", "1"], 3, "tags").tolist() == [1, 2]
    with pytest.raises(ValueError, match="no caption has as its key"):
        places_of(["1", "7"], ["1", "2"], 2, "tags")


def test_concepts_and_captions_are_read_whatever_stands_between_cells(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("concept,accuracy\ndog,0.9,\ncat,0.8,\n")
    (tmp_path / "d.csv").write_text("concept;accuracy\ndog;0.9\ncat;0.8\n")
    for name in ("c.csv", "d.csv"):
        known = read_concepts(tmp_path / name)
        assert known.concept.tolist() == ["dog", "cat"]
        assert known.score.tolist() == [0.9, 0.8]
    (tmp_path / "said.csv").write_text('image;caption\n1.png;"a dog; a cat, too"\n2.png;a cat\n')
    said = [text for piece in Captions(tmp_path / "said.csv") for text in piece.to_pylist()]
    assert said == ["a dog; a cat, too", "a cat"]
    (tmp_path / "e.csv").write_text("concept;score\ncat;0,5\n")
    assert read_concepts(tmp_path / "e.csv").score.tolist() == [0.5]
    (tmp_path / "q.tsv").write_text('concept\tscore\ncat\t1\n"dog\t2\n')
    assert read_concepts(tmp_path / "q.tsv").concept.tolist() == ["cat", '"dog']
    assert read_concepts("rain").concept.tolist() == ["rain"]
    with pytest.raises(FileNotFoundError, match=r"there is no rain\.csv"):
        read_concepts("rain.csv")


def test_a_byte_order_mark_belongs_to_no_concept_and_no_caption(tmp_path: Path) -> None:
    (tmp_path / "concepts.txt").write_bytes("\ufeffcat\ndog\n".encode())
    assert list(read_concepts(tmp_path / "concepts.txt").concept) == ["cat", "dog"]
    for name, text in (("a.txt", "cat\ndog\n"), ("b.jsonl", '{"caption": "cat"}\n{"caption": "dog"}\n')):
        (tmp_path / name).write_bytes(f"\ufeff{text}".encode())
        counted = job.analyse(tmp_path / name, concepts="cat,dog")
        assert counted.n == 2
        assert counted.table.set_index("concept").text.to_dict() == {"cat": 1, "dog": 1}


def test_keys_and_concepts_stay_text(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("sample,concept,probability\n0001,007,0.9\n0002,null,0.8\n0002,NA,0.8\n")
    (tmp_path / "concepts.csv").write_text("concept,accuracy,model\n007,1.5,01\nnull,,01\nNA,2,01\n")
    known = read_concepts(tmp_path / "concepts.csv")
    assert known.concept.tolist() == ["007", "null", "NA"]
    assert known.model.tolist() == ["01"] * 3
    found, lost = read_tags(tmp_path / "tags.csv", known.concept.tolist(), ["0001", "0002"], 2)
    assert (found.rows.tolist(), found.columns.tolist(), lost) == ([0, 1, 1], [0, 1, 2], 0)


def test_tags_are_concepts_by_their_lemmas_and_others_are_counted(captions: Path) -> None:
    (captions / "tags.csv").write_text("sample,concept\n0,Dogs\n0,dog\n1,sofa\n2,chair\n")
    found = analysed(captions, tags=captions / "tags.csv")
    assert found.table.set_index("concept").image["dog"] == 1
    assert found.facts["tags_left_out"] == 2
    assert any("2 tags name none of the concepts" in line for line in report.sentences(found))


def test_bad_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,caption\n1,a dog\n2,a cat,too much\n3\n4,caf\xe9 dog\n")
    table = Captions(tmp_path / "a.csv")
    assert ConceptIndex.from_captions(table).ids("dog").tolist() == [0, 1]
    assert len(table.bad) == 2
    assert table.keys() == ["1", "4"]
    rows = ['{"caption": "a dog"}', "{broken", "[1]", "", json.dumps({"caption": None}), '{"caption": "dogs"}']
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    lines = Captions(tmp_path / "a.jsonl")
    assert ConceptIndex.from_captions(lines).ids("dog").tolist() == [0, 2]
    assert [why.split(":")[0] for why in lines.bad] == ["line 2 is no JSON", "line 3 is no object but list",
                                                        "line 4 is no JSON"]  # fmt: skip
    (tmp_path / "c.txt").write_text("dog\ncat\n")
    found = job.analyse(tmp_path / "a.csv", concepts=tmp_path / "c.txt")
    assert any("2 rows of captions were skipped; the first: a row of 3 cells" in x for x in report.sentences(found))
    (tmp_path / "bad.jsonl").write_text("{broken\n")
    with pytest.raises(ValueError, match="1 rows cannot be read, the first: line 1 is no JSON"):
        job.analyse(tmp_path / "bad.jsonl", concepts=tmp_path / "c.txt")


@pytest.mark.parametrize("processes", [1, 2])
def test_empty_captions_count_in_no_share_and_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr("unseen.data.spans.LEAST", 1)
    (tmp_path / "a.csv").write_text('id,caption\n1,a dog\n2,\n3,"  "\n4,a cat\n5,NA\n')
    said: list[str] = []
    found = job.analyse(tmp_path / "a.csv", concepts="dog,cat", processes=processes, say=said.append)
    assert said[-1] == "captions: 3, beside 2 empty ones"
    assert found.table.per_million.tolist() == pytest.approx([1e6 / 3, 1e6 / 3])
    assert found.facts["empty"] == 2
    assert "2 other captions are empty, and in no share." in report.sentences(found)
    (tmp_path / "a.txt").write_text("a dog\n\na cat\n")
    assert job.analyse(tmp_path / "a.txt", concepts="dog,cat").n == 2


def test_captions_that_are_all_empty_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"caption": ""}\n{"caption": null}\n{broken\n')
    with pytest.raises(ValueError, match="holds none: 2 are empty, and 1 rows cannot be read, the first: line 3"):
        job.analyse(tmp_path / "a.jsonl", concepts="dog,cat")


def test_two_processes_tell_the_bad_rows_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unseen.data.spans.LEAST", 1)
    rows = [f"{i},a dog" + ",too much" * (i % 7 == 0) for i in range(100)]
    (tmp_path / "a.csv").write_text("\n".join(["id,caption", *rows]))
    (tmp_path / "a.jsonl").write_text("\n".join("{broken" if i % 9 == 0 else '{"title": "dogs"}' for i in range(100)))
    for name, n in (("a.csv", 85), ("a.jsonl", 88)):
        source = Captions(tmp_path / name)
        assert ConceptIndex.from_captions(source, processes=2).count("dog") == n
        told = list(source.bad)
        assert ConceptIndex.from_captions(source).count("dog") == n
        assert told == source.bad
        assert len(told) == 100 - n
    with pytest.raises(ValueError, match="no column 'x'"):
        ConceptIndex.from_captions(Captions(tmp_path / "a.csv", "x"), processes=2)


def test_quotes_are_letters_in_a_tsv(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('caption\tid\na 5" dog\t1\n"cat\t2\ndog "x"\t3\n')
    texts = [text for piece in Captions(tmp_path / "a.tsv") for text in piece.to_pylist()]
    assert texts == ['a 5" dog', '"cat', 'dog "x"']
    (tmp_path / "c.tsv").write_text('concept\taccuracy\n"dog\t1\ncat\t2\n')
    assert read_concepts(tmp_path / "c.tsv").concept.tolist() == ['"dog', "cat"]


def test_messages_name_file_and_column(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("concept,accuracy\ndog,1\ncat,much\n")
    with pytest.raises(ValueError, match=r"c\.csv: accuracy must hold numbers; row 2 says 'much'"):
        read_concepts(tmp_path / "c.csv")
    with pytest.raises(ValueError, match=r"c\.csv: there is no column 'recall'"):
        read_concepts(tmp_path / "c.csv", "recall")
    (tmp_path / "twice.csv").write_text("concept,accuracy\ndog,20\ncat,30\ndog,50\n")
    with pytest.raises(ValueError, match="'dog' stands there twice, with accuracy 20 and 50; remove one"):
        read_concepts(tmp_path / "twice.csv")
    (tmp_path / "half.csv").write_text("concept,model,accuracy\ndog,a,20\ndog,b,70\ndog,b,\n")
    with pytest.raises(ValueError, match="with accuracy 70 and none; remove one"):
        read_concepts(tmp_path / "half.csv")
    (tmp_path / "same.csv").write_text("concept,accuracy\ndog,20\ncat,30\ndog,20\n")
    assert read_concepts(tmp_path / "same.csv").concept.tolist() == ["dog", "cat"]
    (tmp_path / "t.csv").write_text("sample,concept,probability\n0,dog,often\n")
    with pytest.raises(ValueError, match=r"t\.csv: probability must hold numbers"):
        read_tags(tmp_path / "t.csv", ["dog"], None, 1)


# -- pictures and test sets --------------------------------------------------------------------------------


def test_synonyms_do_not_take_probability_from_each_other() -> None:
    logits = np.array([[5.0, 5.0, 1.0, 2.0, 0.0]])  # two synonyms, another concept, two neutral words
    every = np.exp(logits) / np.exp(logits).sum()
    own = beside(every, [0, 1, 2], 3)
    neutral = np.exp(2) + 1
    np.testing.assert_allclose(own[0], [np.exp(v) / (np.exp(v) + neutral) for v in (5, 5, 1)])
    np.testing.assert_allclose(beside(every, [0, 0], 3)[0], own[0, [0, 0]])
    assert own[0, 0] > 0.9
    assert every[0, 0] < 0.5


def test_examples_are_by_phrases_where_counts_are(captions: Path) -> None:
    (captions / "captions.txt").write_text("a hot day for a dog\na hot dog\na cat")
    source = Captions(captions / "captions.txt")
    index = ConceptIndex.from_captions(source, phrases=True)
    image = ConceptIndex.from_tags([["cat"], ["cat"], ["cat"]])
    by_words = examples(source, index, image, ["hot dog", "cat"], {}, "words")
    by_phrase = examples(source, index, image, ["hot dog", "cat"], {}, "phrase")
    assert [one["row"] for one in by_words] == [0, 1]
    assert [(one["row"], one["caption"], one["said"], one["shown"]) for one in by_phrase] == [
        (1, "a hot dog", ["hot dog"], ["cat"])
    ]


def test_examples_of_many_concepts_are_quick() -> None:
    class Counting(ConceptIndex):
        asked = 0

        def ids(self, concept: str, match: Any = "words") -> Any:
            type(self).asked += 1
            return super().ids(concept, match)

    names = [f"word{i}" for i in range(300)]
    texts = [f"word{i}" for i in range(300)]
    whole = ConceptIndex.from_captions(texts)
    index = Counting(whole.lexicon, whole.offsets, whole.samples, whole.n)
    image = ConceptIndex.from_tags([[f"word{(i + 1) % 300}"] for i in range(300)])

    class Source:
        def __iter__(self) -> Any:
            import pyarrow as pa

            return iter([pa.array(texts)])

    found = examples(Source(), index, image, names, {}, "words")  # type: ignore[arg-type]
    assert len(found) == 6
    assert Counting.asked <= 2 * len(names)  # a look at the samples of each concept, not one per row


def test_folders_are_found_exactly_first_and_by_the_lemmas_in_use() -> None:
    assert _folder_of("dog", ("dogs", "dog"), "rules") == "dog"
    assert _folder_of("dog", ("Dogs", "cat"), "rules") == "Dogs"
    assert _folder_of("dog", ("Dogs", "cat"), "none") is None
    with pytest.raises(ValueError, match="several folders for 'dog': dogs, Dog"):
        _folder_of("dog", ("dogs", "Dog"), "rules")
