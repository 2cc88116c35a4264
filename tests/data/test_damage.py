"""Damage inside clips: named before any work where nothing but decoding tells; what is whole is decoded once."""

import numpy as np
import pytest
from PIL import Image

from unseen.data import clips, video
from unseen.data.damage import undamaged
from unseen.data.domain import Domain
from unseen.data.loaders import load
from videos import damaged_inside, shade, write_video


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))


def test_a_video_that_is_damaged_inside_is_left_out_and_the_others_are_decoded_once(tmp_path, monkeypatch):
    write_video(tmp_path / "data/run/a.mp4")
    damaged_inside(tmp_path / "data/run/b.mp4")
    write_video(tmp_path / "data/run/one.mp4", 1)
    domain = load(tmp_path / "data")
    assert domain.ids.tolist() == ["run/a.mp4", "run/b.mp4"]  # the ends of b are whole
    whole = undamaged(domain)
    assert (whole.ids.tolist(), whole.y.tolist()) == (["run/a.mp4"], [0])
    assert [skipped.where for skipped in whole.skipped] == ["run/one.mp4", "run/b.mp4"]
    assert whole.skipped[1].why.startswith("the video is damaged after ")
    with pytest.raises(ValueError, match=r"data: 1 unreadable, the first 'run/b.mp4': the video is damaged after"):
        undamaged(domain, "fail")
    with pytest.raises(ValueError, match=r"^run/b.mp4: the video is damaged after"):
        undamaged(domain.take([1]))
    with monkeypatch.context() as patched:
        patched.setattr(video, "read_frames", lambda *args, **kwargs: pytest.fail("it was decoded again"))
        assert len(whole.x[0]) == clips.FRAMES
        assert undamaged(whole) is whole
    damaged_inside(tmp_path / "data/run/a.mp4")
    with pytest.raises(ValueError, match=r"data: none of 2 can be decoded, the first run/a.mp4: the video is damaged"):
        undamaged(load(tmp_path / "data"))


def test_parts_are_left_out_of_a_video_that_is_damaged_elsewhere(tmp_path):
    damaged_inside(tmp_path / "b.mp4")
    (tmp_path / "t.csv").write_text("path,start,end\nb.mp4,5,6\nb.mp4,0,2\n")
    whole = undamaged(load(tmp_path / "t.csv"))
    assert whole.columns["start"].tolist() == [5]
    assert [skipped.where for skipped in whole.skipped] == ["b.mp4#0-2"]


def test_a_damaged_picture_among_the_frames_of_a_folder_leaves_that_clip_out(tmp_path):
    for clip in ("jump/x", "jump/y"):
        for i in range(4):
            path = tmp_path / clip / f"frame_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(shade(i)).save(path)
    (tmp_path / "jump/x/frame_2.png").write_bytes((tmp_path / "jump/x/frame_2.png").read_bytes()[:60])
    whole = undamaged(load(tmp_path))
    assert whole.ids.tolist() == ["jump/y"]
    assert "the picture is truncated or damaged" in whole.skipped[0].why


def test_windows_in_which_a_video_is_damaged_are_left_out(tmp_path):
    domain = clips.sliding(damaged_inside(tmp_path / "a.mp4"), 1.0)
    whole = undamaged(domain, threads=1)
    assert 0 < len(whole) < len(domain) == len(whole) + len(whole.skipped)
    assert whole.columns["start"][-1] == 5
    assert whole.skipped[0].where == "a.mp4#0.00-1.00"
    assert [len(clip) for clip in whole.x] == [clips.FRAMES] * len(whole)


def test_what_is_no_clip_of_a_file_is_given_back():
    for domain in (Domain(x=np.eye(3)), Domain(x=np.zeros((2, 4, 3, 8, 8), np.uint8), kind="clip")):
        assert undamaged(domain) is domain
