"""A zoo: trained networks by name, what they make of samples, and how well each suits a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.nn.build import n_parameters
from unseen.nn.classifier import as_classifier, outputs
from unseen.nn.transferability import Similarity, similarity

if TYPE_CHECKING:
    import pandas as pd

Outputs = Mapping[str, tuple[Tensor, Tensor]]
"""Features (n, d_s) and logits (n, C_s) of some samples by each source: one pass per source, kept."""


def zoo_outputs(teachers: Mapping[str, nn.Module], domain: Domain) -> dict[str, tuple[Tensor, Tensor]]:
    """What each network of a zoo makes of all samples, in eval mode: (features, logits) by name.

    Raises
    ------
    ValueError
        If a network cannot read the samples or cannot be split before its last layer.
    """
    return {name: _features_and_logits(name, network, domain) for name, network in teachers.items()}


def _features_and_logits(name: str, network: nn.Module, domain: Domain) -> tuple[Tensor, Tensor]:
    try:
        features, logits = outputs(as_classifier(network).eval(), domain)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"teachers: {name!r} does not fit {domain.name}: {error}") from error
    return features.flatten(1), logits


def similarities(
    outputs: Outputs, labels: np.ndarray, metric: Similarity = "parc", n_dims: int | None = None
) -> dict[str, float]:
    """Similarity of each source of a zoo to the labelled samples that it has read."""
    return {
        name: similarity(
            z.numpy(), labels, metric, probabilities=torch.softmax(logits.double(), dim=1).numpy(), n_dims=n_dims
        )
        for name, (z, logits) in outputs.items()
    }


def rank_teachers(
    teachers: Mapping[str, nn.Module],
    support: Domain,
    metrics: Sequence[Similarity] = ("parc",),
    n_dims: int | None = None,
) -> pd.DataFrame:
    """The networks of a zoo, most similar to the task first by the first metric.

    Parameters
    ----------
    teachers : mapping of name to Module
    support : Domain
        Labelled samples of the task.
    metrics : sequence of str
        Of `unseen.nn.transferability.similarity`.
    n_dims : int, optional
        Features after PCA, where samples are enough: see `unseen.nn.transferability.similarity`.

    Returns
    -------
    DataFrame
        Columns name, one per metric, features (d_s), classes (C_s), parameters, licence (an attribute `licence` of the
        network, where it has one).
    """
    import pandas as pd

    zoo = zoo_outputs(teachers, support)
    read = {m: similarities(zoo, support.labels, m, n_dims) for m in metrics}
    rows = [
        {
            "name": name,
            **{metric: values[name] for metric, values in read.items()},
            "features": zoo[name][0].shape[1],
            "classes": zoo[name][1].shape[1],
            "parameters": n_parameters(network),
            "licence": str(getattr(network, "licence", "")),
        }
        for name, network in teachers.items()
    ]
    order = [metrics[0]] if metrics else []
    table = pd.DataFrame(rows)
    return table.sort_values(order, ascending=False, kind="stable", ignore_index=True) if order else table


def online(teachers: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """Logits of a batch by each frozen network, on the device of the batch; nothing goes backward into them."""
    with torch.no_grad():
        return [network.to(x.device)(x) for network in teachers]
