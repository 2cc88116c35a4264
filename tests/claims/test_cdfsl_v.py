"""CDFSL-V's claim: its two domains share nothing, its arms are what they are called."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from unseen.claims import cdfsl_v, sprite_worlds
from unseen.claims.cdfsl_v import LEDGER, claim
from unseen.claims.motion_worlds import Things
from unseen.claims.sprite_worlds import CLASSES, FRAMES, LOOKS, SIDE, SOURCE, TARGET, clips, outside, paths
from unseen.data.domain import Domain

CASE = "development noto"


@pytest.fixture(autouse=True)
def drawings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(12):
        picture = np.full((16, 16, 3), 255, dtype=np.uint8)
        picture[4:12, 4:12] = rng.integers(0, 200, (8, 8, 3))
        pictures.append(picture)
    own = Things(tuple(pictures), tuple(f"thing {i}" for i in range(12)), np.arange(12) % 3 == 0)
    monkeypatch.setattr(sprite_worlds, "things", lambda vendor, split: own)
    sprite_worlds.emoji_sprites.cache_clear()
    yield
    sprite_worlds.emoji_sprites.cache_clear()


def test_the_domains_share_no_motion_and_one_list_of_classes() -> None:
    assert not set(SOURCE) & set(TARGET)
    source, target = (clips(CASE, which, 2, 0) for which in ("source", "target"))
    assert source.classes == target.classes == CLASSES
    assert set(source.labels) == set(range(8))
    assert set(target.labels) == set(range(8, 18))
    assert source.x.shape == (16, FRAMES, 3, SIDE, SIDE)
    assert np.abs(target.x).max() <= 1


def test_what_is_asked_about_stands_in_no_other_clip() -> None:
    known, asked = (sprite_worlds.emoji_sprites(CASE, which) for which in (False, True))
    assert len(known) == 8
    assert len(asked) == 4
    assert not any(torch.equal(a, b) for a in known for b in asked)
    assert not set(clips(CASE, "target", 1, 0).digests()) & set(clips(CASE, "target", 1, 0, asked=True).digests())


def test_one_seed_draws_the_same_clips_and_another_others() -> None:
    first, again, other = (clips(CASE, "source", 1, seed).fingerprint() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("motion", [*SOURCE, *TARGET])
def test_things_stay_in_the_picture_and_two_are_where_two_are_named(motion: str) -> None:
    look = LOOKS["source" if motion in SOURCE else "target"]
    for seed in range(30):
        found = paths(motion, np.random.default_rng(seed), look)
        assert len(found) == (2 if motion.startswith("two") else 1)
        for path in found:
            assert path.shape == (FRAMES, 5)
            assert path[:, :2].abs().max() <= 1.01
            assert path[:, 2].min() > 0.1


def test_motions_are_what_they_are_called() -> None:
    def steps(motion: str, which: str, seed: int = 3) -> torch.Tensor:
        return paths(motion, np.random.default_rng(seed), LOOKS[which])[0].diff(dim=0)

    assert (steps("moving right", "source")[:, 0] > 0).all()
    assert (steps("moving up", "source")[:, 1] < 0).all()
    assert (steps("growing", "source")[:, 2] > 0).all()
    assert (steps("to the upper left", "target")[:, :2] < 0).all()
    place = paths("spiralling in", np.random.default_rng(1), LOOKS["target"])[0][:, :2].norm(dim=1)
    assert (place.diff() < 0).all()
    first, second = paths("two leaving", np.random.default_rng(1), LOOKS["target"])
    assert ((first - second)[:, :2].norm(dim=1).diff() > 0).all()
    still = steps("stopping and going", "target")[:, :2].norm(dim=1)
    assert still.min() < 1e-6 < still.max()
    with pytest.raises(ValueError, match="motion must be one of"):
        paths("sleeping", np.random.default_rng(0), LOOKS["source"])


def test_the_white_around_a_thing_is_not_of_it_and_the_white_within_is() -> None:
    picture = torch.ones(1, 3, 9, 9)
    picture[:, :, 2:7, 2:7] = 0
    picture[:, :, 4, 4] = 1
    alpha = outside(picture)[0, 0]
    assert alpha.sum() == 25
    assert alpha[4, 4] == 1


def test_episodes_are_the_same_for_every_arm_and_what_tells_all_names_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdfsl_v, "EPISODES", 8)
    y = np.repeat(np.arange(8, 14), 40)
    novel = Domain(x=np.zeros((240, 1)), y=y, classes=CLASSES)
    sure = torch.nn.functional.one_hot(torch.as_tensor(y)).float() * 9
    table = cdfsl_v.graded({"sure": sure, "again": sure, "nothing": torch.zeros(240, 3)}, novel, 0)
    assert table["sure"] == table["again"]
    assert table["sure"]["5 shot"] == table["sure"]["1 shot"] == 1
    assert table["nothing"]["5 shot"] == pytest.approx(0.2)


def test_every_arm_gives_what_the_ledger_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ASKED": 10, "MAE_STEPS": 1, "EPOCHS": 1, "EPISODES": 2}.items():
        monkeypatch.setattr(cdfsl_v, name, value)
    # the defaults of its arguments are those of the module when it was imported
    few = functools.partial(cdfsl_v.World, learnt=3, unlabelled=3, asked=10)
    monkeypatch.setattr(cdfsl_v, "World", few)
    monkeypatch.setattr(cdfsl_v, "SETTINGS", {**cdfsl_v.SETTINGS, "width": 16, "layers": 1, "mlp": 16})
    table = cdfsl_v.run(CASE, 0)
    for assertion in LEDGER:
        if assertion.holds is not None:
            for arm in assertion.holds.arms:
                assert math.isfinite(table[arm][assertion.holds.metric])
    assert table["pixels"].keys() == {"1 shot", "5 shot", "1 shot, half of 95 %", "5 shot, half of 95 %"}


def test_splits_share_neither_vendor_nor_photograph_nor_digit() -> None:
    experiment = claim.experiments["sprites"]
    assert not set(experiment.development) & set(experiment.confirmation)
    known, fresh = (sprite_worlds.digit_sprites(split) for split in ("development", "confirmation"))
    assert len({tuple(x.flatten().tolist()) for x in known[:50]} & {tuple(x.flatten().tolist()) for x in fresh}) == 0
