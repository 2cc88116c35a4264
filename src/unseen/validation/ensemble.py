"""Ensemble validation: agreement with what all candidates say together (Hu et al., NeurIPS 2024)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def ensemble_validation(
    p: Mapping[str, Float[Tensor, "n c"]], family: Mapping[str, str] | None = None
) -> dict[str, float]:
    """How often each candidate calls a target sample as the mean of all probabilities does, in [0, 1].

    Larger is better. Needs no labels, and never prefers the worst candidate where the ensemble beats it.

    Parameters
    ----------
    p : {candidate: Tensor of shape (n, c)}
        Predicted probabilities on the same target samples.
    family : {candidate: name}, optional
        Candidates of one family (presets of a method) have one voice together: they are averaged first.

    Source: Hu, Luo, Liang, Foo, "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical
    Study and A Certified Baseline", NeurIPS 2024 (EnsV).

    Raises
    ------
    ValueError
        If there is no candidate, or shapes differ.
    """
    shapes = {tuple(q.shape) for q in p.values()}
    if len(shapes) != 1:
        raise ValueError(f"p must hold probabilities of one shape, for at least one candidate; got {sorted(shapes)}")
    groups: dict[str, list[Tensor]] = {}
    for name, q in p.items():
        groups.setdefault(name if family is None else family[name], []).append(q)
    together = torch.stack([torch.stack(group).mean(dim=0) for group in groups.values()]).mean(dim=0)
    consensus = together.argmax(dim=1).numpy()
    return {name: float(np.mean(q.argmax(dim=1).numpy() == consensus)) for name, q in p.items()}
