"""Steps 13-16: how much each layer suffers from few bits, and which bits to spend where."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.nn.divergences import exact_kl
from unseen.nn.network_io import Output, output_of
from unseen.nn.pareto import Frontier, frontier
from unseen.nn.quantizers import FLOAT, Granularity, frozen_copy, quantizable, quantized_weight
from unseen.nn.replay import Suffix, from_each_layer


@torch.no_grad()
def sensitivity(
    network: nn.Module,
    x: Float[Tensor, "n ..."],
    bits: Sequence[int] = (2, 4, 8),
    *,
    granularity: Granularity = "channel",
    exclude: Collection[str] = (),
    output: Output | None = None,
    size: int = 64,
) -> Float[np.ndarray, "l m"]:
    """Omega_i(k) = 1/N sum_j KL(M(x_j) || M with layer i alone at k bits (x_j)), (l, m), in nats.

    What precedes layer i is the same for all bits and computed once: a row costs m passes through what follows it.

    Parameters
    ----------
    network : Module
        Not changed.
    x : Tensor (n, ...)
    bits : sequence of int
    granularity, exclude
        As in `ZeroQ`.
    output : callable (network, x) -> logits (n, ..., c), optional
        Whatever shall keep its distribution.
    size : int
        Samples at a time.
    """
    network = frozen_copy(network)
    output = output or output_of(network)
    layers = quantizable(network, exclude)
    places = {name: i for i, name in enumerate(layers)}
    omega = np.zeros((len(layers), len(bits)))
    batches = torch.split(x, size)
    for batch in batches:
        reference = output(network, batch)

        def measure(name: str, suffix: Suffix, reference: Tensor = reference) -> None:
            layer, weight = layers[name], layers[name].weight.data
            for j, k in enumerate(bits):
                if k == FLOAT:
                    continue
                layer.weight.data = quantized_weight(layer, k, granularity)
                omega[places[name], j] += float(exact_kl(reference, suffix()).sum())
                layer.weight.data = weight

        from_each_layer(layers, lambda batch=batch: output(network, batch), measure, "sensitivity")  # type: ignore[misc]
    return np.maximum(omega / len(x), 0.0)


def pareto(omega: Float[np.ndarray, "l m"], sizes: Int[np.ndarray, "l"], bits: Sequence[int] = (2, 4, 8)) -> Frontier:
    """Least sum_i Omega_i(k_i) for every size sum_i P_i k_i in bits at once (additive sensitivities)."""
    return frontier(omega, np.outer(sizes, bits))


def allocate_uniform(sizes: Int[np.ndarray, "l"], bits: Sequence[int], budget: float) -> NDArray[np.int64]:
    """The same bits for all layers, as many as the budget (in bits) allows."""
    _check_budget(sizes, bits, budget)
    within = max(k for k in bits if k * sizes.sum() <= budget * _ROUNDING)
    return np.full(len(sizes), within, dtype=np.int64)


def allocate_random(sizes: Int[np.ndarray, "l"], bits: Sequence[int], budget: float) -> NDArray[np.int64]:
    """From the least bits, raise random layers to their next option until nothing fits into the budget."""
    _check_budget(sizes, bits, budget)
    options = np.sort(np.asarray(bits, dtype=np.int64))
    level = np.zeros(len(sizes), dtype=np.int64)
    left = budget * _ROUNDING - float(options[0] * sizes.sum())
    while True:
        step = np.append(np.diff(options), 0)[level] * sizes
        fits = np.flatnonzero((step > 0) & (step <= left))
        if not len(fits):
            return options[level]
        layer = fits[int(torch.randint(len(fits), ()))]
        left -= float(step[layer])
        level[layer] += 1


def allocate_worst(
    omega: Float[np.ndarray, "l m"], sizes: Int[np.ndarray, "l"], bits: Sequence[int], budget: float
) -> NDArray[np.int64]:
    """The largest total sensitivity of all choices that use at least nine tenths of the budget."""
    _check_budget(sizes, bits, budget)
    options = np.asarray(bits, dtype=np.int64)
    table = frontier(-omega, np.outer(sizes, options.max() - options))
    may_save = max(float(options.max() * sizes.sum()) - 0.9 * budget, 0.0)
    return options[table.choices[table.within(may_save)]]


_ROUNDING = 1 + 1e-12


def _check_budget(sizes: Int[np.ndarray, "l"], bits: Sequence[int], budget: float) -> None:
    least = min(bits) * int(sizes.sum())
    if budget * _ROUNDING < least:
        raise ValueError(f"a budget of {budget:g} bits is too small: {min(bits)} for all weights are {least}")
