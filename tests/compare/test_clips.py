"""Candidates that learn from clips themselves: what reaches their fits, and what they are said to need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unseen
from small_towers import saved_towers
from unseen import methods
from unseen.catalogue import BY_NAME, Given
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.report.explain import explained
from videos import write_video


def clips(names: str, seed: int, n: int = 12) -> Domain:
    """Noise whose brightness tells the class."""
    y = np.arange(n) % len(names)
    x = np.random.default_rng(seed).integers(0, 90, (n, 6, 3, 8, 8)) + 80 * y[:, None, None, None, None]
    return Domain(x=x.astype(np.uint8), y=y, kind="clip", classes=ClassSpace(names=tuple(names)), name=f"clips {seed}")


def fitted(encoder: str, target: Domain) -> Any:
    settings = dict(methods.card("cdfsl-v").smoke) | {"batch_size": 4, "pretrain_batch_size": 8}
    given = {"source": clips("ab", 0), "support": clips("ab", 2, n=4), "target": target}
    return unseen.adapt(method="cdfsl-v", settings=settings, encoder=encoder, **given)  # type: ignore[attr-defined]


def test_sealed_labels_reach_no_fit_on_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    encoder, target = saved_towers(tmp_path), clips("ab", 1)
    asked = clips("ab", 3)
    own, other = (fitted(encoder, target.replace(y=y)) for y in (target.labels, 1 - target.labels))
    none = fitted(encoder, target.unlabeled())
    assert own.whole
    assert torch.equal(own.scores(asked), other.scores(asked))
    assert torch.equal(own.scores(asked), none.scores(asked))


def test_a_preset_of_many_frames_reads_as_many_and_so_does_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    for i in range(4):
        write_video(tmp_path / "gym" / "ab"[i % 2] / f"{i}.mp4", 40 + i, rate=10)
    settings = dict(methods.card("x-clip").smoke) | {"batch_size": 4, "frames": 20}
    given: dict[str, Any] = {"source": tmp_path / "gym", "encoder": saved_towers(tmp_path), "refit": False}
    model = unseen.adapt(method="x-clip", settings=settings, **given)  # type: ignore[attr-defined]
    clips_ = unseen.load(tmp_path / "gym")  # type: ignore[attr-defined]
    assert len(clips_.x[0]) == 16
    assert len(model.features(clips_).x[0]) == 20


def test_what_fits_clips_by_name_alone_is_told_so() -> None:
    features = Given({"source": True, "target": True}, brought="clip")
    assert features.why_not(methods.get("x-clip")) == BY_NAME
    assert "reads clip" in str(Given({"source": True}, brought="image").why_not(methods.get("x-clip")))


def test_one_class_alone_cannot_be_explained(tmp_path: Path) -> None:
    settings = dict(methods.card("x-clip").smoke) | {"batch_size": 4}
    given = {"source": clips("ab", 0), "encoder": saved_towers(tmp_path), "refit": False}
    model = unseen.adapt(method="x-clip", settings=settings, **given)  # type: ignore[attr-defined]
    assert explained(model, clips("ab", 1, n=2))[0].by_frames
    model.method.adapt(classes=ClassSpace(names=("a",)))
    model.classes = ClassSpace(names=("a",))
    with pytest.raises(ValueError, match="must tell two classes apart"):
        explained(model, clips("ab", 1, n=2))
