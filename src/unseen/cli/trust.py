"""Before and after: diagnose, verify, label."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen import options
from unseen.cli.models import open_bundle
from unseen.console import app, check_apart, check_ending, check_outside, dump, say


@app.command()
def diagnose(
    source: Annotated[str, typer.Option(help="Labelled data.")],
    target: Annotated[str, typer.Option(help="Data to work on; no label in it is read.")],
    support: options.Support = None,
    classes: options.Classes = None,
    encoder: options.Encoder = None,
    on_error: options.OnError = "skip",
    precision: options.Precision = "auto",
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Say how two domains differ, and what that means for the choice.

    The choice is that of a method; none is trained.

    Example:  unseen diagnose --source photos --target sketches
    """
    from unseen.compare.asked import check_asked

    paths: dict[str, Any] = dict(source=source, target=target, support=support)
    check_asked(data=paths, encoder=encoder, on_error=on_error, precision=precision)
    from unseen.compare.reading import read_early

    read = read_early(**paths, classes=classes, encoder=encoder, on_error=on_error)
    from unseen.compare.inputs import prepare
    from unseen.compare.introduction import what_to_mind
    from unseen.diagnosis import diagnose as run

    ready = prepare(
        **read, classes=classes, encoder=encoder, on_error=on_error, precision=precision, trust=trust, say=say,
        graded=False,
    )  # fmt: skip
    for line in what_to_mind(ready, graded=False):
        say(line)
    diagnosis = run(ready)
    if diagnosis is None:
        raise ValueError("source and target must have at least 20 samples each to be diagnosed")
    if as_json:
        dump(diagnosis.to_json())
        return
    for figure in diagnosis.lines:
        typer.echo(f"{figure.about}: {figure.value}\n  {figure.meaning}")


@app.command()
def verify(
    model: options.SavedModel,
    target: Annotated[str, typer.Argument(help="Data that the model is meant for.")],
    n: Annotated[int, typer.Option("--n", help="Samples to draw; copies are looked at once.", min=1)] = 60,
    out: Annotated[Path, typer.Option(help="Page (.html) or table (.csv) to answer.")] = Path("verify.html"),
    answers: Annotated[Path | None, typer.Option(help="Answers to grade: the page's JSON or the filled table.")] = None,
    source: Annotated[str | None, typer.Option(help="What the model learned from, never asked about.")] = None,
    support: Annotated[str | None, typer.Option(help="The same.")] = None,
    seed: options.Seed = 0,
    on_error: options.OnError = "skip",
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Ask a person about some samples, and say how often it is right.

    Samples are drawn at random, copies among them, and the interval is exact. What was answered is put away: no later
    fit on this machine learns from it.

    Example:  unseen verify runs/sketches sketches --n 60 --out verify.html

    Then:  unseen verify runs/sketches sketches --answers answers.json
    """
    from unseen.compare.asked import check_path

    for name, path in (("target", target), ("source", source), ("support", support), ("answers", answers)):
        check_path(name, path)
    if answers is None:
        check_ending("out", out, ".html", ".csv")
        check_apart([target, source, support], out=out)
        check_outside(model, out=out)
    saved = open_bundle(model, trust)
    from unseen import verification
    from unseen.data.loaders import load

    replies = None if answers is None else verification.read_answers(answers, saved.classes.names)
    samples = load(target, on_error=on_error, features=saved.feature_names, like=saved.sample_column)  # type: ignore[arg-type]
    domain = saved.aligned(samples)
    if replies is not None:
        assert answers is not None
        grade = verification.grade(saved, domain, replies, verification.read_times(answers))
        new = verification.seal(replies)
        as_read = zip(samples.digests().tolist(), domain.digests().tolist())  # of a table with all of its columns
        verification.seal({whole: replies[digest] for whole, digest in as_read if digest in replies})
        if as_json:
            dump(grade.to_json())
        else:
            for line in grade.lines():
                typer.echo(line)
        if answers.suffix.lower() == ".csv" and (note := verification.none_note(saved.classes.names)):
            say(note)
        if left := verification.left_unanswered(answers):
            say(
                f"{left} of {left + len(replies)} rows were left unanswered: the figure and its interval are exact "
                "only if they were skipped at random; if hard ones were, the model is right less often"
            )
        say(f"{len(replies)} answers are put away on this machine, {new} of them new: no fit learns from these samples")
        return
    learned = verification.learned_by(model)
    for path in (source, support):
        if path is not None:
            known = load(path, on_error=on_error, features=saved.feature_names, like=saved.sample_column)  # type: ignore[arg-type]
            learned |= set(saved.aligned(known).digests().tolist())
    questions = verification.ask(saved, domain, n, seed=seed, learned=learned)
    if out.suffix.lower() == ".csv":
        verification.write_table(out, questions, domain, saved.classes.names)
        note = verification.none_note(saved.classes.names)
    else:
        note = ""
        command = shlex.join(["unseen", "verify", str(model), target, "--answers", verification.ANSWERS])
        verification.write_page(out, questions, domain, command, saved.classes.names)
    drawn = sum(question.times for question in questions)
    say(f"{drawn} of {len(domain)} samples are in {out}, drawn at random")
    if len(questions) < drawn:
        say(f"{len(questions)} of them are different: a copy is asked about once, and counts as often as it was drawn")
    if note:
        say(note)


@app.command()
def label(
    target: Annotated[str, typer.Argument(help="Data without labels, or with a few.")],
    model: Annotated[Path | None, typer.Option(help="Saved model (or run) whose guesses are shown.")] = None,
    source: options.Source = None,
    budget: Annotated[
        int | None, typer.Option(help="Labels that you can pay for; 20, or all where there are fewer.", min=1)
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class file, or names with commas: all classes, with --source or --model.")
    ] = None,
    encoder: options.Encoder = None,
    out: Annotated[Path, typer.Option(help="Table with an empty column label.")] = Path("to_label.csv"),
    seed: options.Seed = 0,
    on_error: options.OnError = "skip",
    trust: options.Trust = False,
) -> None:
    """Propose which samples to label next.

    It needs a folder or a table of samples of which most have no label (class folders are labels). --model shows what a
    model takes each of them for; --source tells what the labels may buy. The filled table is a --support of compare.

    Example:  unseen label sketches --source photos --budget 20 --out to_label.csv
    """
    from unseen.compare.asked import check_asked

    check_asked(data=dict(target=target, source=source, model=model), encoder=encoder, on_error=on_error)
    check_ending("out", out, ".csv")
    check_apart([target, source, classes], out=out)
    check_outside(model, out=out)
    from unseen.labeling import propose

    proposal = propose(
        target, budget=budget, model=None if model is None else open_bundle(model, trust), source=source,
        classes=classes, encoder=encoder, seed=seed, on_error=on_error, trust=trust, say=say,
    )  # fmt: skip
    proposal.save(out)
    say(f"{len(proposal.samples)} samples to label are in {out}, the most telling first")
    if proposal.classes:
        say(f"classes to get a first label for, in order: {', '.join(proposal.classes)}")
    elif classes is not None:
        say("no order of classes to label: all have labels, or no taxonomy, attributes or descriptions tell one")
    unsaid = "a larger --source" if source else "--source"
    say(proposal.gain.sentence() if proposal.gain else f"What they buy cannot be estimated without {unsaid}.")
