"""Few labelled samples of new classes: episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, command_line, dump, resumes, say, settings_of


@app.command()
@resumes
def episodes(
    data: Annotated[str, typer.Argument(help="Labelled samples: class folders, a table, arrays.")],
    way: Annotated[int, typer.Option(help="Classes of an episode.", min=2)] = 5,
    shot: Annotated[str, typer.Option(help="Labelled samples of each class; several with commas.")] = "1,5",
    queries: Annotated[int, typer.Option(help="Samples of each class that are asked about.", min=1)] = 15,
    n: Annotated[int, typer.Option("--episodes", help="How many.", min=1)] = 200,
    methods: Annotated[
        str, typer.Option(help="Slugs (or slug:preset) with commas; gains are against the first.")
    ] = "prototypes,linear-probe",
    base: Annotated[
        float, typer.Option(help="Share of the classes that no episode is of; a `source` for methods with one.", min=0)
    ] = 0.0,
    hard: Annotated[
        str, typer.Option(help="Make the pictures asked about hard: blur, small, camouflaged or occluded.")
    ] = "",
    severity: Annotated[int, typer.Option(help="How hard, from 1 to 5.", min=1, max=5)] = 3,
    unknown: Annotated[
        int, typer.Option(help="Further classes of an episode, whose samples must be rejected.", min=0)
    ] = 0,
    unknown_data: Annotated[str | None, typer.Option(help="Labelled samples of the classes that are unknown.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Labelled samples of another domain: the `source` of methods with one.")
    ] = None,
    unlabelled: Annotated[
        float | None,
        typer.Option(
            help="Share of each class that no episode holds: what methods with a `target` see, without labels (0.5).",
            min=0,
        ),
    ] = None,
    side: Annotated[
        int | None, typer.Option(help="Pixels of a side of clips, for methods that learn from these themselves.", min=8)
    ] = None,
    out: options.OutFolder = Path("runs/episodes"),
    encoder: options.Encoder = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    on_error: options.OnError = "skip",
    precision: options.Precision = "auto",
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Grade few-shot methods on the same seeded episodes.

    How well do a few labelled samples of a class name it, and which samples are of none of the classes?

    Example:  unseen episodes photos --way 5 --shot 1,5 --methods prototypes,linear-probe,fewshot-sfda

    Example:  unseen episodes street --source gym --methods prototypes,linear-probe,cdfsl-v:small --side 32

    Example:  unseen episodes sketches --unknown 5 --base 0.5 --source photos --methods prototypes,dafosnet
    """
    shots = _shots(shot)
    from unseen.evaluation.episodes import Episodes
    from unseen.evaluation.rejection import OPEN
    from unseen.jobs.episodes import job
    from unseen.jobs.episodes.names import NAMES

    job.check_out(out)
    if (out / "episodes.json").exists():
        say(f"{out} holds an earlier result, which this one replaces; name another --out to keep both")
    result = job.grade(
        data,
        protocol=Episodes(way=way, shots=shots, queries=queries, episodes=n, seed=seed, unknown=unknown),
        methods=[name.strip() for name in methods.split(",") if name.strip()],
        encoder=encoder,
        base=base,
        hard=hard,
        severity=severity,
        source=source,
        unknown_data=unknown_data,
        unlabelled=unlabelled,
        side=side,
        settings=settings_of(settings),
        precision=precision,
        trust=trust,
        on_error=on_error,
        work=job.work_of(out),
        say=say,
    )
    job.write(result, out, command_line())
    if as_json:
        dump(job.about(result))
        return
    first = next(iter(result.scores))
    width = max(16, *(len(name) + 1 for name in result.scores))
    for metric in ("accuracy", *(OPEN if unknown else ())):
        typer.echo(f"{'method':<{width}}{'shots':>6}{NAMES[metric]:>18}{'95 %':>16}   above {first}")
        for row in result.table():
            figures = row if metric == "accuracy" else row[metric]
            above = f"{figures['gain']:+.3f} ({figures['gain_low']:+.3f} to {figures['gain_high']:+.3f})"
            interval = f"{figures['low']:.3f} to {figures['high']:.3f}"
            gain = "" if row["method"] == first else above
            typer.echo(f"{row['method']:<{width}}{row['shots']:>6}{figures[metric]:>18.3f}{interval:>16}   {gain}")
    for name, (learnt_from, _) in result.learnt.items():
        typer.echo(f"{name} saw more than the handfuls: {learnt_from}")
    say(f"{out} holds report.html, episodes.csv and episodes.json")


def _shots(given: str) -> tuple[int, ...]:
    """Labelled samples of a class, as they stand behind `--shot`."""
    try:
        shots = tuple(int(part) for part in given.split(","))
    except ValueError:
        shots = ()
    if not shots or min(shots) < 1 or len(set(shots)) < len(shots):
        raise ValueError(f"--shot must be different whole numbers from 1 on with commas, such as 1,5; got {given!r}")
    return shots
