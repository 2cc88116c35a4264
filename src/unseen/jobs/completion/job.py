"""A knowledge graph completed for relations that no triple has shown: learn, check on seen relations, rank."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen import methods as registry
from unseen.data import ontologies
from unseen.data.classes import ClassSpace
from unseen.data.ontology import Ontology
from unseen.data.sources.graphs import Graph, graph
from unseen.data.typing import FloatArray, IntArray
from unseen.evaluation.drive import HeldOut, Together
from unseen.evaluation.metrics.ranking import filtered_ranks, known_tails, ranking_scores
from unseen.files import reads
from unseen.methods.base import fit_words
from unseen.methods.baselines.nearest_relation import NearestRelation
from unseen.methods.listing import with_foreign
from unseen.methods.tails import TailRanker
from unseen.methods.zero_shot.ontozsl import RelationOntoZSL
from unseen.nn.train import DivergedError
from unseen.runtime import track
from unseen.validation.rehearsal import pretend_unseen

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 4
"""Relations with triples, of which some can be held out to check the others."""
AT_ONCE = 64
"""Queries whose tails are scored between two steps of the progress bar."""
DEFAULT = ("ontozsl", "nearest-relation")
"""The methods that are checked, of which the better one answers; the first where nothing is checked."""
SHOWN = 3
"""Known relations that are told to have answered for one, at most."""
LEAST = 0.05
"""Share of an answer below which a known relation is not told, beside the first."""
Path = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Completion:
    """What `complete` found.

    Attributes
    ----------
    table : DataFrame
        Columns head, relation, rank (from 1), tail and score (what it means is the method's); of nearest-relation
        also ``nearest relation``, whose triples count most for the relation that is asked.
    check : dict or None
        Of seen relations that played unseen ones: ``mrr`` and ``hits@k`` of the method over tails that are not known to
        be true, ``methods`` (the MRR of each that was tried, by slug), the MRR of two orders that know nothing of a
        relation, ``random mrr`` and ``frequent mrr`` (the commonest tails first), the ``relations``, and
        ``by relation``, of each how many ``triples`` were asked about, with their ``mrr``, ``hits@k`` and
        ``frequent mrr``. None where there are too few.
    method : TailRanker
        Fitted, for further queries.
    graph : Graph
    relations : ClassSpace
        Of the graph, then those that only the queries name.
    answered : mapping
        Of nearest-relation: the known relations that answered for each that is asked, the first ones, with their
        shares of the answer; none where the words of its text are not known.
    nothing_left : tuple of (head, relation)
        Queries that have no row, as the graph has all their tails already.
    """

    table: pd.DataFrame
    check: dict[str, Any] | None
    method: TailRanker
    graph: Graph
    relations: ClassSpace
    answered: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    nothing_left: tuple[tuple[str, str], ...] = ()


def complete(
    triples: Graph | Path,
    ontology: Ontology | Path,
    queries: Sequence[tuple[str, str]] | Path,
    *,
    top: int = 10,
    methods: Sequence[str] = DEFAULT,
    vectors: str | None = None,
    check: bool = True,
    random_state: int = 0,
    say: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> Completion:
    """Rank the tails of queries whose relation has no triple, by what an ontology says of it.

    Parameters
    ----------
    triples, ontology : Graph and Ontology, or paths
        A table of triples by name; an ontology with every relation among its concepts.
    queries : pairs (head, relation), or a path
        Of entities of the graph and relations of the ontology.
    top : int
        Tails of each query.
    methods : sequence of str
        Slugs of methods that rank tails, some of `tail_rankers`. Of several the one answers that ranks the tails of
        held-out relations best; the first if nothing is checked.
    vectors : str, optional
        A model of pykeen for the entities, such as DistMult; if absent, a method that reads vectors trains TransE.
    check : bool
        Whether to hold out some of the seen relations once, and to rank their tails.
    random_state : int
    say : callable (str) -> None
        Told what is done.
    settings
        Hyperparameters of the method, where there is one.

    Raises
    ------
    ValueError
        If a method ranks no tails, or one of several is given settings, or none of them reads vectors; with the row,
        if a head is no entity of the graph; with the name, if a relation is no concept of the ontology;
        if every relation of the queries has triples.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1; got {top}")
    asked_for = _methods_of(methods, vectors, settings)
    settings = {**settings, "random_state": random_state}
    known = triples if isinstance(triples, Graph) else read_graph(triples)
    if len(known.relations) < 2:
        raise ValueError(f"triples must be of two relations at least; they are of {', '.join(known.relations.names)}")
    knowledge = ontology if isinstance(ontology, Ontology) else ontologies.load(ontology)
    pairs = read_queries(queries) if isinstance(queries, (str, os.PathLike)) else [(h, r) for h, r in queries]
    if not pairs:
        raise ValueError("queries must hold at least one pair of head and relation; it is empty")
    called = "" if isinstance(ontology, Ontology) else f" {os.fspath(ontology)!r}"
    relations = _relations(known, knowledge, [relation for _, relation in pairs], called)
    numbered = _numbered(pairs, known, relations)
    about = () if relations.ontology is None else relations.ontology.triples
    say(
        f"{known.pairs.name}: {len(known.pairs):,} triples, {len(known.entities):,} entities, {len(known.relations):,} "
        f"relations; {len(about):,} triples of the ontology are about these and those asked for"
    )
    for note in knowledge.notes:
        say(note)
    new = relations.unseen
    n = len(np.unique(numbered[:, 1]))
    say(
        f"{len(pairs):,} {'query' if len(pairs) == 1 else 'queries'}, of {n} relation{'' if n == 1 else 's'}, "
        f"{len(new)} without a triple in the graph"
    )
    checked = _check(known, relations, asked_for, vectors, settings, say) if check else None
    best = asked_for[0] if checked is None else max(asked_for, key=lambda slug: checked["methods"].get(slug, -1.0))
    if checked is not None:
        checked |= checked.pop("figures")[best]
    say(f"{best}: learning from all {len(known.relations):,} relations, then ranking tails of the queries")
    method = _fit(best, known, relations, np.arange(len(known.relations)), vectors, settings)
    table = _table(method, pairs, numbered, known, relations, top)
    ranked = set(zip(table["head"], table["relation"]))
    nothing_left = tuple(pair for pair in dict.fromkeys(pairs) if pair not in ranked)
    if nothing_left:
        more = f" and {len(nothing_left) - SHOWN} more" if len(nothing_left) > SHOWN else ""
        say(
            f"{len(nothing_left):,} {'queries have' if len(nothing_left) > 1 else 'query has'} no tail, as the graph "
            f"has all that there are: {', '.join(map(' '.join, nothing_left[:SHOWN]))}{more}"
        )
    answered: dict[str, dict[str, float]] = {}
    if isinstance(method, NearestRelation):
        answered = {relations.names[r]: _answering(method, r, relations) for r in np.unique(numbered[:, 1]).tolist()}
        table["nearest relation"] = [next(iter(answered[name]), "") for name in table["relation"]]
    return Completion(table, checked, method, known, relations, answered, nothing_left)


def _answering(method: NearestRelation, relation: int, relations: ClassSpace) -> dict[str, float]:
    """The known relations, which come first among all, that count most for one, with their weights."""
    weights = method.weights_[relation].numpy()
    if weights.max() - weights.min() < 1e-6:  # as of a text of unknown words: like none, or like all
        return {}
    first = np.argsort(-weights, kind="stable")[:SHOWN].tolist()
    return {relations.names[s]: float(weights[s]) for s in first if s == first[0] or weights[s] >= LEAST}


def tail_rankers() -> tuple[str, ...]:
    """All methods that rank the tails of relations, by slug, those of other packages, too."""
    return tuple(slug for slug in with_foreign("classes") if _ranker(slug) is not None)


def _ranker(slug: str) -> type[TailRanker] | None:
    """The class of a method that ranks tails."""
    if slug not in registry.slugs():
        return None
    cls = RelationOntoZSL if slug == RelationOntoZSL.card.slug else registry.get(slug)
    return cls if issubclass(cls, TailRanker) else None


def _methods_of(slugs: Sequence[str], vectors: str | None, settings: dict[str, Any]) -> list[str]:
    """The methods to try; what is wrong with them or with their settings is named before work."""
    named = list(dict.fromkeys(slugs))
    rankers = {slug: cls for slug in named if (cls := _ranker(slug)) is not None}
    if not named or len(rankers) < len(named):
        lost = next((slug for slug in named if slug not in rankers), "none")
        raise ValueError(f"methods must be some of {', '.join(tail_rankers())}; got {lost!r}")
    if settings and len(named) > 1:
        raise ValueError(f"methods must be one if it is given settings, such as ontozsl; got {', '.join(named)}")
    for cls in rankers.values() if settings else ():
        cls(**settings)
    if vectors is not None and not any(cls.reads_entities for cls in rankers.values()):
        raise ValueError(f"vectors: {', '.join(named)} reads no vectors of entities")
    return named


@reads("a table of triples", "write head, relation and tail in each line")
def read_graph(path: Path) -> Graph:
    """A graph from a table of triples: head, relation, tail, with or without a header."""
    return graph(ontologies.read_rows(path), name=os.path.basename(os.fspath(path)))  # type: ignore[arg-type]  # noqa: PTH119


@reads("a table of queries", "write head and relation in each line")
def read_queries(path: Path) -> list[tuple[str, str]]:
    """Queries from a table with the columns head and relation, with or without a header."""
    return [(head, relation) for head, relation in ontologies.read_rows(path, columns=2)]


def _relations(known: Graph, ontology: Ontology, asked: Sequence[str], called: str) -> ClassSpace:
    """The relations with triples, which are seen, and those that only queries name, each with its concept."""
    seen = known.relations.names
    new = [name for name in dict.fromkeys(asked) if name not in set(seen)]
    if not new:
        raise ValueError("queries must name a relation that has no triple; all of theirs have some in the graph")
    try:
        concepts = ontology.with_classes((*seen, *new))
    except ValueError as error:
        raise ValueError(
            f"ontology{called}: {str(error).replace('class', 'relation', 1)}; every relation of the graph and of the "
            "queries must be among its concepts"
        ) from error
    return ClassSpace(names=(*seen, *new), seen=range(len(seen)), ontology=concepts)


def _numbered(asked: Sequence[tuple[str, str]], known: Graph, relations: ClassSpace) -> IntArray:
    """Queries as indices (n, 2)."""
    out = np.empty((len(asked), 2), dtype=np.int64)
    for row, (head, relation) in enumerate(asked):
        if head not in known.places:
            raise ValueError(
                f"queries, row {row + 1}: {head!r} is no entity of the graph, which has {len(known.places)}"
            )
        out[row] = known.places[head], relations.index(relation)
    return out


def _fit(
    slug: str, known: Graph, relations: ClassSpace, seen: IntArray, vectors: str | None, settings: dict[str, Any]
) -> TailRanker:
    """Learn from the triples of some relations alone, vectors of entities included; the others play unseen ones."""
    cls = _ranker(slug)
    assert cls is not None
    kept = np.isin(known.pairs.labels, seen)
    entities = None
    if vectors is not None and cls.reads_entities:
        from unseen.encoders.graph import entity_vectors

        triples, seed = known.triples[kept], settings["random_state"]
        entities = entity_vectors(triples, vectors, n_entities=len(known.entities), random_state=seed)
    source = known.pairs.take(kept).replace(classes=None)
    more = {"encoder": entities} if "encoder" in fit_words(cls) else {}
    return cls(**settings).fit(source=source, classes=relations.replace(seen=seen), **more)


def _check(
    known: Graph, relations: ClassSpace, of: Sequence[str], vectors: str | None, settings: dict[str, Any],
    say: Callable[[str], None],
) -> dict[str, Any] | None:  # fmt: skip
    """Hold out a fifth of the seen relations and rank their tails among the entities that other triples name."""
    labels, n = known.pairs.labels, len(known.entities)
    if len(known.relations) < FEWEST:
        say(f"check: {len(known.relations)} relations with triples are too few to hold some out")
        return None
    held = pretend_unseen(labels, folds=5, random_state=0)[0]
    names = [known.relations.names[r] for r in held]
    left = known.pairs.x[~np.isin(labels, held)]
    there = np.isin(np.arange(n), left)
    triples = known.triples[np.isin(labels, held)]
    triples = triples[there[triples[:, [0, 2]]].all(axis=1)]
    if not len(triples):
        say(f"check: without the triples of {', '.join(names)} nothing is known of their entities")
        return None
    seen = np.setdiff1d(np.arange(len(known.relations)), held)
    say(
        f"check: learning from {len(seen):,} of {len(known.relations):,} relations first, to rank the tails of "
        f"{', '.join(names)}; learning from all follows (without a check it takes about half the time)"
    )
    fitted: dict[str, TailRanker] = {}
    for slug in of:
        try:
            fitted[slug] = _fit(slug, known, relations.take(np.arange(len(known.relations))), seen, vectors, settings)
        except (ValueError, DivergedError) as error:
            say(f"check: {slug} cannot be fitted without the held-out relations: {error}")
    if not fitted:
        return None
    often = np.bincount(left[:, 1], minlength=n).astype(np.float64)
    arms: dict[str, Any] = {slug: partial(_scores, method, n) for slug, method in fitted.items()}
    arms["often"] = lambda queries: np.broadcast_to(often, (len(queries), n))
    grade = Together(lambda truth, scores: filtered_ranks(scores, truth[0], truth[1], there))
    ranks: dict[str, list[FloatArray]] = {name: [] for name in (*arms, "chance")}
    for part in _parts(triples, "check: triples"):
        tails = known_tails(part[:, :2], known.triples[np.isin(known.triples[:, 0], part[:, 0])], n)
        for name, places in grade(HeldOut(part[:, :2], (part[:, 2], tails)), arms).items():
            ranks[name].append(places)
        others = (there & ~tails).sum(axis=1)
        ranks["chance"].append(np.array([np.mean(1 / np.arange(1, m + 2)) for m in others]))
    places_of = {name: np.concatenate(ranks[name]) for name in arms}
    figures: dict[str, dict[str, Any]] = {name: ranking_scores(places_of[name]) for name in arms}
    common, chance = figures.pop("often")["mrr"], float(np.concatenate(ranks["chance"]).mean())
    for slug, figure in figures.items():
        figure["by relation"] = {
            known.relations.names[r]: {"triples": int(of_it.sum()), **ranking_scores(places_of[slug][of_it]),
                                       "frequent mrr": ranking_scores(places_of["often"][of_it])["mrr"]}
            for r in held.tolist() if (of_it := triples[:, 1] == r).any()
        }  # fmt: skip
    say(
        f"check: the {len(triples)} true tails of {', '.join(names)}, without their triples, have an MRR of "
        f"{chance:.3f} in random order, and of {common:.3f} with the commonest tails first"
    )
    for slug, figure in figures.items():
        say(f"check: by {slug} they have an MRR of {figure['mrr']:.3f}, hits@10 {figure['hits@10']:.3f}")
    summary = {"methods": {slug: figure["mrr"] for slug, figure in figures.items()}, "figures": figures}
    return {**summary, "random mrr": chance, "frequent mrr": common, "relations": names}


def _scores(method: TailRanker, n: int, queries: IntArray) -> FloatArray:
    """What a method says of all n entities, -inf of those that it does not know."""
    scores = np.full((len(queries), n), -np.inf)
    entity_scores = method.score_tails(queries).numpy()
    scores[:, : entity_scores.shape[1]] = entity_scores
    return scores


def _parts(rows: IntArray, label: str) -> Iterator[IntArray]:
    """Rows by so many at a time, and how far this is."""
    for start in track(range(0, len(rows), AT_ONCE), label):
        yield rows[start : start + AT_ONCE]


def _table(
    method: TailRanker, asked: Sequence[tuple[str, str]], numbered: IntArray, known: Graph, relations: ClassSpace,
    top: int,
) -> pd.DataFrame:  # fmt: skip
    """The first tails of each query that no triple of the graph holds already."""
    import pandas as pd

    true_tails = known_tails(numbered, known.triples, len(known.entities))
    ranked = [
        method.rank(numbered[part], top, within=~true_tails[part]) for part in _parts(np.arange(len(asked)), "queries")
    ]
    rows = [
        (*pair, rank, known.entities[tail], round(float(score), 4))
        for pair, tails, scores in zip(asked, *(itertools.chain(*parts) for parts in zip(*ranked)))
        for rank, (tail, score) in enumerate(zip(tails, scores), 1)
        if np.isfinite(score)
    ]
    return pd.DataFrame(rows, columns=["head", "relation", "rank", "tail", "score"])
