"""What a frozen image network says layer by layer: mean and deviation of each channel, and its embedding."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder

EPS = 2.3e-8
"""Added to the sum of squares under the root of a deviation."""

_SEEN: ContextVar[dict[int, Tensor] | None] = ContextVar("_SEEN", default=None)


class Reading(NamedTuple):
    """Pictures as a method sees them that reads layers.

    Attributes
    ----------
    means, stds : tuple of Tensor (b, D_l)
        mu_l and sigma_l of every layer.
    embedding : Tensor (b, d)
        The unit vector of each picture.
    """

    means: tuple[Tensor, ...]
    stds: tuple[Tensor, ...]
    embedding: Tensor


def moments(activation: Tensor) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """mu and sigma of every channel over tokens (b, t, c) or the positions of a map (b, c, h, w).

    sigma = sqrt((sum (x - mu)^2 + 2.3e-8) / n), of n tokens or positions.
    """
    if activation.ndim not in (3, 4):
        raise ValueError(f"a layer must give tokens (b, t, c) or maps (b, c, h, w); got {tuple(activation.shape)}")
    x = activation if activation.ndim == 3 else activation.flatten(2).transpose(1, 2)
    mu = x.mean(dim=1)
    return mu, torch.sqrt(((x - mu[:, None]).square().sum(dim=1) + EPS) / x.shape[1])


def pack(reading: Reading) -> Float[Tensor, "b w"]:
    """One row per picture: mu_1, sigma_1, mu_2, ..., and the embedding."""
    layers = [value for pair in zip(reading.means, reading.stds) for value in pair]
    return torch.cat([*layers, reading.embedding], dim=1)


def unpack(rows: Float[Tensor, "b w"], widths: Sequence[int], dim: int) -> Reading:
    """Inverse of `pack`, for layers of `widths` channels and an embedding of `dim`."""
    expected = 2 * sum(widths) + dim
    if rows.ndim != 2 or rows.shape[1] != expected:
        needed = f"layers of {', '.join(map(str, widths))} channels and an embedding of {dim} need (b, {expected})"
        raise ValueError(f"rows do not fit: {needed}; got {tuple(rows.shape)}")
    parts = torch.split(rows, [*(width for width in widths for _ in range(2)), dim], dim=1)
    return Reading(tuple(parts[:-1:2]), tuple(parts[1:-1:2]), parts[-1])


def standardization(rows: Float[Tensor, "n w"], dim: int) -> tuple[Float[Tensor, " w"], Float[Tensor, " w"]]:
    """What is taken from each column and what it is divided by, so that statistics of channels have mean 0 and
    deviation 1 over these rows; the embedding, the last `dim` columns, stays (0 and 1), and so does what never varies.
    """
    n = rows.shape[1] - dim
    centre, spread = torch.zeros_like(rows[0]), torch.ones_like(rows[0])
    deviation = rows[:, :n].std(dim=0, correction=0)
    centre[:n] = rows[:, :n].mean(dim=0)
    spread[:n] = torch.where(deviation > 0, deviation, 1.0)
    return centre, spread


class RowReader(nn.Module):
    """The reader of rows that a `LayerReader` gave before: layers of `widths` channels, embeddings of width `dim`."""

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.widths, self.dim = tuple(int(width) for width in widths), int(dim)

    @property
    def width(self) -> int:
        """Numbers per picture: 2 sum D_l + d."""
        return 2 * sum(self.widths) + self.dim

    def read(self, x: Tensor) -> Reading:
        """What the layers say of samples; no gradient passes."""
        return unpack(x if x.ndim == 2 else self(x), self.widths, self.dim)

    def forward(self, x: Tensor) -> Float[Tensor, "b w"]:
        """The rows, as they are."""
        return x


@builder("row-reader")
def row_reader(widths: Sequence[int], dim: int) -> RowReader:
    """A `RowReader`."""
    return RowReader(widths, dim)


class LayerReader(RowReader):
    """A frozen image network that gives one row per picture: what its layers say, and its embedding.

    `read` takes pictures (b, c, h, w), or rows that were read before, (b, w).

    Parameters
    ----------
    network : nn.Module
        From pictures to embeddings (b, d).
    layers : sequence of str
        Names of modules of the network that give tokens (b, t, D_l) or maps (b, D_l, h, w).
    widths : sequence of int
        D_l of each layer.
    dim : int
        d, the width of the embedding.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], widths: Sequence[int], dim: int) -> None:
        super().__init__(widths, dim)
        if not layers or len(layers) != len(widths):
            raise ValueError(f"layers must name one module per width; got {len(layers)} and {len(widths)}")
        self.network = network
        self.layers = tuple(layers)
        for i, name in enumerate(self.layers):
            network.get_submodule(name).register_forward_hook(partial(_note, i))

    def forward(self, images: Tensor) -> Float[Tensor, "b w"]:
        """Rows of `pack`; the embedding has unit length."""
        seen: dict[int, Tensor] = {}
        token = _SEEN.set(seen)
        try:
            with torch.no_grad():
                embedding = nn.functional.normalize(self.network(images), dim=1)
        finally:
            _SEEN.reset(token)
        pairs = [moments(seen[i].detach()) for i in range(len(self.layers))]
        return pack(Reading(tuple(m for m, _ in pairs), tuple(s for _, s in pairs), embedding))


def _note(i: int, module: nn.Module, inputs: Any, output: Any) -> None:
    """Forward hook: keep what layer i gives, while a reader waits for it."""
    seen = _SEEN.get()
    if seen is not None:
        seen[i] = output[0] if isinstance(output, tuple) else output


@builder("layer-reader")
def layer_reader(network: nn.Module, layers: Sequence[str], widths: Sequence[int], dim: int) -> LayerReader:
    """A `LayerReader`."""
    return LayerReader(network, layers, widths, dim)


def reader_of(network: nn.Module, layers: Sequence[str], example: Tensor) -> LayerReader:
    """A `LayerReader` of a network, whose widths are found with an example batch (b, c, h, w); in eval mode."""
    outputs: list[Tensor] = []
    network.eval()
    hooks = [network.get_submodule(name).register_forward_hook(lambda m, i, o: outputs.append(o)) for name in layers]
    try:
        with torch.no_grad():
            dim = network(example).shape[1]
    finally:
        for hook in hooks:
            hook.remove()
    return layer_reader(network, tuple(layers), tuple(moments(x)[0].shape[1] for x in outputs), int(dim))
