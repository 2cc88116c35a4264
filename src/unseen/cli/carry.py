"""What is made of a model: quantize, embed, export, serve, report; and a package of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen.cli.app import (
    EncoderName,
    OnError,
    Precision,
    Trust,
    app,
    new_app,
    open_bundle,
    say,
    settings_of,
)


@app.command()
def quantize(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Folder of a saved model, timm:NAME, torchvision:NAME, or an encoder such as efficientnet-lite0.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the quantized network.", show_default=False)] = None,
    method: Annotated[
        str | None,
        typer.Option(help="A method that quantizes: `unseen methods` tells; zeroq if not told.", show_default=False),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Preset of the method, such as cpu: few steps, small batches.", show_default=False),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(help="Weight/activation bits, such as 8/8; the method's own if not told.", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Size of the weights, such as 3MB: mixed precision.", show_default=False),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(help="A few real pictures to measure on, in place of distilled ones.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Pictures, labelled or not, to compare with the float network on.", show_default=False),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option("--from", help="Folder of an earlier run: other bits, nothing distilled.", show_default=False),
    ] = None,
    onnx: Annotated[Path | None, typer.Option(help="ONNX file that computes in integers.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Hyperparameter as name=value.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; 0 if not told.", show_default=False)] = None,
    trust: Trust = False,
) -> None:
    """Quantize a network without any data, or with a few pictures.

    The paper distils 32 pictures in 500 steps, which takes long on a CPU; fewer do here. A report stands in the folder.

    Example:  unseen quantize efficientnet-lite0 --bits 8/8 --out models/lite0 --preset cpu --set "shape=[3,96,96]"
    """
    from unseen.compare.quantization import quantize as run
    from unseen.report.quantization import facts

    if out is None and onnx is None:
        raise ValueError("name --out FOLDER, --onnx FILE or both")
    if onnx is not None and onnx.suffix != ".onnx":
        raise ValueError(f"--onnx must end in .onnx; got {str(onnx)!r}")
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
        settings=settings_of(settings or []),
        seed=seed,
        trust=trust,
    )
    for key, value in facts(about).items():
        typer.echo(f"{key}: {value}")
    if out is not None:
        say(f"{out / 'report.html'} shows it")


@app.command()
def embed(
    data: Annotated[str, typer.Argument(help="Folder, table, shards.")],
    out: Annotated[Path, typer.Option(help="Parquet or .npz file.")],
    encoder: EncoderName = None,
    precision: Precision = "auto",
    on_error: OnError = "skip",
    trust: Trust = False,
) -> None:
    """Turn samples into features once, and keep them as a table.

    Example:  unseen embed photos --encoder efficientnet-lite0 --out photos.parquet
    """
    from unseen.compare.inputs import DEFAULT_ENCODER
    from unseen.data.loaders import load
    from unseen.data.loaders.save import save_features
    from unseen.encoders import get

    domain = load(data, on_error=on_error)  # type: ignore[arg-type]
    name = encoder or DEFAULT_ENCODER.get(domain.kind)
    if name is None:
        raise ValueError(f"{data} holds {domain.kind}; name an --encoder")
    features = get(name, precision=precision, trust=trust).encode(domain)  # type: ignore[arg-type]
    save_features(features, out)
    say(f"{len(features)} x {features.n_features} features of {name} are in {out}")


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model (or of a run).")],
    out: Annotated[Path | None, typer.Option(help="ONNX file.", show_default=False)] = None,
    web: Annotated[
        Path | None,
        typer.Option(help="HTML file that classifies pictures offline (needs npm once).", show_default=False),
    ] = None,
    integers: Annotated[
        bool, typer.Option("--integers", help="Of a quantized model: compute in 8-bit integers.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Write a saved model as ONNX, or as one offline web page.

    ONNX is checked against onnxruntime. A quantized model is written as it is simulated, in floats; with --integers it
    computes in 8-bit integers, on ranges from its distilled pictures.

    Example:  unseen export runs/sketches/model --out sketches.onnx --web sketches.html
    """
    if out is None and web is None:
        raise ValueError("name --out FILE.onnx, --web FILE.html or both")
    saved = open_bundle(model, trust)
    if out is not None and integers:
        from unseen.compare.integers import export_model
        from unseen.report.quantization import speed

        told = export_model(saved, out)
        say(
            f"{out}: {told.megabytes:.1f} MB ({told.float_megabytes:.1f} in floats); "
            f"cosine of logits with the simulated network {told.cosine:.4f}; {speed(told._asdict())}"
        )
    elif out is not None:
        difference = saved.export(out)
        say(f"{out}: {out.stat().st_size / 2**20:.1f} MB; largest difference from torch {difference:.1e}")
    if web is not None:
        from unseen.serving.page import write_page

        write_page(saved, web)
        say(f"{web}: {web.stat().st_size / 2**20:.1f} MB; open it in a browser")


@app.command()
def serve(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model (or of a run).")],
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    token: Annotated[
        str | None,
        typer.Option(envvar="UNSEEN_TOKEN", help="What requests must carry; better as a variable.", show_default=False),
    ] = None,
    max_bytes: Annotated[int, typer.Option(help="Longest body of a request.", min=1)] = 16 * 2**20,
    max_pixels: Annotated[int, typer.Option(help="Largest picture, width times height.", min=1)] = 50_000_000,
    max_batch: Annotated[int, typer.Option(help="Most samples of a request.", min=1)] = 64,
    wait: Annotated[float, typer.Option(help="Milliseconds to wait for more samples to predict together.")] = 4.0,
    trust: Trust = False,
) -> None:
    """Answer predictions over HTTP.

    At /predict, /health and /metrics; /docs explains them.

    Example:  unseen serve runs/sketches/model --port 8000
    """
    try:
        from unseen.serving.limits import Limits
        from unseen.serving.server import serve as run
    except ImportError as error:
        raise ImportError(f'serving needs: pip install "unseen[serve]" ({error})') from error

    queue = max(256, max_batch)
    limits = Limits(bytes=max_bytes, pixels=max_pixels, batch=max_batch, queue=queue, wait=wait / 1000)
    run(
        open_bundle(model, trust),
        host=host,
        port=port,
        token=token,
        limits=limits,
        ready=lambda url: say(f"listening on {url}, explained at {url}/docs; stop with Ctrl+C"),
    )


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write the report of a run again.

    Example:  unseen report runs/sketches
    """
    from unseen.report import render

    typer.echo(str(render(run)))


@new_app.command("method")
def new_method(
    slug: Annotated[str, typer.Argument(help="Its name: lower-case words joined by hyphens.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; ./SLUG if absent.", show_default=False)] = None,
) -> None:
    """Write a package with a method, its test, its claim and its card; it works as it is, fill in your own rule.

    Example:  unseen new method my-method && pip install -e my-method && pytest my-method
    """
    from unseen.scaffold import new_method as write

    folder = write(slug, out)
    say(f"{folder} is written; try: pip install -e {folder} && pytest {folder} && unseen methods {slug}")


@app.command()
def web(
    runs: Annotated[Path, typer.Option(help="Folder below which runs are looked for.")] = Path("runs"),
    models: Annotated[Path, typer.Option(help="Folder below which saved models are; those of runs count too.")] = (
        Path("models")
    ),
    evidence: Annotated[
        Path | None, typer.Option(help="Folder of recorded evidence; docs/evidence if it is there.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 7860,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="UNSEEN_TOKEN", help="The password for a browser; better as a variable.", show_default=False
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Show runs, evidence and models in a browser.

    What fits, what evidence says, two runs side by side, and a model tried on a picture.

    Example:  unseen web --runs runs --models models
    """
    try:
        from unseen.web.server import serve as run

        run(
            runs=runs,
            models=models,
            evidence=evidence,
            host=host,
            port=port,
            token=token,
            trust=trust,
            ready=lambda url: say(f"listening on {url}; stop with Ctrl+C"),
        )
    except ImportError as error:
        raise ImportError(f'web needs: pip install "unseen[web]" ({error})') from error
