"""What ranking architectures costs: statistics of an untrained network beside a training step and a whole training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from common import Row, in_turns, row
from sklearn.ensemble import GradientBoostingRegressor

from unseen.data.samplers import tensor
from unseen.data.sources import digits
from unseen.data.sources.architectures import architectures
from unseen.methods import ParZC
from unseen.nn.search_spaces import SPACES
from unseen.nn.search_spaces.pictures import halves, pictures
from unseen.nn.zero_cost import nodewise_statistics

COUNT, BATCH = 12, 32
PROXIES = ("grad_norm", "snip", "synflow")


def run() -> list[Row]:
    """Statistics per architecture in both spaces, and a fit of the scorer on 40 of them."""
    torch.set_num_threads(1)
    return [*(one for space in ("cells", "vits") for one in statistics_rows(space)), fit_row()]


def statistics_rows(space: str) -> list[Row]:
    """Three proxies of 12 networks, beside three plain passes forward and backward; cost from 12 to 48 networks."""
    learn, _ = halves(pictures(digits("handwritten", size=8, flat=True), 8, 1))
    x, y = tensor(learn.take(slice(0, BATCH))), torch.as_tensor(learn.labels[:BATCH])
    room = SPACES[space]
    networks = [room.build(one, n_classes=10, channels=1, size=8) for one in room.sample(4 * COUNT, 0)]

    def measured(n: int) -> None:
        for network in networks[:n]:
            nodewise_statistics(network, x, y, PROXIES, nodes=room.slots)

    def passes() -> None:
        for network in networks[:COUNT]:
            for _ in PROXIES:
                network.zero_grad()
                F.cross_entropy(network(x), y).backward()

    own, peer, more = in_turns(lambda: measured(COUNT), passes, lambda: measured(4 * COUNT), repeats=3)
    extra: dict[str, Any] = {"architectures per second": round(COUNT / own, 1)}
    return [
        row(f"{len(PROXIES)} proxies of {COUNT} {space}", own, "a pass forward and backward for each", peer, **extra),
        row(f"{len(PROXIES)} proxies of {4 * COUNT} {space}", more, f"4 x those of {COUNT}", 4 * own, floor=">= 0.8"),
    ]


def fit_row() -> Row:
    """The scorer on the statistics of 40 trained networks, beside scikit-learn's boosted trees on the same table."""
    known = architectures("cells-digits").domain().take(slice(0, 40))
    trees = GradientBoostingRegressor(random_state=0)
    own, peer = in_turns(lambda: ParZC().fit(source=known), lambda: trees.fit(known.x, known.labels), repeats=3)
    return row("ParZC learns from 40 cells", own, "boosted trees", peer)


if __name__ == "__main__":
    for one in run():
        print(one)
