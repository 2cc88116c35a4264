"""`unseen align`: a modality into the space of a frozen tower, by pairs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, dump, resumes, say, settings_of
from unseen.runtime import leads

CLIPS = "mug-stan"
"""What `--method` names where videos and captions are learnt from."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translation:
    """How captions come into several languages, and what is learnt from them; for --languages alone."""

    translator: Annotated[
        str | None,
        typer.Option(
            help="With --languages: apertium, or a command that reads texts from standard input, a line each, such as "
            "'mytool {source} {target}'."
        ),
    ] = None
    translations: Annotated[
        Path | None, typer.Option(help="Folder where translations are kept; OUT.translations if absent.")
    ] = None
    source_language: Annotated[str, typer.Option(help="With --languages: that captions were written in.")] = "en"
    agreement: Annotated[
        float | None,
        typer.Option(help="With --languages: translate back, and drop what agrees less with its source, in [0, 1]."),
    ] = None
    crops: Annotated[
        bool,
        typer.Option(
            "--crops",
            help="With --languages: learn a picture tower whole, from pictures and their crops (self-distillation).",
        ),
    ] = False

    def named(self) -> list[str]:
        """Options that are not as they are where nothing is said."""
        fields = dataclasses.fields(self)
        return [f.name.replace("_", "-") for f in fields if getattr(self, f.name) != f.default]


@app.command()
@resumes
@options.spread
def align(
    *,
    pairs: Annotated[
        list[str],
        typer.Argument(
            help="A table with a column for each side (of texts, pictures or videos), shards of pictures with texts, "
            "or two paths (such as .npy files), a side each; with --languages one table or several. Or a folder that "
            "this command wrote, to ask about other --classes."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model that comes of it.")],
    left: Annotated[str | None, typer.Option(help="Column of the left side.")] = None,
    right: Annotated[str | None, typer.Option(help="Column of the right side.")] = None,
    frozen: Annotated[str, typer.Option(help="left or right: the side whose tower stays as it is.")] = "right",
    left_encoder: Annotated[
        str | None,
        typer.Option("--left-encoder", "--encoder", help="Encoder of the left side; `unseen encoders` lists them."),
    ] = None,
    right_encoder: Annotated[str | None, typer.Option(help="Encoder of the right side.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="cwcl (small layers that are trained), ridge-map (a linear map, in seconds), or mug-stan: of clips "
            "and captions, for which the encoder's two towers learn whole, such as frames:open_clip:ARCH/WEIGHTS. "
            "If absent: of cwcl, ridge-map and LiT the one that finds most of the pairs held out."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Of cwcl: default (as published), sharpened, or lit (one pair each). With --classification, of "
            "prefix-conditioning: default, naive (no prefix), or unicl. With --languages, of rs-m-clip: default, "
            "small, or contrastive. Of mug-stan: default, msr-vtt, didemo, or pretraining."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Hyperparameter as name=value: of --method, with --classification of prefix-conditioning, with "
            "--languages of rs-m-clip.",
        ),
    ] = None,
    classes: options.Classes = None,
    prompts: options.Prompts = None,
    exam: Annotated[
        str | None, typer.Option(help="Labelled samples, for the zero-shot accuracy; never learnt from.")
    ] = None,
    classification: Annotated[
        str | None,
        typer.Option(
            help="Labelled pictures: one model of these and of the captions, with a mode for each "
            "(prefix-conditioning); both towers are small ones that learn."
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Column of the language of a pair, to tell recall of each.")
    ] = None,
    languages: Annotated[
        str | None,
        typer.Option(
            help="Codes with commas between, such as en,de,ko: one model of captions in these (rs-m-clip); what no "
            "caption is in is translated."
        ),
    ] = None,
    translation: Translation,
    held_out: Annotated[float, typer.Option(help="Share of left samples that are asked about and never learnt.")] = 0.1,
    beside: Annotated[
        bool,
        typer.Option(
            help="Train beside: a ridge map and LiT; the naive union; one language, and no self-distillation; or the "
            "mean of frames."
        ),
    ] = True,
    seed: options.Seed = 0,
    bundle: options.WithEncoder = False,
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Attach a modality to a frozen encoder by pairs.

    Then any class that has a name can be predicted.

    Pairs of pictures and sentences, sentences in two languages, or any two files of features. One side's encoder stays
    as it is; small layers on the other's learn to live in its space (cwcl). With --classification both towers learn,
    from captions and from labels, which a token in front tells apart (prefix-conditioning). With --languages they
    learn from captions in several languages (rs-m-clip). The folder predicts, exports and serves like any saved model.

    With --method mug-stan they learn from videos and captions that may fit a part of them (a table with path, caption
    and perhaps start and end). unseen find VIDEOS --text "..." --model OUT then finds videos by a text, unseen predict
    names the nearest of the captions, or of --classes; it is not exported.

    With several processes: accelerate launch --multi_gpu --num_processes 2 --no_python unseen align ... (or torchrun)

    Example:  unseen align pairs.csv --left image --right caption --classes "cat,dog,horse" --out aligned

    then:     unseen predict aligned new.png --top 3
    """
    from unseen.jobs.alignment import job, page
    from unseen.jobs.alignment import report as told

    if len(pairs) == 1 and (Path(pairs[0]) / told.ABOUT).exists():
        ignored = {
            "left": left, "right": right, "frozen": frozen != "right", "left-encoder": left_encoder,
            "right-encoder": right_encoder, "preset": preset, "set": settings, "exam": exam,
            "classification": classification, "language": language, "held-out": held_out != job.HELD_OUT,
            "no-beside": not beside, "seed": seed, "languages": languages, "method": method,
        } | dict.fromkeys(translation.named(), True)  # fmt: skip
        named = [f"--{name}" for name, value in ignored.items() if value]
        if named:
            raise ValueError(
                f"{pairs[0]} is a model already, of which nothing more is learnt or measured: {', '.join(named)} "
                "cannot be with it; --classes, --prompt and --bundle can"
            )
        model = job.ask_about(
            pairs[0], classes, out=out, prompts=prompts or None, with_encoder=bundle, trust=trust
        )  # fmt: skip
        if as_json:
            dump(dataclasses.asdict(told.told_by(out)))
        say(f"The model is in {out}; it tells {len(model.classes)} classes apart")
        return
    if method not in (None, CLIPS) and method not in (known := job.attachers()):
        raise ValueError(
            f"method must be one of {', '.join([*known, CLIPS])}; got {method!r} (prefix-conditioning is with "
            "--classification, rs-m-clip with --languages)"
        )
    others = {"languages": languages, "classification": classification}
    if method is not None and (also := [f"--{name}" for name, value in others.items() if value is not None]):
        raise ValueError(f"method {method} learns from pairs alone; {also[0]} does not apply")
    if languages is not None:
        from unseen.jobs.alignment.languages import Translating, multilingual

        if classification or right_encoder or frozen != "right":
            told_off = "classification, frozen and right-encoder do not apply"
            raise ValueError(f"languages: both towers learn, from captions alone; {told_off}")
        how = translation
        _, report = multilingual(
            pairs, languages.split(","), out=out, left=left, right=right, encoder=left_encoder,
            crops=how.crops, preset=preset,
            translating=Translating(how.translator, how.translations, how.agreement, how.source_language),
            settings=settings_of(settings), classes=classes, prompts=prompts or None, exam=exam,
            language=language, held_out=held_out, beside=beside, seed=seed, with_encoder=bundle, trust=trust, say=say,
        )  # fmt: skip
    elif alone := translation.named():
        raise ValueError(f"{', '.join(alone)} need --languages")
    elif classification is not None:
        from unseen.jobs.alignment.conditioning import unify

        if language or right_encoder or frozen != "right":
            told_off = "frozen, right-encoder and language do not apply"
            raise ValueError(f"classification: both towers learn; {told_off}")
        _, report = unify(
            pairs, classification, out=out, left=left, right=right, encoder=left_encoder, preset=preset,
            settings=settings_of(settings), classes=classes, prompts=prompts or None, exam=exam,
            held_out=held_out, beside=beside, seed=seed, with_encoder=bundle, trust=trust, say=say,
        )  # fmt: skip
    elif method == CLIPS:
        from unseen.jobs.alignment.clips import align_clips

        if language or right_encoder or frozen != "right":
            raise ValueError("method mug-stan: both towers learn; frozen, right-encoder and language do not apply")
        _, report = align_clips(
            pairs, out=out, left=left, right=right, encoder=left_encoder, preset=preset,
            settings=settings_of(settings), classes=classes, prompts=prompts or None, exam=exam,
            held_out=held_out, beside=beside, seed=seed, with_encoder=bundle, trust=trust, say=say,
        )  # fmt: skip
    else:
        _, report = job.align(
            pairs, out=out, left=left, right=right, frozen=frozen, left_encoder=left_encoder,  # type: ignore[arg-type]
            right_encoder=right_encoder, method=method, preset=preset, settings=settings_of(settings),
            classes=classes, prompts=prompts or None, exam=exam, language=language, held_out=held_out, beside=beside,
            seed=seed, with_encoder=bundle, trust=trust, say=say,
        )  # fmt: skip
    if not leads():
        return
    if as_json:
        dump(dataclasses.asdict(report))
        return
    for line in page.lines(report):
        typer.echo(line)
    say(f"The model is in {out}; {out / told.PAGE} shows how well it finds")
    if method == CLIPS:
        say(f'unseen find VIDEOS --text "..." --model {out} finds videos by a text')
