"""Sounds of files: what is read alike in all depths, and what is refused and by which name."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from unseen.data import sounds
from unseen.data.sounds import Sound, find_sounds, read_sound, read_sounds, resampled, wav_bytes, windows

RATE = 8000


def tone(seconds: float = 0.5, hertz: float = 440, rate: int = RATE) -> Any:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(
    ("dtype", "scale", "shift"), [("int16", 32767, 0), ("int32", 2**31 - 1, 0), ("uint8", 127, 128), ("float32", 1, 0)]
)
def test_a_wave_is_the_same_in_all_depths(tmp_path: Path, dtype: str, scale: float, shift: float) -> None:
    wavfile.write(
        tmp_path / "a.wav", RATE, (np.rint(tone() * scale) + shift if shift else tone() * scale).astype(dtype)
    )
    found = read_sound(tmp_path / "a.wav", RATE)
    assert np.allclose(found.wave, tone(), atol=0.01)
    assert (found.rate, found.seconds, found.silent) == (RATE, 0.5, False)


def test_channels_are_mixed_and_the_rate_is_changed(tmp_path: Path) -> None:
    both = np.stack([tone(rate=16000), np.zeros(8000)], axis=1)
    wavfile.write(tmp_path / "a.WAV", 16000, both.astype(np.float32))
    found = read_sound(tmp_path / "a.WAV", RATE)
    assert len(found.wave) == 4000
    assert np.allclose(found.wave[100:-100], 0.5 * tone()[100:-100], atol=0.01)
    assert resampled(found.wave, RATE, RATE) is found.wave


def test_channels_of_opposite_phase_are_no_silence_but_told_to_cancel(tmp_path: Path) -> None:
    def left_out(*channels: Any) -> str:
        wavfile.write(tmp_path / "a.wav", RATE, np.stack(channels, axis=1).astype(np.float32))
        [(_, _, why)] = read_sounds([tmp_path / "a.wav"], RATE)
        return why

    nothing, quiet = 0 * tone(), 10 ** (-58 / 20) * tone()
    why = left_out(tone(), -tone())
    assert why.startswith("a.wav has channels that cancel each other: -9 dB alone, -200 dB mixed")
    assert "ffmpeg -i IN -af" in why
    assert "cancel" in left_out(tone(), nothing, -tone())
    assert left_out(nothing, nothing).startswith("silence")
    assert left_out(quiet, *[nothing] * 3).startswith("silence")  # of four channels one alone is heard, hardly
    assert left_out(tone(), nothing) == ""


def test_silence_too_long_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "good.wav", RATE, tone().astype(np.float32))
    wavfile.write(tmp_path / "silent.wav", RATE, np.zeros(RATE, dtype=np.int16))
    wavfile.write(tmp_path / "long.wav", RATE, np.zeros(RATE * 3, dtype=np.int16))
    wavfile.write(tmp_path / "nan.wav", RATE, np.full(RATE, np.nan, dtype=np.float32))
    wavfile.write(tmp_path / "short.wav", RATE, tone(0.01).astype(np.float32))
    (tmp_path / "damaged.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE and so on")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no sound")
    for hidden in ("._good.wav", ".trash/good.wav", "__MACOSX/good.wav"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes((tmp_path / "good.wav").read_bytes())
    paths, names, skipped = find_sounds(tmp_path)
    assert names == sorted(["damaged.wav", "empty.wav", "good.wav", "long.wav", "nan.wav", "short.wav", "silent.wav"])
    assert skipped == ()
    told = {path.name: why for path, _, why in read_sounds(paths, RATE, longest=2)}
    assert told["good.wav"] == ""
    assert told["silent.wav"].startswith("silence (-")
    assert "is 0:03 min long; at most 0:02 min" in told["long.wav"]
    assert "not finite" in told["nan.wav"]
    assert "too short" in told["short.wav"]
    assert told["damaged.wav"] == "damaged.wav is damaged, and no sound that can be read"
    assert told["empty.wav"] == "empty.wav is empty"
    assert [path.name for path, sound, _ in read_sounds(paths, RATE, longest=2) if sound is not None] == ["good.wav"]


def test_sounds_in_shards_are_told_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a-0.tar").write_bytes(b"")
    for place, told in ((tmp_path, "holds shards and no sound beside them"), (tmp_path / "a-0.tar", "is a shard")):
        with pytest.raises(ValueError, match=rf"{told}; .*tar -xf"):
            find_sounds(place)


def test_only_formats_of_the_list_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a.exe").write_bytes(wav_bytes(tone().astype(np.float32), RATE))
    with pytest.raises(ValueError, match=r"a\.exe is no sound that is read: it must end in \.wav"):
        read_sound(tmp_path / "a.exe", RATE)
    with pytest.raises(ValueError, match="holds no sound"):
        find_sounds(tmp_path)
    with pytest.raises(ValueError, match="no file or folder"):
        find_sounds(tmp_path / "nowhere")


def test_a_file_that_is_too_large_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wavfile.write(tmp_path / "a.wav", RATE, tone().astype(np.float32))
    monkeypatch.setattr(sounds, "LARGEST", 100)
    with pytest.raises(ValueError, match="at most 100 are read"):
        read_sound(tmp_path / "a.wav", RATE)


def test_other_formats_need_soundfile_and_the_error_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.ogg").write_bytes(b"OggS")
    told = r'a\.ogg is no WAV; other sounds are read by soundfile: pip install "unseen\[captioning\]"'
    with pytest.raises(ImportError, match=told):
        read_sound(tmp_path / "a.ogg", RATE)
    assert "soundfile" in next(iter(read_sounds([tmp_path / "a.ogg"], RATE)))[2]


def test_flac_and_ogg_are_read_as_wav_is(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason='no soundfile; pip install "unseen[captioning]"')
    for suffix in ("flac", "ogg"):
        soundfile.write(tmp_path / f"a.{suffix}", tone(1.0), RATE)
        found = read_sound(tmp_path / f"a.{suffix}", RATE)
        assert np.allclose(found.wave[500:7500], tone(1.0)[500:7500], atol=0.05)
    with pytest.raises(ValueError, match="0:01 min long"):
        read_sound(tmp_path / "a.flac", RATE, longest=0.5)


def test_a_long_sound_is_read_in_parts() -> None:
    wave = np.arange(25, dtype=np.float32)
    assert [len(part) for part in windows(wave, 1, 10)] == [10, 10, 5]
    assert [len(part) for part in windows(wave[:20], 1, 10)] == [10, 10]
    assert [len(part) for part in windows(np.zeros(2005, dtype=np.float32), 100, 10)] == [1000, 1000]
    assert np.concatenate(windows(wave, 1, 10)).tolist() == wave.tolist()


def test_the_level_of_full_scale_and_of_nothing() -> None:
    square = np.resize(np.array([1.0, -1.0], dtype=np.float32), 10)
    assert Sound(square, 10, 1.0).level == pytest.approx(0.0)
    assert Sound(0.1 * square, 10, 1.0).level == pytest.approx(-20.0, abs=0.01)
    assert Sound(1e-4 * square, 10, 1.0).silent


def test_a_constant_is_silence_and_silent_parts_of_a_long_sound_are_left_out() -> None:
    assert Sound(np.full(10, 0.5, dtype=np.float32), 10, 1.0).silent
    heard, nothing = tone(10.0).astype(np.float32), np.full(10 * RATE, 0.1, dtype=np.float32)
    long = np.concatenate([nothing, heard, nothing])
    assert [part.tolist() for part in sounds.audible(long, RATE)] == [heard.tolist()]
    assert len(sounds.audible(np.concatenate([nothing, nothing]), RATE)) == 2


def test_a_wav_that_is_too_long_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, dtype in (("a.wav", np.int16), ("b.wav", np.float32)):
        wavfile.write(tmp_path / name, RATE, np.zeros((RATE * 3, 2), dtype=dtype))

    def decoded(*_: Any, **__: Any) -> Any:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(wavfile, "read", decoded)
    for name in ("a.wav", "b.wav"):
        with pytest.raises(ValueError, match="is 0:03 min long; at most 0:02 min"):
            read_sound(tmp_path / name, RATE, longest=2)


def test_a_file_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    assert [why for _, _, why in read_sounds([tmp_path / "a.wav"], RATE)] == ["there is no file a.wav"]


def test_a_wave_is_written_as_it_is_read() -> None:
    rate, values = wavfile.read(io.BytesIO(wav_bytes(tone().astype(np.float32), RATE)))
    assert rate == RATE
    assert np.allclose(values / 32767, tone(), atol=1e-4)
