"""Sounds as samples: class folders, one file, tables; silence and what is damaged is named; read in their own rate."""

import pytest

from tones import write_sound
from unseen.data.loaders import load
from unseen.data.sounds import Sound


def test_a_folder_of_class_folders_is_a_domain_of_sounds(tmp_path):
    for name, hertz in (("low", 200), ("high", 2000)):
        for i, rate in enumerate((8000, 16000)):
            write_sound(tmp_path / "tones" / name / f"{i}.wav", hertz + i, rate)
    domain = load(tmp_path / "tones")
    assert (domain.kind, domain.classes.names, domain.labels.tolist()) == ("audio", ("high", "low"), [0, 0, 1, 1])
    assert domain.ids.tolist() == ["high/0.wav", "high/1.wav", "low/0.wav", "low/1.wav"]
    assert [sound.rate for sound in domain.x] == [8000, 16000, 8000, 16000]
    first = domain.x[0]
    assert isinstance(first, Sound)
    assert first.seconds == 0.5
    assert len(set(domain.digests().tolist())) == 4


def test_one_file_is_one_sound_without_a_label(tmp_path):
    domain = load(write_sound(tmp_path / "a.wav"))
    assert (domain.kind, len(domain), domain.ids.tolist()) == ("audio", 1, ["a.wav"])
    assert not domain.labeled.any()


def test_a_table_names_sounds(tmp_path):
    write_sound(tmp_path / "a.wav")
    write_sound(tmp_path / "b.wav", 880)
    (tmp_path / "sounds.csv").write_text("path,label\na.wav,low\nb.wav,high\nc.wav,high\n")
    domain = load(tmp_path / "sounds.csv")
    assert (domain.kind, domain.ids.tolist()) == ("audio", ["a.wav", "b.wav"])
    assert [(skipped.where, skipped.why) for skipped in domain.skipped] == [("c.wav", "the file does not exist")]


def test_silence_and_damage_are_left_out_and_named(tmp_path):
    write_sound(tmp_path / "s" / "a" / "good.wav")
    write_sound(tmp_path / "s" / "a" / "silent.wav", level=0.0)
    (tmp_path / "s" / "a" / "broken.wav").write_bytes(b"RIFF....")
    domain = load(tmp_path / "s")
    assert domain.ids.tolist() == ["a/good.wav"]
    told = {skipped.where: skipped.why for skipped in domain.skipped}
    assert told["a/silent.wav"].startswith("silence")
    assert told["a/broken.wav"] == "broken.wav is cut off or damaged, and no sound that can be read"
    with pytest.raises(ValueError, match="silence"):
        load(tmp_path / "s" / "a" / "silent.wav")


def test_what_there_is_more_of_is_read(tmp_path, caplog):
    from PIL import Image

    write_sound(tmp_path / "m" / "a.wav")
    Image.new("RGB", (8, 8)).save(tmp_path / "m" / "cover.png")
    assert load(tmp_path / "m").kind == "image"
    assert "holds 1 pictures and 1 sounds; its pictures are read" in caplog.text
    write_sound(tmp_path / "m" / "b.wav")
    assert load(tmp_path / "m").kind == "audio"


def test_sounds_elsewhere_are_refused_with_what_to_do(tmp_path):
    import zipfile

    write_sound(tmp_path / "a.wav")
    with zipfile.ZipFile(tmp_path / "sounds.zip", "w") as archive:
        archive.write(tmp_path / "a.wav", "x/a.wav")
    with pytest.raises(ValueError, match="sounds, which are read from this machine alone: copy the folder here"):
        load(tmp_path / "sounds.zip")
