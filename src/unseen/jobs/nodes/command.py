"""Nodes of a graph with texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unseen import options
from unseen.console import app, command_line, say, settings_of

SHOWN = 5
"""Nodes that are shown with their class."""


@app.command()
def nodes(
    graph: Annotated[str, typer.Argument(help="Table of nodes (id, text, perhaps label), .npz, or .pt of PyG.")],
    edges: Annotated[str | None, typer.Option(help="Table of edges (source, target), beside a table of nodes.")] = None,
    classes: Annotated[str | None, typer.Option(help="Class file (name, description), or names with commas.")] = None,
    out: options.OutFolder = Path("runs/nodes"),
    pretrain: Annotated[
        list[str] | None, typer.Option(help="Graph to learn from (NODES:EDGES for tables); may be repeated.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Folder of an earlier run: nothing is pretrained.")] = None,
    shots: Annotated[int, typer.Option(help="Labelled nodes of each class to learn a prompt from.", min=0)] = 0,
    links: Annotated[str | None, typer.Option(help="Table of pairs (source, target) to score.")] = None,
    check_links: Annotated[
        bool, typer.Option("--check-links", help="Hide a tenth of the edges first; say how well they are found.")
    ] = False,
    vectors: Annotated[
        bool,
        typer.Option(
            "--vectors", help="Also write vectors.npy, a row for each node: a side of pairs for unseen align."
        ),
    ] = False,
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", help="Sentence for names, 'a paper on {}.'; may be repeated.")
    ] = None,
    summaries: Annotated[
        str | None, typer.Option(help="Summaries written elsewhere (id, graph, summary a line).")
    ] = None,
    writer: Annotated[str | None, typer.Option(help="Language model that writes summaries, such as smollm2.")] = None,
    subgraphs: Annotated[str | None, typer.Option(help="walk or hops; as --model had them, else walk.")] = None,
    steps: Annotated[int | None, typer.Option(help="Transitions of a walk; 32 if not said.", min=0)] = None,
    hops: Annotated[int | None, typer.Option(help="Of --subgraphs hops; 2 if not said.", min=0)] = None,
    starts: Annotated[
        int, typer.Option(help="Nodes of each graph to learn from, each with what is around it.", min=2)
    ] = 2000,
    encoder: Annotated[str | None, typer.Option(help="Frozen text encoder; that of --model, else minilm.")] = None,
    method: Annotated[
        str | None, typer.Option(help="What learns, also a method of another package.", show_default="graphclip")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Of the method: default; graphclip's without-additions, published (its size).")
    ] = "default",
    settings: options.Settings = None,
    seed: options.Seed = 0,
) -> None:
    """Name nodes of a graph with texts, by sentences about classes.

    A graph encoder (graphclip) learns from subgraphs and their summaries, without labels, what nodes and their
    neighbours say together. A node without a text is named by its neighbours. --shots takes a few labels, --links
    scores pairs of nodes. Labels in the graph grade, beside the node's own text and the mean of its neighbours.

    Example:  unseen nodes papers.csv --edges links.csv --classes "physics,biology,law" --out runs/papers
    """
    from unseen.jobs.nodes.job import Sampling, classify_nodes

    if classes is None:
        raise ValueError("classes is needed: a class file, or names with commas")
    params = settings_of(settings)
    taken: dict[str, Any] = {"method": subgraphs, "steps": steps, "k": hops}
    taken = {key: value for key, value in taken.items() if value is not None}
    run = classify_nodes(
        graph if edges is None else (graph, edges),
        classes,
        out=out,
        pretrain=[_graph_of(text) for text in pretrain or ()],
        model=model,
        shots=shots,
        links=links,
        prompts=prompts,
        encoder=encoder,
        sampling=Sampling(**taken) if taken else None,
        starts=starts,
        summaries=summaries,
        summarizer=None if writer is None else _summarizer(writer),
        check_links=check_links,
        vectors=vectors,
        method=method,
        preset=preset,
        settings=params,
        seed=seed,
        command=command_line(),
        say=say,
    )
    first = run.table.head(SHOWN)
    for node, name, sure in zip(first["node"], first["class"], first["probability"]):
        typer.echo(f"{node}: {name}  {sure:.0%}" if name else f"{node}: no class")
    say(f"{out} holds report.html, nodes.csv, results.json and the model")


def _graph_of(text: str) -> Any:
    """A file, or NODES:EDGES."""
    nodes_, colon, edges = text.partition(":")
    return (nodes_, edges) if colon and not Path(text).exists() else text


def _summarizer(name: str) -> Any:
    from unseen.nn.writers import writer

    model = writer(name)
    return lambda prompts: model.write(prompts, longest=96, stop="\n\n")
