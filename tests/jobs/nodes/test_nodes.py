"""`unseen nodes`: a graph from files to classes, in the library and through a real process."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer.testing

import in_process
import pages
import processes
from unseen import encoders
from unseen.cli import app
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.text_graph import read_links
from unseen.data.pairs import Pairs
from unseen.data.text_graphs import Neighbourhoods, TextAttributedGraph
from unseen.jobs import saved_model
from unseen.jobs.nodes import job
from unseen.jobs.nodes.grading import chosen_of, table_of_nodes
from unseen.jobs.nodes.job import Sampling, classify_nodes, noted
from unseen.jobs.nodes.learner import subgraph_encoders
from unseen.jobs.nodes.links import hidden_edges
from unseen.methods.base import Card
from unseen.methods.subgraph_encoders import SubgraphEncoder

SETTINGS = {"hidden": 16, "layers": 1, "heads": 2, "positions": 4, "position_width": 4, "epochs": 3, "batch_size": 16}
WORDS = {"music": "song tune melody concert", "sea": "ship wave harbour fish", "law": "court judge trial statute"}


class Words:
    """A text encoder of a few words; the name of a kind stands for all of its words."""

    known = tuple(word for words in WORDS.values() for word in words.split())

    def encode(self, domain: Domain, precision: str) -> Domain:
        said = [
            " ".join(WORDS.get(word, word) for word in re.findall(r"\w+", text)).split() for text in domain.x.tolist()
        ]
        x = np.array([[words.count(word) + 0.01 for word in self.known] for words in said])
        return Domain(x=(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))


@pytest.fixture(autouse=True)
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "get", lambda name: Words())


def world(n: int = 60, seed: int = 0) -> TextAttributedGraph:
    """Nodes of three kinds, linked within their kind; every tenth says nothing."""
    rng = np.random.default_rng(seed)
    names = tuple(WORDS)
    y = np.arange(n) % 3
    texts = [" ".join(rng.choice(WORDS[names[c]].split(), 3)) if i % 10 else "" for i, c in enumerate(y)]
    edges = [(i, int(rng.choice(np.flatnonzero(y == y[i])))) for i in range(n) for _ in range(3)]
    return TextAttributedGraph(
        texts=np.array(texts), names=np.array([f"n{i}" for i in range(n)]), edges=np.array(edges), labels=y,
        classes=ClassSpace(names=names), name="world",
    )  # fmt: skip


def run(**changes: object) -> job.NodesRun:
    given = {"graph": world(), "classes": list(WORDS), "settings": SETTINGS, "sampling": Sampling(steps=8), **changes}
    return classify_nodes(**given)  # type: ignore[arg-type]


def test_vectors_of_nodes_are_a_side_of_pairs(tmp_path: Path) -> None:
    from unseen.jobs.alignment.reading import read

    graph = world()
    silent = TextAttributedGraph(
        texts=np.array([*graph.texts.tolist(), ""]), names=np.array([*graph.names.tolist(), "hermit"]),
        edges=graph.edges, name="world",
    )  # fmt: skip
    found = run(graph=silent, out=tmp_path / "run", vectors=True)
    vectors = np.load(tmp_path / "run" / "vectors.npy")
    np.testing.assert_array_equal(vectors, found.vectors)
    np.testing.assert_allclose(np.linalg.norm(vectors[:60], axis=1), 1, atol=1e-5)
    assert np.isnan(vectors[60]).all()
    texts = "\n".join(["text", *(f"what is said of {name}" for name in silent.names.tolist())])
    (tmp_path / "captions.csv").write_text(texts + "\n")
    taken = read([tmp_path / "run" / "vectors.npy", tmp_path / "captions.csv"])
    assert (len(taken.pairs), taken.lacking) == (60, 1)
    assert str(taken.pairs.right.x[59]) == "what is said of n59"
    assert run().vectors is None


def test_vectors_are_those_whose_classes_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "chosen_of", lambda scores, graph, support: "own text")
    vectors = run(vectors=True).vectors
    assert vectors is not None
    silent = np.array([not text for text in world().texts.tolist()])
    assert np.isnan(vectors[silent]).all()
    texts = Words().encode(Domain(x=world().texts[~silent], kind="text"), "fp32").x
    np.testing.assert_allclose(vectors[~silent], texts, atol=1e-6)


def test_nodes_get_classes_and_labels_are_not_learnt_from(tmp_path: Path) -> None:
    lines: list[str] = []
    found = run(out=tmp_path / "run", say=lines.append, links=[("n1", "n4"), ("n1", "n2")], check_links=True)
    assert found.table.columns.tolist() == ["node", "class", "probability", "by_text", "neighbours"]
    assert (found.table.by_text == "").sum() == 6
    assert set(found.results["graded"]) == {"graphclip", "own text", "neighbours", "own and neighbours"}
    assert found.results["graded"]["neighbours"]["accuracy"] > 0.8
    assert found.links is not None
    assert len(found.links) == 2
    assert set(found.results["links"]) == {"graphclip", "own text", "own and neighbours", "common neighbours"}
    assert not any("np.str_" in line for line in lines)
    assert any("labelled nodes right" in line for line in lines)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "nodes.csv", "links.csv", "results.json", "model", "reading.json", "summaries.jsonl", "report.html"
    }  # fmt: skip
    json.loads((tmp_path / "run/results.json").read_text())
    bare = run(graph=world().replace(labels=None, classes=None))
    assert bare.table["class"].tolist() == found.table["class"].tolist()
    assert bare.results["graded"] == {}


def test_what_classes_lack_and_what_is_not_read_of_texts_is_said_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(Words):
        name = "short"

        def cuts(self, texts: list[str]) -> list[bool]:
            return ["concert" in text for text in texts]

        def unspelt(self, texts: list[str]) -> list[bool]:
            return ["fish" in text for text in texts]

    monkeypatch.setattr(encoders, "get", lambda name: Short())
    said: list[str] = []
    graph, told = world(), dict(zip(WORDS, ("songs in a concert hall", "", "courts")))
    found = run(
        graph=graph, say=said.append, out=tmp_path / "run",
        classes=ClassSpace(names=tuple(told), descriptions=tuple(told.values())),
    )  # fmt: skip
    texts = graph.texts.tolist()
    concert, fish = (sum(word in text for text in texts) for word in ("concert", "fish"))
    assert found.results["notes"] == [
        "classes: 1 of 3 classes, such as 'sea', have no description: the name stands for it",
        "1 of 3 classes are longer than the context of short; what is behind is not read",
        f"{concert} of 54 texts of nodes are longer than the context of short; what is behind is not read",
        *(line for line in said if line.startswith(f"{fish} of 54 texts of nodes") and "does not know" in line),
    ]
    assert len(found.results["notes"]) == 4
    assert set(found.results["notes"]) <= set(said)
    assert json.loads((tmp_path / "run/results.json").read_text())["notes"] == found.results["notes"]
    monkeypatch.setattr(encoders, "get", lambda name: Words())
    assert run().results["notes"] == []


def test_nodes_without_a_neighbour_are_counted_and_one_is_named() -> None:
    names = ("a", "b", "c", "d")
    edges = np.array([[0, 1]])
    graph = TextAttributedGraph(texts=np.array(["x", "y", "z", "w"]), edges=edges, names=np.array(names))
    tower: Any = Words()
    assert noted(ClassSpace(names=("x", "y")), graph, tower)[-1] == "nodes without a neighbour: 2, such as c"
    whole = dataclasses.replace(graph, edges=np.array([[0, 1], [2, 3]]))
    assert not any("neighbour" in line for line in noted(ClassSpace(names=("x", "y")), whole, tower))


def test_a_saved_model_names_another_graph_and_learns_nothing(tmp_path: Path) -> None:
    first = run(out=tmp_path / "run")
    learnt = (tmp_path / "run/summaries.jsonl").read_text()
    for place in ("run", "run/model"):  # its own folder is written again, and keeps what it learnt from
        classify_nodes(world(), list(WORDS), model=tmp_path / place, out=tmp_path / "run")
        assert (tmp_path / "run/summaries.jsonl").read_text() == learnt
    again = classify_nodes(world(), list(WORDS), model=tmp_path / "run")
    assert again.results["sampling"] == {"method": "walk", "steps": 8, "restart": 0.5, "k": 2, "most": 64}
    assert again.table.equals(first.table)
    other = classify_nodes(world(), list(WORDS), model=tmp_path / "run/model", sampling=Sampling(method="hops"))
    assert other.results["sampling"]["method"] == "hops"
    with pytest.raises(ValueError, match="encoder must be 'minilm', of which the model learnt; got 'other'"):
        classify_nodes(world(), list(WORDS), model=tmp_path / "run", encoder="other")
    record = json.loads((tmp_path / "run/reading.json").read_text())
    (tmp_path / "run/reading.json").write_text(json.dumps(record | {"fingerprint": "0f"}))
    with pytest.raises(ValueError, match=r"^encoder: what is called 'minilm' here has other weights"):
        classify_nodes(world(), list(WORDS), model=tmp_path / "run")
    (tmp_path / "run/reading.json").write_text("{}")
    with pytest.raises(ValueError, match=r"reading\.json is damaged"):
        classify_nodes(world(), list(WORDS), model=tmp_path / "run")
    with pytest.raises(ValueError, match="model has learnt already"):
        run(model=tmp_path / "run")


def test_a_few_labels_make_a_prompt_and_the_others_grade() -> None:
    lines: list[str] = []
    found = run(shots=4, settings={**SETTINGS, "validation": 0.0, "prompt_epochs": 5}, say=lines.append)
    assert "a prompt is learnt from all labels: too few to hold some out and see whether it helps" in lines
    assert found.results["graded"]["graphclip"]["n"] == 60 - 12
    assert "logistic regression" in found.results["graded"]
    assert found.method.prompt_.shape[0] == 1


def test_whether_a_prompt_was_taken_is_said() -> None:
    lines: list[str] = []
    learner = run(shots=8, settings={**SETTINGS, "validation": 0.5, "prompt_epochs": 5}, say=lines.append).method
    before, after = learner.prompt_scores_
    assert (len(learner.prompt_) > 0) == (after > before)
    told = "a prompt is learnt from the labels" if len(learner.prompt_) else "told no better with a prompt"
    assert sum(told in line for line in lines) == 1


def test_several_graphs_are_learnt_from_and_summaries_may_come_from_elsewhere(tmp_path: Path) -> None:
    lines: list[str] = []
    run(pretrain=[world(30, 1), world(24, 2)], say=lines.append, out=tmp_path / "run")
    assert sum("subgraphs, each with a summary" in line for line in lines) == 2
    run(pretrain=[world(30, 1)], summaries=tmp_path / "run/summaries.jsonl", say=lines.append)
    texts = (tmp_path / "run/summaries.jsonl").read_text()
    assert "music" not in texts  # the names of labels are not told
    asked: list[str] = []
    run(summarizer=lambda prompts: asked.extend(prompts) or [list(WORDS.values())[i % 3] for i in range(len(prompts))])
    assert len(asked) == 54


def test_hidden_edges_are_edges_and_the_others_are_none() -> None:
    graph = world()
    gone, wrong = hidden_edges(graph, 0.2, 0)
    there = set(map(tuple, graph.edges.tolist()))
    assert set(map(tuple, gone.tolist())) <= there
    assert not set(map(tuple, np.sort(wrong, axis=1).tolist())) & there
    assert len(wrong) == len(gone)


def line(n: int) -> TextAttributedGraph:
    return TextAttributedGraph(texts=np.array(["ship"] * n), edges=np.array([(i, i + 1) for i in range(n - 1)]))


def test_every_hidden_edge_has_a_pair_without_one_in_small_graphs_too() -> None:
    for seed in range(20):
        gone, wrong = hidden_edges(line(6), 0.1, seed)
        assert len(gone) == len(wrong) == 1
        assert (wrong[:, 0] != wrong[:, 1]).all()
        assert abs(wrong[0, 0] - wrong[0, 1]) > 1
    full = line(4).replace(edges=np.array([(a, b) for a in range(4) for b in range(a)]))
    with pytest.raises(ValueError, match="linked to every other node"):
        hidden_edges(full, 0.1, 0)


def test_edges_that_are_asked_about_are_not_learnt_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    walked: list[TextAttributedGraph] = []
    around = Sampling.around

    def noted(self: Sampling, graph: TextAttributedGraph, seeds: object, seed: int) -> Neighbourhoods:
        walked.append(graph)
        return around(self, graph, seeds, seed)

    monkeypatch.setattr(Sampling, "around", noted)
    graph = world()
    gone = set(map(tuple, hidden_edges(graph, job.HIDDEN_EDGES, 0)[0].tolist()))
    run(check_links=True, pretrain=[world(30, 1), graph], out=tmp_path / "run")
    assert len(walked[0].edges) == len(world(30, 1).edges)
    assert not gone & set(map(tuple, walked[1].edges.tolist()))
    with pytest.raises(ValueError, match="check_links hides edges before learning"):
        run(check_links=True, summaries=tmp_path / "run/summaries.jsonl")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": ["music"]}, "classes must be at least two"),
        ({"classes": None}, "classes must be at least two"),
        ({"prompts": ["about"]}, "prompts must hold"),
        ({"prompts": ["a {} of {topic}"]}, "no other field; got 'a {} of {topic}'"),
        ({"prompts": ["a {} of {}"]}, "once, and no other field"),
        ({"prompts": ["a {} {"]}, "prompts must hold"),
        ({"shots": -1}, "shots must be at least 0"),
        ({"starts": 1}, "starts at least 2"),
        ({"preset": "huge"}, "preset must be one of default, without-additions, published; got 'huge'"),
        ({"settings": {"hidden": 0}}, "hidden"),
        ({"links": [("n1", "nowhere")]}, "row 1: 'nowhere' is the name of no node"),
        ({"links": []}, "at least one pair"),
        (
            {"encoder": "efficientnet-lite0"},
            "encoder must read texts, as minilm does; efficientnet-lite0 reads pictures",
        ),
        ({"graph": "unread", "pretrain": ["nosuch.npz"]}, "pretrain: path 'nosuch.npz' does not exist"),
        ({"graph": "unread", "pretrain": [("nosuch.csv", "no.csv")]}, "pretrain: path 'nosuch.csv' does not exist"),
        ({"graph": "unread", "summaries": "nosuch.jsonl"}, "summaries: path 'nosuch.jsonl' does not exist"),
        ({"model": "nosuch", "settings": None}, "model must be a folder .* there is no folder 'nosuch'"),
        ({"graph": world().replace(labels=None, classes=None), "shots": 2}, "shots needs labels"),
        ({"classes": ["sea", "law", "music"]}, "classes of the graph"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], told: str
) -> None:
    monkeypatch.setattr(Sampling, "around", lambda *_: pytest.fail("subgraphs were taken"))
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        run(**changes)
    with pytest.raises(ValueError, match="subgraphs must be walk or hops"):
        Sampling(method="jump")


def test_where_labels_are_fewer_than_shots_that_is_said_and_kept() -> None:
    lines: list[str] = []
    graph = world(30)
    kept = np.asarray(graph.labels).copy()
    kept[6::3] = -1
    results = run(graph=graph.replace(labels=kept), shots=4, say=lines.append).results
    told = "fewer than 4 nodes have the label of 1 of 3 classes, all are taken: music 2"
    assert told in lines
    assert results["shots"] == 4
    assert results["shots_taken"] == {"music": 2, "sea": 4, "law": 4}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.csv", "source,target\nn1,n4\nn1,n2\n"), ("a.csv", "from,to,score,text\nn1,n4,0.2,0.1\nn1,n2,0.1,0.3\n"),
        ("a.tsv", "Source\tTarget\nn1\tn4\nn1\tn2\n"), ("a.txt", "source\ttarget\nn1\tn4\nn1\tn2\n"),
        ("a.csv", "n1,n4\nn1,n2\n"), ("a.tsv", "n1\tn4\nn1\tn2\n"), ("a.csv", "head,relation\nn1,n4\nn1,n2\n"),
    ],
)  # fmt: skip
def test_links_are_read_with_the_headers_of_edges_or_without_one(tmp_path: Path, name: str, lines: str) -> None:
    (tmp_path / name).write_text(lines)
    assert read_links(tmp_path / name) == [("n1", "n4"), ("n1", "n2")]


def test_links_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n1,n4,n5\n")
    with pytest.raises(ValueError, match=r"a\.csv.*got 3 entries"):
        read_links(tmp_path / "a.csv")
    (tmp_path / "a.jsonl").write_text('{"a": "n1", "b": "n4"}\n')
    with pytest.raises(ValueError, match="there are no columns source and target"):
        read_links(tmp_path / "a.jsonl")


def tables(place: Path) -> tuple[Path, Path]:
    """Nodes with labels, and edges."""
    graph = world(30)
    rows = [f"{name},{text},{tuple(WORDS)[c]}" for name, text, c in zip(graph.names, graph.texts, graph.labels)]  # type: ignore[arg-type]
    (place / "nodes.csv").write_text("\n".join(["id,text,label", *rows]) + "\n")
    pairs = [f"{graph.names[a]},{graph.names[b]}" for a, b in graph.edges]
    (place / "edges.csv").write_text("\n".join(["source,target", *pairs]) + "\n")
    return place / "nodes.csv", place / "edges.csv"


def test_the_command_reads_tables_and_writes_a_table(tmp_path: Path) -> None:
    graph = world(30)
    tables(tmp_path)
    order = [
        sys.executable, "-m", "unseen.cli", "nodes", "nodes.csv", "--edges", "edges.csv", "--classes", "music,sea,law",
        "--out", "run", "--steps", "6", "--links", "edges.csv",
        *(part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")),
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(Path(job.__file__).parents[3])}
    done = processes.run(order, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "labelled nodes right" in done.stdout + done.stderr
    assert len((tmp_path / "run/nodes.csv").read_text().splitlines()) == 31
    assert len((tmp_path / "run/links.csv").read_text().splitlines()) == 1 + len(graph.edges)
    wrong = processes.run([*order[:4], "nodes.csv"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert wrong.returncode == 1
    assert "classes is needed" in wrong.stderr


class Roots(SubgraphEncoder):
    """Another package's method: the root and some of its mean neighbour."""

    card = Card(
        slug="roots", title="Roots", venue="", summary="Add neighbours.", unseen={"classes"},
        modalities={"features", "node"}, protocols={"closed"},
    )  # fmt: skip

    share: float = 0.5

    def fit(self, *, pairs: Pairs) -> Roots:
        self.answers_ = torch.nn.functional.normalize(torch.as_tensor(pairs.right.x), dim=1)
        self.scale_ = 20.0
        return self

    def transform(self, x: Any) -> torch.Tensor:
        sums = np.zeros((len(x.roots), x.x.shape[1]), dtype=np.float32)
        np.add.at(sums, x.graph, x.x)
        z = torch.as_tensor(x.x[x.roots] + self.share * sums)
        return torch.nn.functional.normalize(z, dim=1)


def test_a_method_of_another_package_names_nodes_by_its_card_alone(
    tmp_path: Path, install: Callable[..., None]
) -> None:
    install("methods", roots=Roots)
    assert subgraph_encoders() == ("graphclip", "roots")
    nodes, edges = tables(tmp_path)
    given = ["nodes", str(nodes), "--edges", str(edges), "--classes", "music,sea,law", "--steps", "8"]
    out = ["--out", str(tmp_path / "run"), "--check-links", "--links", str(edges)]
    first = typer.testing.CliRunner().invoke(app, [*given, *out, "--method", "roots", "--set", "share=1.0"])
    assert first.exit_code == 0, first.output
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert (results["method"], next(iter(results["graded"])), next(iter(results["links"]))) == ("roots",) * 3
    assert results["graded"]["roots"]["accuracy"] > 0.8
    table = (tmp_path / "run/nodes.csv").read_text()
    again = typer.testing.CliRunner().invoke(
        app, [*given, "--model", str(tmp_path / "run"), "--out", str(tmp_path / "again")]
    )
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again/nodes.csv").read_text() == table
    found = saved_model(tmp_path / "run")
    assert found is not None
    assert found[0].what == "a model of the nodes of a graph"
    lines: list[str] = []
    kept = classify_nodes(world(), list(WORDS), model=tmp_path / "run", shots=2, say=lines.append)
    assert isinstance(kept.method, Roots)
    assert kept.method.share == 1.0
    assert "logistic regression" in kept.results["graded"]
    assert "roots reads no labels: they are for the logistic regression beside it" in lines
    with pytest.raises(ValueError, match=r"method must be left out beside .* which holds roots; got 'graphclip'"):
        classify_nodes(world(), list(WORDS), model=tmp_path / "run", method="graphclip")
    for change, why in (
        ({"method": "roots", "preset": "published"}, "preset must be one of default; got 'published'"),
        ({"method": "coral"}, "^method must be one of graphclip, roots; got 'coral'$"),
        ({"method": "genecis"}, "^method must be one of graphclip, roots; got 'genecis'$"),
    ):
        with pytest.raises(ValueError, match=why):
            run(**{"settings": None, **change})


def test_a_folder_of_another_method_is_no_model_of_nodes(tmp_path: Path) -> None:
    from unseen.methods import get

    get("coral")().save(tmp_path / "model")
    with pytest.raises(ValueError, match="a saved 'coral', which encodes no subgraphs"):
        classify_nodes(world(), list(WORDS), model=tmp_path)
    assert saved_model(tmp_path) is None


# -- whose classes are written -----------------------------------------------------------------------------


def test_a_simple_arm_is_taken_if_it_is_surely_right_on_more() -> None:
    graph, none = world(), np.empty(0, dtype=np.int64)
    truth = np.eye(3, dtype=np.float32)[graph.labels]
    wrong = np.roll(truth, 1, axis=1)

    def first(right: int) -> np.ndarray:
        return np.concatenate([truth[:right], wrong[right:]])

    assert chosen_of({"graphclip": first(30), "own text": truth}, graph, none) == "own text"
    assert chosen_of({"graphclip": first(57), "own text": truth}, graph, none) == "graphclip"  # 3 of 60 more
    assert chosen_of({"graphclip": truth, "own text": truth}, graph, none) == "graphclip"
    learnt = np.arange(57)
    assert chosen_of({"graphclip": first(0), "own text": truth}, graph, learnt) == "graphclip"  # three labels grade
    assert chosen_of({"graphclip": wrong, "own text": truth}, graph.replace(labels=None), none) == "graphclip"


def test_the_table_has_the_classes_of_the_arm_that_was_taken() -> None:
    found = run()
    graded = {name: figures["accuracy"] for name, figures in found.results["graded"].items()}
    truth = np.array(list(WORDS))[world().labels]
    assert (found.table["class"].to_numpy() == truth).mean() == pytest.approx(graded[found.results["chosen"]])
    assert (found.table.by_text == "").any()
    assert (found.table.by_text.to_numpy() == truth).mean() == pytest.approx(graded["own text"])


def test_scores_that_say_nothing_of_a_node_give_it_no_class() -> None:
    graph, none = world(), np.empty(0, dtype=np.int64)
    truth = np.eye(3, dtype=np.float32)[graph.labels]
    guess = np.where((graph.labels == 0)[:, None], np.float32(0), truth)  # the first class by the order of classes
    wrong_on_the_first = np.where((graph.labels == 0)[:, None], np.roll(truth, 1, axis=1), truth)
    assert chosen_of({"graphclip": wrong_on_the_first, "own text": guess}, graph, none) == "graphclip"
    assert graph.classes is not None
    table = table_of_nodes(graph, graph.classes, guess, truth)
    assert (table["class"] == "").tolist() == (graph.labels == 0).tolist()


def test_a_node_without_text_and_neighbours_gets_no_class_of_any_arm() -> None:
    graph = world()
    alone = 20  # says nothing, as every tenth
    graph = graph.replace(edges=graph.edges[(graph.edges != alone).all(axis=1)])
    lines: list[str] = []
    found = run(graph=graph, shots=2, say=lines.append)
    assert found.table["class"].to_numpy()[alone] == ""
    assert (found.table["class"] == "").sum() == 1
    assert any(line.endswith("which get no class: 1, such as n20") for line in lines)


# -- the page ------------------------------------------------------------------------------------------------


def test_the_page_has_the_figures_of_the_results_and_the_nodes_that_are_wrong(tmp_path: Path) -> None:
    graph = world()
    run(out=tmp_path / "run", links=[("n1", "n4")], check_links=True, command="unseen nodes world.npz")
    said = pages.text_of(tmp_path / "run/report.html")
    results = json.loads((tmp_path / "run/results.json").read_text())
    chosen = results["graded"][results["chosen"]]
    assert f"{100 * chosen['accuracy']:.0f} % of 60 labelled nodes get the right class" in said
    for name, row in results["graded"].items():
        low, high = row["interval"]
        assert low < row["accuracy"] < high or row["accuracy"] in (0, 1)
        figures = f"{100 * row['accuracy']:.1f} {100 * low:.1f} to {100 * high:.1f} {row['macro_f1']:.3f}"
        assert re.search(rf"{re.escape(name)} [a-z' ]+ {re.escape(figures)}", said), name
    for name, area in results["links"].items():
        assert re.search(rf"{re.escape(name)} [a-z', ]+ {area:.3f}", said), name
    table = pd.read_csv(tmp_path / "run/nodes.csv", keep_default_na=False)
    truth = np.array(tuple(WORDS))[graph.labels]
    wrong = table[table["class"] != truth]
    assert f"{min(len(wrong), 20)} of {len(wrong)}" in said
    for name, row in results["by_class"].items():
        assert row["named"] == (table["class"] == name).sum()
        assert row["labelled"] == 20
        assert row["right"] == ((table["class"] == name) & (truth == name)).sum()
        assert f"{name} {row['named']} 20 {100 * row['right'] / 20:.1f}" in said
    assert "unseen nodes world.npz" in said


def test_a_page_without_labels_says_that_nobody_knows_and_shows_some_of_each_class(tmp_path: Path) -> None:
    found = run(graph=world().replace(labels=None, classes=None), out=tmp_path / "run")
    said = pages.text_of(tmp_path / "run/report.html")
    assert "nobody knows how often this is right" in said
    assert "labelled nodes" not in said
    shown = said.partition("Some nodes of each class")[2].partition("nodes.csv has all")[0]
    for name in found.table["class"].unique():
        assert name in shown


BAD = "</script><script>alert(1)</script>"


def hostile(folder: Path) -> Path:
    """The page of a graph whose names and texts are marks, and long."""
    graph, bad = world(), f"{BAD}{'w' * 90}"
    names = [f"{bad}{i}" for i in range(len(graph))]
    texts = [f"{text} {bad}" for text in graph.texts.tolist()]
    classes = [f"{bad} {name}" for name in WORDS]
    run(
        graph=TextAttributedGraph(
            texts=np.array(texts), names=np.array(names), edges=graph.edges, labels=(graph.labels + 1) % 3,
            classes=ClassSpace(names=tuple(classes)), name=bad,
        ),
        classes=classes, links=[(names[0], names[1])], out=folder / "run", command=f"unseen nodes '{bad}'",
    )  # fmt: skip
    return folder / "run/report.html"


def test_names_and_texts_of_nodes_are_text_in_the_page(tmp_path: Path) -> None:
    page = hostile(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count(html.escape(BAD)) > 20


@pytest.mark.browser
def test_the_page_opens_offline_without_a_word_and_fits(browser: Any, tmp_path: Path) -> None:
    pages.check_in_browser(browser, hostile(tmp_path))


def test_the_command_writes_a_page_beside_the_table_and_says_where(tmp_path: Path) -> None:
    tables(tmp_path)
    done = in_process.unseen(
        tmp_path, "nodes", "nodes.csv", "--edges", "edges.csv", "--classes", "music,sea,law", "--out", "run",
        "--steps", "6", *(part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")), code=0,
    )  # fmt: skip
    assert "run holds report.html, nodes.csv" in done.stderr + done.stdout
    assert "unseen nodes nodes.csv --edges edges.csv --classes music,sea,law" in pages.text_of(
        tmp_path / "run/report.html"
    )
