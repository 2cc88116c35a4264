"""Several processes on one training: each takes its part of every batch, and gradients are averaged.

The processes are started by torchrun (or `accelerate launch`, Slurm, Ray, ...); none is started here. `launched` joins
them where nobody has initialized `torch.distributed` yet.
BatchNorm sees the part of its process only, so that the loss is that of one process for networks without it. Dropout
draws for the whole batch on a CPU (`as_one`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils._python_dispatch import TorchDispatchMode


def world() -> int:
    """How many processes train together; 1 where `torch.distributed` is not initialized."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def started() -> int:
    """How many processes a launcher has started, whether they have joined or not; 1 where none has."""
    return max(world(), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def launched(device: str = "cpu") -> Iterator[None]:
    """Join the processes that a launcher has started, for the block, and part; alone, and within such, nothing.

    Parameters
    ----------
    device : str
        On "cuda" each process takes the GPU of its local rank, and NCCL; else gloo.
    """
    if started() < 2 or world() > 1:
        yield
        return
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def first() -> bool:
    """Whether this is the process that writes."""
    return world() == 1 or distributed.get_rank() == 0


def part(batch: Any) -> tuple[Any, float]:
    """This process's samples of a batch, every `world()`-th, and their weight: averages of weighted means are means.

    Raises
    ------
    ValueError
        If the batch has fewer samples than there are processes, or nothing that could be divided.
    """
    size, rank = world(), distributed.get_rank()
    lengths = {len(value) for value in _tensors(batch)}
    if len(lengths) != 1:
        raise ValueError(f"a batch must hold tensors of one length to be divided; got lengths {sorted(lengths)}")
    n = lengths.pop()
    if n < size:
        raise ValueError(f"a batch of {n} samples cannot be divided among {size} processes")
    return _taken(batch, rank, size), len(range(rank, n, size)) * size / n


def as_one(batch: Any) -> AbstractContextManager[Any]:
    """A context in which dropout drops what it would in one process that has the whole batch.

    All processes draw the masks of the whole batch, from random numbers that are the same in all, and each takes those
    of its samples. That holds on a CPU, where the first dimension of what is dropped from is this process's part of the
    batch; else each draws alone. What goes backward must do so in it, too: networks may be read again there.
    Every operation in it passes through Python, which on GPUs would cost time and change nothing.
    """
    if world() == 1 or distributed.get_backend() == "nccl":
        return nullcontext()
    return _AsOne(next((len(value) for value in _tensors(batch)), 0))


class _AsOne(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the one operation by which dropout draws."""

    def __init__(self, n: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n, self.rank, self.size = n, distributed.get_rank(), world()
        self.mine = len(range(self.rank, n, self.size))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bernoulli_.float and args[0].ndim and len(args[0]) == self.mine:
            x = args[0]
            return x.copy_(func(x.new_empty(self.n, *x.shape[1:]), *args[1:], **(kwargs or {}))[self.rank :: self.size])
        return func(*args, **(kwargs or {}))


def largest(value: int) -> int:
    """The largest of what all processes have: they call it together, as `gather`."""
    if world() == 1:
        return value
    cuda = distributed.get_backend() == "nccl"
    held = torch.tensor(value, device=torch.device("cuda", torch.cuda.current_device()) if cuda else "cpu")
    distributed.all_reduce(held, distributed.ReduceOp.MAX)
    return int(held)


def alike(value: int) -> bool:
    """Whether all processes have this value: they call it together, as `gather`."""
    return largest(value) == -largest(-value)


def average(tensors: Iterable[Tensor]) -> None:
    """Put the mean over all processes into each tensor."""
    for tensor in tensors:
        distributed.all_reduce(tensor)
        tensor /= world()


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, those of this one first: what stands against each other in a contrastive loss.

    A gradient flows into all rows: each process sends the others theirs. Where a loss is a mean over the samples of a
    process, weighted as `part` says, what `average` then makes of the gradients is the gradient of one process that has
    the whole batch.

    Parameters
    ----------
    rows : Tensor (n, ...)
        n may differ between processes.
    """
    if world() == 1:
        return rows
    return _Gather.apply(rows)  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    """All rows of all processes; backward sums what every process says of ours."""

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        size, rank = world(), distributed.get_rank()
        counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(size)]
        distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
        lengths = [int(count) for count in counts]
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.zeros_like(padded) for _ in range(size)]
        distributed.all_gather(parts, padded)
        context.lengths, context.rank = lengths, rank
        order = [rank, *(other for other in range(size) if other != rank)]
        return torch.cat([rows, *(parts[other][: lengths[other]] for other in order[1:])])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """The gradients of all rows are brought into one order, summed over processes, and ours taken."""
        (gradient,) = gradients
        lengths, rank = context.lengths, context.rank
        order = [rank, *(other for other in range(len(lengths)) if other != rank)]
        pieces = dict(zip(order, torch.split(gradient, [lengths[other] for other in order])))
        whole = torch.cat([pieces[other] for other in range(len(lengths))]).contiguous()
        distributed.all_reduce(whole)
        return torch.split(whole, lengths)[rank]


def wait() -> None:
    """Go on when all processes are here."""
    if world() > 1:
        distributed.barrier()


def _tensors(batch: Any) -> list[Tensor]:
    if isinstance(batch, Tensor):
        return [batch]
    values = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (tuple, list)) else ()
    return [tensor for value in values for tensor in _tensors(value)]


def _taken(batch: Any, rank: int, size: int) -> Any:
    if isinstance(batch, Tensor):
        return batch[rank::size]
    if isinstance(batch, dict):
        return {key: _taken(value, rank, size) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_taken(value, rank, size) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(_taken(value, rank, size) for value in batch)
    return batch
