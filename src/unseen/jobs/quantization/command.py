"""A network made small without its data: quantize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, check_ending, check_outside, say, settings_of, tell


@app.command()
def quantize(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Folder of a saved model, timm:NAME, torchvision:NAME, or an encoder such as efficientnet-lite0."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the quantized network.")] = None,
    method: Annotated[
        str | None, typer.Option(help="A method that quantizes: `unseen methods` tells; zeroq if not told.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Preset of the method, such as cpu: few steps, small batches.")
    ] = None,
    bits: Annotated[
        str | None, typer.Option(help="Weight/activation bits, such as 8/8; the method's own if not told.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Size of the weights, such as 3MB: mixed precision.")] = None,
    pictures: Annotated[
        str | None, typer.Option(help="A few real pictures to measure on, in place of distilled ones.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Pictures, labelled or not, to compare with the float network on.")
    ] = None,
    again: Annotated[
        Path | None, typer.Option("--from", help="Folder of an earlier run: other bits, nothing distilled.")
    ] = None,
    onnx: Annotated[Path | None, typer.Option(help="ONNX file that computes in integers.")] = None,
    settings: options.Settings = None,
    seed: options.OptionalSeed = None,
    verbose: options.Verbose = False,
    trust: options.Trust = False,
) -> None:
    """Quantize a network without any data, or with a few pictures.

    The paper distils 32 pictures in 500 steps, which takes long on a CPU; fewer do here. A report stands in the folder.

    Example:  unseen quantize efficientnet-lite0 --bits 8/8 --out models/lite0 --preset cpu --set "shape=[3,96,96]"
    """
    from unseen.jobs.quantization.job import quantize as run
    from unseen.jobs.quantization.page import facts

    if out is None and onnx is None:
        raise ValueError("name --out FOLDER, --onnx FILE or both")
    check_ending("onnx", onnx, ".onnx")
    check_apart([model, pictures, data], onnx=onnx)
    for folder in (model, again):
        check_outside(folder, onnx=onnx)
    _, about = run(
        model,
        out=out,
        method=method,
        preset=preset,
        bits=bits,
        size=size,
        pictures=pictures,
        data=data,
        again=again,
        onnx=onnx,
        settings=settings_of(settings),
        seed=seed,
        trust=trust,
    )
    shown = facts(about)
    for key in shown if verbose else (key for key in ANSWER if key in shown):
        tell(f"{key}: {shown[key]}")
    if out is not None:
        say(f"report: {out / 'report.html'}")


ANSWER = (
    "parameters before", "parameters after", "same class as before on distilled pictures",
    "same class as before on data", "accuracy on data", "ONNX", "ONNX against float", "ONNX on data", "ONNX speed",
)  # fmt: skip
"""What the terminal shows if not all is asked for."""
