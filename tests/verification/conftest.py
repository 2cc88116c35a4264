"""Models and samples whose answers are known, and a data folder of their own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import SourceOnly

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")


def features(n: int = 140, seed: int = 0) -> Domain:
    """Samples of seven classes that are easy to tell apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % len(NAMES)
    x = (6 * np.eye(8)[y] + rng.standard_normal((n, 8))).astype(np.float32)
    return Domain(x=x, y=y, classes=ClassSpace(names=NAMES), name="zoo")


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


@pytest.fixture
def zoo() -> SimpleNamespace:
    source, target = features(), features(seed=1)
    model = Bundle(method=SourceOnly().fit(source=source), classes=source.classes)
    return SimpleNamespace(source=source, target=target, model=model)
