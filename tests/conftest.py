"""What every test shares: shape checks, one thread per worker, and the slowest fits of the contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `contract`, the checks that every method goes through

jaxtyping.install_import_hook(["unseen.nn", "unseen.methods"], "shapes.check")

import numpy as np  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

SECONDS: dict[str, float] = {}
"""Seconds of one fit by slug, filled by the contract test."""


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def _restore_random_states() -> Iterator[None]:
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
