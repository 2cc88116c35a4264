"""`unseen find` and `unseen compose`: pictures by a picture and a text, clips by a text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, check_outside, check_written, dump, say, settings_of


@app.command()
def find(
    collection: Annotated[
        str, typer.Argument(help="Pictures, a collection of `unseen curate` with an index, or clips.")
    ],
    image: Annotated[str | None, typer.Option(help="A picture to begin with.")] = None,
    text: Annotated[str, typer.Option(help='What of it counts, or changes: "on grass".')] = "",
    model: Annotated[
        str | None,
        typer.Option(
            help="What `unseen compose` made; the two are added if absent. Of clips: `unseen align --method mug-stan`."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Two-tower encoder, where there is no model: lite-clip if absent.")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="combiner, sum, image or text; the best that is there.")] = None,
    share: Annotated[float | None, typer.Option(help="Of the text in the sum; the tuned one, or 0.5.")] = None,
    top: Annotated[int, typer.Option(help="How many pictures.", min=1)] = 10,
    page: Annotated[Path | None, typer.Option(help="HTML page with the pictures.")] = None,
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Find pictures like another one with respect to a text; or clips.

    Vectors of the collection are kept, so that the second search takes less than a second.

    Example:  unseen find photos --image dog.png --text "on grass" --model composer

    Example:  unseen find videos --text "a dog jumps" --model runs/found
    """
    from unseen.jobs.composed_retrieval.job import find as run
    from unseen.jobs.composed_retrieval.page import write_found

    check_apart([collection, image], page=page)
    check_outside(model, page=page)
    check_written("page", page, ".html")
    hits, about = run(
        collection, image=image, text=text, model=model, encoder=encoder, mode=mode, share=share, top=top,  # type: ignore[arg-type]
        trust=trust,
    )  # fmt: skip
    if page is not None:
        write_found(page, collection, image, text, hits, about)
    if as_json:
        dump({**about, "found": [dataclasses.asdict(hit) for hit in hits]})
        return
    for note in about["notes"]:
        say(note)
    for hit in hits:
        typer.echo(f"{hit.score:.3f}  {hit.id}  {hit.url}".rstrip())
    if not hits:
        say(f"there are no other {about['what']} that could be found")
    what = about["what"].removesuffix("s") if about["size"] == 1 else about["what"]
    say(f"{about['mode']}: {about['size']:,} {what} searched in {1000 * about['seconds']:.0f} ms")


@app.command()
def compose(
    pairs: Annotated[str, typer.Argument(help="Table with a column of pictures and one of captions.")],
    out: Annotated[Path, typer.Option(help="Folder of what is learnt, for `unseen find --model`.")],
    encoder: Annotated[str, typer.Option(help="Two-tower encoder, which rests.")] = "lite-clip",
    image: Annotated[str | None, typer.Option(help="Column of pictures; found if absent.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of captions; found if absent.")] = None,
    concreteness: Annotated[
        str | None,
        typer.Option(help="CSV with the columns word and concreteness (1 to 5): abstract captions are left out."),
    ] = None,
    bench: Annotated[
        str | None, typer.Option(help="Table of pictures and attributes: ways of asking are compared.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Column of BENCH: what a picture is of.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(help="Column of BENCH: what it is like; again for more.")
    ] = None,
    beside: Annotated[
        list[str] | None, typer.Option(help="Column of BENCH: what else is there; again for more.")
    ] = None,
    word: Annotated[
        list[str] | None, typer.Option(help='COLUMN=WORD before its values, such as colour=on for "on red".')
    ] = None,
    method: Annotated[str, typer.Option(help="What learns: genecis, or a method of another package.")] = "genecis",
    preset: Annotated[
        str | None, typer.Option(help="Preset of the method with towers that rest.", show_default="features")
    ] = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Learn from captions how a text changes what a picture asks for.

    Captions are parsed ("a dog on grass": dog, on, grass); two pictures of a dog, of which one is on grass, teach that
    "on grass" leads from one to the other (genecis). The sum of picture and text is tuned on the same captions and
    shown beside.

    Example:  unseen compose captions.csv --out composer --bench objects.csv --subject animal --attribute colour
    """
    from unseen.jobs.composed_retrieval.job import Bench
    from unseen.jobs.composed_retrieval.job import compose as run
    from unseen.jobs.composed_retrieval.page import lines

    spec = None
    if bench is not None:
        if subject is None or not (attribute or beside):
            raise ValueError("bench needs --subject COLUMN and at least one --attribute or --beside COLUMN")
        words = {column: before for column, _, before in (pair.partition("=") for pair in word or ())}
        spec = Bench(bench, subject, tuple(attribute or ()), tuple(beside or ()), words)
    about = run(
        pairs, out=out, encoder=encoder, image=image, text=text, concreteness=concreteness, bench=spec, method=method,
        preset=preset, settings=settings_of(settings), seed=seed, trust=trust, say=say,
    )  # fmt: skip
    if as_json:
        dump(about)
        return
    for line in lines(about):
        typer.echo(line)
    say(f'{out / "report.html"} shows it; unseen find PICTURES --image A --text "..." --model {out}')
