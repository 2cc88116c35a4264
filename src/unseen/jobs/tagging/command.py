"""`unseen tag`: spans of texts, in languages with annotations and without."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, check_outside, check_written, command_line, dump, say, settings_of, tell

SHOWN = 5
"""Sentences that the terminal shows beside the page."""

tag_app = typer.Typer(no_args_is_help=True, help="Mark spans in texts, also in a language without annotations.")
app.add_typer(tag_app, name="tag")

Translations = Annotated[
    Path | None, typer.Option(help="A translation for each sentence, in its order: lines, or CoNLL.")
]
TranslatorName = Annotated[str | None, typer.Option("--translator", help="apertium:PAIR or seq2seq:FOLDER_OR_NAME.")]
AlignerName = Annotated[str, typer.Option("--aligner", help="ibm1, eflomal, similarity:ENCODER.")]
FormatName = Annotated[str | None, typer.Option("--format", help="conll, brat, jsonl, docbin or text; by its name.")]


@tag_app.command()
def project(
    source: Annotated[str, typer.Argument(help="Texts with marked spans: CoNLL, brat, JSON lines, DocBin.")],
    out: Annotated[Path, typer.Option(help="The corpus to write: .conll or .jsonl.")],
    translations: Translations = None,
    translator: TranslatorName = None,
    aligner: AlignerName = "ibm1",
    second: Annotated[str | None, typer.Option(help="Another aligner: where the two differ is told.")] = None,
    page: Annotated[Path | None, typer.Option(help="Page of both texts side by side.")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV of all spans, the least sure first.")] = None,
    format: FormatName = None,
    method: Annotated[
        str, typer.Option(help="What carries spans over: crosslingual-am, or a method of another package.")
    ] = "crosslingual-am",
    settings: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Annotate translations by the spans of their source.

    Words are aligned, spans carried over along them, and each is told with how sure it is.

    Example:  unseen tag project english.conll --translations spanish.txt --out spanish.conll --page spanish.html
    """
    from unseen.jobs.tagging import job
    from unseen.jobs.tagging.page import corpus_facts, corpus_lines, write_corpus, write_corpus_page, write_corpus_table

    check_apart([source, translations], out=out, page=page, table=table)
    check_written("out", out, ".conll", ".jsonl")
    check_written("page", page, ".html")
    check_written("table", table, ".csv")
    by = job.Translated(translations, translator, aligner)
    corpus = job.project(
        source, by, method=method, settings=settings_of(settings, random_state=""), second=second, format=format
    )
    write_corpus(corpus, out)
    if page is not None:
        write_corpus_page(corpus, page, command_line())
    if table is not None:
        write_corpus_table(corpus, table)
    if as_json:
        dump(corpus_facts(corpus))
    else:
        for line in corpus_lines(corpus):
            tell(line)
    _told(out=out, page=page, table=table)


@tag_app.command()
def train(
    source: Annotated[str, typer.Argument(help="Texts with marked spans: CoNLL, brat, JSON lines, DocBin.")],
    model: Annotated[Path, typer.Option(help="Folder of the tagger to write.")],
    translations: Translations = None,
    translator: TranslatorName = None,
    aligner: AlignerName = "ibm1",
    test: Annotated[Path | None, typer.Option(help="Marked texts to grade by, in the language to tag.")] = None,
    method: Annotated[
        str,
        typer.Option(
            help="crosslingual-am (words are aligned; any span) or whole-or-named (none is; whole sentences, names)."
        ),
    ] = "crosslingual-am",
    encoder: Annotated[
        str | None, typer.Option(help="letters, minilm or transformer:FOLDER_OR_NAME.", show_default="python-crfsuite")
    ] = None,
    format: FormatName = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Learn a tagger from marked texts, or from their translations.

    With --test it is graded beside simple ones: whole-or-named, the built-in CRF where it is another, and, where
    something is translated, the same tagger of the source language alone.

    Example:  unseen tag train english.conll --translations spanish.txt --test spanish-test.conll --model tagger
    """
    from unseen.jobs.tagging import job
    from unseen.jobs.tagging.page import all_left_out, trained_facts, trained_lines

    job.refuse_model(model)
    params = settings_of(settings)
    by = job.Translated(translations, translator, aligner)
    result = job.train(
        source, by, test=test, method=method, encoder=encoder, settings=params, seed=seed, format=format, say=say
    )
    result.tagger.save(model)
    if as_json:
        dump(trained_facts(result))
    else:
        for line in trained_lines(result):
            typer.echo(line)
    for line in all_left_out(result):
        say(line)
    say(f"{model} holds the tagger: unseen tag run TEXTS --model {model}")


@tag_app.command()
def run(
    texts: Annotated[str, typer.Argument(help="Texts: lines, CoNLL, brat, JSON lines, DocBin.")],
    model: Annotated[Path, typer.Option(help="Folder of a tagger.")],
    out: options.OutPage = Path("spans.html"),
    table: Annotated[Path | None, typer.Option(help="Write the spans too: .jsonl, .conll or .csv.")] = None,
    format: FormatName = None,
    as_json: options.AsJson = False,
) -> None:
    """Mark spans in texts, by a tagger that was learnt before.

    Texts with spans of their own grade it.

    Example:  unseen tag run notes.txt --model tagger --out notes.html --table notes.jsonl
    """
    from unseen.jobs.tagging import job
    from unseen.jobs.tagging.page import left_out, run_facts, run_lines, write_run_page, write_run_table
    from unseen.jobs.tagging.tagger import Tagger

    check_apart([texts], out=out, table=table)
    check_outside(model, out=out, table=table)
    check_written("out", out, ".html")
    check_written("table", table, ".jsonl", ".conll", ".csv")
    result = job.run(texts, Tagger.load(model), format=format)
    write_run_page(result, out, command_line())
    if table is not None:
        write_run_table(result, table)
    if as_json:
        dump(run_facts(result))
    else:
        for line in run_lines(result, SHOWN):
            typer.echo(line)
    for line in left_out(result.read):
        say(line)
    _told(out=out, table=table)


def _told(**files: Path | None) -> None:
    contents = {"out": "the answer", "page": "the page", "table": "the table"}
    say(", ".join(f"{file} holds {contents[name]}" for name, file in files.items() if file is not None))
