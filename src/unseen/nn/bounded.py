"""Networks that are built again of a file ask for no more memory than what was saved with them needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

TIMES, FREE = 8, 2**30
"""How many times the bytes of the saved tensors a network may ask for, and bytes that it always may."""
PARTS, FEW = 50, 20_000
"""The same of tensors: for each that was saved, and always."""
SIZED = frozenset({
    "empty", "empty_strided", "zeros", "ones", "full", "rand", "randn", "randint", "normal", "new_empty", "new_zeros",
    "new_ones", "new_full", "new_empty_strided", "eye", "arange", "linspace", "logspace", "range", "repeat", "randperm",
})  # fmt: skip
"""Operators that make a tensor as large as a number says."""


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, a tensor that would pass the bounds is not made: `ValueError` instead of an end of memory.

    Parameters
    ----------
    saved : sequence of tensors
        What was saved with the networks that are built.
    """

    def __init__(self, saved: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = FREE + TIMES * sum(tensor.nbytes for tensor in saved)
        self.tensors = FEW + PARTS * len(saved)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: nothing is compiled here, and to hide this from its compiler torch would import that, a second."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in SIZED:
            self.tensors -= 1
            self.bytes -= bytes_asked(func, name, args, kwargs)
            if self.bytes < 0 or self.tensors < 0:
                raise ValueError("its network asks for much more memory than the tensors that were saved with it have")
        return func(*args, **kwargs)


def bytes_asked(func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Bytes of the tensor that an operator of `SIZED` is asked for, from its numbers alone."""
    arguments: dict[str, Any] = {argument.name: value for argument, value in zip(func._schema.arguments, args)} | dict(
        kwargs
    )
    kind = arguments.get("dtype") or getattr(arguments.get("self"), "dtype", None) or torch.get_default_dtype()
    if name == "eye":
        n = int(arguments["n"]) * int(arguments.get("m", arguments["n"]))
    elif name in ("arange", "range"):
        first, step = arguments.get("start", 0), arguments.get("step", 1)
        n = math.ceil(abs(float(arguments.get("end", 0)) - float(first)) / max(abs(float(step)), 1e-30)) + 1
    elif name in ("linspace", "logspace"):
        n = int(arguments["steps"])
    elif name == "randperm":
        n = int(arguments["n"])
    elif name == "repeat":
        n = int(arguments["self"].numel()) * math.prod(int(times) for times in arguments["repeats"])
    else:
        n = math.prod(int(side) for side in arguments.get("size", ()))
    return max(n, 0) * int(kind.itemsize)
