"""What there is and what fits: methods, recommend, words, encoders, data, reproduce."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen import options
from unseen.cli.models import open_model, open_zoo
from unseen.console import app, data_app, dump, say, tell

if TYPE_CHECKING:
    from unseen.claims.evidence import Freshness
    from unseen.methods.listing import Line
    from unseen.precedents import Profile, Recommendation
    from unseen.precedents.nearest import Near


@app.command()
def methods(
    slug: Annotated[str | None, typer.Argument(help="Show one method.")] = None,
    given: Annotated[str | None, typer.Option(help="What you have: source,target,support,classes,model,...")] = None,
    search: Annotated[str, typer.Option(help="Words in slug, title, summary or room.", show_default=False)] = "",
    as_json: options.AsJson = False,
) -> None:
    """List the methods, or show what one needs and does.

    Example:  unseen methods --given source,target
    """
    if slug is not None:
        from unseen import catalogue

        about = catalogue.describe(slug)
        if as_json:
            dump(about)
        else:
            _print_method(about)
        return
    words = None if given is None else [word.strip() for word in given.split(",") if word.strip()]
    entries = _lines(search, words)
    if as_json:
        dump([{"slug": e.slug, "title": e.title, "venue": e.venue, "room": e.room, "built": e.built} for e in entries])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "room", "needs", "what it does", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(entry.slug, entry.room, entry.told(), entry.summary or entry.title)
    Console().print(table)


def _lines(text: str, words: list[str] | None) -> Sequence[Line]:
    """Systems that are found: from the list that is kept, or where that does not do from the cards themselves."""
    from unseen.methods import listing

    lines = listing.search(text, words)
    if lines is not None:
        return lines
    from unseen import catalogue

    return [
        listing.Line(
            entry.slug, entry.title, entry.venue, entry.room, entry.summary,
            kind=entry.card.kind if entry.card else "planned", needs=tuple(way.required for way in entry.needs),
        )
        for entry in catalogue.search(text, words)
    ]  # fmt: skip


def _print_method(about: dict[str, Any]) -> None:
    typer.echo(f"{about['slug']}: {about['title']} ({about['venue']})\n{about['summary']}\n")
    for way in about["needs"]:
        typer.echo(
            "needs "
            + ", ".join(way["required"])
            + (f"; can use {', '.join(way['optional'])}" if way["optional"] else "")
        )
    for word, sentence in about["words"].items():
        typer.echo(f"  {word}: {sentence}")
    for line in about["commands"]:
        typer.echo(f"  {line}")
    if about["kind"] == "method":
        typer.echo("\nhyperparameters (--set name=value)")
        for key, value in about["parameters"].items():
            typer.echo(f"  {key} = {value}")
        typer.echo("\npresets: " + ", ".join(about["presets"]))
    for label in ("notes", "left_out"):
        for note in about[label]:
            typer.echo(f"- {note}")


@app.command()
def recommend(
    source: options.Source = None,
    target: options.Target = None,
    support: options.Support = None,
    classes: options.Classes = None,
    prompts: options.Prompts = None,
    ontology: options.Ontology = None,
    taxonomy: options.Taxonomy = None,
    model: options.Model = None,
    teachers: options.Teachers = None,
    encoder: options.Encoder = None,
    labels: options.Labels = "exam",
    runs: Annotated[
        list[Path] | None, typer.Option(help="Folder of your own runs of compare, as further evidence.")
    ] = None,
    nearest: Annotated[int, typer.Option(help="Recorded runs like yours that gains are taken from.", min=1)] = 5,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Why the others do not fit, and the recorded runs like yours.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Say which methods to try first with what you have, and why.

    What they gained over doing nothing in the recorded runs that are most like yours. Nothing is trained, no label of
    the target is read.

    Example:  unseen recommend --source photos --target sketches
    """
    from unseen.compare.asked import check_asked

    paths: dict[str, Any] = dict(source=source, target=target, support=support, ontology=ontology, model=model)
    paths["teachers"] = teachers
    check_asked(data=paths, classes=classes, labels=labels, prompts=prompts, encoder=encoder)
    from unseen.compare.reading import read_early

    known = None  # the recorded runs that come with the library
    if runs:  # refused, if at all, before the data are read
        from unseen import precedents

        known = precedents.recorded(runs)
    others: dict[str, Any] = dict(classes=classes, taxonomy=taxonomy, encoder=encoder, labels=labels)
    read = read_early(**paths, **others)
    from unseen.compare.recommended import advise

    advice = advise(
        **read,
        **others,
        prompts=prompts,
        ontology=ontology,
        model=open_model(model),
        teachers=open_zoo(teachers),
        known=known,
        k=nearest,
        say=say,
    )
    if as_json:
        dump(advice.to_json())
        return
    for line in _advice(advice.listed, advice.yours, verbose=verbose):
        tell(line)
    if advice.remark:
        tell(advice.remark)
    if verbose and advice.profile is not None:
        _print_precedents(advice.profile, advice.near)
    else:
        tell("--verbose says of each why it does not fit" + (", and shows the recorded runs" if advice.near else ""))
    tell("to run them: the same options with `unseen compare` and --out FOLDER; what one run gained is no promise")


def _advice(rows: Sequence[Recommendation], yours: str, *, verbose: bool) -> Iterator[str]:
    """What to try first, ranked, with reasons; then the others, in short."""
    from unseen.precedents import first_of

    first, rest, note = first_of(rows)
    others = [row for row in rows if not row.fits]
    yield f"yours: {yours}"
    for place, row in enumerate(first, 1):
        yield f"{place}. {row.name}: {row.does} {row.why[:1].upper()}{row.why[1:]}."
    if note:
        yield note
    if verbose:
        yield from (f"   {row.name}: {row.does} {row.why[:1].upper()}{row.why[1:]}." for row in rest)
        yield from (f"   {row.name} does not fit: it {row.why}" for row in others)
        return
    if rest:
        yield "these fit, too: " + ", ".join(row.name for row in rest)
    if others:
        yield f"{len(others)} others do not: {_reasons([row.why for row in others])}"


def _reasons(why: Sequence[str], shown: int = 4) -> str:
    """How many do not fit for the most frequent reasons; a reason is a verb in the singular and what follows."""
    parts = []
    for reason, n in Counter(why).most_common(shown):
        verb, _, what = reason.partition(" ")
        parts.append(f"{n} {verb if n == 1 else verb.removesuffix('s')} {what}")
    if (left := len(why) - sum(n for _, n in Counter(why).most_common(shown))) > 0:
        parts.append(f"{left} for other reasons")
    return "; ".join(parts)


def _print_precedents(mine: Profile, near: Sequence[Near]) -> None:
    from unseen.precedents.nearest import FLOOR

    tell(f"yours: {mine.sentence()}")
    tell("the recorded runs that are most like it (0: the same; above 2: hardly alike)")
    for run, distance in near:
        scores = run.scores
        floor = f"doing nothing {scores[FLOOR]:.3f}, " if FLOOR in scores else ""
        tell(f"  {distance:5.2f}  {run.name}: {run.profile.sentence()}")
        tell(
            f"         {run.metric}: {floor}chosen without labels {run.chosen} {scores[run.chosen]:.3f}, "
            f"best by the labels {run.best} {scores[run.best]:.3f}"
        )


@app.command()
def words(
    word: Annotated[str | None, typer.Argument(help="One word, or a part of it.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what the words of reports and of these commands mean.

    Example:  unseen words ceiling
    """
    from unseen.report.glossary import GLOSSARY

    part = "" if word is None else word.casefold()
    meanings = {key: meaning for key, meaning in GLOSSARY.items() if part in key.casefold()}
    meanings = meanings or {key: meaning for key, meaning in GLOSSARY.items() if part in meaning.casefold()}
    if not meanings:
        import difflib

        apart = {part.casefold(): key for key in GLOSSARY for part in (key, *key.split(", "), *key.split())}
        near = list(dict.fromkeys(apart[name] for name in difflib.get_close_matches(part, apart, n=3)))
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ValueError(f"no word is called {word!r}; {hint}`unseen words` alone lists all {len(GLOSSARY)}")
    meanings = {key: meanings[key] for key in sorted(meanings, key=lambda key: key.lstrip(":").casefold())}
    if as_json:
        dump(meanings)
        return
    for key, meaning in meanings.items():
        tell(f"{key}: {meaning}")


@app.command()
def encoders(
    name: Annotated[str | None, typer.Argument(help="Show one.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the pretrained encoders by name.

    Example:  unseen encoders efficientnet-lite0
    """
    from unseen import encoders as registry

    rows = [registry.describe(encoder) for encoder in ([name] if name else registry.names())]
    if as_json:
        dump(rows)
        return
    for row in rows:
        typer.echo("  ".join(f"{key}: {value}" for key, value in row.items() if value))


@data_app.command("list")
def data_list(as_json: options.AsJson = False) -> None:
    """List the data sets that packages ship.  Example:  unseen data list"""
    from unseen.data import sources

    rows = sources.list_sources()
    if as_json:
        dump([vars(row) for row in rows])
        return
    for row in rows:
        size = f"{row.download / 2**20:.1f} MB" if row.download else "here"
        typer.echo(f"{row.name:34s} {size:>9s}  {row.summary}")


@data_app.command("info")
def data_info(name: str, as_json: options.AsJson = False) -> None:
    """Say what a data set is, how large, by whom.  Example:  unseen data info emoji:noto"""
    from unseen.data import sources

    about = vars(sources.info(name))
    if as_json:
        dump(about)
    else:
        for key, value in about.items():
            typer.echo(f"{key}: {value}")


@data_app.command("get")
def data_get(name: str, out: Annotated[Path, typer.Option(help="Folder of class folders to write.")]) -> None:
    """Write a data set as a folder of class folders.  Example:  unseen data get digits:printed --out printed"""
    from unseen.data import sources

    if (kind := sources.info(name).kind) != "image":
        raise ValueError(f"{name} holds {kind}, no pictures: read it in Python, unseen.data.sources.get({name!r})")
    domain = sources.get(name)
    sources.save(domain, out)
    say(f"{len(domain)} pictures are in {out}")
    for credit in domain.credits:
        say(credit)


@app.command()
def reproduce(
    slugs: Annotated[list[str] | None, typer.Argument(help="Systems; --list names those with a claim.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All systems with a claim.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name the systems with a claim, and run none.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One seed.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run the confirmed cases again; exit 0 if every verdict stands.")
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Run the cases that nobody has opened, once, and record the evidence.")
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Run one recorded cell of each experiment and log the largest difference.")
    ] = False,
    status: Annotated[
        bool,
        typer.Option(
            "--status",
            help="Is the evidence fresh? Runs each system on small inputs, about 10 s, and no experiment.",
        ),
    ] = False,
    accept: Annotated[
        str, typer.Option(help="Log why today's conditions give recorded figures another verdict.", show_default=False)
    ] = "",
    evidence: Annotated[Path, typer.Option(help="Folder of recorded evidence.")] = Path("docs/evidence"),
    as_json: options.AsJson = False,
) -> None:
    """Run the claims of a paper as experiments.

    Exit 0: what must hold held, and no verdict flipped; 3: it ran and that is not so; 1: an error.

    --status says: fresh (the system gives what it gave), moved (it gives something else: --replay it), stale (a verdict
    flipped), unstamped (nobody looked on this type of processor: --replay it), none (never recorded).

    Example:  unseen reproduce loki --quick
    """
    from unseen import claims, methods
    from unseen.claims import evidence as records

    modes = {"--check": check, "--confirm": confirm, "--replay": replay, "--status": status, "--accept": bool(accept)}
    if sum(modes.values()) > 1:
        raise ValueError(f"{' and '.join(name for name, on in modes.items() if on)} exclude each other")
    if quick and (confirm or replay or status or accept):
        raise ValueError("--quick goes with no other mode than --check: it is one seed of what runs")
    if listed:
        rows = [{"slug": slug, "title": methods.card(slug).title} for slug in claims.slugs()]
        if as_json:
            dump(rows)
        else:
            typer.echo("\n".join(f"{row['slug']:18s} {row['title']}" for row in rows))
        return
    chosen = list(claims.slugs()) if everything else list(slugs or [])
    if not chosen:
        raise ValueError(f"name at least one system ({', '.join(claims.slugs())}), or --all")
    for slug in chosen:
        claims.module(slug)
    if (check or replay or status or accept) and not evidence.is_dir():
        raise ValueError(
            f"there is no folder {str(evidence)!r}: records lie in docs/evidence of the repository; run this in a copy "
            "of it, or name the folder by --evidence; `unseen web` shows the verdicts that ship"
        )
    good = True
    results = []
    for slug, freshness in zip(chosen, records.summary(chosen, folder=evidence) if status else itertools.repeat(None)):
        if freshness is not None:
            result, held, lines = _status(slug, freshness)
        elif replay:
            result = {"slug": slug, **records.replay(slug, folder=evidence)}
            held, lines = not result["flipped"], _replayed(result)
        elif accept:
            flipped = records.accept(slug, accept, folder=evidence)
            result, held = {"slug": slug, "accepted": flipped}, True
            lines = [f"{slug}: {len(flipped)} verdicts", *(f"  {f['was']} -> {f['now']}: {f['text']}" for f in flipped)]
        else:
            result = (
                records.confirm(slug, folder=evidence)
                if confirm
                else records.reproduce(slug, quick=quick, check=check, folder=evidence)
            )
            held, lines = result["good"], _ran(result)
        good &= held
        results.append(result)
        if not as_json:
            typer.echo("\n".join(lines))
    if as_json:
        dump(results)
    raise typer.Exit(0 if good else 3)


def _status(slug: str, freshness: Freshness) -> tuple[dict[str, Any], bool, list[str]]:
    why = {"moved": "replay it", "unstamped": "no stamp of this type of processor: replay it", "stale": "flipped"}
    lines = [f"{slug:18s} {freshness.word}" + (f" ({why[freshness.word]})" if freshness.word in why else "")]
    return (
        {"slug": slug, **dataclasses.asdict(freshness)},
        freshness.word != "stale",
        [*lines, *(f"    {part}" for part in freshness.parts)],
    )


def _replayed(result: Mapping[str, Any]) -> list[str]:
    where = f" ({result['where']})" if result["where"] else ""
    lines = [f"{result['slug']}: {len(result['cells'])} cells, largest difference {result['difference']:g}{where}"]
    lines += [f"  flipped: {text}" for text in result["flipped"]]
    lines += [f"  otherwise, as known of this type of processor: {text}" for text in result.get("otherwise", ())]
    lines += [
        f"  on other data than was recorded with, which says nothing: {name}" for name in result.get("other data", ())
    ]
    return [
        *lines,
        *(f"  recorded on the edge, where rounding decides, and other now: {text}" for text in result["edge"]),
    ]


def _ran(record: Mapping[str, Any]) -> list[str]:
    lines = [f"{record['slug']} ({record['split']} cases, seeds {record['seeds']}, {record['seconds']:.0f} s)"]
    for row in record["ledger"]:
        lines.append(f"  [{row['verdict']:>12s}] {row['level']}: {row['text']}")
        if row["told"]:
            lines.append(f"                 {row['told']}")
    return [*lines, *(f"  another verdict than the recorded one: {text}" for text in record.get("changed", ()))]
