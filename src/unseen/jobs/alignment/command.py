"""`unseen align`: a modality into the space of a frozen tower, by pairs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from unseen.console import AsJson, Classes, Prompts, Trust, WithEncoder, app, dump, say, settings_of


@app.command()
def align(
    pairs: Annotated[
        list[str],
        typer.Argument(
            help="A table with a column for each side, shards of pictures with texts, or two paths (such as .npy "
            "files), a side each. Or a folder that this command wrote, to ask about other --classes."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model that comes of it.")],
    left: Annotated[str | None, typer.Option(help="Column of the left side.", show_default=False)] = None,
    right: Annotated[str | None, typer.Option(help="Column of the right side.", show_default=False)] = None,
    frozen: Annotated[str, typer.Option(help="left or right: the side whose tower stays as it is.")] = "right",
    left_encoder: Annotated[
        str | None, typer.Option(help="Encoder of the left side; `unseen encoders` lists them.", show_default=False)
    ] = None,
    right_encoder: Annotated[str | None, typer.Option(help="Encoder of the right side.", show_default=False)] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Of cwcl: default (as published), sharpened, or lit (one pair each). With --classification, of "
            "prefix-conditioning: default, naive (no prefix), or unicl.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Hyperparameter as name=value: of cwcl, or with --classification of prefix-conditioning.",
            show_default=False,
        ),
    ] = None,
    classes: Classes = None,
    prompt: Prompts = None,
    exam: Annotated[
        str | None,
        typer.Option(help="Labelled samples, for the zero-shot accuracy; never learnt from.", show_default=False),
    ] = None,
    classification: Annotated[
        str | None,
        typer.Option(
            help="Labelled pictures: one model of these and of the captions, with a mode for each "
            "(prefix-conditioning); both towers are small ones that learn.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Column of the language of a pair, to tell recall of each.", show_default=False)
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share of left samples that are asked about and never learnt.")] = 0.1,
    beside: Annotated[bool, typer.Option(help="Train beside: a ridge map and LiT, or the naive union.")] = True,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
    bundle: WithEncoder = False,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Attach a modality to a frozen encoder by pairs.

    Then any class that has a name can be predicted.

    Pairs of pictures and sentences, sentences in two languages, or any two files of features. One side's encoder stays
    as it is; small layers on the other's learn to live in its space (cwcl). With --classification both towers learn,
    from captions and from labels, which a token in front tells apart (prefix-conditioning). The folder predicts,
    exports and serves like any saved model. On several GPUs or machines: accelerate launch --no_python unseen align ...

    Example:  unseen align pairs.csv --left image --right caption --classes "cat,dog,horse" --out aligned

    then:     unseen predict aligned new.png --top 3
    """
    from unseen.jobs.alignment import job, page
    from unseen.jobs.alignment import report as told
    from unseen.nn import parallel

    if len(pairs) == 1 and (Path(pairs[0]) / told.ABOUT).exists():
        ignored = {
            "left": left, "right": right, "frozen": frozen != "right", "left-encoder": left_encoder,
            "right-encoder": right_encoder, "preset": preset, "set": settings, "exam": exam,
            "classification": classification, "language": language, "held-out": held_out != job.HELD_OUT,
            "no-beside": not beside, "seed": seed,
        }  # fmt: skip
        given = [f"--{name}" for name, value in ignored.items() if value]
        if given:
            raise ValueError(
                f"{pairs[0]} is a model already, of which nothing more is learnt or measured: {', '.join(given)} "
                "cannot be with it; --classes, --prompt and --bundle can"
            )
        made = job.ask_about(
            pairs[0], classes, out=out, prompts=prompt or None, with_encoder=bundle, trust=trust
        )  # fmt: skip
        if as_json:
            dump(dataclasses.asdict(told.told_by(out)))
        say(f"The model is in {out}; it tells {len(made.classes)} classes apart")
        return
    if classification is not None:
        from unseen.jobs.alignment.conditioning import unify

        if language or right_encoder or frozen != "right":
            told_off = "frozen, right-encoder and language do not apply"
            raise ValueError(f"classification: both towers learn; {told_off}")
        _, report = unify(
            pairs, classification, out=out, left=left, right=right, encoder=left_encoder, preset=preset,
            settings=settings_of(settings or []), classes=classes, prompts=prompt or None, exam=exam,
            held_out=held_out, beside=beside, seed=seed, with_encoder=bundle, trust=trust, say=say,
        )  # fmt: skip
    else:
        _, report = job.align(
            pairs, out=out, left=left, right=right, frozen=frozen, left_encoder=left_encoder,  # type: ignore[arg-type]
            right_encoder=right_encoder, preset=preset, settings=settings_of(settings or []), classes=classes,
            prompts=prompt or None, exam=exam, language=language, held_out=held_out, beside=beside, seed=seed,
            with_encoder=bundle, trust=trust, say=say,
        )  # fmt: skip
    if not parallel.leads():
        return
    if as_json:
        dump(dataclasses.asdict(report))
        return
    for line in page.lines(report):
        typer.echo(line)
    say(f"The model is in {out}; {out / told.PAGE} shows how well it finds")
