"""The paper's own figures: its correlations from its published tables, and curves of its models that come along.

`curves.json` beside this file was computed from the tables by ``docs/published_curves.py``. Counts and accuracies are
of bethgelab/frequency_determines_performance, MIT License, copyright (c) 2023 Vishaal Udandarao.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.methods.curation.concept_frequency.fit import fit_log_linear
from unseen.methods.curation.concept_frequency.predict import Curve

if TYPE_CHECKING:
    import pandas as pd

SEARCHES = {"text": "text_lemmatized", "image": "image_tags_0.7", "joint": "joint_0.7"}
"""Columns of the published counts."""

LEFT_OUT = ("imagenet-r",)
"""Data sets that the paper leaves out of its curves."""

COUNTED_AS = {"laion200m_train_test_sim_normalized": "laion400m"}
"""Corpora without counts of their own, and the one that they are a part of."""

_MODEL = re.compile(r"backbone(.+)_pretrained(.+)")


def read_published(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """The paper's points: dataset, concept, prompts, model, corpus, accuracy in percent, and counts text, image, joint.

    Parameters
    ----------
    folder : path
        With ``counts.csv.gz`` (dataset, concept, corpus, text_lemmatized, image_tags_0.7, joint_0.7) and
        ``accuracy.csv.gz`` (dataset, prompts, model, concept, accuracy_percent). Models whose corpus has no counts
        are left out; a count that is not published is NaN.

    Raises
    ------
    ValueError
        If a file or a column is missing.
    """
    import pandas as pd

    tables = {}
    for name, columns in {
        "counts": ("dataset", "concept", "corpus", *SEARCHES.values()),
        "accuracy": ("dataset", "prompts", "model", "concept", "accuracy_percent"),
    }.items():
        file = Path(folder) / f"{name}.csv.gz"
        if not file.is_file():
            raise ValueError(f"{folder} must hold counts.csv.gz and accuracy.csv.gz; {file.name} is missing")
        tables[name] = pd.read_csv(file, keep_default_na=False, na_values={c: [""] for c in SEARCHES.values()})
        if missing := [column for column in columns if column not in tables[name]]:
            raise ValueError(f"{file} must have the columns {', '.join(columns)}; {', '.join(missing)} are missing")
    points = tables["accuracy"].rename(columns={"accuracy_percent": "accuracy"})
    plane = (points.dataset == "cifar10") & (points.concept == "plane")
    points.loc[plane, "concept"] = "airplane"  # two names of one class in the published files
    parts = points.model.str.extract(_MODEL)
    points = points.assign(model=parts[0], corpus=parts[1])
    points = points[~points.dataset.isin(LEFT_OUT)]
    points["counted"] = points.corpus.replace(COUNTED_AS)
    points = points[points.counted.isin(set(tables["counts"].corpus))]
    counts = tables["counts"].rename(
        columns={column: search for search, column in SEARCHES.items()} | {"corpus": "counted"}
    )
    return points.merge(counts, on=["dataset", "concept", "counted"], how="left")


def fit_published(points: pd.DataFrame) -> pd.DataFrame:
    """The paper's figures 2 and 3 from `read_published`: a row per corpus, model, prompts and search.

    Returns
    -------
    DataFrame
        corpus, model, prompts, search, r, p, raw_r, slope_per_decade, n, zero (concepts without a hit).
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for (corpus, model, prompts), group in points.groupby(["corpus", "model", "prompts"], sort=True):
        for search in SEARCHES:
            known = group[group[search].notna()]
            counts = known[search].to_numpy(dtype=float)
            fit = fit_log_linear(counts, known.accuracy.to_numpy(dtype=float), drop_first=drop_first_of(str(corpus)))
            labels = {"corpus": corpus, "model": model, "prompts": prompts, "search": search}
            figures = {"r": fit.r, "p": fit.p, "raw_r": fit.raw_r, "slope_per_decade": fit.slope_per_decade}
            rows.append(labels | figures | {"n": fit.n, "zero": int((counts == 0).sum())})
    return pd.DataFrame(rows)


def drop_first_of(corpus: str) -> int:
    """First bins that the official code leaves out."""
    return 2 if corpus.startswith(("laion400m", "laion200m")) else 1


# -- curves that come along --------------------------------------------------------------------------------


@functools.cache
def _kept() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "curves.json").read_text(encoding="utf-8"))


def published_curves() -> tuple[str, ...]:
    """Names of the curves that come along: ``CORPUS/MODEL/SEARCH``, such as ``laion400m/ViT-B-16/text``."""
    return tuple(_kept()["curves"])


def published_curve(name: str) -> Curve:
    """How accuracy depended on frequency for a model of the paper, over 4,000 concepts of 18 data sets.

    It takes counts in the whole of its corpus. Errors are kept as 199 order statistics of each group of counts.

    Raises
    ------
    ValueError
        If there is no curve of this name.
    """
    curves = _kept()["curves"]
    if name not in curves:
        raise ValueError(f"no published curve is called {name!r}; there are {', '.join(curves)}")
    record = curves[name]
    errors = tuple(tuple(group) for group in record["errors"])
    return Curve(**{**record, "errors": errors, "bounds": tuple(record["bounds"])})


def corpus_size(name: str) -> int:
    """Image-text pairs in the corpus of a published curve, as the paper names them."""
    return _SIZES[name.partition("/")[0]]


_SIZES = {"cc3m": 3_000_000, "cc12m": 12_000_000, "yfcc15m": 15_000_000, "laion400m": 400_000_000,
          "synthci30m": 30_000_000, "laion200m_train_test_sim_normalized": 200_000_000}  # fmt: skip


def thinned(curve: Curve, kept: int = 199) -> Curve:
    """The curve with order statistics of its errors in the place of all."""
    errors = []
    for group in curve.errors:
        ranks = [max(round((len(group) + 1) * k / (kept + 1)), 1) for k in range(1, kept + 1)]
        errors.append(tuple(group[min(rank, len(group)) - 1] for rank in ranks) if len(group) > kept else group)
    return dataclasses.replace(curve, errors=tuple(errors))
