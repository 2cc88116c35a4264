"""Architectures: rank those that nobody trained, and make tables of trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, dump, resumes, say, settings_of, told, write_csv
from unseen.runtime import replacing
from unseen.strict_json import strict_json

nas_app = typer.Typer(no_args_is_help=True, help="Rank architectures of a search space without training them all.")
app.add_typer(nas_app, name="nas")

Size = Annotated[int, typer.Option(help="Side of the pictures that networks read.", min=4, max=64)]
Channels = Annotated[int, typer.Option(help="1 (grey) or 3 (RGB).", min=1, max=3)]
Data = Annotated[
    str | None,
    typer.Option(
        help="Labelled pictures: a folder of class folders, ..., or digits:handwritten, digits:printed, letters; "
        "with a benchmark's file the name of a data set in it."
    ),
]


@nas_app.command()
@resumes
def rank(
    context: typer.Context,
    space: Annotated[
        str,
        typer.Argument(help="cells or vits; or a table: cells-digits, ..., a file of `unseen nas table`, zc_*.json."),
    ],
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist or be empty.")] = Path("nas"),
    trained: Annotated[
        int, typer.Option(help="Architectures to train, 8 at least, or to take from the table, 4 at least.", min=4)
    ] = 40,
    proxies: Annotated[
        str | None, typer.Option(help="Statistics of the table to rank by; grad_norm,snip,synflow where it has them.")
    ] = None,
    top: Annotated[int, typer.Option(help="Best new ones to train (or to look up) in the end.", min=1)] = 5,
    accuracies: Annotated[
        str | None, typer.Option(help="Trainings that are done: .csv with architecture, accuracy, or .parquet.")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Rank so many, drawn at random; the whole space if absent.", min=1)
    ] = None,
    limit: Annotated[int, typer.Option(help="A larger space is searched by evolution.", min=1)] = 50_000,
    evaluations: Annotated[int, typer.Option(help="Scores of an evolution.", min=50)] = 1000,
    size: Size = 8,
    channels: Channels = 1,
    epochs: Annotated[int | None, typer.Option(help="Of each training.", min=1)] = None,
    method: Annotated[
        str,
        typer.Option(help="forest-ranker (random trees; a second) or parzc (a network that is trained to rank)."),
    ] = "forest-ranker",
    settings: options.Settings = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Rank architectures from node-wise statistics of untrained networks and a few trained ones.

    Of a space, it trains some networks on half of your pictures, learns to rank, scores the whole space (some 70 a
    second), and trains the best. Of a table, it learns from some rows and ranks the others. It writes ranked.csv,
    nodes.csv, result.json and nas.png; killed while it trains, the same command goes on.

    Example:  unseen nas rank cells --data digits:handwritten --trained 40 --candidates 1000 --out nas
    """
    from unseen.jobs.architectures import job as nas
    from unseen.jobs.architectures import page as report
    from unseen.nn.search_spaces import SPACES

    params = settings_of(settings, proxies="--proxies")
    journal = out / "trainings.jsonl"
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not journal.exists():
        raise ValueError(f"--out must be a new or an empty folder; {out} holds other files")
    if space in SPACES:
        if data is None:
            raise ValueError(f"--data is needed to train networks of {space}: labelled pictures")
        if proxies is not None:
            raise ValueError(f"--proxies is for a table; networks of {space} are measured by grad_norm, snip, synflow")
        out.mkdir(parents=True, exist_ok=True)
        ranking = nas.rank_space(
            space, data, trained=trained, top=top, accuracies=accuracies, candidates=candidates, limit=limit,
            evaluations=evaluations, size=size, channels=channels, epochs=epochs, method=method, settings=params,
            seed=seed, journal=journal,
        )  # fmt: skip
    else:
        _refuse(context, ("accuracies", "candidates", "limit", "evaluations", "size", "channels", "epochs"))
        names = None if proxies is None else [name.strip() for name in proxies.split(",")]
        ranking = nas.rank_table(
            space,
            trained=trained,
            data=data,
            proxies=names,
            method=method,
            settings=params,
            top=top,
            seed=seed,
        )
        out.mkdir(parents=True, exist_ok=True)
    result = {"agreement": dict(ranking.agreement), **ranking.facts}
    write_csv(out / "ranked.csv", ranking.table)
    write_csv(out / "nodes.csv", ranking.nodes)
    with replacing(out / "result.json") as temporary:
        temporary.write_text(strict_json(result))
    with replacing(out / "nas.png") as temporary:
        temporary.write_bytes(report.picture(ranking.table, ranking.nodes, str(ranking.facts["space"])))
    if as_json:
        dump(result)
        return
    best, new = ranking.table[ranking.table.role == "top"], int((ranking.table.role != "trained").sum())
    for row in best.itertuples():
        typer.echo(f"{row.architecture}  score {row.score:+.2f} ± {row.uncertainty:.2f}  accuracy {row.accuracy:.1%}")
    say(
        f"these are the best {len(best)} of {new} that were scored and not learned from; "
        "± tells how unsure a score is, not how far a rank is off"
    )
    agreement = ranking.agreement
    spread = f" ± {agreement['tau deviation']:.2f}" if "tau deviation" in agreement else ""
    say(
        f"of two architectures that it did not learn from, it ranks the better one first in "
        f"{50 * (1 + agreement['tau']):.0f} of 100 cases (Kendall's tau {agreement['tau']:.2f}{spread}, Spearman's rho "
        f"{agreement['rho']:.2f})"
        + (f" ({agreement['parts']:.0f} parts of the trained ones)" if "parts" in agreement else "")
        + f"; the ranking is in {out / 'ranked.csv'}, the picture in {out / 'nas.png'}"
    )


def _refuse(context: typer.Context, names: Sequence[str]) -> None:
    """Refuse options of a space that were given beside a table."""
    if wrong := told(context, names):
        raise ValueError(f"{', '.join(wrong)}: for a space, cells or vits; a table has its networks measured")


@nas_app.command()
@resumes
def table(
    space: Annotated[str, typer.Argument(help="cells or vits.")],
    data: Annotated[str, typer.Option(help="Labelled pictures, or digits:handwritten, digits:printed, letters.")],
    out: Annotated[Path, typer.Option(help="Table to write (.parquet).")],
    n: Annotated[int, typer.Option("--n", help="Architectures, drawn at random.", min=2)] = 150,
    first: Annotated[int | None, typer.Option(help="Train only the first so many of them.", min=1)] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds: each is trained once for every one.", min=1)] = 2,
    inits: Annotated[int, typer.Option(help="Inits of which statistics are taken.", min=0)] = 2,
    size: Size = 8,
    channels: Channels = 1,
    seed: Annotated[int, typer.Option(help="Seed of the draw.", min=0)] = 2026,
) -> None:
    """Train architectures for real and write what they reached, with statistics of the untrained ones.

    Killed, the same command goes on: every training stands in OUT.jsonl when it is done.

    Example:  unseen nas table cells --data digits:handwritten --n 200 --out cells-digits.parquet
    """
    from unseen.jobs.architectures import job as nas

    if out.suffix != ".parquet" or not out.parent.is_dir():
        raise ValueError(f"--out must be a file that ends in .parquet, in a folder that exists; got {str(out)!r}")
    check_apart([data], out=out)
    benchmark = nas.make_table(
        space, data, n=n, first=first, seeds=seeds, inits=inits, size=size, channels=channels, sample_seed=seed,
        journal=out.with_suffix(".jsonl"),
    )  # fmt: skip
    benchmark.save(out)
    say(f"{benchmark!r} is in {out}")
