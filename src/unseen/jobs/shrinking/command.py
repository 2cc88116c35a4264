"""`unseen shrink`: a smaller image-text model of one that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, dump, say, settings_of


@app.command()
def shrink(
    model: Annotated[
        str, typer.Argument(help="open_clip:ARCH/FILE or a tag of the hub, or towers:FOLDER, which this wrote.")
    ],
    pairs: Annotated[str, typer.Option(help="Table with a column of pictures and one of texts; no labels are needed.")],
    out: Annotated[Path, typer.Option(help="Folder of the small model.")],
    size: Annotated[float, typer.Option(help="Share of the model's parameters to keep, between 0 and 1.")] = 0.5,
    method: Annotated[
        str | None,
        typer.Option(
            help="tinyclip (fewer channels, heads and layers; the default) or low-rank (every layer thinner)."
        ),
    ] = None,
    inherit: Annotated[
        str | None,
        typer.Option(
            help="Of tinyclip. manual: slices of weights; auto: what learnt gates keep (slower); none: fresh ones."
        ),
    ] = None,
    stages: Annotated[
        int | None, typer.Option(help="Of tinyclip: steps from the whole model to the size; 1 if absent.", min=1)
    ] = None,
    image: Annotated[str | None, typer.Option(help="Column of pictures; found if absent.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts; found if absent.")] = None,
    held_out: Annotated[float, typer.Option(help="Share of the pairs to ask both models about.")] = 0.1,
    classes: Annotated[
        str | None, typer.Option(help="Labelled pictures: the zero-shot accuracy of both models.")
    ] = None,
    prompts: Annotated[
        list[str] | None, typer.Option(help='Text with {} for a class name; "a photo of a {}." if absent.')
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Preset of the method; of tinyclip cpu (few steps) if absent.")
    ] = None,
    settings: Annotated[list[str] | None, options.hyperparameter("the method")] = None,
    onnx: Annotated[bool, typer.Option(help="Also write both towers as ONNX.")] = True,
    seed: options.Seed = 0,
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Make an image-text model small, with its own pairs or others.

    The small model begins with what is kept of the large one's layers, and learns to find the same texts like each
    picture as the large one does. The folder is an encoder (towers:FOLDER) for every command that takes one; a page
    compares both models in size, speed, and what they find among pairs of which neither picture nor text was learnt
    from.

    Example:  unseen shrink open_clip:ViT-B-32/weights.bin --size 0.3 --pairs pairs.csv --out small

    then:     unseen compare --target photos --classes "cat,dog" --encoder towers:small --out run
    """
    from unseen.jobs.shrinking.job import shrink as run
    from unseen.jobs.shrinking.page import facts

    about = run(
        model, pairs, out=out, size=size, method=method, inherit=inherit, stages=stages, image=image, text=text,
        held_out=held_out, classes=classes, prompts=prompts or None, preset=preset, settings=settings_of(settings),
        onnx=onnx, seed=seed, trust=trust, say=say,
    )  # fmt: skip
    if as_json:
        dump(about)
        return
    for key, value in facts(about).items():
        typer.echo(f"{key}: {value}")
    say(f"{out / 'report.html'} shows it")
