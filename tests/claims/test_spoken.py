"""Speech to intent: halves share neither intents nor voices, what is asked about was not learnt, verdicts of tables."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unseen.claims import cwcl, spoken, worlds
from unseen.claims.base import COLUMNS
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.sounds import Sound

NAMES = tuple(f"intent {chr(97 + k)}" for k in range(12))


def texts(each: int) -> Domain:
    said = [f"{name} way {i}" for name in NAMES for i in range(each)]
    return Domain(
        x=np.array(said), y=np.repeat(np.arange(len(NAMES)), each), kind="text", classes=ClassSpace(names=NAMES)
    )


def hummed(sentences: list[str], voices: Any) -> Domain:
    """A tone for each intent, higher by another voice, in place of speech."""
    items = [(sentence, k) for sentence in sentences for k in range(len(voices))]

    def hum(item: tuple[str, int]) -> Sound:
        hertz = 200 * (1 + NAMES.index(item[0].partition(" way")[0])) + 20 * item[1]
        return Sound(np.sin(2 * np.pi * hertz * np.arange(4000) / 16_000).astype(np.float32), 16_000, 0.25)

    lazy = Lazy(items, hum, lambda item: hashlib.sha256(str(item).encode()).hexdigest())
    return Domain(x=lazy, kind="audio", columns={"sentence": np.array([sentence for sentence, _ in items])})


def vectors(said: Any) -> np.ndarray:
    """An intent's own direction, and a little of a text's own."""
    told = [str(text) for text in said]
    rng = [np.random.default_rng(list(text.encode())) for text in told]
    own = np.eye(16)[[next((k for k, name in enumerate(NAMES) if name in text), 15) for text in told]]
    return (own + 0.1 * np.stack([r.normal(size=16) for r in rng])).astype(np.float32)


CACHED = (spoken.world, spoken._of_half, spoken._spoken, spoken._heard, spoken._read)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    monkeypatch.setattr(spoken, "EACH", 8)
    monkeypatch.setattr(spoken, "LEARNT", 6)
    monkeypatch.setattr(spoken, "commands", texts)
    monkeypatch.setattr(spoken, "spoken", hummed)
    monkeypatch.setattr(worlds, "minilm", vectors)
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


def test_halves_share_neither_intents_nor_voices(small: None) -> None:
    one, other = (spoken._of_half(split) for split in ("development", "confirmation"))
    assert not set(one.y.tolist()) & set(other.y.tolist())
    assert len(set(one.y.tolist()) | set(other.y.tolist())) == len(NAMES)
    of = [set(part) for split in spoken.VOICES.values() for part in split]
    assert sum(map(len, of)) == len(set.union(*of)) == 18


def test_what_is_asked_about_was_not_learnt_from(small: None) -> None:
    half = spoken._of_half("development")
    unseen: list[str] = []
    for fold in range(spoken.FOLDS):
        world = spoken.world("development", fold)
        rows = [set(pairs.columns["row"].tolist()) for pairs in (world.learn, world.seen, world.unseen)]
        assert not rows[0] & rows[1]
        assert not (rows[0] | rows[1]) & rows[2]
        assert not set(world.seen_classes.names) & set(world.unseen_classes.names)
        assert len(world.learn) == 4 * 6 * spoken.TWICE
        assert (len(world.seen), len(world.unseen)) == (4 * 2 * 3, 2 * 2 * 3)
        unseen += world.unseen_classes.names
        for pairs, classes in ((world.seen, world.seen_classes), (world.unseen, world.unseen_classes)):
            for row, label, vector in zip(pairs.columns["row"], pairs.columns["label"], pairs.right.x):
                assert half.classes.names[half.y[row]] == classes.names[label]
                np.testing.assert_array_equal(vector, vectors([half.x[row]])[0])
    assert len(unseen) == len(set(unseen)) == 6


def test_all_arms_are_asked_the_same_and_the_text_itself_is_the_ceiling(small: None, monkeypatch: Any) -> None:
    short = {name: {**kind, "epochs": 2, "batch_size": 16, "hidden": 8} for name, kind in cwcl.SPOKEN.items()}
    monkeypatch.setattr(cwcl, "SPOKEN", short)
    table = cwcl.intents("development part 0", 0)
    assert set(table) == {*cwcl.SPOKEN, "ridge map", "labels", "text itself", "chance"}
    assert table["text itself"]["recall"] == 1
    assert table["text itself"]["structure"] == pytest.approx(1)
    assert table["text itself"]["accuracy"] == table["text itself"]["seen"] == 1
    assert table["chance"] == {"accuracy": 1 / 2, "seen": 1 / 4, "recall": 5 / 4}
    assert all(0 <= table[arm][metric] <= 1 for arm in short for metric in ("accuracy", "seen", "recall"))
    assert min(table[arm]["seen"] for arm in ("ridge map", "labels")) > 0.9  # a tone tells its intent


def test_verdicts_follow_the_figures() -> None:
    def rows(gain: float) -> pd.DataFrame:
        figures = {"one pair each": 0.4, "published": 0.3, "uniform": 0.3, "sharpened": 0.4 + gain, "ridge map": 0.35,
                   "chance": 0.2}  # fmt: skip
        return pd.DataFrame(
            [
                ("speech", f"part {k}", 100, arm, metric, value)
                for k in range(3)
                for arm, value in figures.items()
                for metric in ("accuracy", "seen", "structure")
            ],
            columns=list(COLUMNS),
        )

    def word(gain: float, asked: str) -> bool:
        found = [v for a, v in cwcl.claim.judge(rows(gain)) if a.experiment == "speech" and a.asked == asked]
        assert len(found) == 1
        return found[0].held

    assert word(0.02, "accuracy: sharpened better than one pair each; needed > 0")
    assert not word(0.02, "accuracy: sharpened better than one pair each; needed > 0.03")
    assert word(0.04, "accuracy: sharpened better than one pair each; needed > 0.03")
    assert not word(0.0, "accuracy: sharpened better than one pair each; needed > 0")
    assert not word(0.1, "accuracy: published better than one pair each; needed > 0")
