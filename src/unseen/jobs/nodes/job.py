"""Nodes of a graph with texts, as one job: learn from summaries, name classes, take a few labels, score links."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen import encoders
from unseen.data.class_file import class_space
from unseen.data.class_gaps import gaps
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.graph_summaries import Summarizer, write_summaries
from unseen.data.kinds import KINDS
from unseen.data.loaders.common import locate
from unseen.data.loaders.text_graph import read_graph, read_links
from unseen.data.text_graphs import Neighbourhoods, TextAttributedGraph, mean_of_neighbours, sample_subgraphs
from unseen.data.typing import IntArray
from unseen.encoders.two_tower import class_texts
from unseen.encoders.unread import unread
from unseen.files import read_json, recovered, sentence
from unseen.jobs.nodes.grading import (
    answer_in_lines,
    asked_in_parts,
    by_class,
    chosen_of,
    grades_of,
    said_by,
    scored_links,
    simple_arms,
    table_of_nodes,
    unknown,
    vectors_of,
)
from unseen.jobs.nodes.learner import Lessons, Taught, encoded, loaded, made, size_of, taught, vectors_or_zeros
from unseen.jobs.nodes.links import hidden_edges, links_checked
from unseen.methods.subgraph_encoders import SubgraphEncoder
from unseen.nn.state import refuse_foreign
from unseen.runtime import replacing_folder
from unseen.strict_json import strict_json

if TYPE_CHECKING:
    import pandas as pd

Graph = TextAttributedGraph | str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]]
"""A graph, a file of one, or a table of nodes and one of edges."""
TEMPLATES = ("this is about {}.",)
READ = "reading.json"
"""The file beside a model that says how nodes were encoded and subgraphs taken."""
DEFAULT = "graphclip"
ENCODER = "minilm"
SUMMARIES, VECTORS, PAGE = "summaries.jsonl", "vectors.npy", "report.html"
WRITTEN = ("results.json", "nodes.csv", "links.csv", "model", READ, SUMMARIES, VECTORS, PAGE)
HIDDEN_EDGES = 0.1
"""Share of the edges that is hidden where links are checked."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How subgraphs are taken.

    Attributes
    ----------
    method : {"walk", "hops"}
    steps, restart
        Of `unseen.data.text_graphs.random_walks`.
    k, most
        Of `unseen.data.text_graphs.hops`.
    """

    method: str = "walk"
    steps: int = 32
    restart: float = 0.5
    k: int = 2
    most: int = 64

    def __post_init__(self) -> None:
        if self.method not in ("walk", "hops"):
            raise ValueError(f"subgraphs must be walk or hops; got {self.method!r}")
        if self.steps < 0 or not 0 <= self.restart <= 1 or self.k < 0 or self.most < 1:
            raise ValueError(
                "steps and hops must be at least 0, restart in [0, 1] and most at least 1; got "
                f"{self.steps!r}, {self.k!r}, {self.restart!r} and {self.most!r}"
            )

    def around(self, graph: TextAttributedGraph, seeds: Any, seed: int) -> Neighbourhoods:
        """Subgraphs around nodes."""
        how = (
            {"steps": self.steps, "restart": self.restart}
            if self.method == "walk"
            else {"k": self.k, "most": self.most}
        )
        return sample_subgraphs(graph, seeds, self.method, random_state=seed, **how)


@dataclasses.dataclass(frozen=True)
class NodesRun:
    """What `classify_nodes` found.

    Attributes
    ----------
    table : DataFrame
        A row for each node: node, class, probability, by_text (the class that its own text alone gives), neighbours.
    links : DataFrame or None
        Columns source, target, score and text (the cosine of the texts alone).
    results : dict
        `graded`: accuracy, its interval and macro-F1 of each arm on nodes with labels that nobody learnt from;
        `chosen`: the arm whose classes are in the table; `by_class`: counts of each class; `links`: AUC of each arm
        on hidden edges; counts.
    method : SubgraphEncoder
    vectors : array (n, d), float32, or None
        Unit vectors of the nodes in the space of the text encoder, where they were asked for: of the arm `chosen`; NaN
        of a node of which it knows nothing.
    """

    table: pd.DataFrame
    links: pd.DataFrame | None
    results: dict[str, Any]
    method: SubgraphEncoder
    vectors: NDArray[np.float32] | None = None


def classify_nodes(
    graph: Graph,
    classes: Any,
    *,
    out: str | os.PathLike[str] | None = None,
    pretrain: Sequence[Graph] = (),
    model: str | os.PathLike[str] | None = None,
    shots: int = 0,
    links: str | os.PathLike[str] | Sequence[tuple[str, str]] | None = None,
    prompts: Sequence[str] | None = None,
    encoder: str | None = None,
    sampling: Sampling | None = None,
    starts: int = 2000,
    summaries: str | os.PathLike[str] | None = None,
    summarizer: Summarizer | None = None,
    check_links: bool = False,
    vectors: bool = False,
    method: str | None = None,
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> NodesRun:
    """Give every node of a graph a class that is known by a sentence.

    Parameters
    ----------
    graph : graph or paths
        The graph to work on (`read_graph`). Labels in it grade and decide whose classes are written; they are learnt
        from only with `shots`.
    classes : ClassSpace, file or names
        Names, and descriptions where there are some; the sentence of a class is a template with its name, and its
        description behind it.
    out : path, optional
        Folder to write.
    pretrain : sequence of graphs
        Graphs to learn from, without labels; the graph itself if absent.
    model : path, optional
        A folder that an earlier call wrote, instead: nothing is pretrained.
    shots : int, >= 0
        Labelled nodes of each class to learn a prompt from.
    links : path or pairs of names, optional
        Pairs of nodes whose link is scored: a table as that of edges, or two columns without a header.
    prompts : sequence of str, optional
        Sentences with one {} for a class name; their vectors are averaged.
    encoder : str, optional
        The frozen text encoder: that of `model` if absent, which no other may stand in for, else MiniLM.
    sampling : Sampling, optional
        How subgraphs are taken: as `model` had them if absent.
    starts : int, >= 2
        Nodes of each graph to learn from, drawn; all where it has fewer.
    summaries : path, optional
        Summaries of subgraphs of the first graph that is learnt from, written elsewhere, in the lines of
        `write_summaries`.
    summarizer : callable, optional
        A language model that writes summaries; they are extracted if absent.
    check_links : bool
        Hide a tenth of the edges, before anything is learnt, and tell how well they are found. A `model` may have
        learnt from them.
    vectors : bool
        Also give the vector of each node, as a side of pairs for `unseen align`.
    method : str, optional
        Slug of a method that encodes subgraphs, one of `learner.subgraph_encoders`; a `model` has its own.
    preset, settings
        Of the method.
    seed : int
    command : str
        That the page is to repeat.
    say : callable
        Told what is done.

    Raises
    ------
    ValueError
        If an argument cannot be; before any training.
    FileNotFoundError
        If a file is not there; before any is read.
    """
    space = class_space(classes)
    if space is None or len(space) < 2:
        raise ValueError("classes must be at least two: a file, or names with commas between them")
    for prompt in prompts or ():
        _check_prompt(prompt)
    if shots < 0 or starts < 2:
        raise ValueError(f"shots must be at least 0 and starts at least 2; got {shots!r} and {starts!r}")
    if model is not None and (pretrain or summaries or summarizer or settings or preset != "default"):
        raise ValueError("model has learnt already: pretrain, summaries, preset and settings go without it")
    folder, learner = _learner(model, method, preset, settings or {}, seed)
    encoder, how, fingerprint = _reading(folder, encoder, sampling)
    if "text" not in (kinds := encoders.describe(encoder)["kinds"]):
        raise ValueError(f"encoder must read texts, as {ENCODER} does; {encoder} reads {KINDS[kinds[0]][1]}")
    for word, place in (*(("pretrain", source) for source in pretrain), ("links", links), ("summaries", summaries)):
        _check_there(word, place)
    if out is not None:
        refuse_foreign(Path(out), WRITTEN)
    target = opened(graph, space)
    pairs = None if links is None else _named_pairs(links, target)
    support = _shots(target, shots, seed)
    gone = hidden_edges(target, HIDDEN_EDGES, seed) if check_links else None
    tower = encoders.get(encoder)
    weights = str(getattr(tower, "fingerprint", ""))
    if fingerprint not in ("", weights):
        raise ValueError(f"encoder: what is called {encoder!r} here has other weights than what the model learnt of")
    read = functools.partial(encoded, tower=tower, memory={})
    say(size_of(target))
    notes = noted(space, target, tower)
    for line in notes:
        say(line)
    taken = _by_class(target, support, shots, say)
    kept: Taught | None = None
    if folder is None:
        lessons = Lessons(around=how.around, starts=starts, seed=seed, summaries=summaries, summarizer=summarizer)
        kept = taught(learner, _sources(pretrain, target, gone, summaries), lessons, read, say)
    x = vectors_or_zeros(target.texts.tolist(), read)
    named = with_sentences(space, prompts or TEMPLATES, read)
    places = how.around(target, np.arange(len(target)), seed)
    domain = places.domain(target, x)
    learner = _adapted(learner, named, domain.take(support) if len(support) else None, say)
    scores = {learner.card.slug: asked_in_parts(learner, domain)}
    scores |= simple_arms(x, near := mean_of_neighbours(target, x), named, target, support, seed)
    unknown(scores, target, say)
    results: dict[str, Any] = {"nodes": len(target), "edges": len(target.edges), "shots": shots, "classes": space.names}
    results |= {"method": learner.card.slug, "shots_taken": taken, "encoder": encoder, "fingerprint": weights}
    results |= {"sampling": dataclasses.asdict(how), "notes": notes}
    results["graded"], results["chosen"] = grades_of(scores, target, support), chosen_of(scores, target, support)
    results["by_class"] = by_class(said_by(scores[results["chosen"]]), target, space, support)
    for line in answer_in_lines(results["graded"], results["chosen"]):
        say(line)
    if gone is not None:
        results["links"] = _hidden_found(learner, target, x, how, seed, gone, say)
    nodes = table_of_nodes(target, space, scores[results["chosen"]], scores["own text"])
    scored = scored_links(learner, pairs, target, places, x, domain)
    asked = vectors_of(results["chosen"], learner, domain, x, near) if vectors else None
    run = NodesRun(nodes, scored, results, learner, asked)
    if out is not None:
        from unseen.jobs.nodes.page import page

        _write(Path(out), run, kept, folder, page(run, target, support, command))
    return run


def _learner(
    model: str | os.PathLike[str] | None, method: str | None, preset: str, settings: Mapping[str, Any], seed: int
) -> tuple[Path | None, SubgraphEncoder]:
    """The folder of a model that has learnt, and its method; without a model a method that has yet to learn."""
    folder = None if model is None else recovered(model)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"model must be a folder that an earlier run wrote; there is no folder {str(model)!r}")
    learner = made(method or DEFAULT, preset, settings, seed) if folder is None else loaded(folder)
    if method not in (None, slug := learner.card.slug):
        raise ValueError(f"method must be left out beside {str(model)!r}, which holds {slug}; got {method!r}")
    return folder, learner


def _adapted(
    learner: SubgraphEncoder, named: ClassSpace, labelled: Domain | None, say: Callable[[str], None]
) -> SubgraphEncoder:
    """The method with the classes, and with a prompt for them where it reads labels and there are some."""
    if "support" in inspect.signature(learner.adapt).parameters:
        learner = learner.adapt(classes=named, support=labelled)  # type: ignore[call-arg]
    else:
        learner = learner.adapt(classes=named)
        if labelled is not None:
            say(f"{learner.card.slug} reads no labels: they are for the logistic regression beside it")
    if scores := learner.fitted.get("prompt_scores_"):
        before, after = (f"{-score:.2f}" for score in scores)
        if len(learner.prompt_):
            say(f"a prompt is learnt from the labels: cross-entropy of those held out {after}, {before} without it")
        else:
            say("the labels that were held out are told no better with a prompt: classes go by their sentences alone")
    elif learner.fitted.get("prompt_") is not None and len(learner.prompt_):
        say("a prompt is learnt from all labels: too few to hold some out and see whether it helps")
    return learner


def _hidden_found(
    learner: SubgraphEncoder, target: TextAttributedGraph, x: NDArray[np.float32], how: Sampling, seed: int,
    gone: tuple[IntArray, IntArray], say: Callable[[str], None],
) -> dict[str, float]:  # fmt: skip
    """AUC of each arm on hidden edges, with subgraphs of the graph without them."""
    left = target.without(gone[0])
    whole = how.around(left, np.arange(len(left)), seed).domain(left, x)
    areas = links_checked(learner, left, x, whole, *gone)
    figures = ", ".join(f"{name} {value:.3f}" for name, value in areas.items())
    say(f"hidden edges among as many pairs without one, AUC: {figures}")
    return areas


# -- what is read ------------------------------------------------------------------------------------------


def noted(classes: ClassSpace, graph: TextAttributedGraph, tower: Any) -> list[str]:
    """What is missing in what is said of classes, what the encoder does not read, and which nodes stand alone."""
    notes = [f"classes: {gap}" for gap in gaps(classes)]
    notes += unread(tower, class_texts(classes, None)[0]).lines("classes")
    notes += unread(tower, graph.texts.tolist()).lines("texts of nodes")
    alone = graph.names[graph.degrees == 0]
    return notes + ([f"nodes without a neighbour: {len(alone):,}, such as {alone[0]}"] if len(alone) else [])


def opened(graph: Graph, classes: ClassSpace | None) -> TextAttributedGraph:
    """A graph of files, or one that is there."""
    if isinstance(graph, TextAttributedGraph):
        if classes is not None and graph.classes is not None and graph.classes.names != classes.names:
            raise ValueError("the classes of the graph must be those that are named, in their order")
        return graph
    if isinstance(graph, tuple):
        return read_graph(graph[0], graph[1], classes=classes)
    return read_graph(graph, classes=classes)


def _check_there(argument: str, place: Any) -> None:
    """`FileNotFoundError` if a file, or one of a table of nodes and one of edges, is not there."""
    for path in place if isinstance(place, tuple) else (place,):
        if isinstance(path, (str, os.PathLike)):
            try:
                locate(path)
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{argument}: {error}") from error


def _check_prompt(prompt: str) -> None:
    """`ValueError` unless a sentence has one {} and no other field."""
    try:
        fields = [part[1:] for part in string.Formatter().parse(prompt) if part[1] is not None]
    except ValueError:
        fields = []
    if fields != [("", "", None)]:
        raise ValueError(f"prompts must hold {{}} for a class name, once, and no other field; got {prompt!r}")


def _reading(folder: Path | None, encoder: str | None, sampling: Sampling | None) -> tuple[str, Sampling, str]:
    """The encoder and the sampling of a call: what is asked for, else what stands beside a model, else the defaults;
    and the fingerprint of the encoder that the model learnt of, where it says so."""
    kept: dict[str, Any] = {}
    if folder is not None:
        file = (folder if (folder / "model").is_dir() else folder.parent) / READ
        if file.is_file():
            try:
                record = read_json(file)
                kept = {"encoder": str(record["encoder"]), "sampling": Sampling(**record["sampling"])}
                kept["fingerprint"] = str(record.get("fingerprint", ""))
            except Exception as error:  # a file that was changed makes whatever it likes of its reader
                raise ValueError(f"{file} is damaged: {sentence(error)}") from error
    if encoder is not None and encoder != kept.get("encoder", encoder):
        raise ValueError(f"encoder must be {kept['encoder']!r}, of which the model learnt; got {encoder!r}")
    how = sampling or kept.get("sampling", Sampling())
    return encoder or kept.get("encoder", ENCODER), how, kept.get("fingerprint", "")


def _named_pairs(links: Any, graph: TextAttributedGraph) -> NDArray[np.int64]:
    """Pairs of nodes by their names."""
    rows: list[tuple[str, str]]
    if isinstance(links, (str, os.PathLike)):
        rows = read_links(links)
    else:
        rows = [(str(a), str(b)) for a, b in links]
    place = {name: i for i, name in enumerate(graph.names.tolist())}
    for row, pair in enumerate(rows, start=1):
        for name in pair:
            if name not in place:
                raise ValueError(f"links, row {row}: {name!r} is the name of no node; there are {len(place)}")
    if not rows:
        raise ValueError("links must hold at least one pair of nodes; it is empty")
    return np.array([[place[a], place[b]] for a, b in rows], dtype=np.int64)


def _shots(graph: TextAttributedGraph, shots: int, seed: int) -> NDArray[np.int64]:
    """So many labelled nodes of each class, drawn."""
    if not shots:
        return np.empty(0, dtype=np.int64)
    if graph.labels is None or not (graph.labels >= 0).any():
        raise ValueError(f"shots needs labels in the graph, of {shots} nodes of each class; it has none")
    rng, chosen = np.random.default_rng(seed), []
    for c in np.unique(graph.labels[graph.labels >= 0]):
        rows = np.flatnonzero(graph.labels == c)
        chosen.append(rng.permutation(rows)[:shots])
    if len(chosen) < 2:
        raise ValueError("shots needs labels of at least two classes; all are of one")
    return np.sort(np.concatenate(chosen))


def _by_class(
    graph: TextAttributedGraph, support: NDArray[np.int64], shots: int, say: Callable[[str], None]
) -> dict[str, int]:
    """How many labelled nodes are learnt from, of each class that has some; a line says which has fewer than asked."""
    if not len(support):
        return {}
    assert graph.labels is not None
    assert graph.classes is not None
    present, counts = np.unique(graph.labels[support], return_counts=True)
    taken = {graph.classes.names[c]: n for c, n in zip(present.tolist(), counts.tolist())}
    if fewer := {name: n for name, n in taken.items() if n < shots}:
        few = ", ".join(f"{name} {n}" for name, n in fewer.items())
        say(f"fewer than {shots} nodes have the label of {len(fewer)} of {len(taken)} classes, all are taken: {few}")
    return taken


def _sources(
    pretrain: Sequence[Graph], target: TextAttributedGraph, gone: tuple[IntArray, IntArray] | None, summaries: Any
) -> list[tuple[TextAttributedGraph, tuple[str, ...]]]:
    """The graphs to learn from, else the target without labels; no hidden edges; each with the words of its labels."""
    sources = [opened(source, None) for source in pretrain] or [target.replace(labels=None, classes=None)]
    words = [() if graph.classes is None else graph.classes.names for graph in (sources if pretrain else [target])]
    for i, source in enumerate(sources):
        if gone is not None and np.array_equal(source.names, target.names):
            if summaries is not None and i == 0:
                raise ValueError("check_links hides edges before learning; summaries of this graph may hold them")
            sources[i] = source.without(gone[0])
    return list(zip(sources, words))


def with_sentences(
    classes: ClassSpace, templates: Sequence[str], vectors: Callable[[Sequence[str]], NDArray[np.float32]]
) -> ClassSpace:
    """Classes with the mean of the unit vectors of what the templates say, each with the description behind it."""
    descriptions = classes.descriptions or ("",) * len(classes)
    unit_vectors = []
    for template in templates:
        texts = [f"{template.format(name.replace('-', ' ').replace('_', ' '))} {more}".strip()
                 for name, more in zip(classes.names, descriptions)]  # fmt: skip
        x = vectors(texts)
        unit_vectors.append(x / np.linalg.norm(x, axis=1, keepdims=True))
    return classes.replace(embeddings=np.mean(unit_vectors, axis=0))


# -- what is told ------------------------------------------------------------------------------------------


def _write(out: Path, run: NodesRun, kept: Taught | None, folder: Path | None, page: bytes) -> None:
    """The folder of a run; a model that goes on in its own `folder` keeps the summaries that it has learnt from."""
    from unseen.console import write_csv

    goes_on = folder is not None and out.resolve() in (folder.resolve(), folder.resolve().parent)
    with replacing_folder(out) as part:
        write_csv(part / "nodes.csv", run.table)
        if run.links is not None:
            write_csv(part / "links.csv", run.links)
        if run.vectors is not None:
            np.save(part / VECTORS, run.vectors)
        run.method.save(part / "model")
        reading = {key: run.results[key] for key in ("encoder", "sampling", "fingerprint")}
        (part / READ).write_text(json.dumps(reading, indent=1) + "\n", encoding="utf-8")
        if kept is not None:
            write_summaries(part / SUMMARIES, kept[0], kept[1], kept[2].tolist())
        elif goes_on and (out / SUMMARIES).is_file():
            shutil.copyfile(out / SUMMARIES, part / SUMMARIES)
        (part / "results.json").write_text(strict_json(run.results, list) + "\n", encoding="utf-8")
        (part / PAGE).write_bytes(page)
