"""Videos from end to end: two folders are compared, a long one is named window by window, with names alone too."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from small_towers import saved_towers
from unseen import Bundle, adapt, compare
from unseen.cli import app
from unseen.data.domain import Domain
from videos import damaged_inside, write_video

ENCODER = "frames:efficientnet-lite0?size=32&frames=2"


@pytest.fixture
def here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for side, rate in (("gym", 10), ("street", 12)):
        for i in range(6):
            write_video(tmp_path / side / "dark" / f"{i}.mp4", 6 + i, rate=rate)
            write_video(tmp_path / side / "light" / f"{i}.mp4", 34 - i, rate=rate, times=[3 * k for k in range(34 - i)])
    write_video(tmp_path / "street" / "dark" / "one.mp4", 1)
    write_video(tmp_path / "long.mp4", 30)
    return tmp_path


def call(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done


def test_folders_of_videos_are_compared_and_a_long_one_is_named_window_by_window(here: Any) -> None:
    damaged_inside(here / "gym" / "dark" / "damaged.mp4")
    call(
        "compare", "--source", "gym", "--target", "street", "--encoder", ENCODER, "--methods",
        "source-only,prototypes", "--seeds", "1", "--out", "run",
    )  # fmt: skip
    told = json.loads((here / "run/results.json").read_text())
    assert "one frame" in json.dumps(told)
    assert "dark/damaged.mp4" in json.dumps(told["given"])
    assert "damaged after" in json.dumps(told["given"])
    pictures = pd.read_parquet(here / "run/pictures.parquet")
    assert len(pictures) > 0
    assert bytes(pictures.jpeg[0])[:2] == b"\xff\xd8"
    page = (here / "run/report.html").read_text()
    assert "<h2>Videos</h2>" in page
    assert "Of a video nine frames are shown" in page
    call("predict", "run", "long.mp4", "--stride", "1", "--window", "2", "--csv", "long.csv")
    table = pd.read_csv(here / "long.csv")
    assert table.start.tolist() == [0, 1]
    assert table.end.tolist() == [2, 3]
    assert np.isfinite(table.probability).all()
    assert set(table["class"]) <= {"dark", "light"}
    assert len(Bundle.load("run/model").predict("gym/dark")) == 6  # in Python, too, the damaged one is left out
    damaged_inside(here / "glitch.mp4")
    said = call("predict", "run", "glitch.mp4", "--stride", "1", "--csv", "glitch.csv", code=3).output
    assert "left out: glitch.mp4#0.00-1.00: the video is damaged after" in said
    table = pd.read_csv(here / "glitch.csv")
    assert 0 < table.start.notna().sum() < 6
    assert len(table) == 6
    content = write_video(here / "cut.mp4", 200, size=(64, 96), index_first=True).read_bytes()
    (here / "cut.mp4").write_bytes(content[: len(content) * 6 // 10])
    said = call("predict", "run", "cut.mp4", "--stride", "2", "--csv", "cut.csv", code=3).output
    assert re.search(r"left out: cut.mp4#\d+.\d\d-20.00: the video is truncated: it ends after \d+.\d of 20.0 s", said)
    assert pd.read_csv(here / "cut.csv").start.notna().sum() > 3
    refused = call("predict", "run", "long.mp4", "--window", "2", code=1)
    assert "--window 2 needs --stride" in str(refused.exception)


def test_features_labels_and_styles_leave_out_and_name_a_video_that_is_damaged_inside(here: Any) -> None:
    damaged_inside(here / "gym" / "dark" / "damaged.mp4")
    damaged_inside(here / "street" / "damaged.mp4")
    call("embed", "gym", "--encoder", ENCODER, "--out", "gym.parquet")
    assert "dark/damaged.mp4" not in set(pd.read_parquet(here / "gym.parquet").id)
    refused = call("embed", "gym", "--encoder", ENCODER, "--out", "gym.parquet", "--on-error", "fail", code=1)
    assert "gym: 1 unreadable, the first 'dark/damaged.mp4': the video is damaged after" in str(refused.exception)
    call("shift", "gym", "street", "--encoder", ENCODER)
    for name in ("dark", "light"):
        shutil.rmtree(here / "street" / name)
    for i in range(3):
        write_video(here / "street" / f"{i}.mp4", 6 + 3 * i)
    said = call("label", "street", "--encoder", ENCODER, "--out", "l.csv").output
    assert "target: 3 videos, 0 with labels" in said
    assert sorted(pd.read_csv(here / "l.csv").path) == ["street/0.mp4", "street/1.mp4", "street/2.mp4"]
    refused = call("label", "street", "--encoder", ENCODER, "--out", "l.csv", "--budget", "4", code=1)
    assert "budget must be in [1, 3]" in str(refused.exception)


def test_videos_are_named_by_names_alone(here: Any, lite_clip_kept: Path) -> None:
    shutil.copytree(lite_clip_kept, here / "cache", dirs_exist_ok=True)
    (here / "names.csv").write_text("name\ndark\nlight\n")
    call(
        "compare", "--target", "street", "--classes", "names.csv", "--methods", "describe", "--seeds", "1",
        "--encoder", "frames:lite-clip?size=32&frames=2", "--out", "named",
    )  # fmt: skip
    assert (here / "named/report.html").exists()


def test_methods_that_train_the_network_read_the_clips_themselves(here: Any) -> None:
    encoder = saved_towers(here / "towers")
    call(
        "compare", "--source", "gym", "--target", "street", "--encoder", encoder, "--methods", "source-only,x-clip",
        "--seeds", "1", "--out", "run",
    )  # fmt: skip
    told = json.loads((here / "run/results.json").read_text())
    assert {row["name"] for row in told["candidates"]} == {"source-only", "x-clip"}
    assert all(row["validators"]["reverse validation by neighbours"]["per_seed"] for row in told["candidates"])
    call(
        "adapt", "--source", "gym", "--encoder", encoder, "--method", "x-clip:small", "--set", "epochs=1", "--no-refit",
        "--out", "model",
    )  # fmt: skip
    shutil.rmtree(here / "towers")  # the saved model brings what it needs
    call("predict", "model", "long.mp4", "--stride", "1", "--window", "2", "--csv", "long.csv")
    table = pd.read_csv(here / "long.csv")
    assert table.start.tolist() == [0, 1]
    assert np.isfinite(table.probability).all()
    said = call("explain", "model", "long.mp4", "--out", "why.html").output
    most = re.search(
        r"Most in frame (\d) of 8, at (\d\.\d) s, (for|against) (dark|light), beside (dark|light): [+-]", said
    )
    assert most is not None
    assert float(most[2]) == pytest.approx(3 / 16 * (2 * int(most[1]) - 0.5), abs=0.06)  # odd ones of 16 parts of 3 s
    assert "why.html explains 1 clip" in said
    assert (here / "why.html").read_text().count('alt="frame ') == 8
    assert "frame 8, 2.9 s" in (here / "why.html").read_text()
    told = json.loads(call("explain", "model", "long.mp4", "--out", "why.png", "--json").stdout)
    assert [frame["seconds"] for frame in told[0]["maps"]][-1] == pytest.approx(2.906)
    said = call("explain", "model", "street/dark/one.mp4", "long.mp4", "--out", "why.html", code=3).output
    assert "why.html explains 1 clip" in said
    assert "left out: street/dark/one.mp4: the video has one frame" in said
    damaged_inside(here / "street/dark/noise.mp4")
    said = call("explain", "model", "street", "--out", "why.html", code=3).output
    assert "why.html explains 12 clips" in said
    assert "left out: dark/noise.mp4: the video is damaged after" in said
    call("adapt", "--model", "model", "--classes", "waving,bowing,sitting", "--out", "gestures")
    call("predict", "gestures", "long.mp4", "--csv", "named.csv")
    assert set(pd.read_csv(here / "named.csv")["class"]) <= {"waving", "bowing", "sitting"}
    said = call("recommend", "--source", "gym", "--target", "street", "--encoder", ENCODER).output
    assert "these learn from the videos themselves" in said
    assert said.count("x-clip") == 1
    assert re.search(r"\d+ others do not: \d+ (need|read)s? ", said)


def test_what_learns_from_clips_has_none_encoded_and_tells_at_once_how_long_it_takes(
    here: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError(f"features were made, after {heard}")

    monkeypatch.setattr("unseen.encoders.frames.FramesEncoder.compute", never)
    shutil.copy(here / "gym/dark/0.mp4", here / "street/dark/known.mp4")
    settings = {"epochs": 1}
    bundle = adapt(
        method="x-clip:small", settings=settings, source="gym", target="street", encoder=saved_towers(here / "towers"),
        refit=False, say=heard.append,
    )  # fmt: skip
    assert [line.partition(" ")[0] for line in heard] == ["source:", "target:", "x-clip:small"]
    assert bundle.whole
    assert "(1 equal, 0 nearly equal)" in caplog.text


def test_what_cannot_train_on_clips_is_told_before_any_is_encoded(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing should be encoded")

    monkeypatch.setattr("unseen.encoders.frames.FramesEncoder.compute", never)
    asked = ("compare", "--source", "gym", "--target", "street", "--out", "run")
    for words, reason in (
        (("--methods", "x-clip"), "trains the network that looks at frames; encoder 'frames:efficientnet-lite0'"),
        (("--methods", "x-clip", "--encoder", "frames:timm:test_vit?pretrained=0"), "two towers, that of pictures"),
        (("--methods", "cdfsl-v"), "needs support"),
    ):
        refused = call(*asked, *words, code=1)
        assert reason in str(refused.exception)
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    pictures = Domain(x=noise, kind="image", y=np.arange(6) % 2)
    with pytest.raises(ValueError, match=r"learns from clips .* these are of kind image"):
        compare(source=pictures, target=pictures.take([0, 2]).unlabeled().replace(x=255 - noise[:2]), methods="zeroi2v")
