"""X-CLIP's claim: its worlds keep apart what is asked about, its arms are what they are called."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from unseen.claims import motion_worlds, x_clip
from unseen.claims.motion_worlds import (
    FRAMES,
    SHOWN,
    SIDE,
    Things,
    distinct,
    gated,
    graded,
    logistic,
    of_motions,
    of_pairs,
    placed,
)
from unseen.claims.x_clip import BATCH, LEDGER, OFF, STEPS, claim, flops, named
from unseen.data.classes import ClassSpace
from unseen.data.segments import segment_index
from unseen.methods.video.needs import small_frame_towers


@pytest.fixture
def own() -> Things:
    rng = np.random.default_rng(0)
    pictures = tuple(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(12))
    return Things(pictures, tuple(f"thing {i}" for i in range(12)), np.arange(12) % 3 == 0)


def test_things_that_are_asked_about_are_in_no_clip_that_is_learnt_from(own: Things) -> None:
    source, asked = (of_motions(own, 3, 0, asked=which) for which in (False, True))
    assert not set(source.columns["thing"]) & set(asked.columns["thing"])
    assert not set(source.digests()) & set(asked.digests())
    assert np.bincount(source.labels).tolist() == [3] * 10
    assert np.asarray(source.x).shape == (30, SHOWN, 3, SIDE, SIDE)


def test_each_clip_that_is_asked_about_has_its_reverse_beside_it(own: Things) -> None:
    names = ClassSpace(names=tuple(f"{i} {m}" for i in range(2) for m in range(10)))
    for asked in (of_motions(own, 3, 0, asked=True), of_pairs(own, [4, 7], [(0, 2), (1, 8)], 3, 5, names, twins=True)):
        x, half = torch.as_tensor(np.asarray(asked.x)), len(asked) // 2
        assert torch.equal(x[:half].flip(1), x[half:])
        assert (asked.labels[:half] ^ 1).tolist() == asked.labels[half:].tolist()
        assert asked.columns["thing"][:half].tolist() == asked.columns["thing"][half:].tolist()
    source = of_motions(own, 3, 0, asked=False)
    x = torch.as_tensor(np.asarray(source.x))
    assert not any(torch.equal(a.flip(0), b) for i, a in enumerate(x) for b in x[:i])


def test_things_that_look_like_one_before_them_are_left_out() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(2))
    near = np.clip(a.astype(int) + 3, 0, 255).astype(np.uint8)
    assert distinct([a, b, near, b, a[:, ::-1]]) == [0, 1, 4]


def test_few_clips_are_learnt_from_for_as_many_steps_as_many(own: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    class Told:
        def __init__(self, **settings: Any) -> None:
            self.epochs = settings["epochs"]

        def fit(self, source: Any, model: Any) -> Any:
            seen[len(source)] = self.epochs * max(1, len(source) // BATCH)
            return self

    monkeypatch.setattr(x_clip, "XCLIP", Told)
    for each in (x_clip.FEW, 8, x_clip.MANY):
        x_clip.fitted(of_motions(own, each, 0, asked=False), None, 0)
    assert seen == {20: STEPS, 80: STEPS, 640: STEPS}


def test_seeds_draw_other_clips_and_one_seed_the_same(own: Things) -> None:
    first, again, other = (of_motions(own, 1, seed, asked=False).fingerprint() for seed in (0, 0, 1))
    assert first == again != other


def test_a_pair_of_thing_and_motion_has_a_name_of_both(own: Things) -> None:
    names = ClassSpace(names=tuple(f"{i} {m}" for i in range(2) for m in range(10)))
    clips = of_pairs(own, [4, 7], [(0, 3), (1, 9)], 2, 5, names)
    assert [names.names[k] for k in clips.labels] == ["0 3", "0 3", "1 9", "1 9"]


def test_pairs_are_graded_against_their_reverse_alone() -> None:
    y = np.arange(10)
    assert graded(np.eye(10), y) == {"accuracy": 1, "pair": 1}
    assert graded(np.eye(10)[y ^ 1], y) == {"accuracy": 0, "pair": 0}
    assert graded(np.zeros((10, 10)), y)["pair"] == 0.5


def test_the_simple_arms_learn_what_is_plain_to_see() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (rng.normal(size=(60, 4, 5)) + 2 * np.eye(5)[y][:, None]).astype(np.float32)
    wide = x.reshape(60, -1)
    for scores in (logistic(wide, y)(wide), gated(x, y, 0, steps=60)(x), placed(x, y, 0, steps=60)(x)):
        assert (scores.argmax(axis=1) == y).mean() > 0.9


def test_the_frames_that_are_looked_at_are_those_of_the_reverse() -> None:
    looked_at = segment_index(SHOWN, FRAMES)
    assert looked_at.tolist() == (SHOWN - 1 - looked_at).flip(0).tolist()


def test_positions_see_order_on_vectors_that_never_change() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4, 5)).astype(np.float32)
    x[:, :, 0] = 2 * np.linspace(-1, 1, 4)
    x[60:] = x[:60, ::-1]
    y = np.arange(120) // 60
    assert (placed(x, y, 0, steps=100)(x).argmax(axis=1) == y).mean() > 0.9


def test_the_mean_of_frames_cannot_tell_a_motion_from_its_reverse(own: Things) -> None:
    torch.manual_seed(0)
    source = of_motions(own, 2, 0, asked=False)
    reversed_ = source.replace(x=torch.as_tensor(np.asarray(source.x)).flip(1))
    method = x_clip.fitted(source, small_frame_towers(side=SIDE), 0, **OFF["mean pooled"], epochs=1)
    forth, back = (method.decision_function(part) for part in (source, reversed_))
    assert torch.allclose(forth, back, atol=1e-3)


def test_messages_cost_what_is_counted_by_hand() -> None:
    towers = small_frame_towers(side=SIDE)
    w, n, t = 8, 1 + (SIDE // 4) ** 2, FRAMES
    message = 2 * t * w * w + 2 * t * 4 * w * w + 4 * t * t * w  # its line, those of its attention, scores and sums
    token = t * (2 * 4 * w * w + 4 * w * ((n + 1) ** 2 - n**2))  # one more for the attention of each frame
    assert flops(towers) - flops(towers, cross_frame=False) == 2 * (message + token)


def test_the_thing_and_the_motion_of_a_name_are_graded_apart() -> None:
    new = np.array([3, 14, 23])
    scores = np.array([[0.0, 1, 0], [0, 1, 0], [1, 0, 0]])
    assert named(scores, new, np.array([3, 14, 23])) == pytest.approx(
        {"accuracy": 1 / 3, "thing": 1 / 3, "motion": 2 / 3}
    )


def test_every_experiment_gives_what_its_rows_ask_for(own: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_worlds, "world", lambda case: own)
    monkeypatch.setattr(motion_worlds, "towers", lambda case: small_frame_towers(side=SIDE))
    monkeypatch.setattr(x_clip, "learnt", functools.cache(x_clip.learnt.__wrapped__))
    for name, value in {"STEPS": 2, "ASKED": 1, "MANY": 3, "OBJECTS": 2, "EACH": 2}.items():
        monkeypatch.setattr(x_clip, name, value)
    for name in ("gated", "placed"):
        monkeypatch.setattr(motion_worlds, name, functools.partial(getattr(motion_worlds, name), steps=2))
    rows: list[Any] = []
    for name in claim.experiments:
        rows += claim.cell(name, "development noto", 0)
    import pandas as pd

    table = pd.DataFrame(rows)
    judged = dict(claim.judge(table))
    for assertion in LEDGER:
        if assertion.holds is not None:
            assert judged[assertion] is not None, assertion.text
    assert np.isfinite(table.value).all()


def test_the_vendors_of_the_confirmation_are_none_of_development() -> None:
    for experiment in claim.experiments.values():
        vendors = [{case.split()[1] for case in split} for split in (experiment.development, experiment.confirmation)]
        assert not vendors[0] & vendors[1]
