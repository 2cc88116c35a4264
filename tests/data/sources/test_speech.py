"""Spoken sentences: espeak-ng's voices, what is asked of it, and the templates of commands that they speak."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from unseen.data.sources import speech
from unseen.data.sources.commands import FILLED, Template, commands
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.speech import Voice, spoken

GRAMMAR = {
    "expansion_rules": {"the": "(the|my)", "set": "(set|turn <the>)"},
    "lists": {"level": {"range": {"from": 10, "to": 20, "step": 5}}, "way": {"values": [{"in": "up[ward]"}, "down"]}},
}
voices = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng (apt-get install espeak-ng)")


@pytest.fixture(autouse=True)
def forgotten() -> None:
    speech._version.cache_clear()
    speech._voices.cache_clear()


@voices
def test_every_sentence_is_spoken_by_every_voice_and_again_with_the_same_bits() -> None:
    said = spoken(["turn on the lights", "mute"], [Voice("en-us+f3"), Voice("en-gb-scotland", 120, 30)])
    assert said.columns["sentence"].tolist() == ["turn on the lights"] * 2 + ["mute"] * 2
    assert said.columns["voice"].tolist() == ["en-us+f3 175 50", "en-gb-scotland 120 30"] * 2
    sounds = [said.x[i] for i in range(4)]
    assert all(not sound.silent for sound in sounds)
    assert sounds[1].seconds > sounds[0].seconds > sounds[2].seconds  # slow, fast, a short word
    for i, sound in enumerate(sounds):  # the breath of f3 is noise, and the same noise
        assert np.array_equal(sound.wave, said.x[i].wave)
    assert len({said.x.digest(i) for i in range(4)}) == 4


@voices
@pytest.mark.parametrize("name", ["en-nowhere", "en-us+nobody"])
def test_a_voice_that_is_not_there_is_refused_though_the_program_would_take_another(name: str) -> None:
    with pytest.raises(ValueError, match=f"voices: espeak-ng has no '{re.escape(name)}'"):
        spoken(["hello"], [Voice(name)])


def test_without_the_program_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech.shutil, "which", lambda name: None)
    with pytest.raises(SourceUnavailable, match="`apt-get install espeak-ng`"):
        spoken(["hello"], [Voice("en-us")])


def test_the_sentence_goes_through_standard_input_and_no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []

    def run(order: list[str], **options: Any) -> Any:
        orders.append((order, options))
        return subprocess.CompletedProcess(order, 1, b"", b"no such thing")

    monkeypatch.setattr(speech.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(speech.subprocess, "run", run)
    with pytest.raises(OSError, match="espeak-ng failed: no such thing"):
        speech._said(("-w evil; $(rm)", Voice("en-us", 200, 10)))
    ((order, options),) = orders
    assert order == ["/bin/espeak-ng", "-D", "-v", "en-us", "-s", "200", "-p", "10", "--stdin", "--stdout"]
    assert options["input"] == b"-w evil; $(rm)"
    assert not options.get("shell")


@pytest.mark.parametrize(("speed", "pitch", "what"), [(10, 50, "speed"), (175, 100, "pitch")])
def test_speed_and_pitch_have_a_range(speed: int, pitch: int, what: str) -> None:
    with pytest.raises(ValueError, match=f"{what} of a voice must lie in"):
        Voice("en-us", speed, pitch)


@pytest.mark.parametrize("sentences", [[], ["hello", " "]])
def test_nothing_to_say_is_refused(sentences: list[str]) -> None:
    with pytest.raises(ValueError, match="sentences and voices must not be empty"):
        spoken(sentences, [Voice("en-us")])


def test_templates_say_options_alternatives_orders_rules_and_lists() -> None:
    rng = np.random.default_rng(0)

    def ways(template: str) -> set[str]:
        return {Template(GRAMMAR, ("lamp",), rng).said(template) for _ in range(200)}

    assert ways("lamp[s]") == {"lamp", "lamps"}
    assert ways("(on;<the> {name})") == {f"{a} {b}" for x in ("the lamp", "my lamp") for a, b in (("on", x), (x, "on"))}
    assert ways("<set> {level:brightness}") == {
        f"{a} {n}" for a in ("set", "turn the", "turn my") for n in (10, 15, 20)
    }
    assert ways("{way}") == {"up", "upward", "down"}
    assert ways("{area}") == set(FILLED["area"])
    for wrong in ("a) b", "(a", "[a)"):
        with pytest.raises(ValueError, match="not closed or opened"):
            Template(GRAMMAR, (), rng).said(wrong)


def test_commands_are_different_sentences_of_every_intent_and_always_the_same() -> None:
    try:
        found = commands(24)
    except SourceUnavailable as why:
        pytest.skip(str(why))
    assert found.classes is not None
    assert {"cancel all timers", "get weather", "shopping list add item"} <= set(found.classes.names)
    for k in range(len(found.classes.names)):
        assert len(set(found.x[found.y == k].tolist())) == 24
    assert not [text for text in found.x.tolist() if re.search(r"[\[\](){}<>|;]|  ", text)]
    assert np.array_equal(found.x, commands(24).x)
    with pytest.raises(ValueError, match="each must be at least 1; got 0"):
        commands(0)
