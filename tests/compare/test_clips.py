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
from unseen.compare import fits
from unseen.compare.clips import with_whole_clips
from unseen.compare.inputs import Inputs, prepare
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.kept_frames import cache
from unseen.nn.state import digest
from unseen.report.explain import explained
from unseen.scale import Engine, processes
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
    assert Given({"source": True}, brought="image").why_not(methods.get("x-clip")) == "reads videos, not pictures"


def test_one_class_alone_cannot_be_explained(tmp_path: Path) -> None:
    settings = dict(methods.card("x-clip").smoke) | {"batch_size": 4}
    given = {"source": clips("ab", 0), "encoder": saved_towers(tmp_path), "refit": False}
    model = unseen.adapt(method="x-clip", settings=settings, **given)  # type: ignore[attr-defined]
    assert explained(model, clips("ab", 1, n=2))[0].by_frames
    model.method.adapt(classes=ClassSpace(names=("a",)))
    model.classes = ClassSpace(names=("a",))
    with pytest.raises(ValueError, match="must tell two classes apart"):
        explained(model, clips("ab", 1, n=2))


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    """Clips that x-clip and others learn from."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    given = {"source": clips("ab", 0), "target": clips("ab", 1), "encoder": saved_towers(tmp_path)}
    return with_whole_clips(prepare(**given, precision="fp32"), [methods.get("x-clip")()])  # type: ignore[arg-type]


CANDIDATES = (("source-only", "default"), ("x-clip", "zero-shot"))


@pytest.mark.parametrize(
    "engine",
    [Engine(workers=2), pytest.param(Engine(name="ray"), marks=pytest.mark.slow)],  # Ray alone takes half a minute
    ids=lambda engine: engine.name,
)
def test_whole_clips_reach_other_processes_and_give_the_bits_of_one(
    engine: Engine, ready: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.name == "ray":
        pytest.importorskip("ray", reason="no Ray; pip install 'unseen[scale]'")
    monkeypatch.setattr(processes, "ALONE", -1.0)
    one = fits.run_all(ready, CANDIDATES, 2, None, Engine(workers=1))
    ran, run = [], fits._run
    monkeypatch.setattr(fits, "_run", lambda inputs, jobs, *rest: ran.append(len(jobs)) or run(inputs, jobs, *rest))
    several = fits.run_all(ready, CANDIDATES, 2, None, engine)
    assert ran == [4, 0]  # nothing was left for this process alone
    for pair in CANDIDATES:
        for cell, other in zip(one[pair], several[pair], strict=True):
            assert {key for key in cell if digest(cell[key]) != digest(other[key])} <= {"seconds"}
    assert not [*cache().glob(".cut*")]


def test_clips_for_which_there_is_no_room_are_fitted_here(ready: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], int]] = []

    def never(inputs: Any, jobs: Any, folder: Any, where: Engine, spare: bool) -> Any:
        ran.append(([pairs[0][0] for _, pairs in jobs], where.workers))
        return iter([[{}]] * len(jobs))

    monkeypatch.setattr(fits, "_run", never)
    fits.run_all(ready, CANDIDATES, 1, None, Engine(workers=2))
    monkeypatch.setattr("unseen.encoders.whole_clips.FILE_ROOM", 1000)
    fits.run_all(ready, CANDIDATES, 1, None, Engine(workers=2))
    assert ran == [(["x-clip", "source-only"], 2), ([], 1), (["source-only"], 2), (["x-clip"], 1)]


def test_nothing_is_cut_for_others_where_all_was_fitted_before(
    ready: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("no clip should be cut")

    monkeypatch.setattr(fits, "for_other_processes", never)
    monkeypatch.setattr(fits, "_run", lambda inputs, jobs, *rest: iter([[{}]] * len(jobs)))
    (tmp_path / "cells" / "x-clip-zero-shot-seed0").mkdir(parents=True)
    fits.run_all(ready, CANDIDATES, 1, tmp_path, Engine(workers=2))
    with pytest.raises(AssertionError, match="no clip"):
        fits.run_all(ready, CANDIDATES, 2, tmp_path, Engine(workers=2))


def test_how_long_a_fit_on_clips_takes_is_told_before_it_by_its_steps_and_the_side_of_frames(tmp_path: Path) -> None:
    said: list[str] = []
    settings = dict(methods.card("cdfsl-v").smoke) | {"batch_size": 4, "side": 12, "epochs": 2}
    given = {"source": clips("ab", 0), "support": clips("ab", 2, n=4), "target": clips("ab", 1), "say": said.append}
    model = unseen.adapt(method="cdfsl-v", settings=settings, encoder=saved_towers(tmp_path), **given)  # type: ignore[attr-defined]
    assert model.method.encoder_.size == (12, 12)
    assert "cdfsl-v takes under a second on one core, in two fits: refit=False spares one" in said
    x = np.zeros((30, 16, 3, 224, 224), np.uint8)
    words = {word: Domain(x=x, kind="clip") for word in ("source", "target")}
    whole, small = ({**methods.card("cdfsl-v").presets["small"], "side": side} for side in (None, 32))
    times = [methods.get("cdfsl-v")(**setting).expected_seconds(words) for setting in (whole, small)]
    assert times[0] > 3000
    assert times[1] < 60  # 67 minutes were seen of the first


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"depth": 3}, "depth must be at most the tower's 2 layers; got 3"), ({"frames": 65}, "at most 64; got 65")],
)
def test_settings_that_the_tower_cannot_have_are_refused_before_a_frame_is_read(
    settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    said: list[str] = []
    given: dict[str, Any] = {"source": clips("ab", 0), "encoder": saved_towers(tmp_path), "say": said.append}
    with pytest.raises(ValueError, match=f"method: mug-stan cannot run here: .*{told}"):
        unseen.adapt(method="mug-stan", settings=settings, **given)  # type: ignore[attr-defined]
    assert not said
