"""EfficientNet-Lite0 without timm: the same state, the same bits, and a graph that onnxruntime runs."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unseen.encoders import backends
from unseen.encoders.states import digest_state
from unseen.encoders.views import Views
from unseen.encoders.vision import lean_lite0, lite0_network
from unseen.nn.classifier import Pooled
from unseen.nn.lite0 import FEATURES, Lite0, write_onnx


@pytest.fixture(scope="module")
def lean() -> Lite0:
    return lean_lite0()


@pytest.fixture(scope="module")
def timms() -> nn.Module:
    return lite0_network()


def noise(n: int = 2, height: int = 64, width: int = 64) -> torch.Tensor:
    made = torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(0))
    return made.contiguous(memory_format=torch.channels_last)


def test_the_state_is_that_of_timms_network(lean: Lite0, timms: nn.Module) -> None:
    assert digest_state(Pooled(lean)) == digest_state(Pooled(timms))


def test_a_network_is_made_of_a_state_without_symbolic_algebra() -> None:
    """`to_empty` imports SymPy: a quarter of the processor's seconds of a cold `unseen predict`."""
    script = (
        "import sys\nfrom unseen.nn.lite0 import Lite0, lite0\nstate = Lite0(3).state_dict()\nmade = lite0(state)\n"
        "assert all((made.state_dict()[name] == value).all() for name, value in state.items())\n"
        "state['classifier.bias'] += 1\nassert (made.classifier.bias != state['classifier.bias']).all()\n"
        "print('sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("size", [(64, 64), (65, 50)])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_features_and_scores_have_the_bits_of_timms_network(
    lean: Lite0, timms: nn.Module, size: tuple[int, int], bfloat16: bool
) -> None:
    x = noise(2, *size)
    one, other = (backends._torch_run(Pooled(network), bfloat16=bfloat16)(x) for network in (lean, timms))
    assert torch.equal(one, other)
    assert one.shape == (2, FEATURES)
    assert torch.equal(lean(x), timms(x))


def test_statistics_that_it_learns_have_the_bits_of_timms_network(lean: Lite0, timms: nn.Module) -> None:
    found = []
    for network in (lean, timms):
        copied = copy.deepcopy(network).train().to(memory_format=torch.channels_last)
        with torch.no_grad():
            copied.forward_features(noise(4))  # type: ignore[operator]
        found.append(digest_state(copied))
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [(64, 64), (65, 50)])
def test_the_graph_gives_features_of_every_network_picture_by_picture(
    lean: Lite0, size: tuple[int, int], tmp_path: Path
) -> None:
    other = copy.deepcopy(lean)
    other.bn1.running_mean += 0.5  # type: ignore[operator]
    both = Views(Pooled(lean), Pooled(other))
    assert backends.lite0s(both) == [lean, other]
    write_onnx(backends.lite0s(both), size, tmp_path / "x.onnx")
    run, x = backends.onnx_session(tmp_path / "x.onnx"), noise(8, *size).contiguous().numpy()
    (found,) = run.run(None, {"x": x})
    np.testing.assert_allclose(found, both(torch.from_numpy(x)), atol=1e-4)
    assert np.array_equal(run.run(None, {"x": x[:1]})[0], found[:1])  # few pictures may run alone


def test_other_networks_have_no_parts_that_are_known(timms: nn.Module) -> None:
    assert backends.lite0s(Pooled(timms)) == []
    assert backends.lite0s(nn.Flatten()) == []
    assert backends.lite0s(Views(Pooled(timms), Pooled(timms))) == []
