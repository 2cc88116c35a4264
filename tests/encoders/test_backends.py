"""Which backend runs, and what runs around it."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from unseen import runtime
from unseen.encoders import backends, get

from .conftest import pictures, tiny


@pytest.mark.parametrize(
    ("precision", "convolutional", "bfloat16", "expected"),
    [
        ("auto", True, True, "torch-bf16"),
        ("auto", False, True, "torch-bf16"),
        ("auto", True, False, "onnxruntime-fp32"),
        ("auto", False, False, "torch-fp32"),
        ("fp32", True, True, "torch-fp32"),
        ("bf16", True, False, "torch-bf16"),
    ],
)
def test_backend(monkeypatch, precision, convolutional, bfloat16, expected):
    monkeypatch.setattr(backends, "has_bfloat16", lambda: bfloat16)
    assert backends.choose(precision, convolutional=convolutional) == expected


@pytest.mark.parametrize("bfloat16", [True, False])
def test_lite0_runs_in_float32_by_onnxruntime_on_every_cpu(monkeypatch, bfloat16):
    """Not slower than bfloat16 where the processor has it, and the same features everywhere."""
    monkeypatch.setattr(backends, "has_bfloat16", lambda: bfloat16)
    encoder = get("efficientnet-lite0")
    assert encoder.backend("auto") == encoder.exactly().backend("fp32") == "onnxruntime-fp32"
    assert encoder.backend("bf16") == "torch-bf16"
    assert tiny(precision="auto").backend("auto") == ("torch-bf16" if bfloat16 else "onnxruntime-fp32")


def test_a_gpu_computes_in_bfloat16(monkeypatch):
    monkeypatch.setattr(backends, "has_bfloat16", lambda: False)
    monkeypatch.setattr(backends, "current", lambda: runtime.Runtime(device="cuda:0"))
    assert backends.choose("auto", convolutional=True) == "torch-bf16"
    assert backends.choose("fp32", convolutional=True) == "torch-fp32"


def test_onnxruntime_gives_the_reference_and_exports_once(own_cache, monkeypatch):
    monkeypatch.setattr(backends, "has_bfloat16", lambda: False)
    encoder = tiny(precision="auto")
    expected = encoder.encode(pictures(), precision="fp32", cache=False).x
    np.testing.assert_allclose(encoder.encode(pictures(), cache=False).x, expected, atol=1e-5)  # float32
    monkeypatch.setattr(backends, "export_onnx", None)
    np.testing.assert_allclose(tiny(precision="auto").encode(pictures(), cache=False).x, expected, atol=1e-5)


def test_what_does_not_go_to_onnx_runs_in_torch(own_cache, monkeypatch, caplog):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("operator without translation")

    monkeypatch.setattr(backends, "has_bfloat16", lambda: False)
    monkeypatch.setattr(backends, "export_onnx", fail)
    with caplog.at_level(logging.WARNING):
        features = tiny(precision="auto").encode(pictures(), cache=False).x
    assert np.array_equal(features, tiny().encode(pictures(), cache=False).x)
    assert "operator without translation" in caplog.text


def test_prefetched_keeps_the_order_and_works_ahead():
    ahead = threading.Event()

    def make(i: int) -> int:
        if i == 1:
            ahead.set()
        return i * i

    results = backends.prefetched(make, range(20), workers=2)
    assert next(results) == 0
    assert ahead.wait(5)
    assert list(results) == [i * i for i in range(1, 20)]


def test_prefetched_passes_errors_on_and_stops():
    made = []

    def make(i: int) -> int:
        time.sleep(0.001)
        if i == 3:
            raise KeyError(i)
        made.append(i)
        return i

    with pytest.raises(KeyError):
        list(backends.prefetched(make, range(1000), workers=2))
    assert len(made) < 20


def test_batches_share_the_threads_and_put_them_back(monkeypatch):
    before = torch.get_num_threads()
    with runtime.runtime(threads=6):
        assert backends.streams(1) == (1, 6)
        assert backends.streams(4) == (4, 1)
        assert backends.streams(100) == (6, 1)
        seen = list(
            backends.prefetched(lambda _: (torch.get_num_threads(), backends.threads()), range(9), 3, threads=2)
        )
    assert seen == [(2, 2)] * 9
    assert torch.get_num_threads() == before
    monkeypatch.setattr(backends, "current", lambda: runtime.Runtime(device="cuda:0", threads=6))
    assert backends.streams(100) == (1, 6)


def test_freed_memory_is_kept_only_if_wanted(monkeypatch):
    monkeypatch.setenv("UNSEEN_KEEP_MEMORY", "0")
    assert backends.keep_freed_memory.__wrapped__() is False


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="mallopt is glibc's")
def test_keeping_freed_memory_succeeds_with_glibc(monkeypatch):
    monkeypatch.delenv("UNSEEN_KEEP_MEMORY", raising=False)
    assert backends.keep_freed_memory.__wrapped__() is True


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="mallopt is glibc's")
@pytest.mark.parametrize("shared", [True, False])
def test_threads_share_one_heap_where_that_is_said_before_there_are_some(shared, tmp_path):
    program = """
import ctypes, sys, threading
from unseen.runtime import share_one_heap
if sys.argv[1] == "True":
    assert share_one_heap()
threads = [threading.Thread(target=lambda: [bytearray(1000) for _ in range(1000)]) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""
    environment = {key: value for key, value in os.environ.items() if key != "UNSEEN_KEEP_MEMORY"}
    order = [sys.executable, "-c", program, str(shared), str(tmp_path / "heaps.xml")]
    subprocess.run(order, check=True, env=environment)
    heaps = (tmp_path / "heaps.xml").read_text().count("<heap nr=")
    assert (heaps == 1) is shared


def test_bfloat16_runs_only_inside_the_backend():
    run = backends.prepare("torch-bf16", nn.Conv2d(3, 2, 1), torch.zeros(1, 3, 4, 4), "print")
    assert run(torch.zeros(1, 3, 4, 4)).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
