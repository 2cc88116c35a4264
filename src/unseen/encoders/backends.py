"""The fastest way to run a frozen network here.

bfloat16 autocast with channels-last memory where the hardware computes in bfloat16, else onnxruntime in float32, as
EfficientNet-Lite0 of whole pictures runs on every CPU. What bfloat16 costs on your samples, `Encoder.fidelity` says:
the cosine to float32 of EfficientNet-Lite0 is 0.9993 in the mean and 0.997 at least (256 crops of two photos), of
MiniLM 0.99998 at least (the texts of ImageNet's classes).
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import logging
import os
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from unseen.encoders.cache import cache_root
from unseen.nn.classifier import Pooled
from unseen.nn.export import export_onnx
from unseen.nn.lite0 import Lite0, write_onnx
from unseen.runtime import current, runtime, tell_malloc

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8
"""Batches that run at once; each holds its own activations."""

Job = TypeVar("Job")
Done = TypeVar("Done")

Precision = Literal["auto", "fp32", "bf16"]
Backend = Literal["torch-fp32", "torch-bf16", "onnxruntime-fp32"]
Run = Callable[[Tensor], Tensor]


def check_precision(precision: str) -> None:
    """Raise `ValueError` unless `precision` is one that exists."""
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}; got {precision!r}")


def choose(precision: Precision, *, convolutional: bool) -> Backend:
    """Return the backend that `precision` means on the device in force.

    ``"auto"`` is bfloat16 where the hardware computes in it; elsewhere float32, by onnxruntime for pictures. (Of
    EfficientNet-Lite0 without regions it is float32 by onnxruntime on every CPU, see `Encoder.backend`: on an Intel
    with AMX a picture takes 10 ms of a core in batches of 32 and alone, and in bfloat16 13 and 23.)
    """
    check_precision(precision)
    on_cpu = current().device == "cpu"
    if precision == "bf16" or (precision == "auto" and (has_bfloat16() or not on_cpu)):
        return "torch-bf16"
    return "onnxruntime-fp32" if precision == "auto" and convolutional else "torch-fp32"


@cache
def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; emulation is slower than float32."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def prepare(backend: Backend, module: nn.Module, example: Tensor, fingerprint: str | None) -> Run:
    """Return a function from a batch on the CPU to its features, float32 on the CPU, (b, d).

    The network itself stays as it is: backends run a copy. Batches have the shape of `example`. What is exported for
    onnxruntime is kept by `fingerprint`, if there is one.
    """
    keep_freed_memory()
    if backend == "onnxruntime-fp32":
        try:
            if fingerprint is not None:
                return _onnx_run(_exported(module, example, fingerprint))
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.onnx"
                _export(module, example, path)
                return _onnx_run(path)
        except Exception as error:  # whatever an exporter raises; torch computes the same in float32
            log.warning("the network does not go to ONNX (%s); torch runs it in float32", error)
    return _torch_run(module, bfloat16=backend.endswith("bf16"))


def _exported(module: nn.Module, example: Tensor, fingerprint: str) -> Path:
    path = cache_root() / "onnx" / f"{fingerprint[:32]}-{'x'.join(map(str, example.shape[1:]))}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _export(module, example, path)
    return path


def _export(module: nn.Module, example: Tensor, path: Path) -> None:
    """Write a network as ONNX: in a tenth of a second where its parts are known, else by torch's exporter."""
    parts = lite0s(module)
    if parts:
        write_onnx(parts, (example.shape[2], example.shape[3]), path)
        return
    export_onnx(module, example.contiguous(), path, output="features")


def lite0s(module: nn.Module) -> list[Lite0]:
    """The EfficientNet-Lite0s whose features, beside each other, are those of a module; none if it is another one."""
    if isinstance(module, Pooled):
        return [module.network] if isinstance(module.network, Lite0) else []
    parts = [lite0s(view) for view in getattr(module, "views", ())]
    return [network for part in parts for network in part] if all(parts) else []


def _torch_run(module: nn.Module, *, bfloat16: bool) -> Run:
    device = torch.device(current().device)
    network = copy.deepcopy(module).eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(batch: Tensor) -> Tensor:
        strict = contextlib.nullcontext() if bfloat16 else torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with torch.inference_mode(), strict, torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            return network(batch.to(device, non_blocking=True)).float().cpu()

    return run


def _onnx_run(path: Path) -> Run:
    session = onnx_session(path)
    feed = session.get_inputs()[0].name

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {feed: np.ascontiguousarray(batch.numpy())})[0])

    return run


def onnx_session(path: Path, library: Path | None = None) -> Any:
    """Open an ONNX file in onnxruntime with the threads in force and, if given, a library of operators."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(str(library))
    cuda = current().device.startswith("cuda")
    wanted = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    available = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(str(path), options, providers=[p for p in wanted if p in available])


def threads() -> int:
    """Threads of an encoder: what the runtime was told, else all that torch has (fits alone run with one)."""
    count = current().threads
    return count if count > 1 else torch.get_num_threads()


def streams(batches: int) -> tuple[int, int]:
    """How many batches run at once, and the threads of each.

    One thread each where there are batches enough: no thread then waits for another one, nor for one that decodes a
    picture. A single batch has all threads, and a GPU runs one batch at a time.
    """
    at_once = min(batches, threads(), MOST_AT_ONCE) if current().device == "cpu" else 1
    return max(1, at_once), max(1, threads() // max(1, at_once))


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, for the whole process; fresh pages cost more than the network computes.

    Forward pass of Lite0 at 224 pixels, channels last, 2 cores, one run of each, images/s without and with:
    float32 41 and 106, bfloat16 116 and 196. Does nothing without glibc or with ``UNSEEN_KEEP_MEMORY=0``.

    Returns
    -------
    bool
        Whether it was done.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # from malloc.h
    return tell_malloc({mmap_max: 0, trim_threshold: 2**31 - 1, top_pad: 64 << 20})


def prefetched(
    make: Callable[[Job], Done], jobs: Iterable[Job], workers: int | None = None, *, threads: int | None = None
) -> Generator[Done, None, None]:
    """Yield ``make(job)`` in order, while the next ones are made by `workers`, with so many threads of torch each."""
    workers = workers or min(4, os.cpu_count() or 1)
    before = torch.get_num_threads()

    def limited(job: Job) -> Done:
        with runtime(threads=threads):
            return make(job)

    start = None if threads is None else partial(torch.set_num_threads, threads)
    with ThreadPoolExecutor(workers, "unseen-encode", start) as pool:
        pending: deque[Future[Done]] = deque()
        try:
            for job in jobs:
                pending.append(pool.submit(contextvars.copy_context().run, limited, job))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            torch.set_num_threads(before)
            for future in pending:
                future.cancel()
