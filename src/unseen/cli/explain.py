"""Why a model says what it says of a picture: explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen.cli.app import AsJson, OnError, Trust, app, dump, open_bundle, say


@app.command()
def explain(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model (or of a run).")],
    pictures: Annotated[list[str], typer.Argument(help="Pictures, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Page (.html) or picture (.png) to write.")] = Path("why.html"),
    top: Annotated[int, typer.Option(help="Attributes of each picture.", min=1)] = 5,
    on_error: OnError = "skip",
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Show what spoke for each prediction, and where in the picture.

    For models of methods that explain (crest), best with an encoder that gives regions: train one with

    unseen adapt --method crest --source known-animals --classes animals.csv --encoder "efficientnet-lite0?regions=4"
    --out models/animals

    Example:  unseen explain models/animals okapi.jpg --out why.html
    """
    from unseen.data.loaders import load
    from unseen.report import explain as report

    if out.suffix not in (".html", ".png"):
        raise ValueError(f"--out must end in .html or .png; got {str(out)!r}")
    if not out.parent.is_dir():
        raise ValueError(f"--out must name a file in a folder that exists; there is no {out.parent}")
    saved = open_bundle(model, trust)
    told = [one for path in pictures for one in report.explained(saved, load(path, on_error=on_error), top)]  # type: ignore[arg-type]
    report.write(out, told, saved)
    if as_json:
        dump([_plain(one) for one in told])
    else:
        for one in told:
            spoke = ", ".join(part.name for part in one.parts) or "nothing that the class has"
            left = "; ".join(f"{name} {u:.2f} ({word})" for name, u, word in one.open)
            typer.echo(f"{one.name}: {one.prediction}, {one.probability:.0%}, for {spoke}. Left open: {left}.")
    say(f"{out} explains {len(told)} {'picture' if len(told) == 1 else 'pictures'}")


def _plain(one: object) -> dict[str, object]:
    from unseen.report.explain import Told

    assert isinstance(one, Told)
    return {
        "id": one.name,
        "class": one.prediction,
        "probability": one.probability,
        "left open": {name: u for name, u, _ in one.open},
        "attributes": [{"name": p.name, "found": p.found, "expected": p.expected} for p in one.parts],
    }
