"""The command line, thin: it reads arguments, calls the library, and prints."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="unseen",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Adapt pretrained models to classes, domains and modalities they have never seen, and see whether it worked."
    "\n\n"
    "Start here:  [bold]unseen demo[/bold]   then, on your own folders:  "
    "[bold]unseen compare --source photos --target sketches --out run[/bold]",
)


@app.callback()
def settings_of_all_commands(
    context: typer.Context,
    threads: Annotated[
        int,
        typer.Option(
            envvar="UNSEEN_THREADS",
            min=1,
            help="Threads of every fit. More are faster; results are equal bits only for equal numbers.",
        ),
    ] = 1,
    device: Annotated[
        str | None, typer.Option(envvar="UNSEEN_DEVICE", help="cpu, cuda, cuda:1, ...", show_default=False)
    ] = None,
) -> None:
    """Say how every command runs."""
    from unseen.runtime import runtime

    context.with_resource(runtime(threads=threads, device=device, progress=True))


data_app = typer.Typer(no_args_is_help=True, help="Data that packages ship: list, look up, get.")
app.add_typer(data_app, name="data")
new_app = typer.Typer(no_args_is_help=True, help="Write a package of your own.")
app.add_typer(new_app, name="new")

Source = Annotated[
    str | None,
    typer.Option(help="Labelled data: folder of class folders, table, arrays, shards.", show_default=False),
]
Target = Annotated[
    str | None, typer.Option(help="Data to work on. Labels in it are sealed as the exam.", show_default=False)
]
Support = Annotated[str | None, typer.Option(help="A few labelled samples of the target.", show_default=False)]
Classes = Annotated[
    str | None,
    typer.Option(help="Class file (CSV or JSON): name, description, parent, attributes.", show_default=False),
]
Model = Annotated[
    str | None, typer.Option(help="Folder of a saved model whose classifier is adapted.", show_default=False)
]
EncoderName = Annotated[
    str | None, typer.Option(help="Pretrained encoder; `unseen encoders` lists them.", show_default=False)
]
Labels = Annotated[str, typer.Option(help="Labels found in --target: exam, support or split:0.5.")]
OnError = Annotated[str, typer.Option(help="Unreadable samples: skip (and name them) or fail.")]
Precision = Annotated[str, typer.Option(help="Of the frozen encoder: auto (fastest here) or fp32 (reference).")]
Trust = Annotated[bool, typer.Option("--trust", help="Load encoders that can run code (TorchScript, custom ONNX).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WithEncoder = Annotated[bool, typer.Option("--bundle", help="Put the encoder's weights into the model folder.")]


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _dump(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


# -- the main job ------------------------------------------------------------------------------------------


@app.command()
def demo(
    data: Annotated[str, typer.Option(help="emoji (needs npm for the drawings) or digits (needs nothing).")] = "emoji",
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
    source: Annotated[str | None, typer.Option(help="Emoji style with labels.", show_default=False)] = None,
    target: Annotated[str | None, typer.Option(help="Emoji style without labels.", show_default=False)] = None,
    seeds: Annotated[int, typer.Option(help="Seeds per candidate.")] = 1,
) -> None:
    """Compare methods on real drawings in two styles, and write a report.

    Example:  unseen demo --data digits --out runs/digits
    """
    from unseen.compare.demo import demo_data

    known, new, credit = demo_data(data, source, target, _say)
    _say(credit)
    _compare(dict(source=known, target=new, seeds=seeds, out=out, command=_command()))


@app.command()
def compare(
    source: Source = None,
    target: Target = None,
    support: Support = None,
    classes: Classes = None,
    model: Model = None,
    encoder: EncoderName = None,
    methods: Annotated[str, typer.Option(help="auto, or slugs with commas (slug:preset for one preset).")] = "auto",
    protocol: Annotated[str, typer.Option(help="auto, closed, partial, open, open-partial, zsl or gzsl.")] = "auto",
    labels: Labels = "exam",
    seeds: Annotated[int, typer.Option(help="Seeds per candidate.", min=1)] = 3,
    budget: Annotated[str | None, typer.Option(help="Time for all fits, such as 10m.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Run folder; a killed run goes on in it.")] = Path("runs/compare"),
    on_error: OnError = "skip",
    precision: Precision = "auto",
    pictures: Annotated[bool, typer.Option(help="Thumbnails in the report.")] = True,
    bundle: WithEncoder = False,
    trust: Trust = False,
    as_json: AsJson = False,
    engine: Annotated[str, typer.Option(help="Where fits run: process (here, in turn) or ray.")] = "process",
    ray_address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster; Ray starts here if absent.", show_default=False)
    ] = None,
    cpus_per_fit: Annotated[float, typer.Option(help="Processors that Ray sets aside for a fit.", min=0)] = 1.0,
    gpus_per_fit: Annotated[float, typer.Option(help="GPUs for a fit; .25 lets four share one.", min=0)] = 0.0,
) -> None:
    """Run every method that fits, choose one without target labels, and report.

    Example:  unseen compare --source photos --target sketches --out runs/sketches
    """
    from unseen.scale import Engine

    where = Engine(name=engine, address=ray_address, cpus=cpus_per_fit, gpus=gpus_per_fit)  # type: ignore[arg-type]
    _compare(
        dict(
            source=source, target=target, support=support, classes=classes, model=_model(model), encoder=encoder,
            methods=methods, protocol=protocol, labels=labels, seeds=seeds, budget=budget, out=out, on_error=on_error,
            precision=precision, pictures=pictures, with_encoder=bundle, trust=trust, command=_command(),
            engine=where,
        ),
        as_json,
    )  # fmt: skip


def _compare(inputs: dict[str, Any], as_json: bool = False) -> None:
    from unseen.compare import compare as run

    comparison = run(**inputs, say=_say)
    if as_json:
        _dump(comparison.results)
        return
    from rich.console import Console

    from unseen.report import rich_table, summary

    console = Console()
    console.print(rich_table(comparison.results))
    for line in summary(comparison.results):
        console.print(line, highlight=False, markup=False)
    console.print(f"Report: {comparison.folder}/report.html", highlight=False, soft_wrap=True)


@app.command()
def adapt(
    method: Annotated[str, typer.Option(help="Slug; `unseen methods` lists them.")],
    out: Annotated[Path, typer.Option(help="Folder of the saved model.")],
    source: Source = None,
    target: Target = None,
    support: Support = None,
    classes: Classes = None,
    model: Model = None,
    encoder: EncoderName = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Hyperparameter as name=value.", show_default=False)
    ] = None,
    preset: Annotated[str, typer.Option(help="Preset of the method.")] = "default",
    labels: Labels = "exam",
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    on_error: OnError = "skip",
    precision: Precision = "auto",
    bundle: WithEncoder = False,
    trust: Trust = False,
) -> None:
    """Fit one method and save the model.

    Example:  unseen adapt --method glc --source photos --target sketches --set epochs=10 --out models/glc
    """
    from unseen.compare import adapt as run

    given = dict(
        source=source, target=target, support=support, classes=classes, model=_model(model), encoder=encoder,
        labels=labels, on_error=on_error, precision=precision, trust=trust,
    )  # fmt: skip
    saved = run(
        method=method,
        settings=_settings(settings or []),
        preset=preset,
        seed=seed,
        out=out,
        with_encoder=bundle,
        **given,
    )
    _say(f"{saved.method!r} with {len(saved.classes)} classes is in {out}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model (or of a run).")],
    inputs: Annotated[list[str], typer.Argument(help="Files or folders.")],
    top: Annotated[int, typer.Option(help="Classes to name.", min=1)] = 1,
    abstain: Annotated[bool, typer.Option("--abstain", help="Name no class where the model is not sure.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the table to a file.", show_default=False)] = None,
    as_json: AsJson = False,
    trust: Trust = False,
) -> None:
    """Predict new files with a saved model; probabilities are calibrated.

    Example:  unseen predict runs/sketches/model new.jpg --top 5
    """
    import pandas as pd

    saved = _bundle(model, trust)
    tables = [saved.predict(path, top=top, abstain=abstain) for path in inputs]
    table = pd.concat(tables, ignore_index=True)
    if csv is not None:
        temporary = csv.with_name(f".{csv.name}.tmp")
        table.to_csv(temporary, index=False)
        temporary.replace(csv)
        _say(f"{len(table)} predictions are in {csv}")
    elif as_json:
        _dump(json.loads(table.to_json(orient="records", force_ascii=False)))
    else:
        typer.echo(table.to_string(index=False))


# -- what there is -----------------------------------------------------------------------------------------


@app.command()
def methods(
    slug: Annotated[str | None, typer.Argument(help="Show one method.", show_default=False)] = None,
    given: Annotated[
        str | None,
        typer.Option(help="What you have: source,target,support,classes,model,...", show_default=False),
    ] = None,
    search: Annotated[str, typer.Option(help="Words in slug, title, summary or room.", show_default=False)] = "",
    as_json: AsJson = False,
) -> None:
    """List the methods, or show what one needs and does.

    Example:  unseen methods --given source,target
    """
    from unseen import catalogue

    if slug is not None:
        about = catalogue.describe(slug)
        if as_json:
            _dump(about)
        else:
            _print_method(about)
        return
    words = None if given is None else [word.strip() for word in given.split(",") if word.strip()]
    found = catalogue.search(search, words)
    if as_json:
        _dump([{"slug": e.slug, "title": e.title, "venue": e.venue, "room": e.room, "built": e.built} for e in found])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "room", "needs", "what it does", box=None, pad_edge=False)
    for entry in found:
        needs = " | ".join("+".join(way.required) for way in entry.needs) if entry.built else "planned"
        table.add_row(entry.slug, entry.room, needs, entry.summary or entry.title)
    Console().print(table)


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
    typer.echo("\nhyperparameters (--set name=value)")
    for key, value in about["parameters"].items():
        typer.echo(f"  {key} = {value}")
    typer.echo("\npresets: " + ", ".join(about["presets"]))
    for label in ("notes", "left_out"):
        for note in about[label]:
            typer.echo(f"- {note}")


@app.command()
def recommend(
    source: Source = None,
    target: Target = None,
    support: Support = None,
    classes: Classes = None,
    model: Model = None,
    encoder: EncoderName = None,
    labels: Labels = "exam",
    as_json: AsJson = False,
) -> None:
    """Say which methods fit what you have, and why the others do not; nothing is trained.

    Example:  unseen recommend --source photos --target sketches
    """
    from unseen import catalogue
    from unseen.compare.inputs import prepare

    ready = prepare(
        source=source,
        target=target,
        support=support,
        classes=classes,
        encoder=encoder,
        labels=labels,
        model=_model(model),
    )
    rows = catalogue.recommend(ready.given(ready.source, 0))
    if as_json:
        _dump(rows)
        return
    for row in rows:
        typer.echo(f"{'fits' if row['fits'] else '    '}  {row['slug']:16s} {row['why']}")


@app.command()
def encoders(
    name: Annotated[str | None, typer.Argument(help="Show one.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """List the pretrained encoders by name.

    Example:  unseen encoders efficientnet-lite0
    """
    from unseen import encoders as registry

    rows = [registry.describe(one) for one in ([name] if name else registry.names())]
    if as_json:
        _dump(rows)
        return
    for row in rows:
        typer.echo("  ".join(f"{key}: {value}" for key, value in row.items() if value))


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """List the data sets that packages ship.  Example:  unseen data list"""
    from unseen.data import sources

    rows = sources.list_sources()
    if as_json:
        _dump([vars(row) for row in rows])
        return
    for row in rows:
        size = f"{row.download / 2**20:.1f} MB" if row.download else "here"
        typer.echo(f"{row.name:34s} {size:>9s}  {row.summary}")


@data_app.command("info")
def data_info(name: str, as_json: AsJson = False) -> None:
    """Say what a data set is, how large, by whom.  Example:  unseen data info emoji:noto"""
    from unseen.data import sources

    about = vars(sources.info(name))
    if as_json:
        _dump(about)
    else:
        for key, value in about.items():
            typer.echo(f"{key}: {value}")


@data_app.command("get")
def data_get(name: str, out: Annotated[Path, typer.Option(help="Folder of class folders to write.")]) -> None:
    """Write a data set as a folder of class folders.  Example:  unseen data get digits:printed --out printed"""
    from unseen.data import sources

    domain = sources.get(name)
    sources.save(domain, out)
    _say(f"{len(domain)} pictures are in {out}")
    for credit in domain.credits:
        _say(credit)


# -- trust -------------------------------------------------------------------------------------------------


@app.command()
def diagnose(
    source: Annotated[str, typer.Option(help="Labelled data.")],
    target: Annotated[str, typer.Option(help="Data to work on; no label in it is read.")],
    support: Support = None,
    classes: Classes = None,
    encoder: EncoderName = None,
    on_error: OnError = "skip",
    precision: Precision = "auto",
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Say how two domains differ, and what that means for the choice of a method; nothing is trained on.

    Example:  unseen diagnose --source photos --target sketches
    """
    from unseen.compare.inputs import prepare
    from unseen.compare.job import introduction
    from unseen.diagnosis import diagnose as run

    ready = prepare(
        source=source, target=target, support=support, classes=classes, encoder=encoder, on_error=on_error,
        precision=precision, trust=trust,
    )  # fmt: skip
    for line in introduction(ready):
        _say(line)
    found = run(ready)
    if found is None:
        raise ValueError("source and target must have at least 20 samples each to be diagnosed")
    if as_json:
        _dump(found.to_json())
        return
    for figure in found.lines:
        typer.echo(f"{figure.about}: {figure.value}\n  {figure.meaning}")


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model (or of a run).")],
    target: Annotated[str, typer.Argument(help="Data that the model is meant for.")],
    n: Annotated[int, typer.Option("--n", help="Samples to look at.", min=1)] = 60,
    out: Annotated[Path, typer.Option(help="Page (.html) or table (.csv) to answer.")] = Path("verify.html"),
    answers: Annotated[
        Path | None, typer.Option(help="Answers to grade: the page's JSON or the filled table.", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="What the model learned from, never asked about.", show_default=False)
    ] = None,
    support: Annotated[str | None, typer.Option(help="The same.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    on_error: OnError = "skip",
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Ask a person about random samples, then say how often the model is right, with an exact interval.

    What was answered is sealed: no later fit on this machine learns from it.

    Example:  unseen verify runs/sketches sketches --n 60 --out verify.html

    Then:  unseen verify runs/sketches sketches --answers answers.json
    """
    from unseen import verification
    from unseen.data.loaders import load

    if answers is None and out.suffix not in (".html", ".csv"):
        raise ValueError(f"out must end in .html or .csv; got {str(out)!r}")
    given = None if answers is None else verification.read_answers(answers)
    saved, domain = _bundle(model, trust), load(target, on_error=on_error)  # type: ignore[arg-type]
    if given is not None:
        grade = verification.grade(saved, domain, given)
        new = verification.seal(given)
        if as_json:
            _dump(grade.to_json())
        else:
            for line in grade.lines():
                typer.echo(line)
        _say(f"{len(given)} answers are sealed on this machine, {new} of them new: no fit learns from these samples")
        return
    learned = verification.learned_by(model)
    for path in (source, support):
        if path is not None:
            learned |= set(load(path, on_error=on_error).digests().tolist())  # type: ignore[arg-type]
    questions = verification.ask(saved, domain, n, seed=seed, learned=learned)
    if out.suffix == ".csv":
        verification.write_table(out, questions, domain)
    else:
        command = shlex.join(["unseen", "verify", str(model), target, "--answers", verification.ANSWERS])
        verification.write_page(out, questions, domain, command)
    _say(f"{len(questions)} of {len(domain)} samples are in {out}, drawn at random")


@app.command()
def label(
    target: Annotated[str, typer.Argument(help="Data without labels, or with a few.")],
    model: Annotated[
        Path | None, typer.Option(help="Saved model (or run) whose guesses are shown.", show_default=False)
    ] = None,
    source: Source = None,
    budget: Annotated[int, typer.Option(help="Labels that you can pay for.", min=1)] = 20,
    classes: Classes = None,
    encoder: EncoderName = None,
    out: Annotated[Path, typer.Option(help="Table with an empty column label.")] = Path("to_label.csv"),
    seed: Annotated[int, typer.Option(help="Of the clusters.")] = 0,
    on_error: OnError = "skip",
    trust: Trust = False,
) -> None:
    """Propose which samples to label next; the filled table is a --support of compare.

    Example:  unseen label sketches --source photos --budget 20 --out to_label.csv
    """
    from unseen.labeling import propose

    if out.suffix != ".csv":
        raise ValueError(f"out must end in .csv; got {str(out)!r}")
    proposal = propose(
        target, budget=budget, model=None if model is None else _bundle(model, trust), source=source, classes=classes,
        encoder=encoder, seed=seed, on_error=on_error, trust=trust,
    )  # fmt: skip
    proposal.save(out)
    _say(f"{len(proposal.samples)} samples to label are in {out}, the most telling first")
    if proposal.classes:
        _say(f"classes to get a first label for, in order: {', '.join(proposal.classes)}")
    _say(proposal.gain.sentence() if proposal.gain else "What they buy cannot be estimated without a larger --source.")


# -- evidence ----------------------------------------------------------------------------------------------


@app.command()
def reproduce(
    slugs: Annotated[list[str] | None, typer.Argument(help="Systems.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All systems with a claim.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One seed.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Run the confirmation cases; exit 0 if the verdict equals the recorded one."),
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Run the confirmation cases once and record the evidence.")
    ] = False,
    evidence: Annotated[Path, typer.Option(help="Folder of recorded evidence.")] = Path("docs/evidence"),
    as_json: AsJson = False,
) -> None:
    """Run the claims of a paper as experiments. Exit 0: what must hold held; 3: it ran and did not; 1: an error.

    Example:  unseen reproduce loki --quick
    """
    from unseen import claims
    from unseen.claims.evidence import reproduce as run

    chosen = list(claims.slugs()) if everything else list(slugs or [])
    if not chosen:
        raise ValueError(f"name at least one system ({', '.join(claims.slugs())}), or --all")
    good = True
    told = []
    for slug in chosen:
        record = run(slug, quick=quick, check=check, confirm=confirm, folder=evidence)
        told.append(record)
        good &= record["good"]
        if not as_json:
            typer.echo(f"{slug} ({record['split']} cases, seeds {record['seeds']}, {record['seconds']:.0f} s)")
            for row in record["ledger"]:
                typer.echo(f"  [{row['verdict']:>12s}] {row['level']}: {row['text']}")
                if row["told"]:
                    typer.echo(f"                 {row['told']}")
    if as_json:
        _dump(told)
    raise typer.Exit(0 if good else 3)


# -- carrying ----------------------------------------------------------------------------------------------


@app.command()
def quantize(
    model: Annotated[
        str,
        typer.Argument(help="Folder of a saved model, or timm:NAME, or an encoder such as efficientnet-lite0."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the quantized network.")],
    method: Annotated[str, typer.Option(help="zeroq or dfq.")] = "zeroq",
    bits: Annotated[str, typer.Option(help="Weight/activation bits, such as 8/8.")] = "8/8",
    size: Annotated[
        str | None,
        typer.Option(help="Size of the weights, such as 3MB: mixed precision.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Hyperparameter as name=value.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    trust: Trust = False,
) -> None:
    """Quantize a network without any data.

    The paper distils 32 pictures in 500 steps, which takes long on a CPU; fewer do here.

    Example:  unseen quantize efficientnet-lite0 --bits 8/8 --out models/lite0 --set iterations=80 --set batch_size=16
    --set learning_rate=0.1 --set shape=[3,96,96]
    """
    from unseen.compare.quantization import quantize as run

    _, about = run(
        model,
        out=out,
        method=method,
        bits=bits,
        size=size,
        settings=_settings(settings or []),
        seed=seed,
        trust=trust,
    )
    for key, value in about.items():
        typer.echo(f"{key}: {value}")


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
    _say(f"{len(features)} x {features.n_features} features of {name} are in {out}")


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model (or of a run).")],
    out: Annotated[Path | None, typer.Option(help="ONNX file.", show_default=False)] = None,
    web: Annotated[
        Path | None,
        typer.Option(help="HTML file that classifies pictures offline (needs npm once).", show_default=False),
    ] = None,
    trust: Trust = False,
) -> None:
    """Write a saved model as ONNX, checked against onnxruntime, or as one offline web page.

    Example:  unseen export runs/sketches/model --out sketches.onnx --web sketches.html
    """
    if out is None and web is None:
        raise ValueError("name --out FILE.onnx, --web FILE.html or both")
    saved = _bundle(model, trust)
    if out is not None:
        difference = saved.export(out)
        _say(f"{out}: {out.stat().st_size / 2**20:.1f} MB; largest difference from torch {difference:.1e}")
    if web is not None:
        from unseen.serving.page import write_page

        write_page(saved, web)
        _say(f"{web}: {web.stat().st_size / 2**20:.1f} MB; open it in a browser")


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
    """Answer predictions over HTTP: /predict, /health, /metrics, and /docs, which explains them.

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
        _bundle(model, trust),
        host=host,
        port=port,
        token=token,
        limits=limits,
        ready=lambda url: _say(f"listening on {url}, explained at {url}/docs; stop with Ctrl+C"),
    )


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write the report of a run again.  Example:  unseen report runs/sketches"""
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
    _say(f"{folder} is written; try: pip install -e {folder} && pytest {folder} && unseen methods {slug}")


# -- plumbing ----------------------------------------------------------------------------------------------


def _command() -> str:
    return shlex.join(["unseen", *sys.argv[1:]])


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Hyperparameters from name=value; values are JSON where they can be."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise ValueError(f"--set takes name=value; got {pair!r}")
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        settings[key] = tuple(read) if isinstance(read, list) else read
    return settings


def _bundle(folder: Path, trust: bool) -> Any:
    from unseen.bundle import Bundle

    inside = folder / "model"
    return Bundle.load(inside if (inside / "bundle.json").exists() else folder, trust=trust)


def _model(folder: str | None) -> Any:
    return None if folder is None else _bundle(Path(folder), False).method.network()


def main() -> None:
    """Run the command line; a mistake of the user is one line, not a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        app()
    except (ValueError, TypeError, OSError, RuntimeError, ImportError, ArithmeticError) as error:
        if os.environ.get("UNSEEN_TRACEBACK"):
            raise
        _say(f"unseen: {error}")
        if not isinstance(error, (ValueError, OSError, ImportError)):
            _say("(UNSEEN_TRACEBACK=1 shows where this came from)")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
