"""Clips of files: class folders, tables with times, folders of frames; decoded once; windows over long ones."""

import io
import json
import os
import pickle

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from unseen.data import clips, kept_frames, video
from unseen.data.decoded import keeping
from unseen.data.loaders import load
from unseen.data.reading import open_file
from unseen.runtime import watched
from videos import numbers, shade, write_video


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))


def test_a_folder_of_class_folders_is_a_domain_of_clips(tmp_path):
    for name in ("run/b.mp4", "run/a.mkv", "jump/c.avi"):
        write_video(tmp_path / "data" / name)
    domain = load(tmp_path / "data", frames=5)
    assert (domain.kind, domain.classes.names, domain.y.tolist()) == ("clip", ("jump", "run"), [0, 1, 1])
    clip = domain.x[0]
    assert clip.shape == (5, 3, 16, 24)  # as they are: not made larger
    assert clip.dtype == np.uint8
    assert numbers(clip) == [1, 3, 5, 7, 9]


def test_a_video_that_is_called_as_a_word_of_the_message_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"one\.mp4: the video has one frame"):
        load(write_video(tmp_path / "one.mp4", 1))
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.mp4: the file is empty"):
        load(tmp_path / "empty.mp4")


def test_a_long_look_at_files_and_their_reading_are_told(tmp_path):
    for name in ("run/a.mp4", "run/b.mp4"):
        write_video(tmp_path / "data" / name)
    told = []
    with watched(lambda label, done, of: told.append((label, done, of))):
        load(tmp_path / "data").digests()
    assert [one for one in told if one[1] == 2] == [("looking at files", 2, 2), ("reading the files of data", 2, 2)]


def test_one_video_is_one_clip_without_a_label(tmp_path):
    domain = load(write_video(tmp_path / "a.mp4"), frames=2)
    assert (domain.kind, len(domain), domain.y, domain.ids.tolist()) == ("clip", 1, None, ["a.mp4"])


def test_a_table_names_parts_of_videos_by_their_times(tmp_path):
    write_video(tmp_path / "v/a.mp4", 20)
    rows = "path,start,end,label\nv/a.mp4,0,1,first\nv/a.mp4,1,2,second\nv/a.mp4,5,6,late\nv/no.mp4,0,1,first\n"
    (tmp_path / "t.csv").write_text(rows)
    domain = load(tmp_path / "t.csv", frames=2)
    assert [numbers(clip) for clip in domain.x] == [[2, 7], [12, 17]]
    assert domain.ids.tolist() == ["v/a.mp4#0-1", "v/a.mp4#1-2"]
    assert [skipped.where for skipped in domain.skipped] == ["row 3: v/a.mp4", "row 4: v/no.mp4"]
    assert "the video ends at 2.00 s" in domain.skipped[0].why
    assert "does not exist" in domain.skipped[1].why
    assert domain.fingerprint() != domain.take([0, 0][:1]).fingerprint()


def test_times_that_are_no_numbers_are_named(tmp_path):
    write_video(tmp_path / "a.mp4")
    (tmp_path / "t.csv").write_text("path,start,end\na.mp4,soon,1\n")
    with pytest.raises(ValueError, match="start must hold seconds; row 1 has 'soon'"):
        load(tmp_path / "t.csv")


def test_rows_without_times_are_whole_videos_and_are_called_so(tmp_path):
    write_video(tmp_path / "a.mp4", 20)
    rows = [{"path": "a.mp4", "start": "", "end": ""}, {"path": "a.mp4", "start": 1, "end": ""}]
    rows += [{"path": "a.mp4", "start": "", "end": 1}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "t.csv").write_text("path,start,end\na.mp4,,\na.mp4,1,\na.mp4,,1\n")
    for table in ("t.jsonl", "t.csv"):
        domain = load(tmp_path / table, frames=2)
        assert domain.ids.tolist() == ["a.mp4", "a.mp4#1-", "a.mp4#-1"]
        assert [numbers(clip) for clip in domain.x] == [[5, 15], [12, 17], [2, 7]]
        assert np.array_equal(domain.columns["start"], [np.nan, 1, np.nan], equal_nan=True)


def test_columns_called_from_and_to_are_no_times(tmp_path):
    write_video(tmp_path / "a.mp4", 20)
    (tmp_path / "t.csv").write_text("path,from,to\na.mp4,home,work\n")
    domain = load(tmp_path / "t.csv", frames=2)
    assert numbers(domain.x[0]) == [5, 15]
    assert domain.columns["from"].tolist() == ["home"]


def test_a_video_of_many_rows_is_opened_once(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", 20)
    (tmp_path / "t.csv").write_text("path,start,end\n" + "".join(f"a.mp4,{i / 10},{i / 10 + 0.5}\n" for i in range(12)))
    opened = []
    real = video._opened
    monkeypatch.setattr(video, "_opened", lambda *args: opened.append(args) or real(*args))
    assert len(load(tmp_path / "t.csv")) == 12
    assert len(opened) == 1


def test_folders_of_frames_are_clips(tmp_path):
    for clip, count in (("run/x", 4), ("run/y", 6), ("jump/z", 2)):
        for i in range(count):
            path = tmp_path / "data" / clip / f"frame_{i + 1:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(shade(i)).save(path)
    domain = load(tmp_path / "data", frames=2)
    assert (domain.kind, domain.ids.tolist()) == ("clip", ["jump/z", "run/x", "run/y"])
    assert [numbers(clip) for clip in domain.x] == [[0, 1], [1, 3], [1, 4]]
    (tmp_path / "data" / "t.csv").write_text("path,label\nrun/x,run\njump/z,jump\n")
    table = load(tmp_path / "data" / "t.csv", frames=2)
    assert [numbers(clip) for clip in table.x] == [[1, 3], [0, 1]]


def test_folders_of_frames_have_no_times_and_a_row_that_gives_some_is_left_out(tmp_path):
    for i in range(4):
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(shade(i)).save(tmp_path / "x" / f"frame_{i}.png")
    (tmp_path / "t.csv").write_text("path,start,end\nx,,\nx,0,1\nx,2,\n")
    domain = load(tmp_path / "t.csv", frames=2)
    assert [numbers(clip) for clip in domain.x] == [[1, 3]]
    assert [skipped.where for skipped in domain.skipped] == ["row 2: x", "row 3: x"]
    assert "a folder of frames, which has no times" in domain.skipped[0].why


def frames_of(root, lacking, clips=("run/a", "run/b", "jump/c", "jump/d"), name="frame_{:04d}.png"):
    for clip in clips:
        for i in range(1, 5):
            if (clip, i) not in lacking:
                path = root / clip / name.format(i)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (16, 12), (0, 40 * i, 0)).save(path)
    return root


def test_a_clip_that_lacks_a_frame_is_left_out_and_named(tmp_path):
    domain = load(frames_of(tmp_path, {("run/b", 3)}), frames=2)
    assert domain.kind == "clip"
    assert domain.ids.tolist() == ["jump/c", "jump/d", "run/a"]
    assert [(one.where, one.why) for one in domain.skipped] == [("run/b", "frame 3 is missing")]
    with pytest.raises(ValueError, match="'run/b': frame 3 is missing"):
        load(tmp_path, frames=2, on_error="fail")


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ({("run/b", 1)}, []),
        ({("run/b", 2), ("jump/d", 2), ("jump/c", 3)}, ["3 of its 4 folders", "the first jump/c: frame 3 is missing"]),
    ],
)
def test_folders_most_of_which_lack_a_frame_are_pictures_and_that_is_said(tmp_path, caplog, lacking, told):
    assert load(frames_of(tmp_path, lacking), frames=2).kind == ("image" if told else "clip")
    assert all(words in caplog.text for words in told)


def test_folders_of_clips_without_a_class_and_a_missing_frame_are_pictures_and_that_is_said(tmp_path, caplog):
    assert load(frames_of(tmp_path, {("b", 3)}, clips="abcd"), frames=2).kind == "image"
    assert "1 of its 4 folders do not hold the frames of a clip, the first b: frame 3 is missing" in caplog.text


def test_numbered_pictures_with_gaps_are_pictures_without_a_word(tmp_path, caplog):
    lacking = {("run/b", 2), ("jump/d", 2), ("jump/c", 3)}
    assert load(frames_of(tmp_path, lacking, name="{:04d}.png"), frames=2).kind == "image"
    assert "folders" not in caplog.text


def test_why_numbers_are_not_those_of_a_clip():
    assert clips.frames_missing([0, 1, 2]) == clips.frames_missing([1, 2]) == ""
    assert clips.frames_missing([7]) == "it has one frame; a clip needs two"
    assert clips.frames_missing([3, 4]) == "its first frame is 3; frames are numbered from 0 or 1 on"
    assert clips.frames_missing([1, 1, 2]) == "frame 1 is there twice"


def test_frames_of_a_folder_are_looked_at_where_they_are_though_others_end_alike(tmp_path):
    for clip, start in (("jump/x", 0), ("longjump/x", 1)):
        for i in range(3):
            path = tmp_path / clip / f"frame_{start + i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(shade(i)).save(path)
    (tmp_path / "jump" / "x" / "frame_0.png").write_bytes(b"no picture")
    domain = load(tmp_path, frames=2)
    assert domain.ids.tolist() == ["longjump/x"]
    assert [skipped.where for skipped in domain.skipped] == ["jump/x"]


def test_folders_that_are_called_frames_are_clips_without_a_class_and_numbered_pictures_are_not(tmp_path):
    for name in ("a", "b"):
        for i in range(4):
            for path in (tmp_path / "frames" / name / f"frame_{i:03d}.png", tmp_path / "cats" / name / f"{i:03d}.png"):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(shade(i)).save(path)
    domain = load(tmp_path / "frames", frames=2)
    assert (domain.kind, domain.ids.tolist(), domain.y) == ("clip", ["a", "b"], None)
    assert [numbers(clip) for clip in domain.x] == [[1, 3], [1, 3]]
    assert load(tmp_path / "cats").kind == "image"


def test_a_cover_does_not_make_a_folder_of_videos_one_of_pictures(tmp_path, caplog):
    for i in range(3):
        write_video(tmp_path / "run" / f"{i}.mp4")
    Image.fromarray(shade(1)).save(tmp_path / "run" / "cover.jpg")
    domain = load(tmp_path)
    assert (domain.kind, len(domain)) == ("clip", 3)
    assert "3 videos and 1 pictures; its videos are read" in caplog.text
    for i in range(3):
        Image.fromarray(shade(1)).save(tmp_path / "run" / f"{i}.jpg")
    assert (load(tmp_path).kind, len(load(tmp_path))) == ("image", 4)


def test_pictures_that_are_not_numbered_one_after_the_other_stay_pictures(tmp_path):
    for name in ("cat/a/1.png", "cat/a/3.png", "dog/b/1.png", "dog/b/2.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shade(1)).save(path)
    assert load(tmp_path).kind == "image"


def test_what_cannot_be_read_is_counted_and_named(tmp_path):
    write_video(tmp_path / "data/run/a.mp4")
    write_video(tmp_path / "data/run/one.mp4", 1)
    write_video(tmp_path / "data/run/sound.mp4", sound=True)
    (tmp_path / "data/run/cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    domain = load(tmp_path / "data")
    assert domain.ids.tolist() == ["run/a.mp4"]
    told = {skipped.where: skipped.why for skipped in domain.skipped}
    assert set(told) == {"run/one.mp4", "run/sound.mp4", "run/cut.mp4"}
    assert "one frame" in told["run/one.mp4"]


def test_a_video_of_ten_hours_is_named_with_what_to_do(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setattr(video._Video, "seconds", property(lambda self: 36_000.0))
    monkeypatch.setattr("unseen.data.video._is_short", lambda last, seconds: False)
    with pytest.raises(ValueError, match=r"10:00:00 long; at most 0:10:00 make one.*stride"):
        load(path)


def test_clips_are_decoded_once(tmp_path, monkeypatch):
    domain = load(write_video(tmp_path / "a.mp4"), frames=4)
    first = domain.x[0]
    monkeypatch.setattr(video, "read_frames", lambda *args, **kwargs: pytest.fail("it was decoded again"))
    assert np.array_equal(load(tmp_path / "a.mp4", frames=4).x[0], first)
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("it was read again"))
    monkeypatch.setattr(clips._Kept, "_kept", lambda self, item: first)
    with keeping():
        assert domain.x[0] is domain.x[0]


def test_what_another_decoding_kept_is_not_read(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4")
    before = load(tmp_path / "a.mp4", frames=4)
    first, digests = before.x[0], before.digests()
    monkeypatch.setattr(video, "DECODING", video.DECODING + 1)
    monkeypatch.setattr(video, "read_frames", lambda *args, **kwargs: 255 - first)
    after = load(tmp_path / "a.mp4", frames=4)
    assert np.array_equal(after.x[0], 255 - first)
    assert after.digests() != digests  # so that no features of the old frames are read either


def test_clips_of_files_are_read_more_finely_where_more_frames_are_looked_at(tmp_path):
    for name in ("a/one", "b/two"):
        write_video(tmp_path / f"{name}.mp4", 40, rate=10)
    domain = load(tmp_path)
    assert len(domain.x[0]) == 16
    for some in (domain, domain.take([1]), domain.replace(x=domain.x.anonymous())):
        finely = clips.read_finely(some, 32)
        assert len(finely.x[0]) == 32
        assert len(set(numbers(finely.x[0]))) > 16
        assert set(finely.digests()).isdisjoint(some.digests())
        assert clips.read_finely(finely, 8).x is finely.x
    held = domain.replace(x=np.stack(list(domain.x)))
    assert clips.read_finely(held, 32) is held


def test_a_damaged_file_of_the_cache_is_decoded_again(tmp_path):
    domain = load(write_video(tmp_path / "a.mp4"), frames=4)
    first = domain.x[0]
    (kept,) = kept_frames.cache().glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:100])
    assert np.array_equal(load(tmp_path / "a.mp4", frames=4).x[0], first)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(50), b"lies"])
def test_what_is_no_array_in_the_cache_is_decoded_again(tmp_path, content):
    if content == b"lies":
        header = io.BytesIO()
        told = {"descr": "|u1", "fortran_order": False, "shape": (16, 3, 40_000, 10**9)}
        np.lib.format.write_array_header_1_0(header, told)
        content = header.getvalue() + b"x"
    (tmp_path / "a.npy").write_bytes(content)
    values = np.zeros((2, 3, 8, 8), np.uint8)
    store = kept_frames.Store(tmp_path)
    assert store.get("a.npy") is None
    np.testing.assert_array_equal(store.once("a.npy", lambda: values), values)
    np.testing.assert_array_equal(store.get("a.npy"), values)


def test_nothing_is_kept_beyond_the_room(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_frames, "ROOM", 1000)
    load(write_video(tmp_path / "a.mp4"), frames=4).x[0]
    assert not list(kept_frames.cache().glob("*.npy"))


def test_where_there_is_no_room_goes_what_was_not_read_the_longest(tmp_path, monkeypatch):
    values = np.zeros((2, 3, 8, 8), np.uint8)
    monkeypatch.setattr(kept_frames, "ROOM", 3 * (values.nbytes + 128))
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    before = kept_frames.Store(kept_frames.cache())
    for name in ("a.npy", "b.npy", "c.npy"):
        before.put(name, values)
    for i, name in enumerate(("b.npy", "c.npy", "a.npy")):
        os.utime(kept_frames.cache() / name, (1000 + i, 1000 + i))
    store = kept_frames.Store(kept_frames.cache())
    store.opened = 1e9
    assert store.get("c.npy") is not None
    for name in ("d.npy", "e.npy", "f.npy"):
        store.put(name, values)
    assert sorted(file.name for file in kept_frames.cache().glob("*.npy")) == ["c.npy", "d.npy", "e.npy"], (
        "f found all new"
    )
    assert store.used == sum(file.stat().st_size for file in kept_frames.cache().glob("*.npy"))


def test_a_file_elsewhere_is_hashed_again_only_if_it_changed(tmp_path, monkeypatch):
    fs = fsspec.filesystem("memory")
    fs.pipe("/far/a.mp4", write_video(tmp_path / "a.mp4").read_bytes())
    x = clips.clip_files([clips.Segment("/far/a.mp4")], fs, frames=2)
    first = x.digest(0)
    opened = []
    monkeypatch.setattr(kept_frames, "open_file", lambda *args: opened.append(args) or open_file(*args))
    assert x.digest(0) == first
    assert not opened
    fs.pipe("/far/a.mp4", write_video(tmp_path / "b.mp4", 12).read_bytes())
    assert x.digest(0) != first
    fs.rm("/far", recursive=True)


def test_windows_slide_over_a_video_and_the_last_one_ends_with_it():
    assert clips.windows(10, 4, 3) == [(0, 4), (3, 7), (6, 10)]
    assert clips.windows(10.5, 4, 3) == [(0, 4), (3, 7), (6, 10), (6.5, 10.5)]
    assert clips.windows(3, 4, 2) == [(0, 3)]
    with pytest.raises(ValueError, match="stride must be a positive number"):
        clips.windows(10, 4, 0)
    with pytest.raises(ValueError, match="at most 100,000"):
        clips.windows(1e6, 1, 0.001)


@pytest.mark.parametrize("span", [(-1, 2), (2, 1), (float("nan"), 1), (1, 1)])
def test_a_segment_needs_times_in_order(span):
    with pytest.raises(ValueError, match="start and end must be seconds"):
        clips.Segment("a.mp4", *span)


def test_ready_clips_are_cut_resized_and_normalized(tmp_path):
    from unseen.data.segments import ready, stacked

    domain = load(write_video(tmp_path / "a.mp4"), frames=8)
    made = ready(domain, (16, 16), mean=(0.5,) * 3, std=(0.5,) * 3, frames=4)
    x = stacked(made)
    assert x.shape == (1, 4, 3, 16, 16)
    expected = (torch.tensor([20 + 6 * i for i in (1, 4, 6, 9)]) / 255 - 0.5) / 0.5
    assert torch.allclose(x.mean(dim=(0, 2, 3, 4)), expected, atol=0.03)


def test_windows_of_a_video_are_clips_with_their_times(tmp_path):
    path = write_video(tmp_path / "a.mp4", 30)
    domain = clips.sliding(path, 1, 2, frames=2)
    assert domain.ids.tolist() == ["a.mp4#0.00-2.00", "a.mp4#1.00-3.00"]
    assert domain.columns["start"].tolist() == [0, 1]
    assert [numbers(clip) for clip in domain.x] == [[5, 15], [15, 25]]
    assert clips.sliding(path, 1.5).columns["end"].tolist() == [1.5, 3.0]


@pytest.mark.parametrize("order", [range(9), reversed(range(9)), [4, 5, 6, 0, 1, 8, 8, 2], [7, 3]])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_windows_show_what_each_of_them_alone_shows_in_any_order(tmp_path, suffix, order):
    path = write_video(tmp_path / f"a{suffix}", 50, gop=7)
    domain = clips.sliding(path, 0.5, 1, frames=4)
    assert len(domain) == 9
    alone = clips.clip_files([clips.Segment(str(path), start, end) for start, end in
                              zip(domain.columns["start"], domain.columns["end"])], frames=4)  # fmt: skip
    for i in order:
        assert np.array_equal(domain.x[i], alone[i])


def test_windows_that_overlap_are_decoded_once_and_frames_between_far_ones_are_not(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 100, gop=10)
    overlapping, far = clips.sliding(path, 0.5, 2, frames=4), clips.sliding(path, 4, 1, frames=2)
    decoded = []
    time = video._Video._time
    monkeypatch.setattr(video._Video, "_decoded", lambda self: (
        decoded.append(time(self, frame)) or frame for frame in self.container.decode(self.stream)))  # fmt: skip
    assert len([*overlapping.x]) == 17
    assert len(decoded) == len(set(decoded)) <= 100
    decoded.clear()
    assert len([*far.x]) == 4
    assert len(decoded) < 60


def test_windows_go_to_other_processes(tmp_path):
    domain = clips.sliding(write_video(tmp_path / "a.mp4", 30), 1, 2, frames=2)
    first = domain.x[0]
    assert np.array_equal(pickle.loads(pickle.dumps(domain.x))[0], first)


def test_windows_take_no_room_of_clips_that_are_kept(tmp_path):
    load(write_video(tmp_path / "a.mp4", 30), frames=2).x[0]
    kept = sorted(kept_frames.cache().iterdir())
    assert len([*clips.sliding(tmp_path / "a.mp4", 1).x]) == 3
    assert sorted(kept_frames.cache().iterdir()) == kept


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_windows_go_as_far_as_a_truncated_video_and_the_rest_is_named(tmp_path, ending):
    path = write_video(tmp_path / f"whole.{ending}", 200, size=(64, 96), index_first=ending == "mp4")
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    domain, whole = clips.sliding(cut, 2), clips.sliding(path, 2)
    end = domain.columns["end"][-1]
    (rest,) = domain.skipped
    assert 5 < end < 15
    assert rest.where == f"cut.{ending}#{end:.2f}-20.00"
    assert rest.why.startswith(f"the video is truncated: it ends after {end:.1f} of 20.0 s")
    for i in range(len(domain) - 1):
        np.testing.assert_array_equal(domain.x[i], whole.x[i])
    assert len(domain.x[len(domain) - 1]) == clips.FRAMES
    with cut.open("rb") as file, pytest.raises(video.TruncatedError, match=f"ends after {end:.1f} of 20.0 s"):
        video.probe(file)


def test_windows_slide_over_one_video_of_this_machine_by_positive_numbers(tmp_path):
    path = write_video(tmp_path / "a.mp4", 30)
    with pytest.raises(ValueError, match=r"one\.mp4: the video has one frame"):
        clips.sliding(write_video(tmp_path / "one.mp4", 1), 1)
    with pytest.raises(ValueError, match=r"path must be one video.* is a folder"):
        clips.sliding(tmp_path, 1)
    with pytest.raises(ValueError, match=r"got the URL 'https://a\.org/b\.mp4'"):
        clips.sliding("https://a.org/b.mp4", 1)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        clips.sliding(tmp_path / "no.mp4", 1)
    for stride in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="stride must be a positive number"):
            clips.sliding(path, stride)
    with pytest.raises(ValueError, match="window must be a positive number"):
        clips.sliding(path, 1, 0)
