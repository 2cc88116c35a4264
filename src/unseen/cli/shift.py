"""How far domains are from each other in style: shift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unseen import options
from unseen.console import app, check_apart, check_written, dump, say


@app.command()
def shift(
    domains: Annotated[
        list[str], typer.Argument(help="Folders, tables or arrays; one with a column domain counts as several.")
    ],
    out: Annotated[Path | None, typer.Option(help="Page (.html) or picture (.png) to write.")] = None,
    encoder: options.Encoder = None,
    pairs: Annotated[int, typer.Option(help="Pairs of each class that are looked at.", min=1)] = 2000,
    seed: options.Seed = 0,
    on_error: options.OnError = "skip",
    precision: options.Precision = "auto",
    trust: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure how far every two domains are from each other in style.

    ICV says how consistent each domain's classes are, IDD how far two domains are. Both are mean divergences of two
    samples of a class, from 0 to .693: for ICV of one domain, for IDD one of each. Frechet is the squared distance of
    two Gaussians with the means and covariances of the domains' features, as in FID, but in units of the features'
    spread: all are divided by the standard deviation of all entries of all domains first. It is 0 where these are
    equal, without an upper end, to be compared within one call only. Nothing is trained. Classes are those of the same
    name; where two domains share none, all their samples are paired.

    Example:  unseen shift photos paintings sketches --out shift.html
    """
    from unseen.compare.asked import check_asked

    named = {f"domains[{i}]" if len(domains) > 1 else "domains": path for i, path in enumerate(domains)}
    check_asked(data=named, encoder=encoder, on_error=on_error, precision=precision)
    from unseen.compare.checks import check_kinds
    from unseen.data.damage import undamaged
    from unseen.data.feature_names import by_name
    from unseen.data.loaders import load
    from unseen.diagnosis.stylistic import measure_styles
    from unseen.encoders.defaults import encoder_of
    from unseen.report import shift as report

    check_written("out", out, ".html", ".png")
    check_apart(domains, out=out)
    read = [load(domains[0], on_error=on_error)]  # type: ignore[arg-type]
    known = read[0].feature_names
    read += [load(path, on_error=on_error, features=known) for path in domains[1:]]  # type: ignore[arg-type]
    check_kinds({domain.name: domain for domain in read})
    read = [by_name(domain, known, domain.name, read[0].name) for domain in read]
    tower = encoder_of(read[0].kind, encoder, precision, trust)
    if tower is not None:
        tower.check_kind(read[0])
        read = [tower.encode(undamaged(domain, on_error)) for domain in read]  # type: ignore[arg-type]
    styles = measure_styles(read, max_pairs=pairs, seed=seed)
    if out is not None:
        report.write(out, styles)
    if as_json:
        dump(styles.to_json())
    else:
        for line in report.lines(styles):
            typer.echo(line)
    if out is not None:
        say(f"{out} shows {len(styles.names)} domains")
