"""The world of GeneCIS's claim: what is asked about was never learnt, arms see the same, noise names nothing."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np

from unseen.claims import genecis as claim_of_genecis
from unseen.claims.emoji_scenes import COLOURS, IDEAS, LARGE, PLACES, SIDE, SMALL, Scenes, drawn_scene, noisy
from unseen.claims.genecis import BUDGET, claim, composed
from unseen.methods.multimodal.genecis import GeneCIS, PatternParser
from unseen.methods.multimodal.genecis.needs import scenes_of_a_moment
from unseen.nn.small_towers import small_dual_encoder


def test_splits_share_no_vendor() -> None:
    for experiment in claim.experiments.values():
        known, fresh = (
            {case.split()[1] for case in cases} for cases in (experiment.development, experiment.confirmation)
        )
        assert not known & fresh


def test_captions_of_scenes_are_parsed_and_noise_is_about_the_same_subject() -> None:
    said = [f"a cow on {place} beside a hat" for place in PLACES.values() for _ in range(10)]
    parse = PatternParser()
    assert parse(said[0]) == [("cow", "on", "brick"), ("cow", "beside", "hat")]
    assert parse("grass with a hat and a cow") == [("grass", "with", "hat")]
    assert [caption.split()[0] for caption in noisy(["grass with a hat and a cow"], 1.0, 0)] == ["grass"]
    half = noisy(said, 0.5, 0)
    changed = [text for text, before in zip(half, said) if text != before]
    assert 25 <= len(changed) <= 55
    assert all(subject == "cow" and other in IDEAS for text in changed for subject, _, other in parse(str(text)))
    assert noisy(said, 0.0, 0).tolist() == said


def test_a_scene_has_its_ground_and_two_things() -> None:
    from PIL import Image

    square = Image.new("RGBA", (80, 80), (10, 200, 10, 255))
    scene = np.asarray(drawn_scene(square, square, COLOURS["red"], 3)).astype(int)
    assert scene.shape == (SIDE, SIDE, 3)
    green = (scene[..., 1] > 150).sum()
    assert LARGE**2 <= green + 1 <= LARGE**2 + SMALL**2 + 1
    corner = np.array([scene[0, 0], scene[0, -1]])
    assert (np.abs(corner - COLOURS["red"]).max(axis=1) <= 15).any()


def test_a_cell_has_every_way_to_ask() -> None:
    x, captions = scenes_of_a_moment(60)
    words = np.array([str(caption).split() for caption in captions])
    rng = np.random.default_rng(0)
    table = {"thing": words[:, 1], "place": words[:, 3], "beside": rng.choice(["hat", "car", "cup"], 60)}
    own = Scenes(x, table, captions)
    quick: dict[str, Any] = {**GeneCIS.card.smoke, "scope": "head"}
    with (
        mock.patch.object(claim_of_genecis, "scenes", return_value=own),
        mock.patch.object(claim_of_genecis, "towers", return_value=small_dual_encoder("features", 16)),
        mock.patch.object(claim_of_genecis, "things", return_value=(("dog", "cat"), ("hat",), ())),
        mock.patch.object(claim_of_genecis, "BUDGET", quick),
        mock.patch.object(claim_of_genecis, "GALLERY", 4),
        mock.patch.object(claim_of_genecis, "TUNED_ON", 10),
    ):
        found = composed("development noto", 0)
    assert set(found) == {"combiner", "combiner, distractors", "sum", "half and half", "image", "text", "named"}
    assert all(0 <= row["recall"] <= 1 for row in found.values())
    assert set(BUDGET) <= set(GeneCIS().get_params())
