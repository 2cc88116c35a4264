"""`unseen caption`: sounds in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, check_outside, check_written, command_line, dump, say, settings_of, tell

SHOWN = 5
"""Sounds that the terminal shows beside the page."""


@app.command()
def caption(
    sounds: Annotated[str, typer.Argument(help="A folder of sounds, a sound, or a table with a column of sounds.")],
    out: options.OutPage = Path("captions.html"),
    table: Annotated[Path | None, typer.Option(help="Write the captions too: .csv or .json.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of a captioner: used if it is there, else written.")
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            help="Texts to learn from: a line each, a table, or AudioCaps' folder; UNSEEN_DATA/audiocaps if absent."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="clap:FOLDER_OR_NAME, or small: learnt from --pairs.", show_default="small")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Table of sounds with captions, for the small space; sounds of a paint program if absent."),
    ] = None,
    decoder: Annotated[
        str | None, typer.Option(help="small, smollm2 or gpt2:FOLDER_OR_NAME.", show_default="small")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Names of sound events, a line each; AudioSet's 527 if absent.")
    ] = None,
    most: Annotated[
        int | None, typer.Option(help="Captions to learn from, at most.", min=2, show_default="12000")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of --captions.")] = None,
    longest: Annotated[float, typer.Option(help="Seconds; longer sounds are left out and named.", min=1)] = 600.0,
    beam: Annotated[
        int | None,
        typer.Option(help="Width of the beam search; 1 is greedy.", min=1, max=64, show_default="5, or the model's"),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="What learns, also a method of another package.", show_default="audio-captioning"),
    ] = None,
    settings: options.Settings = None,
    seed: options.OptionalSeed = None,
    as_json: options.AsJson = False,
) -> None:
    """Caption sounds, by a captioner that has learnt from texts alone.

    Beside each caption stand the sound events that were recognized and the nearest of the captions learnt from. A
    column caption in a table of sounds grades both.

    Example:  unseen caption sounds --encoder clap:models/clap --model captioner --table captions.csv
    """
    from unseen.jobs.captioning import job
    from unseen.jobs.captioning.captioner import ABOUT, Captioner
    from unseen.jobs.captioning.page import facts, graded, left_out, lines, write_page, write_table

    check_apart([sounds, captions, pairs, labels], out=out, table=table)
    check_outside(model, out=out, table=table)
    check_written("out", out, ".html")
    check_written("table", table, ".csv", ".json")
    job.sounds_of(sounds)  # what cannot be found is told before a decoder learns
    params = settings_of(settings, beam="--beam")
    written: Path | None = None
    if model is not None and (model / ABOUT).exists():
        learns = {"captions": captions, "pairs": pairs, "labels": labels, "column": column}
        if ignored := [name for name, value in learns.items() if value]:
            raise ValueError(f"model: {str(model)!r} is there and learns nothing; leave --{ignored[0]} out")
        captioner = Captioner.load(model)
        options = {"method": method, "encoder": encoder, "decoder": decoder, "most": most, "seed": seed, "beam": beam}
        job.refuse_others(captioner, {**params, **options})
        say(f"{model}: {captioner.facts['about']}")
    else:
        if model is not None:
            job.refuse_model(model)
        captioner = job.learn(
            captions, encoder=encoder or "small", pairs=pairs, decoder=decoder, labels=labels,
            most=most or job.MOST, column=column, method=method or job.DEFAULT,
            settings={**params, **({"beam": beam} if beam else {})}, seed=seed or 0, say=say,
        )  # fmt: skip
        if model is not None:
            captioner.save(model)
            written = model
    result = job.caption(sounds, captioner, longest=longest)
    write_page(result, out, command_line())
    if table is not None:
        write_table(table, result)
    if as_json:
        dump(facts(result))
    else:
        for line in (*lines(result, SHOWN), *graded(result.figures)):
            typer.echo(line)
        tell(result.verdict)
    for line in left_out(result):
        say(line)
    say(
        f"{out} holds the page"
        + (f", {table} the captions" if table else "")
        + (f", {written} the captioner" if written else "")
    )
