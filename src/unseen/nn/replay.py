"""Run a network from one of its layers on: what was computed before that layer is remembered, not computed again."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from unseen.runtime import track

Suffix = Callable[[], Any]
"""Gives what the network gives with the weights that it has now; only what follows the layer is computed."""

Answers = list[tuple[Any, Any]]
"""Functions in the order of their calls, with what they give."""


class DivergedError(RuntimeError):
    """A second run called another function than the first one."""


class _Remembered:
    """The result of a call, as long as anything else holds it; of a tensor that is gone its shape and type."""

    def __init__(self, value: Any) -> None:
        self.gone: Any = value
        self.tensor: weakref.ref[Tensor] | None = None
        if isinstance(value, Tensor):
            self.tensor = weakref.ref(value)
            self.gone = (tuple(value.shape), value.dtype, value.device)

    def copy(self, memo: dict[Any, Any]) -> Any:
        """A copy that later in-place functions cannot spoil; what nothing needs any more is zeros without memory."""
        if self.tensor is None:
            return self.gone
        alive = self.tensor()
        if alive is not None:
            return copy.deepcopy(alive, memo)  # the memo keeps views of one memory together
        if not isinstance(self.gone, Tensor):
            shape, dtype, device = self.gone
            self.gone = torch.zeros((), dtype=dtype, device=device).expand(shape)  # nothing reads it: one will do
        return self.gone


class _Record(TorchFunctionMode):
    """Remembers the functions that are called, in their order, with what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, list[_Remembered], TreeSpec | None]] = []
        self.paused = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.paused:
            leaves, form = ([result], None) if isinstance(result, Tensor) else tree_flatten(result)
            self.calls.append((func, [_Remembered(leaf) for leaf in leaves], form))
        return result

    def answers(self) -> Answers:
        """What the calls so far have given."""
        memo: dict[Any, Any] = {}
        return [
            (func, leaves[0].copy(memo) if form is None else tree_unflatten([x.copy(memo) for x in leaves], form))
            for func, leaves, form in self.calls
        ]


class _Replay(TorchFunctionMode):
    """Answers the first calls from memory, and computes those after them."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers, self.at = answers, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.at == len(self.answers):
            return func(*args, **(kwargs or {}))
        expected, answer = self.answers[self.at]
        if func != expected:  # getters of properties are made anew each time: equal, not the same
            raise DivergedError(f"{func} was called where the first run called {expected}")
        self.at += 1
        return answer


@torch.no_grad()
def from_each_layer(
    layers: Mapping[str, nn.Module], run: Callable[[], Any], visit: Callable[[str, Suffix], None], label: str = "layers"
) -> None:
    """Call `run`, and as soon as it first reaches a layer, `visit(name, suffix)`.

    `suffix()` is `run()` with everything that precedes the layer taken from memory: equal to the last bit, since the
    same functions read the same numbers. Only tensors that something still needs are kept. Where a second run goes
    another way than the first, as code that looks at Python's state may, all of it is computed.

    Parameters
    ----------
    layers : mapping of name to Module
        Their weights may be changed while they are visited, and must be as before afterwards.
    run : callable
        One pass through the network that holds the layers.
    visit : callable (name, suffix)
        A layer that `run` never calls, though it may use its weight as attention does, is visited at the end, with
        nothing remembered.
    label : str
        What a bar of progress says.
    """
    record = _Record()
    waiting = set(layers)
    bar = track(range(len(layers)), label)

    def reached(name: str) -> None:
        if record.paused or name not in waiting:
            return
        waiting.discard(name)
        next(bar)
        record.paused = True

        def suffix() -> Any:
            try:
                with _Replay(record.answers()):
                    return run()
            except DivergedError:
                return run()

        visit(name, suffix)
        record.paused = False

    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs, name=name: reached(name))
        for name, layer in layers.items()
    ]
    try:
        with record:
            run()
        for name in [name for name in layers if name in waiting]:
            next(bar)
            visit(name, run)
    finally:
        bar.close()
        for hook in hooks:
            hook.remove()
