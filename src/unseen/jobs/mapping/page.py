"""Phrases mapped to a taxonomy as a page: how often the answer is right, and all answers, the doubtful ones first."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.evaluation.metrics.classification import wilson_interval
from unseen.jobs.mapping.job import DEFAULT, Band, Check, Mapper, words_key
from unseen.report.pages import render_page
from unseen.report.plots import bars_of
from unseen.runtime import replacing

if TYPE_CHECKING:
    import pandas as pd

ROWS = 500
"""Phrases that are shown."""
STYLE = """
.answers bdi { display: inline; max-width: none; }
.answers th { min-width: 9rem; }
.answers td div, .answers th div { font-size: 0.8rem; }
tr.none td { color: var(--wrong); }
@media (max-width: 46rem) {
  .answers thead { display: none; }
  .answers :is(tbody, tr, th, td) { display: block; border: 0; padding: 0; text-align: left; }
  .answers tr { border-bottom: 1px solid var(--rule); padding: 0.6rem 0; }
  .answers [data-label]::before { content: attr(data-label) ": "; color: var(--quiet); }
}
"""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the page shows.

    Attributes
    ----------
    mapper : Mapper
    table : DataFrame
        What `Mapper.map` gave.
    check : Check or None
    by_names : DataFrame or None
        The same of the names alone (`nearest-name`), where another method answered.
    file : str
        What the file with all answers is called.
    model : str
        The folder of the mapper, as a command names it; empty if it was not saved.
    command : str
        That is to be repeated.
    """

    mapper: Mapper
    table: pd.DataFrame
    check: Check | None = None
    by_names: pd.DataFrame | None = None
    file: str = ""
    model: str = ""
    command: str = ""


def write_page(answers: Answers, file: str | os.PathLike[str]) -> None:
    """Write the page, all or nothing."""
    with replacing(Path(file)) as part:
        part.write_bytes(page(answers))


def page(answers: Answers) -> bytes:
    """One HTML page that needs nothing else; phrases and names are text, never markup."""
    slug, taxonomy, check = answers.mapper.method.card.slug, answers.mapper.taxonomy, answers.check
    bands = () if check is None else check.bands.get(slug, ())
    rows = _rows(answers, bands)
    figures = {} if check is None else dict(sorted(check.figures.items(), key=lambda item: -item[1]["mrr"]))
    return render_page(
        Path(__file__).with_name("page.html"),
        style=STYLE,
        taxonomy=taxonomy.phrases.name,
        nodes=len(taxonomy),
        method=slug,
        check=check,
        best=figures.get(slug),
        interval=None if check is None else wilson_interval(figures[slug]["first"], check.n),
        figures=figures,
        bars=_bars(check, figures, slug) if check is not None and len(figures) > 1 else None,
        bands=[(band, wilson_interval(band.right / band.n, band.n)) for band in bands],
        rows=rows[:ROWS],
        n=len(rows),
        lost=sum(not row["node"] for row in rows),
        literal=sum(bool(row["literal"]) for row in rows),
        synonyms=len(taxonomy.phrases) > 0,
        rival=DEFAULT if answers.by_names is not None else "",
        params={name: value for name, value in answers.mapper.method.get_params().items() if name != "random_state"},
        vectors=answers.mapper.encoder or getattr(answers.mapper.method.fitted.get("words_"), "name", ""),
        source=answers.mapper.source,
        file=answers.file,
        model=answers.model,
        command=answers.command,
    )


def _bars(check: Check, figures: dict[str, Any], slug: str) -> dict[str, Any]:
    shares = {name: float(row["first"]) for name, row in figures.items()}
    intervals = {name: wilson_interval(share, check.n) for name, share in shares.items()}
    return bars_of(shares, "node found first, %", chosen=slug, intervals=intervals)


def _rows(answers: Answers, bands: tuple[Band, ...]) -> list[dict[str, Any]]:
    """A row for each phrase, those without a node first, then by score; what stands in the taxonomy as it is last."""
    literal, called = _literal(answers), dict(zip(answers.mapper.taxonomy.classes.names, _names(answers)))
    firsts = None if answers.by_names is None else answers.by_names[answers.by_names["rank"] == 1]
    rows: list[dict[str, Any]] = []
    columns = (answers.table[name].tolist() for name in ("phrase", "rank", "node", "name", "score", "path"))
    for phrase, rank, node, name, score, path in zip(*columns):
        if rank == 1:
            same = literal.get(words_key(phrase), [])
            rows.append({
                "phrase": phrase, "node": node, "name": name, "score": score, "second": None,
                "above": path.removeprefix(name).removeprefix(" > "),
                "literal": [(other, called[other]) for other in same], "as_is": node in same,
                "right": _right(score, bands) if node else None,
            })  # fmt: skip
        elif rank == 2:
            rows[-1]["second"] = (node, name, score)
    if firsts is not None:
        for row, node, name in zip(rows, firsts["node"].tolist(), firsts["name"].tolist()):
            row["by_names"] = (node, name)
    return sorted(rows, key=lambda row: (row["node"] != "", row["as_is"], row["score"]))


def _names(answers: Answers) -> list[str]:
    return [str(text) for text in answers.mapper.taxonomy.classes.texts]


def _literal(answers: Answers) -> dict[str, list[str]]:
    """The identifiers of the nodes that have a name of these words."""
    taxonomy, out = answers.mapper.taxonomy, dict[str, list[str]]()
    identifiers = taxonomy.classes.names
    named = [*enumerate(_names(answers)), *zip(taxonomy.phrases.labels.tolist(), taxonomy.phrases.x.tolist())]
    for node, name in named:
        if not (key := words_key(str(name))):
            continue  # an empty phrase is not the name of one without a name
        nodes = out.setdefault(key, [])
        if identifiers[node] not in nodes:
            nodes.append(identifiers[node])
    return out


def _right(score: float, bands: tuple[Band, ...]) -> float | None:
    """The share that is right of the phrases of the check with such a score."""
    below = [band for band in bands if band.low <= score] or list(bands[:1])
    return below[-1].right / below[-1].n if below else None
