"""The future of a series: forecast."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen import options
from unseen.console import app, check_apart, command_line, dump, say, settings_of, tell


@app.command()
def forecast(
    series: Annotated[Path | None, typer.Argument(help="Table with a time column (.csv, .tsv, .parquet).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    horizon: Annotated[int, typer.Option(help="Points to forecast.", min=1)] = 96,
    context: Annotated[
        int | None, typer.Option(help="Points that are read before them; what the model takes, and not more.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Column with the times; found by its usual names, or as the only one of dates.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns to forecast, such as A,B; all numbers if absent.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Column that tells several series in one table apart.")] = None,
    future: Annotated[
        Path | None, typer.Option(help="Table of what is known of the future, such as a temperature.")
    ] = None,
    few_shot: Annotated[
        float | None,
        typer.Option(help="Share of the past to tune on, such as 0.1; 1 for all; if tuning wins, again on all of it."),
    ] = None,
    intervals: Annotated[float, typer.Option(help="Probability of the intervals; 0 for none.")] = 0.9,
    method: Annotated[
        str,
        typer.Option(
            help="auto (the best on the past), ttm, trend-seasons, either with -tuned behind it, seasonal-naive, "
            "last-value, or another."
        ),
    ] = "auto",
    model: Annotated[
        Path | None, typer.Option(help="Folder of a pretrained forecaster of your own, such as a TTM (see --pretrain).")
    ] = None,
    pretrain: Annotated[
        Path | None, typer.Option(help="Make the pretrained model anew into this folder, minutes; needs pip once.")
    ] = None,
    settings: Annotated[list[str] | None, options.hyperparameter("tuning (or of --pretrain)")] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="What 01/02/2024 begins with, where no date tells.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of tuning and pretraining.", min=0)] = 0,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Forecast a series by what did best on its own past, offline.

    A small pretrained model, a regression on trend and seasons, and naive forecasts are tried, with intervals. What was
    chosen is kept in model: later, `unseen predict` goes on from a table that has grown, and `unseen serve` answers
    programs.

    Example:  unseen forecast demand.csv --horizon 96 --out forecast
    Example:  unseen predict forecast demand-may.csv --csv may.csv
    """
    if pretrain is not None:
        from unseen.methods.forecasting.ttm.pretraining import pretrain as make

        method_made = make(pretrain, seed=seed, **settings_of(settings))
        say(f"{pretrain} holds a TTM of {method_made.parameters_:,} parameters")
        return
    if series is None or out is None:
        raise ValueError("name a table and --out FOLDER, such as: unseen forecast demand.csv --out forecast")
    from unseen.jobs.forecasting.forecasters import load_model
    from unseen.jobs.forecasting.job import forecast as run
    from unseen.jobs.forecasting.job import write
    from unseen.runtime import refuse_file

    refuse_file(out)
    check_apart([series, future], out=out / "forecast.csv")
    check_apart([series, future], out=out / "backtest.csv")
    result = run(
        series,
        horizon=horizon,
        context=context,
        time=time,
        columns=columns.split(",") if columns else None,
        by=by,
        future=future,
        few_shot=few_shot,
        intervals=intervals or None,
        method=method,
        model=None if model is None else load_model(model),
        settings=settings_of(settings),
        day_first=day_first,
        seed=seed,
    )
    write(result, out, command_line())
    if as_json:
        dump({"chosen": result.chosen, "why": result.why, "backtest": result.backtest.to_dict("records")})
        return
    if len(result.backtest) and verbose:
        typer.echo(f"{'method':<16}{'MAE':>12}{'RMSE':>12}{'/ seasonal':>12}{'coverage':>10}")
        rows: list[Any] = list(result.backtest.itertuples())
        for row in rows:
            covered = "" if math.isnan(row.coverage) else f"{row.coverage:.2f}"
            typer.echo(f"{row.method:<16}{row.mae:>12.4g}{row.rmse:>12.4g}{row.against:>12.3f}{covered:>10}")
    tell(f"chosen: {result.chosen}: {result.why}")
    for line in _figures(result):
        tell(line)
    say(f"{out} holds forecast.csv ({_spanned(result.table, horizon)}), report.html and backtest.csv")
    say(f"to go on from a later table: unseen predict {shlex.quote(str(out))} TABLE")


def _spanned(table: Any, horizon: int) -> str:
    """From when to when a forecast goes; of series that end at unlike times, how many steps each has."""
    firsts = table.groupby("series").time.min()
    if firsts.nunique() > 1:
        return f"{horizon} {'step' if horizon == 1 else 'steps'} of each of {len(firsts)} series, after its own end"
    first, last = (str(time).removesuffix(" 00:00:00") for time in (table.time.min(), table.time.max()))
    return f"{first} to {last}"


def _figures(result: Any) -> list[str]:
    """How the chosen method did on the past, in words."""
    rows = [row for row in result.backtest.itertuples() if row.method == result.chosen]
    if not rows:
        return []
    row = rows[0]
    line = f"on the past its forecasts were off by {row.mae:.4g} on the mean"
    if row.method != "seasonal-naive" and math.isfinite(row.against):
        line += f", {row.against:.2f} times the error of repeating the last season (seasonal-naive)"
    if not math.isnan(row.coverage):
        line += f"; {100 * row.coverage:.0f} % of the values fell into its intervals"
    return [line]
