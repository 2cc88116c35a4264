"""The steps of GraphCLIP: what is read, augmented and disturbed, and the two losses."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.text_graphs import GraphBatch, batch_of
from unseen.methods.needs import Given, Need
from unseen.nn.contrastive import both_ways
from unseen.nn.gps import return_probabilities

AT_ONCE = 256
"""Subgraphs that are read together where nothing is learnt."""


class Nodes(NamedTuple):
    """Subgraphs side by side as tensors: see `GraphBatch`, and what is known of the places of their nodes."""

    x: Float[Tensor, "n d"]
    edges: Int[Tensor, "2 m"]
    graph: Int[Tensor, "n"]
    roots: Int[Tensor, "b"]
    places: Float[Tensor, "n p"]

    def to(self, device: torch.device) -> "Nodes":
        """On another device."""
        return Nodes(*(part.to(device) for part in self))


def as_nodes(batch: GraphBatch, length: int) -> Nodes:
    """A batch as tensors, with the return probabilities of its nodes."""
    edges, graph = torch.as_tensor(batch.edges), torch.as_tensor(batch.graph)
    places = return_probabilities(edges, graph, length)
    return Nodes(torch.as_tensor(batch.x), edges, graph, torch.as_tensor(batch.roots), places)


def parts_of(batch: GraphBatch, size: int = AT_ONCE) -> Iterator[GraphBatch]:
    """A batch as smaller ones, in order."""
    ends = np.append(batch.roots, len(batch.x))
    edge_graph = batch.graph[batch.edges[0]] if batch.edges.size else np.empty(0, dtype=np.int64)
    for start in range(0, len(batch.roots), size):
        stop = min(start + size, len(batch.roots))
        a, b = int(ends[start]), int(ends[stop])
        inside = (edge_graph >= start) & (edge_graph < stop)
        yield GraphBatch(
            batch.x[a:b], batch.edges[:, inside] - a, batch.graph[a:b] - start, batch.roots[start:stop] - a
        )  # fmt: skip


# -- step 6 ------------------------------------------------------------------------------------------------


def drop_features(nodes: Nodes, share: float, generator: torch.Generator | None = None) -> Nodes:
    """Zero whole columns of the features: the same for all nodes of a subgraph, others in each."""
    keep = torch.rand(len(nodes.roots), nodes.x.shape[1], generator=generator) >= share
    return nodes._replace(x=nodes.x * keep.to(nodes.x.device)[nodes.graph])


def drop_edges(nodes: Nodes, share: float, generator: torch.Generator | None = None) -> Nodes:
    """Leave out edges, each in both directions; places stay those of the whole subgraph."""
    keep = torch.rand(nodes.edges.shape[1], generator=generator) >= share
    return nodes._replace(edges=nodes.edges[:, keep.to(nodes.edges.device)])


def hide_roots(nodes: Nodes, share: float, generator: torch.Generator | None = None) -> Nodes:
    """Zero what the root says, in a share of the subgraphs: only its neighbours are left to tell (not in the paper)."""
    gone = nodes.roots[(torch.rand(len(nodes.roots), generator=generator) < share).to(nodes.roots.device)]
    return nodes._replace(x=nodes.x.index_fill(0, gone, 0.0))


# -- step 5 ------------------------------------------------------------------------------------------------


def alignment(
    graphs: Float[Tensor, "b d"], summaries: Float[Tensor, "b d"], scale: Float[Tensor, ""] | float
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of pairs, the mean of both directions; lengths do not count."""
    return both_ways(F.normalize(graphs, dim=1), F.normalize(summaries, dim=1), scale).total / 2


# -- step 10 -----------------------------------------------------------------------------------------------


def prompted(x: Float[Tensor, "n d"], prompt: Float[Tensor, "t d"]) -> Float[Tensor, "n d"]:
    """Features with a prompt: one vector is added to all nodes; of several, each node takes what it attends to.

        x_i + p_1                                         a node prompt (t = 1)
        x_i + sum_k softmax_k(<x_i, p_k>) p_k             a prompt graph of t nodes, joined to every node

    No prompt (t = 0), and prompts of zeros, leave x as it is.
    """
    if not len(prompt):
        return x
    if len(prompt) == 1:
        return x + prompt
    return x + (x @ prompt.T).softmax(dim=1) @ prompt


# -- what is learnt from -----------------------------------------------------------------------------------


def drawn_batches(samples: Any, size: int, length: int) -> Callable[[Any], Iterator[tuple[Nodes, Tensor]]]:
    """One shuffled pass per epoch over subgraphs, with their positions; full batches only."""
    n = len(samples)
    size = min(size, n)

    def stream(run: Any) -> Iterator[tuple[Nodes, Tensor]]:
        order = torch.randperm(n, generator=run.generator)
        for start in range(0, n - size + 1, size):
            index = order[start : start + size]
            yield as_nodes(batch_of(samples[index.numpy()]), length), index

    return stream


@dataclasses.dataclass(frozen=True)
class SubgraphPairs(Need):
    """`pairs` of subgraphs (left, kind node) and of the vectors of their summaries (right)."""

    makes = ("pairs",)

    def lacks(self, given: Given) -> str | None:
        """Return that there are no pairs."""
        if isinstance(given.inputs.get("pairs"), Pairs):
            return None
        return "learns from a graph whose nodes have texts: unseen nodes, or fit it in Python"

    def example(self, inputs: Any) -> dict[str, Any]:
        """Return forty subgraphs of four nodes with 16 features, and vectors of as many summaries, of eight kinds."""
        rng = np.random.default_rng(3)
        of = np.arange(40) % 8
        centres = rng.normal(size=(8, 16))
        samples = np.zeros((40, 4, 20), dtype=np.float32)
        samples[:, 0, 1:4] = samples[:, 1:4, 0] = 1
        samples[:, :, 4:] = centres[of][:, None] + rng.normal(size=(40, 4, 16))
        right = centres[of] + 0.3 * rng.normal(size=(40, 16))
        left = Domain(x=samples, kind="node", name="subgraphs")
        return {"pairs": Pairs(left, Domain(x=right.astype(np.float32), name="summaries"))}
