"""Models that earlier versions saved load and predict as they did, wherever the code that made them has gone.

`tests/data/saved` was written by the version before jobs moved into rooms of their own, its model of clips by the one
that kept the encoder beside it; it is not written again.
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


def test_a_model_of_clips_that_kept_its_encoder_predicts_as_it_did_and_is_saved_without(tmp_path: Path) -> None:
    y = np.arange(4) % 2
    x = np.random.default_rng(3).integers(0, 90, (4, 6, 3, 8, 8)) + 80 * y[:, None, None, None, None]
    asked = Domain(x=x.astype(np.uint8), kind="clip", name="clips 3")
    bundle = Bundle.load(SAVED / "x-clip")
    p = bundle.predict_proba(asked)
    told = json.loads((SAVED / "clips.json").read_text())["x-clip"]
    np.testing.assert_allclose(p.numpy(), told, atol=1e-5)  # another processor may round otherwise
    bundle.save(tmp_path / "model", with_encoder=True)
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"bundle.json", "method"}
    again = Bundle.load(tmp_path / "model")
    assert torch.equal(again.predict_proba(asked), p)
    assert again.encoder is not None
    assert bundle.encoder is not None
    assert again.encoder.to_json() == bundle.encoder.to_json()
    with pytest.raises(ValueError, match=r"was saved without its network.*name the encoder"):
        again.encoder.encode(asked)
    again.save(tmp_path / "third")
    assert torch.equal(Bundle.load(tmp_path / "third").predict_proba(asked), p)
    about = json.loads((tmp_path / "third" / "bundle.json").read_text())
    for change, why in (({"whole": False}, "reads features"), ({"encoder": {"name": "frames:lite-clip"}}, "it lacks")):
        (tmp_path / "third" / "bundle.json").write_text(json.dumps(about | change))
        with pytest.raises(ValueError, match=why):
            Bundle.load(tmp_path / "third")
