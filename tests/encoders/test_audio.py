"""Encoders of sounds: spectra, and a tiny CLAP of random weights as two towers; comparing sounds from end to end."""

import numpy as np
import pytest

import unseen
from encoders.test_sound import tiny_clap
from unseen import encoders
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.sounds import Sound, resampled
from unseen.encoders.sound import RATE, log_mel_statistics


def sounds(n=12, rate=8000, base=300.0, seed=0):
    """Tones of two classes, the second three times as high, in noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = np.arange(rate // 2) / rate
    waves = [0.3 * np.sin(2 * np.pi * base * (1 + 2 * k) * t) + 0.02 * rng.standard_normal(len(t)) for k in y]
    x = [Sound(wave.astype(np.float32), rate, 0.5) for wave in waves]
    return Domain(
        x=Lazy(list(range(n)), x.__getitem__, lambda i: f"{seed:02x}{i:02x}"),
        y=y,
        kind="audio",
        classes=ClassSpace(names=("low", "high")),
        name=f"tones{seed}",
    )


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("clap"))


def test_spectra_are_those_of_the_small_space_at_its_rate():
    domain = sounds(3)
    found = encoders.get("mel").encode(domain, cache=False)
    assert found.x.shape == (3, 192)
    for row, sound in zip(found.x, domain.x):
        np.testing.assert_allclose(row, log_mel_statistics(resampled(sound.wave, 8000, RATE)), rtol=1e-5, atol=1e-5)


def test_a_sound_without_its_silent_parts_has_the_same_spectra():
    sound = sounds(1).x[0]
    part = np.resize(resampled(sound.wave, 8000, RATE), 10 * RATE)
    both = [Sound(part, RATE, 10.0), Sound(np.concatenate([part, np.zeros(10 * RATE, np.float32)]), RATE, 20.0)]
    x = encoders.get("mel").encode(Domain(x=Lazy([0, 1], both.__getitem__), kind="audio"), cache=False).x
    np.testing.assert_allclose(x[0], x[1], atol=1e-6)


def test_a_clap_is_two_towers_into_one_space(clap):
    encoder = encoders.get(f"clap:{clap}")
    assert encoder.kinds == ("audio", "text")
    x = encoder.encode(sounds(3), cache=False).x
    said = encoder.encode_text(["this is a sound of dog", "rain"], cache=False)
    assert x.shape == (3, 8)
    assert said.shape == (2, 8)
    for rows in (x, said):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(said, encoder.image.space.encode_text(["this is a sound of dog", "rain"]), atol=1e-5)
    p = encoder.classify(x, ClassSpace(names=("dog", "rain")), cache=False)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_a_clap_is_saved_and_loaded(clap, tmp_path):
    encoder = encoders.get(f"clap:{clap}")
    encoder.save_weights(tmp_path / "saved")
    again = encoders.load(encoder.to_json(), tmp_path / "saved")
    domain = sounds(2)
    np.testing.assert_array_equal(again.encode(domain, cache=False).x, encoder.encode(domain, cache=False).x)


def test_class_names_of_sounds_ask_for_a_clap_by_name():
    from unseen.encoders.defaults import encoder_of

    with pytest.raises(ValueError, match=r"no default encoder for audio that class names can lie in; .* such as clap:"):
        encoder_of("audio", None, "auto", False, named=True)


def test_sounds_are_compared_saved_and_predicted(tmp_path):
    source, target = sounds(40), sounds(30, base=330.0, seed=1)
    found = unseen.compare(source=source, target=target, methods="source-only,standardize", out=tmp_path / "run")
    assert found.results["given"]["source"]["kind"] == "audio"
    model = unseen.Bundle.load(tmp_path / "run" / "model")
    assert model.predictions(sounds(4, base=330.0, seed=2))["class"] == ["low", "high"] * 2


def test_names_alone_name_sounds_by_a_clap(clap, tmp_path):
    target = sounds(30).unlabeled()
    found = unseen.compare(target=target, classes=["dog", "rain"], encoder=f"clap:{clap}", out=tmp_path / "run")
    assert {row["name"] for row in found.results["candidates"]} >= {"describe", "propagate-names"}
    again = unseen.Bundle.load(tmp_path / "run" / "model").predictions(sounds(3))
    assert set(again["class"]) <= {"dog", "rain"}


def test_parts_of_the_time_tell_the_order_that_the_whole_loses():
    t = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * hertz * t).astype(np.float32) for hertz in (300, 3000))
    one, other = (log_mel_statistics(np.concatenate(order), 2).reshape(3, -1) for order in ((low, high), (high, low)))
    assert one.shape == (3, 192)
    np.testing.assert_array_equal(one[0], log_mel_statistics(np.concatenate([low, high])))
    np.testing.assert_allclose(one[0, :48], other[0, :48], atol=0.1)  # means of bands; one frame has both tones
    np.testing.assert_allclose(one[0, :48], one[1:, :48].mean(axis=0), atol=0.1)
    np.testing.assert_allclose(one[1, :48], other[2, :48], atol=0.2)
    assert one[1, :48].argmax() < one[2, :48].argmax()
    assert np.isfinite(log_mel_statistics(low[:700], 8)).all()  # fewer frames than parts


def test_spectra_of_parts_are_asked_for_by_name_and_are_other_features():
    encoder = encoders.get("mel?parts=2")
    domain = sounds(2)
    found = encoder.encode(domain, cache=False).x
    assert found.shape == (2, 3 * 192)
    np.testing.assert_array_equal(found[:, :192], encoders.get("mel").encode(domain, cache=False).x)
    assert encoder.preprocess.to_json()["parts"] == 2
    assert "parts" not in encoders.get("mel").preprocess.to_json()  # saved models know it without
    for wrong in ("0", "two", "65"):
        with pytest.raises(ValueError, match=r"parts must be a whole number in \[1, 64\]"):
            encoders.get(f"mel?parts={wrong}")
