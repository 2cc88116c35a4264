"""`unseen episodes` on videos: by features of frames, and by a method that learns from the clips themselves, once."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from unseen.cli import app
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.evaluation.episodes import Episodes
from unseen.jobs.episodes import job
from unseen.jobs.episodes.fits import few_shot_methods
from unseen.methods.video.cdfsl_v import CDFSLV
from unseen.nn.video_mae import VideoMAE
from videos import damaged_inside, write_video

ENCODER = ("--encoder", "frames:pixels?size=8&frames=4&parts=4")
SMALL = ("--way", 3, "--shot", "1,2", "--queries", 2, "--episodes", 4)
TINY = {
    "frames": 4, "patch": 4, "width": 16, "layers": 1, "heads": 2, "mlp": 16, "decoder_width": 8, "decoder_layers": 1,
    "decoder_heads": 2, "pretrain_epochs": 1, "epochs": 1,
}  # fmt: skip
QUICK = ("--side", 8, *(part for key, value in TINY.items() for part in ("--set", f"{key}={value}")))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of eight videos, and of another domain three of three, with what is decoded of them."""
    root = tmp_path_factory.mktemp("videos")
    frames = [*range(2, 33), 34]  # sixteen frames of 33 are those of 32
    for k in range(4):
        for i in range(8):
            write_video(root / "street" / f"move {k}" / f"{i}.mp4", frames[8 * k + i])
    for k in range(3):
        for i in range(3):
            write_video(root / "gym" / f"lift {k}" / f"{i}.mp4", 3 + 12 * k + i, size=(24, 16))
    return root


@pytest.fixture
def here(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with these videos, `street` and `gym`."""
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("UNSEEN_CACHE", str(videos / "cache"))
    for name in ("street", "gym"):
        shutil.copytree(videos / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*args: Any, code: int = 0) -> str:
    made = CliRunner().invoke(app, ["episodes", *map(str, args)])
    told = made.output + str(made.exception or "")
    assert (made.exit_code != 0) == bool(code), told
    return told


def figures(out: Path) -> Any:
    return json.loads((out / "episodes.json").read_text())


def test_folders_of_videos_are_named_by_features_of_frames_and_broken_ones_are_counted(here: Path) -> None:
    (here / "street/move 0/cut.mp4").write_bytes((here / "street/move 0/1.mp4").read_bytes()[:300])
    write_video(here / "street/move 1/one.mp4", 1)
    damaged_inside(here / "street/move 2/noise.mp4")
    told = call("street", *SMALL, "--methods", "prototypes,linear-probe", *ENCODER, "--out", "run")
    assert "32 samples of 4 classes" in told
    result = figures(here / "run")
    lost = {where: why for role, where, why in result["unread"]}
    assert set(lost) == {"move 0/cut.mp4", "move 1/one.mp4", "move 2/noise.mp4"}
    assert "one frame" in lost["move 1/one.mp4"]
    assert lost["move 2/noise.mp4"].startswith("the video is damaged after")
    assert str(here) not in json.dumps(result)
    assert [row["method"] for row in result["methods"]][::2] == ["prototypes", "linear-probe"]
    assert min(row["accuracy"] for row in result["methods"] if row["shots"] == 2) > 0.5  # guessing is a third
    page = (here / "run/report.html").read_text()
    assert "3 could not be read" in page
    assert page.count("data:image/jpeg") == 3 * (2 + 2)  # a contact sheet for each clip of the first episode


def test_a_damaged_clip_is_looked_for_when_nothing_else_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged_inside(here / "street/move 2/noise.mp4")
    damaged_inside(here / "gym/lift 0/noise.mp4")
    source = ("--source", "gym", "--methods", "prototypes,cdfsl-v:small")
    refused = call("street", *SMALL, *source, *ENCODER, *QUICK, "--on-error", "fail", "--out", "run", code=1)
    assert "1 unreadable, the first 'move 2/noise.mp4': the video is damaged after" in refused
    with monkeypatch.context() as patched:
        patched.setattr("unseen.data.video.read_frames", lambda *_, **__: pytest.fail("a clip was decoded"))
        assert "encoder 'efficientnet-lite0' takes pictures" in call(
            "street", *SMALL, "--encoder", "efficientnet-lite0", "--out", "run", code=1
        )
    call("street", *SMALL, *source, *ENCODER, *QUICK, "--out", "run")
    assert [row[:2] for row in figures(here / "run")["unread"]] == [
        ["data", "move 2/noise.mp4"], ["source", "lift 0/noise.mp4"],
    ]  # fmt: skip


def test_a_table_of_parts_of_videos_is_read(here: Path) -> None:
    rows = [
        {"path": f"street/move {k}/{i}.mp4", "start": 0, "end": 0.2 + k / 2, "label": f"part {k}"}
        for k in range(4)
        for i in range(4)
    ]
    pd.DataFrame(rows).to_csv(here / "parts.csv", index=False)
    call("parts.csv", *SMALL, *ENCODER, "--out", "run")
    assert figures(here / "run")["methods"][0]["accuracy"] > 0.4


def rows_of(x: Any) -> set[bytes]:
    return {torch.as_tensor(clip).numpy().tobytes() for clip in x}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What `cdfsl-v` is given: to learn from, as handfuls, and to name."""
    seen: dict[str, list[Any]] = {"fit": [], "adapt": [], "predict": []}
    for verb in ("fit", "adapt"):
        plain = getattr(CDFSLV, verb)

        @functools.wraps(plain)
        def told(self: Any, *, plain: Any = plain, verb: str = verb, **given: Any) -> Any:
            seen[verb].append(given)
            return plain(self, **given)

        monkeypatch.setattr(CDFSLV, verb, told)
    name = CDFSLV.predict_proba

    def asked(self: Any, x: Any) -> Any:
        seen["predict"].append(x)
        return name(self, x)

    monkeypatch.setattr(CDFSLV, "predict_proba", asked)
    plain_predict = CDFSLV.predict

    def predicted(self: Any, x: Any) -> Any:
        seen["predict"].append(x)
        return plain_predict(self, x)

    monkeypatch.setattr(CDFSLV, "predict", predicted)
    return seen


def test_cdfsl_v_learns_once_from_a_source_and_from_clips_that_no_episode_holds(
    here: Path, seen: dict[str, list[Any]]
) -> None:
    order = ("street", "--source", "gym", *SMALL, "--methods", "prototypes,cdfsl-v:small", *ENCODER, *QUICK)
    told = call(*order, "--out", "a")
    assert len(seen["fit"]) == 1
    given = seen["fit"][0]
    assert set(given) == {"source", "target", "support"}
    assert len(given["source"]) == 9
    assert len(given["target"]) == 16
    assert given["target"].y is None
    assert given["target"].classes is None
    assert given["target"].x.shape == (16, 16, 3, 8, 8)
    assert given["support"].classes.names == given["source"].classes.names  # no label of the exam is in it
    assert len(seen["adapt"]) == 4 * 2 + 1  # a handful of each episode and number of shots; one for the page
    of_episodes = [one["support"] for one in seen["adapt"]] + seen["predict"]
    held = set().union(*(rows_of(domain.x) for domain in of_episodes))
    assert len(held) > 8
    assert not held & rows_of(given["target"].x)
    assert "16 samples of 4 classes; 4 episodes of 3 classes; 16 others are in none" in told
    what = "9 labelled samples of gym (3 classes), and 16 of street without labels, which no episode holds"
    assert f"cdfsl-v:small has learnt from {what}" in told
    assert f"cdfsl-v:small saw more than the handfuls: {what}" in told
    result = figures(here / "a")
    assert result["learnt_from"] == {"cdfsl-v:small": what}
    assert result["unlabelled"] == 16
    page = (here / "a/report.html").read_text()
    assert what in page
    assert "The other methods saw the labelled samples of each episode alone" in page
    call(*order, "--out", "b")
    assert (here / "a/episodes.csv").read_bytes() == (here / "b/episodes.csv").read_bytes()


def test_the_episodes_of_a_share_are_the_same_without_the_method_that_asked_for_it(here: Path) -> None:
    order = ("street", *SMALL, *ENCODER)
    call(*order, "--source", "gym", "--methods", "prototypes,cdfsl-v:small", *QUICK, "--out", "with")
    call(*order, "--unlabelled", 0.5, "--out", "without")
    both = [pd.read_csv(here / name / "episodes.csv") for name in ("with", "without")]
    first, second = (rows[rows.method == "prototypes"].reset_index(drop=True) for rows in both)
    pd.testing.assert_frame_equal(first, second)


def test_clips_of_classes_that_are_set_aside_may_be_all_that_is_seen_of_the_target(
    here: Path, seen: dict[str, list[Any]]
) -> None:
    order = ("street", "--way", 2, "--shot", 1, "--queries", 3, "--episodes", 2, *ENCODER, *QUICK)
    call(*order, "--source", "gym", "--base", 0.5, "--unlabelled", 0, "--methods", "cdfsl-v:small", "--out", "a")
    assert len(seen["fit"][0]["target"]) == 16
    call(*order, "--base", 0.5, "--methods", "prototypes,cdfsl-v:small", "--out", "b")  # no source: these teach
    assert len(seen["fit"][1]["source"]) == 16
    assert len(seen["fit"][1]["target"]) == 8


def test_a_run_that_was_cut_off_goes_on_after_what_was_learnt(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = ("street", "--source", "gym", *SMALL, "--methods", "cdfsl-v:small", *ENCODER, *QUICK, "--out", "run")
    with monkeypatch.context() as broken:
        broken.setattr(Episodes, "__call__", lambda *args, **words: (_ for _ in ()).throw(OSError("no power")))
        assert "no power" in call(*order, code=1)
    assert (here / ".run.training").is_dir()
    assert not (here / "run").exists()
    losses = []
    plain = VideoMAE.forward
    monkeypatch.setattr(VideoMAE, "forward", lambda self, *x: losses.append(1) or plain(self, *x))
    call(*order)
    assert not losses  # that stage was whole
    assert not (here / ".run.training").exists()
    call(*order[:-1], "other")
    assert losses
    assert (here / "run/episodes.csv").read_bytes() == (here / "other/episodes.csv").read_bytes()


def test_what_cannot_be_is_named_before_work(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.encoders.base import Encoder

    def never(*args: Any, **words: Any) -> Any:
        raise AssertionError("samples were encoded")

    monkeypatch.setattr(Encoder, "encode", never)
    out = (*ENCODER, "--out", "never")
    one = ("--methods", "prototypes,cdfsl-v:small")
    assert "way must be at most 4" in call("street", "--way", 5, "--shot", 1, *out, code=1)
    assert "7 shots and 2 queries need 9 samples" in call("street", *SMALL, "--shot", 7, *out, code=1)
    told = call("street", *SMALL, "--shot", 3, "--source", "gym", *one, *out, code=1)
    assert "3 shots and 2 queries need 5 samples" in told
    assert "a share of 0.5 of each class is in no episode" in told
    assert "base must be above 0, the share that is set aside, or source given" in call(
        "street", *SMALL, *one, *out, code=1
    )
    assert "has the presets default, arctan, small; got 'tiny'" in call(
        "street", *SMALL, "--methods", "cdfsl-v:tiny", *out, code=1
    )
    for share, sentence in ((0, "unlabelled must be above 0 for cdfsl-v:small"), (1, "unlabelled must lie in [0, 1)")):
        assert sentence in call("street", *SMALL, "--source", "gym", *one, "--unlabelled", share, *out, code=1)
    told = call("street", *SMALL, "--source", "gym", *one, "--unlabelled", 0.1, *out, code=1)
    assert "unlabelled must be so large that it leaves cdfsl-v:small a sample" in told
    table = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) % 3, "label": np.repeat(["u", "v"], 10)})
    table.to_csv(here / "table.csv", index=False)
    told = call("street", *SMALL, "--source", "table.csv", *one, *out, code=1)
    assert "source must be of kind 'clip', as data; got 'features'" in told
    told = call("table.csv", *SMALL, "--way", 2, "--source", "gym", *one, *out, code=1)
    assert "data must be videos (kind clip) for cdfsl-v:small; table is of kind 'features'" in told
    write_video(here / "few/lift 0/0.mp4", 5)
    write_video(here / "few/move 1/0.mp4", 5)
    told = call("street", *SMALL, "--source", "few", *one, *out, code=1)
    assert "source must have two classes at least that no episode is of" in told
    assert "source is read by none of prototypes" in call("street", *SMALL, "--source", "gym", *out, code=1)
    assert "side is read by none of prototypes" in call("street", *SMALL, "--side", 32, *out, code=1)
    told = call("street", *SMALL, "--source", "gym", *one, *QUICK, "--side", 10, *out, code=1)
    assert "multiple" in told
    assert "patch" in told
    assert not (here / "never").exists()


def test_clips_of_unlike_lengths_go_on_with_their_last_frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "home"))
    rng = np.random.default_rng(0)

    def clips(names: tuple[str, ...], lengths: tuple[int, ...]) -> Domain:
        y = np.repeat(np.arange(len(names)), 8)
        x = np.empty(len(y), dtype=object)
        for i, label in enumerate(y):
            made = 60 * label + rng.integers(0, 60, (lengths[i % len(lengths)], 3, 12, 12))
            x[i] = made.astype(np.uint8)
        return Domain(x=x, y=y, kind="clip", classes=ClassSpace(names=names), name=names[0])

    result = job.grade(
        clips(("a", "b", "c"), (2, 5, 9)),
        protocol=Episodes(way=3, shots=(1,), queries=2, episodes=3),
        methods=("prototypes", "cdfsl-v"),
        source=clips(("d", "e"), (3, 4)),
        encoder="frames:pixels?size=8&frames=2",
        side=8,
        settings=TINY,
    )
    assert set(result.scores) == {"prototypes", "cdfsl-v"}
    assert result.scores["prototypes"][1].mean > 0.5  # guessing is a third
    assert np.isfinite(result.scores["cdfsl-v"][1].mean)


def test_methods_that_read_clips_are_among_those_that_an_episode_can_fit() -> None:
    assert "cdfsl-v" in few_shot_methods(with_source=True)
    assert "cdfsl-v" not in few_shot_methods()
    assert not {"x-clip", "zeroi2v", "mug-stan"} & set(few_shot_methods(with_source=True))
