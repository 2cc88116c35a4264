"""The method: vectors of words, vectors of nodes, and the function between them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import GraphMetric, LabelMetric, TreeMetric
from unseen.data.typing import IntArray
from unseen.data.words import Sequences
from unseen.methods.base import UNKNOWN, Card
from unseen.methods.parameters import Count, Natural, Positive, Unit
from unseen.methods.phrases import PhraseMapper, Ranked, competing
from unseen.methods.zero_shot.text2node.mappers import mapping_function
from unseen.nn.node2vec import node2vec
from unseen.nn.text_vectors import word_vectors
from unseen.nn.top_k import top_k
from unseen.nn.train import Run, train

JUDGED = 512
"""Phrases of held-out concepts, at most, by whose hop distance the best epoch is chosen."""


class Text2Node(PhraseMapper):
    """Map phrases into the space of node vectors of a taxonomy, and take the nearest nodes [1].

    node2vec gives every node a vector from the graph alone. A function f from sequences of word vectors learns to put
    the phrases of some nodes at their vectors, so that other phrases fall near nodes whose phrases it never saw:

        loss = 1 - cos(f(phrase), node)   or   |f(phrase) - node|^2

    Parameters
    ----------
    mapper : {"bilstm", "cnn", "mean"}
        f: a bidirectional LSTM, convolutions, or a linear map of the mean word vector.
    loss : {"cosine", "mse"}
        Distance from f(phrase) to the vector of its node.
    dim : int
        Values of a node's vector.
    p, q : float, > 0
        node2vec's return and in-out parameters. A q above 1 stays local, which tells siblings apart better.
    walks, walk_length, window, node_epochs : int
        Walks per node, nodes in each, largest distance of two that count as near, passes over the walks.
    hidden : int
        Width of the LSTM per direction, or filters per width of the CNN.
    dropout : float in [0, 1]
        Share of the values left out before each fully connected layer.
    longest : int
        Known words after which a phrase is cut.
    epochs, batch_size : int
        Passes over the phrases, and phrases in a step.
    learning_rate : float, > 0
        Of Adam.
    validation : float in [0, 1]
        Share of the concepts whose phrases are not learned from but choose the epoch, by the hops from the node found
        to the right one. 0 learns from all and runs all epochs.
    patience : int
        Epochs without a better one after which training ends.
    least_steps : int
        node2vec and f each take at least so many steps: a small taxonomy is passed more often.

    Attributes
    ----------
    nodes_ : Tensor (n_classes, dim)
        Unit vectors of the nodes.
    mapper_ : Module
        f.
    words_ : WordVectors
    skipped_ : int
        Words of the training phrases that have no vector.
    left_out_ : int
        Training phrases without a word that has one.

    Notes
    -----
    The defaults were chosen on chapters 9 and 10 of ICD-10-CM; the presets hold what suits the other two functions.
    `source` holds phrases, labelled with nodes; a zero-shot node is one without phrases. `classes` holds all nodes,
    with a `TreeMetric` or `GraphMetric`, of which `unseen.data.taxonomies` makes many. `encoder` is a
    `unseen.data.words.WordVectors`; without one, the table of the package wordllama is taken. A phrase without a
    known word is predicted `UNKNOWN`.

    References
    ----------
    [1] Soltani and Tomberg, "Text2Node: a Cross-Domain System for Mapping Arbitrary Phrases to a Taxonomy",
        arXiv 1905.01958, 2019.
    """

    card = Card(
        slug="text2node",
        title="Text2Node: a Cross-Domain System for Mapping Arbitrary Phrases to a Taxonomy",
        venue="arXiv 2019",
        summary="Map any phrase to the nearest concepts of a taxonomy, also to concepts without training phrases.",
        unseen={"classes"},
        modalities={"text"},
        protocols={"closed", "zsl", "gzsl"},
        presets={
            "default": {},
            "cnn": {"mapper": "cnn", "epochs": 25, "learning_rate": 1e-3},
            "mean": {"mapper": "mean", "epochs": 60, "learning_rate": 3e-3},
        },
        smoke={"dim": 8, "walks": 2, "walk_length": 6, "node_epochs": 1, "hidden": 8, "epochs": 2, "least_steps": 0},
        parts=(
            "unseen.nn.node2vec",
            "unseen.nn.top_k",
            "unseen.data.words",
            "unseen.data.taxonomies",
            "unseen.evaluation.metrics.taxonomy",
        ),
        notes=(
            "There is no official code; this is written from the paper, whose sizes and training settings are not all "
            "told.",
            "Word vectors are those of a general token table by default, a word being the mean of its pieces; the "
            "paper trains FastText and GloVe on biomedical full texts. Files of such vectors are read by "
            "unseen.data.words.read_vectors.",
            "Negatives of skip-gram are shared by the walks of a batch, with weights that keep the expected loss.",
            "Where every node has a name in words like the phrases, the most similar name is far better "
            "(`nearest-name`, which `unseen map` takes unless told otherwise).",
            "On another type of processor a replayed cell gave the mean's figures again to the last digit, and other "
            "ones for the CNN (.10 hops off). FastText of one's own texts is the same to the bit whatever the number "
            "of threads and the hashes of a process.",
        ),
    )

    mapper: Literal["bilstm", "cnn", "mean"] = "bilstm"
    loss: Literal["cosine", "mse"] = "cosine"
    dim: Count = 128
    p: Positive = 1.0
    q: Positive = 4.0
    walks: Count = 10
    walk_length: Count = 20
    window: Count = 3
    node_epochs: Count = 5
    hidden: Count = 256
    dropout: Unit = 0.2
    longest: Count = 30
    epochs: Count = 12
    batch_size: Count = 64
    learning_rate: Positive = 2e-3
    validation: Unit = 0.0
    patience: Count = 5
    least_steps: Natural = 300

    nodes_: Tensor = dataclasses.field(init=False)
    mapper_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        """Learn from phrases and the nodes that they mean."""
        edges, n, places = graph_edges(classes.metric)
        words = word_vectors(encoder)
        phrases = words.read(source.x, self.longest)
        known = np.flatnonzero(phrases.tokens[:, 0] >= 0)
        if not len(known):
            raise ValueError(f"source must hold phrases with known words; {words!r} knows none of them")
        self.nodes_ = self.node_vectors(edges, n)[torch.as_tensor(places)]
        self.words_, self.skipped_, self.left_out_ = words, phrases.skipped, len(phrases.tokens) - len(known)
        phrases = phrases._replace(tokens=phrases.tokens[known])
        self.mapper_ = self._train_mapper(phrases, source.labels[known], classes.metric)
        return self

    def transform(self, x: Any) -> Float[Tensor, "n d"]:
        """f(phrase), (n, dim), of unit length: features that know the taxonomy; zeros where no word is known."""
        phrases = self.words_.read(x, self.longest)
        return self._mapped(phrases)

    def decision_function(self, x: Any) -> Float[Tensor, "n c"]:
        """Cosine with every node, (n, n_classes); `rank` finds the largest without holding all."""
        return self.transform(x) @ self.nodes_.T

    def rank(self, x: Any, k: int = 10, within: Any = None) -> Ranked:
        """The k nodes of largest cosine (step 6); see `PhraseMapper.rank`."""
        return nearest_nodes(self.transform(x), self.nodes_, k, within)

    # -- the two trainings -----------------------------------------------------------------------------------

    def node_vectors(self, edges: IntArray, n: int) -> Float[Tensor, "n d"]:
        """Step 2: a unit vector per node from the whole graph, nodes without phrases included."""
        return node2vec(
            edges, n, dim=self.dim, p=self.p, q=self.q, walks=self.walks, length=self.walk_length, window=self.window,
            epochs=self.node_epochs, least_steps=self.least_steps, random_state=self.random_state,
            name="text2node-nodes",
        )  # fmt: skip

    def _train_mapper(self, phrases: Sequences, y: NDArray[np.int64], metric: LabelMetric) -> nn.Module:
        """Steps 3 to 5: f, learned from phrases of most concepts and judged by those of the others."""
        f = mapping_function(self.mapper, phrases.table.shape[1], self.dim, self.hidden, self.dropout)
        known = _Known(phrases, y, self.nodes_)
        training, judged = held_out_concepts(y, self.validation, np.random.default_rng(self.random_state))
        steps = -(-len(training) // self.batch_size)
        score = self._judge(f, phrases, y, judged, metric) if len(judged) else None

        def objective(batch: tuple[Tensor, Tensor], run: Run) -> Tensor:
            tokens, index = batch
            z = f(known.table[tokens.clamp(min=0)], tokens >= 0)
            return distance(z, known.nodes[known.y[index]], self.loss)

        train(
            objective,
            name="text2node",
            nets={"mapper": f, "known": known},
            optimizers={"adam": torch.optim.Adam(f.parameters(), lr=self.learning_rate, fused=True)},
            batches=length_buckets(phrases.tokens, training, self.batch_size),
            epochs=max(self.epochs, -(-self.least_steps // steps)),
            steps_per_epoch=steps,
            score=score,
            patience=self.patience if score else None,
        )
        return f.cpu().eval()

    def _judge(
        self, f: nn.Module, phrases: Sequences, y: NDArray[np.int64], judged: NDArray[np.int64], metric: LabelMetric
    ) -> Callable[[Run], float]:
        """Minus the mean hops from the nearest node to the right one, over phrases of held-out concepts."""
        some = judged[np.linspace(0, len(judged) - 1, min(len(judged), JUDGED)).astype(np.int64)]
        hops = np.concatenate([metric.rows(y[some[i : i + 64]]).astype(np.float32) for i in range(0, len(some), 64)])

        def score(run: Run) -> float:
            f.eval()
            with torch.no_grad():
                z = map_phrases(f, phrases.table, phrases.tokens[some])
            f.train()
            nearest = nearest_nodes(z, self.nodes_, 1).nodes[:, 0]
            return -float(hops[np.arange(len(some)), nearest].mean())

        return score

    def _mapped(self, phrases: Sequences) -> Float[Tensor, "n d"]:
        z = torch.zeros(len(phrases.tokens), self.dim)
        known = np.flatnonzero(phrases.tokens[:, 0] >= 0)
        if len(known):
            z[torch.as_tensor(known)] = F.normalize(
                map_phrases(self.mapper_, phrases.table, phrases.tokens[known]), dim=1
            )
        return z


# -- the steps -----------------------------------------------------------------------------------------------


def graph_edges(metric: LabelMetric) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """Edges of a taxonomy (m, 2), its number of nodes, and the node of each class; lengths are left aside."""
    if isinstance(metric, TreeMetric):
        child = np.flatnonzero(metric.parents >= 0)
        return np.stack([child, metric.parents[child]], axis=1), len(metric.parents), metric.nodes
    if isinstance(metric, GraphMetric):
        return np.stack(metric.adjacency.nonzero(), axis=1).astype(np.int64), metric.adjacency.shape[0], metric.nodes
    raise ValueError(
        f"classes must carry a tree or a graph, as unseen.data.taxonomies gives; got {type(metric).__name__}"
    )


def distance(z: Float[Tensor, "b d"], node: Float[Tensor, "b d"], loss: str) -> Float[Tensor, ""]:
    """1 - cos, in [0, 2], or the squared distance (step 4); mean over the batch."""
    if loss == "cosine":
        return (1 - F.cosine_similarity(z, node, dim=1)).mean()
    return (z - node).square().sum(dim=1).mean()


def held_out_concepts(
    y: NDArray[np.int64], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Phrases to learn from and phrases to judge by; no concept is in both, and at least two are learned."""
    concepts = rng.permutation(np.unique(y))
    judged = np.isin(y, concepts[: max(0, min(round(share * len(concepts)), len(concepts) - 2))])
    return np.flatnonzero(~judged), np.flatnonzero(judged)


def length_buckets(
    tokens: IntArray, training: NDArray[np.int64], size: int, pool: int = 20
) -> Callable[[Run], Iterator[tuple[Tensor, Tensor]]]:
    """Batches of phrases of nearly one length, with their positions (step 4); another order in each epoch."""
    length = (tokens >= 0).sum(axis=1)

    def stream(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
        order = training[torch.randperm(len(training), generator=run.generator).numpy()]
        pools = [order[i : i + pool * size] for i in range(0, len(order), pool * size)]
        pools = [part[np.argsort(length[part], kind="stable")] for part in pools]
        batches = [part[i : i + size] for part in pools for i in range(0, len(part), size)]
        for i in torch.randperm(len(batches), generator=run.generator).tolist():
            index = batches[i]
            yield torch.as_tensor(tokens[index, : length[index].max()]), torch.as_tensor(index)

    return stream


def map_phrases(f: nn.Module, table: NDArray[np.float32], tokens: IntArray, size: int = 512) -> Float[Tensor, "n d"]:
    """f of phrases that each have a word, in batches of nearly one length."""
    length = (tokens >= 0).sum(axis=1)
    order, there = np.argsort(length, kind="stable"), next(f.parameters()).device
    out = []
    for start in range(0, len(order), size):
        index = order[start : start + size]
        part = torch.as_tensor(tokens[index, : length[index].max()])
        words = torch.as_tensor(table[tokens[index, : length[index].max()].clip(min=0)])
        out.append(f(words.to(there), (part >= 0).to(there)).cpu())
    place = torch.empty(len(order), dtype=torch.int64)
    place[torch.as_tensor(order)] = torch.arange(len(order))
    return torch.cat(out)[place]


def nearest_nodes(z: Float[Tensor, "n d"], nodes: Float[Tensor, "c d"], k: int, within: Any = None) -> Ranked:
    """The k nodes of largest cosine to each row of z, among those in `within`; `UNKNOWN` for rows of zeros."""
    candidates = competing(within, len(nodes), k)
    bank = nodes if within is None else nodes[torch.as_tensor(candidates)]
    places, scores = top_k(F.normalize(z, dim=1), bank, k)
    chosen = candidates[places.numpy()]
    chosen[(z == 0).all(dim=1).numpy()] = UNKNOWN
    return Ranked(chosen, scores.numpy())


class _Known(nn.Module):
    """What training reads and does not change: word vectors, vectors of nodes, the node of each phrase."""

    table: Tensor
    nodes: Tensor
    y: Tensor

    def __init__(self, phrases: Sequences, y: Int[np.ndarray, "n"], nodes: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", torch.as_tensor(phrases.table))
        self.register_buffer("nodes", nodes)
        self.register_buffer("y", torch.as_tensor(y))
