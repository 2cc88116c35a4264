"""MINIMA: who gets which modality, what labels say after it, and that a few steps learn."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("cv2", reason="the engine needs OpenCV")

import processes
from unseen.data.simulate import modalities
from unseen.data.simulate.modalities import luma, register_modality
from unseen.methods.matching.matcher import PairMatcher
from unseen.methods.matching.minima import MINIMA
from unseen.methods.matching.minima.sampling import (
    Draw,
    Photographs,
    Sampler,
    batches_of,
    read_pairs,
)
from unseen.methods.matching.needs import scene, scene_pairs, scenes, small_matcher
from unseen.nn.matchers import mutual_nearest, sparse_matcher
from unseen.nn.xfeat import xfeat

SRC = Path(__file__).resolve().parents[3] / "src"
SMOKE = MINIMA.card.smoke
PICTURES = [scene(k, 120) for k in range(3)]


def test_each_modality_is_drawn_alike_and_either_side_half_of_the_time() -> None:
    sampler, rng = Sampler(("visible", "event", "sketch", "normal")), np.random.default_rng(0)
    draws = [sampler.draw(rng) for _ in range(4000)]
    told = Counter(draw.told for draw in draws)
    for name in sampler.modalities:
        assert told[name] / 4000 == pytest.approx(0.25, abs=0.03)
    changed = [draw for draw in draws if draw.told != "visible"]
    assert np.mean([draw.first != "visible" for draw in changed]) == pytest.approx(0.5, abs=0.03)


def test_the_other_side_is_always_the_untouched_photograph() -> None:
    sampler, rng = Sampler(("event", "sketch")), np.random.default_rng(0)
    assert all(draw.count("visible") == 1 for draw in (sampler.draw(rng) for _ in range(200)))
    anything = Sampler(("event", "sketch"), "any-any")
    assert {anything.draw(rng) for _ in range(200)} == {
        Draw(one, other) for one in ("event", "sketch") for other in ("event", "sketch")
    }


def test_a_modality_that_is_held_out_never_appears_and_weights_are_kept() -> None:
    sampler = Sampler(("visible", "event", "sketch"), weights=(1, 3, 0))
    told = Counter(sampler.draw(rng).told for rng in [np.random.default_rng(1)] for _ in range(2000))
    assert set(told) == {"visible", "event"}
    assert told["event"] / told["visible"] == pytest.approx(3, rel=0.2)


def test_with_visible_alone_the_pairs_are_those_of_the_photographs() -> None:
    pool, rng = Photographs(PICTURES, warp=0.0, turn=0.0), np.random.default_rng(3)
    first, second, points = pool.cut(1, Draw("visible", "visible"), 64, rng)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(points[:, :2], points[:, 2:], atol=1e-9)


@pytest.mark.parametrize("name", ["event", "infrared", "sketch"])
def test_correspondences_do_not_change_with_the_modality(name: str) -> None:
    pool = Photographs(PICTURES, warp=0.15, turn=10.0)
    cuts = [pool.cut(0, Draw("visible", told), 64, np.random.default_rng(5)) for told in ("visible", name)]
    # what a modality draws is drawn from a number of the sampler, so that what follows is the same
    np.testing.assert_array_equal(cuts[0][2], cuts[1][2])
    np.testing.assert_array_equal(cuts[0][0], cuts[1][0])
    assert not np.array_equal(cuts[0][1], cuts[1][1])


def test_a_point_of_the_first_crop_looks_alike_where_its_label_says_it_is_in_the_second() -> None:
    pool = Photographs([np.repeat(np.repeat(p, 3, axis=0), 3, axis=1) for p in PICTURES], warp=0.1, turn=5.0)
    first, second, points = pool.cut(2, Draw("visible", "visible"), 96, np.random.default_rng(0))
    x, y, u, v = np.rint(points).astype(int).T
    assert np.corrcoef(luma(first)[y, x], luma(second)[v, u])[0, 1] > 0.8
    assert ((points >= 0) & (points <= 95)).all()


def test_posed_pairs_are_cut_around_a_match_and_each_side_is_rendered_from_its_own() -> None:
    posed = read_pairs(scene_pairs(2, 4))
    first, second, points = posed.cut(1, Draw("visible", "negative"), 48, np.random.default_rng(2))
    assert len(points)
    assert ((points >= 0) & (points <= 47)).all()
    x, y, u, v = points.astype(int).T
    np.testing.assert_array_equal(first[y, x], 255 - second[v, u])


def test_each_picture_stands_twice_in_a_pass() -> None:
    seen: list[int] = []

    class Pool:
        def __len__(self) -> int:
            return 5

        def cut(self, i: int, draw: Draw, side: int, rng: np.random.Generator) -> tuple:
            seen.append(i)
            return PICTURES[0][:side, :side], PICTURES[0][:side, :side], np.ones((3, 4))

    stream = batches_of(Pool(), Sampler(("visible",)), np.random.default_rng(0), side=64, batch_size=5, points=8)
    batch = next(stream)
    next(stream)
    assert Counter(seen) == dict.fromkeys(range(5), 2)
    assert batch.known.sum(dim=1).tolist() == [3] * 5


def test_pictures_of_which_no_crop_holds_a_point_are_named() -> None:
    class Pool:
        def __len__(self) -> int:
            return 2

        def cut(self, i: int, draw: Draw, side: int, rng: np.random.Generator) -> tuple:
            return PICTURES[0], PICTURES[0], np.zeros((0, 4))

    with pytest.raises(ValueError, match="hardly any crop of 64 pixels holds a point"):
        next(batches_of(Pool(), Sampler(("visible",)), np.random.default_rng(0), side=64, batch_size=2, points=8))


def test_validation_pairs_are_visible() -> None:
    pool = Photographs(PICTURES, warp=0.1, turn=0.0)
    stream = batches_of(
        pool, Sampler(("event",)), np.random.default_rng(0), side=64, batch_size=4, points=8, visible=True
    )
    assert set(next(stream).names) == {"visible"}


def test_a_few_steps_lower_the_loss_and_change_only_what_describes() -> None:
    model = small_matcher()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    method = MINIMA(**{**SMOKE, "steps": 60, "modalities": ("visible",), "learning_rate": 2e-3, "batch_size": 3}).fit(
        source=scenes("photographs", 6, 3), model=model
    )
    losses = method.losses_["visible"]
    assert losses[-1] < losses[0]
    after = method.network_.state_dict()
    heads = [key for key in before if "heatmap_head" in key or "keypoint_head" in key]
    statistics = [key for key in before if "running" in key or "num_batches" in key]
    for key in (*heads, *statistics):
        assert torch.equal(before[key], after[key]), key
    assert not torch.equal(before["features.block3.0.layer.0.weight"], after["features.block3.0.layer.0.weight"])
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())


def test_losses_are_told_for_each_modality() -> None:
    method = MINIMA(**{**SMOKE, "steps": 6, "modalities": ("visible", "event")}).fit(
        source=scenes("photographs", 3, 3), model=small_matcher()
    )
    assert set(method.losses_) == {"visible", "event"}


def test_the_best_moment_on_held_out_photographs_is_kept() -> None:
    method = MINIMA(**{**SMOKE, "validation": 0.34}).fit(source=scenes("photographs", 3, 3), model=small_matcher())
    assert len(method.losses_)
    assert method.match(scene_pairs(1, 1))[0].shape[1] == 4


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"modalities": ()}, "modalities must hold at least one"),
        ({"modalities": ("visible", "sonar")}, "'sonar'"),
        ({"weights": (1.0,)}, "weights must be 6 numbers"),
        ({"weights": (0.0,) * 6}, "not all 0"),
        ({"side": 100}, "side must be a multiple of 32"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MINIMA(**{**SMOKE, **settings}).fit(source=scenes("photographs", 3, 3), model=small_matcher())


def test_a_modality_that_moves_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "_MODALITIES", dict(modalities._MODALITIES))
    register_modality("mirror", lambda picture, rng: picture[:, ::-1], aligned=False)
    with pytest.raises(ValueError, match="'mirror' does not"):
        MINIMA(**{**SMOKE, "modalities": ("mirror",)}).fit(source=scenes("photographs", 3, 3), model=small_matcher())


def test_what_cannot_be_tuned_and_pairs_without_matches_are_named() -> None:
    fixed = sparse_matcher(xfeat(64, 0.0), mutual_nearest())
    for model in (fixed, nn.Linear(2, 2)):
        with pytest.raises(TypeError, match="model must be a matcher that can be tuned"):
            MINIMA(**SMOKE).fit(source=scenes("photographs", 3, 3), model=model)
    with pytest.raises(TypeError, match="model must be a matcher"):
        PairMatcher().fit(model=nn.Linear(2, 2))
    pairs = scene_pairs(2, 1)
    with pytest.raises(ValueError, match="must have the column matches"):
        MINIMA(**SMOKE).fit(pairs=pairs.replace(columns={}), model=small_matcher())
    far = np.empty(2, dtype=object)
    far[0] = far[1] = np.full((3, 4), 1e6)
    with pytest.raises(ValueError, match="pair 0: none lies in both"):
        MINIMA(**SMOKE).fit(pairs=pairs.replace(columns={"matches": far}), model=small_matcher())


def test_a_tuned_matcher_is_loaded_in_a_fresh_process_and_finds_the_same(tmp_path: Path) -> None:
    method = MINIMA(**SMOKE).fit(source=scenes("photographs", 3, 3), model=small_matcher())
    method.save(tmp_path / "m")
    code = (
        "import sys; from unseen.methods import get; from unseen.methods.matching.needs import scene_pairs; "
        "print(get('minima').load(sys.argv[1]).match(scene_pairs(1, 1))[0].tolist())"
    )
    found = processes.run(
        [sys.executable, "-c", code, str(tmp_path / "m")], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    np.testing.assert_allclose(json.loads(found.stdout), method.match(scene_pairs(1, 1))[0], atol=1e-3)
