"""`unseen complete`: queries of relations that no triple has shown, in the library and through a real process."""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
import torch

import in_process
import pages
import processes
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.jobs.completion.job import Completion, complete, read_graph, tail_rankers
from unseen.jobs.completion.page import write_page
from unseen.methods.base import Card
from unseen.methods.tails import TailRanker
from unseen.methods.verbs import gives

KINDS = ("person", "place", "thing", "time")
QUICK: dict[str, Any] = {
    "dim": 8, "negatives": 4, "structure_steps": 4, "text_epochs": 1, "entity_dim": 8, "entity_steps": 4, "feature": 8,
    "pair_steps": 2, "hidden": 8, "steps": 2, "support_pairs": 4, "query_pairs": 4, "pairs_per_relation": 4,
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Entities of four kinds, a relation from each kind to each other, and a schema; one relation has no triple."""
    rng = np.random.default_rng(0)
    rows, schema = [], []
    for a in KINDS:
        for b in KINDS:
            if a == b:
                continue
            name = f"{a}_to_{b}"
            schema += [(name, "domain", a), (name, "range", b), (name, "label", f"from a {a} to a {b}")]
            if name != "person_to_time":
                rows += [(f"{a}{i}", name, f"{b}{j}") for i in range(5) for j in rng.choice(5, 2, replace=False)]
    write(tmp_path / "graph.tsv", rows)
    write(tmp_path / "schema.tsv", schema)
    write(
        tmp_path / "queries.tsv", [("head", "relation"), ("person0", "person_to_time"), ("person3", "person_to_time")]
    )
    return tmp_path


def write(file: Path, rows: list[tuple[str, ...]]) -> None:
    file.write_text("".join("\t".join(row) + "\n" for row in rows))


def job(files: Path, **changes: Any) -> Any:
    names = {"triples": "graph.tsv", "ontology": "schema.tsv", "queries": "queries.tsv"}
    given = {key: files / name for key, name in names.items()} | {"methods": ["ontozsl"], **QUICK} | changes
    return complete(**given)


def test_tails_are_ranked_and_known_ones_are_left_out(files: Path) -> None:
    told: list[str] = []
    found = job(files, top=4, say=told.append)
    assert list(found.table.columns) == ["head", "relation", "rank", "tail", "score"]
    assert found.table["rank"].tolist() == [1, 2, 3, 4] * 2
    assert set(found.table["head"]) == {"person0", "person3"}
    assert (found.table.groupby("head").score.diff().dropna() <= 0).all()
    figures = {"mrr", "hits@1", "hits@5", "hits@10"}
    assert set(found.check) == {*figures, "methods", "random mrr", "frequent mrr", "relations", "by relation"}
    assert found.check["methods"] == {"ontozsl": found.check["mrr"]}
    assert found.check["random mrr"] == pytest.approx(
        np.mean(1 / np.arange(1, 20))
    )  # 20 entities less another true tail
    rows = found.check["by relation"]
    assert list(rows) == found.check["relations"]
    weights = np.array([row["triples"] for row in rows.values()])
    for name in (*figures, "frequent mrr"):
        assert np.average([row[name] for row in rows.values()], weights=weights) == pytest.approx(found.check[name])
    assert any("2 queries, of 1 relation, 1 without a triple" in line for line in told)
    assert any("have an MRR of" in line for line in told)
    assert any("check: learning from 8 of 11 relations first" in line for line in told)
    assert any("learning from all 11 relations" in line for line in told)
    queries = [("person0", "person_to_time"), ("person0", "person_to_place")]
    both = job(files, queries=queries, top=99, check=False)
    own = both.table[both.table.relation == "person_to_place"]
    graph = read_graph(files / "graph.tsv")
    wanted = graph.places["person0"], graph.relations.index("person_to_place")
    true = {graph.entities[t] for h, r, t in graph.triples.tolist() if (h, r) == wanted}
    assert len(true) == 2
    assert len(own) == 20 - 2
    assert not true & set(own["tail"])
    assert both.check is None


def test_queries_whose_tails_are_all_known_are_counted_and_told(files: Path) -> None:
    rows = [tuple(line.split("\t")) for line in (files / "graph.tsv").read_text().splitlines()]
    everything = sorted({entity for row in rows for entity in row[::2]})
    write(files / "graph.tsv", [*rows, *(("person0", "person_to_place", entity) for entity in everything)])
    queries = [("person0", "person_to_place"), ("person0", "person_to_time"), ("person0", "person_to_place")]
    told: list[str] = []
    names: Any = files / "graph.tsv", files / "schema.tsv"
    found = complete(*names, queries, methods=["nearest-relation"], check=False, say=told.append)
    assert found.nothing_left == (("person0", "person_to_place"),)
    assert "1 query has no tail, as the graph has all that there are: person0 person_to_place" in told
    write_page(found, files / "page.html")
    assert "1 more query has no other tail." in (files / "page.html").read_text()
    assert complete(*names, queries[1:2], methods=["nearest-relation"], check=False).nothing_left == ()


def test_queries_in_parts_are_ranked_alike(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.jobs.completion import job as completion

    queries = [(f"person{i}", "person_to_time") for i in (3, 0, 4, 1, 2)]
    whole = job(files, queries=queries, top=5)
    monkeypatch.setattr(completion, "AT_ONCE", 2)
    parts = job(files, queries=queries, top=5)
    pd.testing.assert_frame_equal(whole.table, parts.table)
    assert whole.check == parts.check


def test_vectors_of_pykeen_may_stand_in(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pykeen", reason="other vectors need pykeen")
    from unseen.encoders import graph
    from unseen.jobs.completion import job as completion

    asked = []

    def short(triples: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        asked.append(len(triples))
        return graph_vectors(triples, *args, **kwargs, epochs=1)

    graph_vectors = graph.entity_vectors
    monkeypatch.setattr(graph, "entity_vectors", short)
    monkeypatch.setattr(completion, "pretend_unseen", lambda *args, **kwargs: [np.array([0, 4])])
    found = job(files, vectors="DistMult")
    assert found.method.pairs_.entities.shape == (20, 64)
    assert asked == [90, 110]  # what is held out is not in the vectors that are checked


def test_entities_of_held_out_relations_alone_do_not_compete_in_the_check(files: Path) -> None:
    rows = [line.split("\t") for line in (files / "graph.tsv").read_text().splitlines()]
    held = job(files, check=True).check["relations"]
    write(files / "graph.tsv", [*map(tuple, rows), ("person0", held[0], "zz new"), ("person1", held[0], "aa new")])
    told: list[str] = []
    found = job(files, say=told.append)
    assert found.check["random mrr"] == pytest.approx(np.mean(1 / np.arange(1, 20)))
    assert any(f"the {10 * len(held)} true tails of" in line for line in told)


def test_what_is_wrong_is_named(files: Path) -> None:
    with pytest.raises(ValueError, match="row 1: 'nobody' is no entity of the graph, which has 20"):
        job(files, queries=[("nobody", "person_to_time")])
    with pytest.raises(ValueError, match=r"^ontology '.*schema\.tsv': relation 'flies_to' is no concept of"):
        job(files, queries=[("person0", "flies_to")])
    with pytest.raises(ValueError, match="must name a relation that has no triple"):
        job(files, queries=[("person0", "person_to_place")])
    with pytest.raises(ValueError, match="at least one pair of head and relation"):
        job(files, queries=[])
    with pytest.raises(ValueError, match="top must be at least 1"):
        job(files, top=0)
    with pytest.raises(ValueError, match="steps must be"):
        complete("there is no file", "there is no file", [("a", "b")], methods=["ontozsl"], steps=0)
    write(files / "one.tsv", [("x", "a_to_b", "y"), ("z", "a_to_b", "y")])
    with pytest.raises(ValueError, match="triples must be of two relations at least; they are of a_to_b"):
        job(files, triples=files / "one.tsv")
    with pytest.raises(ValueError, match=r"some of .*nearest-relation.*; got 'shot'"):
        job(files, methods=["shot"])
    with pytest.raises(ValueError, match="must be one if it is given settings"):
        job(files, methods=["nearest-relation", "ontozsl"])
    with pytest.raises(ValueError, match="vectors: nearest-relation reads no vectors of entities"):
        complete("no file", "no file", [("a", "b")], methods=["nearest-relation"], vectors="DistMult")


def test_of_several_methods_the_one_answers_that_ranks_held_out_tails_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.jobs.completion import job as completion

    fit = completion._fit

    def hardly_trained(slug: str, *args: Any) -> Any:
        return fit(slug, *args[:-1], args[-1] | (QUICK if slug == "ontozsl" else {}))

    monkeypatch.setattr(completion, "_fit", hardly_trained)
    rng = np.random.default_rng(0)
    things = ("book", "town", "dish", "song")
    doing = [f"{verb} a {thing}" for thing in things for verb in ("likes", "describes", "remembers", "forgets")]
    rows = [
        (f"person{i}", name, f"{name.split()[-1]}{j}")
        for name in doing
        for i in range(6)
        for j in rng.choice(6, 2, replace=False)
    ]
    write(tmp_path / "graph.tsv", rows)
    write(tmp_path / "schema.tsv", [(name, "domain", "person") for name in (*doing, "mentions a book")])
    given = (tmp_path / "graph.tsv", tmp_path / "schema.tsv", [("person0", "mentions a book")])
    found = complete(*given)
    assert found.method.card.slug == "nearest-relation"
    assert found.check["methods"]["nearest-relation"] == found.check["mrr"] > found.check["methods"]["ontozsl"]
    assert found.check["mrr"] > 2 * found.check["frequent mrr"]
    assert set(found.table[found.table["rank"] <= 5]["tail"].str[:4]) == {"book"}
    found = complete(*given, methods=["ontozsl"], check=False, top=1, **QUICK)
    assert found.method.card.slug == "ontozsl"


def test_without_a_check_the_first_method_answers_as_before(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.jobs.completion import job as completion

    assert completion.DEFAULT[0] == "ontozsl"
    assert set(completion.tail_rankers()) == {"nearest-relation", "ontozsl"}
    found = complete(*(files / name for name in ("graph.tsv", "schema.tsv", "queries.tsv")), check=False,
                     methods=["nearest-relation", "ontozsl"])  # fmt: skip
    assert found.method.card.slug == "nearest-relation"
    shares = found.answered["person_to_time"]
    weights = found.method.weights_[found.relations.index("person_to_time")]
    assert next(iter(shares.values())) == pytest.approx(float(weights.max()))
    assert next(iter(shares)) == found.graph.relations.names[weights.argmax()]
    assert set(found.table["nearest relation"]) == {next(iter(shares))}


def call(folder: Path, *args: str, code: int = 0) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "unseen.cli", "complete", *args]
    done = processes.run(command, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == code, done.stderr[-2000:]
    return done.stderr + done.stdout


def here(folder: Path, *args: str, code: int = 0) -> str:
    """The same in the process of the tests, which is quicker."""
    done = in_process.unseen(folder, "complete", *args, code=code)
    return done.stderr + done.stdout


def test_the_command_writes_a_table_and_says_how_well_it_does(files: Path) -> None:
    settings = [part for key, value in QUICK.items() for part in ("--set", f"{key}={value}")]
    given = ("graph.tsv", "--ontology", "schema.tsv", "--queries", "queries.tsv", "--out", "done.csv")
    said = call(files, *given, "--top", "3", "--methods", "ontozsl", *settings)
    table = pd.read_csv(files / "done.csv")
    assert len(table) == 6
    assert "6 tails are in done.csv" in said
    assert "check: by ontozsl they have an MRR of" in said
    said = here(files, *given, "--top", "3", "--methods", "nearest-relation")
    assert "nearest-relation: learning from all 11 relations" in said
    assert re.search(r"person_to_time: answered by \w+_to_\w+ \([01]\.\d\d\)", said)


def test_help_teaches_and_mistakes_are_one_line(files: Path) -> None:
    said = here(files, "--help")
    assert "unseen complete graph.tsv --ontology schema.tsv" in said
    assert "subPropertyOf" in said
    given = ("graph.tsv", "--ontology", "schema.tsv", "--queries", "queries.tsv")
    assert "out must end in .csv" in here(files, *given, "--out", "done.txt", code=1)
    assert "there is no folder" in here(files, *given, "--out", "nowhere/done.csv", code=1)
    said = here(files, *given, "--set", "random_state=3", code=1)
    assert said.strip().splitlines() == ["unseen: --set does not take random_state; say --seed"]


# -- the page ------------------------------------------------------------------------------------------------


def quick(files: Path, **changes: Any) -> Completion:
    """The same by the method that takes no time."""
    given: dict[str, Any] = {"triples": "graph.tsv", "ontology": "schema.tsv", "queries": "queries.tsv"}
    given = {key: files / name for key, name in given.items()} | {"methods": ["nearest-relation"]} | changes
    return complete(**given)


def test_the_page_has_the_figures_of_the_check_and_the_tails_of_the_table(files: Path) -> None:
    found = quick(files)
    write_page(found, files / "page.html", table="done.csv", command="unseen complete graph.tsv")
    said = pages.text_of(files / "page.html")
    check = found.check
    assert check is not None
    shares = f"first for {100 * check['hits@1']:.0f} % of pairs, among ten for {100 * check['hits@10']:.0f} %"
    assert f"In a check, the right tail comes {shares}" in said
    assert f"MRR, the mean of 1 / place, is {check['mrr']:.3f}" in said
    assert f"{check['frequent mrr']:.3f} with the commonest tails first, {check['random mrr']:.3f} in random" in said
    for name, row in check["by relation"].items():
        figures = f"{row['mrr']:.3f} {row['frequent mrr']:.3f} {100 * row['hits@1']:.0f} {100 * row['hits@10']:.0f}"
        assert f"{name} {row['triples']} {figures}" in said
    for head in ("person0", "person3"):
        rows = found.table[found.table["head"] == head].head(5)
        tails = " ".join(f"{tail} {score:.3f}" for tail, score in zip(rows["tail"], rows["score"]))
        assert f"{head} {tails}" in said
    first, share = next(iter(found.answered["person_to_time"].items()))
    assert f"{first} ({100 * share:.0f} % of the answer)" in said
    assert "2 of 2 queries; done.csv has all" in said
    assert "unseen complete graph.tsv" in said


class Commonest(TailRanker):
    """The entities that are tails most often, whatever is asked."""

    reads_entities = False
    card = Card(
        slug="commonest", title="Commonest tails", venue="", modalities={"node"}, unseen={"classes"}, protocols={"zsl"}
    )

    def fit(self, *, source: Domain, classes: ClassSpace) -> Self:
        self.counts_ = torch.bincount(torch.as_tensor(source.x)[:, 1].long(), minlength=20).float()
        return self

    @gives("scores")
    def score_tails(self, x: Any) -> torch.Tensor:
        return self.counts_.expand(len(x), -1)


def test_a_method_of_another_package_ranks_tails_by_its_card_alone(install: Callable[..., None], files: Path) -> None:
    install("methods", commonest=Commonest)
    assert tail_rankers()[-1] == "commonest"
    found = complete(
        *(files / name for name in ("graph.tsv", "schema.tsv", "queries.tsv")),
        methods=["commonest", "nearest-relation"],
    )
    assert found.check is not None
    assert set(found.check["methods"]) == {"commonest", "nearest-relation"}
    write_page(found, files / "page.html")
    assert "commonest" in pages.text_of(files / "page.html")


def test_a_page_without_a_check_says_that_nobody_knows(files: Path) -> None:
    write_page(quick(files, check=False), files / "page.html")
    said = pages.text_of(files / "page.html")
    assert "Tails of 2 queries, ranked by nearest-relation" in said
    assert "nobody knows how often" in said
    assert "MRR" not in said


BAD = "</script><script>alert(1)</script>"


def hostile(files: Path) -> Path:
    """The page of a graph whose names are marks, and long."""
    bad = f"{BAD}{'w' * 90}"
    for name in ("graph.tsv", "schema.tsv", "queries.tsv"):
        lines = [line.split("\t") for line in (files / name).read_text().splitlines()]
        fixed = {"head", "relation", "domain", "range", "label"}
        write(files / name, [tuple(part if part in fixed else f"{part}{bad}" for part in line) for line in lines])
    write_page(quick(files), files / "page.html", table=bad, command=f"unseen complete '{bad}'")
    return files / "page.html"


def test_names_of_entities_and_relations_are_text_in_the_page(files: Path) -> None:
    page = hostile(files).read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count(html.escape(BAD)) > 10


@pytest.mark.browser
def test_the_page_opens_offline_without_a_word_and_fits(browser: Any, files: Path) -> None:
    pages.check_in_browser(browser, hostile(files))


def test_the_command_writes_a_page_where_it_is_asked_and_says_so(files: Path) -> None:
    given = ("graph.tsv", "--ontology", "schema.tsv", "--queries", "queries.tsv", "--methods", "nearest-relation")
    assert "done.html shows them" in here(files, *given, "--page", "done.html")
    assert "In a check" in pages.text_of(files / "done.html")
    assert "page must end in .html" in here(files, *given, "--page", "done.csv", code=1)
    write(files / "own.html", [("a", "b")])
    said = here(files, *given[:2], "own.html", *given[3:], "--page", "own.html", code=1)
    assert "page: 'own.html' is what is read" in said
