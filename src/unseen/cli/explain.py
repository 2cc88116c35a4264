"""Why a model says what it says of a picture: explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unseen import options
from unseen.cli.answers import Inputs
from unseen.cli.models import open_bundle
from unseen.console import app, check_apart, check_outside, check_written, dump, say

if TYPE_CHECKING:
    from unseen.report.explain import Explained


@app.command()
def explain(
    model: options.SavedModel,
    pictures: Annotated[list[str], typer.Argument(help="Pictures or videos, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Page (.html) or picture (.png) to write.")] = Path("why.html"),
    top: Annotated[int, typer.Option(help="Attributes of each picture (crest).", min=1)] = 5,
    on_error: options.OnError = "skip",
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what spoke for each prediction, and where in the picture.

    For models of methods that explain: by attributes, which were found or not (crest), by maps of what speaks for the
    class and of what is occluded (ugt), or by the frames of a video (x-clip, zeroi2v). Of pictures best with an encoder
    that gives regions: train one with

    unseen adapt --method crest --source known-animals --classes animals.csv --encoder "efficientnet-lite0?regions=4"
    --out models/animals

    Example:  unseen explain models/animals okapi.jpg --out why.html
    """
    from unseen.compare.asked import check_path

    check_written("out", out, ".html", ".png")
    check_apart(pictures, out=out)
    check_outside(model, out=out)
    for path in pictures:
        check_path("pictures", path)
    saved = open_bundle(model, trust)
    from unseen.data.damage import undamaged
    from unseen.data.loaders import load
    from unseen.report import explain as report

    inputs, left_out = Inputs(pictures), {}

    def entries_of(path: str) -> list[Explained]:
        samples = load(path, on_error=on_error)  # type: ignore[arg-type]
        left_out[path] = samples.skipped
        try:
            return report.explained(saved, samples, top)
        except ValueError:
            whole = undamaged(samples, on_error)  # type: ignore[arg-type]
            if whole is samples:
                raise
            left_out[path] = whole.skipped
            return report.explained(saved, whole, top)

    given = inputs.each(entries_of) if on_error == "skip" else [(path, entries_of(path)) for path in inputs.paths]
    entries = [entry for _, of_path in given for entry in of_path]
    report.write(out, entries, saved)
    if as_json:
        dump([_plain(entry) for entry in entries])
    else:
        for entry in entries:
            typer.echo(f"{entry.name}: {entry.prediction}, {entry.probability:.0%}{_why(entry)}.")
    say(f"{out} explains {len(entries)} {_what(entries)}")
    inputs.end(left_out)


def _what(entries: list[Explained]) -> str:
    noun = "clip" if entries and entries[0].by_frames else "picture"
    return noun if len(entries) == 1 else f"{noun}s"


def _why(entry: Explained) -> str:
    if entry.by_frames:
        most = max(range(len(entry.maps)), key=lambda k: float(entry.maps[k].values[0, 0]))
        frame = entry.maps[most]
        return f". Most in {frame.name} of {len(entry.maps)}, {f'at {frame.when}, ' * bool(frame.when)}{frame.note}"
    if entry.maps:
        return "".join(f". {map_.name}: {map_.note}" for map_ in entry.maps)
    spoke = ", ".join(part.name for part in entry.parts) or "nothing that the class has"
    left = "; ".join(f"{name} {u:.2f} ({word})" for name, u, word in entry.open)
    return f", for {spoke}. Left open: {left}"


def _plain(entry: Explained) -> dict[str, object]:
    row: dict[str, object] = {"id": entry.name, "class": entry.prediction, "probability": entry.probability}
    if entry.maps:
        return row | {
            "maps": [
                {"name": m.name, "values": m.values.astype(float).round(4).tolist()}
                | ({} if m.seconds is None else {"seconds": m.seconds})
                for m in entry.maps
            ]
        }
    return row | {
        "left open": {name: u for name, u, _ in entry.open},
        "attributes": [{"name": p.name, "found": p.found, "expected": p.expected} for p in entry.parts],
    }
