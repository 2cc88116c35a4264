"""Rank the architectures of a space or of a table, from a few trained ones."""

from __future__ import annotations

import dataclasses
import difflib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from unseen.data.architectures import ArchitectureTable, narrowed
from unseen.data.domain import Domain
from unseen.data.loaders.nas_benchmarks import read_architectures
from unseen.data.sources import architectures as shipped
from unseen.data.sources import digit_styles
from unseen.evaluation.drive import HeldOut, Once, Together
from unseen.methods.architecture_rankers import ArchitectureRanker
from unseen.methods.base import clone
from unseen.methods.listing import kind_of, of_kind
from unseen.nn.search_spaces import SPACES, SearchSpace
from unseen.nn.search_spaces.measure import PROXIES, measure
from unseen.nn.search_spaces.pictures import halves, read_data
from unseen.nn.search_spaces.search import search
from unseen.nn.search_spaces.table import as_table, train_all
from unseen.nn.search_spaces.training import Recipe
from unseen.runtime import track
from unseen.validation.rehearsal import parts

FOLDS = 4
RECIPES: Mapping[str, Recipe] = {"cells": Recipe(epochs=4), "vits": Recipe(epochs=8)}
"""How the networks of each space are trained."""
DEFAULT = "forest-ranker"


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What `rank` found.

    Attributes
    ----------
    table : DataFrame
        Every architecture that was scored, the best first: architecture, score, uncertainty, accuracy (NaN where it was
        not trained), role (trained, top, or empty); of a table parameters, too.
    agreement : mapping
        Kendall's tau and Spearman's rho on architectures that were not learned from, mean and deviation over parts.
    nodes : DataFrame
        node, importance, uncertainty.
    facts : mapping
        The method, counts and seconds.
    """

    table: pd.DataFrame
    agreement: Mapping[str, float]
    nodes: pd.DataFrame
    facts: Mapping[str, Any]


def make_table(
    space: str,
    data: str | os.PathLike[str],
    *,
    n: int,
    first: int | None = None,
    seeds: int = 2,
    inits: int = 2,
    size: int = 8,
    channels: int = 1,
    sample_seed: int = 2026,
    journal: Path | None = None,
    recipe: Recipe | None = None,
) -> ArchitectureTable:
    """Draw `n` architectures of a space, train them (or the `first` of them) for real, with each seed, and measure them
    untrained.

    `journal` keeps every training that is done: killed, the work goes on from there.
    """
    rooms, recipe = _space(space), recipe or RECIPES[space]
    learn, held_out = halves(_pictures_of(data, size, channels))
    if first is not None and not 1 <= first <= n:
        raise ValueError(f"first must lie in [1, {n}], what is drawn; got {first}")
    texts = [str(drawn) for drawn in rooms.sample(n, sample_seed)][:first]
    n_classes = int(learn.labels.max()) + 1
    rows = train_all(
        rooms, texts, learn, held_out, n_classes=n_classes, seeds=range(seeds), recipe=recipe, journal=journal
    )
    measured = [measure(rooms, texts, learn, n_classes=n_classes, seed=seed) for seed in range(inits)]
    about = {
        "space": space,
        "data": os.fspath(data),
        "size": size,
        "channels": channels,
        "learn": len(learn),
        "held_out": len(held_out),
        "classes": n_classes,
        "recipe": dataclasses.asdict(recipe),
        "drawn": n,
        "sample_seed": sample_seed,
        "statistics": "sums over a node's weights, one batch of 32; init i is seed i",
    }
    return as_table(
        rows, name=f"{space}-{os.fspath(data)}", proxies=PROXIES, nodes=rooms.slots, statistics=np.stack(measured),
        about=about,
    )  # fmt: skip


def _pictures_of(data: str | os.PathLike[str], size: int, channels: int) -> Domain:
    """`read_data`; what is missing, but nearly called as data of ours, is asked about."""
    try:
        return read_data(data, size, channels)
    except FileNotFoundError as error:
        ours = ["letters", *(f"digits:{style}" for style in digit_styles())]
        close = difflib.get_close_matches(os.fspath(data), ours)
        if not close:
            raise
        raise FileNotFoundError(f"there is no data {os.fspath(data)!r}; did you mean {close[0]!r}?") from error


def _space(name: str) -> SearchSpace:
    if name not in SPACES:
        raise ValueError(f"space must be {' or '.join(SPACES)}; got {name!r}")
    return SPACES[name]


def _agreement(values: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """Kendall's tau and Spearman's rho; 0 where one side is constant."""
    if not (np.ptp(scores) > 0 and np.ptp(values) > 0):
        return {"tau": 0.0, "rho": 0.0}
    tau, rho = kendalltau(scores, values), spearmanr(scores, values)
    return {"tau": float(tau.statistic), "rho": float(rho.statistic)}


def _cross_validated(method: ArchitectureRanker, source: Domain, seed: int) -> dict[str, float]:
    """Tau and rho on each of four parts, learned from the others."""
    rows, figures = np.arange(len(source)), []
    for part in track(parts(len(source), FOLDS, seed), "checking"):
        given = {"source": source.take(np.setdiff1d(rows, part))}
        outcome = Once(_agreement)(clone(method), given, HeldOut(source.x[part], source.labels[part]))
        figures.append(outcome.metrics)
    taus, rhos = ([row[name] for row in figures] for name in ("tau", "rho"))
    return {
        "tau": float(np.mean(taus)),
        "tau deviation": float(np.std(taus)),
        "rho": float(np.mean(rhos)),
        "rho deviation": float(np.std(rhos)),
        "parts": FOLDS,
        "architectures": len(source) / FOLDS,
    }


def rankers() -> tuple[str, ...]:
    """All methods that rank architectures, by slug, those of other packages, too."""
    return of_kind(ArchitectureRanker, "source")


def _ranker(method: str, proxies: int, settings: Mapping[str, Any] | None, seed: int) -> ArchitectureRanker:
    """The method with nothing learnt yet."""
    kind = kind_of(method, ArchitectureRanker, "source")
    known = kind().get_params()
    for name in settings or {}:
        if name not in known:
            other = "; method=parzc has others" if method == DEFAULT else ""
            raise ValueError(f"{method} has no parameter {name!r}; it has {', '.join(known)}{other}")
    return kind(**{"proxies": proxies, "random_state": seed, **(settings or {})})


def _nodes(method: ArchitectureRanker, source: Domain, names: Sequence[str]) -> pd.DataFrame:
    """What each node is worth on the architectures that were learned from."""
    worth = method.importance(source.x, source.labels)
    table = pd.DataFrame({"node": list(names), "importance": worth.importance, "uncertainty": worth.uncertainty})
    return table.sort_values("importance", ascending=False, kind="stable").reset_index(drop=True)


# -- a table that has accuracies and statistics ------------------------------------------------------------


def rank_table(
    table: ArchitectureTable | str | os.PathLike[str],
    *,
    trained: int = 40,
    data: str | None = None,
    proxies: Sequence[str] | None = None,
    method: str = DEFAULT,
    settings: Mapping[str, Any] | None = None,
    top: int = 5,
    seed: int = 0,
) -> Ranking:
    """Learn from `trained` architectures of a table, rank all, and see how the ranking agrees with the others.

    Parameters
    ----------
    table : ArchitectureTable, path, or name of a table of ours
        With statistics; `unseen.data.loaders.nas_benchmarks` says what is read.
    trained : int
        Architectures whose accuracy is looked at.
    data : str, optional
        Which data set of a benchmark's file.
    proxies : sequence of str, optional
        Which statistics to rank by; grad_norm, snip and synflow where the table has them.
    method : str
        Slug of a method that ranks architectures, one of `rankers`.
    settings : mapping, optional
        Hyperparameters of the method.
    top, seed : int

    Raises
    ------
    ValueError
        If the table has no statistics, or too few architectures.
    """
    began = time.perf_counter()
    if not isinstance(table, ArchitectureTable):
        table = _table(os.fspath(table), data, proxies)
    elif proxies is not None:
        table = table.with_proxies(proxies)
    if not len(table.statistics):
        raise ValueError(f"{table.name} has accuracies, but no statistics of untrained networks to rank by")
    whole = table.domain()
    if not 4 <= trained <= len(whole) - 2:
        raise ValueError(f"trained must lie in [4, {len(whole) - 2}] for the {len(whole)} architectures; got {trained}")
    order = np.random.default_rng(seed).permutation(len(whole))
    learn, rest = order[:trained], order[trained:]
    ranker = _ranker(method, len(table.proxies), settings, seed).fit(source=whole.take(learn))
    scores = ranker.predict(whole.x)
    held_out = HeldOut(whole.x[rest], whole.labels[rest])
    agreement = Together(_agreement)(held_out, {method: scores[rest]})[method]
    role = np.full(len(whole), "", dtype=object)
    role[learn] = "trained"
    role[rest[np.argsort(-scores[rest], kind="stable")[:top]]] = "top"
    assert whole.ids is not None
    ranked = pd.DataFrame(
        {
            "architecture": whole.ids,
            "score": scores,
            "uncertainty": ranker.uncertainty(whole.x),
            "parameters": whole.columns["parameters"],
            "accuracy": whole.labels,
            "role": role,
        }
    ).sort_values("score", ascending=False, kind="stable")
    return Ranking(
        ranked.reset_index(drop=True),
        {**agreement, "architectures": len(rest)},
        _nodes(ranker, whole.take(learn), table.nodes),
        {
            "space": table.name,
            "method": method,
            "trained": trained,
            "scored": len(whole),
            "seconds": time.perf_counter() - began,
        },
    )


def _table(name: str, data: str | None, proxies: Sequence[str] | None) -> ArchitectureTable:
    """A table of ours, or a file."""
    ours = shipped.names()
    if name in ours:
        if data is not None:
            raise ValueError(f"data names a data set in a file of several; {name} is of one; got {data!r}")
        table = shipped.architectures(name)
        return table if proxies is None else table.with_proxies(proxies)
    if not Path(name).suffix:
        raise ValueError(f"space must be {', '.join([*SPACES, *ours])}, or a file with its ending; got {name!r}")
    return read_architectures(name, data, proxies=proxies)


# -- a space, on the data of a user ------------------------------------------------------------------------


def known_accuracies(space: SearchSpace, file: str | os.PathLike[str]) -> tuple[list[str], NDArray[Any]]:
    """Architectures of a space and their accuracies, from a table of the user."""
    table = read_architectures(file)
    texts = [str(space.parse(text)) for text in table.architectures]
    return texts, np.nanmean(table.accuracy, axis=1)


def rank_space(
    space: str,
    data: str | os.PathLike[str],
    *,
    trained: int = 40,
    top: int = 5,
    accuracies: str | os.PathLike[str] | None = None,
    candidates: int | None = None,
    limit: int = 50_000,
    evaluations: int = 1000,
    size: int = 8,
    channels: int = 1,
    epochs: int | None = None,
    method: str = DEFAULT,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    journal: Path | None = None,
) -> Ranking:
    """Train some architectures of a space on labelled pictures, rank the whole space, and train the best.

    Parameters
    ----------
    space : {"cells", "vits"}
    data : path or name
        Labelled pictures; half of each class is held out, to measure accuracies on.
    trained : int
        Architectures that are trained, drawn at random.
    top : int
        Of the best by score that are not trained yet, how many are trained to see what they reach.
    accuracies : path, optional
        Table (.csv with architecture, accuracy, or .parquet) of trainings that are done; nothing is trained then but
        the top.
    candidates : int, optional
        Rank so many architectures, drawn at random, in place of the whole space.
    limit, evaluations : int
        A larger space is searched by evolution, with so many scores.
    size, channels : int
        Of the pictures that networks read.
    epochs : int, optional
        Of each training.
    method : str
        Slug of a method that ranks architectures, one of `rankers`.
    settings : mapping, optional
        Hyperparameters of the method.
    seed : int
    journal : path, optional
        File that keeps trainings, so that work that was killed goes on.

    Raises
    ------
    ValueError
        If an argument is out of range, the space has no such name, or the data are no labelled pictures.
    """
    began = time.perf_counter()
    rooms = _space(space)
    _check_counts(rooms, trained, top, candidates)
    ranker = _ranker(method, len(PROXIES), settings, seed)
    recipe = RECIPES[space] if epochs is None else dataclasses.replace(RECIPES[space], epochs=epochs)
    learn, held_out = halves(_pictures_of(data, size, channels))
    n_classes = int(learn.labels.max()) + 1
    work = dict(n_classes=n_classes, seeds=(seed,), recipe=recipe, journal=journal)
    if accuracies is not None:
        texts, y = known_accuracies(rooms, accuracies)
        if len(texts) < 2 * FOLDS or len(np.unique(y)) < 2:
            raise ValueError(
                f"accuracies must hold at least {2 * FOLDS} architectures, not all alike; got {len(texts)}"
            )
    else:
        texts = [str(drawn) for drawn in rooms.sample(trained, seed)]
        y = np.array([row.accuracy for row in train_all(rooms, texts, learn, held_out, **work)])  # type: ignore[arg-type]

    def statistics(some: Sequence[str]) -> NDArray[np.floating]:
        return narrowed(measure(rooms, some, learn, n_classes=n_classes, seed=seed))

    source = Domain(x=statistics(texts), y=y, task="value", ids=np.array(texts), name=f"{space}: trained")
    agreement = _cross_validated(ranker, source, seed)
    ranker.fit(source=source)
    uncertain: dict[str, float] = {}

    def score(some: Sequence[str]) -> NDArray[np.float64]:
        x = torch.as_tensor(statistics(some))
        uncertain.update(zip(some, ranker.uncertainty(x).tolist()))
        return ranker.predict(x)

    scores: NDArray[Any]
    if candidates is not None and candidates < len(rooms):
        ranked = list(dict.fromkeys([*texts, *(str(drawn) for drawn in rooms.sample(candidates, seed + 1))]))
        scores, how = score(ranked), "a random part"
        best = np.argsort(-scores, kind="stable")
        ranked, scores = [ranked[i] for i in best], scores[best]
    else:
        searched = search(rooms, score, limit=limit, evaluations=evaluations, seed=seed)
        ranked, scores, how = list(searched.architectures), searched.scores, searched.how
    known = dict(zip(texts, y.tolist()))
    chosen = [text for text in ranked if text not in known][:top] or ranked[:top]
    rows = train_all(rooms, [text for text in chosen if text not in known], learn, held_out, **work)  # type: ignore[arg-type]
    reached = known | {row.architecture: row.accuracy for row in rows}
    table = pd.DataFrame(
        {
            "architecture": ranked,
            "score": scores,
            "uncertainty": [uncertain[text] for text in ranked],
            "accuracy": [reached.get(text, np.nan) for text in ranked],
            "role": ["top" if text in chosen else "trained" if text in known else "" for text in ranked],
        }
    )
    summary = {
        "space": space,
        "method": method,
        "architectures in the space": len(rooms),
        "scored": len(ranked),
        "how": how,
        "trained": len(texts),
        "accuracy of the top": float(np.mean([reached[text] for text in chosen])),
        "median accuracy of the trained": float(np.median(y)),
        "best accuracy of the trained": float(np.max(y)),
        "parameters of the top": [_size(rooms, text, n_classes, channels, size) for text in chosen],
        "recipe": dataclasses.asdict(recipe),
        "seconds": time.perf_counter() - began,
    }
    return Ranking(table, agreement, _nodes(ranker, source, rooms.slots), summary)


def _size(space: SearchSpace, text: str, n_classes: int, channels: int, size: int) -> int:
    network = space.build(space.parse(text), n_classes=n_classes, channels=channels, size=size)
    return sum(parameter.numel() for parameter in network.parameters())


def _check_counts(space: SearchSpace, trained: int, top: int, candidates: int | None) -> None:
    if not 2 * FOLDS <= trained <= len(space):
        raise ValueError(f"trained must lie in [{2 * FOLDS}, {len(space)}]; got {trained}")
    if not 1 <= top <= len(space):
        raise ValueError(f"top must lie in [1, {len(space)}]; got {top}")
    if candidates is not None and candidates < top:
        raise ValueError(f"candidates must be at least top, {top}; got {candidates}")
