"""The world of the claim: simulated sounds, captions of two halves, and arms that differ in what they leave out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unseen.claims import audio_captioning, heard
from unseen.claims.audio_captioning import ARMS, BUDGET, claim, graded
from unseen.claims.stamps import stamp_of
from unseen.data.rows import unit_rows
from unseen.data.sources.audiocaps import COLUMNS, audiocaps, audiocaps_folder, sound_events
from unseen.methods.multimodal.audio_captioning import AudioCaptioning


def test_sounds_are_texts_moved_by_one_offset_and_by_noise() -> None:
    e = unit_rows(np.random.default_rng(0).normal(size=(2000, 384)))
    assert np.allclose(heard.heard(e, 0, 0.0, 0.0), e, atol=1e-6)
    moved = heard.heard(e, 0, 0.5, 0.0)
    # the means are apart by about .5 / sqrt(1 + .25), as lengths are brought to 1 again
    assert np.linalg.norm(moved.mean(axis=0) - e.mean(axis=0)) == pytest.approx(0.5 / np.sqrt(1.25), abs=0.02)
    noisy = heard.heard(e, 0, 0.0, 0.05)
    assert (noisy * e).sum(axis=1).mean() == pytest.approx(1 / np.sqrt(1 + 384 * 0.05**2), abs=0.01)
    assert np.array_equal(heard.heard(e, 3, 0.5, 0.05), heard.heard(e, 3, 0.5, 0.05))
    assert not np.array_equal(heard.heard(e, 3, 0.5, 0.05), heard.heard(e, 4, 0.5, 0.05))


def told(split: str, sounds: int, each: int) -> pd.DataFrame:
    """Captions as AudioCaps has them: every third sound is of a dog."""
    who = [f"A dog barks {split}{i}" if i % 3 == 0 else f"An engine idles {split}{i}" for i in range(sounds)]
    rows = [
        (f"{split}{i}.{j}", f"{split}{i}", str(10 * i), f"{text} way {j}")
        for i, text in enumerate(who)
        for j in range(each)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of captions of this test's own, and no memory of another."""
    folder = tmp_path / "audiocaps"
    folder.mkdir()
    for split, sounds, each in (("train", 5000, 1), ("val", 360, 5), ("test", 960, 5)):
        told(split, sounds, each).to_csv(folder / f"{split}.csv", index=False)
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    kept = (heard.clips, heard.corpus, audio_captioning.read)
    for function in kept:
        function.cache_clear()
    yield folder
    for function in kept:
        function.cache_clear()


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AudioCaps itself, where a folder of it lies beside the checkout or `UNSEEN_DATA` names it."""
    places = [above / "shared" / "data" for above in Path(__file__).resolve().parents]
    found = [place for place in places if (place / "audiocaps" / "test.csv").is_file()]
    if not found and not (audiocaps_folder() / "test.csv").is_file():
        pytest.skip("AudioCaps' captions are free to use for academic purposes only, and not here")
    if found:
        monkeypatch.setenv("UNSEEN_DATA", str(found[0]))
    for function in (heard.clips, heard.corpus):
        function.cache_clear()
    yield
    for function in (heard.clips, heard.corpus):
        function.cache_clear()


def apart(learnt: int) -> None:
    """Nothing that is asked about is learnt from, in either split or in the other."""
    assert len(heard.corpus("development")) == len(heard.corpus("confirmation")) == learnt
    assert not set(heard.corpus("development").ids.tolist()) & set(heard.corpus("confirmation").ids.tolist())  # type: ignore[union-attr]
    blocks = [heard.asked(split, block) for split in heard.ASKED for block in heard.BLOCKS]
    asked = [lines for block in blocks for lines in block.references.tolist()]
    assert [len(block.said) for block in blocks] == [100] * 3 + [300] * 3
    paired = heard.paired().references.tolist()
    assert paired
    assert len({*asked, *paired}) == len(asked) + len(paired)
    assert all(len(lines.split("\n")) == 4 for block in blocks for lines in block.references)


def test_nothing_that_is_asked_about_is_learnt_from_and_all_blocks_are_apart(data: Path) -> None:
    apart(heard.LEARNT)
    said = [text for split in heard.ASKED for b in heard.BLOCKS for text in heard.asked(split, b).said.tolist()]
    assert len(said) == len(set(said)) == 1200
    for half in ("living", "things"):
        own = [heard.asked("development", block, half) for block in heard.BLOCKS]
        assert {name for block in own for name in block.halves.tolist()} == {half}
        assert len({text for block in own for text in block.said.tolist()}) == sum(len(block.said) for block in own)
    assert len(heard.paired("living").said) == len(heard.paired("things").said) > 0


def test_development_reads_no_sound_that_confirmation_asks_about(data: Path) -> None:
    (data / "test.csv").unlink()
    for case in ("development block 3", "development living 1", "development things 2"):
        assert len(audio_captioning.read(case)) == 3


def test_of_audiocaps_too_nothing_that_is_asked_about_is_learnt_from(real: None) -> None:
    apart(heard.LEARNT)
    clips = {split: set(audiocaps(split).columns["clip"].tolist()) for split in ("train", "val", "test")}
    assert (len(clips["val"]), len(clips["test"])) == (495, 975)
    assert not clips["train"] & (clips["val"] | clips["test"])
    assert not clips["val"] & clips["test"]


def test_noise_of_every_stream_is_another() -> None:
    e = unit_rows(np.random.default_rng(0).normal(size=(20, 384)))
    made = [heard.heard(e, 0, 0.5, 0.05, stream) for stream in (1, 2, 3, audio_captioning.PAIRS)]
    assert not any(np.allclose(a, b) for i, a in enumerate(made) for b in made[:i])


def test_halves_share_no_topic_word(data: Path) -> None:
    living, things = (heard.corpus("development", half) for half in ("living", "things"))
    assert len(living) + len(things) == heard.LEARNT
    assert heard.half_of("A dog barks near a car") == "living"
    assert heard.half_of("An engine idles in the rain") == "things"
    assert all(heard.half_of(text) == "things" for text in things.x.tolist())


def test_captions_of_people_are_graded_above_those_of_other_sounds(real: None) -> None:
    pytest.importorskip("pycocoevalcap", reason='no pycocoevalcap; pip install "unseen[captioning]"')
    own = heard.clips("val").take(slice(0, 50))
    right, other = graded(own, own.said.tolist()), graded(own, np.roll(own.said, 1).tolist())
    assert right["cider"] > 4 * other["cider"]
    assert right["event f1"] > other["event f1"]


def test_every_experiment_gives_what_its_rows_ask_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocoevalcap", reason='no pycocoevalcap; pip install "unseen[captioning]"')
    small = {**BUDGET, "epochs": 1, "pretrain": 1, "width": 16, "heads": 2, "length": 2, "longest": 4, "beam": 1}
    monkeypatch.setattr(audio_captioning, "BUDGET", small)
    monkeypatch.setattr(heard, "ASKED", {"development": 6, "confirmation": 6})
    monkeypatch.setattr(heard, "PAIRED", 345)
    monkeypatch.setattr(audio_captioning, "AS_COMMANDED", small)
    kept = (
        audio_captioning.fitted, audio_captioning.language_model, audio_captioning.supervised,
        audio_captioning.commanded, audio_captioning._decoder_of_many,
    )  # fmt: skip
    monkeypatch.setattr(audio_captioning, "corpus", lambda split, half, n=60: heard.corpus(split, half, 60))
    for function in kept:
        function.cache_clear()
    first = {name: experiment.development[0] for name, experiment in claim.experiments.items()}
    table = pd.DataFrame([row for name, case in first.items() for row in claim.cell(name, case, 0)])
    for function in kept:
        function.cache_clear()
    assert [row.text for row, verdict in claim.judge(table) if row.holds is not None and verdict is None] == []
    assert table.value.notna().all()


def test_supervised_arms_learn_in_as_many_steps_as_those_of_texts_in_both_splits(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fit(self: AudioCaptioning, *, corpus: Any, encoder: Any, model: Any) -> Any:
        seen.append((len(corpus), self.epochs, self.variance))
        return self

    monkeypatch.setattr(audio_captioning.Supervised, "fit", fit)
    monkeypatch.setattr(audio_captioning, "language_model", lambda split, half: None)
    monkeypatch.setattr(heard.SiblingSpace, "encode_text", lambda self, texts: np.eye(len(texts), 384, dtype="float32"))
    for split in ("development", "confirmation"):
        audio_captioning.supervised.__wrapped__(split, None, None, 0)
    assert seen[0] == seen[1]
    pairs, epochs = seen[0][:2]
    texts = BUDGET["epochs"] * np.ceil(heard.LEARNT / BUDGET["batch_size"])
    assert epochs * np.ceil(pairs / BUDGET["batch_size"]) == pytest.approx(texts, rel=0.05)


def test_a_supervised_arm_learns_from_sounds_and_not_from_texts() -> None:
    method = audio_captioning.Supervised()
    method.sounds = np.eye(2, 384, k=5, dtype=np.float32)
    method.remember(["a dog barks", "rain falls"], heard.SiblingSpace())
    assert np.array_equal(method.support_.numpy(), method.sounds)


def test_every_row_says_that_its_sounds_are_simulated() -> None:
    assert all("imulated" in row.text for row in claim.ledger if row.holds is not None)


def test_the_stamp_of_the_claim_needs_no_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    audio_captioning.read.cache_clear()
    made = stamp_of("audio-captioning")
    assert "behaviour heard" in made
    assert not [name for name in made if name.startswith("data")]


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
