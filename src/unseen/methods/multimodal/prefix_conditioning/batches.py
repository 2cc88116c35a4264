"""Batches of labels and captions, and the texts that are said of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import tensor
from unseen.nn.train import Run


class Drawn(NamedTuple):
    """Samples of a batch: where they stand among labels, then captions; and which template a label is said by."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index
    template: Tensor


@dataclasses.dataclass(frozen=True)
class Seen:
    """Pictures of both sets, labels first."""

    source: Domain
    drawings: Domain
    y: Tensor
    table: Tensor | None
    n_classes: int

    @classmethod
    def of(cls, source: Domain, drawings: Domain, n_classes: int) -> Self:
        """Both sets, found to be alike."""
        lazy = isinstance(source.x, Lazy) or isinstance(drawings.x, Lazy)
        first, second = tensor(source, slice(0, 1)), tensor(drawings, slice(0, 1))
        if first.shape != second.shape:
            raise ValueError(
                f"source and pairs must hold pictures of one shape; got {tuple(first.shape[1:])} and "
                f"{tuple(second.shape[1:])}"
            )
        table = None if lazy else torch.cat([tensor(source), tensor(drawings)])
        return cls(source, drawings, torch.as_tensor(source.labels), table, n_classes)

    def pictures(self, index: Tensor) -> Tensor:
        """Those of a batch."""
        if self.table is not None:
            return self.table[index]
        n = len(self.source)
        return torch.stack([
            tensor(self.source, np.array([i]))[0] if i < n else tensor(self.drawings, np.array([i - n]))[0]
            for i in index.tolist()
        ])  # fmt: skip


class Spoken(nn.Module):
    """Tokens of all prompts and captions; they do not change, and stand where the networks do."""

    tokens: Tensor
    labels: Tensor

    def __init__(self, tokens: Tensor, prompts: int, labels: Tensor, dim: int, limit: int) -> None:
        super().__init__()
        self.register_buffer("tokens", tokens)
        self.register_buffer("labels", labels)
        self.prompts, self.dim, self.limit = prompts, dim, limit


def caption_labels(captions: Sequence[str], n_classes: int) -> Tensor:
    """A label of its own for each text, behind those of the classes; equal texts have one."""
    seen: dict[str, int] = {}
    return torch.tensor([n_classes + seen.setdefault(text.strip(), len(seen)) for text in captions])


def drawn(
    seen: Seen, templates: int, size: int, sampler: str, mix: float, total: int, per_epoch: int
) -> Callable[[Run], Iterator[Drawn]]:
    """Batches of labels and captions, or of one of them.

    Each tenth of the steps shuffles both sets anew, and reads each to its end before it shuffles it again: a training
    that was killed goes on to the same bits from the end of a tenth, whatever had been read before. So in a tenth no
    sample comes twice before all of its set have come once; between tenths it may.
    """
    counts = (len(seen.drawings), len(seen.source))  # as SOURCES
    starts = (counts[1], 0)

    def stream(run: Run) -> Iterator[Drawn]:
        left = [torch.empty(0, dtype=torch.int64) for _ in counts]

        def take(which: int, n: int) -> Tensor:
            while len(left[which]) < n:
                order = torch.randperm(counts[which], generator=run.generator) + starts[which]
                left[which] = torch.cat([left[which], order])
            got, left[which] = left[which][:n], left[which][n:]
            return got

        captions = size if mix == 1 else min(max(1, round(mix * size)), max(size - 1, 1))
        for _ in range(min(per_epoch, total - run.step)):
            if sampler == "mixed":
                index = torch.cat([take(0, captions), take(1, size - captions)])
                index = index[torch.randperm(len(index), generator=run.generator)]
            else:
                which = int(torch.rand(1, generator=run.generator) >= mix)
                index = take(which, size)
            yield Drawn(index, torch.randint(templates, (len(index),), generator=run.generator))

    return stream
