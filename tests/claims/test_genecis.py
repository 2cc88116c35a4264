"""The world of GeneCIS's claim: what is asked about was never learnt, arms see the same, noise names nothing."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import torch

from unseen.claims import genecis as claim_of_genecis
from unseen.claims.emoji_scenes import (
    COLOURS,
    IDEAS,
    LARGE,
    PLACES,
    SIDE,
    SMALL,
    WEATHERS,
    Scenes,
    caption,
    drawn_scene,
    noisy,
)
from unseen.claims.genecis import BUDGET, claim, composed, named, relevant
from unseen.evaluation.composed_templates import Template
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
    said = [caption("cow", place, "hat", "rain", True, False) for place in PLACES.values() for _ in range(10)]
    parse = PatternParser()
    assert parse(said[0]) == [("cow", "on", "brick"), ("cow", "in", "rain"), ("cow", "beside", "hat")]
    for turned, other in ((False, "hat"), (True, "cow")):
        place = caption("cow", "grass", "hat", "fog", False, turned)
        assert parse(place) == [("grass", "in", "fog"), ("grass", "with", other)]
        assert [text.split()[:2] for text in noisy([place], 1.0, 0)] == [["grass", "with"]]
    half = noisy(said, 0.5, 0)
    changed = [text for text, before in zip(half, said) if text != before]
    assert 25 <= len(changed) <= 55
    assert all(subject == "cow" and other in IDEAS for text in changed for subject, _, other in parse(str(text)))
    assert noisy(said, 0.0, 0).tolist() == said


def test_a_scene_has_its_ground_and_two_things() -> None:
    from PIL import Image

    square = Image.new("RGBA", (80, 80), (10, 200, 10, 255))
    drawn = [np.asarray(drawn_scene(square, square, COLOURS["red"], w, 3)).astype(int) for w in WEATHERS]
    assert len({scene.tobytes() for scene in drawn}) == len(WEATHERS)
    scene = drawn[WEATHERS.index("rain")]
    assert scene.shape == (SIDE, SIDE, 3)
    green = (scene == (10, 200, 10)).all(axis=2).sum()
    assert LARGE**2 <= green + 1 <= LARGE**2 + SMALL**2 + 1
    assert (np.abs(scene - COLOURS["red"]).max(axis=2) <= 15).sum() > 1000


def test_answers_in_a_whole_collection_are_all_that_keep_what_the_kind_keeps() -> None:
    table = {
        "thing": np.array(["cow", "cow", "cow", "owl", "owl"]),
        "place": np.array(["sea", "sand", "sand", "sea", "sand"]),
        "beside": np.array(["hat", "hat", "car", "car", "hat"]),
        "weather": np.array(["fog", "sun", "fog", "fog", "sun"]),
    }
    assert relevant(table, Template("change-attribute", 0, "on sand", 1, (3,))) == [1, 2]
    assert relevant(table, Template("change-object", 0, "with car", 3, (1,))) == [3]


def test_the_named_arm_names_what_a_question_keeps() -> None:
    said: list[str] = []

    class Net:
        """Texts are seen as they come; every picture is of the first word."""

        def tokenize(self, texts: Any) -> Any:
            said.extend(texts)
            return texts

        def encode_text(self, texts: Any) -> Any:
            return torch.arange(len(texts), 0, -1)[:, None].float()

        def encode_image(self, x: Any) -> Any:
            return torch.ones(len(x), 1)

    named(Net(), torch.ones(4, 2), ["with hat", "on sand", "place", "weather"], ("cow", "owl"))
    assert said[-4:] == ["brick with hat", "a cow on sand", "on brick", "in rain"]


def test_a_cell_has_every_way_to_ask() -> None:
    x, captions = scenes_of_a_moment(60)
    words = np.array([str(caption).split() for caption in captions])
    rng = np.random.default_rng(0)
    table = {
        "thing": words[:, 1],
        "place": words[:, 3],
        "beside": rng.choice(["hat", "car", "cup"], 60),
        "weather": rng.choice(["rain", "fog", "sun"], 60),
    }
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
    for row in found.values():
        assert 0 <= row["recall"] <= 1
        assert row["chance"] == 0.25
        assert row["times chance"] == 4 * row["recall"]
        assert 0 <= row["collection@10"] <= 1
    assert set(BUDGET) <= set(GeneCIS().get_params())
