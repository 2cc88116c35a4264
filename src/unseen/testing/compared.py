"""What is compared before and after: inputs, random states, what a method has learnt."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks import task_of
from unseen.methods.base import Method
from unseen.nn.state import digest


def snapshot(value: Any) -> Any:
    """Everything about an input that a fit could change, as plain values."""
    if isinstance(value, Domain):
        x = np.stack([np.asarray(sample) for sample in value.x]).tobytes()
        columns = {key: column.tolist() for key, column in value.columns.items()}
        y = None if value.y is None else [task_of(value.task).digest(label) for label in value.y]
        return x, y, np.asarray(value.ids).tolist(), columns, value.kind
    if isinstance(value, Pairs):
        return snapshot(value.left), snapshot(value.right), {key: list(map(str, c)) for key, c in value.columns.items()}
    if isinstance(value, ClassSpace):
        return (
            value.names,
            value.descriptions,
            value.seen.tolist(),
            None if value.embeddings is None else value.embeddings.tobytes(),
            value.distance.tobytes(),
        )
    if isinstance(value, nn.Module):
        state = {key: tensor.numpy().tobytes() for key, tensor in value.state_dict().items()}
        modes = [module.training for module in value.modules()]
        gradients = [(p.requires_grad, p.grad is None) for p in value.parameters()]
        return (
            state,
            modes,
            gradients,
            sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in value.modules()),
        )
    if isinstance(value, Tensor | np.ndarray):
        array = np.asarray(value)
        return str(array.dtype), array.shape, array.tobytes()
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    return value


def random_states() -> tuple[Any, ...]:
    """The global random states of torch, NumPy and Python."""
    numpy = np.random.get_state(legacy=False)["state"]
    return torch.get_rng_state().tolist(), numpy["key"].tolist(), numpy["pos"], random.getstate()


def learnt(method: Method) -> str:
    """A hash of all that a method has learnt, up to the order of what it says of the target's samples."""
    return digest({key: value for key, value in method.fitted.items() if key not in method.of_target})
