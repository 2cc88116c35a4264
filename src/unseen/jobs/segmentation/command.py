"""A class for every pixel: segment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen import options
from unseen.console import app, command_line, dump, say, settings_of, tell


@app.command()
def segment(
    source: Annotated[
        str | None,
        typer.Argument(
            help="Pictures with masks: images/ beside masks/, Cityscapes, VOC, COCO. None with a saved --model."
        ),
    ] = None,
    target: Annotated[str, typer.Option(help="A picture, or a folder; its masks, if there are some, grade.")] = "",
    out: options.OutFolder = Path("runs/segment"),
    classes: Annotated[
        str | None, typer.Option(help="Names of the classes, with commas, in the order of values.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Slugs with commas (slug:preset); six methods if absent.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of an earlier run, in place of training.")] = None,
    network: Annotated[
        str, typer.Option(help="small-unet, segformer, or of torchvision, such as deeplabv3_resnet50.")
    ] = "small-unet",
    train_steps: Annotated[int, typer.Option(help="Steps on the labelled pictures.", min=1)] = 600,
    steps: Annotated[int | None, typer.Option(help="Steps of each method; its own if absent.")] = None,
    shots: Annotated[int, typer.Option(help="Pictures of the target that are adapted to.", min=1)] = 1,
    size: Annotated[int, typer.Option(help="Longest side of a picture.", min=16)] = 256,
    crop: Annotated[
        int | None, typer.Option(help="Side of random squares to train on; whole pictures if all are alike.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures of a step on the source.", min=2)] = 16,
    ignore: Annotated[int, typer.Option(help="Value of masks where nothing is known; -1 for none.")] = 255,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Segment pictures of another look, from one without a mask.

    With a saved --model and no SOURCE, pictures get their masks and nothing is learnt.

    Example:  unseen segment labelled --target new.png --out runs/seg
    """
    from unseen.jobs.segmentation import job

    if not target:
        raise ValueError("name a --target: a picture, or a folder of pictures")
    if source is None:
        if model is None:
            raise ValueError("name a SOURCE of pictures with masks, or the --model of an earlier run")
        _predict(model, target, out)
        return
    job.check_out(out)
    result = job.segment(
        source,
        target,
        classes=[name.strip() for name in classes.split(",")] if classes else None,
        model=model,
        methods=[name.strip() for name in methods.split(",")] if methods else job.ARMS,
        shots=shots,
        size=size,
        crop=crop,
        training=job.Training(network, train_steps, batch_size),
        ignore=None if ignore < 0 else ignore,
        steps=steps,
        settings=settings_of(settings),
        seed=seed,
        say=say,
    )
    job.write(result, out, command_line())
    if (line := job.told_size(result.target, size)) is not None:
        say(line)
    if as_json:
        dump(job.about(result))
        return
    if verbose:
        _table(result.table)
    for line in result.why:
        tell(line)
    say(f"{out} holds report.html, masks/, model/ and segmentation.json")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    """All methods, the best on labelled pictures in the look of the target first."""
    graded = any("graded" in row for row in rows)
    typer.echo(f"{'method':<20}{'in the look':>12}{'source':>10}{'seconds':>10}{'target mIoU' if graded else '':>14}")
    for row in sorted(rows, key=lambda row: -row["look"]):
        last = f"{row['graded']['mIoU']:>14.3f}" if graded else ""
        typer.echo(f"{row['method']:<20}{row['look']:>12.3f}{row['source']:>10.3f}{row['seconds']:>10.1f}{last}")


def _predict(model: Path, target: str, out: Path) -> None:
    """Masks by a saved model."""
    from unseen.jobs.segmentation import job
    from unseen.jobs.segmentation.model import SegmentModel
    from unseen.nn.state import refuse_foreign, write_folder
    from unseen.report.tasks import looks_of

    mine = model.resolve()
    if out.resolve() in (mine, mine.parent, mine / "model"):
        raise ValueError(f"{out} holds the model that is used; name another --out")
    refuse_foreign(out, ("masks", "masks.json"))
    saved = SegmentModel.load(model)
    domain, masks, sure = saved.predict(target)

    def write(folder: Path) -> None:
        job.write_masks(domain, masks, folder / "masks")
        told = {"classes": list(saved.classes.names), "masks": len(masks), "model": str(model)}
        (folder / "masks.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")

    write_folder(out, write)
    words = looks_of("mask").words
    assert domain.ids is not None
    for identity, mask, probability in zip(domain.ids.tolist(), masks, sure):
        typer.echo(f"{identity}: {words(mask, saved.classes)} (mean probability {probability.mean():.2f})")
    if (line := job.told_size(domain, saved.size)) is not None:
        say(line)
    say(f"{out / 'masks'} holds {len(masks)} masks, masks.json what their values mean")
