"""Models that earlier versions saved load and predict as they did, wherever the code that made them has gone.

`tests/data/saved` was written by the version before jobs moved into rooms of their own; it is not written again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.bundle import Bundle
from unseen.data.domain import Domain
from unseen.jobs.mapping.job import Mapper

SAVED = Path(__file__).parent / "data" / "saved"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return json.loads((SAVED / "predictions.json").read_text())


def test_an_adapted_model_predicts_as_it_did(told: dict[str, Any]) -> None:
    bundle = Bundle.load(SAVED / "coral")
    assert bundle.classes.names == ("cat", "dog", "owl")
    assert (bundle.temperature, bundle.threshold, bundle.credits) == (1.25, 0.9, ("the cats",))
    p = bundle.predict_proba(Domain(x=np.array(told["x"], dtype=np.float32)))
    np.testing.assert_allclose(p.numpy(), told["coral"], atol=1e-6)  # another processor may round otherwise


def test_a_quantized_model_predicts_as_it_did(told: dict[str, Any]) -> None:
    bundle = Bundle.load(SAVED / "quantized")
    batch = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    p = torch.softmax(bundle.method.decision_function(batch), dim=1)
    np.testing.assert_allclose(p.numpy(), told["quantized"], atol=0.02)  # a rounding may flip on another processor


def test_a_mapper_maps_as_it_did(told: dict[str, Any]) -> None:
    table = Mapper.load(SAVED / "mapper").map(["a white owl", "koi"], k=2)
    rows = table[["phrase", "rank", "node", "score"]].to_dict("records")
    assert [row["node"] for row in rows] == [row["node"] for row in told["mapper"]]
    np.testing.assert_allclose(table.score, [row["score"] for row in told["mapper"]], atol=1e-3)
