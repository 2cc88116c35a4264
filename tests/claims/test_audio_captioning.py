"""The world of the claim: simulated sounds, captions of two halves, and arms that differ in what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.claims import audio_captioning, heard
from unseen.claims.audio_captioning import ARMS, BUDGET, claim, graded
from unseen.data.sources.audiocaps import audiocaps, sound_events
from unseen.methods.multimodal.audio_captioning import AudioCaptioning


def test_sounds_are_texts_moved_by_one_offset_and_by_noise() -> None:
    e = heard.unit(np.random.default_rng(0).normal(size=(2000, 384)))
    assert np.allclose(heard.heard(e, 0, 0.0, 0.0), e, atol=1e-6)
    moved = heard.heard(e, 0, 0.5, 0.0)
    # the means are apart by about .5 / sqrt(1 + .25), as lengths are brought to 1 again
    assert np.linalg.norm(moved.mean(axis=0) - e.mean(axis=0)) == pytest.approx(0.5 / np.sqrt(1.25), abs=0.02)
    noisy = heard.heard(e, 0, 0.0, 0.05)
    assert (noisy * e).sum(axis=1).mean() == pytest.approx(1 / np.sqrt(1 + 384 * 0.05**2), abs=0.01)
    assert np.array_equal(heard.heard(e, 3, 0.5, 0.05), heard.heard(e, 3, 0.5, 0.05))
    assert not np.array_equal(heard.heard(e, 3, 0.5, 0.05), heard.heard(e, 4, 0.5, 0.05))


def test_nothing_that_is_asked_about_is_learnt_from_and_both_splits_are_apart() -> None:
    learnt = {split: set(heard.corpus(split).ids.tolist()) for split in ("development", "confirmation")}  # type: ignore[union-attr]
    assert len(learnt["development"]) == len(learnt["confirmation"]) == heard.LEARNT
    assert not learnt["development"] & learnt["confirmation"]
    for split, name in (("development", "val"), ("confirmation", "test")):
        own = heard.clips(name)  # type: ignore[arg-type]
        clips = set(audiocaps(name).columns["clip"].tolist())  # type: ignore[arg-type]
        assert not clips & set(heard.corpus(split).columns["clip"].tolist())
        assert all(len(lines.split("\n")) == 4 for lines in own.references)


def test_halves_share_no_topic_word() -> None:
    living, things = (heard.corpus("development", half) for half in ("living", "things"))
    assert len(living) + len(things) == heard.LEARNT
    assert heard.half_of("A dog barks near a car") == "living"
    assert heard.half_of("An engine idles in the rain") == "things"
    assert all(heard.half_of(text) == "things" for text in things.x.tolist())


def test_captions_of_people_are_graded_above_those_of_other_sounds() -> None:
    pytest.importorskip("pycocoevalcap", reason='no pycocoevalcap; pip install "unseen[captioning]"')
    own = heard.clips("val").take(slice(0, 50))
    right, other = graded(own, own.said.tolist()), graded(own, np.roll(own.said, 1).tolist())
    assert right["cider"] > 4 * other["cider"]
    assert right["event f1"] > other["event f1"]


def test_arms_differ_in_what_they_leave_out_alone() -> None:
    full = AudioCaptioning(**BUDGET).get_params()
    for arm, changes in ARMS.items():
        own = AudioCaptioning(**{**BUDGET, **changes}).get_params()
        assert {key for key in full if own[key] != full[key]} == set(changes), arm
    assert audio_captioning.Supervised(**BUDGET).get_params() == full


def test_every_assertion_has_its_experiment_and_confirmation_is_of_other_sounds() -> None:
    for assertion in claim.ledger:
        assert assertion.experiment in claim.experiments or assertion.reason
    for experiment in claim.experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert not set(experiment.seeds) & set(experiment.fresh_seeds)


def test_sound_events_are_527_and_each_has_a_name_of_its_own() -> None:
    events = sound_events()
    assert len(events) == len(set(events.names)) == 527
    assert {"dog", "rain", "vehicle horn", "male speech"} <= set(events.names)
    with pytest.raises(ValueError, match="split must be train, val or test"):
        audiocaps("dev")  # type: ignore[arg-type]
