"""`unseen rank`: documents of a user's collection for queries, by what was best on queries written for it."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unseen import encoders
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.rankings import NOTHING, Ranking
from unseen.data.tasks.base import objects
from unseen.data.typing import FloatArray
from unseen.encoders.cache import cache_root
from unseen.encoders.unread import unread
from unseen.evaluation.drive import HeldOut, Once, Outcome, Together
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks import grades_of
from unseen.evaluation.tasks.ranking import per_query
from unseen.files import loads
from unseen.jobs.retrieval.systems import DEFAULT, PLAIN, UNASKED, check_systems, fused, systems_of, tuner
from unseen.methods.base import Method, fit_words, signatures
from unseen.methods.retrieval.queries import EXAMPLES
from unseen.methods.retrieval.search import BM25Search, Fusion, NeuralSearch, Search
from unseen.nn import rankers, writers
from unseen.nn.protocols import Writer
from unseen.nn.state import load_state, save_state

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

GRADED = 100
"""Documents of a query that are graded."""
HELD_OUT = 100
"""Documents whose queries are not learnt from, at most."""
FEWEST = 20
"""Queries below which nothing is chosen by them."""
DRAWS = 1000
"""Of the bootstrap over queries."""


@dataclasses.dataclass(frozen=True)
class Searcher:
    """A fitted system with the names of the documents: it ranks queries, is saved and loaded.

    Attributes
    ----------
    system : str
        A name of `systems_of`.
    method : Search
    names : array of n strings
        Ids of the documents.
    """

    system: str
    method: Search
    names: NDArray[Any]

    def rank(self, queries: Sequence[str] | NDArray[Any], k: int = 10) -> pd.DataFrame:
        """The first k documents of each query: columns query, rank, document, score, text."""
        import pandas as pd

        ranking = self.method.rank(list(queries), k)
        rows = [
            (query, rank, str(self.names[d]), score, str(self.method.index_.texts[d]))
            for query, documents, scores in zip(queries, ranking.documents.tolist(), ranking.scores.tolist())
            for rank, (d, score) in enumerate(zip(documents, scores), 1)
            if d != NOTHING
        ]
        return pd.DataFrame(rows, columns=["query", "rank", "document", "score", "text"])

    @property
    def corpus(self) -> Domain:
        """The documents."""
        return Domain(x=self.method.index_.texts, kind="text", ids=self.names, name="corpus")

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ranker, documents and names to a folder, JSON and safetensors, all or nothing."""
        return save_state(folder, {"ranks": self.system, "method": self.method, "names": self.names})

    @classmethod
    @loads("a saved ranker")
    def load(cls, folder: str | os.PathLike[str]) -> Searcher:
        """Read what `save` wrote."""
        value = load_state(folder)
        if not isinstance(value, dict) or set(value) != {"ranks", "method", "names"}:
            raise ValueError(f"{os.fspath(folder)} holds no ranker of documents")
        texts = getattr(getattr(value["method"], "index_", None), "texts", None)
        if not isinstance(value["method"], Search) or texts is None or len(texts) != len(value["names"]):
            raise ValueError(f"{os.fspath(folder)} must hold a ranker with a name for each of its documents")
        return cls(value["ranks"], value["method"], value["names"])


@dataclasses.dataclass(frozen=True)
class Ranked:
    """What `rank` found.

    Attributes
    ----------
    corpus, queries : Domain
        Queries with judgements if there were some.
    searchers : mapping of system to Searcher
    rankings : mapping of system to Ranking
        (queries, k) each.
    chosen, why : str
    check : DataFrame
        system, ndcg@10, recall@100, mrr@10, low, high: on queries written for documents that were not learnt from;
        empty if there are too few.
    figures : DataFrame
        The same on the judgements, with seconds; empty without.
    verdict : str
        Whether tuning should help here, in a sentence; empty if nothing was tuned.
    systems : mapping of system to str
        What each is.
    """

    corpus: Domain
    queries: Domain
    searchers: Mapping[str, Searcher]
    rankings: Mapping[str, Ranking]
    chosen: str
    why: str
    check: pd.DataFrame
    figures: pd.DataFrame
    verdict: str
    systems: Mapping[str, str]

    tuned: Search | None = None
    """What learnt from the collection, with its audit, also where only its fusion was asked for."""

    notes: tuple[str, ...] = ()
    """What is not read of documents and queries."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the systems are made of.

    Attributes
    ----------
    encoder, writer, ranker : str
        Names: of `unseen.encoders`, `unseen.nn.writers.writer` and `unseen.nn.rankers.ranker`; or the objects.
    layers : int
        Upper layers of a bi-encoder that are tuned; 0 for all.
    """

    encoder: Any = "minilm"
    writer: Any = "smollm2"
    ranker: Any = "minilm"
    layers: int = 2


def rank(
    corpus: Domain,
    queries: Domain,
    *,
    systems: Sequence[str] | None = None,
    method: str = DEFAULT,
    k: int = 100,
    parts: Parts | None = None,
    examples: Pairs | None = None,
    settings: Mapping[str, Any] | None = None,
    random_state: int = 0,
) -> Ranked:
    """Rank a collection's documents for queries by several systems, and choose one without labels.

    Parameters
    ----------
    corpus : Domain of texts
    queries : Domain of texts
        Judgements in it (`unseen.data.rankings.read_judgements`) are sealed as the exam: nothing learns from them, and
        nothing is chosen by them.
    systems : sequence of str, optional
        Of `systems_of` the method; all but `UNASKED` if absent.
    method : str
        Slug of what learns from the collection, one of `searchers`.
    k : int
        Documents of each query.
    parts : Parts, optional
        Encoder, writer and ranker.
    examples : Pairs, optional
        Queries (left) with documents (right) of the collection, for the writer's prompt.
    settings : mapping, optional
        Hyperparameters of the method.
    random_state : int

    Raises
    ------
    ValueError
        If something of this does not fit; the message says what.
    ImportError
        If a package is missing; the message is the command that installs it.
    """
    known = systems_of(method)
    systems = check_systems([name for name in known if name != UNASKED] if systems is None else systems, k, method)
    parts = parts or Parts()
    learner, helpers = None, Helpers()
    if {method, fused(method)} & set(systems):
        learner = tuner(corpus, {**(settings or {}), "random_state": random_state}, method)
        helpers = Helpers.of(learner, parts, examples)
    elif method != DEFAULT:
        raise ValueError(f"systems must hold {method}, which method names; got {', '.join(systems)}")
    model = rankers.ranker(parts.ranker, parts.layers) if isinstance(parts.ranker, str) else parts.ranker
    exam = None
    if queries.y is not None and queries.labeled.any():
        exam = Exam(queries)
    if examples is not None and (shared := set(map(str, examples.left.x)) & set(map(str, queries.x))):
        raise ValueError(f"examples must hold other queries than those that are asked; both have {min(shared)!r}")
    notes = _unread(corpus, queries, model, parts.ranker, systems)
    fitted, outcomes = _fit(systems, corpus, model, learner, helpers, exam)
    searchers = {name: Searcher(name, fitted[name], np.asarray(corpus.ids)) for name in systems}
    texts = queries.x.tolist()
    rankings = {
        name: outcomes[name].prediction.first(k)
        if name in outcomes and k <= GRADED
        else searchers[name].method.rank(texts, k)
        for name in systems
    }
    check, values = _check(corpus, searchers, learner, helpers.writer, examples, random_state)
    chosen, why = choose(values, systems, judged=exam is not None, method=method)
    return Ranked(
        corpus, queries, searchers, rankings, chosen, why, check, _figures(outcomes, queries),
        verdict_of(values, method), {name: known[name] for name in systems}, tuned=learner, notes=notes,
    )  # fmt: skip


def _unread(corpus: Domain, queries: Domain, model: nn.Module, ranker: Any, systems: Sequence[str]) -> tuple[str, ...]:
    """What the ranker does not read of documents and queries, told beforehand; nothing where words alone are asked."""
    if set(systems) == {"bm25"}:
        return ()
    by = ranker if isinstance(ranker, str) else type(ranker).__name__
    beside = "; bm25 reads all" if "bm25" in systems else ""
    lines = [
        f"{line}{beside}"
        for texts, kind in ((corpus.x, "documents"), (queries.x, "queries"))
        for line in unread(model, texts, by).lines(kind)
    ]
    for line in lines:
        log.warning("%s", line)
    return tuple(lines)


@dataclasses.dataclass(frozen=True)
class Helpers:
    """What a method is given beside the collection and the ranker, and what writes the queries to choose by."""

    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    writer: Writer | None = None

    @classmethod
    def of(cls, method: Search, parts: Parts, examples: Pairs | None) -> Helpers:
        """Those of `parts`, by name or as they are; only those that the method reads are made."""
        slug, words = method.card.slug, fit_words(type(method))
        if parts.encoder != Parts.encoder and "encoder" not in words:
            raise ValueError(f"encoder: {slug} reads none; leave out {parts.encoder!r}, or name another method")
        if examples is None and all("pairs" in way.required for way in signatures(type(method))):
            raise ValueError(f"examples: {slug} learns from queries with documents; name a few")
        writer = remembering(parts.writer)
        inputs: dict[str, Any] = {"writer": writer}
        if "encoder" in words:
            inputs["encoder"] = encoders.get(parts.encoder) if isinstance(parts.encoder, str) else parts.encoder
        if examples is not None:
            inputs["pairs"] = examples
        return cls({word: value for word, value in inputs.items() if word in words}, writer)


def _fit(
    systems: Sequence[str],
    corpus: Domain,
    model: nn.Module,
    method: Search | None,
    helpers: Helpers,
    exam: Exam | None,
) -> tuple[dict[str, Search], dict[str, Outcome]]:
    """Every system, fitted, and what came of it on the exam, if there is one."""
    inputs = {"corpus": corpus.replace(y=None, classes=None), "model": model}
    fitted: dict[str, Search] = {}
    outcomes: dict[str, Outcome] = {}
    asks = Once(grades_of("ranking").grade, verb="rank")

    def learn(name: str, system: Search, given: Mapping[str, Any]) -> None:
        if exam is not None and name in systems:
            outcomes[name] = asks(system, given, exam)
        else:
            system.fit(**given)
        fitted[name] = system

    def shares(name: str, system: Method) -> None:
        """A system that is another one, asked otherwise: nothing is fitted again."""
        assert isinstance(system, Search)
        fitted[name] = system
        if exam is not None:
            outcomes[name] = asks.ask(system, exam)

    if "bm25" in systems:
        learn("bm25", BM25Search(), {"corpus": inputs["corpus"]})
    if {"minilm", "rerank", "fusion"} & set(systems):
        learn("minilm", NeuralSearch(), inputs)
        plain = fitted["minilm"]
        assert isinstance(plain, NeuralSearch)
        if "rerank" in systems:
            again = NeuralSearch(candidates="bm25")
            vars(again).update(plain.fitted)
            shares("rerank", again)
        if "fusion" in systems:
            shares("fusion", Fusion.on(plain))
    if method is not None:
        slug, words = method.card.slug, fit_words(type(method))
        learn(slug, method, {word: value for word, value in {**inputs, **helpers.inputs}.items() if word in words})
        if fused(slug) in systems:
            assert isinstance(method, NeuralSearch)
            shares(fused(slug), Fusion.on(method))
    return fitted, outcomes


def remembering(writer: Any) -> Writer:
    """A writer whose texts are kept in the user's cache folder, by its name and the prompt."""
    plain = writers.writer(writer) if isinstance(writer, str) else writer
    return writers.RememberingWriter(plain, cache_root() / "texts.sqlite")


# -- choosing without labels -------------------------------------------------------------------------------


def _check(
    corpus: Domain,
    searchers: Mapping[str, Searcher],
    method: Search | None,
    writer: Writer | None,
    examples: Pairs | None,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, FloatArray]]:
    """The table, and nDCG@10 of each system for each query that was written for a document held out."""
    import pandas as pd

    empty = pd.DataFrame(columns=["system", "ndcg@10", "recall@100", "mrr@10", "low", "high"])
    if method is None or writer is None:
        return empty, {}
    queries, places = held_out_queries(method, corpus, writer, examples, seed)
    if len(queries) < FEWEST:
        log.warning("only %d queries could be written for documents held out: nothing is chosen by them", len(queries))
        return empty, {}
    truth = HeldOut(queries, objects(np.array([[place, 1]]) for place in places.tolist()))
    ranked = {name: searcher.method.rank(queries, GRADED) for name, searcher in searchers.items()}
    figures = Together(per_query)(truth, ranked)
    values = {name: scores["ndcg@10"] for name, scores in figures.items()}
    rows = [
        {"system": name, **{key: float(scores[key].mean()) for key in scores}, **_ends(scores["ndcg@10"])}
        for name, scores in figures.items()
    ]
    return pd.DataFrame(rows), values


def held_out_queries(
    method: Search, corpus: Domain, writer: Writer, examples: Pairs | None, seed: int, n: int = HELD_OUT
) -> tuple[list[str], NDArray[np.int64]]:
    """Queries written for documents that nothing was tuned on, and these documents: at most n, with what can be used.

    A method says by its `audit_` what it was tuned on; one that has none was tuned on no query. In a small collection
    nearly every document stands as a negative; then those that were not drawn have to do.
    """
    places = np.arange(len(corpus))
    audit: Mapping[str, NDArray[Any]] = method.fitted.get("audit_", {})
    drawn, negatives = (np.ravel(audit.get(name, np.zeros(0, dtype=np.int64))) for name in ("document", "negatives"))
    left = np.setdiff1d(places, np.concatenate([drawn, negatives]))
    if len(left) < FEWEST:
        left = np.setdiff1d(places, drawn)
    texts = np.asarray(corpus.x)
    shortest = max(method.get_params().get("shortest", 1), 1)
    left = np.array([i for i in left if len(str(texts[i]).strip()) >= shortest], dtype=np.int64)
    chosen = np.random.default_rng(seed).permutation(left)[:n]
    if not len(chosen):
        return [], chosen
    shots = [*EXAMPLES] if examples is None else [(str(d), str(q)) for q, d in zip(examples.left.x, examples.right.x)]
    try:
        queries, flaws = method.write_queries(texts[chosen], writer, shots)
    except ValueError:  # none of them can be used
        return [], chosen[:0]
    return queries[flaws == ""].tolist(), chosen[flaws == ""]


def choose(
    values: Mapping[str, FloatArray], systems: Sequence[str], judged: bool = False, method: str = DEFAULT
) -> tuple[str, str]:
    """A system and why: the tuned one, unless queries written for documents held out say that it lost by that.

    To take whatever is best on such queries was measured, and is worse: they share words with their documents, which
    BM25 likes (`unseen reproduce duqgen`: 2.5 points of nDCG@10 behind the best, where the tuned ranker was the best).
    Where nothing was tuned they choose; without them the ranker as it is comes first, which was better than its fusion
    with BM25 in each of the three collections of `unseen reproduce duqgen`. Of another method nothing was measured: it
    must not lose to any that learns nothing.
    """
    if not values:
        order = ("minilm", "fusion", fused(method), method, "rerank", "bm25")
        chosen, *others = (name for name in order if name in systems)
        unseen = ", and it was chosen without looking at your judgements" if judged else ""
        first = f"it is taken before {', '.join(others)}" if others else "nothing else was tried"
        return chosen, f"no queries were written to choose by, {first}{unseen}"
    if method in values:
        rivals = [name for name in (("minilm",) if method == DEFAULT else PLAIN) if name in values]
        best = max(rivals, key=lambda name: float(values[name].mean()), default=method)
        held_out = "on queries written for documents that nothing was tuned on"
        if _gain(values[method], values[best])[2] < 0:
            return best, f"tuning lost {held_out}" if method == DEFAULT else f"{method} lost to it {held_out}"
        if method != DEFAULT:
            return method, f"it is not measurably worse than what learns nothing {held_out}"
        return (
            method,
            "it was tuned on queries written for some of these documents, and is not measurably worse on queries "
            "written for others",
        )
    simplest = (*PLAIN, method, fused(method))
    chosen = max(values, key=lambda name: (float(values[name].mean()), -simplest.index(name)))
    return chosen, f"it was best on {len(values[chosen])} queries written for documents that nothing was tuned on"


def on_judgements(figures: pd.DataFrame, chosen: str) -> str:
    """What the user's judgements give to the system chosen and, if another has more, to that; empty without them."""
    if not len(figures):
        return ""
    values = {str(row["system"]): float(row["ndcg@10"]) for row in figures.to_dict("records")}
    score, best = values[chosen], best_on_judgements(figures, chosen)
    sentence = f"your judgements, opened afterwards, give {chosen} {score:.3f} nDCG@10 of 1"
    if best != chosen:
        return f"{sentence}, and more to {best}, {values[best]:.3f}"
    return sentence + ("; no other has more" if len(values) > 1 else "")


def best_on_judgements(figures: pd.DataFrame, chosen: str) -> str:
    """The system with most nDCG@10 on the user's judgements; the one chosen without them, or where none has more."""
    values = {str(row["system"]): float(row["ndcg@10"]) for row in figures.to_dict("records")}
    best = max(values, key=lambda name: values[name], default=chosen)
    return best if values and values[best] > values[chosen] else chosen


def verdict_of(values: Mapping[str, FloatArray], method: str = DEFAULT) -> str:
    """Whether tuning should help, on queries that were written for documents held out."""
    learnt = [name for name in (method, fused(method)) if name in values]
    if not learnt:
        return ""
    others = [name for name in ("minilm", "fusion", "rerank", "bm25") if name in values]
    if not others:
        return "Nothing was tried beside it: whether tuning helps is not known."
    best = max(others, key=lambda name: float(values[name].mean()))
    tuned = max(learnt, key=lambda name: float(values[name].mean()))
    mean, low, high = _gain(values[tuned], values[best])
    gain = f"{mean:+.3f} nDCG@10 [{low:+.3f}, {high:+.3f}] against {best}, the best that is not tuned"
    if low > 0:
        return f"Tuning should help here: {tuned} has {gain}, on queries that were not learnt from."
    if high < 0:
        return f"Tuning should not help here: {tuned} has {gain}, on queries that were not learnt from."
    return f"Whether tuning helps here cannot be told: {tuned} has {gain}, on queries that were not learnt from."


def _gain(a: FloatArray, b: FloatArray) -> tuple[float, float, float]:
    """The mean of a - b over queries, with a 95 % interval by bootstrap."""
    ends = _ends(a - b)
    return float((a - b).mean()), ends["low"], ends["high"]


def _ends(values: FloatArray) -> dict[str, float]:
    """The 95 % interval of a mean over queries, by bootstrap."""
    known = values[~np.isnan(values)]
    means = np.random.default_rng(0).choice(known, (DRAWS, len(known))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _figures(outcomes: Mapping[str, Outcome], queries: Domain) -> pd.DataFrame:
    """What the exam said of each system."""
    import pandas as pd

    columns = ["system", "ndcg@10", "recall@100", "mrr@10", "low", "high", "seconds"]
    each = grades_of("ranking").each
    rows = [
        {
            "system": name,
            **outcome.metrics,
            **_ends(each(np.asarray(queries.y), outcome.prediction)),
            "seconds": outcome.seconds,
        }
        for name, outcome in outcomes.items()
    ]
    return pd.DataFrame(rows, columns=columns)
