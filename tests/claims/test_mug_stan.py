"""Mug-STAN's claim: what its captions say and do not, its arms are what they are called."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unseen.claims import misaligned, motion_worlds, mug_stan
from unseen.claims.misaligned import FRAMES, NAMED, Captioned, Lines, World, drawn_pairs, scored, still_lines, taught
from unseen.claims.motion_worlds import Things
from unseen.claims.mug_stan import (
    ARMS,
    LEDGER,
    claim,
    first_place,
    fresh_layers,
    fresh_time,
    top_frames,
    words_to_frames,
)
from unseen.methods.video.mug_stan.network import mug_stan_network
from unseen.methods.video.needs import small_frame_towers
from unseen.nn.late_interaction import Words, similarity


@pytest.fixture
def things() -> World:
    return World(torch.randn(14, 3, 6), tuple(f"thing{i}" for i in range(14)))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Texts that were read; each word becomes a vector that depends on it alone."""
    read: list[list[str]] = []

    def states(texts: list[str]) -> Words:
        read.append(texts)
        rows = [torch.tensor([[len(w), ord(w[-1]), 1.0] for w in text.split(", ")]) for text in texts]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return Words(padded, torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in rows])[:, None])

    monkeypatch.setattr(misaligned, "token_states", states)
    return read


def shown(things: World, pairs: Captioned) -> list[set[int]]:
    flat = things.views.flatten(0, 1)
    return [{int((flat == frame).all(dim=1).nonzero()[0]) // 3 for frame in clip} for clip in pairs.frames]


def test_captions_of_aligned_clips_name_what_all_frames_show(things: World, said: list[list[str]]) -> None:
    pairs = drawn_pairs(things, 5, 0, matching=FRAMES)
    for seen, text in zip(shown(things, pairs), said[0]):
        assert {f"thing{i}" for i in seen} == set(text.split(", "))
        assert len(seen) == NAMED


def test_captions_of_misaligned_clips_name_two_frames_one_thing_that_is_not_there_and_say_more(
    things: World, said: list[list[str]]
) -> None:
    pairs = drawn_pairs(things, 5, 0, matching=2)
    for seen, text in zip(shown(things, pairs), said[0]):
        phrases = set(text.split(", "))
        assert len(seen) == FRAMES
        assert len({f"thing{i}" for i in seen} & phrases) == NAMED
        assert len(phrases & set(misaligned.FILLERS)) == 1
        assert len(phrases) == NAMED + 2


def test_seeds_draw_other_pairs_and_one_seed_the_same(things: World, said: list[list[str]]) -> None:
    first, again, other = (drawn_pairs(things, 3, seed, matching=2).frames for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_simple_arms_are_what_they_are_called() -> None:
    words = Words(torch.tensor([[[2.0, 0.0], [0.0, 3.0], [9.0, 9.0]]]), torch.tensor([[True, True, False]]))
    frames = torch.tensor([[[4.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    text = torch.tensor([1.0, 1.5]) / 3.25**0.5
    best = sorted([float(text[0]), float(text[1]), -float(text[0])])[-2:]
    assert top_frames(words, frames, 2).item() == pytest.approx(sum(best) / 2)
    assert words_to_frames(words, frames).item() == pytest.approx(1)
    assert similarity(words, frames, mode="max").item() == pytest.approx((1 + (1 + 1 + 0) / 3) / 2)
    more = torch.cat([frames, torch.tensor([[[1.0, 2.0], [3.0, -1.0]]])], dim=1)
    for ways in ARMS.values():
        assert len(ways) == 2
        assert not torch.allclose(*(way(words, more) for way in ways))


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_learns_what_is_plain_to_see(arm: str) -> None:
    codes = torch.eye(12)[torch.arange(60) % 12]
    frames = codes[:, None] + 0.01 * torch.randn(60, 4, 12)
    pairs = Captioned(frames, Words(codes[:, None].repeat(1, 2, 1), torch.ones(60, 2, dtype=torch.bool)))
    asked = Captioned(frames[:12], Words(pairs.words.vectors[:12], pairs.words.mask[:12]))
    start, way = Lines(12, 12), ARMS[arm][1]
    lines = taught(start, pairs, way, 0, 60)
    assert first_place(scored(lines, asked, way)) > 0.8
    assert not torch.equal(lines.frames.weight, start.frames.weight)


def test_still_pictures_are_of_the_half_of_the_things(things: World, said: list[list[str]]) -> None:
    still_lines(things, 0)
    assert said == [[f"thing{i}" for i in range(7)]]


def test_what_a_branch_begins_with_is_changed_and_nothing_else() -> None:
    for change, part in ((fresh_layers, "spatial"), (fresh_time, "temporal")):
        plain, other = (mug_stan_network(small_frame_towers(), depth=2) for _ in range(2))
        other.load_state_dict(plain.state_dict())
        change(other)
        state = other.state_dict()
        moved = [key for key, value in plain.state_dict().items() if not torch.equal(value, state[key])]
        assert moved
        assert all(f"stan_branch.{part}" in key for key in moved)


def test_every_experiment_gives_what_its_rows_ask_for(
    things: World, said: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    pictures = tuple(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(12))
    own = Things(pictures, tuple(f"thing {i}" for i in range(12)), np.arange(12) % 3 == 0)
    monkeypatch.setattr(motion_worlds, "world", lambda case: own)
    monkeypatch.setattr(misaligned, "world", lambda case: things)
    monkeypatch.setattr(misaligned, "STILL_STEPS", 2)
    monkeypatch.setattr(mug_stan, "towers", lambda case: small_frame_towers(side=motion_worlds.SIDE))
    small = {"STEPS": 2, "PAIRS": 60, "HELD": 10, "ASKED": 12, "EACH": 3, "SHOWN_EACH": 1, "PASSES": 1}
    for name, value in small.items():
        monkeypatch.setattr(mug_stan, name, value)
    monkeypatch.setattr(mug_stan, "fitted", functools.partial(mug_stan.fitted, warm_up=0))
    rows: list[Any] = []
    for name in claim.experiments:
        rows += claim.cell(name, "development noto", 0)
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
