"""Weights of encoders on disk, their digests, and which networks answer alike on this processor."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from unseen.encoders.cache import cache_root, written

WEIGHTS = "weights.safetensors"
"""The file of a network inside a saved encoder."""


def save_state(module: nn.Module, folder: Path) -> None:
    """Write the state of a network as ``weights.safetensors``."""
    with written(folder / WEIGHTS) as temporary:
        save_model(module, str(temporary))


def load_state(module: nn.Module, folder: Path) -> None:
    """Read the state of a network from ``weights.safetensors``; every tensor must be there and fit."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"the saved encoder has no {WEIGHTS}")
    try:
        load_model(module, str(path), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{WEIGHTS} does not fit the encoder: {error}") from error


def digest_state(module: nn.Module) -> str:
    """SHA-256 of the parameters and buffers of a network, by name."""
    return digest_tensors(module.state_dict())


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        content: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(content)
    return digest.hexdigest()


def alike(network: nn.Module, key: tuple[Any, ...]) -> bool | None:
    """What an earlier process saw of small batches in a network of this form on this machine; None if nobody did."""
    try:
        return {"1": True, "0": False}.get(_place(network, key).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def remember_alike(network: nn.Module, key: tuple[Any, ...], value: bool) -> None:
    """Keep it for later processes, if the cache can be written."""
    with contextlib.suppress(OSError), written(_place(network, key)) as temporary:
        temporary.write_text(str(int(value)), encoding="utf-8")


def _place(network: nn.Module, key: tuple[Any, ...]) -> Path:
    """Kernels are chosen by shapes, processor and version: weights do not enter."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    spec = json.dumps([shapes, key, torch.__version__, torch.backends.cpu.get_cpu_capability(), processor()])
    return cache_root() / "batches" / hashlib.sha256(spec.encode()).hexdigest()[:32]


def processor() -> str:
    """Model of the processor; where the system names none, as Linux on ARM does not, its architecture."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
