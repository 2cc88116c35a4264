"""A class for every pixel: segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen import options
from unseen.console import app, command_line, dump, say, settings_of, tell, told

TRAINS = ("network", "train_steps", "batch_size")
"""Options of the training of a network, where there is none."""
LEARNS = ("methods", "steps", "shots", "crop", "settings", "seed")
"""Options of adapting it."""


@app.command()
def segment(
    context: typer.Context,
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
    from unseen.jobs.segmentation.writing import told_size

    if not target:
        raise ValueError("name a --target: a picture, or a folder of pictures")
    if source is None and model is None:
        raise ValueError("name a SOURCE of pictures with masks, or the --model of an earlier run")
    if model is not None:
        _refuse(context, model, source, classes, size)
    unknown = None if ignore < 0 else ignore
    if source is None:
        assert model is not None
        _predict(model, target, out, unknown, as_json)
        return
    result = job.segment(
        source,
        target,
        classes=_split(classes) if classes else None,
        model=model,
        methods=_split(methods) if methods else job.ARMS,
        shots=shots,
        size=size,
        crop=crop,
        training=job.Training(network, train_steps, batch_size),
        ignore=unknown,
        steps=steps,
        settings=settings_of(settings),
        seed=seed,
        say=say,
        out=out,
    )
    job.write(result, out, command_line())
    if (line := told_size(result.target, size)) is not None:
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


def _predict(model: Path, target: str, out: Path, ignore: int | None, as_json: bool) -> None:
    """Masks by a saved model."""
    from unseen.jobs.segmentation import applying
    from unseen.jobs.segmentation.writing import told_size
    from unseen.report.tasks import looks_of

    applying.check_out(out, model, target, ignore)
    result = applying.apply(model, target, ignore=ignore)
    applying.write(result, out)
    if result.findings is not None and result.findings.masks:
        for finding in result.findings.lines():
            say(finding)
    if as_json:
        dump(result.about)
    else:
        from unseen.data.classes import ClassSpace

        words, classes = looks_of("mask").words, ClassSpace(names=tuple(result.about["classes"]))
        assert result.target.ids is not None
        for identity, mask, probability in zip(result.target.ids.tolist(), result.masks, result.sure):
            typer.echo(f"{identity}: {words(mask, classes)} (mean probability {probability.mean():.2f})")
        if result.graded is not None:
            n = int(result.target.labeled.sum())
            tell(f"the masks that {n} of the {len(result.masks)} pictures have give {result.graded['mIoU']:.3f} mIoU")
    if (line := told_size(result.target, result.about["size"])) is not None:
        say(line)
    say(f"{out / 'masks'} holds {len(result.masks)} masks, masks.json what their values mean")


def _refuse(context: typer.Context, model: Path, source: str | None, classes: str | None, size: int) -> None:
    """Refuse options that a network that is there cannot follow: they would be without effect, unsaid."""
    if source is not None:
        if wrong := told(context, TRAINS):
            raise ValueError(f"{', '.join(wrong)}: the network of --model is there and is not trained; leave it out")
        return
    if wrong := told(context, (*TRAINS, *LEARNS)):
        raise ValueError(
            f"{', '.join(wrong)}: without a SOURCE nothing is learnt, the --model is used as it is; leave it out, or "
            "name a SOURCE to adapt it"
        )
    if classes is None and not told(context, ["size"]):
        return
    from unseen.jobs.segmentation.model import SegmentModel

    saved = SegmentModel.load(model)
    if classes is not None and tuple(_split(classes)) != saved.classes.names:
        raise ValueError(
            f"--classes: the --model was made with {', '.join(saved.classes.names)}, not {', '.join(_split(classes))}; "
            "leave it out"
        )
    if told(context, ["size"]) and size != saved.size:
        raise ValueError(f"--size: the --model was made with {saved.size}, not {size}; leave it out")


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]
