"""What bfloat16 rounds off is said where a model is carried away in float32."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from unseen.bundle import Bundle
from unseen.data.domain import Domain
from unseen.encoders import backends
from unseen.serving.rounding import SAMPLES, bfloat16_difference


def of_precision(model: Bundle, precision: Any) -> Bundle:
    assert model.encoder is not None
    encoder = copy.copy(model.encoder)
    encoder.precision = precision
    return dataclasses.replace(model, encoder=encoder)


def test_the_difference_is_that_of_two_predictions_and_none_in_float32(pictures: Bundle) -> None:
    assert bfloat16_difference(of_precision(pictures, "fp32")) is None
    rounded = of_precision(pictures, "bf16")
    difference = bfloat16_difference(rounded)
    assert difference is not None
    rng = np.random.default_rng(0)
    x: Any = [
        np.kron(
            rng.integers(256, size=(side, side, 3), dtype=np.uint8), np.ones((256 // side, 256 // side, 1), np.uint8)
        )
        for side in (2 ** (1 + k % 5) for k in range(SAMPLES))
    ]
    samples = Domain(x=x, kind="image", name="x")
    here, there = (of_precision(pictures, which).predict_proba(samples) for which in ("bf16", "fp32"))
    assert difference == pytest.approx(float((here - there).abs().max()), abs=1e-6)


def test_auto_says_it_only_where_the_processor_computes_in_bfloat16(
    pictures: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = of_precision(pictures, "auto")
    monkeypatch.setattr(backends, "has_bfloat16", lambda: True)
    assert bfloat16_difference(usual) is not None
    monkeypatch.setattr(backends, "has_bfloat16", lambda: False)
    assert bfloat16_difference(usual) is None


def test_a_model_without_an_encoder_rounds_nothing(vectors: Bundle) -> None:
    assert bfloat16_difference(vectors) is None


def test_export_says_it_in_a_line(
    pictures: Bundle, tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.cli import carry

    monkeypatch.setattr(Bundle, "export", lambda _, file: 1e-6 * file.write_bytes(b"1"))
    monkeypatch.setattr(carry, "open_bundle", lambda *_: of_precision(pictures, "bf16"))
    carry.export(tmp_path / "m", out=tmp_path / "m.onnx")
    said = "".join(capsys.readouterr())
    assert f"on {SAMPLES} meaningless samples; a model that is saved with --precision fp32 has none of it" in said
    monkeypatch.setattr(carry, "open_bundle", lambda *_: of_precision(pictures, "fp32"))
    carry.export(tmp_path / "m", out=tmp_path / "m.onnx")
    assert "bfloat16" not in "".join(capsys.readouterr())
