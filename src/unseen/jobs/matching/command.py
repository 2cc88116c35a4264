"""The same places in two pictures: match, learn to match from videos, grade matchers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unseen import options
from unseen.console import Usual, app, check_written, dump, resumes, say, settings_of, tell, write_csv

match_app = typer.Typer(cls=Usual, no_args_is_help=True, help="Find the same places in two pictures, and learn to.")
app.add_typer(match_app, name="match")

Points = Annotated[int, typer.Option(help="Most points of a picture.", min=16)]


@match_app.command("pictures")
def match_pictures(
    first: Annotated[
        str | None, typer.Argument(help="A picture, a folder of pictures, or a table of pairs (two columns of paths).")
    ] = None,
    second: Annotated[
        str | None, typer.Argument(help="The other picture, or a folder with files of the same names.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Page to write (.html); a table of all matches stands beside.")
    ] = None,
    matcher: Annotated[
        str | None,
        typer.Option(
            help="auto (sift, and where it finds little xfeat on pictures as they are, inverted and as gradients), "
            "xfeat, xfeat+lighterglue, "
            "aliked+lightglue, disk+lightglue, sift, orb, or the folder of a tuned one. auto if absent."
        ),
    ] = None,
    tune: Annotated[
        str | None, typer.Option(help="Folder of photographs to tune the matcher on first, rendered as other sensors.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder to keep the tuned matcher in, for --matcher.")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="What tunes, or, without --tune, asks the matcher; minima and matcher if absent."),
    ] = None,
    rotate: Annotated[
        str | None,
        typer.Option(
            help="Turn the second picture by quarters: auto (where nothing is found upright), always, or never. auto "
            "if absent; a matcher of a folder does as it was saved."
        ),
    ] = None,
    rotations: Annotated[bool, typer.Option("--rotations", help="The same as --rotate always.")] = False,
    renderings: Annotated[
        bool, typer.Option("--renderings", help="Try pictures inverted and as gradients, too.")
    ] = False,
    geometry: Annotated[
        str | None,
        typer.Option(help="homography (flat scene, turned camera; if absent) or fundamental (depth, moved camera)."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Pixels that an inlier may be off, 3 if absent, of the pictures as --limit makes them smaller; what "
            "that is in your own pixels is printed."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Pixels of the longer side, 1200 if absent; larger pictures are made smaller, points scaled back.",
            min=32,
        ),
    ] = None,
    points: Points = 2048,
    settings: Annotated[list[str] | None, options.hyperparameter("--tune or --method")] = None,
    seed: Annotated[int, typer.Option(help="Seed of --tune or --method.", min=0)] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Find the same places in two pictures, of one sensor or of two.

    Draws them, and tells the homography or the fundamental matrix. The word pictures may be left out.

    Example:  unseen match visible.jpg infrared.jpg --out matches.html
    """
    from unseen.jobs.matching import job
    from unseen.jobs.matching.page import page
    from unseen.runtime import replacing

    params = settings_of(
        settings, longest="--limit", rotations="--rotate", renderings="--renderings",
        geometry="--geometry", threshold="--threshold",
    )  # fmt: skip
    _check(first, out, matcher, tune, model, params, method)
    if rotations and rotate is not None:
        raise ValueError(f"--rotations is --rotate always; it does not go with --rotate {rotate}")
    turns = turns_of("always" if rotations else rotate)
    named = {"longest": limit, "geometry": geometry, "threshold": threshold}
    ways: dict[str, Any] = {key: value for key, value in named.items() if value is not None}  # a saved one has its own
    pairs = None if first is None else job.read(first, second)
    if tune is not None:
        photographs = job.photographs(tune)
        say(f"tuning on {len(photographs)} photographs")
        pair_matcher = job.tune(
            photographs,
            matcher or "xfeat",
            method=method,
            points=points,
            **{
                **params,
                **job.turning(matcher or "xfeat", turns),
                **ways,
                "renderings": renderings,
                "random_state": seed,
            },
        )
        name = f"{matcher or 'xfeat'} tuned on {photographs.name}"
        if model is not None:
            pair_matcher.save(model)
            say(f"the matcher is in {model}")
    else:
        name = matcher or "auto"
        if renderings:
            ways["renderings"] = True
        if method is not None:
            ways |= {**params, "random_state": seed}
        pair_matcher = job.make(name, method=method, points=points, **job.turning(name, turns), **ways)
    if pairs is None:
        return
    if method is not None:
        name = f"{name}, by {method}"
    results = list(job.match(pairs, pair_matcher))
    csv = None
    if out is not None:
        csv = out.with_suffix(".csv")
        content = page(results, pair_matcher, name, csv.name)
        write_csv(csv, job.table(results))
        with replacing(out) as temporary:
            temporary.write_bytes(content)
    facts = [job.facts(result, pair_matcher) for result in results]
    if as_json:
        dump({"matcher": name, "method": pair_matcher.card.slug, "pairs": facts})
    else:
        for fact in facts:
            _tell(fact)
    if out is not None:
        say(f"{out} has the pictures, {csv} all matches")


TURNS: dict[str, Any] = {"auto": "auto", "always": True, "never": False}
"""What --rotate takes."""


def turns_of(rotate: str | None) -> Any:
    """Whether the second picture is turned, as matchers take it; None where nothing was said."""
    if rotate is None:
        return None
    if rotate not in TURNS:
        raise ValueError(f"rotate must be {', '.join(TURNS)}; got {rotate!r}")
    return TURNS[rotate]


@match_app.command("learn")
@resumes
def learn_from_videos(
    videos: Annotated[list[str], typer.Argument(help="Videos, folders of videos, or folders with the frames of one.")],
    model: Annotated[Path, typer.Option(help="Folder to keep the matcher in, for --matcher.")] = Path("matcher"),
    matcher: Annotated[str, typer.Option(help="What learns: xfeat or xfeat+lighterglue.")] = "xfeat",
    method: Annotated[str, typer.Option(help="How it learns: gim, or a method of another package.")] = "gim",
    labelers: Annotated[
        str, typer.Option(help="What labels near frames beside it; names of matchers with commas.")
    ] = "sift",
    photographs: Annotated[
        str | None, typer.Option(help="Folder of pictures that are warped beside the frames.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Frames of a second that are taken.")] = 6.0,
    start: Annotated[float, typer.Option(help="Seconds at which to begin in each video.")] = 0.0,
    most: Annotated[int, typer.Option(help="Frames of a video that are taken.", min=3)] = 1200,
    limit: Annotated[int, typer.Option(help="Pixels of the longer side of frames.", min=64)] = 480,
    points: Points = 2048,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Make a better matcher from ordinary videos, without any label.

    Near frames are matched by several matchers, what they agree on is carried over to frames far apart, and the matcher
    learns from those. What a run that was stopped has done stands in MODEL.work, and the same command goes on from it.

    Example:  unseen match learn walk.mp4 --model my-matcher

    Example:  unseen match a.jpg b.jpg --matcher my-matcher --out matches.html
    """
    from unseen.jobs.matching import learning
    from unseen.nn.state import refuse_foreign

    params = settings_of(settings)
    place = model.resolve()
    if Path.cwd().resolve().is_relative_to(place):
        raise ValueError(f"--model must be a folder to be made, such as my-matcher; got {str(model)!r}")
    refuse_foreign(place, ("state.json", "state.safetensors"))
    work = place.with_name(f"{place.name}.work")
    refuse_foreign(work, learning.WRITTEN, known=True)
    learnt = learning.learn(
        videos,
        name=matcher,
        method=method,
        labelers=[name.strip() for name in labelers.split(",") if name.strip()],
        stills=photographs,
        points=points,
        work=work,
        reading={"rate": rate, "start": start, "most": most, "longest": limit},
        **{"rotations": "auto", **params, "random_state": seed},
    )
    learnt.save(place)
    learning.clear(work)
    if as_json:
        dump(learning.facts(learnt))
    else:
        for line in learning.told(learnt):
            tell(line)
    say(f"the matcher is in {model}: unseen match a.jpg b.jpg --matcher {model}")
    say(f"whether it is better on your pictures, a few pairs tell: unseen match bench PAIRS --with {matcher},{model}")


@match_app.command("bench")
def bench_matchers(
    pairs: Annotated[
        str | None,
        typer.Argument(
            help="Table of pairs: first, second, and homography, or K0, K1 and T. Scenes of photographs if absent."
        ),
    ] = None,
    matchers: Annotated[
        str, typer.Option("--with", help="Matchers with commas: names as --matcher takes them, METHOD:NAME, folders.")
    ] = "xfeat,xfeat+lighterglue,sift,orb",
    photographs: Annotated[
        str | None, typer.Option(help="Folder of pictures to make scenes of; those of installed packages if absent.")
    ] = None,
    n: Annotated[int, typer.Option("--pairs", help="Pairs of each scene.", min=1)] = 8,
    rotate: Annotated[
        str | None,
        typer.Option(help="Turn the second picture by quarters: auto, always, never; as unseen match does if absent."),
    ] = None,
    points: Points = 2048,
    out: Annotated[
        Path | None, typer.Option(help="Page to write (.html); a table of all errors stands beside.")
    ] = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Grade matchers on pairs whose truth is known, yours or declared.

    By the protocol of ZEB: the area under the recall up to 5 degrees of the pose (or 5 pixels of the corners), the mean
    of all data sets, and the mean rank.

    Example:  unseen match bench --with xfeat,sift,my-matcher --out bench.html

    Example:  unseen match bench pairs.csv --with xfeat,my-matcher
    """
    from unseen.jobs.matching import bench as grading
    from unseen.jobs.matching.job import photographs as pictures_of
    from unseen.jobs.matching.page import bench_page
    from unseen.runtime import replacing

    names = [name.strip() for name in matchers.split(",") if name.strip()]
    turns = turns_of(rotate)
    check_written("out", out, ".html")
    if pairs is not None and photographs is not None:
        raise ValueError("photographs is for scenes; with a table of pairs it is not read")
    if pairs is not None and out is not None and out.with_suffix(".csv").resolve() == Path(pairs).resolve():
        raise ValueError(f"--out {out} would write its table over {pairs}; take another name")
    if pairs is not None:
        datasets = grading.known_pairs(pairs)
    else:
        from unseen.data.sources.photographs import photographs as shipped

        datasets = grading.scenes(
            shipped("shipped") if photographs is None else pictures_of(photographs), pairs=n, seed=seed
        )
    result = grading.bench(names, datasets, points=points, turns=turns)
    if names and all((Path(name) / "state.json").exists() for name in names):
        say(f"nothing untrained stands beside it; what training gained: unseen match bench --with xfeat,{matchers}")
    if out is not None:
        csv = out.with_suffix(".csv")
        write_csv(csv, result.errors)
        with replacing(out) as temporary:
            temporary.write_bytes(bench_page(result, csv.name))
    if as_json:
        dump(result.told())
    else:
        _tell_bench(result.told())
    if out is not None:
        say(f"{out} has the tables, {csv} the error of every pair")


def _tell_bench(facts: dict[str, Any]) -> None:
    datasets = list(facts["units"])
    wide = max(len(row["matcher"]) for row in facts["matchers"])
    tell(
        f"{_number(sum(facts['pairs'].values()), 'pair')} of {_number(len(datasets), 'data set')}. A mean of 1: no "
        "pair has any error; of 0: all are off by 5 degrees or pixels or more. Mean place: 1 is first in every data set"
    )
    for row in sorted(facts["matchers"], key=lambda row: -row["mean"]):
        typer.echo(
            f"{row['matcher']:<{wide}}  mean {row['mean']:.3f}  mean place {row['mean_rank']:.1f}  "
            f"no match in {100 * row['nothing_found']:.0f} % of the pairs"
        )
    for name in datasets:
        areas = "  ".join(f"{row['matcher']} {row['areas'][name]:.3f}" for row in facts["matchers"])
        typer.echo(f"  {name} ({_number(facts['pairs'][name], 'pair')}, {facts['units'][name]}): {areas}")


def _number(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _check(
    first: str | None,
    out: Path | None,
    matcher: str | None,
    tune: str | None,
    model: Path | None,
    given: dict[str, Any],
    method: str | None,
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
    if tune is None and (model is not None or (given and method is None)):
        raise ValueError("--set and --model go with --tune; a tuned matcher is used by --matcher FOLDER")
    check_written("out", out, ".html")


def _tell(fact: dict[str, Any]) -> None:
    stem = fact["first"].removesuffix(Path(fact["first"]).suffix)
    number = "" if stem.endswith(fact["pair"]) else f"{fact['pair']}, "
    names = f"{number}{fact['first']} and {fact['second']}"
    if fact["found"]:
        geometry = GEOMETRIES[fact["geometry"]]
        agree = f"{fact['inliers']} of {fact['matches']} matches agree with one {geometry}"
        tell(f"{names}: {agree}, to within {fact['within']:.3g} pixels")
        for row in fact["matrix"]:
            typer.echo("  " + " ".join(f"{value:>13.6g}" for value in row))
        return
    tell(f"{names}: no match found: {fact['reason']}. What to try:")
    for tip in fact["advice"]:
        tell(f"  {tip}")


GEOMETRIES = {"homography": "homography", "fundamental": "fundamental matrix"}
"""What each is called in a sentence."""
