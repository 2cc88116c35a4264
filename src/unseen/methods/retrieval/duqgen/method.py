"""The method: from a collection of texts to a ranker that knows it."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks.base import text_array
from unseen.data.typing import FloatArray, IntArray
from unseen.methods.base import Card
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit
from unseen.methods.retrieval.duqgen.sampling import (
    Sample,
    by_content,
    cluster,
    diversity,
    elbow_clusters,
    sample,
    to_tensor,
    type_token_ratio,
)
from unseen.methods.retrieval.duqgen.training import Triples, bottom_negatives, tune
from unseen.methods.retrieval.needs import RankerOfTexts
from unseen.methods.retrieval.queries import EXAMPLES, first_words, write_queries
from unseen.methods.retrieval.search import NeuralSearch, check_ranker
from unseen.nn.bm25 import BM25, require
from unseen.nn.protocols import Writer
from unseen.nn.top_k import top_k


class DUQGen(NeuralSearch):
    """Tune a ranker on queries that a language model writes for diverse documents of a collection without labels [1].

    The collection is clustered; every cluster gives some documents, drawn by how near they are to its centroid; a
    language model writes a query for each after a few examples; documents that are found for the query, but late, are
    its negatives; and the ranker learns to tell them apart.

    Parameters
    ----------
    clusters : int
        K; 0 takes the elbow of the error over several K.
    samples : int
        N, documents that queries are written for, at least as many as clusters.
    temperature : float, > 0
        Of the softmax over the documents of a cluster; the smaller, the nearer to the centroid.
    mmr : float in [0, 1]
        1 keeps the documents of the draws that are nearest to the one in the middle of a cluster; less, unlike ones.
    seeds : int
        Draws per cluster, from which a share is kept.
    shortest : int
        Characters of a document, at least, to be drawn. The paper takes 300, and 3 to 150 where texts are short.
    document_words, query_tokens : int
        Words of a document in the prompt, and tokens of a query, at most.
    ascii_only : bool
        Whether queries with other characters are put aside, as in the paper; False for other languages.
    negatives : int
        Negatives per query.
    retriever : {"encoder", "bm25"}
        What finds the negatives: the encoder, as in the paper, or BM25.
    depth : int
        Documents found for a query, of which the last are negatives; and those of BM25 that are ranked anew.
    loss : {"contrastive", "pointwise", "pairwise", "listwise"}
        The document against all others of the batch; binary cross-entropy, as MonoT5; triples, as ColBERT; the document
        against its negatives.
    optimizer : {"adamw", "adafactor"}
        Of the ranker's weights; the steps of Adafactor scale with the weights.
    learning_rate, weight_decay : float
        Its rate at the end of the warm-up, and the share of the weights that a step of that rate takes away.
    warmup : float in [0, 1]
        Share of the steps in which the learning rate grows.
    batch_size, epochs : int
        Queries in a step, and passes over them; the paper takes one.
    candidates : {"auto", "all", "bm25"}
        What is ranked: see `NeuralSearch`.

    Attributes
    ----------
    model_ : Module
        The tuned ranker.
    audit_ : dict of arrays
        For each document drawn: its place, cluster, size and share of the cluster, probability, how many draws had it,
        MMR score, query, flaw of the query (empty if none), and negatives.
    diversity_ : dict
        ``coverage``, the share of the clusters drawn from; ``cosine``, the mean between documents; ``type_token``, of
        the queries. Beside them the first two of as many documents drawn at random: ``random_coverage``,
        ``random_cosine``.
    unusable_ : dict
        Queries put aside, by their flaw.
    clusters_ : int
    short_ : int
        Documents that were too short to be drawn.
    steps_ : list
        The loss of each epoch.

    Notes
    -----
    `corpus` holds the collection; `encoder` gives vectors (an `unseen.encoders.Encoder`, or whatever has
    ``encode(domain)``); `writer` continues prompts (`unseen.nn.writers`); `model` scores pairs (`unseen.nn.rankers`).
    `pairs` holds queries (left) with documents (right) of the collection as examples of the prompt; without them three
    of no particular domain stand there.

    References
    ----------
    [1] Chandradevan, Dhole and Agichtein, "DUQGen: Effective Unsupervised Domain Adaptation of Neural Rankers by
        Diversifying Synthetic Query Generation", NAACL 2024.
    """

    card = Card(
        slug="duqgen",
        title="DUQGen: Effective Unsupervised Domain Adaptation of Neural Rankers by Diversifying Synthetic Query "
        "Generation",
        venue="NAACL 2024",
        official_code="emory-irlab/DUQGen",
        summary="Tune a ranker to a collection without labels, by queries that a language model writes for it.",
        unseen={"domains"},
        modalities={"text"},
        protocols={"retrieval"},
        task="ranking",
        presets={
            "default": {},
            "paper": {
                "loss": "pointwise", "optimizer": "adafactor", "learning_rate": 2e-5, "weight_decay": 5e-5,
                "batch_size": 128, "epochs": 1, "candidates": "bm25",
            },
            "colbert": {"loss": "pairwise", "learning_rate": 3e-6, "batch_size": 32, "epochs": 1},
        },
        on_request={"paper", "colbert"},
        smoke={"clusters": 5, "samples": 9, "shortest": 3, "batch_size": 4, "epochs": 1, "depth": 12},
        at_prediction={"candidates"},
        needs=(RankerOfTexts(),),
        parts=(
            "unseen.nn.rankers",
            "unseen.nn.writers",
            "unseen.nn.bm25",
            "unseen.nn.clustering",
            "unseen.data.rankings",
            "unseen.evaluation.tasks.ranking",
        ),
        left_out=(
            "Gradient accumulation (8 x 16): a batch is taken whole, as small rankers allow.",
            "ColBERT's vectors of tokens: its loss, rate and batch are the preset colbert, on one vector per text.",
            "InPars' selection of queries by likelihood, a baseline of the paper: a writer gives no likelihoods. "
            "Drawing from the largest cluster alone, another one; random drawing is an arm of the claim.",
            "What is forgotten of the collection that a ranker was made on is not measured. BM25 has one field.",
        ),
        notes=(
            "Where nothing of the budget is left, the official code gives every cluster one more document; here none.",
            "The official code does not keep a query's own document out of its negatives; here it is.",
            "A small bi-encoder, a 135M language model and the rates of `presets['default']` stand for MonoT5-3B and "
            "LLaMA-2 7B, which the preset paper and `unseen.nn.rankers.ranker('mono-t5:...')` are for.",
            "The default loss sets a document against all others of its batch; the paper's, each pair alone, is the "
            "preset paper, whose Adafactor is torch's: its steps scale with the weights. Here it gained nothing.",
            "Documents are clustered, and negatives found, by unit vectors of MiniLM; the paper has Contriever's, not "
            "normalised.",
            "Queries that repeat an example of the prompt, or 20 words and more of the document, are put aside, too.",
        ),
        cost=60.0,
    )  # fmt: skip

    in_words: ClassVar[str] = "the ranker tuned on queries written for the collection"

    clusters: Natural = 1000
    samples: Count = 1000
    temperature: Positive = 1.0
    mmr: Unit = 1.0
    seeds: Count = 5
    shortest: Natural = 300
    document_words: Count = 512
    query_tokens: Count = 64
    ascii_only: bool = True
    negatives: Count = 4
    retriever: Literal["encoder", "bm25"] = "encoder"
    loss: Literal["contrastive", "pointwise", "pairwise", "listwise"] = "contrastive"
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    learning_rate: NonNegative = 1e-4
    weight_decay: NonNegative = 0.01
    warmup: Unit = 0.1
    batch_size: Count = 32
    epochs: Count = 1

    diversity_: dict[str, float] = dataclasses.field(init=False)
    unusable_: dict[str, int] = dataclasses.field(init=False)

    def fit(self, *, corpus: Domain, encoder: Any, writer: Any, model: nn.Module, pairs: Pairs | None = None) -> Self:
        """Learn from a collection of texts."""
        examples = self._check(corpus, encoder, writer, model, pairs)
        texts, order = text_array(corpus.x), by_content(corpus.digests())
        kept = np.array([i for i in order if len(str(texts[i]).strip()) >= max(self.shortest, 1)], dtype=np.int64)
        self.short_ = len(texts) - len(kept)
        self._check_size(len(kept), len(texts))

        z = vectors_by(encoder, corpus)
        rng = np.random.default_rng(self.random_state)
        labels, drawn = self.draw_documents(z[kept], rng)
        queries, flaws = self.write_queries(texts[kept[drawn.document]], writer, examples)
        usable = np.flatnonzero(flaws == "")
        triples = self.find_negatives(queries[usable], kept[drawn.document[usable]], corpus, encoder, z)
        ranker = self.tune_ranker(model, triples, texts)

        self.clusters_ = len(np.unique(labels))
        self.unusable_ = {flaw: int(n) for flaw, n in zip(*np.unique(flaws[flaws != ""], return_counts=True))}
        self.diversity_ = self._diversity(z[kept], labels, drawn, queries[usable], rng)
        self.audit_ = _audit(drawn, kept, queries, flaws, usable, triples)
        self._keep(corpus, ranker)
        return self

    # -- the steps ---------------------------------------------------------------------------------------------

    def draw_documents(self, z: FloatArray, rng: np.random.Generator) -> tuple[IntArray, Sample]:
        """Steps 3 to 8: the cluster of each document, (n,), and the documents drawn."""
        n = min(self.samples, len(z))
        k = self.clusters or elbow_clusters(z, n, self.random_state)
        centroids, labels = cluster(z, k, self.random_state)
        drawn = sample(
            z, centroids, labels, n, temperature=self.temperature, weight=self.mmr, seeds=self.seeds, rng=rng
        )
        return labels, drawn

    def write_queries(
        self, documents: NDArray[Any], writer: Writer, examples: list[tuple[str, str]]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Steps 9 and 10: a query for each document, and what is wrong with it, (n,) both; empty where nothing is."""
        return write_queries(
            documents, writer, examples,
            words=self.document_words, tokens=self.query_tokens, ascii_only=self.ascii_only,
        )  # fmt: skip

    def find_negatives(
        self, queries: NDArray[Any], positive: IntArray, corpus: Domain, encoder: Any, z: FloatArray
    ) -> Triples:
        """Step 11: the last of the `depth` documents found for each query."""
        depth = min(self.depth, len(corpus))
        if self.retriever == "bm25":
            documents = BM25(corpus.x).search(queries.tolist(), depth).documents
        else:
            vectors = vectors_by(encoder, Domain(x=queries, kind="text", name="queries"))
            documents = top_k(_unit(vectors), _unit(z), depth)[0].numpy()
        return Triples(queries, positive, bottom_negatives(documents, positive, self.negatives, corpus.x))

    def tune_ranker(self, model: nn.Module, triples: Triples, texts: NDArray[Any]) -> nn.Module:
        """Steps 12 and 13, on a copy: one epoch."""
        ranker = copy.deepcopy(model).eval()  # without dropout: a rate of 0 leaves every score as it was
        weights = [p for p in ranker.parameters() if p.requires_grad]
        make = {"adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor}[self.optimizer]
        run = tune(
            ranker, triples, texts, loss=self.loss,
            optimizer=make(weights, lr=self.learning_rate, weight_decay=self.weight_decay),
            warmup=self.warmup, batch_size=self.batch_size, epochs=self.epochs,
        )  # fmt: skip
        self.steps_ = [epoch["loss"] for epoch in run.history]
        return ranker

    def facts(self) -> dict[str, str]:
        """What was drawn and learnt from, by what it is called, for a page."""
        flaws = ", ".join(f"{n} {flaw}" for flaw, n in self.unusable_.items())
        short = f"; {self.short_} documents of fewer than {self.shortest} characters were passed over"
        diversity = self.diversity_
        return {
            "documents drawn": f"{len(self.audit_['document'])} from {self.clusters_} clusters"
            + (short if self.short_ else ""),
            "queries used": f"{int((self.audit_['flaw'] == '').sum())}" + (f"; put aside: {flaws}" if flaws else ""),
            "diversity": f"{100 * diversity['coverage']:.0f} % of the clusters (at random "
            f"{100 * diversity['random_coverage']:.0f} %), mean cosine {diversity['cosine']:.3f} (at random "
            f"{diversity['random_cosine']:.3f}), "
            f"{100 * diversity['type_token']:.0f} % of the words of queries are distinct",
            "loss": ", ".join(f"{loss:.4f}" for loss in self.steps_),
        }

    def _diversity(
        self, z: FloatArray, labels: IntArray, drawn: Sample, queries: NDArray[Any], rng: np.random.Generator
    ) -> dict[str, float]:
        blind = diversity(z, labels, rng.permutation(len(z))[: len(drawn.document)])
        return {
            **diversity(z, labels, drawn.document),
            "type_token": type_token_ratio(queries.tolist()),
            **{f"random_{name}": value for name, value in blind.items()},
        }

    # -- what is checked before ----------------------------------------------------------------------------------

    def _check(
        self, corpus: Domain, encoder: Any, writer: Any, model: nn.Module, pairs: Pairs | None
    ) -> list[tuple[str, str]]:
        """The examples of the prompt; raises what is wrong with the others."""
        if not callable(getattr(encoder, "encode", None)):
            raise TypeError(f"encoder must have encode(domain), as unseen.encoders give; got {type(encoder).__name__}")
        if not isinstance(writer, Writer):
            raise TypeError(
                f"writer must have a name and write(prompts), as unseen.nn.writers give; got {type(writer).__name__}"
            )
        check_ranker(model, self.candidates)
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError("model must have weights that train; all of them are frozen")
        if self.retriever == "bm25":
            require()
        if pairs is None:
            return [*EXAMPLES]
        if (pairs.left.kind, pairs.right.kind) != ("text", "text"):
            kinds = f"{pairs.left.kind} and {pairs.right.kind}"
            raise ValueError(f"pairs must hold queries and documents, both of kind text; got {kinds}")
        return [
            (first_words(str(document), self.document_words), str(query))
            for query, document in zip(pairs.left.x, pairs.right.x)
        ]

    def _check_size(self, kept: int, n: int) -> None:
        if self.samples < self.clusters:
            raise ValueError(f"samples must be at least clusters, {self.clusters}; got {self.samples}")
        if kept < max(self.clusters, 2):
            raise ValueError(
                f"corpus must hold at least {max(self.clusters, 2)} documents of {self.shortest} characters (clusters, "
                f"shortest); it has {kept} of {n}"
            )


def vectors_by(encoder: Any, domain: Domain) -> FloatArray:
    """Vectors of texts, (n, d)."""
    return np.asarray(encoder.encode(domain).x)


def _unit(z: FloatArray) -> torch.Tensor:
    return torch.nn.functional.normalize(to_tensor(z), dim=1)


def _audit(
    drawn: Sample, kept: IntArray, queries: NDArray[Any], flaws: NDArray[Any], usable: IntArray, triples: Triples
) -> dict[str, NDArray[Any]]:
    """One row per document drawn, with places in the collection as it was given."""
    negatives = np.full((len(queries), triples.negatives.shape[1]), -1, dtype=np.int64)
    negatives[usable] = triples.negatives
    table: Mapping[str, NDArray[Any]] = {
        **drawn._asdict(), "document": kept[drawn.document], "query": queries, "flaw": flaws, "negatives": negatives,
    }  # fmt: skip
    return dict(table)
