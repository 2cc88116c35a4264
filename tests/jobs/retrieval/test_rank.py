"""`unseen rank`: the job with small parts, and the command in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer.testing

import in_process
import processes
from unseen.cli import app
from unseen.data.domain import Domain
from unseen.data.rankings import Ranking
from unseen.data.tasks.base import objects
from unseen.jobs.retrieval import job
from unseen.jobs.retrieval.job import Parts, Searcher, choose, rank, verdict_of
from unseen.jobs.retrieval.page import write_page
from unseen.jobs.retrieval.systems import searchers, systems_of, tuner
from unseen.methods.base import Card
from unseen.methods.retrieval.search import NeuralSearch, Search
from unseen.nn.bm25 import BM25
from unseen.nn.small_rankers import HashedWords, LastWords, hashed_ranker

ANIMALS, PLACES = ("cat", "dog", "owl", "eel", "fox"), ("house", "river", "forest", "harbour", "meadow")


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


def corpus(n: int = 80) -> Domain:
    texts = [
        f"The {ANIMALS[i % 5]} number{i} lives by the {PLACES[i // 5 % 5]} and sleeps at day{i % 7}" for i in range(n)
    ]
    return Domain(x=np.array(texts), kind="text", ids=np.array([f"d{i}" for i in range(n)]), name="animals")


def queries(judged: bool = True) -> Domain:
    asked = np.array([f"{ANIMALS[i % 5]} number{i}" for i in range(12)])
    y = objects([None if i == 3 else np.array([[i, 1]]) for i in range(12)]) if judged else None
    return Domain(x=asked, y=y, kind="text", task="ranking" if judged else "class", name="asked")


PARTS = Parts(encoder=HashedWords(), writer=LastWords(), ranker=hashed_ranker())


def ranked(**changes: Any) -> Any:
    given = {"systems": tuple(systems_of()), "parts": PARTS, "settings": {"samples": 20, "clusters": 20}, **changes}
    return rank(corpus(), given.pop("queries", queries()), **given)


def test_every_system_ranks_and_is_graded_and_one_is_chosen_without_labels() -> None:
    result = ranked()
    assert set(result.figures.system) == set(systems_of())
    assert set(result.check.system) == set(systems_of())
    assert result.chosen in systems_of()
    assert result.verdict.startswith(("Tuning should", "Whether tuning helps"))
    assert all(found.documents.shape == (12, 80) for found in result.rankings.values())


def test_judgements_change_nothing_that_is_learnt_or_chosen() -> None:
    with_them, without = ranked(), ranked(queries=queries(judged=False))
    assert with_them.chosen == without.chosen
    assert with_them.check.equals(without.check)
    assert not len(without.figures)
    for name in systems_of():
        assert with_them.rankings[name].documents.tolist() == without.rankings[name].documents.tolist()


def test_queries_that_choose_are_of_documents_that_nothing_was_tuned_on() -> None:
    result = ranked()
    method = result.tuned
    asked, places = job.held_out_queries(method, corpus(), LastWords(), None, 0)
    assert 40 < len(asked) == len(places) < 60
    assert not set(places.tolist()) & set(method.audit_["document"].tolist())
    assert not set(places.tolist()) & set(method.audit_["negatives"].ravel().tolist())


def test_the_best_on_queries_held_out_is_chosen() -> None:
    values = {"bm25": np.full(50, 0.5), "minilm": np.full(50, 0.6), "duqgen": np.full(50, 0.7)}
    assert choose(values, tuple(values))[0] == "duqgen"
    assert "should help" in verdict_of(values)
    assert "should not help" in verdict_of({**values, "duqgen": np.full(50, 0.2)})
    noisy = np.random.default_rng(0).normal(0.6, 0.3, 50)
    assert "cannot be told" in verdict_of({**values, "duqgen": noisy})


def test_a_method_of_which_nothing_was_measured_must_not_lose_to_what_learns_nothing() -> None:
    values = {"bm25": np.full(50, 0.7), "minilm": np.full(50, 0.2), "other": np.full(50, 0.6)}
    chosen, why = choose(values, tuple(values), method="other")
    assert (chosen, why[:16]) == ("bm25", "other lost to it")
    assert choose({**values, "other": np.full(50, 0.7)}, tuple(values), method="other")[0] == "other"
    assert "other has -0.100" in verdict_of(values, "other")


def test_without_queries_to_choose_by_the_ranker_as_it_is_is_taken() -> None:
    assert choose({}, ("bm25", "minilm", "fusion"))[0] == "minilm"
    assert choose({}, ("bm25", "fusion"))[0] == "fusion"
    assert ranked(systems=("bm25", "minilm")).chosen == "minilm"


def test_a_saved_ranker_ranks_new_queries_alike(tmp_path: Path) -> None:
    result = ranked()
    for name, searcher in result.searchers.items():
        searcher.save(tmp_path / name)
        back = Searcher.load(tmp_path / name)
        own, theirs = (one.rank(["owl by the river"], 3) for one in (searcher, back))
        assert own.document.tolist() == theirs.document.tolist()
        np.testing.assert_allclose(own.score, theirs.score, atol=1e-5)
    table = Searcher.load(tmp_path / "duqgen").rank(["owl by the river"], 3)
    assert table.columns.tolist() == ["query", "rank", "document", "score", "text"]
    assert table.document[0].startswith("d")


def test_what_is_no_ranker_is_named(tmp_path: Path) -> None:
    from unseen.nn.state import save_state

    save_state(tmp_path / "m", {"a": 1})
    with pytest.raises(ValueError, match="holds no ranker"):
        Searcher.load(tmp_path / "m")


def test_settings_follow_the_collection() -> None:
    assert tuner(corpus(), {}).shortest == 15
    long = Domain(x=np.array(["word " * 100] * 900), kind="text")
    method = tuner(long, {})
    assert (method.shortest, method.samples, method.clusters) == (300, 300, 300)
    assert tuner(long, {"samples": 50, "clusters": 10}).get_params()["clusters"] == 10


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"systems": ("bm25", "google")}, "systems must be some of"),
        ({"systems": ()}, "systems must be some of"),
        ({"k": 0}, "k must be"),
        ({"settings": {"shortest": 4000}}, "corpus must hold at least 4"),
    ],
)
def test_what_does_not_fit_is_named_before_work(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ranked(**changes)


def test_the_page_shows_figures_documents_and_what_was_learnt_from(tmp_path: Path) -> None:
    hostile = queries()
    hostile = hostile.replace(x=np.append(hostile.x[:-1], ["<script>alert(1)</script> cat"]))
    page = write_page(ranked(queries=hostile), tmp_path / "r.html", "unseen rank corpus").read_text()
    assert "<script>" not in page
    assert page.count('class="relevant"') >= 5
    for words in ("On your judgements", "On queries written", "What was learnt from", "unseen rank corpus"):
        assert words in page


class Longest(Search):
    """Another package's method: long documents first, with nothing but a card, `fit` and `search`."""

    card = Card(
        slug="longest", title="Longest first", venue="", summary="Long documents first.", unseen={"domains"},
        modalities={"text"}, protocols={"retrieval"}, task="ranking",
    )  # fmt: skip

    def fit(self, *, corpus: Domain) -> Longest:
        self.index_ = BM25(corpus.x)
        return self

    def search(self, queries: list[str], k: int) -> Ranking:
        lengths = np.array([len(str(text)) for text in self.index_.texts])
        order = np.argsort(-lengths, kind="stable")[:k]
        return Ranking(np.tile(order, (len(queries), 1)), np.tile(lengths[order], (len(queries), 1)).astype(np.float32))


class Shown(Longest):
    """One that learns from examples."""

    card = Card(
        slug="shown", title="Shown", venue="", summary="Learn from examples.", unseen={"domains"}, modalities={"text"},
        protocols={"retrieval"}, task="ranking",
    )  # fmt: skip

    def fit(self, *, corpus: Domain, pairs: Any) -> Shown:
        return super().fit(corpus=corpus)


class Asked(NeuralSearch):
    """Another one, which keeps the ranker as it is, and has queries written for the first documents."""

    card = Card(
        slug="asked", title="Asked", venue="", summary="Write queries.", unseen={"domains"}, modalities={"text"},
        protocols={"retrieval"}, task="ranking",
    )  # fmt: skip
    in_words = "the ranker with queries"

    def fit(self, *, corpus: Domain, model: Any, writer: Any) -> Asked:
        queries, flaws = self.write_queries(corpus.x[:30], writer, [])
        self.audit_ = {"document": np.arange(30), "query": queries, "flaw": flaws}
        return super().fit(corpus=corpus, model=model)

    def facts(self) -> dict[str, str]:
        return {"queries": str(len(self.audit_["query"]))}


@pytest.fixture
def plugged(install: Callable[..., None]) -> None:
    """Three methods of another package."""
    install("methods", longest=Longest, asked=Asked, shown=Shown)


@pytest.mark.usefixtures("plugged")
def test_a_method_of_another_package_ranks_by_its_card_alone(tmp_path: Path) -> None:
    assert searchers() == ("duqgen", "longest", "asked", "shown")
    documents, q = tmp_path / "docs.txt", tmp_path / "q.txt"
    documents.write_text("".join(f"{text}\n" for text in corpus().x))
    q.write_text("owl number2\ncat number5\n")
    given = ["rank", str(documents), str(q), "--method", "longest", "--with", "longest", "--writer", "first-words"]
    given += ["--out", str(tmp_path / "r.html"), "--model", str(tmp_path / "m"), "--json"]
    told = typer.testing.CliRunner().invoke(app, given)
    assert told.exit_code == 0, told.output
    facts = json.loads(told.stdout)
    assert facts["chosen"] == "longest"
    assert [row["system"] for row in facts["check"]] == ["longest"]
    page = (tmp_path / "r.html").read_text()
    assert "ranked by Longest first" in page
    assert "What was learnt from" not in page
    back = Searcher.load(tmp_path / "m")
    assert isinstance(back.method, Longest)
    lengths = back.rank(["anything"], 80).text.map(len)
    assert lengths.tolist() == sorted(lengths, reverse=True)


@pytest.mark.usefixtures("plugged")
def test_a_ranker_of_another_package_is_fused_and_graded_on_documents_that_it_did_not_learn_from(
    tmp_path: Path,
) -> None:
    parts = Parts(writer=LastWords(), ranker=hashed_ranker())
    result = ranked(systems=None, method="asked", parts=parts, settings={"depth": 50})
    assert list(result.systems) == ["bm25", "minilm", "fusion", "asked", "asked-fusion"]
    assert set(result.figures.system) == set(result.check.system) == set(result.systems)
    assert (result.chosen, result.why[:16]) == ("bm25", "asked lost to it")  # queries of a document's words
    np.testing.assert_array_equal(result.rankings["asked"].documents, result.rankings["minilm"].documents)
    np.testing.assert_array_equal(result.rankings["asked-fusion"].documents, result.rankings["fusion"].documents)
    _, places = job.held_out_queries(result.tuned, corpus(), LastWords(), None, 0)
    assert places.min() == 30
    page = write_page(result, tmp_path / "r.html").read_text()
    for words in ("the ranker with queries", "<dt>queries</dt><dd>30</dd>", "reciprocal ranks of bm25 and asked"):
        assert words in page


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "bm25"}, "method must be one of duqgen, longest, asked, shown; got 'bm25'"),
        ({"method": "coral"}, "method must be one of duqgen, longest, asked, shown; got 'coral'"),
        ({"method": "longest", "systems": ("duqgen",)}, "bm25, minilm, rerank, fusion, longest; got 'duqgen'"),
        ({"method": "longest", "systems": ("bm25",)}, "systems must hold longest, which method names; got bm25"),
        ({"method": "longest", "systems": ("longest",)}, "encoder: longest reads none"),
        ({"method": "shown", "systems": ("shown",), "parts": Parts(writer=LastWords())}, "examples: shown learns from"),
        ({"method": "longest", "systems": ("longest",), "settings": {"samples": 5}}, "no parameter 'samples'"),
    ],
)
def test_a_method_that_does_not_fit_is_refused_with_those_that_do(changes: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        ranked(**{"settings": {}, **changes})


def unseen(folder: Path, *arguments: str, code: int = 0) -> Any:
    done = processes.run(
        [sys.executable, "-m", "unseen.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done


def test_the_command_writes_page_run_and_ranker_and_a_fresh_process_uses_it(tmp_path: Path) -> None:
    documents = corpus()
    rows = [json.dumps({"_id": i, "text": text}) for i, text in zip(documents.ids, documents.x)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    (tmp_path / "queries.txt").write_text("owl by the river\ncat number5\n")
    unseen(
        tmp_path, "rank", "corpus.jsonl", "queries.txt", "--with", "bm25", "--run", "run.trec", "--model", "m",
        "--k", "3",
    )  # fmt: skip
    assert (tmp_path / "ranking.html").exists()
    lines = (tmp_path / "run.trec").read_text().splitlines()
    assert lines[0].split()[:2] == ["1", "Q0"]
    assert len(lines) == 6
    (tmp_path / "new.txt").write_text("fox in the meadow\n")
    done = unseen(tmp_path, "rank", "new.txt", "--model", "m", "--run", "new.csv", "--k", "2")
    assert "holds the first 2 of 80 documents, for 1 query" in done.stderr
    assert len((tmp_path / "new.csv").read_text().splitlines()) == 3
    done = in_process.unseen(tmp_path, "rank", "new.txt", "--model", "m", "--run", "new.csv", code=0)
    assert "holds all 80 documents that were found, for 1 query" in done.stderr
    (tmp_path / "none.txt").write_text("xyzzy\nfox\n")
    done = in_process.unseen(tmp_path, "rank", "none.txt", "--model", "m", code=0)
    assert done.stdout.splitlines()[:3] == ["xyzzy", "  nothing was found: no document has a word of it", "fox"]


def test_judgements_are_told_without_asking_and_nothing_says_that_nothing_was_measured(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("".join(f"{text}\n" for text in corpus().x))
    (tmp_path / "q.txt").write_text("owl number2\ncat number5\n")
    (tmp_path / "qrels.txt").write_text("1 0 3 1\n2 0 6 1\n")
    done = in_process.unseen(tmp_path, "rank", "docs.txt", "q.txt", "--with", "bm25", "--qrels", "qrels.txt", code=0)
    told = " ".join(done.stdout.split())
    for words in ("on your judgements nDCG@10", "without looking at your judgements", "give bm25 1.000 nDCG@10 of 1"):
        assert words in told
    page = (tmp_path / "ranking.html").read_text()
    assert "Your judgements, opened afterwards, give bm25 1.000 nDCG@10 of 1." in page
    assert "nothing was measured" not in told + page


def test_documents_and_queries_that_are_not_read_to_their_end_are_told(caplog: pytest.LogCaptureFixture) -> None:
    class Short(type(hashed_ranker())):  # type: ignore[misc]
        """One that reads few words."""

        def cuts(self, texts: list[str]) -> list[bool]:
            return [len(text.split()) > 10 for text in texts]

    short = Short(64)
    long = corpus().replace(x=np.array([f"{text} for ever" if i < 3 else "owl" for i, text in enumerate(corpus().x)]))
    parts = Parts(encoder=HashedWords(), writer=LastWords(), ranker=short)
    told = "3 of 80 documents are longer than the context of Short; what is behind is not read"
    assert rank(long, queries(), systems=("bm25",), parts=parts).notes == ()  # it reads all
    assert rank(long, queries(), systems=("bm25", "minilm"), parts=parts).notes == (f"{told}; bm25 reads all",)
    asked = queries().replace(x=np.array(["a b c d e f g h i j k"] * 2 + ["cat"] * 10))
    result = rank(long, asked, systems=("minilm",), parts=parts)
    assert result.notes == (told, told.replace("3 of 80 documents", "2 of 12 queries"))
    assert told in caplog.text


def test_another_system_that_has_more_on_judgements_is_named() -> None:
    rows = [{"system": name, "ndcg@10": value} for name, value in (("bm25", 0.81), ("fusion", 0.792))]
    told = job.on_judgements(pd.DataFrame(rows), "fusion")
    assert told.endswith("give fusion 0.792 nDCG@10 of 1, and more to bm25, 0.810")
    assert job.on_judgements(pd.DataFrame(rows), "bm25").endswith("0.810 nDCG@10 of 1; no other has more")
    assert not job.on_judgements(pd.DataFrame(), "bm25")
    assert [job.best_on_judgements(pd.DataFrame(rows), name) for name in ("fusion", "bm25")] == ["bm25", "bm25"]
    assert job.best_on_judgements(pd.DataFrame(), "fusion") == "fusion"


def test_blank_lines_are_counted_and_documents_are_called_by_their_lines(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("\n\nthe owl\n\nthe cat\nthe fox\nthe eel\n")
    (tmp_path / "q.txt").write_text("\nowl\n")
    (tmp_path / "qrels.txt").write_text("2 0 3 1\n")  # as an editor numbers the lines
    given = ("docs.txt", "q.txt", "--with", "bm25", "--qrels", "qrels.txt", "--run", "r.trec")
    done = in_process.unseen(tmp_path, "rank", *given, code=0)
    assert "docs.txt: 3 lines have no letter, digit or sign" in done.stderr
    assert "q.txt: 1 line has no letter, digit or sign" in done.stderr
    assert (tmp_path / "r.trec").read_text().split()[:3] == ["2", "Q0", "3"]
    assert "give bm25 1.000 nDCG@10" in done.stdout


def test_empty_rows_and_judgements_that_nobody_asks_are_told(tmp_path: Path) -> None:
    (tmp_path / "docs.csv").write_text("id,text\na,the owl\nb,\nc,the cat\nd,  \n")
    (tmp_path / "q.csv").write_text("id,query\n1,owl\n2,\n")
    (tmp_path / "qrels.txt").write_text("1 0 a 1\n1 0 b 1\n9 0 a 1\n8 0 c 1\n")
    given = ("docs.csv", "q.csv", "--with", "bm25", "--qrels", "qrels.txt", "--run", "r.trec")
    done = in_process.unseen(tmp_path, "rank", *given, code=0)
    assert "docs.csv: 2 of 4 documents are left out, without a letter, digit or sign: b, d" in done.stderr
    assert "q.csv: 1 of 2 queries is left out, without a letter, digit or sign: 2" in done.stderr
    assert "qrels.txt: 2 judgements are of queries that are not asked, such as '9'" in done.stderr
    assert "qrels.txt: 1 judgement is of documents that were left out, such as 'b'" in done.stderr
    assert [line.split()[:3] for line in (tmp_path / "r.trec").read_text().splitlines()] == [["1", "Q0", "a"]]
    assert "3 left out, without a letter, digit or sign" in (tmp_path / "ranking.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("missing.csv", "q.txt"), "does not exist"),
        (("q.txt", "q.txt", "--with", "google"), "--with must be"),
        (("q.txt", "q.txt", "--out", "no/where.html"), "there is no folder"),
        (("q.txt", "q.txt", "--set", "samples=3"), "say --samples"),
        (("q.txt",), "queries: name a file of them"),
        (("q.txt", "--model", "typo"), "there is none in 'typo'"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "q.csv").write_text("text\none\ntwo\n")
    done = in_process.unseen(
        tmp_path, "rank", *(a.replace("q.txt", "q.csv") if i == 0 else a for i, a in enumerate(arguments)), code=1
    )
    assert told in done.stderr
    assert "Traceback" not in done.stderr
