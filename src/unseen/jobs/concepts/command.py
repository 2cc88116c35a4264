"""Will zero-shot work for these classes? concepts."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen import options
from unseen.console import app, command_line, dump, say, write_csv
from unseen.files import refuse_lost
from unseen.runtime import replacing
from unseen.strict_json import strict_json

if TYPE_CHECKING:
    from unseen.data.domain import Domain
    from unseen.jobs.concepts.job import Concepts

FILES = ("concepts.csv", "fits.csv", "result.json", "report.html", "long_tail.csv")
"""What a folder of results holds; by `fits.csv` an earlier one is known."""

LINES = 40
"""Concepts that are printed; all are in concepts.csv."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongTail:
    """A test set of the rarest concepts, to be made of candidates."""

    long_tail: Annotated[Path | None, typer.Option(help="New folder for a test set of the rarest concepts.")] = None
    candidates: Annotated[Path | None, typer.Option(help="Pictures for it: a folder of class folders.")] = None
    rarest: Annotated[int, typer.Option(help="Most concepts of the test set.", min=1)] = 290
    per_class: Annotated[int, typer.Option(help="Pictures of each.", min=1)] = 450
    duplicate_bits: Annotated[int, typer.Option(help="Bits in which a duplicate differs at most.", min=0, max=64)] = 10
    outlier_below: Annotated[
        float, typer.Option(help="Least probability of a candidate's own class, by --encoder.", min=0, max=1)
    ] = 0.0


@app.command()
@options.spread
def concepts(
    *,
    captions: Annotated[
        Path | None,
        typer.Argument(
            help="Captions: .txt, .csv, .tsv, .parquet, .jsonl, a collection, or a folder of captioned pictures."
        ),
    ] = None,
    images: Annotated[Path | None, typer.Argument(help="Folder of their pictures (a collection has its own).")] = None,
    concepts: Annotated[
        Path | None,
        typer.Option(
            help="Concepts: cat,dog; a .txt, one a line; or a table with concept, perhaps accuracy, model, prompts."
        ),
    ] = None,
    out: options.OutFolder = Path("concepts"),
    column: Annotated[str | None, typer.Option(help="Column of the captions; found by its usual names.")] = None,
    score: Annotated[str | None, typer.Option(help="Column of --concepts: accuracy, recall, CLIP score, ...")] = None,
    lemmas: Annotated[str, typer.Option(help="rules, simplemma, spacy or none (lower case alone).")] = "rules",
    phrases: Annotated[
        bool, typer.Option("--phrases", help="Count words that follow each other, not in any place.")
    ] = False,
    encoder: Annotated[str | None, typer.Option(help="Two towers that tag the pictures, such as lite-clip.")] = None,
    tags: Annotated[
        Path | None, typer.Option(help="Tags by your own tagger: table of sample, concept, probability.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Probability from which on a picture is tagged.")] = 0.7,
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    like: Annotated[
        str | None,
        typer.Option(help="Predict by a curve of the paper, such as laion400m/ViT-B-16/text; 'list' lists them."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="How many times larger the whole corpus is than these captions.")
    ] = None,
    tail: LongTail,
    published: Annotated[
        Path | None, typer.Option(help="Folder with the paper's tables: compute its correlations again.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes that read captions.", min=1)] = 1,
    engine: Annotated[str, typer.Option(help="Where captions are read: process, or ray.")] = "process",
    address: options.Address = None,
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Say how well zero-shot will do on each of your concepts.

    They are counted in pretraining captions; a prediction has an interval. Predictions come from your own accuracies on
    some of the concepts, or from a curve of the paper (--like). It writes concepts.csv, fits.csv, result.json and
    report.html.

    Example:  unseen concepts captions.csv --concepts classes.csv --out concepts
    """
    if published is not None:
        _published(published, as_json)
        return
    if like == "list":
        from unseen.methods.curation.concept_frequency import published_curves

        for name in published_curves():
            typer.echo(name)
        return
    if captions is None:
        raise ValueError("name captions and --concepts, such as: unseen concepts captions.csv --concepts classes.txt")
    if concepts is None:
        example = f'unseen concepts {shlex.quote(str(captions))} --concepts "cat,dog"'
        raise ValueError(f"name the classes with --concepts FILE, or by their names: {example}")
    if (tail.long_tail is None) != (tail.candidates is None):
        raise ValueError(
            "--long-tail DIR needs --candidates FOLDER, a folder of class folders, and the other way round"
        )
    if tail.long_tail is not None and tail.long_tail.exists():
        raise ValueError(f"--long-tail must name a folder that does not exist yet; {tail.long_tail} does")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder; {out} is a file")
    refuse_lost(out, FILES, "fits.csv")
    from unseen.jobs.concepts import job as job
    from unseen.jobs.concepts import page as report
    from unseen.jobs.concepts.tail import read_candidates
    from unseen.scale import Engine

    job.check_settings(level, threshold, scale)
    where = Engine(name=engine, address=address)  # type: ignore[arg-type]
    if tail.outlier_below > 0 and encoder is None:
        raise ValueError("--outlier-below needs an --encoder that says what a picture shows")
    pictures = None if tail.candidates is None else read_candidates(tail.candidates)
    tower = _towers(encoder, precision, trust)
    analysis = job.analyse(
        captions, images, concepts=concepts, column=column, score=score, lemmas=lemmas, phrases=phrases, tags=tags,
        encoder=tower, threshold=threshold, level=level, like=like, scale=scale, processes=processes, engine=where,
        seed=seed, say=say,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "concepts.csv", analysis.table)
    write_csv(out / "fits.csv", report.fits(analysis))
    result = _write_results(analysis, out, {})  # counting took longest: it is kept whatever becomes of the test set
    if tail.long_tail is not None and pictures is not None:
        tally = _write_long_tail(analysis, tail.long_tail, tail, pictures, out, tower, seed)
        result = _write_results(analysis, out, tally)
    if as_json:
        dump(result)
        return
    for line in report.lines(analysis, LINES):
        typer.echo(line)
    say(f"{out} holds concepts.csv, fits.csv, result.json and report.html")


def _write_results(analysis: Concepts, out: Path, tally: dict[str, int]) -> dict[str, Any]:
    """result.json and report.html."""
    from unseen.jobs.concepts import page as report

    result = report.summary(analysis) | ({"long_tail_set": tally} if tally else {})
    with replacing(out / "result.json") as temporary:
        temporary.write_text(strict_json(result) + "\n", encoding="utf-8")
    with replacing(out / "report.html") as temporary:
        temporary.write_bytes(report.page(analysis, command_line(), tally))
    return result


def _towers(name: str | None, precision: Any, trust: bool) -> Any:
    if name is None:
        return None
    from unseen import encoders
    from unseen.encoders.two_tower import TwoTowerEncoder

    tower = encoders.get(name, precision=precision, trust=trust)
    if not isinstance(tower, TwoTowerEncoder):
        raise ValueError(f"--encoder must have two towers, such as lite-clip or an open_clip model; {name} has one")
    return tower


def _write_long_tail(
    analysis: Concepts, folder: Path, tail: LongTail, pictures: Domain, out: Path, tower: Any, seed: int
) -> dict[str, int]:
    import pandas as pd

    from unseen.data.sources import save
    from unseen.jobs.concepts.tail import long_tail_set

    test_set = long_tail_set(
        analysis, pictures, rarest=tail.rarest, per_class=tail.per_class, bits=tail.duplicate_bits, encoder=tower,
        outlier_below=tail.outlier_below, seed=seed,
    )  # fmt: skip
    save(test_set.domain, folder)
    judged = pd.DataFrame({"picture": test_set.ids, "dropped": test_set.dropped})
    lost = pd.DataFrame({"picture": [skipped.where for skipped in pictures.skipped], "dropped": "unreadable"})
    write_csv(out / "long_tail.csv", pd.concat([judged, lost], ignore_index=True))
    say(
        f"{folder} holds {len(test_set.domain)} pictures; "
        + ", ".join(f"{name} {n}" for name, n in test_set.tally.items())
    )
    return dict(test_set.tally)


def _published(folder: Path, as_json: bool) -> None:
    """The paper's correlations from its own tables."""
    from unseen.methods.curation.concept_frequency.published import fit_published, read_published

    table = fit_published(read_published(folder))
    if as_json:
        dump(table.to_dict("records"))
        return
    typer.echo(
        f"{'corpus':<36}{'model':<10}{'search':<8}{'r':>7}{'p':>9}{'raw r':>8}{'x10 buys':>10}{'n':>7}{'zero':>7}"
    )
    rows: list[Any] = list(table.itertuples())
    for row in rows:
        figures = f"{row.r:>7.3f}{row.p:>9.1e}{row.raw_r:>8.3f}{row.slope_per_decade:>10.1f}{row.n:>7,}{row.zero:>7,}"
        typer.echo(f"{row.corpus:<36}{row.model:<10}{row.search:<8}{figures}")
