"""Regions of a picture: the last feature map of a network, averaged to side x side cells, beside its features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from unseen.nn.build import builder

Layout = Literal["channels first", "channels last", "tokens"]


class Map(NamedTuple):
    """Where a network keeps its last feature map.

    Attributes
    ----------
    layout : {"channels first", "channels last", "tokens"}
        (b, c, h, w), (b, h, w, c), or (b, prefix + h w, c).
    grid : (int, int)
        Height and width, in positions.
    prefix : int
        Tokens before those of the patches.
    as_wide : bool
        Whether it has as many channels as the network has features; else the head goes over each cell.
    """

    layout: Layout
    grid: tuple[int, int]
    prefix: int
    as_wide: bool


class Regional(nn.Module):
    """A timm network's features and those of its regions, row by row: (b, (1 + side^2) d), or regions alone.

    Parameters
    ----------
    network : nn.Module
        With timm's `forward_features` and `forward_head`.
    side : int
        Cells along each side.
    place : Map
    classifier : bool
        Whether the network still has its classifier, which is left out.
    alone : bool
        Give regions only, (b, side^2 d), as an exported model reads them.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, network: nn.Module, side: int, place: Map, *, classifier: bool, alone: bool = False) -> None:
        super().__init__()
        self.network = network
        self.side, self.place, self.classifier, self.alone = side, place, classifier, alone
        height, width = place.grid
        self.register_buffer("rows", cell_means(height, side), persistent=False)
        self.register_buffer("columns", cell_means(width, side), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features and regions of a batch, packed."""
        feature_map = self.network.forward_features(x)  # type: ignore[operator]
        cells = self.cells(feature_map).flatten(1)
        return cells if self.alone else torch.cat([self.head(feature_map), cells], dim=1)

    def by_themselves(self) -> Regional:
        """The same network, which gives regions alone; the weights are shared."""
        place = self.place
        return regional(
            self.network, self.side, place.layout, place.grid, place.prefix, place.as_wide, self.classifier, alone=True
        ).eval()

    def head(self, feature_map: Tensor) -> Tensor:
        """What the network makes of a map, (b, d)."""
        if self.classifier:
            return self.network.forward_head(feature_map, pre_logits=True)  # type: ignore[operator]
        return self.network.forward_head(feature_map)  # type: ignore[operator]

    def cells(self, feature_map: Tensor) -> Tensor:
        """The means of side x side cells of a map, row by row, (b, side^2, d)."""
        if self.place.layout == "tokens":
            feature_map = feature_map[:, self.place.prefix :].reshape(
                feature_map.shape[0], *self.place.grid, feature_map.shape[2]
            )
        if self.place.layout != "channels first":
            feature_map = feature_map.permute(0, 3, 1, 2)
        means = self.rows @ (feature_map @ self.columns.T)
        if self.place.as_wide:
            return means.flatten(2).transpose(1, 2)
        each = means.permute(0, 2, 3, 1).reshape(-1, means.shape[1], 1, 1)
        return self.head(each).reshape(feature_map.shape[0], self.side**2, -1)


def cell_means(n: int, side: int) -> Tensor:
    """The matrix (side, n) that averages n positions to `side` cells, which overlap where n is no multiple of it.

    The bins of `torch.nn.functional.adaptive_avg_pool1d`, as a product that every backend has.
    """
    matrix = torch.zeros(side, n)
    for i in range(side):
        first, last = i * n // side, -(-(i + 1) * n // side)
        matrix[i, first:last] = 1 / (last - first)
    return matrix


@builder("regional")
def regional(
    network: nn.Module,
    side: int,
    layout: Layout,
    grid: Sequence[int],
    prefix: int,
    as_wide: bool,
    classifier: bool,
    alone: bool = False,
) -> Regional:
    """A `Regional` network."""
    place = Map(layout, (grid[0], grid[1]), prefix, as_wide)
    return Regional(network, side, place, classifier=classifier, alone=alone)


class UpTo(nn.Module):
    """A timm network up to one of its earlier maps, whose mean over positions is the feature, (b, d).

    Parameters
    ----------
    network : nn.Module
        With timm's `forward_intermediates`.
    layer : int
        From 1; most networks have five, each half as high and wide as the one before.
    """

    def __init__(self, network: nn.Module, layer: int) -> None:
        super().__init__()
        self.network, self.layer = network, layer

    def forward(self, x: Tensor) -> Tensor:
        """Features of a batch."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The map, (b, d, h, w)."""
        maps: list[Tensor] = self.network.forward_intermediates(  # type: ignore[operator]
            x, indices=[self.layer - 1], stop_early=True, intermediates_only=True, output_fmt="NCHW"
        )
        return maps[0]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Its mean over positions."""
        return x.mean(dim=(2, 3))


@builder("up-to")
def up_to(network: nn.Module, layer: int) -> UpTo:
    """An `UpTo` network; the weights behind the map stay in it, unused."""
    return UpTo(network, layer)


def at_layer(network: nn.Module, options: Mapping[str, str], name: str) -> UpTo | None:
    """The network up to an earlier map if its name asks for that by ``?layer=4``, else None.

    Raises
    ------
    ValueError
        If the option is no number of a layer, or the network does not give its earlier maps.
    """
    layer = options.get("layer")
    if layer is None:
        return None
    levels = getattr(network, "feature_info", None)
    if not hasattr(network, "forward_intermediates") or not levels:
        raise ValueError(f"option layer: encoder {name!r} does not give its earlier maps")
    n = len(levels)
    if not layer.isdecimal() or not 1 <= int(layer) <= n:
        raise ValueError(f"option layer cannot be {layer!r}; it is the number of a map of {name!r}, from 1 to {n}")
    return up_to(network, int(layer)).eval()


def with_regions(
    network: nn.Module, options: Mapping[str, str], size: tuple[int, int], *, classifier: bool, name: str
) -> Regional | None:
    """The network with regions if its name asks for them by ``?regions=4``, else None.

    Raises
    ------
    ValueError
        If the option is no whole number from 1 to the side of the map, or the network has no map.
    """
    regions = options.get("regions")
    if regions is None:
        return None
    if not regions.isdecimal() or int(regions) < 1:
        raise ValueError(f"option regions cannot be {regions!r}; it is the number of cells along each side, such as 4")
    side, place = int(regions), _find_map(network, size, classifier=classifier, name=name)
    if side > min(place.grid):
        high, wide = place.grid
        raise ValueError(f"option regions cannot be {regions}: the last map of {name!r} has {high} x {wide} positions")
    return regional(network, side, place.layout, place.grid, place.prefix, place.as_wide, classifier)


def _find_map(network: nn.Module, size: tuple[int, int], *, classifier: bool, name: str) -> Map:
    """Look at what the network makes of an empty picture."""
    missing = f"option regions: encoder {name!r} has no feature map to take regions from"
    if not hasattr(network, "forward_features") or not hasattr(network, "forward_head"):
        raise ValueError(missing)
    with torch.inference_mode():
        feature_map = network.forward_features(torch.zeros(1, 3, *size))  # type: ignore[operator]
        if not isinstance(feature_map, Tensor) or feature_map.ndim not in (3, 4):
            raise ValueError(missing)
        features = network.forward_head(feature_map, **({"pre_logits": True} if classifier else {}))  # type: ignore[operator]
    width = int(features.shape[1])
    if feature_map.ndim == 3:
        prefix = int(getattr(network, "num_prefix_tokens", 0))
        grid = _grid(network, feature_map.shape[1] - prefix)
        if grid is None or feature_map.shape[2] != width:
            raise ValueError(missing)
        return Map("tokens", grid, prefix, True)
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        layout, grid, channels = "channels last", (feature_map.shape[1], feature_map.shape[2]), feature_map.shape[3]
    else:
        layout, grid, channels = "channels first", (feature_map.shape[2], feature_map.shape[3]), feature_map.shape[1]
    if channels != width and layout == "channels last":
        raise ValueError(missing)
    return Map(layout, grid, 0, channels == width)  # type: ignore[arg-type]


def _grid(network: nn.Module, n: int) -> tuple[int, int] | None:
    """Rows and columns of n patch tokens."""
    known = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if known is not None and math.prod(known) == n:
        return int(known[0]), int(known[1])
    side = math.isqrt(n)
    return (side, side) if side * side == n and n else None
