"""What is made of a model: embed, export, serve, report; and a package of your own."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen import options
from unseen.cli.models import open_bundle, place_of_model, room_of_model
from unseen.console import app, check_apart, check_ending, check_outside, new_app, say
from unseen.jobs import SavedModel


@app.command()
def embed(
    data: Annotated[str, typer.Argument(help="Folder, table, shards.")],
    out: Annotated[Path, typer.Option(help="Parquet, CSV or .npz file.")],
    encoder: options.Encoder = None,
    precision: options.Precision = "auto",
    on_error: options.OnError = "skip",
    trust: options.Trust = False,
) -> None:
    """Turn samples into features once, and keep them as a table.

    Example:  unseen embed photos --encoder efficientnet-lite0 --out photos.parquet
    """
    from unseen.compare.asked import check_asked
    from unseen.data.loaders.save import ENDINGS, save_features

    check_ending("out", out, *ENDINGS)
    check_asked(data={"data": data}, encoder=encoder, on_error=on_error, precision=precision)
    check_apart([data], out=out)
    from unseen.data.damage import undamaged
    from unseen.data.loaders import load
    from unseen.encoders import get
    from unseen.encoders.defaults import DEFAULT_ENCODER

    domain = load(data, on_error=on_error)  # type: ignore[arg-type]
    name = encoder or DEFAULT_ENCODER.get(domain.kind)
    if name is None and domain.kind == "features":
        raise ValueError(f"{data} holds features already: `compare` and `adapt` take it as it is, without an encoder")
    if name is None:
        raise ValueError(f"{data} holds {domain.kind}, for which there is no default encoder; name an --encoder")
    tower = get(name, precision=precision, trust=trust)  # type: ignore[arg-type]
    tower.check_kind(domain)
    features = tower.encode(undamaged(domain, on_error))  # type: ignore[arg-type]
    save_features(features, out)
    say(f"{len(features)} x {features.n_features} features of {name} are in {out}")


@app.command()
def export(
    model: options.SavedModel,
    out: Annotated[Path | None, typer.Option(help="ONNX file.")] = None,
    web: Annotated[
        Path | None, typer.Option(help="HTML file that answers for pictures offline (needs npm once).")
    ] = None,
    integers: Annotated[
        bool, typer.Option("--integers", help="Of a quantized model: compute in 8-bit integers.")
    ] = False,
    trust: options.Trust = False,
) -> None:
    """Write a saved model as ONNX, or as one offline web page.

    Classifiers, and networks that segment. ONNX is checked against onnxruntime. A quantized model is
    written as it is simulated, in floats; with --integers it computes in 8-bit integers, on ranges from its distilled
    pictures.

    Example:  unseen export runs/sketches/model --out sketches.onnx --web sketches.html
    """
    if out is None and web is None:
        raise ValueError("name --out FILE.onnx, --web FILE.html or both")
    check_ending("out", out, ".onnx")
    check_ending("web", web, ".html")
    check_outside(model, out=out, web=web)
    room = room_of_model(model)
    if room is not None and room[0].exported is not None:
        _export_room(model, *room, out, web, integers)
        return
    saved = open_bundle(model, trust)
    if out is not None and integers:
        from unseen.jobs.quantization.integers import export_model
        from unseen.jobs.quantization.page import speed

        exported = export_model(saved, out)
        say(
            f"{out}: {exported.megabytes:.1f} MB ({exported.float_megabytes:.1f} in floats); "
            f"cosine of logits with the simulated network {exported.cosine:.4f}, the same class on "
            f"{100 * exported.agreement:.0f} % of its distilled pictures; {speed(exported._asdict())}"
        )
    elif out is not None:
        say(_written(out, saved.export(out)))
    if web is not None:
        from unseen.serving.page import preprocess_of, write_page

        preprocess_of(saved)
        _write_page(web, functools.partial(write_page, saved))
    if not integers:
        _say_rounding(saved)


def _export_room(
    model: Path, kind: SavedModel, place: Path, out: Path | None, web: Path | None, integers: bool
) -> None:
    assert kind.exported is not None
    if integers or (web is not None and kind.offline is None):
        ways = "--out FILE.onnx alone" if kind.offline is None else "--out FILE.onnx and --web FILE.html, in floats"
        raise ValueError(f"{model} holds {kind.what}, which is written by {ways}")
    if out is not None:
        say(_written(out, kind.exported(place, out)))
    if web is not None:
        from unseen.serving.page import write_mask_page

        assert kind.offline is not None
        export_to = functools.partial(kind.exported, place)
        _write_page(web, functools.partial(write_mask_page, kind.offline(place), export_to))


def _write_page(web: Path, write: Callable[[Path], Any]) -> None:
    say(f"{web}: writing the network and the program that runs it into one page (npm once, then some seconds)")
    write(web)
    say(f"{web}: {web.stat().st_size / 2**20:.1f} MB; open it in a browser")


def _written(file: Path, difference: float) -> str:
    return f"{file}: {file.stat().st_size / 2**20:.1f} MB; largest difference from torch {difference:.1e}"


def _say_rounding(saved: Any) -> None:
    """Say how far `predict` is from what was written, where the encoder runs in bfloat16 here."""
    from unseen.serving.rounding import SAMPLES, bfloat16_difference

    difference = bfloat16_difference(saved)
    if difference is None:
        return
    measured = "" if difference != difference else f", here by up to {difference:.2g} on {SAMPLES} meaningless samples"
    say(
        "on this machine the encoder runs in bfloat16, and what was written in float32: probabilities of `unseen "
        f"predict` differ by rounding{measured}; a model that is saved with --precision fp32 has none of it"
    )


@app.command()
def serve(
    model: options.SavedModel,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    token: Annotated[str | None, options.token("What requests must carry")] = None,
    max_bytes: Annotated[int, typer.Option(help="Longest body of a request.", min=1)] = 16 * 2**20,
    max_pixels: Annotated[int, typer.Option(help="Largest picture, width times height.", min=1)] = 50_000_000,
    max_batch: Annotated[int, typer.Option(help="Most samples of a request.", min=1)] = 64,
    wait: Annotated[float, typer.Option(help="Milliseconds to wait for more samples to predict together.")] = 4.0,
    trust: options.Trust = False,
) -> None:
    """Answer predictions over HTTP.

    In a browser a form; for programs /predict, /health and /metrics, which /docs explains.

    Example:  unseen serve runs/sketches/model --port 8000
    """
    room = room_of_model(model)
    if room is None:
        place_of_model(model)
    try:
        from unseen.serving.limits import Limits
        from unseen.serving.server import check_address, check_free
        from unseen.serving.server import serve as run
    except ImportError as error:
        raise ImportError(f'serving needs: pip install "unseen[serve]" ({error})') from error

    queue = max(256, max_batch)
    limits = Limits(bytes=max_bytes, pixels=max_pixels, batch=max_batch, queue=queue, wait=wait / 1000)
    check_address(host, port, token)
    check_free(host, port)
    say(f"opening {model}")
    if room is not None:
        from unseen.jobs.models import TaskModel
        from unseen.serving.rows import ServedRows

        asked = TaskModel(*room)
        served: Any = ServedRows.of(asked.kind, asked.place, max_pixels=max_pixels)
    else:
        served = open_bundle(model, trust)
    run(
        served,
        host=host,
        port=port,
        token=token,
        limits=limits,
        ready=lambda url: say(f"listening on {url}, a form in a browser; for programs {url}/docs; stop with Ctrl+C"),
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
    out: Annotated[Path | None, typer.Option(help="Folder to write; ./SLUG if absent.")] = None,
) -> None:
    """Write a package with a method, its test, its claim and its card; it works as it is, fill in your own rule.

    Example:  unseen new method my-method && pip install -e my-method && pytest my-method
    """
    from unseen.scaffold import new_method as write

    folder = write(slug, out)
    place = shlex.quote(str(folder))
    say(f"{folder} is written; try: pip install -e {place} && pytest {place} && unseen methods {slug}")


@app.command()
def web(
    runs: Annotated[Path, typer.Option(help="Folder below which runs are looked for.")] = Path("runs"),
    models: Annotated[Path, typer.Option(help="Folder below which saved models are; those of runs count too.")] = (
        Path("models")
    ),
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder below which runs may read data; may be repeated. If absent: this one."),
    ] = None,
    evidence: Annotated[Path | None, typer.Option(help="Folder of recorded evidence; what ships if absent.")] = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 7860,
    token: Annotated[str | None, options.token("The password for a browser")] = None,
    max_upload: Annotated[int, typer.Option(help="Megabytes of one upload for a run.", min=1)] = 2048,
    trust: options.Trust = False,
) -> None:
    """Start, follow and compare runs in a browser; try their models.

    Also which methods fit what you have, and the evidence for each. A run goes on when this ends.

    Example:  unseen web --runs runs --data photos
    """
    try:
        from unseen.web.server import serve as run

        run(
            runs=runs,
            models=models,
            data=data or (),
            evidence=evidence,
            host=host,
            port=port,
            token=token,
            longest=max_upload * 2**20,
            trust=trust,
            ready=lambda url: say(f"listening on {url}; stop with Ctrl+C"),
        )
    except ImportError as error:
        raise ImportError(f'web needs: pip install "unseen[web]" ({error})') from error
