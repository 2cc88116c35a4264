"""The same places in two pictures: match."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unseen.console import AsJson, app, dump, say, settings_of, tell, write_csv


@app.command("match")
def match_pictures(
    first: Annotated[
        str | None,
        typer.Argument(
            help="A picture, a folder of pictures, or a table of pairs (two columns of paths).", show_default=False
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Argument(help="The other picture, or a folder with files of the same names.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Page to write (.html); a table of all matches stands beside.", show_default=False),
    ] = None,
    matcher: Annotated[
        str | None,
        typer.Option(
            help="auto (xfeat on pictures as they are, inverted and as gradients), xfeat, xfeat+lighterglue, "
            "aliked+lightglue, disk+lightglue, sift, orb, or the folder of a tuned one. auto if absent.",
            show_default=False,
        ),
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option(
            help="Folder of photographs to tune the matcher on first, rendered as other sensors.", show_default=False
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder to keep the tuned matcher in, for --matcher.", show_default=False)
    ] = None,
    rotations: Annotated[bool, typer.Option("--rotations", help="Try the second picture turned, too.")] = False,
    renderings: Annotated[
        bool, typer.Option("--renderings", help="Try pictures inverted and as gradients, too.")
    ] = False,
    geometry: Annotated[
        str | None,
        typer.Option(
            help="homography (flat scene, turned camera; if absent) or fundamental (depth, moved camera).",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Pixels that an inlier may be off; 3 if absent.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Pixels of the longer side, 1200 if absent; larger pictures are made smaller, points scaled back.",
            min=32,
            show_default=False,
        ),
    ] = None,
    points: Annotated[int, typer.Option(help="Most points of a picture.", min=16)] = 2048,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Hyperparameter of --tune as name=value.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --tune.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Find the same places in two pictures, of one sensor or of two.

    Draws them, and tells the homography or the fundamental matrix.

    Example:  unseen match visible.jpg infrared.jpg --out matches.html
    """
    from unseen.jobs.matching import job
    from unseen.jobs.matching.page import page
    from unseen.runtime import replacing

    given = settings_of(settings or [])
    _check(first, out, matcher, tune, model, given)
    told = {"longest": limit, "rotations": rotations or None, "geometry": geometry, "threshold": threshold}
    ways: dict[str, Any] = {key: value for key, value in told.items() if value is not None}  # a saved one has its own
    pairs = None if first is None else job.read(first, second)
    method: Any
    if tune is not None:
        photographs = job.photographs(tune)
        say(f"tuning on {len(photographs)} photographs")
        method = job.tune(
            photographs,
            matcher or "xfeat",
            points=points,
            **{**given, **ways, "renderings": renderings, "random_state": seed},
        )
        name = f"{matcher or 'xfeat'} tuned on {photographs.name}"
        if model is not None:
            method.save(model)
            say(f"the matcher is in {model}")
    else:
        name = matcher or "auto"
        if renderings:
            ways["renderings"] = True
        method = job.make(name, points=points, **ways)
    if pairs is None:
        return
    results = list(job.match(pairs, method))
    csv = None
    if out is not None:
        csv = out.with_suffix(".csv")
        content = page(results, method, name, csv.name)
        write_csv(csv, job.table(results))
        with replacing(out) as temporary:
            temporary.write_bytes(content)
    facts = [job.told(one, method) for one in results]
    if as_json:
        dump({"matcher": name, "pairs": facts})
    else:
        for fact in facts:
            _tell(fact)
    if out is not None:
        say(f"{out} has the pictures, {csv} all matches")


def _check(
    first: str | None,
    out: Path | None,
    matcher: str | None,
    tune: str | None,
    model: Path | None,
    given: dict[str, Any],
) -> None:
    """Refuse options that do not go together, and what would be written over, before any work."""
    if out is not None and first is not None and out.with_suffix(".csv").resolve() == Path(first).resolve():
        raise ValueError(f"--out {out} would write its table over {first}; take another name")
    if model is not None:
        from unseen.nn.state import refuse_foreign

        refuse_foreign(model, ("state.json", "state.safetensors"))
    if first is None and (tune is None or model is None):
        raise ValueError("name two pictures, such as: unseen match a.jpg b.jpg --out matches.html")
    if tune is not None and matcher not in (None, "xfeat", "xfeat+lighterglue"):
        raise ValueError(f"--tune tunes xfeat or xfeat+lighterglue; it does not go with --matcher {matcher}")
    if tune is None and (given or model is not None):
        raise ValueError("--set and --model go with --tune; a tuned matcher is used by --matcher FOLDER")
    for name, option in {
        "random_state": "--seed", "longest": "--limit", "rotations": "--rotations", "renderings": "--renderings",
        "geometry": "--geometry", "threshold": "--threshold",
    }.items():  # fmt: skip
        if name in given:
            raise ValueError(f"--set does not take {name}; say {option}")
    if out is not None and (out.suffix.lower() != ".html" or not out.parent.is_dir()):
        raise ValueError(f"out must be a file that ends in .html, in a folder that is there; got {str(out)!r}")


def _tell(fact: dict[str, Any]) -> None:
    if fact["found"]:
        typer.echo(f"{fact['pair']}: {fact['inliers']} of {fact['matches']} matches agree with one {fact['geometry']}")
        for row in fact["matrix"]:
            typer.echo("  " + " ".join(f"{value:>13.6g}" for value in row))
        return
    typer.echo(f"{fact['pair']}: no match found ({fact['matches']} candidates do not agree). What to try:")
    for tip in fact["advice"]:
        tell(f"  {tip}")
