"""`render`: a run folder becomes one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from unseen.data.kinds import samples_of
from unseen.files import check_plain, read_object
from unseen.report import plots, words
from unseen.report.glossary import REPORT_WORDS
from unseen.report.pages import HERE, image_source, render_page
from unseen.report.sealing import sealing
from unseen.runtime import replacing

if TYPE_CHECKING:
    import pandas as pd

HARDEST = 15
"""Classes shown before the others are folded away."""

COLUMNS = {
    "predictions": ("id", "part", "truth", "prediction", "probability"),
    "map": ("stage", "x", "y", "domain", "class"),
    "pictures": ("id", "part", "jpeg"),
}


def render(folder: str | os.PathLike[str]) -> Path:
    """Write `report.html` from the files of a run, and return where it is.

    The page needs nothing else: no script, no request, pictures and styles inside. Its content security policy
    allows exactly that, so a name from the data cannot become code.

    Parameters
    ----------
    folder : path
        A run folder of `unseen compare`.

    Raises
    ------
    ValueError
        If the folder is no run, is damaged, or was written with a schema that this version does not read.
    """
    folder = Path(folder)
    results = _results(folder / "results.json")
    tables = {name: _table(folder / f"{name}.parquet", columns) for name, columns in COLUMNS.items()}
    page = render_page(HERE / "page.html", filters=FILTERS, **_context(results, tables))
    file = folder / "report.html"
    with replacing(file) as temporary:
        temporary.write_bytes(page)
    return file


# -- reading -------------------------------------------------------------------------------------------------


def _results(file: Path) -> dict[str, Any]:
    try:
        results = read_object(file)
    except FileNotFoundError as error:
        raise ValueError(f"folder must be a run of `unseen compare`; {file.parent} has no results.json") from error
    words.check(results)
    return results


def _table(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """The table with these columns; an empty one if it was written without rows."""
    import pandas as pd

    check_plain(file)
    try:
        table = pd.read_parquet(file)
    except FileNotFoundError as error:
        raise ValueError(f"folder must be a run of `unseen compare`; {file.parent} has no {file.name}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if len(table) == 0:
        return pd.DataFrame(columns=list(columns))
    if missing := [name for name in columns if name not in table]:
        raise ValueError(f"{file} must have the columns {', '.join(columns)}; {', '.join(missing)} are missing")
    return table


# -- what the template sees ----------------------------------------------------------------------------------


FILTERS: dict[str, Callable[..., str]] = {
    "percent": words.percent,
    "share": words.share,
    "number": words.number,
    "seconds": words.seconds,
    "deviation": words.deviation,
    "metric": words.metric_label,
    "score": words.score_label,
    "what": words.what,
    "kind": samples_of,
    "count": words.count,
}


def _context(results: words.Results, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    known, predictions = results["classes"], tables["predictions"]
    rows = plots.folded(predictions, known)
    verdict = words.verdict(results)
    return {
        "results": results,
        "diagnosis": results.get("diagnosis"),
        "shares": _shares(results.get("diagnosis")),
        "chosen": words.chosen_row(results),
        "verdict": verdict,
        "nothing": words.nothing(results),
        "named": words.by_names(results),
        "elsewhere": "among the names" if words.by_names(results) else "in the labelled data",
        "headline": words.headline(results),
        "beside": words.beside(results),
        "meaning": words.MEANINGS.get(_read_as(verdict.metric, results), "") if verdict else "",
        "glossary": REPORT_WORDS,
        "metrics": _metrics(results),
        "fine": _fine(results),
        "deciding": words.deciding(results),
        "score_told": words.score_told(results),
        "columns": words.columns_told(results["given"]),
        "skipped": _skipped(results),
        "taught": [row for row in results["candidates"] if row.get("teachers")],
        "scale": plots.scale(results),
        "bars": plots.bars(results),
        "scatter": plots.scatter(results),
        "confusion": plots.confusion(rows, known),
        "per_class": plots.per_class(rows),
        "predicted": [] if len(rows) else plots.predicted(predictions),
        "hardest": HARDEST,
        "map": plots.maps(tables["map"]),
        "pictures": _pictures(tables["pictures"], predictions, known),
        "new_classes": _new_classes(results, tables["pictures"], rows),
        "sealing": sealing(results),
        "credits": list(dict.fromkeys(c for record in results["given"].values() for c in record["credits"])),
        "repeat": _repeat(results["config"]),
        "versions": {"unseen": results["unseen"], **results.get("versions", {})},
        "unknown": plots.UNKNOWN,
    }


REPEATED = {
    "data": "fingerprints of the data",
    "classes": "fingerprint of the classes",
    "model": "fingerprint of the model",
    "teachers": "fingerprints of the teachers",
    "id": "fingerprint of all",
}
"""What the page calls the codes among the settings of a run: where one differs, something else was run."""


def _repeat(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The settings of a run that say something: what was not given is not listed."""
    shown = {key: value for key, value in config.items() if key not in ("methods", "given")}
    return [(REPEATED.get(key, key), value) for key, value in shown.items() if value not in (None, "", {}, [])]


def _read_as(metric: str, results: words.Results) -> str:
    """Under which name it is told what a metric means: H is of base and new under a protocol of its own."""
    return "base to new" if metric == "h" and results["protocol"]["name"] == "base-to-new" else metric


def _metrics(results: words.Results) -> list[str]:
    """Metrics of the exam, the headline first."""
    if not results["exam"]:
        return []
    first = results["references"]["metric"]
    return [first, *(m for m in results["candidates"][0]["metrics"]["adapted"] if m != first and m in words.METRICS)]


def _fine(results: words.Results) -> list[str]:
    """The other metrics: of ranks, distances and the bias between classes with and without labels."""
    return [m for m in results["candidates"][0]["metrics"].get("adapted", ()) if m not in words.METRICS]


def _shares(diagnosis: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Estimated class shares of the target, those that differ most from the source's first, where they count."""
    from unseen.diagnosis.reading import shares_count  # torch comes with it

    if diagnosis is None or not shares_count(diagnosis["label_shift"]):
        return []
    return sorted(diagnosis["label_shift"]["classes"], key=lambda row: -abs(row["mlls"] - row["source"]))


def _skipped(results: words.Results) -> list[dict[str, str]]:
    """Samples that were left out, named without the folders of the machine that they were on."""
    return [
        {"role": role, "where": PurePath(where).name if PurePath(where).is_absolute() else where, "why": why}
        for role, record in results["given"].items()
        for where, why in record["skipped"]
    ]


def _new_classes(results: words.Results, pictures: pd.DataFrame, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What is said of each class that was never seen, with pictures of what was taken for it, and its accuracy."""
    sources = {row["id"]: image_source(row["jpeg"], "jpeg") for row in pictures.to_dict("records")}
    right = {row["name"]: row for row in plots.per_class(rows)}
    return [
        {
            **row,
            "pictures": [sources[id_] for id_ in row["surest"] if id_ in sources],
            "graded": right.get(row["name"]),
        }
        for row in results.get("new_classes", [])
    ]


def _pictures(pictures: pd.DataFrame, predictions: pd.DataFrame, known: list[str]) -> list[dict[str, Any]]:
    """Groups of thumbnails: right and wrong, or all where there is no truth."""
    if len(pictures) == 0:
        return []
    table = pictures.merge(predictions, on=["id", "part"], how="inner")
    rows = [
        {
            "source": image_source(row["jpeg"], "jpeg"),
            "truth": row["truth"],
            "prediction": row["prediction"] or plots.UNKNOWN,
            "probability": row["probability"],
            "right": row["truth"] == row["prediction"] or (row["prediction"] is None and row["truth"] not in known),
        }
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    ]
    groups = {
        "Right": [row for row in rows if row["truth"] is not None and row["right"]],
        "Wrong": [row for row in rows if row["truth"] is not None and not row["right"]],
        "Not labelled": [row for row in rows if row["truth"] is None],
    }
    return [{"name": name, "rows": group} for name, group in groups.items() if group]
