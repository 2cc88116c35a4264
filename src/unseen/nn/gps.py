"""Graph encoders: message passing and attention in every layer (GraphGPS), on features and structural positions.

References
----------
[1] Rampasek et al., "Recipe for a General, Powerful, Scalable Graph Transformer", NeurIPS 2022.
[2] Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017.
[3] Dwivedi et al., "Graph Neural Networks with Learnable Structural and Positional Representations", ICLR 2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder


def padded(values: Float[Tensor, "n h"], graph: Int[Tensor, "n"]) -> tuple[Float[Tensor, "b k h"], Bool[Tensor, "b k"]]:
    """Nodes of graphs in order as one row per graph, zeros behind the last, and where there is a node."""
    places, sizes = positions(graph)
    out = values.new_zeros(len(sizes), int(sizes.max()), values.shape[1])
    out[graph, places] = values
    return out, torch.arange(out.shape[1], device=graph.device) < sizes[:, None]


def positions(graph: Int[Tensor, "n"]) -> tuple[Int[Tensor, "n"], Int[Tensor, "b"]]:
    """The position of every node in its own graph, and the size of every graph."""
    sizes = torch.bincount(graph)
    before = sizes.cumsum(0) - sizes
    return torch.arange(len(graph), device=graph.device) - before[graph], sizes


def both_directions(edges: Int[Tensor, "2 m"]) -> Int[Tensor, "2 k"]:
    """Undirected edges as messages: each one way and back, a loop once."""
    back = edges[:, edges[0] != edges[1]].flip(0)
    return torch.cat([edges, back], dim=1)


def neighbour_mean(h: Float[Tensor, "n h"], messages: Int[Tensor, "2 k"]) -> Float[Tensor, "n h"]:
    """The mean of what a node's neighbours are; zeros where it has none."""
    source, to = messages
    total = torch.zeros_like(h).index_add(0, to, h[source])
    return total / torch.bincount(to, minlength=len(h)).clamp(min=1).to(h.dtype)[:, None]


def return_probabilities(edges: Int[Tensor, "2 m"], graph: Int[Tensor, "n"], length: int) -> Float[Tensor, "n length"]:
    """The chance that a random walk on a node's own graph is back after 1 to `length` steps (RWPE [3]).

    Parameters
    ----------
    edges : int tensor (2, m)
        Undirected, each once.
    graph : int tensor (n,)
        The graph of every node, in order.
    length : int, >= 0
    """
    places, sizes = positions(graph)
    source, to = both_directions(edges)
    walk = torch.zeros(len(sizes), int(sizes.max()), int(sizes.max()), device=graph.device)
    walk[graph[source], places[source], places[to]] = 1
    walk = walk / walk.sum(dim=2, keepdim=True).clamp(min=1)
    power, chances = walk, []
    for step in range(length):
        chances.append(power.diagonal(dim1=1, dim2=2)[graph, places])
        power = power @ walk if step + 1 < length else power
    return torch.stack(chances, dim=1) if chances else torch.zeros(len(graph), 0, device=graph.device)


class GPSLayer(nn.Module):
    """h -> z + MLP(z), z = BN(h + SAGE(h)) + BN(h + attention(h) within its own graph), and BN over all [1].

    Parameters
    ----------
    width, heads : int
    attention : bool
        Whether nodes look at all nodes of their graph; without it a layer is GraphSAGE [2].
    """

    def __init__(self, width: int, heads: int, attention: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.neighbours = nn.Linear(width, width)
        self.own = nn.Linear(width, width, bias=False)
        self.norm_local = nn.BatchNorm1d(width)
        self.attend = nn.Linear(width, 3 * width) if attention else None
        self.join = nn.Linear(width, width) if attention else None
        self.norm_global = nn.BatchNorm1d(width) if attention else None
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norm = nn.BatchNorm1d(width)
        if self.attend is not None and self.join is not None:  # as torch's own attention begins
            nn.init.xavier_uniform_(self.attend.weight)
            nn.init.zeros_(self.attend.bias)
            nn.init.zeros_(self.join.bias)

    def forward(
        self, h: Float[Tensor, "n h"], messages: Int[Tensor, "2 k"], graph: Int[Tensor, "n"]
    ) -> Float[Tensor, "n h"]:
        """Nodes after this layer."""
        z = self.norm_local(h + self.neighbours(neighbour_mean(h, messages)) + self.own(h))
        if self.norm_global is not None:
            z = z + self.norm_global(h + self.attention(h, graph))
        return self.norm(z + self.mlp(z))

    def attention(self, h: Float[Tensor, "n h"], graph: Int[Tensor, "n"]) -> Float[Tensor, "n h"]:
        """What a node takes of all nodes of its own graph."""
        assert self.attend is not None
        assert self.join is not None
        rows, there = padded(self.attend(h), graph)
        b, k, _ = rows.shape
        query, key, value = rows.view(b, k, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None, :])
        return self.join(seen.transpose(1, 2).reshape(b, k, -1)[there])


class GraphEncoder(nn.Module):
    """From subgraphs to one vector each: [mean of the nodes || root] after the layers, through one linear map.

    Parameters
    ----------
    n_features, n_outputs : int
        Of a node's features, and of the vector of a subgraph.
    hidden, layers, heads : int
    positions : int, >= 0
        Steps of the return probabilities that stand beside the features; 0 leaves them out.
    position_width : int
        Of what is learnt from them.
    attention : bool
        See `GPSLayer`.
    skip : bool
        Add the features of the root and the mean of all nodes to the output, each by a learnt factor that begins at 1,
        while the linear map begins at 0: an encoder into the space of its features begins as their mean.
    """

    def __init__(
        self, n_features: int, n_outputs: int, hidden: int, layers: int, heads: int, positions: int,
        position_width: int, attention: bool, skip: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.positions = positions
        beside = position_width if positions else 0
        self.features = nn.Linear(n_features, hidden - beside)
        self.norm_positions = nn.BatchNorm1d(positions) if positions else None
        self.places = nn.Linear(positions, beside) if positions else None
        self.layers = nn.ModuleList(GPSLayer(hidden, heads, attention) for _ in range(layers))
        self.out = nn.Linear(2 * hidden, n_outputs)
        self.skip = nn.Parameter(torch.ones(2)) if skip else None
        if skip:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(
        self,
        x: Float[Tensor, "n d"],
        edges: Int[Tensor, "2 m"],
        graph: Int[Tensor, "n"],
        roots: Int[Tensor, "b"],
        places: Float[Tensor, "n p"],
    ) -> Float[Tensor, "b o"]:
        """Vectors of subgraphs, of any length.

        Parameters
        ----------
        x, places
            Features and return probabilities of the nodes.
        edges
            Undirected, each once.
        graph, roots
            The subgraph of every node, and the root of every subgraph.
        """
        h = self.features(x)
        if self.norm_positions is not None and self.places is not None:
            h = torch.cat([h, self.places(self.norm_positions(places))], dim=1)
        messages = both_directions(edges)
        for layer in self.layers:
            h = layer(h, messages, graph)
        out = self.out(torch.cat([graph_mean(h, graph, len(roots)), h[roots]], dim=1))
        if self.skip is not None:
            out = out + self.skip[0] * x[roots] + self.skip[1] * graph_mean(x, graph, len(roots))
        return out


def graph_mean(h: Float[Tensor, "n h"], graph: Int[Tensor, "n"], n: int) -> Float[Tensor, "b h"]:
    """The mean over the nodes of each of `n` graphs."""
    sizes = torch.bincount(graph, minlength=n).to(h.dtype)[:, None]
    return h.new_zeros(n, h.shape[1]).index_add(0, graph, h) / sizes


@builder("graph-encoder")
def graph_encoder(
    n_features: int, n_outputs: int, *, hidden: int = 1024, layers: int = 12, heads: int = 8, positions: int = 32,
    position_width: int = 8, attention: bool = True, skip: bool = False,
) -> GraphEncoder:  # fmt: skip
    """A `GraphEncoder`.

    Raises
    ------
    ValueError
        If the heads do not share the width, positions leave no room for features, or `skip` leads to another width.
    """
    if hidden % heads:
        raise ValueError(f"hidden must be a multiple of heads; got {hidden} and {heads}")
    if positions and position_width >= hidden:
        raise ValueError(f"position_width must be less than hidden; got {position_width} and {hidden}")
    if skip and n_features != n_outputs:
        raise ValueError(f"skip needs outputs in the space of the features; got {n_outputs} and {n_features} numbers")
    return GraphEncoder(n_features, n_outputs, hidden, layers, heads, positions, position_width, attention, skip)
