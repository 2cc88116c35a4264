"""Frames of videos: files and folders, in order, decoded once; what cannot be read is named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="frames are made smaller by OpenCV")
av = pytest.importorskip("av", reason="videos are read by PyAV")

from PIL import Image

from unseen.data import frames as module
from unseen.data import kept_frames
from unseen.data.frames import frames_of, videos
from unseen.data.loaders import load


def shade(i: int, height: int = 64, width: int = 96) -> np.ndarray:
    """A frame that tells its number by its brightness."""
    return np.full((height, width, 3), min(8 + 12 * i, 250), np.uint8)


def write(path: Path, n: int = 20, rate: int = 10, rotation: int = 0, sound: bool = False) -> Path:
    with av.open(str(path), "w") as out:
        if sound:
            track = out.add_stream("aac", rate=8000)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 8000
            for packet in (*track.encode(silence), *track.encode(None)):
                out.mux(packet)
            return path
        track = out.add_stream("mpeg4", rate=rate)
        track.height, track.width, track.pix_fmt, track.gop_size = 64, 96, "yuv420p", 4
        track.codec_context.time_base = Fraction(1, 100)
        if rotation:
            track.set_display_rotation(rotation)
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(shade(i), "rgb24")
            frame.pts, frame.time_base = 100 * i // rate, Fraction(1, 100)
            for packet in track.encode(frame):
                out.mux(packet)
        for packet in track.encode(None):
            out.mux(packet)
    return path


def numbers(domain: object) -> list[int]:
    """Which frames a domain shows, by their brightness."""
    return [round((float(np.asarray(x).mean()) - 8) / 12) for x in domain.x]  # type: ignore[attr-defined]


def test_frames_come_in_order_at_the_rate_that_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "walk.mp4")
    whole = frames_of(file, rate=10)
    assert numbers(whole) == list(range(20))
    assert whole.columns["frame"].tolist() == list(range(20))
    assert set(whole.columns["video"]) == {"walk"}
    fewer = frames_of(file, rate=5)
    assert len(fewer) == 10
    assert set(np.diff(numbers(fewer))) == {2}
    assert len(frames_of(file, rate=60)) == 20  # no frame twice


def test_a_video_that_is_turned_by_metadata_stands_upright(tmp_path: Path) -> None:
    assert np.asarray(frames_of(write(tmp_path / "a.mov", rotation=90)).x[0]).shape == (96, 64, 3)


def test_large_frames_are_made_smaller_and_long_videos_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "a.mp4")
    assert np.asarray(frames_of(file, longest=72).x[0]).shape == (48, 72, 3)
    assert len(frames_of(file, rate=10, most=5)) == 5
    assert "0 of its 2 seconds are used" in caplog.text or "1 of its 2 seconds are used" in caplog.text
    assert numbers(frames_of(file, rate=10, most=5, start=1.0)) == [10, 11, 12, 13, 14]


def test_frames_are_decoded_once_where_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.mp4")
    first = frames_of(file, keep=tmp_path / "kept")
    file.rename(tmp_path / "b.mp4")  # what counts is what it shows
    (tmp_path / "b.mp4").touch()
    decode = module._decoded
    monkeypatch.setattr(module, "_decoded", lambda *a: pytest.fail("decoded again"))
    monkeypatch.setattr(kept_frames, "LARGE", 1000)  # it stays on the disk, of which frames are looked at one by one
    again = frames_of(tmp_path / "b.mp4", keep=tmp_path / "kept")
    assert numbers(again) == numbers(first)
    assert set(again.columns["video"]) == {"b"}
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.suffix == ".npy"
    monkeypatch.setattr(module, "_decoded", decode)
    for damaged in (kept.read_bytes()[:100], kept.read_bytes()[:-5]):
        kept.write_bytes(damaged)
        assert numbers(frames_of(tmp_path / "b.mp4", keep=tmp_path / "kept")) == numbers(first)
    assert len(frames_of(tmp_path / "b.mp4", rate=5, keep=tmp_path / "kept")) == 10  # which is another reading
    monkeypatch.setattr(module, "DECODING", module.DECODING + 1)
    monkeypatch.setattr(module, "_decoded", lambda *a: decode(*a)[:7])
    assert len(frames_of(tmp_path / "b.mp4", keep=tmp_path / "kept")) == 7  # what another decoding kept is not read


def test_clips_and_frames_of_one_video_show_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    file = write(tmp_path / "a.mp4", 20)
    clip = load(file, frames=20).x[0]
    assert np.array_equal(clip.transpose(0, 2, 3, 1), np.stack([*frames_of(file, rate=10).x]))
    folder = tmp_path / "film"
    folder.mkdir()
    for i in (0, 1, 2, 10):
        Image.fromarray(shade(i)).save(folder / f"frame_{i}.png")
        (folder / f"._frame_{i}.png").write_bytes(b"what another system left")
    table = tmp_path / "t.csv"
    table.write_text("path,label\nfilm,a\n")
    assert numbers(frames_of(folder)) == [0, 1, 2, 10]
    assert np.array_equal(load(table, frames=4).x[0].transpose(0, 2, 3, 1), np.stack([*frames_of(folder).x]))


def test_a_folder_of_pictures_is_a_video_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "film"
    folder.mkdir()
    for i in (0, 1, 2, 9, 10, 11):
        Image.fromarray(shade(i)).save(folder / f"frame_{i}.png")
    assert numbers(frames_of(folder)) == [0, 1, 2, 9, 10, 11]


def test_several_videos_have_names_of_their_own_and_bad_ones_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "walk.mp4")
    (tmp_path / "two" / "broken.mp4").write_bytes(b"no video at all")
    found = videos([tmp_path / "one", tmp_path / "two"])
    assert set(found.columns["video"]) == {"walk", "walk (2)"}
    assert "broken.mp4" in caplog.text
    with pytest.raises(ValueError, match=r"broken\.mp4"):
        videos([tmp_path / "two" / "broken.mp4"])
    with pytest.raises(ValueError, match="paths must name a video"):
        videos([])


def test_a_video_that_is_called_like_a_second_one_keeps_its_name_to_itself(tmp_path: Path) -> None:
    for folder, name in (("one", "walk (2)"), ("two", "walk"), ("three", "walk"), ("four", "walk (2)")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / f"{name}.mp4", 5)
    found = videos([tmp_path / folder for folder in ("one", "two", "three", "four")], rate=10)
    assert list(dict.fromkeys(found.columns["video"])) == ["walk (2)", "walk", "walk (3)", "walk (2) (2)"]
    assert len(set(found.ids)) == 20


def test_a_file_is_decoded_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = module.read_frames
    monkeypatch.setattr(
        module, "read_frames", lambda file, times, **k: asked.append(len(times)) or read(file, times, **k)
    )
    assert numbers(frames_of(write(tmp_path / "a.mp4", 40), rate=10))[:20] == list(range(20))
    assert asked == [40]


def test_what_is_no_video_with_frames_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture track"):
        frames_of(write(tmp_path / "a.mp4", sound=True))
    with pytest.raises(ValueError, match="one frame"):
        frames_of(write(tmp_path / "b.mp4", 1))
    told = r"it has 2 frames from 0 s on at 6 a second; 3 at least are needed: take a larger `rate` \(its own is 10\)"
    with pytest.raises(ValueError, match=told):
        frames_of(write(tmp_path / "e.mp4", 3), rate=6)
    with pytest.raises(ValueError, match="3 at least are needed"):
        frames_of(write(tmp_path / "c.mp4", 2))
    whole = write(tmp_path / "d.mp4", 200).read_bytes()
    (tmp_path / "d.mp4").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ValueError, match=r"d\.mp4: .*(truncated|damaged)"):
        frames_of(tmp_path / "d.mp4")
    Image.fromarray(shade(1)).save(tmp_path / "e.png")
    with pytest.raises(ValueError, match="is one picture"):
        frames_of(tmp_path / "e.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds 0 pictures"):
        frames_of(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="there is no"):
        frames_of(tmp_path / "nowhere.mp4")
    with pytest.raises(ValueError, match="start must lie before"):
        frames_of(write(tmp_path / "f.mp4"), start=9.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rate": 0.0}, "rate must be above 0"),
        ({"longest": 10}, "longest must be"),
        ({"most": 2}, "most must be"),
        ({"start": -1.0}, "start must be"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        frames_of(tmp_path, **settings)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for i in range(4):
        Image.fromarray(shade(i, 64 + (i == 3))).save(mixed / f"{i}.png")
    with pytest.raises(ValueError, match="frames of a video are of one size"):
        list(frames_of(mixed).x)
