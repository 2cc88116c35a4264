"""Documents for queries: rank."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, check_outside, check_written, command_line, dump, say, settings_of, tell

if TYPE_CHECKING:
    from unseen.data.domain import Domain
    from unseen.data.pairs import Pairs
    from unseen.jobs.retrieval.job import Ranked, Searcher


@app.command()
def rank(
    corpus: Annotated[
        Path,
        typer.Argument(help="Documents: a folder of texts or of BEIR, a .txt of lines, or a table with a column text."),
    ],
    queries: Annotated[
        Path | None,
        typer.Argument(
            help="A query in each line, or a table with the columns id and query; those of a BEIR folder if absent."
        ),
    ] = None,
    out: options.OutPage = Path("ranking.html"),
    systems: Annotated[
        str | None,
        typer.Option(
            "--with", help="Of bm25, minilm, rerank, fusion, duqgen, duqgen-fusion; all but rerank if absent."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="What learns from the documents: duqgen, or a method of another package.")
    ] = "duqgen",
    qrels: Annotated[
        Path | None, typer.Option(help="What is relevant (BEIR or TREC): put away, and grades at the end.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Write the ranking too: .csv, else TREC's columns.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a ranker: written; or, if it is there and only queries are named, used."),
    ] = None,
    examples: Annotated[
        Path | None, typer.Option(help="Table of a few queries with documents (columns query, document).")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Documents of each query.", min=1)] = 100,
    samples: Annotated[
        int | None,
        typer.Option(help="Documents that queries are written for, a few seconds each; 300 at most if absent.", min=2),
    ] = None,
    writer: Annotated[str, typer.Option(help="What writes queries: smollm2, first-words or causal:FOLDER")] = "smollm2",
    ranker: Annotated[
        str, typer.Option(help="What is tuned: minilm, bi-encoder:FOLDER, cross-encoder:FOLDER or mono-t5:FOLDER.")
    ] = "minilm",
    encoder: Annotated[str, typer.Option(help="What clusters documents and finds negatives.")] = "minilm",
    layers: Annotated[int, typer.Option(help="Upper layers of a bi-encoder that are tuned; 0 for all.", min=0)] = 2,
    column: Annotated[str | None, typer.Option(help="Column of the documents' texts.")] = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Rank documents for queries, in a collection without labels.

    By BM25, a ranker as it is, their fusion, and the ranker tuned on queries that are written for the collection; the
    page says which should be best.

    Example:  unseen rank corpus.jsonl queries.txt --out ranking.html --model models/mine
    """
    from unseen.data.rankings import read_corpus, read_queries

    beir = [corpus / "corpus.jsonl", corpus / "queries.jsonl", _beir(corpus)] if corpus.is_dir() else []
    check_apart([corpus, queries, qrels, examples, *beir], out=out, run=run)
    check_outside(model, out=out, run=run)
    check_written("out", out, ".html")
    check_written("run", run, ".csv", ".trec", ".run", ".tsv", ".txt")
    if model is not None and queries is None and (model / "state.json").exists() and not corpus.is_dir():
        for name, value in {"--qrels": qrels, "--examples": examples, "--set": settings, "--json": as_json}.items():
            if value:
                raise ValueError(f"--model with a saved ranker takes queries, --k and --run only; got {name}")
        questions = read_queries(corpus)
        _say_left_out(corpus, questions, "queries")
        _ask(model, questions, k, run)
        return
    if queries is None and not corpus.is_dir():
        hint = "" if model is None else f", or a saved ranker: there is none in {str(model)!r}"
        raise ValueError(f"queries: name a file of them{hint}")
    from unseen.jobs.retrieval import job
    from unseen.jobs.retrieval.page import write_page

    documents = read_corpus(corpus, column=column)
    asked = read_queries(corpus if queries is None else queries)
    _say_left_out(corpus, documents, "documents")
    _say_left_out(corpus if queries is None else queries, asked, "queries")
    judged = qrels or _beir(corpus)
    if judged is not None:
        from unseen.data.rankings import read_judgements

        asked = read_judgements(judged, asked, documents)
    say(f"{len(documents)} documents, {len(asked)} queries" + (f", judgements from {judged.name}" if judged else ""))
    params = settings_of(settings, samples="--samples")
    result = job.rank(
        documents, asked,
        systems=None if systems is None else [name.strip() for name in systems.split(",") if name.strip()],
        method=method,
        k=k,
        parts=job.Parts(encoder=encoder, writer=writer, ranker=ranker, layers=layers),
        examples=None if examples is None else _examples(examples),
        settings=params | ({} if samples is None else {"samples": samples}),
        random_state=seed,
    )  # fmt: skip
    write_page(result, out, command_line())
    if run is not None:
        from unseen.data.rankings import write_run

        write_run(run, result.rankings[result.chosen], asked, documents, tag=f"unseen-{result.chosen}")
    if model is not None:
        result.searchers[result.chosen].save(model)
    if as_json:
        dump({"chosen": result.chosen, "why": result.why, "verdict": result.verdict,
              "figures": result.figures.to_dict("records"), "check": result.check.to_dict("records")})  # fmt: skip
    else:
        _told(result, verbose=verbose)
        _show(result.searchers[result.chosen], asked.x[:SHOWN].tolist(), 3)
        if len(asked) > SHOWN:
            typer.echo(f"and so on for {len(asked)} queries: on the page")
    say(f"{out} holds the page" + (f", {run} the ranking" if run else "") + (f", {model} the ranker" if model else ""))


def _say_left_out(file: Path | None, texts: Domain, what: str) -> None:
    """How many documents or queries are left out, as nothing can be searched for in them."""
    if not (n := len(texts.skipped)):
        return
    if texts.skipped[0].where.startswith("line "):
        lines = "1 line has" if n == 1 else f"{n} lines have"
        called = "the others are called by the numbers of their lines, these counted"
        say(f"{file}: {lines} no letter, digit or sign; {called}")
    else:
        are = "is" if n == 1 else "are"
        say(f"{file}: {n} of {n + len(texts)} {what} {are} left out, without a letter, digit or sign: {_first(texts)}")


def _first(texts: Domain) -> str:
    """The first three that were left out."""
    return ", ".join(skipped.where for skipped in texts.skipped[:3]) + (", ..." if len(texts.skipped) > 3 else "")


def _told(result: Ranked, *, verbose: bool) -> None:
    from unseen.jobs.retrieval.job import best_on_judgements, on_judgements

    _figures(result, verbose=verbose)
    if result.verdict:
        tell(result.verdict)
    tell(f"chosen: {result.chosen}: {result.why}")
    if graded := on_judgements(result.figures, result.chosen):
        tell(graded)
    if (best := best_on_judgements(result.figures, result.chosen)) != result.chosen:
        tell(f"to take that one instead: systems={best}")


def _figures(result: Ranked, *, verbose: bool) -> None:
    """How good each system is on judgements; with `verbose` on queries written, too, and what it was tuned on."""
    for title, table in (("on your judgements", result.figures), ("on queries written", result.check)):
        if not len(table) or not (verbose or table is result.figures):
            continue
        typer.echo(f"{title:<22}{'nDCG@10':>9}{'R@100':>9}")
        for row in table.sort_values("ndcg@10", ascending=False, kind="stable").to_dict("records"):
            typer.echo(f"  {row['system']:<20}{row['ndcg@10']:>9.3f}{row['recall@100']:>9.3f}")
    if verbose and result.tuned is not None and (audit := result.tuned.fitted.get("audit_")):
        counts = Counter(audit["flaw"].tolist())
        flaws = ", ".join(f"{n} {flaw}" for flaw, n in sorted(counts.items()) if flaw)
        typer.echo(f"{counts['']} queries were learnt from" + (f"; put aside: {flaws}" if flaws else ""))


def _ask(folder: Path, queries: Domain, k: int, run: Path | None) -> None:
    """Rank new queries with a saved ranker."""
    from unseen.data.rankings import write_run
    from unseen.encoders.unread import unread
    from unseen.jobs.retrieval.job import Searcher

    searcher = Searcher.load(folder)
    say(f"{searcher.system} of {len(searcher.names)} documents, from {folder}")
    if (model := getattr(searcher.method, "model_", None)) is not None:
        for line in unread(model, queries.x, searcher.system).lines("queries"):
            say(line)
    if run is not None:
        write_run(run, searcher.method.rank(queries, k), queries, searcher.corpus, tag=f"unseen-{searcher.system}")
        n, most = len(queries), len(searcher.names)
        first = f"the first {k} of {most} documents" if k < most else f"all {most} documents that were found"
        say(f"{run} holds {first}, for {n} {'query' if n == 1 else 'queries'}")
        return
    _show(searcher, queries.x.tolist(), min(k, 5))


SHOWN = 3
"""Queries whose first documents the terminal shows beside the page."""


def _show(searcher: Searcher, queries: list[str], k: int) -> None:
    """The first documents of each query."""
    table = searcher.rank(queries, k)
    for query in dict.fromkeys(queries):
        typer.echo(query)
        rows = table[table["query"] == query].to_dict("records")
        if not rows:
            typer.echo("  nothing was found: no document has a word of it")
        for row in rows[:k]:
            typer.echo(f"  {row['rank']}. {row['document']}  {' '.join(row['text'].split())[:80]}")


def _beir(folder: Path) -> Path | None:
    """The judgements of a BEIR folder."""
    candidates = [folder / name for name in ("qrels.tsv", "qrels/test.tsv")] if folder.is_dir() else []
    return next((file for file in candidates if file.exists()), None)


def _examples(file: Path) -> Pairs:
    from unseen.data.pairs import read_pairs

    return read_pairs(file, left="query", right="document")
