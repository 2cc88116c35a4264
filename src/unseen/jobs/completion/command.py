"""Tails of relations that no triple has shown."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, check_written, command_line, say, settings_of, write_csv

SHOWN = 5
"""Queries that are shown with their first tail, and relations with those that answered."""


@app.command()
def complete(
    graph: Annotated[str, typer.Argument(help="Table of triples: head, relation, tail (.tsv, .csv).")],
    ontology: Annotated[
        str,
        typer.Option(
            help="What is known of the relations: triples (.tsv, .csv) or RDF (.ttl, .owl), all relations in it."
        ),
    ],
    queries: Annotated[str, typer.Option(help="Table of queries: head, relation.")],
    out: options.OutTable = Path("completed.csv"),
    page: Annotated[Path | None, typer.Option(help="Page of how well the check went, and of the first tails.")] = None,
    top: Annotated[int, typer.Option(help="Tails of each query.", min=1)] = 10,
    methods: Annotated[
        str | None,
        typer.Option(
            help="ontozsl (trained; minutes), nearest-relation (seconds), or both, as if absent: the check decides, "
            "and without it the first answers.",
            metavar="NAMES",
        ),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(help="Model of pykeen for the entities, such as DistMult; TransE, trained here, if absent."),
    ] = None,
    check: Annotated[bool, typer.Option(help="Hold out some relations once, and say how well they are ranked.")] = True,
    settings: options.Settings = None,
    seed: options.Seed = 0,
) -> None:
    """Rank the tails of relations that a graph has no triple of.

    Two methods: a generator learns from the triples of all other relations what pairs look like, by what an ontology
    says of the relations (domain, range, subPropertyOf, label and comment); or relations whose names and texts sound
    like yours answer for it. Some relations are held out first, and what ranks their tails better answers.

    Example:  triples of other relations in graph.tsv, a file schema.tsv with the lines  cures TAB subPropertyOf TAB
    treats  and  cures TAB range TAB disease, a line  aspirin TAB cures  in queries.tsv, then

    unseen complete graph.tsv --ontology schema.tsv --queries queries.tsv --out completed.csv --page completed.html
    """
    from unseen.jobs.completion import job
    from unseen.jobs.completion.page import write_page

    check_written("out", out, ".csv")
    check_written("page", page, ".html")
    check_apart([graph, ontology, queries], out=out, page=page)
    params = settings_of(settings, methods="--methods")
    named = job.DEFAULT if methods is None else [part.strip() for part in methods.split(",") if part.strip()]
    completion = job.complete(
        graph, ontology, queries, top=top, methods=named, vectors=vectors, check=check, random_state=seed, say=say,
        **params,
    )  # fmt: skip
    write_csv(out, completion.table)
    if page is not None:
        write_page(completion, page, table=out.name, command=command_line())
    for row in completion.table[completion.table["rank"] == 1].head(SHOWN).itertuples():
        typer.echo(f"{row.head} {row.relation}: {row.tail}  {row.score:.3f}")
    for name, known in itertools.islice(completion.answered.items(), SHOWN):
        shares = ", ".join(f"{relation} ({share:.2f})" for relation, share in known.items())
        say(f"{name}: answered by {shares or 'all relations alike: no word of its text is known'}")
    say(f"{len(completion.table)} tails are in {out}" + (f"; {page} shows them" if page is not None else ""))
