"""Which samples to train on: prune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, command_line, dump, say, settings_of

FLAGS = {
    **{name: name for name in ("keep", "quality", "dedup", "restarts", "temperature", "neighbours", "floor", "pick")},
    "n_clusters": "clusters",
    "random_state": "seed",
}
"""Hyperparameters that have a flag of their own."""


@app.command()
def prune(
    data: Annotated[
        Path,
        typer.Argument(
            help="Embeddings (.npy, .npz, .parquet, folder of .npz), a collection of `unseen curate`, or pictures."
        ),
    ],
    out: options.OutFolder = Path("pruned"),
    keep: Annotated[
        float, typer.Option(help="How many to keep: a fraction in (0, 1] of all, or a number from 2 on; 1 is all.")
    ] = 0.3,
    method: Annotated[
        str,
        typer.Option(
            help="concept-pruning (budgets by complexity); simple-pruning, or a rule of it: uniform (equal budgets), "
            "ssp (farthest from the middle of their concept), random, similarity."
        ),
    ] = "concept-pruning",
    clusters: Annotated[str, typer.Option(help="Concepts: a number, or auto, sqrt(n / 2), 500 at most.")] = "auto",
    dedup: Annotated[
        str,
        typer.Option(help="First drop one of two whose cosine is above 1 - this; 0: exact copies only; off: nothing."),
    ] = "0.01",
    quality: Annotated[
        float, typer.Option(help="First keep this share with the most similar captions; 1 keeps all.")
    ] = 1.0,
    temperature: Annotated[
        str | None,
        typer.Option(
            help="Of the budgets: a number (0.1 in the paper), or auto, by the spread of complexity; auto if absent."
        ),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option(help="Other centroids that a concept's distance is taken to; 20 if absent.", min=1),
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(
            help="Each concept keeps this share of an equal budget, and one sample; 0 if absent, of ssp 0.5.",
            min=0,
            max=1,
        ),
    ] = None,
    pick: Annotated[
        str | None,
        typer.Option(
            help="What stays in a concept: hardest, easiest or random; hardest, of uniform random, if absent."
        ),
    ] = None,
    settings: options.Settings = None,
    restarts: Annotated[int, typer.Option(help="Of k-means; 0: ten for little data, one for much.", min=0)] = 0,
    column: Annotated[
        str | None, typer.Option(help="Column or array with the vectors; found by its usual names.")
    ] = None,
    without_tags: Annotated[
        list[str] | None,
        typer.Option("--without-tag", help="Leave out pairs of a collection with this tag of `unseen explore`."),
    ] = None,
    encoder: options.Encoder = None,
    pictures: Annotated[bool, typer.Option(help="Thumbnails in the report, where there are pictures.")] = True,
    seed: options.Seed = 0,
    on_error: options.OnError = "skip",
    precision: options.Precision = "auto",
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Choose which image-text pairs to train on.

    Near-duplicates go first, then each concept has its own budget, or what --method says.

    Example:  unseen prune embeddings.npy --keep 0.3 --out pruned
    """
    from unseen.jobs.pruning.job import check_out, write
    from unseen.jobs.pruning.job import prune as run
    from unseen.jobs.pruning.page import LABELS

    told_settings = settings_of(settings, **{name: f"--{flag}" for name, flag in FLAGS.items()})
    flags = {"neighbours": neighbours, "floor": floor, "pick": pick}
    if temperature is not None:
        flags["temperature"] = "auto" if temperature == "auto" else _number("--temperature", temperature)
    told_settings |= {name: value for name, value in flags.items() if value is not None}
    check_out(out, data)
    result = run(
        data,
        keep=keep,
        method=method,
        clusters="auto" if clusters == "auto" else _whole("--clusters", clusters),
        dedup=None if dedup == "off" else _number("--dedup", dedup, "off"),
        quality=quality,
        settings=told_settings,
        restarts=restarts,
        encoder=encoder,
        column=column,
        precision=precision,
        trust=trust,
        on_error=on_error,  # type: ignore[arg-type]
        without_tags=without_tags or (),
        seed=seed,
        say=say,
    )
    summary = write(result, out, pictures=pictures, command=command_line())
    if as_json:
        dump(summary)
        return
    counts = {LABELS.get(name, name): n for name, n in summary["counts"].items() if n or name == "kept"}
    wide = max(map(len, counts))
    for label, n in counts.items():
        typer.echo(f"{label:<{wide}}{n:>12,}{n / summary['samples']:>8.1%}")
    whole = summary["concepts kept whole"]
    typer.echo(
        f"{summary['concepts']} concepts (groups of samples that are alike), "
        + (f"{whole} of them kept whole" if whole else "none of them kept whole")
    )
    if "confirmed" in summary["settings"]:
        say(f"near-duplicates have the same pixels, too: cosines of {result.samples.encoder} alone do not tell copies")
    uids = ", uids.npy" if result.samples.has_uids else ""
    say(f"{out} holds kept.parquet, dropped.parquet, concepts.parquet{uids} and report.html")


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{name} must be auto or a whole number; got {text!r}") from error


def _number(name: str, text: str, word: str = "auto") -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{name} must be {word} or a number; got {text!r}") from error
