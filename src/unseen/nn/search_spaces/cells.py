"""`Cells`: convolutional networks that repeat one cell, whose edges each have one of five operations."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.search_spaces.base import SearchSpace, check_picture, digit, number

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "avgpool")
WIDTHS = (8, 12, 16)
EDGES = tuple((i, j) for j in range(1, 4) for i in range(j))
"""From which to which of the four places of a cell: 0 is its input, 3 its output."""
KERNELS = {"conv1x1": 1, "conv3x3": 3}
STAGES = 2


@dataclasses.dataclass(frozen=True)
class Cell:
    """The width of the first stage, and the operation on each of the six edges.

    Its text is ``w12/conv3x3/none/skip/avgpool/conv1x1/skip``.
    """

    width: int
    operations: tuple[str, ...]

    def __str__(self) -> str:
        return "/".join((f"w{self.width}", *self.operations))


class Cells(SearchSpace[Cell]):
    """3 x 5^6 = 46,875 networks: stem, cell, reduction to half the side and twice the width, cell, head.

    A cell has its input and three more places; each place is the sum of an operation on every earlier one, as in
    NAS-Bench-201. A convolution is ReLU, convolution, BatchNorm.
    """

    name = "cells"

    def __init__(self) -> None:
        edges = [f"{i}-{j}.{kind}" for i, j in EDGES for kind in KERNELS]
        first, second = ([f"stage{s}.{edge}" for edge in edges] for s in range(STAGES))
        self.slots = ("stem.conv", *first, "reduce.conv", *second, "head")

    def __len__(self) -> int:
        return len(WIDTHS) * len(OPERATIONS) ** len(EDGES)

    def at(self, index: int) -> Cell:
        if not 0 <= index < len(self):
            raise ValueError(f"index must lie in [0, {len(self)}); got {index}")
        chosen = []
        for _ in EDGES:
            index, operation = digit(index, OPERATIONS)
            chosen.append(operation)
        return Cell(WIDTHS[index], tuple(chosen))

    def parse(self, text: str) -> Cell:
        words = text.split("/")
        if len(words) != 1 + len(EDGES):
            raise ValueError(f"a cell is wWIDTH and {len(EDGES)} operations, divided by '/'; got {text!r}")
        for word in words[1:]:
            if word not in OPERATIONS:
                raise ValueError(f"{word!r} in {text!r} must be one of {', '.join(OPERATIONS)}")
        return Cell(number(words[0], "w", WIDTHS, text), tuple(words[1:]))

    def neighbours(self, architecture: Cell) -> list[Cell]:
        wider = [Cell(width, architecture.operations) for width in WIDTHS if width != architecture.width]
        ops = architecture.operations
        return wider + [
            Cell(architecture.width, (*ops[:e], other, *ops[e + 1 :]))
            for e, other in itertools.product(range(len(EDGES)), OPERATIONS)
            if other != ops[e]
        ]

    def build(self, architecture: Cell | str, *, n_classes: int, channels: int = 1, size: int = 8) -> nn.Module:
        return cell_network(str(architecture), n_classes, channels, size)


class _Convolution(nn.Module):
    """ReLU (not before the first one), convolution, BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.relu = relu
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(torch.relu(x) if self.relu else x))


class _Edge(nn.Module):
    """One operation; a convolution lies under the name of its kind, which makes its slot."""

    def __init__(self, operation: str, width: int) -> None:
        super().__init__()
        self.operation = operation
        if operation in KERNELS:
            kernel = KERNELS[operation]
            self.add_module(operation, nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False))
            self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.operation == "none":
            return torch.zeros_like(x)
        if self.operation == "avgpool":
            return nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        if self.operation == "skip":
            return x
        return self.norm(self.get_submodule(self.operation)(torch.relu(x)))


class _Cell(nn.Module):
    """Four places, each the sum of operations on the earlier ones."""

    def __init__(self, operations: tuple[str, ...], width: int) -> None:
        super().__init__()
        for (i, j), operation in zip(EDGES, operations):
            self.add_module(f"{i}-{j}", _Edge(operation, width))

    def forward(self, x: Tensor) -> Tensor:
        places = [x]
        for j in range(1, 4):
            into = [self.get_submodule(f"{i}-{j}")(places[i]) for i in range(j)]
            places.append(torch.stack(into).sum(dim=0))
        return places[-1]


class CellNetwork(nn.Module):
    """Stem, cell, reduction, cell, mean over places, head."""

    def __init__(self, cell: Cell, n_classes: int, channels: int) -> None:
        super().__init__()
        width = cell.width
        self.stem = _Convolution(channels, width, 3, relu=False)
        self.stage0 = _Cell(cell.operations, width)
        self.reduce = _Convolution(width, 2 * width, 3, stride=2)
        self.stage1 = _Cell(cell.operations, 2 * width)
        self.norm = nn.BatchNorm2d(2 * width)
        self.head = nn.Linear(2 * width, n_classes)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits, (b, k)."""
        x = self.stage1(self.reduce(self.stage0(self.stem(x))))
        return self.head(torch.relu(self.norm(x)).mean(dim=(2, 3)))


@builder("cell-network")
def cell_network(cell: str, n_classes: int, channels: int = 1, size: int = 8) -> CellNetwork:
    """The network of a cell, given as its text, for pictures of a side of at least 4."""
    check_picture(n_classes, channels, size, 4)
    return CellNetwork(Cells().parse(cell), n_classes, channels)
