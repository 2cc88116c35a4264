"""node2vec: second-order random walks over a graph, and skip-gram with negative sampling, for a vector per node.

Grover and Leskovec, "node2vec: Scalable Feature Learning for Networks", KDD 2016; Mikolov et al., "Distributed
Representations of Words and Phrases and their Compositionality", NeurIPS 2013. With p = q = 1 it is DeepWalk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.nn.train import Run, train

NOWHERE = -1
"""Where a walk stands that starts at a node without neighbours and goes on."""
SHARED = 64
"""Negatives that all centres of a batch share; their weight makes the expectation that of `negatives` per pair."""


class WalkGraph:
    """An undirected graph without lengths or loops, in the form that second-order walks need.

    A walk stands on a directed edge, from where it was to where it is. The neighbours of the latter fall into three
    groups of equal weight each: the node it came from (1/p), those that are neighbours of both (1), and the rest (1/q).
    A group is drawn by its cumulative weight and a member of it uniformly, which is exact, and costs the same for a
    leaf and for a hub. Memory is linear in edges and triangles.

    Parameters
    ----------
    edges : int array (m, 2)
        Pairs of nodes, each in one direction or both, as often as they come.
    n : int
        Number of nodes.

    Raises
    ------
    ValueError
        If an edge names a node outside [0, n).
    """

    def __init__(self, edges: NDArray[np.integer[Any]], n: int) -> None:
        edges = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
        if len(edges) and (edges.min() < 0 or edges.max() >= n):
            raise ValueError(f"edges must name nodes in [0, {n}); got {edges.min()}..{edges.max()}")
        edges = edges[edges[:, 0] != edges[:, 1]]
        key = np.unique(np.concatenate([edges[:, 0] * n + edges[:, 1], edges[:, 1] * n + edges[:, 0]]))
        self.n, self._key = n, key
        self.source, self.target = key // n, key % n
        self.degree = np.bincount(self.source, minlength=n)
        self.first = np.concatenate([[0], np.cumsum(self.degree)])
        self.back = np.empty(len(key), dtype=np.int64)
        self.back[np.lexsort((self.source, self.target))] = np.arange(len(key))
        self._group()

    def _group(self) -> None:
        """Per edge: the places of the common neighbours, and of all that are not in the third group."""
        edge, common = self._triangles()
        m = len(self._key)
        order = np.lexsort((common, edge))
        self._common, self._n_common = common[order], np.bincount(edge, minlength=m)
        self._common_first = np.concatenate([[0], np.cumsum(self._n_common)])
        owner = np.concatenate([np.arange(m), edge])
        place = np.concatenate([self.back, common])
        order = np.lexsort((place, owner))
        owner, place = owner[order], place[order]
        self._left_out = np.arange(m) + self._common_first[:-1]  # where the places of an edge begin
        rank = np.arange(len(owner)) - self._left_out[owner]
        self._width = int(self.degree.max(initial=0)) + 1
        self._skips = owner * self._width + place - self.first[self.target[owner]] - rank

    def _triangles(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs (edge u -> v, edge v -> w) for which w is a neighbour of u, each once."""
        small = np.flatnonzero(
            (self.degree[self.source] < self.degree[self.target])
            | ((self.degree[self.source] == self.degree[self.target]) & (self.source < self.target))
        )
        count = self.degree[self.source[small]]
        uv = np.repeat(small, count)
        uw = np.arange(len(uv)) - np.repeat(np.cumsum(count) - count, count) + self.first[self.source[uv]]
        wanted = self.target[uv] * self.n + self.target[uw]
        vw = np.minimum(np.searchsorted(self._key, wanted), max(len(self._key) - 1, 0))
        held = self._key[vw] == wanted if len(self._key) else np.zeros(0, dtype=bool)
        uv, uw, vw = uv[held], uw[held], vw[held]
        return np.concatenate([uv, self.back[uv]]), np.concatenate([vw, uw])

    def start(self, nodes: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.int64]:
        """A first edge out of each node, uniformly; `NOWHERE` where it has none."""
        degree = self.degree[nodes]
        edge = self.first[nodes] + (rng.random(len(nodes)) * degree).astype(np.int64)
        return np.where(degree > 0, edge, NOWHERE)

    def follow(self, edge: NDArray[np.integer[Any]], p: float, q: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """The edge after each edge t -> v: to x with weight 1/p if x = t, 1 if x neighbours t, 1/q otherwise."""
        common = self._n_common[edge]
        far = self.degree[self.target[edge]] - 1 - common
        total = 1 / p + common + far / q
        drawn = np.minimum(rng.random(len(edge)) * total, np.nextafter(total, 0))
        group = (drawn >= 1 / p).astype(np.int64) + (drawn >= 1 / p + common)
        group[(far == 0) & (group == 2)] = 0  # rounding
        rank = (rng.random(len(edge)) * np.where(group == 1, common, far)).astype(np.int64)
        out = self.back[edge]
        near = np.flatnonzero(group == 1)
        out[near] = self._common[self._common_first[edge[near]] + rank[near]]
        away = np.flatnonzero(group == 2)
        e, r = edge[away], rank[away]
        passed = np.searchsorted(self._skips, e * self._width + r, side="right") - self._left_out[e]
        out[away] = self.first[self.target[e]] + r + passed
        return out

    def walks(self, per_node: int, length: int, p: float, q: float, rng: np.random.Generator) -> NDArray[np.int32]:
        """`per_node` walks from every node, (per_node * n, length); `NOWHERE` fills what cannot go on."""
        start = np.tile(np.arange(self.n), per_node)
        out = np.full((len(start), length), NOWHERE, dtype=np.int32)
        out[:, 0] = start
        if length == 1:
            return out
        edge = self.start(start, rng)
        able = np.flatnonzero(edge >= 0)
        edge = edge[able]
        for at in range(1, length):
            if at > 1:
                edge = self.follow(edge, p, q, rng)
            out[able, at] = self.target[edge]
        return out


class SkipGram(nn.Module):
    """Two vectors per node, as a centre and as a context; sigma(<centre, context>) is how likely they meet.

    Parameters
    ----------
    n, dim : int
    frequency : array (n,)
        How often each node occurs in the walks; negatives are drawn with its power 3/4.
    """

    frequency: Tensor

    def __init__(self, n: int, dim: int, frequency: NDArray[np.integer[Any]]) -> None:
        super().__init__()
        self.centres = nn.Embedding(n, dim, sparse=True)
        self.contexts = nn.Embedding(n, dim, sparse=True)
        nn.init.uniform_(self.centres.weight, -0.5 / dim, 0.5 / dim)
        nn.init.zeros_(self.contexts.weight)
        share = np.asarray(frequency, dtype=np.float64) ** 0.75
        self.register_buffer("frequency", torch.as_tensor(np.cumsum(share) / share.sum()))

    def loss(
        self, walks: Int[Tensor, "b t"], pairs: Bool[Tensor, "b t t"], negatives: int, random: Float[Tensor, " k"]
    ) -> Float[Tensor, ""]:
        """Mean over pairs of -log sigma(<c, o>) - negatives * E log sigma(-<c, o'>), eq. 4 of Mikolov et al.

        All centres share the nodes o' that the numbers `random` in [0, 1) draw.
        """
        walks = walks.clamp(min=0)
        centre, context = self.centres(walks), self.contexts(walks)
        met = torch.bmm(centre, context.transpose(1, 2))
        other = torch.searchsorted(self.frequency, random, right=True).clamp(max=len(self.frequency) - 1)
        apart = centre @ self.contexts(other).T
        count = pairs.sum(dim=2)
        near = (F.softplus(-met) * pairs).sum()
        far = (F.softplus(apart).mean(dim=2) * count).sum()
        return (near + negatives * far) / count.sum().clamp(min=1)


def context_pairs(walks: Int[Tensor, "b t"], window: int, generator: torch.Generator) -> Bool[Tensor, "b t t"]:
    """Which positions are context of which centre: at most w steps away, w drawn from 1..window for each centre."""
    b, t = walks.shape
    reach = torch.randint(1, window + 1, (b, t, 1), generator=generator)
    gap = (torch.arange(t) - torch.arange(t)[:, None]).abs()
    there = walks >= 0
    return (gap > 0) & (gap <= reach) & there[:, :, None] & there[:, None, :]


def node2vec(
    edges: NDArray[np.integer[Any]],
    n: int,
    *,
    dim: int = 128,
    p: float = 1.0,
    q: float = 1.0,
    walks: int = 10,
    length: int = 20,
    window: int = 5,
    negatives: int = 5,
    epochs: int = 5,
    learning_rate: float = 0.025,
    batch_size: int = 256,
    least_steps: int = 0,
    random_state: int = 0,
    name: str = "node2vec",
) -> Float[Tensor, "n d"]:
    """A unit vector per node of an undirected graph; nodes that meet on walks get similar ones.

    Parameters
    ----------
    edges : int array (m, 2)
        Pairs of nodes.
    n, dim : int
        Number of nodes, and of the values of a vector.
    p, q : float, > 0
        Return and in-out parameter: a large p seldom steps back, a large q stays local.
    walks, length, window, negatives, epochs : int, >= 1
        Walks per node, nodes in a walk, largest distance of a pair in it, negatives per pair, passes over the walks.
    learning_rate : float, > 0
        Of Adam, falling linearly to 0.
    batch_size : int
        Walks in a step.
    least_steps : int, >= 0
        A small graph is passed more than `epochs` times, until so many steps are taken.
    random_state : int
        Of the walks; skip-gram takes torch's.
    name : str
        Of the stage.

    Returns
    -------
    Tensor (n, dim)
        A node without neighbours has a random vector.
    """
    trails = WalkGraph(edges, n).walks(walks, length, p, q, np.random.default_rng(random_state))
    seen = np.bincount(trails[trails >= 0], minlength=n)
    model = SkipGram(n, dim, seen)
    adam = torch.optim.SparseAdam(model.parameters(), lr=learning_rate)
    steps = -(-len(trails) // batch_size)
    epochs = max(epochs, -(-least_steps // steps))
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 1e-3, total_iters=steps * epochs)

    def batches(run: Run) -> Iterator[Tensor]:
        order = torch.randperm(len(trails), generator=run.generator).numpy()
        for start in range(0, len(order), batch_size):
            yield torch.as_tensor(trails[order[start : start + batch_size]]).long()

    def objective(batch: Tensor, run: Run) -> Tensor:
        pairs = context_pairs(batch.cpu(), window, run.generator).to(run.device)
        random = torch.rand(SHARED, generator=run.generator, dtype=torch.float64).to(run.device)
        return model.loss(batch, pairs, negatives, random)

    train(
        objective, name=name, nets={"skipgram": model}, optimizers={"adam": adam}, batches=batches, epochs=epochs,
        steps_per_epoch=steps, schedulers={"adam": schedule},
    )  # fmt: skip
    return F.normalize(model.centres.weight.detach().cpu(), dim=1)
