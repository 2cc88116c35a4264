"""`unseen continue`: learn the next task without forgetting the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, dump, say, settings_of


@app.command(name="continue")
def continue_(
    model: Annotated[str, typer.Argument(help="A folder that this command wrote, or a two-tower encoder: lite-clip.")],
    tasks: Annotated[
        list[str],
        typer.Argument(help="Labelled pictures, a task each; those learnt before are asked about, not learnt again."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model that comes of it; may be that of MODEL.")],
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled pictures of which the held-out share is asked about, and none learnt; may be given again."
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Pictures of many things, without labels, on which it is held to what it said before; those of the "
            "task if absent."
        ),
    ] = None,
    texts: Annotated[
        str | None, typer.Option(help="Sentences about many things, one a line; ImageNet's classes if absent.")
    ] = None,
    prompts: Annotated[
        list[str] | None, typer.Option(help='Text with {} for a class name; "a photo of a {}." if absent.')
    ] = None,
    train: Annotated[
        str, typer.Option(help="heads: last layers on frozen features; all: both towers whole, for a GPU.")
    ] = "auto",
    method: Annotated[
        str | None,
        typer.Option(
            help="stream-ridge (one layer on frozen features; seconds) or zscl (both towers learn); "
            "what the model began with, else stream-ridge with heads, zscl with all."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset of the method.")] = None,
    settings: options.Settings = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            help="Share of each task that is asked about and never learnt, the same in all calls; 0.25 if absent."
        ),
    ] = None,
    seed: options.Seed = 0,
    bundle: options.WithEncoder = False,
    trust: options.Trust = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Learn the next tasks, and see what of the others was forgotten.

    An image-text model knows any class by its name. Fine-tuned on one task it forgets the others, and what it could do
    without any training. Here one layer on frozen features learns all tasks as if they had come together
    (stream-ridge), or the towers learn and are held to what they said before (zscl). The accuracy on every task at
    every stage stands beside the zero-shot start. The folder predicts like any saved model, and goes on later.

    Example:  unseen continue lite-clip animals digits --out models/both

    then:     unseen continue models/both vehicles animals digits --out models/three
    """
    from unseen.jobs.streams.job import continue_stream
    from unseen.jobs.streams.page import lines, scores, told

    _, history = continue_stream(
        model, tasks, out=out, also=also or (), reference=reference, texts=texts, prompts=prompts or None,
        train=train, method=method, preset=preset, settings=settings_of(settings), held_out=held_out, seed=seed,  # type: ignore[arg-type]
        with_encoder=bundle, trust=trust, say=say,
    )  # fmt: skip
    if as_json:
        dump({**dataclasses.asdict(history), "scores": scores(history)})
        return
    say("accuracy in %, on samples that nothing was learnt from (how many), among the classes of the task")
    for line in (*lines(history), "", *told(history, figures=verbose)):
        typer.echo(line)
    say(f"The model is in {out}; {out / 'stream.html'} shows the table")
