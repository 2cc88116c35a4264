"""Corpora, queries, judgements and runs, as users have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.rankings import ranking_of, read_corpus, read_judgements, read_queries, write_run
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks.ranking import MEASURES, per_query

ROWS = [("d1", "Cats", "they purr"), ("d2", "", "dogs bark"), ("d3", "Ships", "sail")]


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A folder in the layout of BEIR."""
    corpus = [json.dumps({"_id": i, "title": title, "text": text}) for i, title, text in ROWS]
    (tmp_path / "corpus.jsonl").write_text("\n".join(corpus) + "\n")
    queries = [json.dumps({"_id": f"q{i}", "text": text}) for i, text in enumerate(["purring", "boats", "unasked"])]
    (tmp_path / "queries.jsonl").write_text("\n".join(queries) + "\n")
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq0\td1\t2\nq0\td2\t0\nq1\td3\t1\nz\td1\t1\n"
    )
    return tmp_path


def test_a_folder_of_beir_is_read_with_titles_ids_and_judgements(beir: Path) -> None:
    corpus, queries = read_corpus(beir), read_queries(beir)
    assert corpus.x.tolist() == ["Cats. they purr", "dogs bark", "Ships. sail"]
    assert corpus.ids.tolist() == ["d1", "d2", "d3"]
    judged = read_judgements(beir / "qrels" / "test.tsv", queries, corpus)
    assert judged.task == "ranking"
    assert judged.y[0].tolist() == [[0, 2], [1, 0]]
    assert judged.y[1].tolist() == [[2, 1]]
    assert judged.y[2] is None


def test_a_folder_of_text_files_is_a_corpus_in_natural_order(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, text in (
        ("doc10.txt", "ten"),
        ("doc2.txt", "two"),
        ("in/a.md", "deep"),
        ("x.png", "no text"),
        ("._doc2.txt", "hidden"),
    ):
        (tmp_path / name).write_text(text)
    corpus = read_corpus(tmp_path)
    assert corpus.ids.tolist() == ["doc2.txt", "doc10.txt", "in/a.md"]
    assert corpus.x.tolist() == ["two", "ten", "deep"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables_are_read(tmp_path: Path, suffix: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"id": ["007", "b"], "document": ["cats purr", "dogs bark"]})
    file = tmp_path / f"c.{suffix}"
    if suffix == "csv":
        frame.to_csv(file, index=False)
    elif suffix == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    else:
        frame.to_parquet(file)
    corpus = read_corpus(file)
    assert corpus.x.tolist() == ["cats purr", "dogs bark"]
    assert corpus.ids.tolist() == ["007", "b"]


def test_queries_are_the_lines_of_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("first\n\n second \n")
    queries = read_queries(tmp_path / "q.txt")
    assert queries.x.tolist() == ["first", "second"]
    assert queries.ids.tolist() == ["1", "3"]  # the numbers of their lines


def test_documents_are_the_lines_of_a_text_file_and_the_first_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("cats, and dogs\n\nships\x0c sail\r\n\t\n", encoding="utf-8-sig", newline="")
    corpus = read_corpus(tmp_path / "docs.txt")
    assert corpus.x.tolist() == ["cats, and dogs", "ships\x0c sail"]
    assert corpus.ids.tolist() == ["1", "3"]
    assert [one.where for one in corpus.skipped] == ["line 2", "line 4"]


@pytest.mark.parametrize("read", [read_corpus, read_queries])
def test_a_text_file_has_no_columns(tmp_path: Path, read: Callable[..., Domain]) -> None:
    (tmp_path / "docs.txt").write_text("text\ncats\n")
    with pytest.raises(ValueError, match="column must be absent"):
        read(tmp_path / "docs.txt", column="text")


def test_judgements_of_trec_are_read(beir: Path) -> None:
    (beir / "qrels.txt").write_text("q0 0 d2 1\nq1 0 d3 3\n")
    judged = read_judgements(beir / "qrels.txt", read_queries(beir), read_corpus(beir))
    assert judged.y[0].tolist() == [[1, 1]]
    assert judged.y[1].tolist() == [[2, 3]]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("q0 0 d9 1\n", "no document 'd9' in the corpus, whose ids are such as 'd1'"),
        ("q0 0 d1 yes\n", "grade must be an integer"),
        ("q0 d1\n", "line 1"),
        ("other 0 d1 1\n", "no query has a relevant document"),
        ("q0 0 d1 0\n", "no query has a relevant document"),
    ],
)
def test_judgements_that_cannot_be_are_named(beir: Path, lines: str, told: str) -> None:
    (beir / "qrels.txt").write_text(lines)
    with pytest.raises(ValueError, match=told):
        read_judgements(beir / "qrels.txt", read_queries(beir), read_corpus(beir))


@pytest.mark.parametrize(
    ("content", "told"),
    [("id,text\na,x\na,y\n", "the id 'a' stands 2 times"), ("a,b\n1,2\n", "there is no column 'text'")],
)
def test_a_corpus_that_cannot_be_is_named(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "c.csv").write_text(content)
    with pytest.raises(ValueError, match=told):
        read_corpus(tmp_path / "c.csv")


@pytest.mark.parametrize("read", [read_corpus, read_queries])
def test_what_has_no_id_is_called_by_its_row_and_told(
    tmp_path: Path, read: Callable[..., Domain], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c.csv").write_text("id,text\n1,cats sleep\n,birds sing\n3,dogs bark\n  ,owls see\n")
    found = read(tmp_path / "c.csv")
    assert found.ids.tolist() == ["1", "row 2", "3", "row 4"]
    what = "documents" if read is read_corpus else "queries"
    assert f"c.csv: 2 of 4 {what} have no id, and are called by their rows, such as 'row 2'" in caplog.text
    caplog.clear()
    (tmp_path / "n.csv").write_text("id,text\n,cats sleep\n,birds sing\n")
    assert read(tmp_path / "n.csv").ids.tolist() == ["1", "2"]  # as without such a column
    assert not caplog.text
    (tmp_path / "t.csv").write_text("id,text\nrow 2,cats sleep\n,birds sing\n")
    with pytest.raises(ValueError, match="the id 'row 2' stands 2 times"):
        read(tmp_path / "t.csv")


def test_judgements_name_files_of_a_folder_by_their_stems_where_these_are_unlike(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("0095.txt", "0096.md", "v1.5.txt", "blank.txt"):
        (tmp_path / "docs" / name).write_text("" if name == "blank.txt" else f"text of {name}")
    (tmp_path / "q.csv").write_text("id,query\n01,text\n")
    (tmp_path / "qrels").write_text("01 0 0095 2\n01 0 0096.md 1\n01 0 v1.5 1\n01 0 blank 1\n")
    corpus, queries = read_corpus(tmp_path / "docs"), read_queries(tmp_path / "q.csv")
    assert read_judgements(tmp_path / "qrels", queries, corpus).y[0].tolist() == [[0, 2], [1, 1], [2, 1]]
    assert "1 judgement is of documents that were left out, such as 'blank.txt'" in caplog.text
    (tmp_path / "qrels").write_text("01 0 0097 2\n")
    with pytest.raises(ValueError, match=r"no document '0097' in the corpus, whose ids are such as '0095.txt'"):
        read_judgements(tmp_path / "qrels", queries, corpus)
    (tmp_path / "docs" / "0095.md").write_text("another")
    (tmp_path / "qrels").write_text("01 0 0095 2\n")
    with pytest.raises(ValueError, match="no document '0095'"):  # which of the two?
        read_judgements(tmp_path / "qrels", queries, read_corpus(tmp_path / "docs"))


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no file that ends in"):
        read_corpus(tmp_path)


def test_runs_are_written_as_trec_and_csv(tmp_path: Path) -> None:
    side = lambda ids: Domain(x=np.array(["x"] * len(ids)), kind="text", ids=np.array(ids))
    queries, corpus = side(["q 1", "q2"]), side(["a", "b c", "d"])
    found = ranking_of([[1, 0], [2]], [[0.5, 0.25], [3.0]], 2)
    write_run(tmp_path / "r.trec", found, queries, corpus, tag="t")
    assert (tmp_path / "r.trec").read_text() == "q_1 Q0 b_c 1 0.5 t\nq_1 Q0 a 2 0.25 t\nq2 Q0 d 1 3.0 t\n"
    write_run(tmp_path / "r.csv", found, queries, corpus)
    assert (tmp_path / "r.csv").read_text().splitlines()[1] == "q 1,1,b c,0.5"


def test_a_run_with_ties_is_graded_elsewhere_as_it_is_here(tmp_path: Path) -> None:
    pytest.importorskip("ir_measures")
    import ir_measures

    names = np.array([f"d{i}" for i in range(40)])
    rng = np.random.default_rng(0)
    order = [rng.permutation(40).tolist() for _ in range(6)]
    ties = [[2.5] * 15 + [1e-7] * 10 + [0.0] * 10 + [-1.0] * 5 for _ in order]
    found = ranking_of(order, ties, 40)
    truth = objects(np.array([[d, 1] for d in rng.permutation(40)[:8].tolist()]) for _ in order)
    queries = Domain(x=np.array([f"q{i}" for i in range(6)]), kind="text", ids=np.arange(6).astype(str))
    write_run(tmp_path / "r.trec", found, queries, Domain(x=names, kind="text", ids=names))
    (tmp_path / "qrels").write_text("".join(f"{i} 0 d{d} 1\n" for i in range(6) for d, _ in truth[i].tolist()))
    read = ir_measures.read_trec_qrels(str(tmp_path / "qrels")), ir_measures.read_trec_run(str(tmp_path / "r.trec"))
    figures = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in MEASURES.values()], *read)
    here = per_query(truth, found)
    for name, measure in MEASURES.items():
        assert figures[ir_measures.parse_measure(measure)] == pytest.approx(here[name].mean(), abs=1e-9)
