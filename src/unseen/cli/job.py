"""The main job: demo, compare, adapt, predict."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen import options
from unseen.cli.answers import NO_CLASS, Inputs, answer_lines, class_lines, rows_of, tell_rows
from unseen.cli.models import (
    open_bundle,
    open_model,
    open_zoo,
    place_of_model,
    room_of_model,
    told_by_run,
)
from unseen.console import (
    app,
    check_apart,
    check_outside,
    check_written,
    command_line,
    dump,
    resumes,
    say,
    settings_of,
    tell,
    told,
)
from unseen.files import read_json

if TYPE_CHECKING:
    from unseen.bundle import Bundle
    from unseen.data.domain import Domain, Skipped
    from unseen.jobs.models import TaskModel

SEEDS = "How many seeds: each candidate is fitted once for every one, 0, 1, ..."


@app.command()
@resumes
def demo(
    data: Annotated[str, typer.Option(help="emoji (needs npm for the drawings) or digits (needs nothing).")] = "emoji",
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
    source: Annotated[str | None, typer.Option(help="Emoji style with labels.")] = None,
    target: Annotated[str | None, typer.Option(help="Emoji style without labels.")] = None,
    seeds: Annotated[int, typer.Option(help=SEEDS, min=1)] = 1,
    verbose: options.Verbose = False,
) -> None:
    """Compare methods on drawings in two styles, and write a report.

    Example:  unseen demo --data digits --out runs/digits
    """
    from unseen.compare.demo import demo_data

    known, new, credit = demo_data(data, source, target, say)
    say(credit)
    _compare(dict(source=known, target=new, seeds=seeds, out=out, command=command_line()), verbose=verbose)


@app.command()
@resumes
@options.spread
def compare(
    given: options.Given,
    methods: Annotated[str, typer.Option(help="auto, all, or slugs with commas (slug:preset is one preset).")] = "auto",
    protocol: Annotated[
        str, typer.Option(help="auto, closed, partial, open, open-partial, zsl, gzsl or base-to-new.")
    ] = "auto",
    careful: Annotated[
        bool | None,
        typer.Option(
            help="Leave source-only only where two label-free scores say so: harms less, gains less. "
            "If absent: with features of your own, not with those of a pretrained encoder."
        ),
    ] = None,
    crafted: Annotated[
        bool | None,
        typer.Option(
            help="Ask candidates about crafted copies of source pictures, too (ten families of strong changes). "
            "If absent: where there is no target; then they decide."
        ),
    ] = None,
    refit: Annotated[
        bool, typer.Option(help="Fit the chosen method once more, on all labelled source samples, and save that.")
    ] = True,
    seeds: Annotated[int, typer.Option(help=SEEDS, min=1)] = 3,
    budget: Annotated[str | None, typer.Option(help="Time for all fits, such as 10m.")] = None,
    out: Annotated[Path, typer.Option(help="Run folder; a killed run goes on in it.")] = Path("runs/compare"),
    pictures: Annotated[bool, typer.Option(help="Thumbnails in the report.")] = True,
    bundle: options.WithEncoder = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    engine: Annotated[
        str, typer.Option(help="Where samples are encoded and fits run: process (here, on all cores) or ray.")
    ] = "process",
    ray_address: options.Address = None,
    cpus_per_fit: Annotated[float, typer.Option(help="Processors that Ray sets aside for a fit.", min=0)] = 1.0,
    gpus_per_fit: Annotated[float, typer.Option(help="GPUs for a fit; .25 lets four share one.", min=0)] = 0.0,
) -> None:
    """Try unlike methods, keep what they agree on, and report.

    What they say of the target is learnt by one model; no label of the target is used.

    Labels of the target, unless --labels says otherwise, grade what was chosen; they choose nothing.

    Two folders:     unseen compare --source photos --target sketches --out run

    Names alone:     unseen compare --target photos --classes "cat,dog,horse" --out run

    Tables:          unseen compare --source old.csv --target new.csv --out run

    A few labels:    unseen compare --support few --target sketches --out run

    Quick:           unseen compare --source photos --target sketches --seeds 1 --budget 2m --out run

    Then:            unseen predict run new.png --top 3
    """
    _check(given, classes=given.classes, methods=methods, protocol=protocol, budget=budget, out=out)
    from unseen.scale import Engine

    where = Engine(name=engine, address=ray_address, cpus=cpus_per_fit, gpus=gpus_per_fit, workers=0)  # type: ignore[arg-type]
    _compare(
        dict(
            **_opened(given), methods=methods, protocol=protocol, careful=careful, crafted=crafted, refit=refit,
            seeds=seeds, budget=budget, out=out, pictures=pictures, with_encoder=bundle, command=command_line(),
            engine=where,
        ),
        verbose=verbose,
        as_json=as_json,
    )  # fmt: skip


def _compare(inputs: dict[str, Any], *, verbose: bool, as_json: bool = False) -> None:
    from unseen.compare import compare as run

    comparison = run(**inputs, say=say)
    if as_json:
        dump(comparison.results)
        return
    from unseen.report import details, summary

    if verbose:
        _candidates(comparison.results)
    for line in (*(details(comparison.results) if verbose else ()), "", *summary(comparison.results)):
        tell(line)
    use = f"unseen predict {shlex.quote(str(comparison.folder))} FILE"
    tell(f"report: {comparison.folder}/report.html; to use what was chosen: {use}")


def _candidates(results: dict[str, Any]) -> None:
    """All candidates with their figures, as tables."""
    from rich.console import Console

    from unseen.report import rich_table, teachers_table

    console = Console()
    console.print(rich_table(results))
    if taught := {row["name"]: row["teachers"] for row in results["candidates"] if row["teachers"]}:
        console.print(teachers_table(taught))
    console.print()


@app.command()
@options.spread
def adapt(
    *,
    context: typer.Context,
    method: Annotated[
        str | None, typer.Option(help="Slug; `unseen methods` lists them; some --model goes on without one.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the saved model.")],
    given: options.Given,
    settings: options.Settings = None,
    preset: Annotated[str, typer.Option(help="Preset of the method.")] = "default",
    seed: options.Seed = 0,
    refit: Annotated[
        bool,
        typer.Option(help="Fit once to calibrate, without a fifth of the source, and once more on all; or only once."),
    ] = True,
    bundle: options.WithEncoder = False,
) -> None:
    """Fit one method and save the model.

    Without --method, a saved --model goes on by itself, in seconds and without its source: to another --target
    (meta-dmoe), to other --classes by their names (x-clip, mug-stan), or to other classes by a handful of labelled
    samples, --support (cdfsl-v, dafosnet).

    Example:  unseen adapt --method glc --source photos --target sketches --set epochs=10 --out models/glc
    Example:  unseen adapt --model models/x-clip --classes "waving,bowing" --out models/gestures
    """
    _check(given)
    if method is None:
        _move(context, given, out=out, bundle=bundle)
        return
    chosen = settings_of(settings)
    _check_fit(method, preset, chosen, out)
    opened = _opened(given)
    from unseen.compare import adapt as run
    from unseen.compare.results import teachers as zoo

    saved = run(
        method=method,
        settings=chosen,
        preset=preset,
        seed=seed,
        refit=refit,
        out=out,
        with_encoder=bundle,
        say=say,
        **opened,
    )
    if taught := zoo(saved.method):
        from rich.console import Console

        from unseen.report import teachers_table

        Console().print(teachers_table({method: taught}))
    say(f"{saved.method!r} with {len(saved.classes)} classes is in {out}")


SETTLED = (
    "source", "prompts", "ontology", "taxonomy", "teachers", "encoder", "settings", "preset",
    "labels", "seed", "refit", "precision",
)  # fmt: skip
"""Options of `adapt` that a saved model has behind it."""


def _check(given: options.Given, **more: Any) -> None:
    """Refuse, before anything is read, what can be told from the words alone."""
    from unseen.compare.asked import check_asked

    paths = ("source", "target", "support", "ontology", "model", "teachers")
    check_asked(
        data={word: getattr(given, word) for word in paths}, labels=given.labels, encoder=given.encoder,
        on_error=given.on_error, precision=given.precision, prompts=given.prompts, **more,
    )  # fmt: skip


def _check_fit(method: str, preset: str, settings: Mapping[str, Any], out: Path) -> None:
    """Refuse, before anything is read, a method that `adapt` cannot make, and a place where it cannot be saved."""
    from unseen.compare.asked import check_methods, named_preset
    from unseen.compare.checks import check_saved_to

    slug, chosen = named_preset(method, preset)
    check_methods([f"{slug}:{chosen}"], "method" if ":" in method else "preset")
    check_saved_to(out)
    if settings:
        from unseen import catalogue

        catalogue.make(slug, chosen, 0, **settings)


def _opened(given: options.Given) -> dict[str, Any]:
    """The words of `compare` and `adapt`, samples read and saved models opened."""
    from unseen.compare.reading import read_early

    read = read_early(**vars(given))
    models = {"model": open_model(given.model, given.trust), "teachers": open_zoo(given.teachers)}
    return {**vars(given), **read, **models}


def _move(context: typer.Context, given: options.Given, *, out: Path, bundle: bool) -> None:
    """Let a saved model go on to another target, other names, or another handful."""
    words = {word: getattr(given, word) for word in ("target", "classes", "support")}
    onto = {word: value for word, value in words.items() if value is not None}
    if given.model is None or len(onto) != 1:
        raise ValueError(
            "name a --method to fit, or a saved --model and what it goes on to: --target, --classes or --support"
        )
    if settled := told(context, SETTLED):
        raise ValueError(f"{', '.join(settled)} cannot be changed in a saved --model; name a --method to fit one")
    from unseen.compare.moves import move

    saved, started = open_bundle(Path(given.model), given.trust), time.perf_counter()
    moved = move(saved, **onto, out=out, with_encoder=bundle, on_error=given.on_error)
    to, seconds = next(iter(onto.values())), time.perf_counter() - started
    say(f"{moved.method!r} is adapted to {to} in {seconds:.1f} s, and in {out}")


@app.command()
def predict(
    model: options.SavedModel,
    inputs: Annotated[list[str], typer.Argument(help="Files, folders, or patterns in quotes.")],
    top: Annotated[int, typer.Option(help="Classes to name.", min=1)] = 1,
    abstain: Annotated[bool, typer.Option("--abstain", help="Name no class where the model is not sure.")] = False,
    csv: Annotated[
        Path | None, typer.Option(help="Write the table to a file; what cannot be read has a row with the reason.")
    ] = None,
    stride: Annotated[
        float | None, typer.Option(help="Of videos: a window every so many seconds, each with its times.")
    ] = None,
    window: Annotated[float | None, typer.Option(help="Seconds of a window; as long as the stride if absent.")] = None,
    as_json: options.AsJson = False,
    trust: options.Trust = False,
) -> None:
    """Predict new files with a saved model.

    Probabilities of classes are calibrated on labelled samples that were held out. A tagger, ranker, mapper, captioner
    or network that segments answers in its own way: spans, documents, nodes, captions, shares of a picture.

    Exit 0: all are answered; 3: some cannot be read, named or in a folder, and ten are named; 1: none, or an error.

    Example:  unseen predict runs/sketches/model new.jpg --top 5
    Example:  unseen predict runs/moves/model match.mp4 --stride 2 --window 4 --csv match.csv
    """
    if window is not None and stride is None:
        raise ValueError(f"--window {window:g} needs --stride: how many seconds lie between two windows")
    from unseen.compare.asked import check_path
    from unseen.data.damage import undamaged

    room = room_of_model(model)
    place = place_of_model(model) if room is None else room[1]
    for path in inputs:
        check_path("inputs", path)
    named = Inputs(inputs)
    check_apart(named.paths, csv=csv)
    check_outside(model, csv=csv)
    check_written("csv", csv, ".csv")
    if room is not None:
        from unseen.jobs.models import TaskModel

        if flags := [flag for flag, value in (("--abstain", abstain), ("--stride", stride)) if value]:
            raise ValueError(f"{', '.join(flags)} is for models that name classes; {model} holds {room[0].what}")
        answers, left = _answers(TaskModel(*room), named, top)
        tell_rows(answers, answer_lines(answers), csv, as_json, inputs=named, inside=left)
        return
    kinds, columns = _reads(place)

    def read(path: str) -> Domain:
        domain = _samples(path, stride, window, columns)
        _check_kind(place, path, domain.kind, kinds)
        return domain

    samples = dict(named.each(read))  # refused before torch and model load
    saved = open_bundle(model, trust)
    for caution in told_by_run(place, {domain.kind for domain in samples.values()}):
        say(f"note: in the run of this model {caution}")

    def predicted(path: str) -> list[dict[str, Any]]:
        try:
            return list(rows_of(_predicted(saved, samples[path], top, abstain)))
        except ValueError:
            whole = undamaged(samples[path], threads=8 if stride is None else 1)
            if whole is samples[path]:
                raise
            samples[path] = whole
            return list(rows_of(_predicted(saved, samples[path], top, abstain)))

    predictions = named.each(predicted)
    rows = [row for path, part in predictions for row in named.named(path, part)]
    skipped = {path: samples[path].skipped for path, _ in predictions}
    tell_rows(rows, class_lines(rows, top), csv, as_json, inputs=named, inside=skipped, empty=NO_CLASS)


def _answers(model: TaskModel, inputs: Inputs, top: int) -> tuple[list[dict[str, Any]], dict[str, Sequence[Skipped]]]:
    """What a model that names no classes answers, as plain values, and what was left out of each input."""
    loaded = dict(inputs.each(model.read))  # refused, if at all, before the model is loaded

    def told(path: str) -> list[dict[str, Any]]:
        ids, samples, _ = loaded[path]
        replies = model.answers(samples, top, path)
        rows = [{"id": identity, **row} for identity, answers in zip(ids, replies) for row in answers]
        return rows if ids is samples else inputs.named(path, rows)  # a phrase is called by itself

    answered = inputs.each(told)
    return [row for _, rows in answered for row in rows], {path: loaded[path].skipped for path, _ in answered}


def _samples(path: str, stride: float | None, window: float | None, columns: Mapping[str, Any]) -> Domain:
    """What lies at a path; of a long video its windows."""
    from unseen.data.clips import sliding
    from unseen.data.loaders import load

    if stride is None:
        return load(path, **columns)
    if "://" in path or Path(path).is_dir():
        kind = "a URL" if "://" in path else "a folder: name its videos"
        raise ValueError(f"inputs must be videos on this machine where stride={stride:g} is given; {path!r} is {kind}")
    return sliding(path, stride, window)


def _predicted(saved: Bundle, domain: Domain, top: int, abstain: bool) -> dict[str, Any]:
    """The table of samples; of clips that are parts of a video with their times."""
    table = saved.predictions(domain, top=top, abstain=abstain)
    times = [key for key in ("start", "end") if domain.kind == "clip" and key in domain.columns]
    return {"id": table["id"], **{key: domain.columns[key] for key in times}, **table}


def _reads(place: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Kinds of samples that a saved model says that it reads, and in which columns; a wrong one is told on loading."""
    try:
        about = read_json(place / "bundle.json")
        columns = {"features": about.get("feature_names") or [], "like": about.get("sample_column") or []}
        kinds = ["features"] if about["encoder"] is None and columns["features"] else about["encoder"]["kinds"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no encoder and no names, or damaged
        return [], {}
    kinds = kinds if isinstance(kinds, list) else []
    return kinds, {word: names for word, names in columns.items() if isinstance(names, list)}


def _check_kind(place: Path, path: str, kind: str, kinds: Sequence[str]) -> None:
    """`ValueError` if a saved model says that it reads other samples."""
    if kinds and kind not in kinds:
        from unseen.data.kinds import KINDS

        read = " or ".join(KINDS[name][1] for name in kinds if name in KINDS)
        read = "tables of numbers" if kinds == ["features"] else read
        raise ValueError(f"{path} holds {KINDS[kind][1]}; the model in {place} reads {read or 'other samples'}")
