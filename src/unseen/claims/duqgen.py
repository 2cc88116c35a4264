"""DUQGen's claims: medical terms for their synonyms, and codes for titles of another coding, without a judgement."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from unseen import encoders
from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, beats_all, better, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks.base import objects
from unseen.data.taxonomies import Taxonomy, icd9_titles, icd10cm
from unseen.data.typing import FloatArray, IntArray
from unseen.encoders.cache import cache_root
from unseen.evaluation.tasks import grades_of
from unseen.methods.retrieval.duqgen import DUQGen
from unseen.methods.retrieval.duqgen.sampling import Sample
from unseen.methods.retrieval.search import BM25Search, Fusion, NeuralSearch, Search
from unseen.nn.protocols import Writer
from unseen.nn.rankers import BiEncoder, Memory, minilm, query_head
from unseen.nn.writers import RememberingWriter, key_of, smollm2

# -- collections: terms of HPO for synonyms, codes of ICD-10 for titles of ICD-9 -------------------------

BRANCHES = {"skin": "HP:0001574", "eye": "HP:0000478", "heart": "HP:0001626", "blood": "HP:0001871"}
DEVELOPED_ON = ("skin", "eye")
"""Whose terms are in no other collection."""
CHAPTERS = {"icd circulation": "9"}
SIZE = 400
"""Documents of a collection."""
DEFINED = 30
"""Characters of a definition, at least."""
RECORDED = Path(__file__).with_name("duqgen_queries.json")
"""What SmolLM2 wrote for the documents of all collections, by a hash of the prompt: minutes of a processor."""
TOKENS = 20
"""Of a query, at most."""

EXAMPLES = {
    "hpo": (
        ("Micrognathia. Developmental hypoplasia of the mandible.", "small lower jaw"),
        ("Insomnia. Persistent difficulty initiating or maintaining sleep.", "trouble falling asleep"),
        ("Polyphagia. A neurological anomaly with gross overeating.", "eating far too much"),
    ),
    "icd": (
        ("Stress fracture, right ankle, initial encounter for fracture", "fatigue fracture of the ankle"),
        ("Type 2 diabetes mellitus without complications", "adult-onset diabetes, not complicated"),
        ("Impacted cerumen, right ear", "ear blocked by wax"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Collection:
    """Documents, queries with judgements, further true queries by document, and examples for a writer."""

    corpus: Domain
    queries: Domain
    spare: Mapping[int, str]
    examples: Pairs


@functools.cache
def collection(name: str) -> Collection:
    """A collection by its name: a branch of HPO, or a chapter of ICD-10-CM."""
    return _of_hpo(name) if name in BRANCHES else _of_icd(name)


def _below(branch: str) -> set[int]:
    """The terms of a branch."""
    tree = worlds.hpo()
    return set(tree.subtree(tree.classes.index(BRANCHES[branch])).tolist())


def _of_hpo(name: str) -> Collection:
    """Terms with their definitions; a query is a synonym that the name does not hold."""
    tree = worlds.hpo()
    nodes = _below(name)
    if name not in DEVELOPED_ON:
        nodes = nodes.difference(*map(_below, DEVELOPED_ON))
    definitions = tree.definitions or ()
    names = tree.classes.texts
    texts = {n: f"{names[n]}. {definitions[n]}" for n in nodes if len(definitions[n] or "") >= DEFINED}
    by_node: dict[int, list[str]] = {}
    for phrase, node in zip(tree.phrases.x.tolist(), tree.phrases.labels.tolist()):
        if node in texts and phrase.lower() not in names[node].lower():
            by_node.setdefault(node, []).append(phrase)
    return _collected(name, texts, by_node, tree, "hpo")


def _of_icd(name: str) -> Collection:
    """Codes by their names and inclusion terms; a query is a title of ICD-9-CM that has the code as its equivalent."""
    tree = icd10cm([CHAPTERS[name]])
    titles = icd9_titles(tree)
    by_node: dict[int, list[str]] = {}
    for title, node in zip(titles.x.tolist(), titles.labels.tolist()):
        by_node.setdefault(node, []).append(title)
    terms: dict[int, list[str]] = {}
    for phrase, node in zip(tree.phrases.x.tolist(), tree.phrases.labels.tolist()):
        terms.setdefault(node, []).append(phrase)
    texts = {n: "; ".join(terms[n]) for n in terms if not len(tree.children(n))}
    return _collected(name, texts, by_node, tree, "icd")


def _collected(
    name: str, texts: Mapping[int, str], said: Mapping[int, Sequence[str]], tree: Taxonomy, kind: str
) -> Collection:
    """Documents with a query and others, as many of each as there are among `SIZE`, in an order by a hash."""
    order = sorted(texts, key=lambda n: worlds.hashed(tree.classes.names[n]))[:SIZE]
    asked = {i: sorted(said[n], key=worlds.hashed) for i, n in enumerate(order) if n in said}
    queries = Domain(
        x=np.array([phrases[0] for phrases in asked.values()], dtype=np.str_),
        y=objects(np.array([[i, 1]]) for i in asked),
        kind="text",
        task="ranking",
        name=f"{name}: queries",
    )
    ids = np.array([tree.classes.names[n] for n in order], dtype=np.str_)
    corpus = Domain(x=np.array([texts[n] for n in order], dtype=np.str_), kind="text", ids=ids, name=name)
    spare = {i: phrases[1] for i, phrases in asked.items() if len(phrases) > 1}
    shots = EXAMPLES[kind]
    left, right = (worlds.of_texts([shot[side] for shot in shots]) for side in (1, 0))
    return Collection(corpus, queries, spare, Pairs(left, right))


class RecordedWriter:
    """SmolLM2, of which what it wrote once comes with the claim; what is new is kept in an SQLite file."""

    name = "smollm2-135m-instruct-q4_1"

    def __init__(self, file: Path) -> None:
        self._live = RememberingWriter(smollm2, file, self.name)

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """As it was recorded, else live."""
        known = recorded()
        keys = [key_of(self.name, prompt, longest, stop)[:16] for prompt in prompts]
        new = [i for i, key in enumerate(keys) if key not in known]
        fresh = dict(zip(new, self._live.write([prompts[i] for i in new], longest=longest, stop=stop) if new else []))
        return [fresh[i] if i in fresh else known[key] for i, key in enumerate(keys)]


@functools.cache
def recorded() -> dict[str, str]:
    """Texts by the first half of the hash of their prompt."""
    texts: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    return texts


BUDGET = 100
"""Documents that queries are written for: K = N, as in the paper."""
SETTINGS: dict[str, Any] = {"clusters": BUDGET, "samples": BUDGET, "shortest": 15, "query_tokens": TOKENS}
HEAD: dict[str, Any] = {"learning_rate": 1e-3, "epochs": 5}
"""Of the linear head, the best of a few on the branch skin."""
HELD_OUT = 100
"""Documents that were not drawn, whose queries choose a system; those that stood as negatives are left out."""
TRIED = ("bm25", "zero-shot", "fusion", "duqgen", "duqgen fusion")
"""What is chosen from without labels."""


# -- parts -------------------------------------------------------------------------------------------------


@functools.cache
def writer() -> Writer:
    """SmolLM2, recorded."""
    return RecordedWriter(cache_root() / "texts.sqlite")


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all seeds of a case share: the collection, the ranker as it is, and what ranks without learning."""

    data: Collection
    model: nn.Module
    plain: Mapping[str, Search]


@functools.lru_cache(maxsize=1)
def bench(name: str) -> Bench:
    """The parts of a case; the ranker's frozen layers read no text twice."""
    data = collection(name)
    model = minilm(layers=2)
    assert isinstance(model, BiEncoder)
    model.memory = Memory()
    zero = NeuralSearch().fit(corpus=data.corpus, model=model)
    again = NeuralSearch(candidates="bm25")
    vars(again).update(zero.fitted)
    plain: dict[str, Search] = {
        "bm25": BM25Search().fit(corpus=data.corpus),
        "zero-shot": zero,
        "fusion": Fusion.on(zero),
        "rerank": again,
    }
    return Bench(data, model, plain)


class RandomSample(DUQGen):
    """DUQGen whose documents are drawn at random: no clusters, the same budget."""

    def draw_documents(self, z: FloatArray, rng: np.random.Generator) -> tuple[IntArray, Sample]:
        """Documents at random, each in a cluster of all."""
        return _at_random(np.arange(len(z)), len(z), self.samples, rng)


class TrueQueries(DUQGen):
    """DUQGen with queries that people wrote, of documents at random that have one: what labels would give.

    They are other synonyms than those that are asked.
    """

    spare: Mapping[str, str] = dataclasses.field(init=False)

    def draw_documents(self, z: FloatArray, rng: np.random.Generator) -> tuple[IntArray, Sample]:
        """All documents; those without a query are put aside."""
        return _at_random(np.arange(len(z)), len(z), len(z), rng)

    def write_queries(self, documents: Any, writer: Writer, examples: Any) -> tuple[Any, Any]:
        """The queries of people for the first `samples` documents that have one."""
        spare = [self.spare.get(str(text), "") for text in documents]
        some = [i for i, query in enumerate(spare) if query][: self.samples]
        kept = {i: spare[i] for i in some}
        queries = np.array([kept.get(i, "") for i in range(len(spare))], dtype=np.str_)
        return queries, np.where(queries == "", "no query", "")


def _at_random(places: IntArray, total: int, n: int, rng: np.random.Generator) -> tuple[IntArray, Sample]:
    chosen = rng.permutation(places)[:n].astype(np.int64)
    zeros, ones = np.zeros(len(chosen), dtype=np.int64), np.ones(len(chosen), dtype=np.int64)
    shares = np.full(len(chosen), 1 / total)
    return np.zeros(total, dtype=np.int64), Sample(chosen, zeros, ones * total, ones * n, shares, ones, shares * 0)


# -- arms --------------------------------------------------------------------------------------------------


def fit(arm: DUQGen, data: Collection, model: nn.Module) -> DUQGen:
    """One arm, fitted."""
    return arm.fit(
        corpus=data.corpus, encoder=encoders.get("minilm", precision="fp32"), writer=writer(), model=model,
        pairs=data.examples,
    )  # fmt: skip


def run(case: str, seed: int) -> Result:
    """All arms on a collection, by nDCG@10, R@100 and MRR@10; what is drawn, and what is chosen without judgements."""
    shared = bench(case)
    data, model = shared.data, shared.model
    settings = {**SETTINGS, "random_state": seed}
    tuned = fit(DUQGen(**settings), data, model)
    blind = fit(RandomSample(**settings), data, model)
    people = TrueQueries(**settings)
    people.spare = {str(data.corpus.x[i]): query for i, query in data.spare.items()}
    width = int(shared.plain["zero-shot"].fitted["vectors_"].shape[1])
    arms: dict[str, Search] = {
        **shared.plain,
        "duqgen": tuned,
        "duqgen fusion": Fusion.on(tuned),
        "random": blind,
        "pointwise": fit(DUQGen(**settings, loss="pointwise"), data, model),
        "query head": fit(DUQGen(**{**settings, **HEAD}), data, query_head(model, width)),
        "true queries": fit(people, data, model),
    }
    asked, truth, grades = data.queries.x.tolist(), np.asarray(data.queries.y), grades_of("ranking")
    table: Result = {name: grades.grade(truth, arm.rank(asked, 100)) for name, arm in arms.items()}
    floor = table["zero-shot"]["ndcg@10"]
    for values in table.values():
        values["relative"] = values["ndcg@10"] / floor
    table["duqgen"] |= tuned.diversity_ | {"usable": float((tuned.audit_["flaw"] == "").mean())}
    table["random"] |= {name: tuned.diversity_[f"random_{name}"] for name in ("coverage", "cosine")}
    return table | chosen_blindly(arms, tuned, data, table, seed)


def held_out(left: IntArray, seed: int) -> IntArray:
    """Some of the documents that are left."""
    return np.random.default_rng(seed).permutation(left)[:HELD_OUT]


def chosen_blindly(arms: Mapping[str, Search], tuned: DUQGen, data: Collection, table: Result, seed: int) -> Result:
    """The system that is best on generated queries of documents held out, as `unseen rank` chooses; and the best."""
    left = np.setdiff1d(np.arange(len(data.corpus)), tuned.audit_["document"])
    places = held_out(left, seed)
    places = places[~np.isin(places, tuned.audit_["negatives"])]
    shots = [(str(d), str(q)) for q, d in zip(data.examples.left.x, data.examples.right.x)]
    queries, flaws = tuned.write_queries(data.corpus.x[places], writer(), shots)
    usable = np.flatnonzero(flaws == "")
    truth = objects(np.array([[place, 1]]) for place in places[usable].tolist())
    check = {
        name: grades_of("ranking").grade(truth, arms[name].rank(queries[usable].tolist(), 100))["ndcg@10"]
        for name in TRIED
    }
    best = max(TRIED, key=lambda name: check[name])

    def value(name: str) -> dict[str, float]:
        return {key: table[name][key] for key in ("ndcg@10", "relative")}

    says, is_so = (check["duqgen"] > check["zero-shot"], table["duqgen"]["ndcg@10"] > table["zero-shot"]["ndcg@10"])
    return {
        "chosen": {**value(best), "right sign": float(says == is_so)},
        "best system": value(max(TRIED, key=lambda name: table[name]["ndcg@10"])),
        **{f"check: {name}": {"check ndcg@10": figure} for name, figure in check.items()},
    }


def behaviour() -> dict[str, Any]:
    """What is allotted, drawn and kept on small inputs, and a query as it is cleaned."""
    from unseen.methods.retrieval import queries
    from unseen.methods.retrieval.duqgen import sampling

    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 8))
    centroids, labels = sampling.cluster(z.astype(np.float32), 6, 0)
    drawn = sampling.sample(z, centroids, labels, 12, temperature=1.0, weight=0.5, seeds=5, rng=rng)
    return {
        "shares": sampling.allocate(np.array([5, 10, 20, 65]), 12),
        "drawn": [np.sort(drawn.document), drawn.mmr],
        "prompt": queries.prompt_of("A text.", [*queries.EXAMPLES]),
        "cleaned": queries.clean("small jaw? Example 5: Document: x"),
    }


# fmt: off
LEDGER = (
    effect("terms", better("zero-shot", "bm25", "ndcg@10"),
        "Neural rankers that are pretrained on large data are strong on a collection that they were not adapted to: "
        "better than BM25 (nDCG@10)."),
    promised("terms", better("true queries", "zero-shot", "ndcg@10"),
        "Without the collection they are not at their best: true queries make them better (another synonym of a "
        "document that is asked for; 80, 100 and 10 in the three collections, where 100 are generated)."),
    not_testable("Training data of high quality for a collection is costly to come by.",
        "A statement about what labels cost."),
    mechanism("terms", better("duqgen", "random", "coverage", by=0.2),
        "Clusters represent the collection: the documents drawn touch every cluster, as many at random miss a fifth of "
        "them at least."),
    mechanism("terms", better("duqgen", "random", "cosine", lower=True),
        "Drawing from all clusters makes the documents that are learnt from more diverse: less alike than as many at "
        "random (mean cosine)."),
    mechanism("terms", at_least("duqgen", "usable", 0.8),
        "A language model writes queries for documents after three examples: four of five can be used."),
    promised("terms", better("duqgen", "zero-shot", "relative", by=0.01),
        "It outperforms the ranker as it is, by one part in a hundred at least."),
    effect("terms", better("pointwise", "zero-shot", "relative", by=0.01),
        "So it does with the paper's own loss, a pair alone; the default sets a document against all of its batch."),
    promised("terms", better("duqgen", "fusion", "ndcg@10"),
        "It outperforms the reciprocal ranks of BM25 and the ranker as it is (nDCG@10)."),
    promised("terms", beats_all("duqgen", ("bm25", "zero-shot", "fusion", "rerank"), "ndcg@10"),
        "It outperforms the best of all that learn nothing, which may be another one in each collection."),
    effect("terms", better("duqgen", "zero-shot", "relative", by=0.04),
        "The gain is four parts in a hundred, the mean that the paper reports over BEIR."),
    effect("terms", better("duqgen", "zero-shot", "recall@100"),
        "More of the relevant documents are among the first hundred, too."),
    effect("terms", better("duqgen fusion", "fusion", "ndcg@10"),
        "Beside BM25, too, the tuned ranker is worth more than the ranker as it is."),
    effect("terms", better("duqgen", "random", "ndcg@10"),
        "Documents from clusters are better to learn from than as many at random, everything else alike (nDCG@10)."),
    effect("terms", better("duqgen", "query head", "ndcg@10"),
        "Tuning two layers is better than a linear map of the query's vector, learnt from the same queries (nDCG@10)."),
    effect("terms", not_worse("duqgen", "true queries", "ndcg@10", within=0.02),
        "Generated queries are nearly as effective as those true ones: within .02 nDCG@10."),
    effect("terms", not_worse("chosen", "best system", "ndcg@10", within=0.01),
        "Not in the paper: the system that is best on generated queries of documents held out is within .01 nDCG@10 of "
        "the one that is best by judgements."),
    effect("terms", at_least("chosen", "right sign", 0.8),
        "Not in the paper: such queries say in four of five cases rightly whether duqgen is better than the ranker as "
        "it is."),
    paper_scale("It outperforms the state of the art on 16 of 18 collections of BEIR, with MonoT5-3B and ColBERT.",
        "BEIR, MonoT5-3B, Contriever and LLaMA-2 7B are in no package. With them at hand: unseen rank BEIR_FOLDER "
        "--ranker mono-t5:FOLDER --encoder sentence-transformers:FOLDER --writer causal:FOLDER --samples 1000 "
        "--set loss=pointwise --set optimizer=adafactor --set learning_rate=2e-5 --set weight_decay=5e-5 "
        "--set batch_size=128."),
    not_testable("An analysis gives a deeper understanding of the method and shows where it can be improved.",
        "A statement about the paper's further sections; the page of `unseen rank` shows what was drawn and written."),
)


def read(case: str) -> list[Domain]:
    """Documents, queries with judgements, and examples of a case."""
    data = collection(case)
    return [data.corpus, data.queries, data.examples.left, data.examples.right]


claim = Claim(
    slug="duqgen",
    ledger=LEDGER,
    experiments={
        "terms": Experiment(
            run=run, data=read, drawn=lambda case, seed: [collection(case), held_out(np.arange(SIZE), seed)],
            unit="collection", nothing="zero-shot",
            development=("skin", "eye"), confirmation=("heart", "blood", "icd circulation"), **seeds(5)),
    },
    licences=(
        "HPO: free use with citation", "ICD-9-CM, ICD-10-CM and their equivalence maps: NCHS and CMS, public domain",
        worlds.MINILM, "SmolLM2-135M-Instruct: Apache-2.0",
    ),
    behaviour=behaviour,
)
# fmt: on
