"""Which weights train at which rate (step 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from torch import nn

Scope = Literal["reference", "all"]

PROJECTIONS = ("text_projection", "text_projection.weight", "proj", "projection.weight", "head.proj.weight")
"""How the last matrices of towers into the shared space are called, in open_clip and here."""
_INSIDE = ("attn", "attention", "mlp")
"""What has a matrix called proj that is no last one."""


def is_projection(name: str) -> bool:
    """Whether a parameter is a tower's last matrix: `visual.proj` and `text_projection` of CLIP."""
    ends = any(name == end or name.endswith(f".{end}") for end in PROJECTIONS)
    return ends and not any(part in name for part in _INSIDE)


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], scope: Scope, *, rates: tuple[float, float], weight_decay: float
) -> list[dict[str, Any]]:
    """The groups "main" and "projections" of towers, for AdamW.

    Parameters
    ----------
    named : iterable of name and parameter
        Those that may train.
    scope : {"reference", "all"}
        In the released code "main" are the parameters whose name does not hold "proj": that leaves out not only the two
        last matrices, but those of attention (`in_proj`, `out_proj`) and the second of each perceptron (`c_proj`), too,
        which then rest. "all" trains these as well.
    rates : pair of float
        Of "main" and of "projections".
    """
    groups: Mapping[str, list[nn.Parameter]] = {"main": [], "projections": []}
    for name, parameter in named:
        if is_projection(name):
            groups["projections"].append(parameter)
        elif scope == "all" or "proj" not in name:
            groups["main"].append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": weight_decay, "name": group}
        for (group, parameters), rate in zip(groups.items(), rates)
        if parameters
    ]
