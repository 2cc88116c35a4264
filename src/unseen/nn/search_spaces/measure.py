"""Statistics of many architectures, in the slots of their space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.nn.search_spaces.base import SearchSpace
from unseen.nn.zero_cost import nodewise_statistics
from unseen.runtime import reproducible, track

PROXIES = ("grad_norm", "snip", "synflow")


def measure(
    space: SearchSpace,
    architectures: Sequence[str],
    learn: Domain,
    *,
    n_classes: int,
    proxies: Sequence[str] = PROXIES,
    batch_size: int = 32,
    seed: int = 0,
    reduce: str = "sum",
) -> Float[np.ndarray, "n d"]:
    """Node-wise statistics of untrained networks on one batch, proxy after proxy, (n, proxies * slots).

    The batch, drawn by `seed`, and the random numbers that initialize a network are the same for every architecture.
    What is not finite is a `ValueError` that names the architecture.
    """
    index = np.random.default_rng(seed).permutation(len(learn))[:batch_size]
    x, y = tensor(learn, index), torch.as_tensor(learn.labels[index])
    rows = []
    with reproducible(seed):
        state = torch.get_rng_state()
        for text in track(list(architectures), "measuring"):
            torch.set_rng_state(state)
            network = space.build(space.parse(text), n_classes=n_classes, channels=x.shape[1], size=x.shape[2])
            try:
                measured = nodewise_statistics(network, x, y, proxies, reduce=reduce, nodes=space.slots)
            except ValueError as error:
                raise ValueError(f"{text}: {error}") from error
            rows.append(torch.cat([measured[proxy] for proxy in proxies]).numpy())
    return np.stack(rows)
