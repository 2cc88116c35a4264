"""Phrases to the nodes of a taxonomy."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen import options
from unseen.console import app, check_apart, check_outside, check_written, command_line, say, settings_of, write_csv

if TYPE_CHECKING:
    from unseen.data.domain import Domain
    from unseen.data.taxonomies import Taxonomy
    from unseen.jobs.mapping.job import Check, Mapper

SHOWN = 5
"""Phrases that are shown with their nearest node."""


@app.command("map")
def map_phrases(
    phrases: Annotated[str, typer.Argument(help="Table with a column phrase, or a text file, a phrase in each line.")],
    taxonomy: Annotated[
        str | None,
        typer.Option(help="icd10cm, icd10cm:9,10 (chapters), hpo, obo:FILE, owl:FILE, rf2:FOLDER or csv:FILE."),
    ] = None,
    pairs: Annotated[str | None, typer.Option(help="Phrases whose nodes you know: columns phrase, node.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a mapper: used if it is there, else written.")] = None,
    out: options.OutTable = Path("mapped.csv"),
    page: Annotated[Path | None, typer.Option(help="Page of the check and the answers, the doubtful first.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="Write a vector per phrase too (.npy).")] = None,
    k: Annotated[int, typer.Option("--k", help="Nodes per phrase, at most all that compete.", min=1)] = 5,
    below: Annotated[str | None, typer.Option(help="Only this node and those below it compete.")] = None,
    words: Annotated[
        str | None,
        typer.Option(
            help="minilm (a vector of the whole phrase), wordllama, fasttext (trained on the phrases) or a file of "
            "vectors; what suits the method if absent."
        ),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of the phrases.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="nearest-name (seconds; if absent), text2node (trained; minutes), or several: the check decides.",
            metavar="NAMES",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Take some phrases away, ask for their nodes, and say how many were found.")
    ] = True,
    settings: options.Settings = None,
    seed: options.OptionalSeed = None,
) -> None:
    """Map phrases to the nearest nodes of a taxonomy.

    Each has a score and its path to the root. It knows the taxonomy's own names and synonyms, and --pairs. First some
    of these are taken away and asked for, so that you see how often the answer is right.

    Example:  unseen map --taxonomy icd10cm:9 --model models/heart phrases.csv --out mapped.csv --page mapped.html
    """
    from unseen.data import taxonomies
    from unseen.jobs.mapping import job as mapping
    from unseen.jobs.mapping.page import Answers, write_page

    check_written("vectors", vectors, ".npy")
    check_written("out", out, ".csv")
    check_written("page", page, ".html")
    check_apart([phrases, pairs, taxonomy, words], out=out, page=page, vectors=vectors)
    check_outside(model, out=out, page=page, vectors=vectors)
    params = settings_of(settings, words="--words", pairs="--pairs", method="--methods")
    named = [name for name in (part.strip() for part in (methods or mapping.DEFAULT).split(",")) if name]
    for name in named or [methods or ""]:
        mapping.mapper_of(name)
    if len(named) > 1 and (params or not check):
        raise ValueError(
            "methods must be one if it is given settings" if params else "methods must be one if nothing is checked"
        )
    texts = mapping.read_phrases(phrases, column)
    result: Check | None = None
    by_names: Mapper | None = None
    if model is not None and (model / "state.json").exists():
        mapper = mapping.Mapper.load(model)
        anew = {"pairs": pairs, "words": words, "set": params, "seed": seed is not None}
        if taxonomy not in (None, mapper.source or None):
            anew["taxonomy"] = taxonomy
        if methods not in (None, mapper.method.card.slug):
            anew["methods"] = methods
        if named_anew := [name for name, value in anew.items() if value]:
            raise ValueError(
                f"{model} is a mapper that has learned{f' {mapper.source}' * bool(mapper.source)}; leave "
                f"{' and '.join(f'--{name}' for name in named_anew)} out, or name another --model to learn anew"
            )
        say(f"{mapper.taxonomy.phrases.name}: {len(mapper.taxonomy)} nodes, from {model}")
    else:
        if taxonomy is None:
            raise ValueError("taxonomy is needed to learn: " + ", ".join(taxonomies.FORMS))
        tree = taxonomies.load(taxonomy)
        if below is not None:
            tree.classes.index(below)
        known = None if pairs is None else mapping.read_pairs(pairs, tree)
        say(
            f"{tree.phrases.name}: {len(tree):,} nodes, {len(tree.phrases):,} names and synonyms"
            + (f", {len(known):,} pairs" if known is not None else "")
        )
        for line in (*tree.notes, *tree.phrases.credits):
            say(line)
        method, note, result = _chosen(tree, known, named, words, check, seed or 0, params)
        if page is not None and method != mapping.DEFAULT in named:
            by_names = mapping.learn(tree, known, method=mapping.DEFAULT, words=words, random_state=seed or 0)
        mapper = mapping.learn(tree, known, method=method, words=words, random_state=seed or 0, **params)
        if note:
            say(note)
        if skipped := mapper.method.skipped_:
            say(f"{skipped} words of phrases have no vector; {mapper.method.left_out_} phrases have no other word")
        mapper = dataclasses.replace(mapper, source=taxonomy)
        if model is not None:
            mapper.save(model)
            say(f"the mapper is in {model}")
    table = mapper.map(texts, k=k, below=below)
    write_csv(out, table)
    lost = int((table.node == "").sum())
    first = table[table["rank"] <= 1].head(SHOWN)
    for phrase, node, name, score, path in zip(*(first[c] for c in ("phrase", "node", "name", "score", "path"))):
        typer.echo(f"{phrase}: {name}  {score:.3f}  ({path})" if node else f"{phrase}: no node")
    say(f"{len(texts)} phrases are in {out}" + (f"; {lost} have no known word and no node" if lost else ""))
    if page is not None:
        simple = None if by_names is None else by_names.map(texts, k=1, below=below)
        home = "" if model is None else shlex.quote(str(model))
        write_page(Answers(mapper, table, result, simple, out.name, home, command_line()), page)
        say(f"{page} shows them, the doubtful first")
    if vectors is not None:
        import numpy as np

        embedded = mapper.vectors(texts)
        np.save(vectors, embedded)
        say(f"{len(embedded)} x {embedded.shape[1]} vectors are in {vectors}")


def _chosen(
    tree: Taxonomy, known: Domain | None, named: Sequence[str], words: str | None, check: bool, seed: int,
    settings: Mapping[str, Any],
) -> tuple[str, str, Check | None]:  # fmt: skip
    """The method that found most phrases that were taken away, what to say of it, and the check."""
    from unseen.jobs.mapping import job as mapping

    if not check:
        return named[0], "", None
    result = mapping.check(tree, known, of=named, words=words, say=say, random_state=seed, **settings)
    if result is None:
        if len(named) > 1:
            raise ValueError("methods must be one: too few nodes have a second name, so nothing can be checked")
        why = "nothing could be checked: too few nodes have a second name, and there are too few pairs"
        return named[0], why, None
    for slug, figures in result.figures.items():
        say(
            f"{slug}: of {result.n} phrases that were taken away ({result.asked}), {figures['first']:.0%} found their "
            f"node first, {figures['among ten']:.0%} among ten; the first answer is {figures['hops']:.1f} steps away"
        )
    return result.best, f"{result.best} is used" if len(named) > 1 else "", result
